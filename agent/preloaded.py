"""What all of a machine's jobs need, loaded once, by the process that theirs are forked of.

They share its memory, and a new one is ready in a tenth of a second. So nothing here may start a
thread, open a socket, or depend on a setting.
"""

from livekit.agents.utils import http_context
from livekit.plugins.silero import onnx_model

from . import worker

__all__ = ["onnx_model", "worker"]

# The machine's certificates take 30 ms to read, and every job would read them before it joins.
http_context._create_ssl_context()

"""What all of a machine's jobs need, loaded once, by the process that their processes are forked of.

They share its memory, and a new one is ready in a tenth of a second. So nothing here may start a
thread, open a socket, or depend on a setting.
"""

from livekit.agents.utils import http_context
from livekit.plugins.silero import onnx_model

import metering.job_meter

from . import worker

__all__ = ["metering", "onnx_model", "worker"]

# The machine's certificates take 30 ms to read, and everybody would read them on joining a room.
http_context._create_ssl_context()

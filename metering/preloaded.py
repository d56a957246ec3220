"""What a job's end needs, loaded once for all of a machine's jobs, to be named to LiveKit's worker.

    AgentServer(preload_modules=["metering.preloaded"])

Job processes are forked of one that has it, and share its memory; without it each loads SQL and
prices itself when its meeting is over, which takes half a second and 30 MB. Nothing here starts a
thread, opens a file to write or a socket, or depends on a setting.
"""

import sqlalchemy.dialects.sqlite.aiosqlite

from . import job_meter, settle, sweeping
from .pricing.loading import load_catalog

__all__ = ["job_meter", "settle", "sqlalchemy", "sweeping"]

load_catalog()

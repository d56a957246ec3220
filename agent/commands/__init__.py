"""The transcriber's commands for what is there after a meeting, a file for each family."""

from __future__ import annotations

from . import forget, notes, prune, record, search, timeline, transcripts
from .app import app as afterwards

__all__ = ["afterwards", "forget", "notes", "prune", "record", "search", "timeline", "transcripts"]

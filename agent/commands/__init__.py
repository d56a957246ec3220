"""The transcriber's commands besides those that ask for it, a file for each family."""

from __future__ import annotations

from . import forget, notes, prune, record, search, timeline, transcripts
from .app import app as afterwards

__all__ = ["afterwards", "forget", "notes", "prune", "record", "search", "timeline", "transcripts"]

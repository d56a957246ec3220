"""The transcriber's commands for what is there after a meeting, a file for each family."""

from __future__ import annotations

from . import forget, notes, record, search, transcripts
from .app import app as afterwards

__all__ = ["afterwards", "forget", "notes", "record", "search", "transcripts"]

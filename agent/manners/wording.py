"""What people are told, where nobody has said it better."""

from __future__ import annotations

DEFAULT_NOTICE = "This meeting is being transcribed."
MAX_NOTICE_CHARACTERS = 1000

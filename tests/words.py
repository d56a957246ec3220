"""How many of the words that were said have been recognised."""

from __future__ import annotations

import difflib
import re


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower().replace("-", " "))


def recognised(said: str, heard: str) -> float:
    """The share of the said words that were heard, in their order."""
    said_words, heard_words = words(said), words(heard)
    matcher = difflib.SequenceMatcher(None, said_words, heard_words, autojunk=False)
    return sum(block.size for block in matcher.get_matching_blocks()) / len(said_words)

"""A moderation hook: flags what has a word of a list in it.

    export TALLYROOM_MODERATION=examples.hooks.moderation:moderate FLAGGED_WORDS=secret,confidential
    tallyroom start

A real one asks a service, such as OpenAI's moderation endpoint; what it raises or takes too long
for is logged, and the meeting goes on.
"""

from __future__ import annotations

import os
import re

from agent.moderation import Flag
from agent.segments import Meeting, Segment


async def moderate(meeting: Meeting, segment: Segment) -> Flag | None:
    """Called for every final segment, in order."""
    listed = {word.strip().lower() for word in os.environ.get("FLAGGED_WORDS", "").split(",")}
    said = set(re.findall(r"\w+", segment.text.lower()))
    if found := sorted(said & listed):
        return Flag(reason=f"says {', '.join(found)}")
    return None

"""What people see of the agent before it has said anything.

A server gathers news of participants who publish nothing for up to three seconds before it tells
the others; of one whose attributes change it tells them at once. LiveKit's components also show
the state.
"""

from __future__ import annotations

import logging

from livekit import rtc
from livekit.agents.types import ATTRIBUTE_AGENT_STATE

logger = logging.getLogger("tallyroom.agent")

DISPLAY_NAME = "Transcriber"
LISTENING = "listening"
THINKING = "thinking"
SPEAKING = "speaking"


async def appear(room: rtc.Room) -> None:
    """Show that the agent is here and listens. Where that is not allowed, it still listens."""
    await show_state(room, LISTENING)


async def show_state(room: rtc.Room, state: str) -> None:
    """Show what the agent does, as LiveKit's components know it."""
    try:
        await room.local_participant.set_attributes({ATTRIBUTE_AGENT_STATE: state})
    except (rtc.ConnectError, ConnectionError, RuntimeError) as error:
        logger.warning("the agent's state is not shown: %s", type(error).__name__)

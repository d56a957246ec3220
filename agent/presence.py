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

ENDING_ATTRIBUTE = "tallyroom.ending"
"""There while an agent makes notes and the like of what it has heard, and hears no more."""
DISPLAY_NAME = "Transcriber"
LISTENING = "listening"
THINKING = "thinking"
SPEAKING = "speaking"


async def appear(room: rtc.Room) -> None:
    """Show that the agent is here and listens. Where that is not allowed, it still listens."""
    await show_state(room, LISTENING)


async def say_ending(room: rtc.Room) -> None:
    """Show that the agent hears no more, though it is still here: another may come."""
    if room.connection_state != rtc.ConnectionState.CONN_DISCONNECTED:
        await _show(room, {ENDING_ATTRIBUTE: "true"})


async def show_state(room: rtc.Room, state: str) -> None:
    """Show what the agent does, as LiveKit's components know it."""
    await _show(room, {ATTRIBUTE_AGENT_STATE: state})


async def _show(room: rtc.Room, attributes: dict[str, str]) -> None:
    try:
        await room.local_participant.set_attributes(attributes)
    except (rtc.ConnectError, ConnectionError, RuntimeError) as error:
        logger.warning("the agent's state is not shown: %s", type(error).__name__)

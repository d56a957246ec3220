"""People are told that they are transcribed: in the chat, and by an attribute of the agent's.

Those who are there are told when it begins, whoever comes later as soon as they can read it. The
attribute is for applications, which may show it as they like.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from livekit import rtc

from ..chat import Chat
from ..observers import MeetingObserver
from ..request import TranscriptionRequest
from ..segments import Meeting
from ..settings import AgentSettings

logger = logging.getLogger("tallyroom.agent")

NOTICE_ATTRIBUTE = "tallyroom.notice"


def notice_of(settings: AgentSettings, request: TranscriptionRequest) -> str:
    """What people of this meeting are told; empty for nothing."""
    if isinstance(request.notice, str):
        return request.notice
    return settings.notice if request.notice else ""


class Notice(MeetingObserver):
    """Says `text` once to everyone of these `kinds`, a person who comes back included."""

    def __init__(self, room: rtc.Room, chat: Chat, text: str, kinds: frozenset[int]) -> None:
        self._room = room
        self._chat = chat
        self._text = text
        self._kinds = kinds
        self._told: set[str] = set()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def on_start(self, meeting: Meeting, said: Sequence[object]) -> None:
        """Show it, and tell those who are there; the others when they can be told."""
        self._room.on("participant_active", self._tell)
        self._start(self._room.local_participant.set_attributes({NOTICE_ATTRIBUTE: self._text}))
        for participant in self._room.remote_participants.values():
            if participant.state == rtc.ParticipantState.PARTICIPANT_STATE_ACTIVE:
                self._tell(participant)

    def _tell(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind in self._kinds and participant.sid not in self._told:
            self._told.add(participant.sid)
            self._start(self._chat.say(self._text, to=[participant.identity]))

    def _start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Nobody waits for it to be heard."""
        task = asyncio.get_running_loop().create_task(work, name="tallyroom-notice")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

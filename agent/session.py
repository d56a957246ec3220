"""One job: who is in the room, who is listened to, and when to leave.

It owns no speech and no text: it gives every person's audio track a listener, and hands what they
say to the captions and the transcript.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext

from metering import JobMeter

from .captions import Captions
from .chat import Chat
from .errors import TranscriptError
from .listening.listener import Interim, Listener, Speaker
from .manners.leaving import Leaving
from .manners.opt_out import OPT_OUT_ATTRIBUTE, has_opted_out
from .observers import MeetingObserver, Observers
from .people import HEARD_KINDS
from .presence import appear
from .recognition import Recognition
from .request import TranscriptionRequest
from .segments import Gap, Meeting, Segment
from .transcript import TranscriptWriter
from .voices import Voices

logger = logging.getLogger("tallyroom.agent")

PURPOSE = "captions"
AWAY_SECONDS = 2.0
"""A connection that is back within a moment loses no audio: it was on its way."""
EMPTY_SECONDS = 300.0
"""As long as LiveKit keeps a room open into which nobody has come."""
SETTLED_SECONDS = 1.0
"""After somebody has gone; by then it is known whether it was we who lost the connection."""
CUT_OFF_SECONDS = 20.0
"""The server ends the job of an agent that it has lost when it can tell its worker again."""
LAST_WORDS_SECONDS = 25.0
"""How long the words that were said last may take at the end, where STT is slow or away."""


class TranscriptionSession:
    """Listens to everyone in a job's room from `start` until `finish`."""

    def __init__(
        self,
        ctx: JobContext,
        request: TranscriptionRequest,
        recognition: Recognition,
        meter: JobMeter,
        transcripts: Path,
        observers: Iterable[MeetingObserver] = (),
        until_given_up: Callable[[], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        self._ctx = ctx
        self._room = ctx.room
        self._request = request
        self._recognition = recognition
        self._voices: defaultdict[str, Voices] = defaultdict(Voices)
        self._meter = meter
        self._transcripts = transcripts
        self._observers = Observers(observers)
        self._captions = Captions(ctx.room) if request.captions else None
        self._transcript: TranscriptWriter | None = None
        self._listeners: dict[str, tuple[Listener, asyncio.Task[None]]] = {}
        self._began = time.monotonic()
        self._is_listening = False
        self._leaving = Leaving(ctx.room, Chat(ctx.room), self._leave)
        self._finished = False
        self._appearing: asyncio.Task[None] | None = None
        self._away_since: float | None = None
        self._back_at: float | None = None
        self._until_given_up = until_given_up
        self._giving_up: asyncio.Task[None] | None = None
        self._is_leaving = False

    async def start(self) -> None:
        """Join the room and listen to whoever is and comes there.

        Where no transcript can be written, people still get their captions.
        """
        room = self._room
        room.on("track_subscribed", self._on_track)
        room.on("track_unsubscribed", self._on_track_gone)
        room.on("track_muted", self._on_muted)
        room.on("active_speakers_changed", self._on_active_speakers)
        room.on("reconnecting", self._on_reconnecting)
        room.on("reconnected", self._on_reconnected)
        room.on("participant_connected", self._on_person)
        room.on("participant_disconnected", self._on_person_gone)
        room.on("participant_attributes_changed", self._on_attributes)
        await self._ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
        self._appearing = asyncio.create_task(appear(room), name="tallyroom-appear")
        self._began = time.monotonic()
        meeting = self._meeting()
        self._transcript = self._open_transcript(meeting)
        if self._transcript:
            await self._observers.on_start(self._transcript.meeting, self._transcript.said_before)
        else:
            await self._observers.on_start(meeting, ())
        self._is_listening = True
        for participant in room.remote_participants.values():
            for publication in participant.track_publications.values():
                if publication.track:
                    self._on_track(publication.track, publication, participant)
        if self._request.leave_after_minutes:
            self._leaving.limit(self._request.leave_after_minutes * 60)
        if self._is_alone():
            self._leaving.alone(max(EMPTY_SECONDS, self._request.leave_when_alone_seconds))

    def _meeting(self) -> Meeting:
        return Meeting(
            job_id=self._ctx.job.id,
            title=self._request.title,
            room_name=self._room.name,
            started_at=self._meter.now(),
            tenant=self._request.tenant,
        )

    def _open_transcript(self, meeting: Meeting) -> TranscriptWriter | None:
        try:
            return TranscriptWriter(self._transcripts / meeting.job_id, meeting)
        except TranscriptError as error:
            logger.error("this meeting has captions and no transcript: %s", error)
            return None

    @property
    def is_cut_off(self) -> bool:
        """Whether the job ends in the middle of losing its connection, or just after."""
        if self._is_leaving:
            return False
        if self._away_since is not None:
            return True
        return self._back_at is not None and self._now() - self._back_at < CUT_OFF_SECONDS

    async def finish(self) -> None:
        """Hear out what was being said, and write the transcript's files. Does nothing twice."""
        if self._finished:
            return
        self._finished = True
        self._leaving.cancel()
        if self._appearing:
            self._appearing.cancel()
        await self._hear_out()
        self._on_reconnected()
        if self._transcript is None:
            return
        try:
            await self._transcript.finish(self._request.transcript_formats)
        except TranscriptError as error:
            logger.error("the transcript's files are not written: %s", error)

    async def conclude(self) -> None:
        """After `finish`: let the observers do what is left for the end, which can take minutes."""
        await self._observers.on_end()

    async def _hear_out(self) -> None:
        """The last words of everyone, as far as they come in time."""
        for listener, _ in self._listeners.values():
            listener.end()
        tasks = [task for _, task in self._listeners.values()]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=LAST_WORDS_SECONDS)
        for task in late:
            task.cancel()
        if late:
            logger.warning("not everybody's last words came in %g s", LAST_WORDS_SECONDS)
            await asyncio.gather(*late, return_exceptions=True)

    def _now(self) -> float:
        return time.monotonic() - self._began

    def _on_track(
        self,
        track: rtc.Track,
        publication: rtc.RemoteTrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        if track.kind != rtc.TrackKind.KIND_AUDIO or participant.kind not in HEARD_KINDS:
            return
        if self._finished or track.sid in self._listeners or not self._is_listening:
            return
        if self._has_opted_out(participant):
            publication.set_subscribed(False)
            return
        identity = participant.identity
        listening = ExitStack()
        recognisers = self._recognition.recognisers(identity, participant.attributes)
        engine = recognisers.choose().engine
        listening.enter_context(
            self._meter.listening(engine, participant=identity, purpose=PURPOSE)
        )
        listener = Listener(
            Speaker(identity, lambda: participant.name, track.sid, self._voices[identity]),
            recognisers,
            gate=self._recognition.gate(),
            allowance=self._recognition.allowance,
            now=self._now,
            on_segment=self._on_segment,
            on_interim=self._on_interim,
            on_gap=self._on_gap,
            on_speech=lambda: self._observers.on_speech(identity),
            on_end=listening.close,
            attribute=lambda: self._meter.attribute(participant=identity, purpose=PURPOSE),
        )
        task = asyncio.create_task(listener.listen(track), name="tallyroom-listener")
        self._listeners[track.sid] = listener, task
        task.add_done_callback(lambda done: self._on_listener_done(track.sid, done))

    def _on_listener_done(self, track_id: str, task: asyncio.Task[None]) -> None:
        # Who has opted in again has another on the same track.
        if (known := self._listeners.get(track_id)) and known[1] is task:
            del self._listeners[track_id]
        if not task.cancelled() and (error := task.exception()):
            logger.error("a listener ended early: %s", type(error).__name__)

    def _on_track_gone(
        self,
        track: rtc.Track,
        publication: rtc.TrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        self._end_listeners([track.sid])

    def _on_muted(self, participant: rtc.Participant, publication: rtc.TrackPublication) -> None:
        if known := self._listeners.get(publication.sid):
            known[0].mute()

    def _on_active_speakers(self, speakers: list[rtc.Participant]) -> None:
        active = {sid for speaker in speakers for sid in speaker.track_publications}
        for track_id, (listener, _) in self._listeners.items():
            listener.is_active_speaker(track_id in active)

    def _end_listeners(self, track_ids: Iterable[str]) -> None:
        for track_id in track_ids:
            if known := self._listeners.get(track_id):
                known[0].end()

    def _on_person(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind in HEARD_KINDS:
            self._leaving.in_company()

    def _on_person_gone(self, participant: rtc.RemoteParticipant) -> None:
        self._end_listeners(list(participant.track_publications))
        # A full reconnect takes everybody out of the room before it says what it is; an attribute
        # set in the middle of it may be why it sometimes stands still for good.
        asyncio.get_running_loop().call_later(SETTLED_SECONDS, self._look_whether_alone)

    def _look_whether_alone(self) -> None:
        if self._away_since is None and not self._finished and self._is_alone():
            left = self._request.leave_when_alone_seconds - SETTLED_SECONDS
            self._leaving.alone(max(0.0, left))

    def _is_alone(self) -> bool:
        others = self._room.remote_participants.values()
        return not any(other.kind in HEARD_KINDS for other in others)

    @property
    def elapsed(self) -> float:
        """How long the job has been in the room, in seconds."""
        return self._now()

    def _leave(self, reason: str) -> None:
        self._is_leaving = True
        self._ctx.shutdown(reason)

    def _has_opted_out(self, participant: rtc.Participant) -> bool:
        return has_opted_out(participant.identity, participant.attributes, self._request.opt_out)

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        """Who opts out is no longer sent to us; who takes it back is, and heard anew."""
        if OPT_OUT_ATTRIBUTE not in changed or not isinstance(participant, rtc.RemoteParticipant):
            return
        is_out = self._has_opted_out(participant)
        for track_id, publication in participant.track_publications.items():
            if publication.kind != rtc.TrackKind.KIND_AUDIO:
                continue
            if is_out and (known := self._listeners.pop(track_id, None)):
                known[0].discard()
            publication.set_subscribed(not is_out)

    async def _on_segment(self, segment: Segment) -> None:
        """At once to the room and to the disk: neither waits for the other."""
        on_clock = self._transcript.on_clock(segment) if self._transcript else segment
        if self._observers.is_own_voice(on_clock):
            # What it has had of a caption until now is taken back.
            await self._caption(replace(segment, text=""), final=True)
            return
        self._observers.on_segment(on_clock)
        await asyncio.gather(self._caption(segment, final=True), self._write_down(segment))

    def _on_gap(self, gap: Gap) -> None:
        if self._transcript:
            self._transcript.add_gap(gap)

    def _on_reconnecting(self) -> None:
        if self._away_since is None:
            self._away_since = self._now()
            if self._until_given_up:
                self._giving_up = asyncio.create_task(
                    self._give_up(self._until_given_up), name="tallyroom-give-up"
                )

    async def _give_up(self, until_given_up: Callable[[], Coroutine[Any, Any, None]]) -> None:
        await until_given_up()
        logger.error("the connection does not come back: another transcriber is to take over")
        self._ctx.shutdown("cut off")

    def _on_reconnected(self) -> None:
        """Whatever was said meanwhile has not been heard, unless it was a moment."""
        since, self._away_since = self._away_since, None
        self._back_at = self._now()
        if self._giving_up:
            self._giving_up.cancel()
        if since is not None:
            self._look_whether_alone()
        if since is not None and self._now() - since >= AWAY_SECONDS:
            self._on_gap(Gap(speaker="", name="", start=since, end=self._now(), track_id=""))

    async def _on_interim(self, interim: Interim) -> None:
        await self._caption(interim, final=not interim.text)

    async def _caption(self, said: Segment | Interim, *, final: bool) -> None:
        if self._captions:
            await self._captions.publish(
                segment_id=said.segment_id,
                speaker=said.speaker,
                track_id=said.track_id,
                text=said.text,
                final=final,
            )

    async def _write_down(self, segment: Segment) -> None:
        if self._transcript:
            try:
                await self._transcript.add(segment)
            except TranscriptError as error:
                logger.error("a segment is only in memory: %s", error)

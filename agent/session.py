"""One job: who is in the room, who is listened to, and when to leave.

It owns no speech and no text: it gives every person's audio track a listener, and hands what they
say to the captions and the transcript.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from livekit import rtc
from livekit.agents import AutoSubscribe, JobContext

from metering import JobMeter

from .captions import Caption, Captions
from .chat import Chat
from .connection import Connection, UntilGivenUp
from .errors import TranscriptError
from .listening.listener import Listener
from .listening.words import Interim, Speaker
from .manners.leaving import EVERYONE_HAS_LEFT, Leaving
from .manners.opt_out import OPT_OUT_ATTRIBUTE, has_opted_out
from .observers import MeetingObserver, Observers
from .people import HEARD_KINDS
from .presence import appear, say_ending
from .recognition import Recognition
from .request import TranscriptionRequest
from .segments import Gap, Meeting, Segment
from .transcript import TranscriptWriter
from .voices import Voices

logger = logging.getLogger("tallyroom.agent")

PURPOSE = "captions"
EMPTY_SECONDS = 300.0
"""As long as LiveKit keeps a room open into which nobody has come."""
SETTLED_SECONDS = 1.0
"""After somebody has gone; by then it is known whether it was we who lost the connection."""
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
        until_given_up: UntilGivenUp | None = None,
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
        self._listeners: dict[str, tuple[rtc.Track, Listener]] = {}
        self._hearing: dict[asyncio.Task[None], tuple[str, Listener]] = {}
        """Whose audio each hears: those too whose last words are still to come."""
        self._began = time.monotonic()
        self._is_listening = False
        self._leaving = Leaving(ctx.room, Chat(ctx.room), self._leave)
        self._finished = False
        self._appearing: asyncio.Task[None] | None = None
        self._connection = Connection(
            ctx.room,
            now=self._now,
            until_given_up=until_given_up,
            on_back=self._on_back,
            on_gap=lambda start, end: self._on_gap(
                Gap(speaker="", name="", start=start, end=end, track_id="")
            ),
            on_given_up=lambda: ctx.shutdown("cut off"),
        )
        self._had_company = False
        self._left_because: str | None = None
        self._has_company_again = asyncio.Event()

    async def start(self) -> None:
        """Join the room and listen to whoever is and comes there.

        Where no transcript can be written, people still get their captions.
        """
        room = self._room
        room.on("track_subscribed", self._on_track)
        room.on("track_unsubscribed", self._on_track_gone)
        room.on("track_muted", self._on_muted)
        room.on("active_speakers_changed", self._on_active_speakers)
        room.on("participant_connected", self._on_person)
        room.on("participant_disconnected", self._on_person_gone)
        room.on("participant_attributes_changed", self._on_attributes)
        await self._ctx.connect(auto_subscribe=AutoSubscribe.AUDIO_ONLY)
        self._appearing = asyncio.create_task(appear(room), name="tallyroom-appear")
        self._began = time.monotonic()
        self._connection.watch()
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
        else:
            self._had_company = True

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
        """Whether the job ends because it has lost the room, and people may be there."""
        return self._left_because is None and self._connection.is_lost

    @property
    def has_left_an_empty_room(self) -> bool:
        """Whether the job ends because everybody has left: somebody may come back.

        Not where nobody ever came: whom the server lists and no job ever sees does not bring one
        job after another.
        """
        return self._left_because == EVERYONE_HAS_LEFT and self._had_company

    @property
    def has_company_again(self) -> asyncio.Event:
        """Set once somebody has come whom the job, at its end, hears no more."""
        return self._has_company_again

    async def until_disconnected(self, seconds: float) -> None:
        """Return once it is known why the room is left, or after so long."""
        await self._connection.until_disconnected(seconds)

    async def finish(self) -> None:
        """Hear out what was being said, and write the transcript's files. Does nothing twice."""
        if self._finished:
            return
        self._finished = True
        self._leaving.cancel()
        self._connection.end()
        if self._appearing:
            self._appearing.cancel()
        self._appearing = asyncio.create_task(say_ending(self._room), name="tallyroom-ending")
        await self._hear_out()
        if self._captions:
            await self._captions.close()
        self._connection.close()
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
        self._end_listeners(list(self._listeners))
        if not self._hearing:
            return
        _, late = await asyncio.wait(list(self._hearing), timeout=LAST_WORDS_SECONDS)
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
        if self._finished or not self._is_listening:
            return
        if known := self._listeners.get(track.sid):
            if known[0] is track:
                return
            # Subscribed to anew, by the server or after a full reconnect.
            self._end_listeners([track.sid])
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
        self._listeners[track.sid] = track, listener
        task = asyncio.create_task(listener.listen(track), name="tallyroom-listener")
        self._hearing[task] = identity, listener
        task.add_done_callback(lambda done: self._on_listener_done(listener, done))

    def _on_listener_done(self, listener: Listener, task: asyncio.Task[None]) -> None:
        del self._hearing[task]
        for track_id, (_, known) in list(self._listeners.items()):
            if known is listener:
                del self._listeners[track_id]
        if not task.cancelled() and (error := task.exception()):
            logger.error("a listener ended early: %s", type(error).__name__)

    def _on_track_gone(
        self,
        track: rtc.Track,
        publication: rtc.TrackPublication,
        participant: rtc.RemoteParticipant,
    ) -> None:
        if (known := self._listeners.get(track.sid)) and known[0] is track:
            self._end_listeners([track.sid])

    def _on_muted(self, participant: rtc.Participant, publication: rtc.TrackPublication) -> None:
        if known := self._listeners.get(publication.sid):
            known[1].mute()

    def _on_active_speakers(self, speakers: list[rtc.Participant]) -> None:
        active = {sid for speaker in speakers for sid in speaker.track_publications}
        for track_id, (_, listener) in self._listeners.items():
            listener.is_active_speaker(track_id in active)

    def _end_listeners(self, track_ids: Iterable[str]) -> None:
        """They hear out what was said; whoever is heard on these tracks again has another."""
        for track_id in track_ids:
            if known := self._listeners.pop(track_id, None):
                known[1].end()

    def _on_person(self, participant: rtc.RemoteParticipant) -> None:
        if participant.kind in HEARD_KINDS:
            self._had_company = True
            self._leaving.in_company()
            self._connection.trust()
            if self._left_because is not None:
                self._has_company_again.set()

    def _on_person_gone(self, participant: rtc.RemoteParticipant) -> None:
        self._end_listeners(list(participant.track_publications))
        if participant.kind not in HEARD_KINDS:
            return
        # A full reconnect takes everybody out of the room before it says what it is.
        asyncio.get_running_loop().call_later(SETTLED_SECONDS, self._look_whether_alone)

    def _on_back(self) -> None:
        """Ask for everybody's audio once more.

        The framework asks for it when it is published. In a full reconnect that is told before the
        SDK can ask for it: it asks on the connection that is gone, and nobody answers.
        """
        for participant in self._room.remote_participants.values():
            if participant.kind in HEARD_KINDS:
                self._ask_for_audio(participant)
        self._look_whether_alone()

    def _ask_for_audio(self, participant: rtc.RemoteParticipant) -> None:
        is_wanted = not self._has_opted_out(participant)
        for publication in participant.track_publications.values():
            if publication.kind == rtc.TrackKind.KIND_AUDIO:
                publication.set_subscribed(is_wanted)

    def _look_whether_alone(self) -> None:
        if self._connection.is_away or self._finished:
            return
        if self._had_company and self._is_alone():
            left = self._request.leave_when_alone_seconds - SETTLED_SECONDS
            self._leaving.alone(max(0.0, left))
            self._connection.doubt()

    def _is_alone(self) -> bool:
        others = self._room.remote_participants.values()
        return not any(other.kind in HEARD_KINDS for other in others)

    @property
    def elapsed(self) -> float:
        """How long the job has been in the room, in seconds."""
        return self._now()

    def _leave(self, reason: str) -> None:
        self._left_because = reason
        self._ctx.shutdown(reason)

    def _has_opted_out(self, participant: rtc.Participant) -> bool:
        return has_opted_out(participant.identity, participant.attributes, self._request.opt_out)

    def _on_attributes(self, changed: dict[str, str], participant: rtc.Participant) -> None:
        """Who opts out is no longer sent to us; who takes it back is, and heard anew."""
        if OPT_OUT_ATTRIBUTE not in changed or not isinstance(participant, rtc.RemoteParticipant):
            return
        self._ask_for_audio(participant)
        if self._has_opted_out(participant):
            for track_id in participant.track_publications:
                self._listeners.pop(track_id, None)
            for identity, listener in self._hearing.values():
                if identity == participant.identity:
                    listener.discard()

    async def _on_segment(self, segment: Segment) -> None:
        """At once to the room and to the disk: neither waits for the other."""
        on_clock = self._transcript.on_clock(segment) if self._transcript else segment
        if self._observers.is_own_voice(on_clock):
            # What it has had of a caption until now is taken back.
            self._show(replace(segment, text=""), final=True)
            return
        self._observers.on_segment(on_clock)
        self._show(segment, final=True)
        await self._write_down(segment)

    def _on_gap(self, gap: Gap) -> None:
        if self._transcript:
            self._transcript.add_gap(gap)

    async def _on_interim(self, interim: Interim) -> None:
        self._show(interim, final=not interim.text)

    def _show(self, said: Segment | Interim, *, final: bool) -> None:
        if self._captions:
            self._captions.show(
                Caption(
                    segment_id=said.segment_id,
                    speaker=said.speaker,
                    track_id=said.track_id,
                    text=said.text,
                    final=final,
                )
            )

    async def _write_down(self, segment: Segment) -> None:
        if self._transcript:
            try:
                await self._transcript.add(segment)
            except TranscriptError as error:
                logger.error("a segment is only in memory: %s", error)

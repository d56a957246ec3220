"""What an agent attaches to meter itself.

    meter = JobMeter(ctx)                                            # before ctx.connect()
    stt = deepgram.STT(http_session=meter.http_session())
    meter.watch(AgentSession(stt=stt, llm=llm, tts=tts))

From then on every connection, request and session of the job stands in its journal, and when the
job shuts down in the store, rated. Metering never harms the meeting: whatever fails here is logged
and the job goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import io
import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from livekit.agents.utils import http_context

from .clock import RunClock
from .errors import JournalError, MeteringError, SettingsError
from .health import Operation, failed
from .journal import SUFFIX, Entry, JournalWriter, decode_lines, read_entries
from .meters.attribution import attribution
from .meters.connections import ConnectionMeter
from .meters.egress import EgressMeter
from .meters.models import ModelMeter, Watched, provider_slug
from .meters.requests import RequestMeter
from .meters.room import RoomMeter
from .own_loop import in_own_loop
from .recorder import Recorder
from .request_billing import RequestTokens
from .run import Run, RunInfo, Status, fold
from .settings import MeterSettings
from .usage import format_stamp

if TYPE_CHECKING:
    import aiohttp
    import httpx2
    from livekit.agents import JobContext, stt
    from livekit.protocol.egress import EgressInfo

    from .webhooks.events import WebhookEvent

logger = logging.getLogger("tallyroom.metering")

_BEATS_BETWEEN_BYTE_COUNTS = 5
JOB_CRASHED = "job crashed"
"""The shutdown reason that livekit-agents gives when the entrypoint raised."""


class JobMeter:
    """Meters one job from the moment it is made until the job has shut down.

    Make it in the entrypoint, before `ctx.connect()`. `tenant`, `title` and `tags` go on the cost
    record; `describe` sets them later. It never raises for anything but misuse.
    """

    def __init__(
        self,
        ctx: JobContext,
        *,
        settings: MeterSettings | None = None,
        tenant: str = "",
        title: str = "",
        tags: Iterable[str] = (),
    ) -> None:
        self._settings = settings or _settings_or_defaults()
        self._loop = asyncio.get_running_loop()
        self._clock = RunClock()
        self._sessions: list[aiohttp.ClientSession] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._beats = 0
        self._error = ""
        self._finished = False
        self._described: dict[str, Any] = {}
        self.info = RunInfo(
            run_id=f"run_{uuid.uuid4().hex}",
            job_id=ctx.job.id,
            dispatch_id=ctx.job.dispatch_id,
            room_name=ctx.job.room.name,
            room_sid=ctx.job.room.sid,
            agent_name=ctx.job.agent_name,
            tenant=tenant,
            title=title,
            tags=tuple(tags),
            hosting=self._settings.resolved_hosting,
            plan=self._settings.resolved_plan,
            started_at=self._clock.began_at,
        )
        # Without a disk there is still a record at the end, made from these.
        self._entries: list[Entry] | None = None
        self._recorder = Recorder(self.info.run_id, self._clock, self._write)
        self._journal = self._open_journal()
        self._write(self.info.to_entry())
        self._connections = ConnectionMeter(self._recorder)
        self._requests = RequestMeter(self._recorder)
        self._models = ModelMeter(self._recorder, self._connections, self._requests)
        self._room = RoomMeter(
            ctx.room,
            self._recorder,
            provider=self._settings.room_provider,
            server=self._settings.server,
        )
        self._egress = EgressMeter(self._recorder, provider=self._settings.room_provider)
        self._trace_the_jobs_session()
        ctx.add_shutdown_callback(self._on_shutdown)

    def http_session(self, **options: Any) -> aiohttp.ClientSession:
        """A client session for STT plugins: their sockets' life and audio; the job closes it.

        `options` go to aiohttp.
        """
        session = self._connections.http_session(**options)
        self._sessions.append(session)
        return session

    def http_client(self, **options: Any) -> httpx2.AsyncClient:
        """An HTTP client for LLM and TTS plugins that speak OpenAI's protocol.

            openai.LLM(client=AsyncClient(http_client=meter.http_client()))

        Each request is measured on the wire, those too that fail, are tried again or cancelled and
        that the plugin never reports. `options` go to httpx. Whoever owns the client closes it.
        """
        return self._requests.http_client(**options)

    def trace(self, session: aiohttp.ClientSession) -> None:
        """Time the STT sockets of a client session of the caller's own.

        That of the job, which plugins use that are given none, is traced already. The audio is seen
        at the socket, too, where the session was made with `ws_response_class=`
        `meter.websocket_class()`; else it is what a watched plugin reports.
        """
        self._connections.trace(session)

    def websocket_class(self) -> type[aiohttp.ClientWebSocketResponse]:
        """For a client session of the caller's own that is traced: sees the audio it sends."""
        return self._connections.websocket_class()

    def watch(self, *used: Watched, provider: str | None = None) -> None:
        """Meter by what they report: an AgentSession with all it uses, or models by themselves.

        Watch a session before it starts. What has been measured at a socket or on the wire is not
        counted again, nor what two sessions share. `provider` replaces the name that the plugin
        gives its provider, for a gateway that stands for another.
        """
        for one in used:
            self._models.watch(one, provider=provider)

    def attribute(
        self, *, participant: str | None = None, purpose: str | None = None
    ) -> AbstractContextManager[None]:
        """Attribute what is used inside the block to somebody, and to a purpose."""
        return attribution(participant=participant, purpose=purpose)

    @contextlib.contextmanager
    def listening(
        self, engine: stt.STT[Any], *, participant: str | None = None, purpose: str = ""
    ) -> Iterator[None]:
        """Time how long somebody's audio is listened to inside the block, whether sent or not.

        It is billed by nobody; against it the cost record shows what `engine`, which gets only a
        part of that audio, has saved.
        """
        listened = self._recorder.open(
            instance_id=self._recorder.instance_id("listening", None),
            meter="stt_listening",
            provider=provider_slug(engine),
            model=engine.model.lower(),
            participant=participant,
            purpose=purpose,
            source="listener",
        )
        try:
            yield
        finally:
            listened.close()

    def egress(self, info: EgressInfo) -> None:
        """Take what LiveKit tells of a recording or stream export, as often as it comes.

        It is in the answers of LiveKit's API and in its webhooks. What goes on when the job ends
        is on the record as partial.
        """
        self._egress.seen(info)

    def describe(
        self,
        *,
        tenant: str | None = None,
        title: str | None = None,
        tags: Iterable[str] | None = None,
    ) -> None:
        """Set what the cost record says of the job; what is not given stays as it is."""
        changes = {"tenant": tenant, "title": title, "tags": None if tags is None else list(tags)}
        given = {name: value for name, value in changes.items() if value is not None}
        self._described |= given
        self._recorder.describe(**given)

    async def announce(self, event: WebhookEvent, *, again: str = "", **data: Any) -> None:
        """Tell those who are to be told by webhook that something has happened to the job.

        It is on disk when this returns; a worker with `attach_sweeper` sends it. What the job cost
        is told without this. Does nothing where no webhook is set.

        Args:
            event: what has happened. A job that told its beginning will have its end told, too,
                even if it is killed.
            again: what tells it from an earlier event of this type; without it the job has one.
            data: JSON values for the event's `data`, beside what says which job it is.
        """
        # Imported now: most jobs tell nobody anything.
        events = await asyncio.to_thread(importlib.import_module, "metering.webhooks.events")
        now = self._clock.stamp()
        told = self._identity() | self._described | data
        if event is events.WebhookEvent.STARTED:
            # Before anybody can have heard of it: then its end is told whatever happens.
            self._write({"kind": "announced", "at": self._clock.elapsed_us()})
        elif event is events.WebhookEvent.ENDED:
            told.setdefault("ended_at", format_stamp(now))
        try:
            await asyncio.to_thread(events.owe, self._settings, event, told, again=again, at=now)
        except MeteringError as error:
            failed(Operation.DELIVER)
            logger.error("nobody is told of %s: %s", event, error)

    def _identity(self) -> dict[str, Any]:
        info = self.info
        return {
            "job_id": info.job_id,
            "dispatch_id": info.dispatch_id,
            "room_name": info.room_name,
            "tenant": info.tenant,
            "title": info.title,
            "tags": list(info.tags),
            "started_at": format_stamp(info.started_at),
        }

    def requests(self, purpose: str) -> list[RequestTokens]:
        """How large each LLM request of a purpose has been in this run, at most; for a ceiling.

        Those in flight are among them. What only a plugin reports is there once it has.
        """
        return self._recorder.requests.of(purpose)

    def now(self) -> datetime:
        """The run's UTC clock, which the record's stamps are on."""
        return self._clock.stamp()

    def fail(self, error: str) -> None:
        """Say that the job has failed; the record keeps everything that was measured."""
        self._error = error

    def _trace_the_jobs_session(self) -> None:
        with contextlib.suppress(RuntimeError):  # there is none outside a job
            self._connections.trace(http_context.http_session())

    def _open_journal(self) -> JournalWriter | None:
        path = self._settings.journals_path / f"{self.info.run_id}{SUFFIX}"
        try:
            return JournalWriter(path, beat=self._beat)
        except JournalError as error:
            failed(Operation.JOURNAL)
            logger.error("this job's metering will not survive a kill: %s", error)
            self._entries = []
            return None

    def _write(self, entry: Entry) -> None:
        if self._entries is not None:
            self._entries.append(entry)
        elif self._journal:
            self._journal.append(entry)

    def _beat(self) -> Iterable[Entry]:
        """On the journal's thread, each second."""
        with contextlib.suppress(RuntimeError):  # The loop can be closed at any moment.
            self._loop.call_soon_threadsafe(self._on_beat)
        return self._recorder.beat()

    def _on_beat(self) -> None:
        if self._finished:
            return
        self._room.notice()
        self._beats += 1
        if self._beats % _BEATS_BETWEEN_BYTE_COUNTS == 1:
            task = self._loop.create_task(self._room.count_bytes())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _on_shutdown(self, reason: str) -> None:
        """The job's shutdown callback: it must not raise, for one that does stops the others."""
        if self._finished:
            return
        self._finished = True
        try:
            await self._finish(reason)
        except Exception as error:
            # Not only ours: a driver or a disk may raise anything, and the meeting is over. The
            # journal stands, and the sweeper takes it from here.
            failed(Operation.SETTLE)
            logger.error(
                "this job is not settled yet, its journal is kept: %s",
                error if isinstance(error, MeteringError) else type(error).__name__,
            )
        finally:
            if self._journal:
                self._journal.release()

    async def _finish(self, reason: str) -> None:
        self._room.close()
        self._egress.close()
        await self._connections.say_farewell()
        for session in self._sessions:
            await session.close()
        self._requests.close()
        self._connections.close()
        self._recorder.close_all()
        has_failed = reason == JOB_CRASHED or self._error
        self._write(
            {
                "kind": "end",
                "at": self._clock.elapsed_us(),
                "status": Status.FAILED if has_failed else Status.COMPLETE,
                "error": self._error or (JOB_CRASHED if has_failed else ""),
            }
        )
        if self._journal:
            await asyncio.to_thread(self._journal.finish)
        await self._settle(self._journal)

    async def _settle(self, journal: JournalWriter | None) -> None:
        # SQL and prices come into the process only now that the meeting is over, and on a thread:
        # other shutdown callbacks run on the loop meanwhile.
        sweeping = await asyncio.to_thread(importlib.import_module, "metering.sweeping")
        if journal is None or journal.unwritten:
            settle = importlib.import_module("metering.settle")
            run = fold(self._entries or ()) if journal is None else whole_run(journal)
            await in_own_loop(lambda: settle.settle_in_memory(run, self._settings))
            return
        await asyncio.to_thread(sweeping.settle_at_end, journal, self._settings)


def whole_run(journal: JournalWriter) -> Run:
    """A finished journal's run, with the lines that the disk did not take.

    Raises:
        JournalError: what was written cannot be read.
    """
    written, damaged = read_entries(journal.path)
    unwritten, _ = decode_lines(io.BytesIO(journal.unwritten))
    return fold([*written, *unwritten], damaged_lines=damaged)


async def record_declined(
    info: RunInfo, reason: str, *, settings: MeterSettings | None = None
) -> None:
    """Record a job that was refused before it began; the sweeper settles it if the store is away.

    Raises:
        MeteringError: not even its journal could be written.
    """
    settings = settings or _settings_or_defaults()
    await asyncio.to_thread(_write_declined, info, reason, settings)
    sweeping = await asyncio.to_thread(importlib.import_module, "metering.sweeping")
    try:
        await in_own_loop(lambda: sweeping.sweep(settings))
    except MeteringError as error:
        failed(Operation.SETTLE)
        logger.error("a declined job is not settled yet, its journal is kept: %s", error)


def _write_declined(info: RunInfo, reason: str, settings: MeterSettings) -> None:
    journal = JournalWriter(settings.journals_path / f"{info.run_id}{SUFFIX}", beat=lambda: ())
    journal.append(info.to_entry())
    journal.append({"kind": "end", "at": 0, "status": Status.DECLINED, "error": reason})
    journal.finish()
    journal.release()
    if journal.failing:
        raise JournalError(f"cannot write journal {journal.path}")


def _settings_or_defaults() -> MeterSettings:
    try:
        return MeterSettings.load()
    except SettingsError as error:
        logger.error("a metering setting cannot be used, going on with the defaults: %s", error)
        return MeterSettings.model_construct()

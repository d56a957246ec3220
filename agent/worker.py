"""The worker: takes dispatches, and puts the parts of a job together.

Whatever a job needs is imported and loaded when its process warms up, so that a dispatched agent
is in the room at once.
"""

from __future__ import annotations

import functools
import importlib
import logging
import os
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from livekit.agents import AgentServer, JobContext, JobProcess, JobRequest
from livekit.agents.worker import ServerEnvOption

from metering import (
    JobMeter,
    MeteringError,
    MeterSettings,
    RequestPrices,
    RunInfo,
    StreamingTerms,
    StreamLimits,
    WebhookEvent,
    attach_sweeper,
    keep_room_names_out,
    record_declined,
    streaming_terms,
)

from .answers.plan import plan_answers
from .answers.tool_settings import load_tool_servers
from .ceiling import ceiling_prices
from .comeback import until_given_up
from .dispatch import DISPATCH_ATTRIBUTE, JOB_ATTRIBUTE
from .ending import end
from .errors import DispatchError, SettingsError, TranscriberError
from .language_models import check_llm
from .limits import limits_in_force
from .load import load_function
from .meeting_parts import observers
from .moderation import load_hook
from .notes.plan import plan_notes
from .presence import DISPLAY_NAME
from .providers import Warm, check_request, provider_modules, warm_up
from .recognition import Recognition
from .request import TranscriptionRequest
from .request_providers import modules_of
from .retention import attach_retention
from .session import TranscriptionSession
from .settings import AgentSettings, ModelChoice
from .tts_models import check_tts

logger = logging.getLogger("tallyroom.agent")

IDLE_PROCESSES = ServerEnvOption(dev_default=1, prod_default=2)
"""Each holds the embedded model in memory; the framework would keep one a core."""
INITIALIZE_SECONDS = 60.0
"""Loading the model takes a second on an idle machine, and many on one that starts everything."""

_PRELOADED = (f"{__package__}.preloaded", "metering.preloaded")
_NO_TURN_DETECTION = ("LIVEKIT_AGENTS_PRELOAD_LOCAL_INFERENCE", "0")
"""LiveKit would load a model of 230 MB that tells when an agent may answer; this one never does."""

_NO_LOOP_MONITOR = ("LIVEKIT_AGENTS_LOOP_BLOCK_WARN_MS", "0")
"""LiveKit looks fifty times a second whether a loop is blocked for 0.1 s, which a voice in a talk
would suffer from; that took a twentieth of the processor. Set it, and it looks again."""

_METER = "meter"
_SESSION = "session"
_WARM = "warm"
_NOTES_PRICES = "notes prices"
_ANSWERS_PRICES = "answers prices"


class TranscriberServer(AgentServer):
    """LiveKit's worker, telling whether it has failed: LiveKit's command line exits with 0."""

    has_failed = False

    async def run(self, **how: Any) -> None:
        """Run until it is closed, as LiveKit's does."""
        try:
            await super().run(**how)
        except Exception:
            self.has_failed = True
            raise


def build_server(settings: AgentSettings) -> TranscriberServer:
    """The worker, ready to be run by LiveKit's command line.

    Raises:
        SettingsError: the chosen STT, LLM or TTS cannot be had, or a ceiling not be kept.
        MeteringError: TALLYROOM_STT_LIMITS or the rates cannot be read.
        ModerationError: TALLYROOM_MODERATION names no hook.
    """
    if settings.moderation:
        load_hook(settings.moderation)
    check_llm(settings)
    check_tts(settings)
    load_tool_servers(settings.mcp_servers)
    idle = IDLE_PROCESSES if settings.idle_processes is None else settings.idle_processes
    for default in (_NO_TURN_DETECTION, _NO_LOOP_MONITOR):
        os.environ.setdefault(*default)
    server = TranscriberServer(
        setup_fnc=functools.partial(
            prewarm,
            terms=_terms(settings),
            limits=limits_in_force(settings),
            notes_prices=ceiling_prices(settings, "notes_max_cost"),
            answers_prices=ceiling_prices(settings, "answers_max_cost"),
        ),
        num_idle_processes=idle,
        preload_modules=[*_PRELOADED, *provider_modules(settings), *_model_modules(settings)],
        initialize_process_timeout=INITIALIZE_SECONDS,
        load_fnc=load_function(),
        ws_url=settings.livekit_url or None,
        api_key=settings.livekit_api_key or None,
        api_secret=settings.livekit_api_secret.get_secret_value() or None,
        **_given(
            port=settings.health_port,
            prometheus_port=settings.prometheus_port,
            load_threshold=settings.load_threshold,
        ),
    )
    server.rtc_session(
        entrypoint,
        agent_name=settings.agent_name,
        on_request=on_request,
        on_session_end=on_session_end,
    )
    attach_sweeper(server)
    attach_retention(server)
    keep_room_names_out(server, loggers="")
    return server


def _model_modules(settings: AgentSettings) -> list[str]:
    return [*dict.fromkeys([*modules_of(settings.llm_choice), *modules_of(settings.tts_choice)])]


def _given(**options: Any) -> dict[str, Any]:
    """The options that are set; for the others the framework has defaults of its own."""
    return {name: value for name, value in options.items() if value is not None}


def _terms(settings: AgentSettings) -> dict[ModelChoice, StreamingTerms]:
    """How the chosen STTs are billed: read here, once, because prices stay out of a job."""
    return {
        choice: streaming_terms(choice.provider, choice.model) for choice in settings.stt_choices
    }


def prewarm(
    process: JobProcess,
    terms: Mapping[ModelChoice, StreamingTerms],
    limits: Mapping[str, StreamLimits] | None = None,
    notes_prices: RequestPrices | None = None,
    answers_prices: RequestPrices | None = None,
) -> None:
    """Load the speech model, once a process. A process that cannot load it says so at each job."""
    process.userdata[_NOTES_PRICES] = notes_prices
    process.userdata[_ANSWERS_PRICES] = answers_prices
    try:
        settings = AgentSettings.load()
        process.userdata[_WARM] = warm_up(settings, terms, limits)
        for module in _model_modules(settings):
            importlib.import_module(module)
    except TranscriberError as error:
        logger.error("the speech model is not loaded: %s", error)


async def on_request(request: JobRequest) -> None:
    """Accept a dispatch, or decline it with one clear line and a record that says why."""
    try:
        settings = AgentSettings.load()
        asked = TranscriptionRequest.parse(request.job.metadata)
        check_request(settings, asked)
        plan_notes(settings, asked)
        plan_answers(settings, asked)
    except (DispatchError, SettingsError) as error:
        logger.warning("declined: %s", error, extra={"job_id": request.id})
        # Whoever has asked is waiting for the answer; the record can wait for the disk.
        await request.reject(terminate=True)
        await _record_declined(request, str(error))
        return
    await request.accept(
        name=DISPLAY_NAME,
        attributes={JOB_ATTRIBUTE: request.id, DISPATCH_ATTRIBUTE: request.job.dispatch_id},
    )


async def _record_declined(request: JobRequest, reason: str) -> None:
    job = request.job
    try:
        settings = MeterSettings.load()
    except MeteringError as error:
        logger.error("a declined job is not recorded: %s", error)
        return
    info = RunInfo(
        run_id=f"run_{uuid.uuid4().hex}",
        job_id=job.id,
        dispatch_id=job.dispatch_id,
        room_name=job.room.name,
        room_sid=job.room.sid,
        agent_name=job.agent_name,
        hosting=settings.resolved_hosting,
        plan=settings.resolved_plan,
        started_at=datetime.now(UTC),
    )
    try:
        await record_declined(info, reason, settings=settings)
    except MeteringError as error:
        logger.error("a declined job is not recorded: %s", error)


async def entrypoint(ctx: JobContext) -> None:
    """Begin a job; LiveKit ends it, through `on_session_end`."""
    settings = AgentSettings.load()
    request = TranscriptionRequest.parse(ctx.job.metadata)
    meter = JobMeter(ctx, tenant=request.tenant, title=request.title, tags=request.tags)
    try:
        warm = ctx.proc.userdata.get(_WARM) or Warm()
        recognition = Recognition(
            settings,
            request,
            warm,
            http_session=meter.http_session,
            watch=meter.watch,
            run_id=meter.info.run_id,
        )
        session = TranscriptionSession(
            ctx,
            request,
            recognition,
            meter,
            settings.transcripts_path,
            observers=observers(
                ctx,
                settings,
                request,
                meter,
                ctx.proc.userdata.get(_NOTES_PRICES),
                ctx.proc.userdata.get(_ANSWERS_PRICES),
            ),
            until_given_up=lambda: until_given_up(ctx.job.room.name, settings),
        )
        ctx.proc.userdata[_SESSION] = session
        await session.start()
        ctx.proc.userdata[_METER] = meter
        await meter.announce(WebhookEvent.STARTED)
    except TranscriberError as error:
        logger.error("the job cannot go on: %s", error)
        meter.fail(str(error))
        ctx.shutdown(str(error))


async def on_session_end(ctx: JobContext) -> None:
    """While the room is still there."""
    session: TranscriptionSession | None = ctx.proc.userdata.pop(_SESSION, None)
    meter: JobMeter | None = ctx.proc.userdata.pop(_METER, None)
    if session:
        await end(ctx, session, meter)

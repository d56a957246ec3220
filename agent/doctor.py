"""What a worker needs, looked at before it runs: each thing ok, or what to do about it.

Nothing here changes anything but for a file that is written and removed again.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from pydantic import BaseModel
from rich.table import Table
from rich.text import Text

from metering import MeteringError, MeterSettings
from metering.ledger.queries import list_jobs
from metering.ledger.store import Ledger
from metering.pricing.loading import load_card
from metering.pricing.plans import find_plan, load_plans
from metering.webhooks.endpoints import endpoints

from .answers.tool_settings import load_tool_servers
from .ceiling import ceiling_prices
from .errors import SettingsError, TranscriberError
from .language_models import check_llm
from .limits import limits_in_force
from .notes.plan import check_notes
from .providers import EMBEDDED, check_request, warm_up
from .request import TranscriptionRequest
from .server_api import check_server, probe_server
from .settings import NONE, AgentSettings, ModelChoice, parse_choice
from .speech_model import check_model
from .tts_models import check_tts

LOW_DISK_BYTES = 500 * 10**6
MIN_SECRET_BYTES = 32


class Finding(BaseModel):
    """One thing that was looked at; `detail` says how it stands, or what to do."""

    check: str
    ok: bool
    detail: str


class _Problem(Exception):
    """A check's own verdict: the message says what to do."""


async def examine() -> list[Finding]:
    """Look at everything, in the order in which a job needs it."""
    try:
        settings, meter = AgentSettings.load(), MeterSettings.load()
    except (TranscriberError, MeteringError) as error:
        return [Finding(check="settings", ok=False, detail=str(error))]

    async def hosting() -> str:
        plan = find_plan(load_plans(meter.rates), meter.resolved_plan)
        return f"{meter.resolved_hosting}, plan {plan.plan_id}"

    async def rates() -> str:
        return f"card {(await asyncio.to_thread(load_card, meter.rates)).version}"

    async def store() -> str:
        async with Ledger(meter.ledger_url) as ledger:
            await list_jobs(ledger, limit=1)
            return ledger.location

    async def webhooks() -> str:
        receivers = endpoints(meter)
        return ", ".join(one.origin for one in receivers) or "nobody is told"

    checks: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("server", lambda: _server(settings)),
        ("keys", lambda: _keys(settings)),
        ("hosting and plan", hosting),
        ("rates", rates),
        ("speech model", lambda: _model(settings)),
        ("speech limits", lambda: _limits(settings)),
        ("notes", lambda: _notes(settings)),
        ("answers", lambda: _answers(settings)),
        ("data folder", lambda: _folder(meter)),
        ("store", store),
        ("webhooks", webhooks),
    ]
    return [await _finding(check, look) for check, look in checks]


async def check_worker(settings: AgentSettings) -> None:
    """Refuse to start with settings that no job could run on, or without a server to work for.

    The framework would try that server sixteen times over, and say of a refused key only that it
    could not connect.

    Raises:
        DispatchError: LiveKit's URL or keys are missing, the server is not there or refuses them.
        SettingsError: no such STT, LLM or TTS provider, or no key for it; or notes or answers that
            cannot be.
        SpeechModelError: there is no such embedded model.
        MeteringError: a setting of the meter, its plan, the rate file, TALLYROOM_STT_LIMITS, or
            whom to tell by webhook, cannot be used.
    """
    check_server(settings)
    check_request(settings.model_copy(update={"tenants": ()}), TranscriptionRequest())
    _later_choices(settings)
    if settings.stt_choice.provider == EMBEDDED:
        await asyncio.to_thread(check_model, settings.stt_choice.model)
    meter = MeterSettings.load()
    load_card(meter.rates)
    find_plan(load_plans(meter.rates), meter.resolved_plan)
    endpoints(meter)
    limits_in_force(settings)
    check_llm(settings)
    check_notes(settings)
    check_tts(settings)
    ceiling_prices(settings, "answers_max_cost")
    load_tool_servers(settings.mcp_servers)
    await probe_server(settings)


async def _finding(check: str, look: Callable[[], Awaitable[str]]) -> Finding:
    try:
        return Finding(check=check, ok=True, detail=await look())
    except (_Problem, TranscriberError, MeteringError, OSError) as error:
        return Finding(check=check, ok=False, detail=" ".join(str(error).split()))


async def _server(settings: AgentSettings) -> str:
    rooms = await probe_server(settings)
    return f"{settings.livekit_url}, {rooms} room(s) open"


def _later_choices(settings: AgentSettings) -> list[ModelChoice]:
    return [
        parse_choice(variable, value)
        for variable, value in (("TALLYROOM_LLM", settings.llm), ("TALLYROOM_TTS", settings.tts))
        if value != NONE
    ]


async def _keys(settings: AgentSettings) -> str:
    secret = settings.livekit_api_secret.get_secret_value()
    if secret and len(secret.encode()) < MIN_SECRET_BYTES:
        raise _Problem(f"LIVEKIT_API_SECRET is shorter than {MIN_SECRET_BYTES} bytes; make another")
    needed = {"deepgram": settings.deepgram_api_key, "openai": settings.openai_api_key}
    choices = [settings.stt_choice, *_later_choices(settings)]
    for choice in choices:
        key = needed.get(choice.provider)
        if key is not None and not key.get_secret_value():
            raise _Problem(f"set {choice.provider.upper()}_API_KEY for {'/'.join(choice)}")
    return ", ".join("/".join(choice) for choice in choices)


async def _model(settings: AgentSettings) -> str:
    choice = settings.stt_choice
    warm_up(settings)  # On this thread: LiveKit's plugins can be imported on no other.
    where = "loaded here" if choice.provider == EMBEDDED else "over the network"
    return f"{'/'.join(choice)}, {where}"


async def _limits(settings: AgentSettings) -> str:
    found = limits_in_force(settings).items()
    known = [f"{provider}: {limits}" for provider, limits in found]
    return ", ".join(known) or "none known; TALLYROOM_STT_LIMITS can set them"


async def _answers(settings: AgentSettings) -> str:
    check_tts(settings)
    ceiling_prices(settings, "answers_max_cost")
    if settings.llm == NONE:
        return "none; TALLYROOM_LLM is none"
    spoken = "no voice" if settings.tts == NONE else f"aloud by {settings.tts}"
    ceiling = settings.answers_max_cost
    limit = f", for at most {ceiling} a meeting" if ceiling else ""
    servers = load_tool_servers(settings.mcp_servers)
    tools = "".join(f", may ask {one.name}: {', '.join(one.tools)}" for one in servers)
    return f"by {settings.llm}, {spoken}{limit}{tools}"


async def _notes(settings: AgentSettings) -> str:
    check_llm(settings)
    check_notes(settings)
    if settings.llm == NONE:
        return "none; TALLYROOM_LLM is none"
    ceiling = settings.notes_max_cost
    return f"{settings.notes}, by {settings.llm}" + (
        f", for at most {ceiling} a meeting" if ceiling else ""
    )


async def _folder(meter: MeterSettings) -> str:
    return await asyncio.to_thread(_try_folder, meter)


def _try_folder(meter: MeterSettings) -> str:
    path = meter.data_path
    try_folder(path)
    free = shutil.disk_usage(path).free
    if free < LOW_DISK_BYTES:
        raise _Problem(f"{path} has only {free / 10**6:.0f} MB free")
    return f"{path}, {free / 10**9:.1f} GB free"


def try_folder(path: Path) -> None:
    """See whether files can be written in a folder, which is made where there is none.

    Raises:
        SettingsError: they cannot be; the message names the folder and the setting.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}); set TALLYROOM_DATA_DIR"
        ) from None


def findings_table(findings: list[Finding]) -> Table:
    """The findings, one a line."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        mark = Text("ok", style="green") if finding.ok else Text("to do", style="red")
        table.add_row(mark, finding.check, Text(finding.detail))
    return table

"""What `estimate` and `plans compare` can be asked, and how it is read: a pattern of meetings."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Annotated, Any

import typer

from ..billing.comparison import without_agents_connections
from ..billing.concurrency import peak_of_starts
from ..billing.pattern import MeetingPattern
from ..clock import utc_now
from ..errors import MeteringError, RateError
from ..pricing.exact import EXACT
from ..pricing.loading import load_card
from ..pricing.plans import Plan, load_plans
from ..pricing.rate_card import RateCard
from ..settings import MeterSettings
from .app import fail

_LONGEST = Decimal(31 * 24 * 3600)
_MOST = Decimal(10**12)
_MOST_DECIMALS = 18


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise typer.BadParameter(f"{text!r} is not a decimal number") from None
    exponent = value.as_tuple().exponent
    if not isinstance(exponent, int) or not 0 <= value < _MOST or exponent < -_MOST_DECIMALS:
        raise typer.BadParameter(
            f"{text} must be from 0 to {_MOST}, with at most {_MOST_DECIMALS} decimals"
        )
    return value


def _length(text: str) -> Decimal:
    """Seconds, from minutes ("45") or minutes and seconds ("45:01")."""
    minutes, colon, seconds = text.partition(":")
    length = EXACT.multiply(_decimal(minutes), Decimal(60))
    if colon:
        rest = _decimal(seconds)
        if rest >= 60:
            raise typer.BadParameter(f"{text!r}: {seconds} seconds are a minute or more")
        length = EXACT.add(length, rest)
    if not 0 < length <= _LONGEST:
        raise typer.BadParameter(f"{text!r}: a meeting lasts longer than 0 minutes, and no month")
    return length


def _model(text: str) -> tuple[str, str]:
    provider, slash, model = text.strip().lower().partition("/")
    if not (provider and slash and model):
        raise typer.BadParameter(f"{text!r} must be provider/model, as deepgram/nova-3")
    return provider, model


def _starts(text: str) -> dict[int, Fraction]:
    weights: dict[int, Fraction] = {}
    for part in text.split(","):
        hour, _, weight = part.partition("=")
        if not hour.strip().isdecimal() or int(hour) > 23 or int(hour) in weights:
            raise typer.BadParameter(f"{part!r}: write each hour once, 0 to 23, as 9=30,14=20")
        weights[int(hour)] = Fraction(_decimal(weight or "1"))
    if not any(weights.values()):
        raise typer.BadParameter("at least one hour needs a weight above 0")
    return weights


Meetings = Annotated[int, typer.Option(min=0, max=10**9, help="Meetings in the month.")]
Minutes = Annotated[
    Decimal, typer.Option(parser=_length, metavar="M[:SS]", help="How long each lasts.")
]
People = Annotated[int, typer.Option(min=0, max=10_000, help="In each, agents not counted.")]
Agents = Annotated[int, typer.Option(min=0, max=100, help="Agents in each.")]
Speech = Annotated[
    Decimal,
    typer.Option(
        parser=_decimal, metavar="SHARE", help="Part of the time somebody speaks, 0 to 1."
    ),
]
HeldOpen = Annotated[
    bool, typer.Option("--held-open", help="An STT connection for everybody, all the time.")
]
Stt = Annotated[
    Any, typer.Option(parser=_model, metavar="PROVIDER/MODEL", help="STT by the rate card.")
]
SttPrice = Annotated[
    Any, typer.Option(parser=_decimal, metavar="PRICE", help="Or your STT price a minute.")
]
ByConnection = Annotated[
    bool, typer.Option("--stt-by-connection", help="That price is of connection time, not audio.")
]
Llm = Annotated[
    Any, typer.Option(parser=_model, metavar="PROVIDER/MODEL", help="LLM by the rate card.")
]
InputTokens = Annotated[int, typer.Option(min=0, help="LLM input tokens in a meeting.")]
OutputTokens = Annotated[int, typer.Option(min=0, help="LLM output tokens in a meeting.")]
Tts = Annotated[
    Any, typer.Option(parser=_model, metavar="PROVIDER/MODEL", help="TTS by the rate card.")
]
Characters = Annotated[int, typer.Option(min=0, help="TTS characters in a meeting.")]
PerMinute = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=PRICE", help="More that costs by the minute; may be repeated."),
]
Gigabytes = Annotated[
    Decimal,
    typer.Option("--gb", parser=_decimal, metavar="GB", help="Sent out in a meeting."),
]
AgentsFree = Annotated[
    bool, typer.Option("--agents-connect-free", help="If the agent's own connection is not billed.")
]
Starts = Annotated[
    Any,
    typer.Option(
        parser=_starts, metavar="HOUR=WEIGHT,...", help="When a day's meetings start, on the hour."
    ),
]
Peak = Annotated[int | None, typer.Option(min=0, help="Or: so many go on at once at most.")]
OfficeDays = Annotated[int, typer.Option(min=1, max=31, help="Working days in the month.")]
OfficeHours = Annotated[int, typer.Option(min=1, max=24, help="Hours in a working day.")]
On = Annotated[
    datetime | None, typer.Option(formats=["%Y-%m-%d"], help="By the prices of this UTC day.")
]


@dataclass(frozen=True)
class Asked:
    """What a command is asked, read and checked; `peak_from` says where the peak comes from."""

    pattern: MeetingPattern
    agents_free: bool
    peak: int
    peak_from: str
    at: datetime
    card: RateCard
    plans: Mapping[str, Plan]
    settings: MeterSettings

    def plan(self, plan: Plan) -> Plan:
        """The plan with the option that was asked for."""
        plan = plan.on(self.at.date())
        return without_agents_connections(plan) if self.agents_free else plan


def read_options(
    *,
    meetings: Meetings,
    minutes: Minutes,
    people: People,
    agents: Agents = 1,
    speech: Speech = Decimal(1),
    held_open: HeldOpen = False,
    stt: Stt = None,
    stt_price: SttPrice = None,
    stt_by_connection: ByConnection = False,
    llm: Llm = None,
    llm_input_tokens: InputTokens = 0,
    llm_output_tokens: OutputTokens = 0,
    tts: Tts = None,
    tts_characters: Characters = 0,
    per_minute: PerMinute = None,
    gb: Gigabytes = Decimal(0),
    agents_connect_free: AgentsFree = False,
    starts: Starts = None,
    peak: Peak = None,
    office_days: OfficeDays = 22,
    office_hours: OfficeHours = 8,
    on: On = None,
) -> Asked:
    """What the options of a pattern of meetings come to; these are all of them.

    Raises:
        typer.BadParameter: options that contradict each other or cannot be.
        MeteringError: a rate file or setting that cannot be used.
    """
    try:
        pattern = MeetingPattern(
            meetings=meetings,
            seconds=minutes,
            people=people,
            agents=agents,
            speech=speech,
            held_open=held_open,
            stt=stt,
            stt_price=stt_price,
            stt_billing="connection" if stt_by_connection else "audio",
            llm=llm,
            llm_input_tokens=llm_input_tokens,
            llm_output_tokens=llm_output_tokens,
            tts=tts,
            tts_characters=tts_characters,
            per_minute=_per_minute(per_minute or ()),
            gigabytes=gb,
            office_days=office_days,
            office_hours=office_hours,
        )
    except RateError as error:
        raise typer.BadParameter(str(error)) from None
    if stt is not None and stt_price is not None:
        raise typer.BadParameter("give a model or a price, not both", param_hint="'--stt-price'")
    if stt_by_connection and stt_price is None:
        raise typer.BadParameter("it needs --stt-price", param_hint="'--stt-by-connection'")
    if starts is not None and peak is not None:
        raise typer.BadParameter("give starts or a peak, not both", param_hint="'--peak'")
    most, most_from = _peak(pattern, starts, peak)
    at = utc_now() if on is None else datetime.combine(on.date(), time(), UTC)
    settings = MeterSettings.load()
    card, plans = load_card(settings.rates), load_plans(settings.rates)
    return Asked(pattern, agents_connect_free, most, most_from, at, card, plans, settings)


def asks_for_a_pattern(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of `read_options` before its own.

    Its first parameter is what they come to. What cannot be done is one line on stderr and exit
    code 1.
    """
    shared = inspect.signature(read_options, eval_str=True).parameters
    _, *own = inspect.signature(command, eval_str=True).parameters.values()

    @functools.wraps(command)
    def asking(**options: Any) -> None:
        pattern = {name: options.pop(name) for name in shared}
        try:
            command(read_options(**pattern), **options)
        except MeteringError as error:
            fail(str(error))

    keywords = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own]
    # What typer makes the command line of.
    signature = inspect.Signature([*shared.values(), *keywords])
    asking.__signature__ = signature  # type: ignore[attr-defined]
    return asking


def _per_minute(given: Iterable[str]) -> dict[str, Decimal]:
    prices: dict[str, Decimal] = {}
    for item in given:
        name, equals, price = item.partition("=")
        if not name or not equals or name in prices:
            raise typer.BadParameter(
                f"{item!r} must be NAME=PRICE, each name once", param_hint="'--per-minute'"
            )
        prices[name] = _decimal(price)
    return prices


def _peak(
    pattern: MeetingPattern, starts: Mapping[int, Fraction] | None, given: int | None
) -> tuple[int, str]:
    if given is not None:
        return given, "as given"
    a_day = Fraction(pattern.meetings, pattern.office_days)
    length = Fraction(pattern.seconds) / 3600
    if starts is not None:
        return peak_of_starts(a_day, length, starts), "from the starts given"
    even = a_day * length / pattern.office_hours
    return -(-even.numerator // even.denominator), "if they are spread evenly over office hours"

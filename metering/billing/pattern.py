"""A pattern of meetings as the usage of one of them: what an estimate rates instead of a month.

One meeting is made of the same instances that a metered one would have, and rated by the same
rating; the month is that many of them. So an estimate cannot disagree with a statement about what
the same usage costs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from types import MappingProxyType
from typing import Literal

from ..errors import RateError
from ..pricing.charges import Charge, Dispute, totals
from ..pricing.exact import EXACT, ZERO
from ..pricing.hosting import room_provider
from ..pricing.rate_card import Rate, RateCard
from ..pricing.rating import rate
from ..usage import Meter, Usage, core_meters
from .month import JobCharges

GIVEN = "given"
"""The provider of whatever has its price from the caller."""

Billing = Literal["audio", "connection"]

STT_METERS = frozenset({"stt_audio", "stt_connection"})
"""What a pattern's STT is measured by, whichever of them its provider bills."""

_RESERVED = frozenset({"stt", *core_meters()})


@dataclass(frozen=True, slots=True, kw_only=True)
class MeetingPattern:
    """A month of equal meetings.

    Args:
        meetings: in the month.
        seconds: how long each lasts.
        people: in each, agents not counted.
        agents: in each.
        speech: the part of the time in which somebody speaks, 0 to 1; only that is transcribed.
        held_open: whether everybody has an STT connection from beginning to end, instead of one
            that is there while somebody speaks.
        stt: provider and model to be priced by the card.
        stt_price: a price per minute of STT instead, billed by `stt_billing`.
        llm: provider and model, with the tokens of one meeting.
        tts: provider and model, with the characters of one meeting.
        per_minute: further prices per minute of meeting, by name (telephony, tts, ...).
        gigabytes: sent out in one meeting; bandwidth is left out where it is 0.
        days: of the month, of which `office_days` are worked, `office_hours` each.
    """

    meetings: int
    seconds: Decimal
    people: int
    agents: int = 1
    speech: Decimal = Decimal(1)
    held_open: bool = False
    stt: tuple[str, str] | None = None
    stt_price: Decimal | None = None
    stt_billing: Billing = "audio"
    llm: tuple[str, str] | None = None
    llm_input_tokens: int = 0
    llm_output_tokens: int = 0
    tts: tuple[str, str] | None = None
    tts_characters: int = 0
    per_minute: Mapping[str, Decimal] = field(default_factory=dict)
    gigabytes: Decimal = ZERO
    days: int = 30
    office_days: int = 22
    office_hours: int = 8

    def __post_init__(self) -> None:
        if self.seconds <= 0:
            raise RateError(f"a meeting of {self.seconds} s cannot be estimated; it must last")
        if not 0 <= self.speech <= 1:
            raise RateError(f"the share of speech is {self.speech}; it must be from 0 to 1")
        for name in self.per_minute:
            if name == "stt":
                raise RateError("a price per minute of STT is given with --stt-price")
            if name in _RESERVED:
                raise RateError(f"a price per minute cannot be called {name!r}; choose another")

    def times(self, meetings: int) -> MeetingPattern:
        """The same with another number of meetings."""
        return replace(self, meetings=meetings)

    @property
    def agent_seconds(self) -> Decimal:
        """All agents' time in a month, unrounded."""
        return EXACT.multiply(Decimal(self.meetings * self.agents), self.seconds)

    def card(self, card: RateCard) -> RateCard:
        """The card with the prices that the caller gave."""
        meters, rates = [], []
        if self.stt_price is not None:
            meter = "stt_connection" if self.stt_billing == "connection" else "stt_audio"
            whole = self.stt_billing == "connection" and self.held_open
            measured = self.seconds if whole else EXACT.multiply(self.seconds, self.speech)
            rates.append(_given(meter, self.stt_price, measured))
        for name, price in sorted(self.per_minute.items()):
            meters.append(Meter(name, "second"))
            rates.append(_given(name, price, self.seconds))
        if not rates:
            return card
        known = [meter for name, meter in card.meters.items() if name not in core_meters()]
        return RateCard((*card.rates, *rates), card.unpriced, card.models, [*known, *meters])

    def one_meeting(self, hosting: str, at: datetime) -> list[Usage]:
        """The instances of one meeting that starts at `at`."""
        room = room_provider(hosting)
        draft = _Draft(at, self.seconds)
        for _ in range(self.agents):
            draft.add("agent_session", room, self.seconds)
            draft.add("participant_connection", room, self.seconds, kind="agent")
        for _ in range(self.people):
            draft.add("participant_connection", room, self.seconds, kind="webrtc")
        if self.gigabytes:
            draft.add("downstream_data", room, EXACT.multiply(self.gigabytes, Decimal(10**9)))
        self._add_stt(draft)
        for name in sorted(self.per_minute):
            draft.add(name, GIVEN, self.seconds)
        if self.llm is not None:
            provider, model = self.llm
            request = "llm"
            for meter, count in (
                ("llm_input_tokens", self.llm_input_tokens),
                ("llm_output_tokens", self.llm_output_tokens),
            ):
                draft.add(meter, provider, Decimal(count), model, request)
        if self.tts is not None:
            provider, model = self.tts
            draft.add("tts_characters", provider, Decimal(self.tts_characters), model)
        return draft.usages

    def _add_stt(self, draft: _Draft) -> None:
        spoken = EXACT.multiply(self.seconds, self.speech)
        connections = [self.seconds] * self.people if self.held_open else [spoken]
        if self.stt_price is not None:
            if self.stt_billing == "audio":
                draft.add("stt_audio", GIVEN, spoken)
            else:
                for seconds in connections:
                    draft.add("stt_connection", GIVEN, seconds)
        elif self.stt is not None:
            provider, model = self.stt
            draft.add("stt_audio", provider, spoken, model)
            for seconds in connections:
                draft.add("stt_connection", provider, seconds, model)


class _Draft:
    """The instances of a meeting, each with an id of its own unless it is part of a request."""

    def __init__(self, at: datetime, seconds: Decimal) -> None:
        self._at = at
        self._until = at + timedelta(seconds=int(seconds))
        self.usages: list[Usage] = []

    def add(
        self,
        meter: str,
        provider: str,
        quantity: Decimal,
        model: str = "",
        request: str = "",
        **attributes: str,
    ) -> None:
        known = core_meters().get(meter)
        self.usages.append(
            Usage(
                instance_id=request or f"{meter}-{len(self.usages)}",
                meter=meter,
                provider=provider,
                model=model,
                quantity=quantity,
                unit=known.unit if known else "second",
                attributes=MappingProxyType(attributes),
                started_at=self._at,
                ended_at=self._until,
            )
        )


def _given(meter: str, price: Decimal, seconds: Decimal) -> Rate:
    """A price a minute; quoted by the second where only that multiplies out without rounding."""
    pricing_unit = "minute"
    if not _has_a_third(seconds) and _has_a_third(price):
        price, pricing_unit = EXACT.divide(price, Decimal(60)), "second"
    return Rate(
        provider=GIVEN,
        meter=meter,
        unit_price=price,
        pricing_unit=pricing_unit,
        basis="given",
        layer=1,
    )


def _has_a_third(value: Decimal) -> bool:
    """Whether a sixtieth of it has finitely many digits."""
    return int("".join(map(str, value.as_tuple().digits))) % 3 == 0


def charges_of_one(
    pattern: MeetingPattern, card: RateCard, *, hosting: str, plan: str, at: datetime
) -> tuple[Charge, ...]:
    """One meeting, rated.

    Args:
        pattern: what the meeting is like.
        card: the card on that plan, with the pattern's prices in it.
        hosting: self, cloud or cloud-agents.
        plan: the plan's id.
        at: the rates of this instant are used.
    """
    return tuple(rate(pattern.one_meeting(hosting, at), card, hosting=hosting, plan=plan))


def month_of(charges: tuple[Charge, ...], meetings: int, at: datetime) -> list[JobCharges]:
    """That many meetings that were each charged so, as the one job of a month."""
    if not meetings:
        return []
    return [
        JobCharges(
            job_id="meetings",
            ended_at=at,
            charges=tuple(_scaled(charge, meetings) for charge in charges),
        )
    ]


def bought_bot(
    pattern: MeetingPattern, card: RateCard, at: datetime
) -> Mapping[str, tuple[Decimal, str]]:
    """What a bought bot would cost for the same meetings, unrounded: amount and currency.

    Without and with its own transcription, by the catalog's provider `bought-bot`; empty where
    nobody has priced it.
    """
    draft = _Draft(at, pattern.seconds)
    draft.add("egress_transcode", "bought-bot", pattern.seconds)
    draft.add("egress_transcode", "bought-bot", pattern.seconds, transcription="true")
    prices = {}
    for name, usage in zip(("recording", "with_transcription"), draft.usages, strict=True):
        charges = rate([usage], card, hosting="self", plan="none")
        scaled = [_scaled(charge, pattern.meetings) for charge in charges]
        for currency, amount in totals(scaled).list_cost.items():
            prices[name] = amount, currency
    return prices


def _scaled(charge: Charge, count: int) -> Charge:
    def times(amount: Decimal | None) -> Decimal | None:
        return None if amount is None else EXACT.multiply(amount, Decimal(count))

    disputed = charge.disputed
    return replace(
        charge,
        instances=charge.instances * count,
        consumed_quantity=EXACT.multiply(charge.consumed_quantity, Decimal(count)),
        pricing_quantity=times(charge.pricing_quantity),
        list_cost=times(charge.list_cost),
        disputed=disputed and Dispute(disputed.basis, times(disputed.list_cost), disputed.reason),
    )

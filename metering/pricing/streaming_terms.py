"""How a streaming STT is billed, from the rates that hold for it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from ..stream_billing import StreamingTerms
from ..usage import NO_ATTRIBUTES
from .rate_card import Finding, NotBilled, Rate, RateCard

_CONNECTION = "stt_connection"
_AUDIO = "stt_audio"


def terms_on(
    card: RateCard, provider: str, model: str, *, day: date, plan: str, hosting: str
) -> StreamingTerms:
    """The terms of one model's streams on a day (UTC), by a rate card."""
    connection, audio = (
        card.look_up(meter, provider, model, NO_ATTRIBUTES, day, plan, hosting)
        for meter in (_CONNECTION, _AUDIO)
    )
    rates = (*connection.rates, *audio.rates)
    disputed = {rate.dispute.meter for rate in rates if rate.dispute}
    steps = [rate for rate in connection.rates if _costs(rate)]
    return StreamingTerms(
        bills_connection=_CONNECTION in disputed or _is_billed(connection, audio),
        bills_audio=_AUDIO in disputed or _is_billed(audio, connection),
        increment=_longest(rate.increment for rate in steps),
        minimum=_longest(rate.minimum for rate in steps),
    )


def _is_billed(finding: Finding, other: Finding) -> bool:
    """Where the card does not say, what the other meter's rate pays for is not paid twice."""
    if finding.rates:
        return any(map(_costs, finding.rates))
    return not isinstance(finding.unpriced, NotBilled) and not other.rates


def _costs(rate: Rate) -> bool:
    return rate.unit_price > 0 or any(tier.unit_price > 0 for tier in rate.tiers)


def _longest(steps: Iterable[Decimal | None]) -> float:
    return float(max((step for step in steps if step is not None), default=Decimal(0)))

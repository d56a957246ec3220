"""What it saved not to send silence: what was listened to, against what was sent.

An agent that opens a stream when somebody speaks reports how long it listened in all
(`stt_listening`). A stream that is always open would have been billed for that.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal

from .pricing.exact import EXACT, convert
from .record import RecordCharge, RecordSaving
from .units import unit

LISTENING = "stt_listening"
_BASES = ("stt_connection", "stt_audio")


def savings(charges: Iterable[RecordCharge]) -> list[RecordSaving]:
    """By provider, model and what may be billed; nothing for what was not listened to.

    The money is in seconds at the unit price, before any rounding up, and None where no price, or
    more than one, was charged for those seconds.
    """
    of_model: dict[tuple[str, str], list[RecordCharge]] = defaultdict(list)
    for charge in charges:
        if charge.meter in (LISTENING, *_BASES):
            of_model[charge.provider, charge.model].append(charge)
    return [
        _saving(provider, model, meter, listened, [one for one in used if one.meter == meter])
        for (provider, model), used in of_model.items()
        if (listened := _seconds(one for one in used if one.meter == LISTENING))
        for meter in _BASES
        if any(one.meter == meter for one in used)
    ]


def _saving(
    provider: str, model: str, meter: str, listened: Decimal, charges: list[RecordCharge]
) -> RecordSaving:
    # Add-ons are charged for the seconds of the rate that they are added to.
    measured = {frozenset(one.attributes.items()): one.consumed_quantity for one in charges}
    quantity = sum(measured.values(), Decimal(0))
    priced = [one for one in charges if one.state == "priced"]
    saved = None
    if priced and len(measured) == 1 and len({one.currency for one in priced}) == 1:
        difference = EXACT.subtract(listened, quantity)
        saved = sum((_at_price_of(one, difference) for one in priced), Decimal(0))
    return RecordSaving(
        provider=provider,
        model=model,
        meter=meter,
        listened=listened,
        quantity=quantity,
        unit="second",
        saved_cost=saved,
        currency=priced[0].currency if saved is not None else None,
    )


def _at_price_of(charge: RecordCharge, seconds: Decimal) -> Decimal:
    if charge.unit_price is None or charge.pricing_unit is None:
        return Decimal(0)
    quantity = convert(abs(seconds), unit(charge.pricing_unit).factor)
    return EXACT.multiply(quantity.copy_sign(seconds), charge.unit_price)


def _seconds(charges: Iterable[RecordCharge]) -> Decimal:
    return sum((one.consumed_quantity for one in charges), Decimal(0))

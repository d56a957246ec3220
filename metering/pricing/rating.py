"""Usage and a rate card in, charges out.

Pure: the same usage gives the same charges, in whatever order and however it is bundled, because
each instance is rounded up on its own and sums of exact decimals do not care about order. What has
no rate comes out as unrated, never as $0.
"""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal, DecimalException
from types import MappingProxyType

from ..errors import RateError
from ..usage import Certainty, Usage
from .charge_models import PER_JOB, ChargeModel
from .charges import Charge, ChargeState, Dispute
from .exact import EXACT, ZERO, billed_quantity
from .hosting import room_provider
from .parts import WORSE, Share, disjoint
from .rate_card import Finding, NotBilled, Rate, RateCard, tier_for

NEVER_REPORTED = "size never reported"
ONCE_A_JOB = "charged once a job, in another line"

_ONE = Decimal(1)

REQUEST_INPUT_METERS = frozenset(
    {
        "llm_input_tokens",
        "stt_input_tokens",
        "tts_input_tokens",
        "realtime_input_text_tokens",
        "realtime_input_audio_tokens",
        "realtime_input_image_tokens",
    }
)
"""Wholes whose sum decides at which tier a request is priced, cached tokens included."""


@dataclass(slots=True)
class _Line:
    """A charge in the making; quantities are added up here."""

    state: ChargeState
    reason: str
    rate: Rate | None
    unit: str
    instances: int = 0
    consumed: Decimal = ZERO
    pricing: Decimal = ZERO
    certainty: Certainty = Certainty.EXACT


_Key = tuple[str, str, str, tuple[tuple[str, str], ...], str, str, str]


@dataclass(slots=True)
class _Other:
    """What sources that disagree with a line's rate would bill."""

    pricing: Decimal = ZERO
    unknown: bool = False


@dataclass(slots=True)
class Rating:
    """The card under one plan and hosting, and the lines so far: usage goes in bit by bit.

    Raises:
        RateError: no such hosting.
    """

    card: RateCard
    plan: str
    hosting: str
    lines: dict[_Key, _Line] = field(default_factory=dict)
    others: dict[_Key, _Other] = field(default_factory=dict)

    def __post_init__(self) -> None:
        room_provider(self.hosting)

    def add(self, usages: Iterable[Usage]) -> None:
        """Rate some instances, each with all of its meters.

        Raises:
            RateError: quantities too far apart in size to be added exactly.
        """
        requests: dict[tuple[str, str, str], list[Usage]] = defaultdict(list)
        for usage in usages:
            requests[usage.instance_id, usage.provider, usage.model].append(usage)
        with _exactly():
            for request in requests.values():
                self._add_request(request)
                self._add_other_bases(request)

    def _add_request(self, usages: list[Usage]) -> None:
        """Rate what one request, connection or session reported, all of it together."""
        shares = []
        request_input: Decimal | None = None
        overlapping = False
        for usage in usages:
            share = self._share(usage)
            shares.append(share)
            meter = self.card.meters.get(usage.meter)
            if meter is not None and meter.part_of is not None:
                overlapping = len(usages) > 1
            if usage.meter in REQUEST_INPUT_METERS and not usage.unreported:
                request_input = EXACT.add(request_input or ZERO, share.quantity)
        if overlapping:
            shares = disjoint(shares, self.card.meters)
        for share in shares:
            self._add(share, request_input)

    def _share(self, usage: Usage) -> Share:
        finding = self.card.find(usage, self.plan, self.hosting)
        meter = self.card.meters.get(usage.meter)
        if meter is not None and usage.unit != meter.unit:
            finding = Finding(reason=f"measured in {usage.unit!r}, not in {meter.unit!r}")
        return Share(usage, finding, usage.quantity, usage.unit, usage.certainty)

    def _add(self, share: Share, request_input: Decimal | None) -> None:
        usage, finding = share.usage, share.finding
        if usage.unreported and not (isinstance(finding.unpriced, NotBilled) or _is_flat(finding)):
            self._add_unpriced(share, ChargeState.UNRATED, NEVER_REPORTED)
            return
        if share.contained_in:
            reason = f"counted in {share.contained_in}"
            self._add_unpriced(share, ChargeState.NOT_BILLED, reason)
            return
        if not finding.rates:
            billed = not isinstance(finding.unpriced, NotBilled)
            state = ChargeState.UNRATED if billed else ChargeState.NOT_BILLED
            self._add_unpriced(share, state, finding.reason)
            return
        for tiers in (finding.rates, *finding.add_ons):
            if len(tiers) > 1 and request_input is None:
                share.worsen(Certainty.ESTIMATED)
            rate = tier_for(tiers, request_input or ZERO)
            if rate is None:
                reason = f"no rate for {usage.meter} of a request of this size"
                self._add_unpriced(share, ChargeState.UNRATED, reason)
                continue
            line = self._line(share, ChargeState.PRICED, share.note, rate)
            line.pricing = EXACT.add(line.pricing, _billed(share.quantity, rate))

    def _add_unpriced(self, share: Share, state: ChargeState, reason: str) -> None:
        self._line(share, state, reason, None)

    def _line(self, share: Share, state: ChargeState, reason: str, rate: Rate | None) -> _Line:
        usage = share.usage
        key = _key(usage, state, reason, rate)
        line = self.lines.get(key)
        if line is None:
            line = _Line(state, reason, rate, share.unit)
            self.lines[key] = line
        line.instances += 1
        line.consumed = EXACT.add(line.consumed, share.quantity)
        if WORSE[share.certainty] > WORSE[line.certainty]:
            line.certainty = share.certainty
        return line

    def _add_other_bases(self, usages: Iterable[Usage]) -> None:
        """For disputed charges: what the other sources would bill, beside what we do."""
        for usage in usages:
            for billed_meter in self.card.disputed_by.get(usage.meter, ()):
                finding = self.card.look_up(
                    billed_meter,
                    usage.provider,
                    usage.model,
                    usage.attributes,
                    usage.started_at.astimezone(UTC).date(),
                    self.plan,
                    self.hosting,
                )
                for tiers in (finding.rates, *finding.add_ons):
                    rate = tier_for(tiers, ZERO)
                    if rate is None or rate.dispute is None or rate.dispute.meter != usage.meter:
                        continue
                    # Its line may come later, or never; then this is of no account.
                    key = _key(usage, ChargeState.PRICED, "", rate)
                    other = self.others.setdefault(key, _Other())
                    other.unknown = other.unknown or usage.unreported
                    other.pricing = EXACT.add(other.pricing, _billed(usage.quantity, rate))

    def charges(self, book: str) -> list[Charge]:
        """The lines as charges, sorted; what a feature adds comes after what it is added to.

        Raises:
            RateError: quantities and prices too far apart in size to be multiplied exactly.
        """

        def order(item: tuple[_Key, _Line]) -> tuple[object, ...]:
            key, line = item
            return (*key[:5], line.rate is not None and line.rate.add_on, *key[5:])

        lines = sorted(self.lines.items(), key=order)
        _charge_jobs_once(lines)
        with _exactly():
            return [_charge(book, key, line, self.others.get(key)) for key, line in lines]


@contextlib.contextmanager
def _exactly() -> Iterator[None]:
    try:
        yield
    except DecimalException as error:
        raise RateError(
            "quantities or prices differ so far in size that they cannot be added exactly; "
            "look for an absurd one in the usage or the rate file"
        ) from error


def rate(
    usages: Iterable[Usage], card: RateCard, *, hosting: str, plan: str, book: str = "cost"
) -> list[Charge]:
    """Rate usage.

    Args:
        usages: instances, each once; those of one request share their `instance_id`.
        card: the rates.
        hosting: self, cloud or cloud-agents; decides what LiveKit bills at all.
        plan: the id of the plan whose overage rates hold, or none.
        book: the name of the book of prices that the card is.

    Returns:
        Charges, sorted by meter, provider, model, attributes, state and rate.

    Raises:
        RateError: no such hosting, or quantities too far apart in size to be added exactly.
    """
    rating = Rating(card, plan, hosting)
    rating.add(usages)
    return rating.charges(book)


def _key(usage: Usage, state: ChargeState, reason: str, rate: Rate | None) -> _Key:
    attributes = tuple(sorted(usage.attributes.items()))
    rate_id = rate.rate_id if rate is not None else ""
    meter = rate.meter if rate is not None else usage.meter
    return (meter, usage.provider, usage.model, attributes, state, rate_id, reason)


def _is_flat(finding: Finding) -> bool:
    """Whether a price needs no size: then it is known even where that was never reported."""
    tiers = (finding.rates, *finding.add_ons)
    return bool(finding.rates) and all(
        rate.charge_model is ChargeModel.FLAT for rates in tiers for rate in rates
    )


def _charge_jobs_once(lines: Iterable[tuple[_Key, _Line]]) -> None:
    """A price per job falls due once, however many lines its rate has: in the first of them."""
    charged: set[str] = set()
    for _, line in lines:
        if line.rate is not None and line.rate.pricing_unit == PER_JOB:
            again = line.rate.rate_id in charged
            charged.add(line.rate.rate_id)
            line.pricing = ZERO if again else _ONE
            if again:
                line.reason = ONCE_A_JOB


def _billed(quantity: Decimal, rate: Rate) -> Decimal:
    if rate.charge_model is ChargeModel.FLAT:
        return _ONE
    return billed_quantity(quantity, rate.factor, rate.increment, rate.minimum)


def _charge(book: str, key: _Key, line: _Line, other: _Other | None) -> Charge:
    meter, provider, model, attributes = key[:4]
    rate = line.rate
    if rate is None:
        priced: dict[str, Decimal | None] = {}
    else:
        priced = {
            "pricing_quantity": line.pricing,
            "unit_price": rate.unit_price,
            "list_cost": EXACT.multiply(line.pricing, rate.unit_price),
        }
    return Charge(
        book=book,
        meter=meter,
        provider=provider,
        model=model,
        attributes=MappingProxyType(dict(attributes)),
        state=line.state,
        reason=line.reason,
        instances=line.instances,
        consumed_quantity=line.consumed,
        consumed_unit=line.unit,
        pricing_unit=rate.pricing_unit if rate is not None else None,
        currency=rate.currency if rate is not None else None,
        rate_id=rate.rate_id if rate is not None else None,
        certainty=line.certainty,
        disputed=_dispute(line, other),
        month_terms=rate.month_terms if rate is not None else None,
        **priced,
    )


def _dispute(line: _Line, other: _Other | None) -> Dispute | None:
    if line.rate is None or line.rate.dispute is None:
        return None
    dispute = line.rate.dispute
    quantity = line.pricing
    if dispute.meter:
        if other is None or other.unknown:
            return Dispute(dispute.basis, None, dispute.reason)
        quantity = other.pricing
    cost = None
    if dispute.price is not None:
        cost = EXACT.multiply(quantity, dispute.price)
    return Dispute(dispute.basis, cost, dispute.reason)

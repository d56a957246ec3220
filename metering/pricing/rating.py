"""Usage and a rate card in, charges out.

Pure: the same usage gives the same charges, in whatever order and however it is bundled, because
each instance is rounded up on its own and sums of exact decimals do not care about order. What has
no rate comes out as unrated, never as $0.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC
from decimal import Decimal, DecimalException
from types import MappingProxyType

from ..errors import RateError
from ..usage import Certainty, Usage
from .charge_models import PER_JOB, ChargeModel
from .charges import Charge, ChargeState, Dispute
from .exact import EXACT, ZERO
from .hosting import room_provider
from .line import ONE, Line, LineKey, Other, line_key
from .parts import Share, arrange, disjoint
from .rate_card import Finding, NotBilled, Rate, RateCard, tier_for
from .request_shape import Shape, ShapeKey, Step, is_regular, shape_key

NEVER_REPORTED = "size never reported"
_SHAPES_LIMIT = 10_000

ONCE_A_JOB = "charged once a job, in another line"

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
class Rating:
    """The card under one plan and hosting, and the lines so far: usage goes in bit by bit.

    Raises:
        RateError: no such hosting.
    """

    card: RateCard
    plan: str
    hosting: str
    lines: dict[LineKey, Line] = field(default_factory=dict)
    others: dict[LineKey, Other] = field(default_factory=dict)
    _shapes: dict[ShapeKey, Shape | None] = field(default_factory=dict)
    _seen_once: set[ShapeKey] = field(default_factory=set)

    def __post_init__(self) -> None:
        room_provider(self.hosting)

    def add(self, usages: Iterable[Usage]) -> None:
        """Rate some instances, each with all of its meters.

        Raises:
            RateError: quantities too far apart in size to be added exactly.
        """
        requests: dict[tuple[str, str, str], list[Usage]] = {}
        for usage in usages:
            key = (usage.instance_id, usage.provider, usage.model)
            if key in requests:
                requests[key].append(usage)
            else:
                requests[key] = [usage]
        with _exactly():
            for request in requests.values():
                shape = self._known_shape(request)
                if shape is None or not shape.add(request):
                    self._add_request(request)
                    self._add_other_bases(request)

    def _known_shape(self, request: Sequence[Usage]) -> Shape | None:
        key = shape_key(request)
        if key not in self._shapes:
            # To find it takes longer than to rate a request: it pays from the second on.
            seen_before = key in self._seen_once
            self._seen_once.add(key)
            if not seen_before:
                return None
            if len(self._shapes) >= _SHAPES_LIMIT:
                self._shapes.clear()
                self._seen_once.clear()
            self._shapes[key] = self._shape(request)
        return self._shapes[key]

    def _shape(self, usages: Sequence[Usage]) -> Shape | None:
        """What becomes of every request like this one; None where its quantities decide that."""
        shares = [self._share(usage) for usage in usages]
        if not is_regular(shares):
            return None
        steps = []
        for share, wholes in arrange(shares, self.card.meters):
            rate = share.finding.rates[0] if share.finding.rates else None
            state, reason = self._standing(share)
            steps.append(
                Step(
                    shares.index(share),
                    shares.index(wholes[0]) if wholes else None,
                    self._line(share, state, reason, rate if state is ChargeState.PRICED else None),
                    tuple(self._other_bases(share.usage)),
                )
            )
        return Shape(tuple(steps))

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
        finding = share.finding
        state, reason = self._standing(share)
        if state is not ChargeState.PRICED:
            self._take(share, state, reason, None)
            return
        for tiers in (finding.rates, *finding.add_ons):
            if len(tiers) > 1 and request_input is None:
                share.worsen(Certainty.ESTIMATED)
            rate = tier_for(tiers, request_input or ZERO)
            if rate is None:
                reason = f"no rate for {share.usage.meter} of a request of this size"
                self._take(share, ChargeState.UNRATED, reason, None)
                continue
            self._take(share, ChargeState.PRICED, share.note, rate)
        for feature in finding.unpriced_add_ons:
            self._take(share, ChargeState.UNRATED, feature.reason, None)

    def _standing(self, share: Share) -> tuple[ChargeState, str]:
        """Whether a share has a price, and if not, why."""
        finding = share.finding
        if share.usage.unreported and not (
            isinstance(finding.unpriced, NotBilled) or _is_flat(finding)
        ):
            return ChargeState.UNRATED, NEVER_REPORTED
        if share.contained_in:
            return ChargeState.NOT_BILLED, f"counted in {share.contained_in}"
        if finding.rates:
            return ChargeState.PRICED, ""
        billed = not isinstance(finding.unpriced, NotBilled)
        return ChargeState.UNRATED if billed else ChargeState.NOT_BILLED, finding.reason

    def _take(self, share: Share, state: ChargeState, reason: str, rate: Rate | None) -> None:
        self._line(share, state, reason, rate).take(share.quantity, share.certainty)

    def _line(self, share: Share, state: ChargeState, reason: str, rate: Rate | None) -> Line:
        key = line_key(share.usage, state, reason, rate)
        line = self.lines.get(key)
        if line is None:
            line = self.lines[key] = Line(state, reason, rate, share.unit)
        return line

    def _add_other_bases(self, usages: Iterable[Usage]) -> None:
        for usage in usages:
            for other, rate in self._other_bases(usage):
                other.take(usage, rate)

    def _other_bases(self, usage: Usage) -> Iterator[tuple[Other, Rate]]:
        """For disputed charges: where the other sources would bill a usage, beside what we do."""
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
                key = line_key(usage, ChargeState.PRICED, "", rate)
                yield self.others.setdefault(key, Other()), rate

    def charges(self, book: str) -> list[Charge]:
        """The lines as charges, sorted; what a feature adds comes after what it is added to.

        Raises:
            RateError: quantities and prices too far apart in size to be multiplied exactly.
        """

        def order(item: tuple[LineKey, Line]) -> tuple[object, ...]:
            key, line = item
            return (*key[:5], line.rate is not None and line.rate.add_on, *key[5:])

        # A line can have been made for a shape that its first request turned out not to have.
        taken = (item for item in self.lines.items() if item[1].instances)
        lines = sorted(taken, key=order)
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


def _is_flat(finding: Finding) -> bool:
    """Whether a price needs no size: then it is known even where that was never reported."""
    tiers = (finding.rates, *finding.add_ons)
    return bool(finding.rates) and all(
        rate.charge_model is ChargeModel.FLAT for rates in tiers for rate in rates
    )


def _charge_jobs_once(lines: Iterable[tuple[LineKey, Line]]) -> None:
    """A price per job falls due once, however many lines its rate has: in the first of them."""
    charged: set[str] = set()
    for _, line in lines:
        if line.rate is not None and line.rate.pricing_unit == PER_JOB:
            again = line.rate.rate_id in charged
            charged.add(line.rate.rate_id)
            line.pricing = ZERO if again else ONE
            if again:
                line.reason = ONCE_A_JOB


def _charge(book: str, key: LineKey, line: Line, other: Other | None) -> Charge:
    meter, provider, model, attributes = key[:4]
    rate = line.rate
    if rate is None:
        priced: dict[str, Decimal | None] = {}
    else:
        priced = {
            "pricing_quantity": line.pricing_quantity(),
            "unit_price": rate.unit_price,
            "list_cost": EXACT.multiply(line.pricing_quantity(), rate.unit_price),
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


def _dispute(line: Line, other: Other | None) -> Dispute | None:
    if line.rate is None or line.rate.dispute is None:
        return None
    dispute = line.rate.dispute
    quantity = line.pricing_quantity()
    if dispute.meter:
        if other is None or other.unknown:
            return Dispute(dispute.basis, None, dispute.reason)
        quantity = other.pricing
    cost = None
    if dispute.price is not None:
        cost = EXACT.multiply(quantity, dispute.price)
    return Dispute(dispute.basis, cost, dispute.reason)

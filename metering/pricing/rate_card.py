"""What each meter costs, and which entry holds for one usage.

A rate is never overwritten: a new price is a new entry with a date, and usage is rated at the
price of the day it started (UTC). Where several entries fit, the most specific one holds; where
two fit equally well none does, because a guess between prices is a wrong bill.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date
from decimal import Decimal
from types import MappingProxyType

from ..units import unit
from ..usage import NO_ATTRIBUTES, Meter, Usage, core_meters
from .card_version import card_version
from .charge_models import ChargeModel, MonthTerms, Package, Tier
from .exact import ZERO, convert_exactly
from .model_match import PricedModel, resolve

_CACHE_LIMIT = 50_000

_OF_THE_MONTH = (ChargeModel.GRADUATED, ChargeModel.VOLUME, ChargeModel.PACKAGE)


@dataclass(frozen=True, slots=True)
class Disagreement:
    """Sources disagree about a rate; both amounts are to be shown.

    `basis` names the other reading. Under it `meter` is billed at `price` per pricing unit of the
    rate; an empty `meter` is the rate's own. Without a price only `reason` is known.
    """

    reason: str
    basis: str = ""
    meter: str = ""
    price: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What rates and statements about unpriced meters have in common: the usage they hold for.

    An empty `model` is any model; `attributes` must all be on the usage; `plan` and `hosting`
    restrict the entry where they are given. The period is half open, in UTC dates; None is
    unbounded. `layer` 0 is the shipped catalog, 1 the owner's file. `checked` is the day that
    somebody last read `source`. `place` says where the entry was read, for error messages.

    An `add_on` is about a feature: it holds beside the rate that fits, in a line of its own, unless
    that rate's own attributes name the feature, so that its price has it in it.
    """

    provider: str
    meter: str
    model: str = ""
    attributes: Mapping[str, str] = field(default_factory=lambda: NO_ATTRIBUTES)
    plan: str | None = None
    hosting: str | None = None
    effective_from: date | None = None
    effective_until: date | None = None
    source: str = ""
    checked: date | None = None
    layer: int = 0
    snapshot: str = ""
    add_on: bool = False
    place: str = field(default="", compare=False)

    def holds_on(self, day: date) -> bool:
        """Whether `day` is in the entry's period."""
        return (self.effective_from is None or self.effective_from <= day) and (
            self.effective_until is None or day < self.effective_until
        )

    @property
    def scope(self) -> tuple[object, ...]:
        """What it holds for, apart from the period: equal scopes must not overlap in time."""
        attributes = tuple(sorted(self.attributes.items()))
        return (
            self.layer,
            self.provider,
            self.model,
            self.meter,
            attributes,
            self.plan,
            self.hosting,
        )

    def _id_parts(self) -> list[str]:
        parts = [self.provider, self.model or "*", self.meter]
        parts += [f"{name}={value}" for name, value in sorted(self.attributes.items())]
        if self.plan is not None:
            parts.append(f"plan={self.plan}")
        if self.hosting is not None:
            parts.append(f"hosting={self.hosting}")
        return parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate(Entry):
    """A price per `pricing_unit` of a meter, or prices by `charge_model`.

    Of tiered prices `unit_price` is the first tier's. `included` units (in `pricing_unit`) are free
    each month; what they, tiers and packages make of a month is in `month_terms`. A package is one
    pricing unit, unless it is given.

    `increment` and `minimum` are in the meter's base unit. `basis` says what is counted (audio,
    connection, session, request). A rate with `request_input_over` holds for the whole of a
    request that had more input tokens than that.
    """

    unit_price: Decimal
    pricing_unit: str
    increment: Decimal | None = None
    minimum: Decimal | None = None
    currency: str = "USD"
    basis: str = ""
    dispute: Disagreement | None = None
    request_input_over: int | None = None
    charge_model: ChargeModel = ChargeModel.UNIT
    tiers: tuple[Tier, ...] = ()
    included: Decimal = ZERO
    package: Package | None = None
    month_terms: MonthTerms | None = field(init=False, default=None, compare=False)
    rate_id: str = field(init=False, default="", compare=False)
    factor: Decimal = field(init=False, default=Decimal(1), compare=False)
    proportional: bool = field(init=False, default=False, compare=False)
    """Whether several instances are billed as one of their sum is: nothing is rounded."""

    def __post_init__(self) -> None:
        parts = self._id_parts()
        if self.add_on:
            parts.append("add-on")
        if self.request_input_over is not None:
            parts.append(f"over={self.request_input_over}")
        prefix = "owner:" if self.layer else ""
        if self.charge_model is ChargeModel.PACKAGE and self.package is None:
            object.__setattr__(self, "package", Package(Decimal(1), self.unit_price))
        if self.included or self.charge_model in _OF_THE_MONTH:
            pool = f"{prefix}{'/'.join(parts)} per {self.pricing_unit}"
            terms = MonthTerms(pool, self.charge_model, self.included, self.tiers, self.package)
            object.__setattr__(self, "month_terms", terms)
        if self.effective_from is not None:
            parts.append(self.effective_from.isoformat())
        suffix = f"@{self.snapshot}" if self.snapshot else ""
        object.__setattr__(self, "rate_id", prefix + "/".join(parts) + suffix)
        factor = unit(self.pricing_unit).factor
        object.__setattr__(self, "factor", factor)
        proportional = (
            self.increment is None
            and self.minimum is None
            and self.charge_model is not ChargeModel.FLAT
            and convert_exactly(factor)
        )
        object.__setattr__(self, "proportional", proportional)

    @property
    def disputed(self) -> bool:
        """Whether sources disagree about this rate."""
        return self.dispute is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotBilled(Entry):
    """A meter that the provider does not bill, and why: something else is billed in its place."""

    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NoPrice(Entry):
    """A meter known to have no price, and why; its usage is unrated with that reason, never $0."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a card says about one usage.

    `rates` are the tiers of the rate that fits, the highest threshold first; empty where `unpriced`
    or `reason` says why there is none. `add_ons` are what features cost beside it, and
    `unpriced_add_ons` features that cost something which nobody here knows.
    """

    rates: tuple[Rate, ...] = ()
    add_ons: tuple[tuple[Rate, ...], ...] = ()
    unpriced_add_ons: tuple[NoPrice, ...] = ()
    unpriced: NotBilled | NoPrice | None = None
    reason: str = ""

    @property
    def settled(self) -> bool:
        """Whether the card says what becomes of the usage: priced, or not billed."""
        return bool(self.rates) or isinstance(self.unpriced, NotBilled)


def tier_for(tiers: tuple[Rate, ...], request_input: Decimal) -> Rate | None:
    """The tier of a request by its input tokens, all of them: a request is priced at one tier.

    The threshold itself still belongs to the tier below (genai-prices, `calc_unit_price`).
    """
    for rate in tiers:
        if rate.request_input_over is None or request_input > rate.request_input_over:
            return rate
    return None


@dataclass(frozen=True)
class RateCard:
    """A set of rates, and a version that changes whenever any of them does.

    `version` is the day the newest entry was checked and a digest of the whole content, so equal
    versions mean equal prices.
    """

    rates: tuple[Rate, ...] = ()
    unpriced: tuple[NotBilled | NoPrice, ...] = ()
    models: tuple[PricedModel, ...] = ()
    extra_meters: InitVar[Iterable[Meter]] = ()
    meters: Mapping[str, Meter] = field(init=False, repr=False)
    version: str = field(init=False)
    disputed_by: Mapping[str, tuple[str, ...]] = field(init=False, repr=False, compare=False)
    """For a meter that some dispute would bill instead: the meters whose rates say so."""
    _index: Mapping[tuple[str, str], tuple[Entry, ...]] = field(
        init=False, repr=False, compare=False
    )
    _findings: dict[tuple[object, ...], Finding] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )
    _resolved: dict[tuple[str, str], str | None] = field(
        init=False, repr=False, compare=False, default_factory=dict
    )

    def __post_init__(self, extra_meters: Iterable[Meter]) -> None:
        added = {meter.name: meter for meter in extra_meters}
        index: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        entries: tuple[Entry, ...] = (*self.rates, *self.unpriced)
        for entry in entries:
            index[entry.provider, entry.meter].append(entry)
        disputed_by: dict[str, set[str]] = defaultdict(set)
        for rate in self.rates:
            if rate.dispute is not None and rate.dispute.meter:
                disputed_by[rate.dispute.meter].add(rate.meter)
        for name, value in (
            ("meters", MappingProxyType({**core_meters(), **added})),
            ("version", card_version(entries, self.models, added.values())),
            ("_index", {key: tuple(found) for key, found in index.items()}),
            ("disputed_by", {key: tuple(sorted(by)) for key, by in disputed_by.items()}),
        ):
            object.__setattr__(self, name, value)

    @property
    def not_billed(self) -> tuple[NotBilled, ...]:
        """The entries that say what a provider does not bill."""
        return tuple(entry for entry in self.unpriced if isinstance(entry, NotBilled))

    def find(self, usage: Usage, plan: str, hosting: str) -> Finding:
        """What the card says about one usage under a plan and a hosting.

        From the most to the least specific: an entry for this hosting; the owner's file before the
        catalog; the model's exact name, then the model it resolves to, then any; more matching
        attributes; an entry for this plan. A hosting comes first because it changes what is billed
        at all, whatever its price.
        """
        return self.look_up(
            usage.meter,
            usage.provider,
            usage.model,
            usage.attributes,
            usage.started_at.astimezone(UTC).date(),
            plan,
            hosting,
        )

    def look_up(
        self,
        meter: str,
        provider: str,
        model: str,
        attributes: Mapping[str, str],
        day: date,
        plan: str,
        hosting: str,
    ) -> Finding:
        """`find`, for a usage given by its parts; `day` is its start's date in UTC."""
        key = (meter, provider, model, frozenset(attributes.items()), day, plan, hosting)
        finding = self._findings.get(key)
        if finding is None:
            finding = self._look_up(meter, provider, model, attributes, day, plan, hosting)
            if len(self._findings) >= _CACHE_LIMIT:
                self._findings.clear()
            self._findings[key] = finding
        return finding

    def _look_up(
        self,
        meter: str,
        provider: str,
        model: str,
        attributes: Mapping[str, str],
        day: date,
        plan: str,
        hosting: str,
    ) -> Finding:
        what = " ".join(part for part in (provider, model, meter) if part)
        if meter not in self.meters:
            return Finding(reason=f"no meter is called {meter!r}")
        if reason := self.meters[meter].not_billed:
            return Finding(unpriced=NotBilled(provider=provider, meter=meter, reason=reason))
        resolved = self._resolve(provider, model)
        levels = {"": 0, model.lower(): 2}
        if resolved is not None:
            levels.setdefault(resolved, 1)
        fitting = [
            entry
            for entry in self._index.get((provider, meter), ())
            if entry.model in levels
            and (entry.hosting is None or entry.hosting == hosting)
            and entry.attributes.items() <= attributes.items()
        ]
        on_plan = [entry for entry in fitting if entry.plan is None or entry.plan == plan]
        valid = [entry for entry in on_plan if entry.holds_on(day)]

        def rank(entry: Entry) -> tuple[int, ...]:
            return (
                entry.hosting is not None,
                entry.layer,
                levels[entry.model],
                len(entry.attributes),
                entry.plan is not None,
            )

        base = [entry for entry in valid if not entry.add_on]
        if not base:
            return Finding(reason=_why_none(what, fitting, on_plan, day, plan))
        best = max(map(rank, base))
        top = sorted(
            (entry for entry in base if rank(entry) == best),
            key=lambda entry: ("/".join(entry._id_parts()), type(entry).__name__),
        )
        if len({entry.scope for entry in top}) > 1 or len({type(entry) for entry in top}) > 1:
            names = " and ".join("/".join(entry._id_parts()) for entry in (top[0], top[-1]))
            return Finding(reason=f"{names} fit equally; add an entry with the attributes of both")
        if isinstance(top[0], (NotBilled, NoPrice)):
            return Finding(unpriced=top[0], reason=top[0].reason)
        features: dict[tuple[tuple[str, str], ...], list[Entry]] = defaultdict(list)
        for entry in valid:
            if entry.add_on and not entry.attributes.items() <= top[0].attributes.items():
                features[tuple(sorted(entry.attributes.items()))].append(entry)
        add_ons, unpriced = [], []
        for _, found in sorted(features.items()):
            best = max(map(rank, found))
            of_feature = [entry for entry in found if rank(entry) == best]
            if priced := _tiers(entry for entry in of_feature if isinstance(entry, Rate)):
                add_ons.append(priced)
            unpriced += [entry for entry in of_feature if isinstance(entry, NoPrice)]
        return Finding(
            rates=_tiers(rate for rate in top if isinstance(rate, Rate)),
            add_ons=tuple(add_ons),
            unpriced_add_ons=tuple(unpriced),
        )

    def _resolve(self, provider: str, model: str) -> str | None:
        key = (provider, model)
        if key not in self._resolved:
            if len(self._resolved) >= _CACHE_LIMIT:
                self._resolved.clear()
            self._resolved[key] = resolve(self.models, provider, model)
        return self._resolved[key]


def _tiers(rates: Iterable[Rate]) -> tuple[Rate, ...]:
    def threshold(rate: Rate) -> int:
        return -1 if rate.request_input_over is None else rate.request_input_over

    return tuple(sorted(rates, key=threshold, reverse=True))


def _why_none(what: str, fitting: list[Entry], on_plan: list[Entry], day: date, plan: str) -> str:
    starts = [entry.effective_from for entry in on_plan if entry.effective_from is not None]
    later = [start for start in starts if start > day]
    if later:
        return f"no rate for {what} before {min(later)}"
    ends = [entry.effective_until for entry in on_plan if entry.effective_until is not None]
    if ends:
        return f"no rate for {what} since {max(ends)}"
    if fitting and not on_plan:
        return f"no rate for {what} on plan {plan!r}"
    return f"no rate for {what}"

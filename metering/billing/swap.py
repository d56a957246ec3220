"""A month's usage as if it had been bought from another provider or model.

What was measured is carried over as it is: seconds, tokens, characters. What the other one bills
may be a part of an instance that was not measured; that is said, and where it cannot be derived the
usage is unrated, never $0 for being billed in something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple

from ..errors import RateError
from ..pricing.exact import EXACT, ZERO
from ..pricing.hosting import ROOM_METERS
from ..pricing.rate_card import Finding, NoPrice, NotBilled, RateCard
from ..usage import Certainty, Usage, core_meters

_STT_TIME = ("stt_connection", "stt_audio")
_BASES = (_STT_TIME, ("tts_characters", "tts_audio"))
"""Meters of one instance of which a provider bills one or the other."""

_UNMEASURED: Mapping[str, str] = MappingProxyType({"swap": "unmeasured"})

FEATURES = (
    "paid features and languages are carried over by name, and priced where the other's rates know"
    " them"
)
TOKENS = (
    "tokens are carried over as they are, cached ones included: tokenizers, and how much an answer"
    " says, differ from model to model"
)
CHARACTERS = "characters are carried over as they are"
SECONDS = (
    "seconds of audio and of connection are carried over as they are: when plugins open and close"
    " their connections differs"
)
AUDIO_FOR_CONNECTION = (
    "where no connection was measured it is taken to be as long as its audio: at least"
)
CONNECTION_FOR_AUDIO = (
    "where no audio was measured it is taken to be as long as its connection: at most"
)

Model = tuple[str, str]
"""Provider and model."""


class Swap(NamedTuple):
    """Buy what was bought from the one from the other."""

    source: Model
    target: Model


def parse_swap(text: str) -> Swap:
    """SOURCE=TARGET, each as provider/model.

    Raises:
        RateError: it is not written so, or both are the same.
    """
    source, equals, target = text.partition("=")
    sides = [_model(side) for side in (source, target)]
    if not equals or "=" in target or not all(all(side) for side in sides):
        raise RateError(
            f"swap {text!r} must be PROVIDER/MODEL=PROVIDER/MODEL, as"
            " deepgram/nova-3=assemblyai/universal-streaming"
        )
    if sides[0] == sides[1]:
        raise RateError(f"swap {text!r} is of a model for itself; name another one")
    return Swap(*sides)


def _model(text: str) -> Model:
    provider, _, model = text.strip().lower().partition("/")
    return provider.strip(), model.strip()


@dataclass(slots=True)
class Swapped:
    """What was swapped so far: instances and quantities by meter, and what had to be assumed."""

    instances: int = 0
    quantities: dict[str, Decimal] = field(default_factory=dict)
    assumptions: set[str] = field(default_factory=set)


class Swapping:
    """Swaps a month's usage, job by job.

    Args:
        swaps: none of them of the same source as another.
        card: the rates, which say what the target bills.

    Raises:
        RateError: two swaps of one source.
    """

    def __init__(self, swaps: Sequence[Swap], card: RateCard) -> None:
        twice = [one for one, count in Counter(swap.source for swap in swaps).items() if count > 1]
        if twice:
            raise RateError(f"{_name(twice[0])} is swapped twice; name each source once")
        self._targets = {swap.source: swap.target for swap in swaps}
        self._card = card
        self.swapped = {swap: Swapped() for swap in swaps}
        self.models: set[Model] = set()

    def swap(self, usages: Iterable[Usage]) -> list[Usage]:
        """A job's usage with the swaps in it; what they do not name stays as it is."""
        after: list[Usage] = []
        moved: dict[tuple[str, Model], list[Usage]] = {}
        for usage in usages:
            source = usage.provider, usage.model.lower()
            if usage.model:
                self.models.add(source)
            if source in self._targets:
                moved.setdefault((usage.instance_id, source), []).append(usage)
            else:
                after.append(usage)
        for (_, source), instance in moved.items():
            after += self._instance(Swap(source, self._targets[source]), instance)
        return after

    def unused(self) -> list[Swap]:
        """Swaps of something that was not used."""
        return [swap for swap, swapped in self.swapped.items() if not swapped.instances]

    def assumptions(self) -> list[str]:
        """What was assumed, in the same order always."""
        said = set().union(*(one.assumptions for one in self.swapped.values()))
        return sorted(said)

    def _instance(self, swap: Swap, usages: list[Usage]) -> list[Usage]:
        swapped = self.swapped[swap]
        swapped.instances += 1
        provider, model = swap.target
        after = []
        for usage in usages:
            so_far = swapped.quantities.get(usage.meter, ZERO)
            swapped.quantities[usage.meter] = EXACT.add(so_far, usage.quantity)
            swapped.assumptions |= _assumed(usage)
            after.append(replace(usage, provider=provider, model=model, provider_stated=None))
        after = self._without_other_bases([*after, *self._derived(swapped, after)])
        if all(isinstance(self._find(usage).unpriced, NotBilled) for usage in after):
            attributes = MappingProxyType({**after[0].attributes, **_UNMEASURED})
            after[0] = replace(after[0], attributes=attributes)
        return after

    def _derived(self, swapped: Swapped, usages: list[Usage]) -> list[Usage]:
        """The one of an STT's two times that the target bills, from the other that was measured."""
        measured = [usage for usage in usages if usage.meter in _STT_TIME]
        if len(measured) != 1:
            return []
        [known] = measured
        connection = known.meter == "stt_audio"
        upper = known.quantity if known.quantity_upper is None else known.quantity_upper
        derived = replace(
            known,
            meter="stt_connection" if connection else "stt_audio",
            certainty=Certainty.ESTIMATED,
            # An estimate without an upper bound is one whose size nobody knows.
            quantity_upper=None if known.unreported else upper,
        )
        billed, instead = self._find(known), self._find(derived)
        not_this = isinstance(billed.unpriced, NotBilled)
        that = not isinstance(instead.unpriced, NotBilled)
        if billed.rates or not (instead.rates or (not_this and that)):
            return []
        swapped.assumptions.add(AUDIO_FOR_CONNECTION if connection else CONNECTION_FOR_AUDIO)
        return [derived]

    def _without_other_bases(self, usages: list[Usage]) -> list[Usage]:
        """Where the target has a price for one basis and says nothing of the other, without that.

        The other is unrated for nobody but us, who measured it.
        """
        dropped = set()
        for bases in _BASES:
            findings = {usage.meter: self._find(usage) for usage in usages if usage.meter in bases}
            if any(found.rates for found in findings.values()):
                dropped |= {meter for meter, found in findings.items() if not found.settled}
        return [usage for usage in usages if usage.meter not in dropped]

    def _find(self, usage: Usage) -> Finding:
        # Models are priced alike on every plan and hosting, unless an owner's file says otherwise.
        return self._card.find(usage, "", "")


def _assumed(usage: Usage) -> set[str]:
    said = {TOKENS} if usage.unit == "token" else set()
    said |= {CHARACTERS} if usage.unit == "character" else set()
    said |= {SECONDS} if usage.meter in _STT_TIME else set()
    return said | ({FEATURES} if usage.attributes else set())


def with_unmeasured(card: RateCard, swaps: Iterable[Swap]) -> RateCard:
    """The card, on which a swapped instance is unrated if nothing measured of it is billed.

    Its provider bills something else, in a quantity that nobody has measured.
    """
    unrated = [
        NoPrice(
            provider=provider,
            model=model,
            meter=meter,
            attributes=_UNMEASURED,
            layer=2,
            reason=f"{provider}/{model} bills something else, which was not measured",
        )
        for provider, model in sorted({swap.target for swap in swaps})
        for meter in sorted(core_meters().keys() - ROOM_METERS)
    ]
    extra = [meter for name, meter in card.meters.items() if name not in core_meters()]
    return RateCard(card.rates, (*card.unpriced, *unrated), card.models, extra)


def _name(model: Model) -> str:
    return "/".join(model)


def not_used(swaps: Iterable[Swap], used: Iterable[Model], period: str) -> RateError:
    """The error for swaps of something that a month has none of."""
    named = ", ".join(_name(swap.source) for swap in swaps)
    there = ", ".join(sorted(map(_name, used)))
    return RateError(
        f"nothing of {named} was used in {period}; there is " + (there or "no model at all")
    )

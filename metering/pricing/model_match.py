"""Which names a priced model goes by.

Providers accept many names for one price (`gpt-4.1-mini-2025-04-14`), so a model carries patterns.
They mean what they mean in genai-prices, whose data they come from: case does not matter, the
first model in order that fits is the model, and a compact date (`-20251211`) is tried again as a
dashed one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date

_COMPACT_DATE = re.compile(r"-(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")

TESTS: Mapping[str, Callable[[str, str], bool]] = {
    "equals": lambda text, pattern: text == pattern.lower(),
    "starts_with": lambda text, pattern: text.startswith(pattern.lower()),
    "ends_with": lambda text, pattern: text.endswith(pattern.lower()),
    "contains": lambda text, pattern: pattern.lower() in text,
    "regex": lambda text, pattern: re.search(pattern, text) is not None,
}
"""What a pattern can ask of a lowercase name."""


@dataclass(frozen=True, slots=True)
class PricedModel:
    """A model of a provider and the names that mean it.

    `match` is a list of alternatives; within one, every test must hold.
    """

    provider: str
    model: str
    match: tuple[tuple[tuple[str, str], ...], ...]

    def fits(self, name: str) -> bool:
        """Whether this lowercase name means this model."""
        return any(
            all(TESTS[test](name, pattern) for test, pattern in alternative)
            for alternative in self.match
        )


def resolve(models: Iterable[PricedModel], provider: str, name: str) -> str | None:
    """The priced model that a provider's name for one means, or None.

    `openai/gpt-4.1-mini` of the provider `openai` is its `gpt-4.1-mini`; of any other provider it
    is not, for a reseller has prices of its own.
    """
    candidates = [model for model in models if model.provider == provider]
    text = name.lower()
    for attempt in (text, _dashed_date(text), text.removeprefix(f"{provider}/")):
        for model in candidates:
            if model.fits(attempt):
                return model.model
    return None


def _dashed_date(text: str) -> str:
    def dashed(found: re.Match[str]) -> str:
        year, month, day = found.groups()
        try:
            date(int(year), int(month), int(day))
        except ValueError:
            return found.group(0)
        return f"-{year}-{month}-{day}"

    return _COMPACT_DATE.sub(dashed, text)

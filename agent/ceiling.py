"""What an LLM may cost in one meeting, held before each request rather than found out after.

Prices stay out of a job: a worker reads them at its start and hands them on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Literal

from metering import RequestPrices, RequestTokens

from .asking import LanguageModel
from .errors import SettingsError
from .language_models import llm_prices
from .settings import AgentSettings

CeilingSetting = Literal["notes_max_cost", "answers_max_cost"]
"""The field of the settings that a ceiling is in."""


class Ceiling:
    """A limit in the rate card's currency.

    `used` is what the meter has seen, at most. A request that it does not see, because it came to
    nothing and only the plugin would report it, is to be told by `lost`.
    """

    def __init__(
        self,
        limit: Decimal,
        prices: RequestPrices,
        used: Callable[[], Sequence[RequestTokens]],
    ) -> None:
        self._limit = limit
        self._prices = prices
        self._used = used
        self._unseen: list[RequestTokens] = []

    def allows(self, most: RequestTokens) -> bool:
        """Whether all stays within the limit even if a request uses the most that it can."""
        return self._prices.at_most(*self._used(), *self._unseen, most) <= self._limit

    def lost(self, most: RequestTokens) -> None:
        """A request that may have been billed, and that no meter has seen."""
        self._unseen.append(most)

    @property
    def reason(self) -> str:
        """Why there is no more."""
        return f"another request could cost more than {self._limit} {self._prices.currency}"


def ceiling_prices(settings: AgentSettings, setting: CeilingSetting) -> RequestPrices | None:
    """What the LLM's tokens cost at most; None where that ceiling is not set, or there is no LLM.

    For a worker's start: it reads the rate card.

    Raises:
        SettingsError: the ceiling is set, and the LLM has no price per token that it could be kept
            by.
        MeteringError: the rates cannot be read.
    """
    limit = _limit(settings, setting)
    if limit is None or settings.llm_choice is None:
        return None
    prices = llm_prices(settings)
    if prices is None:
        raise SettingsError(
            f"{_variable(setting)}={limit} cannot be kept: {settings.llm} has no price per"
            " token; put one into TALLYROOM_RATES, or leave the ceiling out"
        )
    return prices


def ceiling_of(
    settings: AgentSettings,
    setting: CeilingSetting,
    model: LanguageModel,
    prices: RequestPrices | None,
) -> Ceiling | None:
    """The ceiling that is set for what `model` is used for.

    Raises:
        SettingsError: one is set, and there are no prices to keep it by.
    """
    limit = _limit(settings, setting)
    if limit is None:
        return None
    if prices is None:
        raise SettingsError(
            f"{_variable(setting)}={limit} cannot be kept: the LLM's prices are not known"
        )
    return Ceiling(limit, prices, model.used)


def _limit(settings: AgentSettings, setting: CeilingSetting) -> Decimal | None:
    limit: Decimal | None = getattr(settings, setting)
    return limit


def _variable(setting: CeilingSetting) -> str:
    return f"TALLYROOM_{setting.upper()}"

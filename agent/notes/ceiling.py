"""What the notes of one meeting may cost, held before each request rather than found out after."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal

from metering import RequestPrices, RequestTokens


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

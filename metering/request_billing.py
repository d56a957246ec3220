"""What an agent may know of what its LLM requests cost, so that it stops before a ceiling.

A job holds it, so it is light; the worker reads it from the rate card when it starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class RequestTokens:
    """The most tokens that one request has, or can have, used; wholes, with all their parts."""

    input: int
    output: int


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """A price per token in requests of more input tokens than `over`."""

    over: int
    price: Decimal


@dataclass(frozen=True, slots=True)
class RequestPrices:
    """The highest prices per token that a model's requests can have, in `currency`.

    Where a part of a whole (cached, cache-writing, reasoning) costs more than the rest of it, all
    of it is taken to be that part.
    """

    currency: str
    input: tuple[TokenPrice, ...]
    output: tuple[TokenPrice, ...]

    def at_most(self, *requests: RequestTokens) -> Decimal:
        """What requests cost at most, together, in `currency`; exact."""
        return sum(
            (
                _reached(self.input, one.input) * one.input
                + _reached(self.output, one.input) * one.output
                for one in requests
            ),
            Decimal(0),
        )


def _reached(prices: Iterable[TokenPrice], input_tokens: int) -> Decimal:
    """The dearest of the tiers that a request of this size can be in."""
    return max(one.price for one in prices if one.over < max(1, input_tokens))

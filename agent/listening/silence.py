"""What becomes of an STT stream while nobody speaks, by what its provider bills.

Where a connection's life is billed it is closed; where only audio is, none is sent and the socket
stays, so that the next words need no handshake. Where it is disputed which of them is billed,
closing costs the least under both readings.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from metering import StreamingTerms

HOLD_SECONDS = 1.0
"""How long a connection outlives speech. A new one costs a handshake and half of an increment,
about as much as a second of silence: waiting longer than that is dearer than opening again."""

_BEFORE_THE_STEP_SECONDS = 0.25
"""A close takes a moment to reach the provider."""


@dataclass(frozen=True, slots=True)
class SilencePolicy:
    """When to close a stream that nobody speaks into.

    `increment` and `minimum` are seconds that each connection is billed in. `tail_seconds` is the
    silence that is sent after speech.
    """

    closes: bool
    increment: float = 0.0
    minimum: float = 0.0
    hold_seconds: float = HOLD_SECONDS
    tail_seconds: float = 0.5

    @classmethod
    def for_terms(cls, terms: StreamingTerms) -> SilencePolicy:
        """The cheapest, under every reading of what is billed."""
        if not terms.bills_connection:
            # Silence that costs nothing helps a provider to find the end of a sentence.
            return cls(closes=False, tail_seconds=0.5 if terms.bills_audio else 1.0)
        hold = max(HOLD_SECONDS, terms.increment / 2)
        return cls(True, terms.increment, terms.minimum, hold)

    def close_after(self, age: float) -> float | None:
        """How long a stream of this age, in seconds, is kept from now on; None is for good.

        What is paid for already is used: an increment or a minimum that has begun is held until
        just before it ends.
        """
        if not self.closes:
            return None
        until = age + self.hold_seconds
        paid = max(until, self.minimum)
        if self.increment:
            paid = max(paid, math.ceil(paid / self.increment) * self.increment)
        return max(self.hold_seconds, paid - _BEFORE_THE_STEP_SECONDS - age)

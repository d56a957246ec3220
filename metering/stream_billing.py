"""What an agent may know of how its streams are billed, so that it spends less on silence.

Only the rules, not the prices: what counts, and in which steps. A job holds it, so it is light.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StreamingTerms:
    """What a provider's streams cost: their connection's life, the audio in them, both or neither.

    Both also where sources disagree, or where nothing is known. `increment` and `minimum` are
    seconds that each connection is rounded up to, 0 where there is none.
    """

    bills_connection: bool
    bills_audio: bool
    increment: float = 0.0
    minimum: float = 0.0

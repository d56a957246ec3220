"""The STT that a meeting uses, and those that it falls back on while that one is away.

A provider that fails is left alone for a while, longer each time, and then tried again with what is
said next. What a failed try had taken is heard by the next one, so that trying costs no words.
"""

from __future__ import annotations

import contextlib
import math
import operator
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any

from livekit.agents import stt

from .silence import SilencePolicy

FIRST_REST_SECONDS = 5.0
LONGEST_REST_SECONDS = 120.0

_KEEP_OPEN = SilencePolicy(closes=False)

GiveUp = Callable[[], bool]
"""Ends a stream that nobody speaks into; returns whether one was open."""


def _keep(give_up: GiveUp) -> Callable[[], None]:
    """Nobody waits for a stream of a provider without limits."""
    return lambda: None


class Circuit:
    """Whether a provider is there, as far as all who use it have found out."""

    def __init__(self) -> None:
        self._failures = 0
        self._rests_until = 0.0

    def rests(self, now: float) -> float:
        """For how long it is still left alone, in seconds."""
        return max(0.0, self._rests_until - now)

    def failed(self, now: float) -> None:
        """It failed without having heard anything."""
        rest = min(LONGEST_REST_SECONDS, FIRST_REST_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        self._rests_until = now + rest

    def worked(self) -> None:
        """It has heard something."""
        self._failures = 0
        self._rests_until = 0.0


@dataclass(frozen=True, slots=True)
class StreamTraits:
    """How a provider's streams behave; times in seconds.

    `ends` says whether they end after their audio: of one that does not nobody knows whether it has
    hung or has nothing more to say. `pools_sockets` says that their sockets outlive them. A stream
    that is to answer and does not for longer than `patience` has hung; so has one that its plugin
    ends as if all were well, but after more than `quiet` without an answer. `lead` is how much
    audio one takes in one go. `ask` has one answer what it has got, where it is kept open and no
    silence follows.
    """

    ends: bool = True
    pools_sockets: bool = False
    patience: float = 12.0
    quiet: float = math.inf
    lead: float = math.inf
    ask: Callable[[Any], None] = operator.methodcaller("flush")


_USUAL = StreamTraits()


class Recogniser:
    """One provider's STT: `silence` is what becomes of its streams while nobody speaks.

    `permit` is a block in which one stream may be open; entering it waits while the provider's
    limits allow no more. `is_short` says that they nearly do not. `lend` is told of a stream that
    nobody speaks into, and may give it up for somebody who waits; it returns what takes it back.
    `circuit` is shared by all who use the provider.
    """

    def __init__(
        self,
        engine: stt.STT[Any],
        *,
        silence: SilencePolicy = _KEEP_OPEN,
        permit: Callable[[], AbstractAsyncContextManager[object]] = contextlib.nullcontext,
        is_short: Callable[[], bool] = lambda: False,
        lend: Callable[[GiveUp], Callable[[], None]] = _keep,
        circuit: Circuit | None = None,
        traits: StreamTraits = _USUAL,
    ) -> None:
        self.engine = engine
        self.traits = traits
        self.silence = silence
        self.permit = permit
        self.is_short = is_short
        self.lend = lend
        self.circuit = circuit or Circuit()


class Recognisers:
    """The first is the one that is wanted; the others stand in for it, in their order."""

    def __init__(
        self, recognisers: Sequence[Recogniser], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._recognisers = tuple(recognisers)
        self._clock = clock

    def choose(self) -> Recogniser:
        """The first that is not left alone; if all are, the one that is so the shortest."""
        now = self._clock()
        return min(self._recognisers, key=lambda one: one.circuit.rests(now))

    def rests(self, recogniser: Recogniser) -> bool:
        """Whether it is left alone."""
        return recogniser.circuit.rests(self._clock()) > 0

    def failed(self, recogniser: Recogniser) -> None:
        """It failed without having heard anything."""
        recogniser.circuit.failed(self._clock())

    def worked(self, recogniser: Recogniser) -> None:
        """It has heard something."""
        recogniser.circuit.worked()

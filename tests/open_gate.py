"""A gate for tests of what comes behind it."""

from __future__ import annotations

from typing_extensions import override

from agent.listening.gate import Captured, Gate, Passed


class OpenGate(Gate):
    """Lets everything through; what is said ends with a mute. `speaking` is what it says itself."""

    def __init__(self, *, speaking: bool = False) -> None:
        self._speaking = speaking

    @property
    @override
    def is_open(self) -> bool:
        return self._speaking

    @override
    def push(self, captured: Captured) -> Passed:
        return Passed([captured])

    @override
    def cut(self) -> Passed:
        return Passed(ended=True)

"""Whose usage it is, and what it was for, carried along by the context of the call.

A context variable set around `stt.stream()` or an LLM call is seen by the tasks which that call
starts, and so by the socket's trace callbacks and the plugin's metric events, without either
knowing of the other.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Attribution:
    """Who caused a usage (an identity, or None for nobody in particular), and its purpose."""

    participant: str | None = None
    purpose: str = ""


_NOBODY = Attribution()
_current: ContextVar[Attribution] = ContextVar("tallyroom_attribution", default=_NOBODY)


def current_attribution() -> Attribution:
    """The attribution of the running context."""
    return _current.get()


@contextlib.contextmanager
def attribution(*, participant: str | None = None, purpose: str | None = None) -> Iterator[None]:
    """Attribute what is used inside the block; what is not given is kept from outside."""
    outer = _current.get()
    token = _current.set(
        replace(
            outer,
            participant=outer.participant if participant is None else participant,
            purpose=outer.purpose if purpose is None else purpose,
        )
    )
    try:
        yield
    finally:
        _current.reset(token)

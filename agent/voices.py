"""Numbers for the voices that a provider tells apart on one participant's microphone.

A provider's labels mean something within one connection only: after a reconnect its speaker 0 may
be somebody else. So the numbers go on instead: two people are never called one, though one who was
heard before a reconnect gets another number after it.
"""

from __future__ import annotations

from collections.abc import Callable


class Voices:
    """Counts one participant's voices, over all their connections."""

    def __init__(self) -> None:
        self._count = 0

    def of_connection(self) -> Callable[[str | None], int | None]:
        """From a provider's label to a number, from 1 on, for one connection; None stays None."""
        numbers: dict[str, int] = {}

        def number(label: str | None) -> int | None:
            if not label:
                return None
            if label not in numbers:
                self._count += 1
                numbers[label] = self._count
            return numbers[label]

        return number

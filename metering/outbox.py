"""Anything owed to another system: kept on disk, in order, tried again until it is taken.

Whoever owes something puts it here and goes on; it is on disk when `put` returns. Delivery is a
separate step: oldest first, one at a time for each destination, and the next one only once the
receiver has taken the one before. A receiver can get an item twice (it took it, and we died before
noting that), so each carries a key by which to tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .errors import OutboxError
from .health import Operation, failed

logger = logging.getLogger("tallyroom.metering")

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 3600.0
REMEMBERED_SECONDS = 30 * 86_400
"""How long the key of a delivered item is known, and the same item not taken again."""

_TIDY_SECONDS = 3600.0
_SUFFIX = ".json"
_DESTINATION = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")


class Rejected(Exception):
    """Raised by a sender: the receiver will never take this item; it is put aside, not repeated."""


class TryLater(Exception):
    """Raised by a sender: not now; `seconds` is how long the receiver asks to be left alone."""

    def __init__(self, message: str, seconds: float = 0.0) -> None:
        super().__init__(message)
        self.seconds = seconds


@dataclass(frozen=True, slots=True)
class Item:
    """Something owed; `key` is the same however often it is sent.

    `reason` says why it was put aside, if it was.
    """

    destination: str
    key: str
    payload: Any
    reason: str = ""


Send = Callable[[Item], Awaitable[None]]


class Outbox:
    """A folder of what is owed, one folder inside for each destination.

    Several processes may put and deliver at once; each item is delivered by one of them at a time.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._tidied: dict[str, float] = {}

    def put(self, destination: str, payload: Any, *, key: str) -> bool:
        """Owe something; it is on disk when this returns. Blocks on the disk.

        Args:
            destination: lowercase letters, digits, dots and dashes; names a folder.
            payload: what to send, as JSON values.
            key: what makes it the same item, which is not taken again once it was delivered or put
                aside.

        Returns:
            Whether it was new.

        Raises:
            OutboxError: the folder cannot be written, or the payload is no JSON.
        """
        place = self._place(destination)
        digest = hashlib.sha256(key.encode()).hexdigest()[:32]
        try:
            body = json.dumps({"key": key, "payload": payload}, ensure_ascii=False)
        except (TypeError, ValueError) as error:
            raise OutboxError(f"{destination}: {error}") from error
        try:
            (place / "done").mkdir(parents=True, exist_ok=True)
            with _locked(place / "put.lock"):
                if _is_known(place, digest):
                    return False
                _write(place / f"{self._next_number(place):016d}-{digest}{_SUFFIX}", body)
        except OSError as error:
            raise OutboxError(f"cannot keep for {destination}: {error.strerror}") from error
        return True

    def waiting(self, destination: str) -> list[Item]:
        """What is owed to a destination, oldest first."""
        return self._items(self._place(destination), destination)

    def destinations(self) -> list[str]:
        """To whom something is or was owed."""
        return sorted(
            place.name
            for place in self._folder.glob("*")
            if place.is_dir() and _DESTINATION.fullmatch(place.name)
        )

    def rejected(self, destination: str) -> list[Item]:
        """What a destination would not take, oldest first."""
        return self._items(self._place(destination) / "rejected", destination)

    def retry(self, destination: str) -> int:
        """Owe again what was put aside, before whatever came later; returns how much that was.

        Waits for a delivery that is under way. Blocks on the disk.

        Raises:
            OutboxError: an item cannot be read or moved.
        """
        place = self._place(destination)
        if not place.is_dir():
            return 0
        try:
            with _locked(place / "deliver.lock"):
                aside = self._files(place / "rejected")
                for path in aside:
                    _keep(place / path.name, _read(path, destination), reason="")
                    path.unlink()
        except OSError as error:
            raise OutboxError(f"cannot retry {destination}: {error.strerror}") from error
        return len(aside)

    def rewrite(self, change: Callable[[Any], Any]) -> int:
        """Change the payloads of all that waits or was put aside; returns how many have changed.

        Waits for a delivery that is under way. Blocks on the disk.

        Raises:
            OutboxError: an item cannot be read or written.
        """
        changed = 0
        try:
            for destination in self.destinations():
                place = self._place(destination)
                with _locked(place / "deliver.lock"):
                    for path in [*self._files(place), *self._files(place / "rejected")]:
                        item = _read(path, destination)
                        payload = change(item.payload)
                        if payload != item.payload:
                            _keep(path, replace(item, payload=payload), reason=item.reason)
                            changed += 1
        except OSError as error:
            raise OutboxError(f"cannot rewrite {self._folder}: {error.strerror}") from error
        return changed

    async def deliver(self, destination: str, send: Send) -> int:
        """Send what is owed, oldest first, until all is taken or one is not; returns how many were.

        Does nothing where another process delivers to this destination already.

        Raises:
            Exception: whatever `send` raised; the item and all after it wait.
        """
        place = self._place(destination)
        paths = await asyncio.to_thread(self._files, place)
        if not paths:
            return 0
        delivered = 0
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(_locked(place / "deliver.lock", wait=False))
            except BlockingIOError:
                return 0
            await asyncio.to_thread(self._tidy, place)
            # Listed again: whoever had the lock may have sent some of them meanwhile.
            for path in await asyncio.to_thread(self._files, place):
                if (place / "done" / _digest(path)).exists():
                    # Whoever sent it died before it could take it away.
                    path.unlink()
                    continue
                item = await asyncio.to_thread(_read, path, destination)
                try:
                    await send(item)
                except Rejected as error:
                    failed(Operation.DELIVER)
                    logger.error(
                        "%s will not take an item, it is put aside: %s", destination, error
                    )
                    await asyncio.to_thread(_put_aside, path, item, str(error))
                    continue
                await asyncio.to_thread(_note_as_done, path)
                delivered += 1
        return delivered

    async def deliver_forever(
        self,
        destination: str,
        send: Send,
        *,
        idle_seconds: float = FIRST_PAUSE_SECONDS,
        longest_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        """Deliver until cancelled; after a failure the pause doubles, up to the longest.

        A sender that raises `TryLater` is not asked before that, nor later than after the longest.
        """
        pause = idle_seconds
        while True:
            try:
                await self.deliver(destination, send)
                if pause > idle_seconds:
                    logger.warning("%s takes what is owed to it again", destination)
                pause = idle_seconds
            except Exception as error:
                # A sender raises whatever its transport does, and what is owed stays owed.
                failed(Operation.DELIVER)
                told = error if isinstance(error, TryLater | OutboxError) else type(error).__name__
                logger.warning("%s takes nothing now: %s", destination, told)
                asked = error.seconds if isinstance(error, TryLater) else 0.0
                pause = min(longest_seconds, max(pause * 2, asked))
            await asyncio.sleep(pause)

    def _place(self, destination: str) -> Path:
        if not _DESTINATION.fullmatch(destination):
            raise OutboxError(
                f"destination {destination!r} must be lowercase letters, digits, dots and dashes"
            )
        return self._folder / destination

    def _items(self, place: Path, destination: str) -> list[Item]:
        items = []
        for path in self._files(place):
            try:
                items.append(_read(path, destination))
            except OutboxError:
                # It may have been delivered meanwhile.
                if path.exists():
                    raise
        return items

    def _files(self, place: Path) -> list[Path]:
        return sorted(place.glob(f"*{_SUFFIX}"))

    def _next_number(self, place: Path) -> int:
        newest = max(place.glob(f"*{_SUFFIX}"), default=None)
        after = int(newest.name.partition("-")[0]) if newest else 0
        # Numbers go on after a delivery has emptied the folder: they are times.
        return max(after + 1, time.time_ns() // 1_000_000)

    def _tidy(self, place: Path) -> None:
        """Forget the keys of what was delivered long ago."""
        if time.monotonic() < self._tidied.get(place.name, 0.0):
            return
        self._tidied[place.name] = time.monotonic() + _TIDY_SECONDS
        oldest = time.time() - REMEMBERED_SECONDS
        for marker in (place / "done").iterdir():
            if marker.stat().st_mtime < oldest:
                marker.unlink()


def _is_known(place: Path, digest: str) -> bool:
    """Whether an item waits, was put aside or was delivered: it goes in this order, so that one
    which moves meanwhile is found all the same."""
    pattern = f"*-{digest}{_SUFFIX}"
    return (
        any(place.glob(pattern))
        or any((place / "rejected").glob(pattern))
        or (place / "done" / digest).exists()
    )


def _put_aside(path: Path, item: Item, reason: str) -> None:
    (path.parent / "rejected").mkdir(exist_ok=True)
    _keep(path.parent / "rejected" / path.name, item, reason=reason)
    path.unlink()


def _note_as_done(path: Path) -> None:
    _write(path.parent / "done" / _digest(path), "")
    path.unlink()


def _keep(path: Path, item: Item, *, reason: str) -> None:
    body = {"key": item.key, "payload": item.payload} | ({"reason": reason} if reason else {})
    _write(path, json.dumps(body, ensure_ascii=False))


def _digest(path: Path) -> str:
    return path.name.removesuffix(_SUFFIX).partition("-")[2]


def _read(path: Path, destination: str) -> Item:
    try:
        body = json.loads(path.read_text("utf-8"))
        return Item(destination, body["key"], body["payload"], body.get("reason", ""))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise OutboxError(f"cannot read {path}: {error}") from error


def _write(path: Path, text: str) -> None:
    """Whole or not at all, and on disk when this returns."""
    temporary = path.with_name(f".{path.name}.part")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield

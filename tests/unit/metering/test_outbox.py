"""What is owed is kept, sent in order, sent again until taken, and not taken twice."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from metering.errors import OutboxError
from metering.outbox import REMEMBERED_SECONDS, Item, Outbox, Rejected, TryLater


class Receiver:
    """Takes items; `down` says how many times it will not."""

    def __init__(self, *, down: int = 0) -> None:
        self.down = down
        self.taken: list[Item] = []

    async def __call__(self, item: Item) -> None:
        if self.down:
            self.down -= 1
            raise ConnectionError
        self.taken.append(item)


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "outbox")


def owe(outbox: Outbox, *keys: str) -> None:
    for key in keys:
        assert outbox.put("webhook", {"is": key}, key=key)


async def test_items_are_taken_in_order_and_once(outbox: Outbox) -> None:
    owe(outbox, "c", "a", "b")
    receiver = Receiver()
    assert await outbox.deliver("webhook", receiver) == 3
    assert [item.key for item in receiver.taken] == ["c", "a", "b"]
    assert receiver.taken[0] == Item("webhook", "c", {"is": "c"})
    assert await outbox.deliver("webhook", receiver) == 0
    assert outbox.waiting("webhook") == []


async def test_one_that_is_not_taken_holds_the_others_back(outbox: Outbox) -> None:
    owe(outbox, "first", "second")
    receiver = Receiver(down=1)
    with pytest.raises(ConnectionError):
        await outbox.deliver("webhook", receiver)
    assert receiver.taken == []
    assert [item.key for item in outbox.waiting("webhook")] == ["first", "second"]
    assert await outbox.deliver("webhook", receiver) == 2
    assert [item.key for item in receiver.taken] == ["first", "second"]


async def test_the_same_key_is_owed_once_waiting_or_delivered(outbox: Outbox) -> None:
    owe(outbox, "one")
    assert not outbox.put("webhook", {"again": True}, key="one")
    receiver = Receiver()
    await outbox.deliver("webhook", receiver)
    assert not outbox.put("webhook", {"again": True}, key="one")
    assert await outbox.deliver("webhook", receiver) == 0
    assert outbox.put("other", {}, key="one")


async def test_a_delivered_key_is_forgotten_in_the_end(outbox: Outbox, tmp_path: Path) -> None:
    owe(outbox, "one")
    await outbox.deliver("webhook", Receiver())
    (marker,) = (tmp_path / "outbox" / "webhook" / "done").iterdir()
    long_ago = time.time() - REMEMBERED_SECONDS - 1
    os.utime(marker, (long_ago, long_ago))
    owe(outbox, "two")
    await Outbox(tmp_path / "outbox").deliver("webhook", Receiver())
    assert not outbox.put("webhook", {}, key="two")
    assert outbox.put("webhook", {}, key="one")


async def test_what_a_receiver_will_never_take_is_put_aside(outbox: Outbox, tmp_path: Path) -> None:
    owe(outbox, "bad", "good")
    taken = []

    async def send(item: Item) -> None:
        if item.key == "bad":
            raise Rejected("410 Gone")
        taken.append(item.key)

    assert await outbox.deliver("webhook", send) == 1
    assert taken == ["good"]
    assert len(list((tmp_path / "outbox" / "webhook" / "rejected").iterdir())) == 1
    assert outbox.waiting("webhook") == []
    assert outbox.rejected("webhook") == [Item("webhook", "bad", {"is": "bad"}, "410 Gone")]
    assert not outbox.put("webhook", {"again": True}, key="bad")


async def test_what_was_put_aside_is_owed_again_before_what_came_later(outbox: Outbox) -> None:
    owe(outbox, "first", "second")

    async def gone(item: Item) -> None:
        raise Rejected("410 Gone")

    assert await outbox.deliver("webhook", gone) == 0
    owe(outbox, "third")
    assert outbox.rewrite(lambda payload: payload | {"seen": True}) == 3
    assert {item.reason for item in outbox.rejected("webhook")} == {"410 Gone"}
    assert outbox.retry("webhook") == 2
    assert outbox.retry("webhook") == 0
    receiver = Receiver()
    assert await outbox.deliver("webhook", receiver) == 3
    assert receiver.taken == [
        Item("webhook", key, {"is": key, "seen": True}) for key in ("first", "second", "third")
    ]


async def test_what_was_noted_as_delivered_is_not_sent_again(
    outbox: Outbox, tmp_path: Path
) -> None:
    owe(outbox, "one", "two")
    place = tmp_path / "outbox" / "webhook"
    first = min(place.glob("*.json"))
    # As if killed between the note and taking the item away.
    (place / "done" / first.stem.partition("-")[2]).touch()
    receiver = Receiver()
    assert await outbox.deliver("webhook", receiver) == 1
    assert [item.key for item in receiver.taken] == ["two"]
    assert outbox.waiting("webhook") == []


async def test_it_is_asked_again_when_the_receiver_says(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    owe(outbox, "one")
    answers = [TryLater("answered 429", 30.0), ConnectionError(), TryLater("answered 503", 999.0)]
    pauses: list[float] = []

    async def send(item: Item) -> None:
        if answers:
            raise answers.pop(0)

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if not outbox.waiting("webhook"):
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", sleep)
    with pytest.raises(asyncio.CancelledError):
        await outbox.deliver_forever("webhook", send, idle_seconds=1.0, longest_seconds=600.0)
    assert pauses == [30.0, 60.0, 600.0, 1.0]


async def test_two_deliver_at_once_and_each_item_goes_once(outbox: Outbox, tmp_path: Path) -> None:
    owe(outbox, *(str(number) for number in range(10)))
    taken = []

    async def slowly(item: Item) -> None:
        await asyncio.sleep(0)
        taken.append(item.key)

    other = Outbox(tmp_path / "outbox")
    counts = await asyncio.gather(
        outbox.deliver("webhook", slowly), other.deliver("webhook", slowly)
    )
    assert sorted(counts) == [0, 10]
    assert taken == [str(number) for number in range(10)]


async def test_it_goes_on_delivering_after_failures(outbox: Outbox) -> None:
    owe(outbox, "one")
    taken = asyncio.Event()
    receiver = Receiver(down=3)

    async def send(item: Item) -> None:
        await receiver(item)
        taken.set()

    task = asyncio.create_task(outbox.deliver_forever("webhook", send, idle_seconds=0.001))
    await asyncio.wait_for(taken.wait(), 5)
    task.cancel()
    assert [item.key for item in receiver.taken] == ["one"]


def test_what_is_delivered_while_it_is_listed_is_left_out(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    owe(outbox, "one", "two")
    read_text = Path.read_text

    def read(path: Path, *arguments: str) -> str:
        if '"one"' in (text := read_text(path, *arguments)):
            path.unlink()
            raise FileNotFoundError(path)
        return text

    monkeypatch.setattr(Path, "read_text", read)
    assert [item.key for item in outbox.waiting("webhook")] == ["two"]


def test_what_cannot_be_read_is_said(outbox: Outbox, tmp_path: Path) -> None:
    owe(outbox, "one")
    (path,) = (tmp_path / "outbox" / "webhook").glob("*.json")
    path.write_text("{")
    with pytest.raises(OutboxError, match="cannot read"):
        outbox.waiting("webhook")


@pytest.mark.parametrize("destination", ["", "../etc", "UPPER", "a/b", "x" * 65, ".hidden"])
def test_a_destination_is_a_plain_name(outbox: Outbox, destination: str) -> None:
    with pytest.raises(OutboxError, match="destination"):
        outbox.put(destination, {}, key="k")


def test_what_cannot_be_kept_is_said(outbox: Outbox, tmp_path: Path) -> None:
    with pytest.raises(OutboxError, match="not JSON serializable"):
        outbox.put("webhook", object(), key="k")
    (tmp_path / "outbox").write_text("a file where the folder should be")
    with pytest.raises(OutboxError, match="cannot keep for webhook"):
        outbox.put("webhook", {}, key="k")

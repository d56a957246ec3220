"""Many light processes that do one thing each, all in the same second.

They are forked from one process that has everything loaded, so that what is measured is their work
and not their start: a job's process has been there for the whole meeting, too. Each is due at a
moment of its own, spread evenly over a second, and its time counts from that moment, whether or not
it was given a core by then: who waits for a core waits as much as who waits for a lock.
"""

from __future__ import annotations

import contextlib
import gc
import os
import struct
import time
import traceback
from collections.abc import Callable

_RESULT = struct.Struct("!iddd?")
LEAD_SECONDS = 0.5


class Done:
    """When each member of a crowd was done, in seconds from when it was due; in its number's order.

    `begun` is when it had a core, `cpu` the CPU seconds it then took; `lost` are the numbers of
    those that failed.
    """

    def __init__(self) -> None:
        self.begun: list[float] = []
        self.seconds: list[float] = []
        self.cpu: list[float] = []
        self.lost: list[int] = []
        self.elapsed = 0.0


def run_crowd(
    size: int, prepare: Callable[[int], Callable[[], None]], *, spread: float = 1.0
) -> Done:
    """Fork `size` processes, let each `prepare`, and have each do what that returned when due."""
    ready_read, ready_write = os.pipe()
    go_read, go_write = os.pipe()
    result_read, result_write = os.pipe()
    gc.collect()
    gc.freeze()
    children = []
    for number in range(size):
        child = os.fork()
        if child == 0:
            os.close(go_write)
            _be_one(number, size, prepare, spread, ready_write, go_read, result_write)
        children.append(child)
    gc.unfreeze()
    os.close(ready_write)
    os.close(result_write)
    left = size
    while left and (answered := os.read(ready_read, left)):
        left -= len(answered)
    first = time.monotonic() + LEAD_SECONDS
    # A pipe holds more than this; each takes one.
    os.write(go_write, struct.pack("!d", first) * size)
    done = Done()
    results: dict[int, tuple[float, float, float, bool]] = {}
    with open(result_read, "rb") as file:
        while len(results) < size and (found := file.read(_RESULT.size)):
            number, *measured = _RESULT.unpack(found)
            results[number] = tuple(measured)
    os.close(go_write)
    for child in children:
        os.waitpid(child, 0)
    for descriptor in (ready_read, go_read):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    for number in range(size):
        begun, seconds, cpu, succeeded = results.get(number, (0.0, 0.0, 0.0, False))
        if succeeded:
            done.begun.append(begun)
            done.seconds.append(seconds)
            done.cpu.append(cpu)
            done.elapsed = max(done.elapsed, number / size * spread + seconds)
        else:
            done.lost.append(number)
    return done


def _be_one(
    number: int,
    size: int,
    prepare: Callable[[int], Callable[[], None]],
    spread: float,
    ready: int,
    go: int,
    result: int,
) -> None:
    """In the child; never returns."""
    due = begun = time.monotonic()
    cpu = 0.0
    succeeded = False
    try:
        work = prepare(number)
        os.write(ready, b"r")
        (first,) = struct.unpack("!d", os.read(go, 8))
        due = first + number / size * spread
        time.sleep(max(0.0, due - time.monotonic()))
        begun, cpu = time.monotonic(), time.process_time()
        work()
        succeeded = True
    except BaseException:
        traceback.print_exc()
    finally:
        ended = time.monotonic()
        took = time.process_time() - cpu
        os.write(result, _RESULT.pack(number, begun - due, ended - due, took, succeeded))
        # Processes that go take cores from those that are not done; all go together.
        os.close(result)
        os.read(go, 1)
        os._exit(0)

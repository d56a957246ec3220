"""LiveKit's official multi-user transcriber and Tallyroom in the same meeting.

Both are dispatched by name into rooms on a real livekit-server, with one warm process each, the
same Deepgram plugin and a local Deepgram each. Six people speak in turns; benchmarks/mixed_meeting
says what is heard. The runs alternate, so that a machine that is busy for a while is so for both.

    python -m benchmarks.versus_official               # five runs of 60 s: 20 minutes
    python -m benchmarks.versus_official --seconds 600 --runs 1 --keep ten_minutes.jsonl

Five runs of ten minutes take two hours. `--keep` adds each run to a file as soon as it is over, and
the table is of all that are in it: so they need not be had in one go.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.speech_model import BUNDLED_MODEL, SpeechModel
from demo.server import LocalServer
from demo.speaker import Caption
from demo.worker_process import WorkerProcess

from .hearing_provider import API_KEY, HeardConnection, marks_in, open_provider
from .people import AGENT_NAME, SaidTurn, Seen, hold
from .process_tree import TreeWatch, watch_tree
from .report import print_machine, print_table
from .runs import Runs
from .verdict import Figures, judge
from .word_errors import first_captured, word_errors

_WARM_SECONDS = 60.0
_GONE_SECONDS = 40.0
_IDLE_CPU_SHARE = 0.05


@dataclass(frozen=True)
class Contender:
    """A transcriber, by the program that Python runs."""

    name: str
    program: tuple[str, ...]


OFFICIAL = Contender("official", ("-m", "benchmarks.official_transcriber"))
TALLYROOM = Contender("Tallyroom", ("-m", "agent"))


@dataclass(frozen=True)
class Asked:
    """How long the meeting is, in seconds, and how many dispatches are timed before it."""

    seconds: float
    dispatches: int


async def run(
    contender: Contender, server: LocalServer, folder: Path, asked: Asked, model: SpeechModel
) -> Figures:
    """Some dispatches, each into a room of its own, and one meeting; by one worker."""
    async with open_provider(folder / "provider") as provider:
        settings = {
            "TALLYROOM_AGENT_NAME": AGENT_NAME,
            "TALLYROOM_STT": "deepgram/nova-3",
            "DEEPGRAM_API_KEY": API_KEY,
            "DEEPGRAM_BASE_URL": provider.base_url,
        }
        async with WorkerProcess(server, folder, settings, contender.program) as worker:
            dispatched = []
            for number in range(asked.dispatches):
                await _until_warm(worker, number)
                dispatched.append(await hold(server, f"{folder.name}-{number}", None))
            await _until_warm(worker, asked.dispatches)
            async with watch_tree(worker.pid) as watch:
                before = watch.size
                seen = await hold(server, folder.name, asked.seconds)
                # What a job does at its end is its work, too.
                async with asyncio.timeout(_GONE_SECONDS):
                    await watch.until_size(before)
        connections = await provider.close()
    return await _figures(watch, seen, dispatched, connections, model)


async def _until_warm(worker: WorkerProcess, jobs: int) -> None:
    """Until a process waits for the next job, and nothing is being done."""
    initialised = 0

    def is_ready(entry: dict[str, object]) -> bool:
        nonlocal initialised
        initialised = sum(one["message"] == "process initialized" for one in worker.log)
        return initialised > jobs

    await worker.until_logged(is_ready, _WARM_SECONDS)
    async with asyncio.timeout(_WARM_SECONDS), watch_tree(worker.pid) as watch:
        spent = -1.0
        while watch.cpu_seconds - spent > _IDLE_CPU_SHARE:
            spent = watch.cpu_seconds
            await asyncio.sleep(1.0)


async def _figures(
    watch: TreeWatch,
    seen: Seen,
    dispatched: Sequence[Seen],
    connections: Sequence[HeardConnection],
    model: SpeechModel,
) -> Figures:
    meeting = [one for one in connections if one.opened_at > seen.asked_at]
    shown = {
        mark: caption
        for caption in seen.captions
        if caption.final
        for mark in marks_in(caption.text)
    }
    finals = [final for one in meeting for final in one.finals]
    by_speaker = defaultdict(list)
    for one in meeting:
        speakers = {
            shown[final.mark].sender_identity for final in one.finals if final.mark in shown
        }
        for speaker in speakers:
            by_speaker[speaker].append(one)
    heard = [
        first_captured(
            one for one in connections if dispatch.asked_at < one.opened_at < dispatch.left_at
        )
        for dispatch in dispatched
    ]
    errors = await word_errors(seen.turns, by_speaker, model)
    for said, made_of_it in errors.misheard:
        print(f"said:  {said}\nheard: {made_of_it}", file=sys.stderr)
    waits = [wait_for_caption(turn, seen.captions, by_speaker[turn.speaker]) for turn in seen.turns]
    return Figures(
        connection_seconds=sum(one.connection_seconds for one in meeting),
        audio_seconds=sum(one.audio_seconds for one in meeting),
        cpu_seconds=watch.cpu_seconds,
        memory_bytes=max(watch.memory),
        final_to_caption=tuple(
            shown[final.mark].received_at - final.at for final in finals if final.mark in shown
        ),
        speech_to_caption=tuple(wait for wait in waits if wait is not None),
        finals_without_caption=sum(final.mark not in shown for final in finals),
        turns_without_caption=waits.count(None),
        word_error_rate=errors.rate,
        dispatch_to_seen=tuple(one.seen_at - one.asked_at for one in dispatched),
        dispatch_to_heard=tuple(
            at - one.asked_at for at, one in zip(heard, dispatched, strict=True) if at is not None
        ),
        never_heard=heard.count(None),
    )


def wait_for_caption(
    turn: SaidTurn, captions: Sequence[Caption], connections: Sequence[HeardConnection]
) -> float | None:
    """From a turn's last sample to the caption of the first final after it, None without one."""
    finals = [final for one in connections for final in one.finals if final.at > turn.ended_at]
    if not finals:
        return None
    first = min(finals, key=lambda final: final.at)
    return min(
        (
            caption.received_at - turn.ended_at
            for caption in captions
            if caption.final and first.mark in marks_in(caption.text)
        ),
        default=None,
    )


async def measure(runs: int, asked: Asked, kept: Runs) -> None:
    """So many runs more of each, in turns."""
    model = SpeechModel.load(BUNDLED_MODEL)
    with tempfile.TemporaryDirectory() as folder:
        async with LocalServer() as server:
            for number, contender in _order(len(kept.of(OFFICIAL.name)), runs):
                place = Path(folder) / f"{contender.name}-{number}"
                figures = await run(contender, server, place, asked, model)
                kept.add(contender.name, figures)
                _tell(contender, number, figures)


def _order(first: int, runs: int) -> Iterator[tuple[int, Contender]]:
    for number in range(first, first + runs):
        pair = (OFFICIAL, TALLYROOM)
        yield from ((number, contender) for contender in (pair, pair[::-1])[number % 2])


def _tell(contender: Contender, number: int, figures: Figures) -> None:
    load = os.getloadavg()[0]
    print(f"{contender.name}, run {number + 1}, load {load:.1f}:", file=sys.stderr)
    print(json.dumps(asdict(figures)), file=sys.stderr, flush=True)


def main() -> int:
    """Print the table; exits with 1 where a bound is not kept."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long a meeting is")
    parser.add_argument("--dispatches", type=int, default=4, help="timed before each meeting")
    parser.add_argument("--keep", type=Path, help="a file of runs, which these are added to")
    given = parser.parse_args()
    print_machine()
    kept = Runs(given.seconds, given.keep)
    asyncio.run(measure(given.runs, Asked(given.seconds, given.dispatches), kept))
    official, ours = kept.of(OFFICIAL.name), kept.of(TALLYROOM.name)
    verdicts = judge(official, ours)
    print_table(
        f"{given.seconds:g} s with six people, medians of {len(official)} runs",
        ("", "official", "Tallyroom", "ratio", "at most", ""),
        [verdict.row() for verdict in verdicts],
    )
    missed = [verdict.figure.name for verdict in verdicts if verdict.holds is False]
    print(f"FAIL: {', '.join(missed)}" if missed else "PASS")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())

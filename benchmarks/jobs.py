"""Journals of jobs that never were, as a six-person meeting leaves them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

from metering.clock import utc_now
from metering.journal import SUFFIX, Entry, encode
from metering.run import RunInfo
from metering.settings import Hosting, MeterSettings
from metering.usage import Usage

PEOPLE = 6
_LONGEST_US = 60_000_000


def settings(folder: Path, url: str = "") -> MeterSettings:
    """A self-hosted meter's, whatever the environment says."""
    return MeterSettings.model_construct(
        data_dir=folder, database_url=url, hosting=Hosting.SELF, plan="none"
    )


def info(number: int, started_at: datetime | None = None) -> RunInfo:
    """The head of the job with this number."""
    return RunInfo(
        run_id=f"run_{number}",
        job_id=f"AJ_{number}",
        started_at=started_at or utc_now(),
        room_name=f"room-{number}",
        room_sid=f"RM_{number}",
        agent_name="transcriber",
        tenant=f"tenant-{number % 10}",
    )


def instances(number: int, count: int, began: datetime) -> Iterator[Usage]:
    """So many instances of a job: speech sockets with their audio, joins, LLM requests."""
    for index in range(count):
        request, kind = divmod(index, 4)
        person = f"person-{request % PEOPLE}"
        ends = began + timedelta(microseconds=(request * 1009) % _LONGEST_US)
        if kind == 0:
            meter, unit, provider, model, key = (
                "participant_connection", "second", "self-hosted", "", "join"
            )  # fmt: skip
        elif kind == 1:
            meter, unit, provider, model, key = (
                "stt_connection", "second", "deepgram", "nova-3", "socket"
            )  # fmt: skip
        elif kind == 2:
            meter, unit, provider, model, key = (
                "stt_audio", "second", "deepgram", "nova-3", "socket"
            )  # fmt: skip
        else:
            meter, unit, provider, model, key = (
                "llm_input_tokens", "token", "openai", "gpt-4o-mini", "request"
            )  # fmt: skip
        amount = Decimal(1000 + request % 997)
        yield Usage(
            instance_id=f"{number}/{key}/{request}",
            meter=meter,
            provider=provider,
            model=model,
            quantity=amount if unit == "token" else amount.scaleb(-3),
            unit=unit,
            participant=person,
            started_at=began,
            ended_at=ends,
            source="benchmark",
        )


def entries(number: int, count: int) -> Iterator[Entry]:
    """The lines of a journal with so many instances: each opened, closed, and a heartbeat a few."""
    head = info(number)
    yield head.to_entry()
    for person in range(PEOPLE):
        yield {"kind": "person", "identity": f"person-{person}", "name": f"Person {person}"}
    for index, used in enumerate(instances(number, count, head.started_at)):
        at = min(_LONGEST_US, index * 100)
        opened = used.to_json() | {"quantity": "0", "ended_at": used.to_json()["started_at"]}
        yield {"kind": "open", "at": at, "ending": "with_run", "clock": True, "usage": opened}
        yield {"kind": "usage", "at": at, "usage": used.to_json()}
        if index % 10 == 0:
            yield {"kind": "beat", "at": at, "counts": []}


END: Entry = {"kind": "end", "at": _LONGEST_US, "status": "complete", "error": ""}


def write_journal(folder: Path, number: int, count: int) -> Path:
    """A journal that ended well, as its job left it."""
    path = folder / "journals" / f"run_{number}{SUFFIX}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for entry in entries(number, count):
            file.write(encode(entry))
        file.write(encode(END))
    return path

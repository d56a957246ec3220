"""Names go when their tenant's time is over, on every machine that has them."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from metering.journal import encode
from metering.ledger.queries import cost_record
from metering.ledger.store import Ledger
from metering.settings import MeterSettings
from metering.sweeping import SETTLED_FOLDER, sweep
from metering.upkeep.retain import retain
from tests.unit.metering.old import OLD, journal_of, old_run, old_usage
from tests.unit.metering.samples import settings

ENDED = OLD + timedelta(seconds=60)
OVER = ENDED + timedelta(days=7, milliseconds=1)


async def held(folder: Path, *, store: Path | None = None) -> MeterSettings:
    """A machine on which acme's meeting with Eve was held and settled."""
    used = old_usage(participant="eve-7")
    path = journal_of(
        old_run(used, room_name="xanadu", title="Talk", tenant="acme"), folder / "journals"
    )
    with path.open("ab") as file:
        file.write(encode({"kind": "person", "identity": "eve-7", "name": "Eve"}))
    url = f"sqlite+aiosqlite:///{store}" if store else None
    machine = settings(folder, retention_days="30,acme=7", database_url=url)
    assert len(await sweep(machine)) == 1
    return machine


def named_in(folder: Path) -> list[str]:
    return sorted(
        path.name
        for path in folder.rglob("*")
        if path.is_file() and any(name in path.read_bytes() for name in (b"xanadu", b"eve-7"))
    )


async def test_when_it_is_over_and_not_before(tmp_path: Path) -> None:
    machine = await held(tmp_path)
    assert await retain(machine, now=OVER - timedelta(seconds=1)) == []
    assert await retain(machine, now=OVER, dry_run=True) == ["AJ_test"]
    assert "run_test.journal" in named_in(tmp_path)
    assert await retain(machine, now=OVER) == ["AJ_test"]
    assert named_in(tmp_path) == []
    assert await retain(machine, now=OVER) == []
    async with Ledger(machine.ledger_url) as ledger:
        record = await cost_record(ledger, "AJ_test")
    assert (record.tenant, len(record.usage), record.room_name) == ("acme", 1, "")


async def test_another_machine_forgets_what_is_on_its_own_disk(tmp_path: Path) -> None:
    store = tmp_path / "shared.sqlite3"
    first = await held(tmp_path / "first", store=store)
    second = await held(tmp_path / "second", store=store)
    assert await retain(first, now=OVER) == ["AJ_test"]
    assert named_in(tmp_path) == ["run_test.journal"]
    assert await retain(second, now=OVER) == ["AJ_test"]
    assert named_in(tmp_path) == []
    assert await retain(second, now=OVER) == []


async def test_a_job_with_more_to_be_settled_waits(tmp_path: Path) -> None:
    machine = await held(tmp_path)
    late = journal_of(old_run(run_id="run_late"), tmp_path / "journals")
    assert await retain(machine, now=OVER) == []
    late.rename(tmp_path / "journals" / SETTLED_FOLDER / late.name)
    assert await retain(machine, now=OVER) == ["AJ_test"]

"""All of a file or nothing of it, once however often, in every store."""

from __future__ import annotations

import io
import json
import random
import tracemalloc
from collections.abc import AsyncIterator, Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from metering.errors import ImportRefused, RateError
from metering.importing.importer import Imported, Source, import_usage
from metering.importing.rows import Format
from metering.ledger import schema
from metering.ledger.adding import JOBS_AT_ONCE
from metering.ledger.queries import cost_record, list_jobs
from metering.ledger.store import Ledger
from metering.ledger.upkeep import prune_usage
from metering.settings import MeterSettings
from metering.settle import settle_run
from tests.unit.metering.samples import START, run, settings, usage

ROW = {
    "job_id": "AJ_1",
    "meter": "llm_input_tokens",
    "provider": "acme",
    "model": "m-1",
    "quantity": "1500",
    "started_at": "2026-11-20T09:00:00Z",
}
MY_PRICE = """\
[[rate]]
provider = "acme"
meter = "llm_input_tokens"
price = "2"
unit = "million tokens"
"""


@pytest.fixture
def mine(tmp_path: Path, store_url: str) -> MeterSettings:
    rates = tmp_path / "rates.toml"
    rates.write_text(MY_PRICE)
    return settings(tmp_path, database_url=store_url, rates=rates)


@pytest.fixture
async def ledger(mine: MeterSettings) -> AsyncIterator[Ledger]:
    async with Ledger(mine.ledger_url) as ledger:
        yield ledger


def jsonl(rows: Iterable[dict[str, Any]]) -> Source:
    text = "".join(json.dumps(row) + "\n" for row in rows)
    return Source("usage.jsonl", io.BytesIO(text.encode()), Format.JSONL)


async def bring(mine: MeterSettings, *rows: dict[str, Any], **options: Any) -> Imported:
    return await import_usage(jsonl(rows), mine, **options)


async def refused(mine: MeterSettings, *rows: dict[str, Any], **options: Any) -> list[str]:
    with pytest.raises(ImportRefused) as caught:
        await bring(mine, *rows, **options)
    return [str(problem) for problem in caught.value.problems.told]


async def counts(ledger: Ledger) -> dict[str, int]:
    tables = (schema.jobs, schema.runs, schema.usage, schema.claims, schema.ratings, schema.people)
    return await ledger.read(
        lambda connection: {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in tables
        }
    )


async def test_imported_usage_is_rated_like_any_other(mine: MeterSettings, ledger: Ledger) -> None:
    first = ROW | {
        "instance_id": "acme/req-1",
        "room_name": "standup",
        "tenant": "acme",
        "title": "Weekly",
        "tags": ["weekly", "sales"],
        "hosting": "cloud",
        "plan": "livekit/scale",
        "participant": "alice",
        "purpose": "notes",
        "attributes": {"language": "en"},
        "provider_stated": "1500",
        "provider_ref": "req-1",
        "source": "elsewhere",
        "ended_at": "2026-11-20T10:00:01+01:00",
    }
    imported = await bring(mine, first, ROW | {"instance_id": "acme/req-2", "quantity": 500})
    assert (imported.jobs, imported.instances, imported.new_instances) == (1, 2, 2)
    assert [(cost.currency, cost.list_cost) for cost in imported.list_cost] == [
        ("USD", Decimal("0.004"))
    ]
    record = (await cost_record(ledger, "AJ_1")).model_dump(mode="json")
    assert record["list_cost"] == "0.004"
    assert record["revision"] == 1
    assert record["status"] == "complete"
    assert record["started_at"] == "2026-11-20T09:00:00.000Z"
    assert record["ended_at"] == "2026-11-20T09:00:01.000Z"
    said = ("room_name", "tenant", "title", "tags", "hosting", "plan")
    assert [record[name] for name in said] == [first[name] for name in said]
    (one, other) = sorted(record["usage"], key=lambda item: str(item["instance_id"]))
    assert one == {
        "instance_id": "acme/req-1",
        "meter": "llm_input_tokens",
        "provider": "acme",
        "model": "m-1",
        "attributes": {"language": "en"},
        "participant": "alice",
        "purpose": "notes",
        "quantity": "1500",
        "unit": "token",
        "certainty": "exact",
        "quantity_lower": None,
        "quantity_upper": None,
        "provider_stated": "1500",
        "provider_ref": "req-1",
        "started_at": "2026-11-20T09:00:00.000Z",
        "ended_at": "2026-11-20T09:00:01.000Z",
        "source": "import",
    }
    assert (other["quantity"], other["source"]) == ("500", "import")


async def test_the_same_file_twice_changes_nothing(mine: MeterSettings, ledger: Ledger) -> None:
    rows = [
        ROW,
        ROW,  # Names no instance: two requests that were alike.
        ROW | {"job_id": "AJ_2", "instance_id": "x", "participant": "bob"},
        {key: value for key, value in ROW.items() if key != "job_id"},
    ]
    first = await bring(mine, *rows)
    before = await counts(ledger)
    assert before["usage"] == before["claims"] == 4
    again = await bring(mine, *reversed(rows))
    assert await counts(ledger) == before
    assert again.new_instances == 0
    assert again.list_cost == first.list_cost
    assert again.list_cost[0].list_cost == Decimal("0.012")


async def test_a_file_that_has_grown_adds_what_is_new(mine: MeterSettings, ledger: Ledger) -> None:
    await bring(mine, ROW, ROW | {"job_id": "AJ_2"})
    grown = await bring(mine, ROW, ROW, ROW | {"job_id": "AJ_2"})
    assert grown.new_instances == 1
    assert (await cost_record(ledger, "AJ_1")).list_cost == Decimal("0.006")
    assert (await cost_record(ledger, "AJ_2")).revision == 1


async def test_nothing_is_half_imported(mine: MeterSettings, ledger: Ledger) -> None:
    stored = run(usage(), job_id="AJ_zz", run_id="run_zz", tenant="acme")
    await settle_run(stored, ledger, mine)
    before = await counts(ledger)
    many = [ROW | {"job_id": f"AJ_{number}"} for number in range(JOBS_AT_ONCE + 1)]
    said = await refused(mine, *many, ROW | {"job_id": "AJ_zz", "tenant": "zeta"})
    assert said == [f"{JOBS_AT_ONCE + 2}: tenant 'zeta': the ledger has job 'AJ_zz' with 'acme'"]
    assert await counts(ledger) == before
    said = await refused(mine, *many, ROW | {"quantity": "-1"})
    assert said == [
        f"{JOBS_AT_ONCE + 2}: quantity '-1': must be finite, not negative, and of a plausible size"
    ]
    assert await counts(ledger) == before


async def test_a_job_that_is_there_gets_more_usage(mine: MeterSettings, ledger: Ledger) -> None:
    await settle_run(run(usage(), job_id="AJ_1", tenant="acme"), ledger, mine)
    imported = await bring(mine, ROW | {"tenant": "acme"})
    assert imported.new_instances == 1
    record = await cost_record(ledger, "AJ_1")
    assert {item.source for item in record.usage} == {"", "import"}
    assert record.list_cost == Decimal("0.003")


async def test_an_instance_that_was_reported_counts_once(
    mine: MeterSettings, ledger: Ledger
) -> None:
    await settle_run(run(usage(), job_id="AJ_1"), ledger, mine)
    row = {
        "job_id": "AJ_2",
        "instance_id": usage().instance_id,
        "meter": "participant_connection",
        "hosting": "self",
        "quantity": "60",
        "started_at": START.isoformat(),
    }
    imported = await bring(mine, row)
    assert (imported.instances, imported.new_instances) == (1, 0)
    assert (await cost_record(ledger, "AJ_2")).usage == []


async def test_a_pruned_job_gets_nothing_more(mine: MeterSettings, ledger: Ledger) -> None:
    await bring(mine, ROW)
    later = START.replace(year=2027)
    assert await prune_usage(ledger, "AJ_1", later) == 1
    again = await bring(mine, ROW)
    assert again.new_instances == 0
    before = await counts(ledger)
    (said,) = await refused(mine, ROW, ROW)
    assert said.startswith("1: job_id 'AJ_1': its usage was pruned at ")
    assert await counts(ledger) == before


async def test_a_rating_that_was_cut_short_is_completed(
    mine: MeterSettings, ledger: Ledger
) -> None:
    await bring(mine, ROW)
    await ledger.write(lambda connection: connection.execute(schema.charges.delete()))
    await ledger.write(lambda connection: connection.execute(schema.ratings.delete()))
    await bring(mine, ROW)
    assert (await cost_record(ledger, "AJ_1")).list_cost == Decimal("0.003")


async def test_a_rate_file_that_cannot_be_used_stores_nothing(
    mine: MeterSettings, ledger: Ledger
) -> None:
    assert mine.rates is not None
    mine.rates.write_text(MY_PRICE.replace('"2"', '"-2"'))
    with pytest.raises(RateError):
        await bring(mine, ROW)
    assert set((await counts(ledger)).values()) == {0}


async def test_a_dry_run_stores_nothing(mine: MeterSettings, ledger: Ledger) -> None:
    imported = await bring(mine, ROW, dry_run=True)
    assert imported.dry_run
    assert imported.list_cost[0].list_cost == Decimal("0.003")
    assert set((await counts(ledger)).values()) == {0}


async def test_people_are_pseudonyms_in_the_ledger(mine: MeterSettings, ledger: Ledger) -> None:
    await bring(mine, ROW | {"participant": "alice"}, ROW | {"participant": "bob"})
    stored = await ledger.read(
        lambda connection: connection.scalars(select(schema.usage.c.participant)).all()
    )
    assert len(set(stored)) == 2
    assert all(name is not None and name.startswith("person_") for name in stored)


async def test_what_is_meant_where_a_row_says_nothing(mine: MeterSettings, ledger: Ledger) -> None:
    row = {
        "meter": "participant_connection",
        "quantity": "90.5",
        "ended_at": "2026-11-20T00:01:00Z",
    }
    options = {"defaults": {"tenant": "acme", "hosting": "cloud"}}
    await bring(mine, row, row | {"room_name": "standup"}, **options)
    jobs = await list_jobs(ledger, tenant=None, status=None, limit=10)
    assert len(jobs) == 2
    for job in jobs:
        assert job.job_id.startswith("import_")
        assert (job.tenant, job.hosting, job.plan) == ("acme", "cloud", "none")
        (used,) = (await cost_record(ledger, job.job_id)).usage
        assert (used.provider, used.unit) == ("livekit-cloud", "second")
        assert used.started_at.isoformat() == "2026-11-19T23:59:29.500000+00:00"


async def test_rows_of_a_job_may_not_contradict_each_other(mine: MeterSettings) -> None:
    said = await refused(
        mine,
        ROW | {"tenant": "acme", "instance_id": "x"},
        ROW | {"instance_id": "x", "quantity": "1501"},
        ROW | {"tenant": "zeta"},
        ROW | {"title": "Weekly"},
        ROW | {"title": "Daily"},
    )
    assert said == [
        "2: quantity '1501': on line 1 this instance has '1500'",
        "3: tenant 'zeta': another row of job 'AJ_1' has 'acme'",
        "5: title 'Daily': another row of job 'AJ_1' has 'Weekly'",
    ]


async def test_a_row_that_says_the_same_again_is_counted_once(mine: MeterSettings) -> None:
    row = ROW | {"instance_id": "x"}
    imported = await bring(mine, row, row, row)
    assert (imported.instances, imported.repeated) == (1, 2)


async def test_parts_of_a_request_are_not_charged_beside_it(mine: MeterSettings) -> None:
    part = ROW | {"meter": "llm_cached_input_tokens", "quantity": "500"}
    assert await refused(mine, ROW, part) == [
        "2: instance_id: is missing: llm_cached_input_tokens is part of llm_input_tokens;"
        " give both the same"
    ]
    one = {"instance_id": "req-1"}
    imported = await bring(mine, ROW | one, part | one)
    assert [(charge.meter, charge.state, charge.list_cost) for charge in imported.charges] == [
        ("llm_cached_input_tokens", "not_billed", None),
        ("llm_input_tokens", "priced", Decimal("0.003")),
    ]


async def test_all_bad_rows_are_counted_and_the_first_told(mine: MeterSettings) -> None:
    rows = [ROW | {"quantity": "NaN"}] * 30
    with pytest.raises(ImportRefused, match="30 rows are wrong") as caught:
        await bring(mine, *rows, most_problems=10)
    problems = caught.value.problems
    assert [problem.line for problem in problems.told] == list(range(1, 11))
    assert (problems.rows, problems.more) == (30, 20)


async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    mine = settings(tmp_path)
    await bring(mine, ROW)  # What is loaded once is loaded.
    small, large = [await peak_of(tmp_path, mine, rows) for rows in (1_500, 6_000)]
    # What is held at once of a thousand rows is of 1,500 as of any number.
    assert large < 1.2 * small


async def peak_of(folder: Path, mine: MeterSettings, rows: int) -> int:
    """The most memory that an import of so many rows, in no order, takes at a time; in bytes."""
    path = folder / f"{rows}.jsonl"
    order = random.Random(7)
    with path.open("w") as file:
        for number in range(rows):
            job_id = f"AJ_{rows}_{order.randrange(20)}"
            row = ROW | {"job_id": job_id, "instance_id": f"{rows}-{number}"}
            file.write(json.dumps(row) + "\n")
    tracemalloc.start()
    try:
        with path.open("rb") as again:
            imported = await import_usage(Source(path.name, again, Format.JSONL), mine)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert (imported.jobs, imported.new_instances) == (20, rows)
    return peak

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from metering.errors import JobNotFound, LedgerError
from metering.ledger.queries import cost_record, list_jobs
from metering.ledger.store import Ledger
from metering.ledger.usage_queries import job_usage
from metering.run import Status
from metering.usage import Certainty, Usage
from tests.unit.metering.ledger.test_store import charge
from tests.unit.metering.samples import START, run, store_rating, usage


@pytest.fixture
async def ledger(store_url: str) -> AsyncIterator[Ledger]:
    async with Ledger(store_url) as ledger:
        yield ledger


async def rated(ledger: Ledger, job_id: str, *list_costs: str) -> None:
    record = await cost_record(ledger, job_id)
    await store_rating(
        ledger,
        job_id,
        [charge(list_cost) for list_cost in list_costs],
        rate_card="abc",
        hosting="cloud",
        plan="livekit/ship",
        rated_runs=record.run_ids,
    )


async def test_a_record(ledger: Ledger) -> None:
    await ledger.store_run(
        run(
            usage(participant="alice"),
            people={"alice": "Alice"},
            dispatch_id="AD_1",
            room_name="room",
            agent_name="transcriber",
            tenant="acme",
            title="Weekly",
            tags=("a", "b"),
        )
    )
    await rated(ledger, "AJ_test", "0.1", "0.2")
    record = await cost_record(ledger, "AJ_test")
    assert record.job_id == "AJ_test"
    assert record.dispatch_id == "AD_1"
    assert record.run_ids == ["run_test"]
    assert (record.room_name, record.room_sid, record.agent_name) == (
        "room",
        "RM_test",
        "transcriber",
    )
    assert (record.tenant, record.title, record.tags) == ("acme", "Weekly", ["a", "b"])
    assert (record.hosting, record.plan) == ("cloud", "livekit/ship")
    assert (record.status, record.error) == (Status.COMPLETE, "")
    assert (record.started_at, record.ended_at) == (START, START + timedelta(seconds=60))
    assert (record.revision, record.rate_card) == (1, "abc")
    assert (record.list_cost, record.currency) == (Decimal("0.3"), "USD")
    assert record.unrated == []
    (first, second) = record.charges
    assert (first.list_cost, second.list_cost) == (Decimal("0.1"), Decimal("0.2"))
    assert first.attributes == {"kind": "webrtc"}
    assert first.disputed == {
        "basis": "audio",
        "list_cost": "0.5",
        "reason": "sources disagree",
    }
    (measured,) = record.usage
    assert (measured.participant, measured.quantity) == ("alice", Decimal(60))


async def test_a_job_that_is_not_rated_yet(ledger: Ledger) -> None:
    await ledger.store_run(run(usage(), hosting="self", plan="none"))
    record = await cost_record(ledger, "AJ_test")
    assert (record.revision, record.charges, record.rate_card) == (0, [], "")
    assert (record.hosting, record.plan) == ("self", "none")


async def test_a_job_that_is_not_there(ledger: Ledger) -> None:
    with pytest.raises(JobNotFound, match=r"no job 'AJ_no' in .+; see `tallyroom jobs`"):
        await cost_record(ledger, "AJ_no")
    assert await job_usage(ledger, "AJ_no") == []
    assert issubclass(JobNotFound, LedgerError)


async def test_the_newest_rating_is_shown(ledger: Ledger) -> None:
    await ledger.store_run(run(usage()))
    await rated(ledger, "AJ_test", "1", "2", "3")
    await rated(ledger, "AJ_test", "5")
    record = await cost_record(ledger, "AJ_test")
    assert (record.revision, record.list_cost, len(record.charges)) == (2, Decimal(5), 1)
    (summary,) = await list_jobs(ledger)
    assert summary.list_cost == Decimal(5)


def seen(quantity: int, certainty: Certainty, **changes: Any) -> Usage:
    return usage(quantity=Decimal(quantity), certainty=certainty, **changes)


@pytest.mark.parametrize(
    ("first", "second", "best"),
    [
        (seen(50, Certainty.PARTIAL), seen(40, Certainty.EXACT), 40),
        (seen(40, Certainty.EXACT), seen(50, Certainty.BOUNDED), 40),
        (seen(40, Certainty.BOUNDED), seen(50, Certainty.PARTIAL), 40),
        (seen(40, Certainty.PARTIAL), seen(50, Certainty.ESTIMATED), 40),
        (seen(40, Certainty.PARTIAL), seen(50, Certainty.PARTIAL), 50),
        (seen(50, Certainty.EXACT), seen(40, Certainty.EXACT), 50),
        (seen(9, Certainty.EXACT), seen(10, Certainty.EXACT), 10),
    ],
)
async def test_of_two_runs_that_saw_an_instance_the_surer_wins_then_the_longer(
    ledger: Ledger, first: Usage, second: Usage, best: int
) -> None:
    await ledger.store_run(run(first))
    await ledger.store_run(run(second, run_id="run_2"))
    (chosen,) = await job_usage(ledger, "AJ_test")
    assert chosen.quantity == best
    (shown,) = (await cost_record(ledger, "AJ_test")).usage
    assert shown.quantity == best


async def test_whoever_is_forgotten_is_a_pseudonym(ledger: Ledger) -> None:
    await ledger.store_run(
        run(
            usage(instance_id="a", participant="alice"),
            usage(instance_id="b", participant="bob"),
            usage(instance_id="c"),
            people={"alice": "Alice", "bob": "Bob"},
        )
    )
    assert [used.participant for used in (await cost_record(ledger, "AJ_test")).usage] == [
        "alice",
        "bob",
        None,
    ]
    forget = text("DELETE FROM people WHERE identity = 'alice'")
    await ledger.write(lambda connection: connection.execute(forget))
    forgotten, bob, nobody = (await cost_record(ledger, "AJ_test")).usage
    assert forgotten.participant is not None
    assert forgotten.participant.startswith("person_")
    assert forgotten.quantity == Decimal(60)
    assert (bob.participant, nobody.participant) == ("bob", None)


async def test_what_is_rated_is_pseudonymous(ledger: Ledger) -> None:
    await ledger.store_run(run(usage(participant="alice")))
    (used,) = await job_usage(ledger, "AJ_test")
    assert used.participant is not None
    assert used.participant.startswith("person_")


@pytest.mark.parametrize(
    ("statuses", "worst"),
    [
        ((Status.COMPLETE,), Status.COMPLETE),
        ((Status.RECOVERED, Status.COMPLETE), Status.RECOVERED),
        ((Status.COMPLETE, Status.RECOVERED), Status.RECOVERED),
        ((Status.RECOVERED, Status.FAILED), Status.FAILED),
        ((Status.DECLINED,), Status.DECLINED),
    ],
)
async def test_a_job_stands_as_the_worst_of_its_runs(
    ledger: Ledger, statuses: tuple[Status, ...], worst: Status
) -> None:
    for number, status in enumerate(statuses):
        error = "boom" if status is Status.FAILED else ""
        await ledger.store_run(run(run_id=f"run_{number}", status=status, error=error))
    record = await cost_record(ledger, "AJ_test")
    assert record.status is worst
    assert record.error == ("boom" if worst is Status.FAILED else "")
    (summary,) = await list_jobs(ledger)
    assert summary.status is worst


async def many(ledger: Ledger) -> None:
    for number, (tenant, status) in enumerate(
        [
            ("acme", Status.COMPLETE),
            ("acme", Status.RECOVERED),
            ("zeta", Status.COMPLETE),
            ("", Status.FAILED),
        ]
    ):
        stored = run(run_id=f"run_{number}", job_id=f"AJ_{number}", tenant=tenant, status=status)
        later = timedelta(hours=number)
        object.__setattr__(stored.info, "started_at", START + later)
        object.__setattr__(stored, "ended_at", START + later + timedelta(seconds=5))
        await ledger.store_run(stored)


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ({}, [3, 2, 1, 0]),
        ({"limit": 2}, [3, 2]),
        ({"tenant": "acme"}, [1, 0]),
        ({"tenant": ""}, [3]),
        ({"status": Status.COMPLETE}, [2, 0]),
        ({"status": Status.COMPLETE, "limit": 1}, [2]),
        ({"status": Status.COMPLETE, "tenant": "acme"}, [0]),
        ({"status": Status.RUNNING}, []),
        ({"since": START + timedelta(hours=2)}, [3, 2]),
        ({"since": START + timedelta(hours=9)}, []),
    ],
)
async def test_jobs_are_listed_newest_first(
    ledger: Ledger, filters: dict[str, Any], found: list[int]
) -> None:
    await many(ledger)
    assert [job.job_id for job in await list_jobs(ledger, **filters)] == [
        f"AJ_{number}" for number in found
    ]


async def test_no_jobs(ledger: Ledger) -> None:
    assert await list_jobs(ledger) == []


async def test_a_summary_counts_what_is_unrated(ledger: Ledger) -> None:
    from dataclasses import replace

    from metering.pricing.charges import ChargeState

    await ledger.store_run(run(usage()))
    missing = replace(
        charge(), state=ChargeState.UNRATED, list_cost=None, unit_price=None, currency=None
    )
    await store_rating(
        ledger,
        "AJ_test",
        [charge("0.25"), missing, missing],
        rate_card="",
        hosting="self",
        plan="none",
        rated_runs=["run_test"],
    )
    (summary,) = await list_jobs(ledger)
    assert (summary.list_cost, summary.unrated) == (Decimal("0.25"), 2)
    record = await cost_record(ledger, "AJ_test")
    assert len(record.unrated) == 2

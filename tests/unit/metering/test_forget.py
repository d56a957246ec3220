"""What is forgotten in the store and in texts; the agent's tests search all files for it."""

from __future__ import annotations

import pytest

from metering.ledger.forgetting import forget_jobs, forget_person, known_person, named_jobs
from metering.ledger.queries import cost_record
from metering.ledger.store import Ledger
from metering.upkeep.scrubbing import Scrub
from tests.unit.metering.samples import START, run, usage


async def test_a_person_in_any_store(store_url: str) -> None:
    async with Ledger(store_url) as ledger:
        await ledger.store_run(run(usage(participant="alice"), people={"alice": "Alice"}))
        known = await known_person(ledger, "alice")
        assert known is not None
        assert (known.name, known.job_ids) == ("Alice", ["AJ_test"])
        assert await forget_person(ledger, "alice", lambda text, _: text) == 1
        assert await known_person(ledger, "alice") is None
        assert await forget_person(ledger, "alice", lambda text, _: text) == 0
        (used,) = (await cost_record(ledger, "AJ_test")).usage
        assert used.participant is not None
        assert used.participant.startswith("person_")


async def test_a_job_in_any_store(store_url: str) -> None:
    async with Ledger(store_url) as ledger:
        both = {"alice": "Alice", "bob": "Bob"}
        first = usage(instance_id="1", participant="alice")
        await ledger.store_run(
            run(first, usage(instance_id="2", participant="bob"), people=both, title="Secret")
        )
        other = usage(instance_id="3", participant="bob")
        await ledger.store_run(run(other, people=both, job_id="AJ_2", run_id="run_2", title="x"))
        assert [row[0] for row in await named_jobs(ledger, START.replace(year=2030))] == [
            "AJ_2",
            "AJ_test",
        ]
        assert await forget_jobs(ledger, ["AJ_test"]) == 1
        assert await known_person(ledger, "alice") is None
        assert await known_person(ledger, "bob") is not None
        record = await cost_record(ledger, "AJ_test")
        assert (record.title, record.room_name, record.tags) == ("", "", [])
        assert len(record.usage) == 2
        assert [row[0] for row in await named_jobs(ledger, START.replace(year=2030))] == ["AJ_2"]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Thanks bob.", "Thanks [forgotten]."),
        ("BOB: yes", "[forgotten]: yes"),
        ("bobsled, bob-2, bob@example.org, abob", "bobsled, bob-2, bob@example.org, abob"),
        ("Robert Paulson is Robert", "[forgotten] is [forgotten]"),
        ("robert, may I?", "robert, may I?"),
    ],
)
def test_names_are_words_of_their_own(text: str, left: str) -> None:
    scrub = Scrub(names=["bob", "Robert Paulson"], their_jobs=["AJ_1"])
    assert scrub.text(text, "AJ_1") == left


def test_a_names_parts_are_only_taken_out_where_the_person_was() -> None:
    scrub = Scrub(names=["Will May"], their_jobs=["AJ_1"])
    assert scrub.text("Will may go, Will May too.", "AJ_2") == "[forgotten] go, [forgotten] too."
    assert scrub.text("Will you? I may.", "AJ_2") == "Will you? I may."
    assert scrub.text("Will you? I may.", "AJ_1") == "[forgotten] you? I may."


def test_values() -> None:
    payload = {
        "data": {"job_id": "AJ_1", "notes": {"summary": "x"}, "list_cost": "1.5"},
        "by_person": {"bob": ["bob", 3, None, "said bob."]},
    }
    assert Scrub(names=["bob"], their_jobs=["AJ_1"]).value(payload) == {
        "data": {"job_id": "AJ_1", "notes": None, "list_cost": "1.5"},
        "by_person": {"forgotten": ["forgotten", 3, None, "said [forgotten]."]},
    }
    told = {"job_id": "AJ_1", "tags": ["a"], "title": "x", "tenant": "acme"}
    assert Scrub(job_ids=["AJ_1"]).value(told) == {
        "job_id": "AJ_1",
        "tags": [],
        "title": "",
        "tenant": "acme",
    }

"""A meeting that is noted while it runs: on the real server, by a local LLM with its own ledger."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from demo.server import LocalServer
from demo.speaker import Speaker
from tests.e2e.agent.conftest import Tallyroom, own_worker
from tests.providers.note_maker import NoteMaker, data_of
from tests.providers.server import Fault
from tests.providers.webhooks import SECRET, WebhookReceiver
from tests.waiting import until

SAID = ("austen_0890", "austen_0920", "austen_0870", "austen_0890")
TEMPLATE = Path(__file__).parents[3] / "agent" / "notes" / "templates" / "minutes.toml"


def llm(server: NoteMaker, folder: Path) -> Mapping[str, str]:
    """Settings of a worker whose notes are folded every few sentences."""
    text = TEMPLATE.read_text("utf-8")
    at = text.index("[[section]]")
    (folder / "minutes.toml").write_text(f"{text[:at]}[fold]\nbytes = 500\n\n{text[at:]}")
    return {
        "TALLYROOM_STT": "faster-whisper/tiny.en",
        "TALLYROOM_LLM": "openai/gpt-4.1-mini",
        "TALLYROOM_NOTES_TEMPLATES": str(folder / "minutes.toml"),
        "TALLYROOM_NOTES_MAX_COST": "0.50",
        "OPENAI_API_KEY": "key",
        "OPENAI_BASE_URL": f"{server.origin}/v1",
    }


async def hold(
    tallyroom: Tallyroom, server: LocalServer, room: str, *clips: str, **asked: Any
) -> tuple[str, Any]:
    """The job's id and its record."""
    async with Speaker(server, room, "alice", name="Alice") as alice:
        job_id = await tallyroom.dispatch(room, title="Reading", tenant="acme", **asked)
        for number, clip in enumerate(clips, start=1):
            await alice.say(clip)
            await alice.silence(1.0)
            await alice.wait_for_final(number)
    return job_id, await tallyroom.record(job_id, timeout=60)


@pytest.mark.timeout(300)
async def test_a_meeting_has_notes_when_it_ends(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with NoteMaker() as server, WebhookReceiver() as receiver:
        server.questions = re.compile("selfish|amiable|leisure")
        told = {"TALLYROOM_WEBHOOK_URL": receiver.url, "TALLYROOM_WEBHOOK_SECRET": SECRET}
        settings = {**llm(server, tmp_path), **told}
        async with own_worker(livekit_server, tmp_path / "data", settings) as worker:
            tallyroom = Tallyroom(worker, tmp_path / "data")

            async def read() -> tuple[str, Any]:
                async with Speaker(livekit_server, room_name, "bob", name="Bob") as bob:
                    # Some of it is folded while people are still there.
                    job_id = await tallyroom.dispatch(room_name, title="Reading", tenant="acme")
                    for number, clip in enumerate(SAID, start=1):
                        await bob.say(clip)
                        await bob.silence(1.0)
                        await bob.wait_for_final(number)
                    await until(lambda: server.completions)
                return job_id, await tallyroom.record(job_id, timeout=60)

            # In the same worker and at the same time: one that asks for none.
            (job_id, record), (silent, _) = await asyncio.gather(
                read(),
                hold(tallyroom, livekit_server, f"{room_name}-2", "austen_0890", notes=False),
            )

            def events() -> list[dict[str, Any]]:
                told = (one.event for one in receiver.taken)
                return [event for event in told if event["data"]["job_id"] == job_id]

            await until(lambda: len(events()) >= 4)
            ran = await tallyroom.run("notes", job_id, "--json")
            shown = await tallyroom.run("notes", job_id)

            # One that asks for what is not there.
            refused = await tallyroom.run("dispatch", f"{room_name}-3", "--notes", "poem")
            asked_for = len(server.asked)

            # And one whose LLM is down.
            server.faults.extend([Fault(refuse=500)] * 20)
            failed, failed_record = await hold(
                tallyroom, livekit_server, f"{room_name}-4", "austen_0890"
            )

    notes = ran.json
    assert [event["type"] for event in events()] == [
        "meeting.started",
        "meeting.ended",
        "meeting.notes",
        "meeting.cost",
    ]
    assert events()[2]["data"]["notes"] == notes
    transcript = tallyroom.transcript(job_id)
    segments = {item["segment_id"]: item for item in transcript["segments"]}
    assert (notes["status"], notes["reason"], notes["not_covered"]) == ("complete", "", [])
    assert (notes["title"], notes["template"], notes["language"]) == ("Reading", "minutes", "en")
    assert notes["segments"] == len(segments)
    assert notes["folds"] == notes["requests"] >= 2
    questions = next(one for one in notes["sections"] if one["key"] == "open_questions")["items"]
    assert [(item["text"], item["citations"]) for item in questions] == [
        (
            item["text"],
            [
                {
                    "segment_id": item["segment_id"],
                    "speaker": "bob",
                    "name": "Bob",
                    "start": item["start"],
                }
            ],
        )
        for item in transcript["segments"]
        if server.questions.search(item["text"])
    ]
    assert len(questions) >= 3
    given = [one["number"] for asked in server.asked for one in data_of(asked)["segments"]]
    assert given == list(range(1, len(segments) + 1))
    folder = tallyroom.data / "transcripts" / job_id
    assert shown.out == (folder / "notes.md").read_text("utf-8")
    assert " Bob]\n" in shown.out

    used: dict[str, Decimal] = {}
    for item in record["usage"]:
        if item["meter"].startswith("llm_"):
            assert (item["purpose"], item["certainty"]) == ("notes", "exact")
            assert (item["provider"], item["model"]) == ("openai", "gpt-4.1-mini")
            used[item["meter"]] = used.get(item["meter"], Decimal(0)) + Decimal(item["quantity"])
    ours = server.completions[: notes["requests"]]
    assert used["llm_input_tokens"] == sum(one.input_tokens for one in ours)
    assert used["llm_output_tokens"] == sum(one.output_tokens for one in ours)
    assert record["status"] == "complete"
    assert Decimal(0) < Decimal(record["list_cost"]) < Decimal("0.50")

    assert not list((tallyroom.data / "transcripts" / silent).glob("notes*"))
    assert asked_for == notes["requests"]
    assert refused.code == 1

    none = json.loads((tallyroom.data / "transcripts" / failed / "notes.json").read_text())
    assert (none["status"], none["reason"]) == ("none", "the LLM refused the request (HTTP 500)")
    assert len(tallyroom.transcript(failed)["segments"]) == none["segments"] > 0
    assert failed_record["status"] == "complete"
    logged = " ".join(json.dumps(entry) for entry in worker.log).lower()
    assert "none notes: the llm refused the request (http 500)" in logged
    for word in ("selfish", "amiable", "leisure", "dashwood"):
        assert word not in logged

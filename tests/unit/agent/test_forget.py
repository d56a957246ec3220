"""`tallyroom forget`: words and names gone from all files, money and statements as they were.

Proven by a search of every byte of the data folder and of the backups, unpacked.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from agent.answers.kept import keep
from agent.answers.question import Exchange, Status
from agent.cli import app
from agent.notes.document import (
    Citation,
    NotedItem,
    NotedSection,
    Notes,
    NotesStatus,
    write_notes,
)
from agent.notes.markdown import render_notes
from agent.search_index import SearchIndex
from metering.journal import JournalWriter
from metering.ledger.store import Ledger
from metering.outbox import Outbox
from metering.sweeping import sweep
from tests.unit.agent.builders import segment
from tests.unit.agent.meetings import keep_meeting
from tests.unit.metering.old import OLD, journal_of, old_run, old_usage
from tests.unit.metering.samples import info, settings
from tests.unit.metering.test_settings import VARIABLES

STT = "deepgram"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    folder = tmp_path / "data"
    monkeypatch.setenv("TALLYROOM_DATA_DIR", str(folder))
    monkeypatch.setenv("TALLYROOM_HOSTING", "self")
    hold(
        folder,
        "AJ_1",
        tenant="acme",
        title="Zora Quill and Bob about Xanadu",
        room_name="xanadu-room",
        people={"zora-7": "Zora Quill", "bob": "Bob"},
        said=[
            segment(segment_id="SG_1", speaker="zora-7", name="Zora Quill", text="Swordfish."),
            segment(
                segment_id="SG_2",
                speaker="bob",
                name="Bob",
                text="Thanks Zora, I trust zora quill, not zora-77.",
                start=3.0,
                end=4.0,
            ),
        ],
    )
    hold(
        folder,
        "AJ_2",
        tenant="other",
        title="Weekly",
        room_name="weekly",
        people={"bob": "Bob", "zora-77": "Another"},
        said=[
            segment(segment_id="SG_1", speaker="bob", name="Bob", text="Ask Zora Quill. Plum."),
        ],
    )
    called("correct", "AJ_1", "SG_1", "Swordfishes.", "--by", "bob")
    called("correct", "AJ_1", "SG_2", "Thanks Zora. Quince.", "--by", "zora-7")
    keep_notes(folder / "transcripts" / "AJ_1", "Swordfish was agreed", "zora-7", "Zora Quill")
    keep_answer(folder / "transcripts" / "AJ_1", "What of the swordfish?", "bob", "Swordfish.")
    keep_answer(folder / "transcripts" / "AJ_2", "Whose plums?", "bob", "Those of ZORA QUILL.")
    # Of a meeting that she was not in, where somebody has named her.
    keep_notes(folder / "transcripts" / "AJ_2", "Plums are for ZORA QUILL", "bob", "Bob")
    called("search", "Swordfishes")
    outbox = Outbox(folder / "outbox")
    for job_id, summary in (("AJ_1", "Swordfish."), ("AJ_2", "Plum, by Zora Quill.")):
        payload = {"type": "meeting.notes", "data": {"job_id": job_id, "notes": summary}}
        outbox.put("webhook", payload, key=f"{job_id}/notes")
    called("statement", "2025-03", "--issue")
    called("backup", str(tmp_path / "backup.tar.gz"))
    return folder


def hold(
    data: Path, job_id: str, *, people: dict[str, str], said: Any, room_name: str, **head: Any
) -> None:
    """A meeting of 2025 that was transcribed, metered and settled."""
    used = [
        old_usage(instance_id=f"{job_id}/PA_{number}", participant=identity)
        for number, identity in enumerate(people)
    ]
    run = old_run(
        *used,
        old_usage(
            instance_id=f"{job_id}/stt",
            meter="stt_audio",
            provider=STT,
            model="nova-3",
            participant=next(iter(people)),
        ),
        job_id=job_id,
        run_id=f"run_{job_id}",
        room_name=room_name,
        tags=("xanadu",) if job_id == "AJ_1" else (),
        **head,
    )
    path = journal_of(run, data / "journals")
    with path.open("ab") as file:
        from metering.journal import encode

        for identity, name in people.items():
            file.write(encode({"kind": "person", "identity": identity, "name": name}))
    asyncio.run(sweep(settings(data)))
    head.pop("tags", None)
    keep_meeting(data, said, job_id=job_id, room_name=room_name, started_at=OLD, **head)


def keep_notes(folder: Path, text: str, speaker: str, name: str) -> None:
    """A meeting's notes, one item long."""
    cited = Citation(segment_id="SG_1", speaker=speaker, name=name, start=1.0)
    item = NotedItem(text=text, owner=name, citations=(cited,))
    section = NotedSection(key="decisions", title="Decisions", prose=False, items=(item,))
    notes = Notes(
        job_id=folder.name,
        title="",
        started_at=OLD,
        made_at=OLD,
        template="minutes",
        heading="Minutes",
        language="en",
        model="openai/gpt-4.1-mini",
        status=NotesStatus.COMPLETE,
        reason="",
        sections=(section,),
        not_covered=(),
        segments=1,
        folds=1,
        requests=1,
        refused_items=0,
        refused_owners=0,
    )
    write_notes(folder, notes, render_notes(notes))


def keep_answer(folder: Path, question: str, participant: str, answer: str) -> None:
    exchange = Exchange(
        participant=participant,
        name="Bob",
        question=question,
        is_aloud=False,
        asked_at=OLD,
        answered_at=OLD,
        status=Status.ANSWERED,
        answer=answer,
    )
    keep(folder, exchange)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def called(*arguments: str) -> str:
    result = call(*arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def holding(data: Path, word: str) -> list[str]:
    """Where a word stands, in any case: in any file, also of the backups."""
    unpacked = data.parent / "unpacked"
    shutil.rmtree(unpacked, ignore_errors=True)
    for archive in data.parent.glob("*.tar.gz"):
        with tarfile.open(archive) as tar:
            tar.extractall(unpacked / archive.name, filter="data")
    return sorted(
        {
            str(path.relative_to(data.parent))
            for path in [*data.rglob("*"), *unpacked.rglob("*")]
            if path.is_file() and word.lower().encode() in path.read_bytes().lower()
        }
    )


def money() -> list[str]:
    """All that was to be paid, and how it was made up."""
    records = [json.loads(called("show", job_id, "--json")) for job_id in ("AJ_1", "AJ_2")]
    for record in records:
        for name in ("title", "room_name", "tags"):
            del record[name]
        for used in record["usage"]:
            del used["participant"]
    statements = [called("statement", "2025-03", *by, "--json") for by in ([], ["--by", "tenant"])]
    return [json.dumps(records), *statements, called("statements", "--json"), called("verify")]


def test_what_is_looked_for_is_there_before(data: Path) -> None:
    everywhere = holding(data, "Zora Quill")
    for name in (
        "data/ledger.sqlite3",
        "data/journals/settled/run_AJ_1.journal",
        "data/transcripts/AJ_1/segments.jsonl",
        "data/transcripts/AJ_1/transcript.vtt",
        "unpacked/backup.tar.gz/ledger.sqlite3",
        "unpacked/backup.tar.gz/journals/settled/run_AJ_1.journal",
    ):
        assert name in everywhere
    assert any(name.startswith("data/outbox/webhook/") for name in everywhere)
    assert "data/transcripts/AJ_1/answers.jsonl" in holding(data, "Swordfish")
    assert "data/transcripts/AJ_2/answers.jsonl" in everywhere
    assert "data/search.sqlite3" in holding(data, "Swordfishes")
    assert "data/transcripts/AJ_1/corrections.jsonl" in holding(data, "Swordfishes")
    for name in ("notes.json", "notes.md"):
        assert f"data/transcripts/AJ_1/{name}" in holding(data, "Swordfish")
        assert f"data/transcripts/AJ_2/{name}" in everywhere


def test_a_person(data: Path) -> None:
    before = money()
    said = called("forget", "person", "zora-7", "--yes")
    assert said == (
        "forgotten in 1 jobs: 1 people, 1 journals, 2 waiting deliveries, 1 backups\n"
        "2 transcripts changed\n"
    )
    for gone in ("Zora Quill", "Swordfish", '"zora-7"', "quill"):
        assert holding(data, gone) == [], gone
    # Somebody else's identity begins alike, and stays; so do the words of others.
    assert "data/ledger.sqlite3" in holding(data, "zora-77")
    text = called("transcript", "AJ_1", "--format", "txt")
    assert text == (
        "[00:00:01] forgotten: [forgotten]\n[00:00:03] Bob: Thanks [forgotten]. Quince.\n"
    )
    (folder,) = (data / "transcripts").glob("AJ_1")
    assert (folder / "transcript.txt").read_text("utf-8") == text
    heard = json.loads((folder / "transcript.json").read_text("utf-8"))
    assert heard["title"] == "[forgotten] and Bob about Xanadu"
    assert heard["segments"][1]["correction"]["by"] == "forgotten"
    for job_id in ("AJ_1", "AJ_2"):
        assert list((data / "transcripts" / job_id).glob("*notes*")) == []
        assert not (data / "transcripts" / job_id / "answers.jsonl").exists()
    why = "no notes of job 'AJ_1'; `tallyroom notes AJ_1 --again` makes them"
    assert why in call("notes", "AJ_1").stderr
    assert called("transcript", "AJ_2", "--format", "txt") == (
        "[00:00:01] Bob: Ask [forgotten]. Plum.\n"
    )
    assert json.loads(called("show", "AJ_1", "--json"))["title"] == (
        "[forgotten] and Bob about Xanadu"
    )
    assert money() == before
    assert call("forget", "person", "zora-7", "--yes").exit_code == 1


def test_a_meeting(data: Path) -> None:
    before = money()
    called("forget", "meeting", "AJ_1", "--yes")
    for gone in ("Swordfish", "Quince", "xanadu", 'zora-7"', "Zora Quill and", "SG_2"):
        assert holding(data, gone) == [], gone
    # Who was in another meeting as well is known there, and nowhere else.
    assert holding(data, "Plum") != []
    assert "data/ledger.sqlite3" in holding(data, "zora-77")
    assert not (data / "transcripts" / "AJ_1").exists()
    record = json.loads(called("show", "AJ_1", "--json"))
    assert (record["title"], record["room_name"], record["tags"]) == ("", "", [])
    assert record["tenant"] == "acme"
    assert {used["participant"][:7] for used in record["usage"]} == {"person_", "bob"}
    assert money() == before


def test_a_tenant(data: Path) -> None:
    before = money()
    said = json.loads(called("forget", "tenant", "acme", "--yes", "--json"))
    assert (said["jobs"], said["transcripts"]) == (["AJ_1"], 1)
    for gone in ("Swordfish", "Quince", "xanadu", 'zora-7"'):
        assert holding(data, gone) == [], gone
    assert holding(data, "Plum") != []
    assert money() == before


def test_a_backup_that_was_moved_is_named_and_can_be_given(data: Path, tmp_path: Path) -> None:
    (tmp_path / "backup.tar.gz").rename(tmp_path / "moved.tar.gz")
    result = call("forget", "person", "zora-7", "--yes")
    assert result.exit_code == 0
    assert f"no longer there: {tmp_path / 'backup.tar.gz'}" in result.stderr
    assert holding(data, "Zora Quill") != []
    again = call("forget", "person", "zora-7", "--backup", str(tmp_path / "moved.tar.gz"), "--yes")
    assert again.exit_code == 0
    assert holding(data, "Zora Quill") == []


def test_a_rewritten_backup_can_be_restored(data: Path, tmp_path: Path) -> None:
    before = money()
    called("forget", "person", "zora-7", "--yes")
    called("restore", str(tmp_path / "backup.tar.gz"), "--force")
    assert money() == before
    assert holding(data, "Zora Quill") == []
    # What the restore has moved away is looked through, too.
    called("forget", "person", "bob", "--yes")
    assert holding(data, '"bob"') == []
    assert [name for name in holding(data, "Bob") if "ledger" in name] == []


def test_what_was_deleted_before_is_not_left_in_free_pages(data: Path) -> None:
    async def add_and_delete() -> None:
        async with Ledger(settings(data).ledger_url) as ledger:
            await ledger.keep_journal_part("run_gone", 0, "Zora Quill " * 2000)
            await ledger.drop_journals(["run_gone"])

    asyncio.run(add_and_delete())
    called("forget", "person", "zora-7", "--yes")
    assert holding(data, "Zora Quill") == []


@pytest.mark.parametrize(("kind", "id_"), [("meeting", "AJ_3"), ("person", "eve")])
def test_who_is_in_a_meeting_that_goes_on_is_not_forgotten_yet(
    kind: str, id_: str, data: Path
) -> None:
    journal = JournalWriter(data / "journals" / "run_alive.journal", beat=lambda: ())
    try:
        head = info(job_id="AJ_3", run_id="run_alive", room_name="now")
        journal.append(head.to_entry())
        journal.append({"kind": "person", "identity": "eve", "name": "Eve"})
        journal.finish()
        result = call("forget", kind, id_, "--yes")
        assert (result.exit_code, result.stdout) == (1, "")
        assert "AJ_3 goes on: forget when it has ended" in result.stderr
    finally:
        journal.release()


def test_a_journal_that_nobody_can_read_goes_with_whom_it_names(data: Path) -> None:
    aside = data / "journals" / "unreadable"
    aside.mkdir()
    (aside / "a.journal").write_bytes(b'no head {"name": "Zora Quill"}\n')
    (aside / "b.journal").write_bytes(b'no head {"name": "Somebody"}\n')
    called("forget", "person", "zora-7", "--yes")
    assert [path.name for path in aside.iterdir()] == ["b.journal"]


@pytest.mark.parametrize("kind", ["person", "meeting", "tenant"])
def test_of_whom_nothing_is_known(kind: str, data: Path) -> None:
    before = {path: path.read_bytes() for path in (data / "transcripts").rglob("*.*")}
    result = call("forget", kind, "nobody-here", "--yes")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"tallyroom: nothing is known of {kind} 'nobody-here'\n"
    assert {path: path.read_bytes() for path in (data / "transcripts").rglob("*.*")} == before


def test_it_asks_first(data: Path) -> None:
    result = CliRunner().invoke(app, ["forget", "person", "zora-7"], input="n\n")
    assert result.exit_code == 1
    assert holding(data, "Zora Quill") != []


def test_search_after_it(data: Path) -> None:
    called("forget", "person", "zora-7", "--yes")
    with SearchIndex(data / "transcripts") as index:
        index.refresh()
        assert [hit.job_id for hit in index.search(["plum"])] == ["AJ_2"]
        assert index.search(["swordfishes"]) == []

"""Questions and answers that are kept, and read back whatever happened to the file."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.answers.kept import ANSWERS, keep, read_answers
from agent.answers.question import Citation, Exchange, Status
from agent.errors import AnswersError

KEPT = Exchange(
    participant="carol",
    name="Carol",
    question="Who pays?",
    is_aloud=True,
    asked_at=datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
    answered_at=datetime(2026, 11, 20, 9, 31, tzinfo=UTC),
    status=Status.ANSWERED,
    answer="Bób: \u201che said so\u201d.",
    citations=(Citation("SG_1", "bob", "Bob", 1.5, "I pay for it"),),
    looked_at=3,
    of=4,
    tools=("calendar",),
    voice_seconds=1.25,
    was_interrupted=True,
)


def test_what_is_kept_is_read_back_in_order(tmp_path: Path) -> None:
    second = replace(KEPT, question="When?")
    keep(tmp_path, KEPT)
    keep(tmp_path, second)
    assert read_answers(tmp_path) == [KEPT, second]


def test_a_torn_line_costs_no_other(tmp_path: Path) -> None:
    keep(tmp_path, KEPT)
    with (tmp_path / ANSWERS).open("a") as file:
        file.write('{"participant": "car')
    keep(tmp_path, KEPT)
    assert read_answers(tmp_path) == [KEPT, KEPT]


def test_where_nothing_was_asked_there_is_nothing(tmp_path: Path) -> None:
    assert read_answers(tmp_path) == []


def test_where_nothing_can_be_written_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(AnswersError, match=r"cannot write .*answers\.jsonl: No such file"):
        keep(tmp_path / "none", KEPT)

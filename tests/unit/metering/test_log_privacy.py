"""Room names in the logs: LiveKit adds them, the filter takes them off."""

from __future__ import annotations

import logging

import pytest

from metering.log_privacy import RoomNameRemover


def logged(name: str) -> logging.LogRecord:
    record = logging.LogRecord(name, logging.INFO, "", 0, "cost_record", None, None)
    record.__dict__.update(room="Dr. Weber, Tuesday", room_id="RM_1")
    return record


@pytest.mark.parametrize(
    ("loggers", "name", "is_taken_off"),
    [
        ("tallyroom", "tallyroom.metering", True),
        ("tallyroom", "livekit.agents", False),
        ("tallyroom", "tallyroomette", False),
        ("", "livekit.agents", True),
    ],
)
def test_the_room_is_taken_off_and_the_line_stays(
    loggers: str, name: str, is_taken_off: bool
) -> None:
    record = logged(name)
    assert RoomNameRemover(loggers).filter(record)
    assert hasattr(record, "room") is not is_taken_off
    assert record.__dict__["room_id"] == "RM_1"

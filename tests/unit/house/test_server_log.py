"""What is read out of a livekit-server's log, line by line as version 1.13.5 writes them."""

from __future__ import annotations

from datetime import UTC, datetime

from demo.server_log import ServerParticipant, ServerRoom, read_timeline

WHO = '"room":"r","roomID":"RM_1","participant":"ada","participantID":"PA_1"'
JOINED = f'{{"level":"info","ts":1795233325.829755,"msg":"starting RTC session",{WHO}}}'
LEFT = (
    f'{{"level":"info","ts":1795233326.9446387,"msg":"participant closing",{WHO},'
    '"reason":"CLIENT_REQUEST_LEAVE"}'
)
LEFT_AGAIN = LEFT.replace("1795233326.9446387", "1795233330.5").replace("CLIENT_REQUEST", "STATE")
CLOSED = '{"level":"info","ts":1795233329,"msg":"closing room","room":"r","roomID":"RM_1"}'

JOINED_AT = datetime(2026, 11, 21, 3, 55, 25, 829755, UTC)
LEFT_AT = datetime(2026, 11, 21, 3, 55, 26, 944639, UTC)
CLOSED_AT = datetime(2026, 11, 21, 3, 55, 29, 0, UTC)


def test_a_join_a_leave_and_a_close() -> None:
    seen = read_timeline([JOINED, LEFT, CLOSED])
    assert seen.participants == (
        ServerParticipant("ada", "PA_1", "r", "RM_1", JOINED_AT, LEFT_AT, "CLIENT_REQUEST_LEAVE"),
    )
    assert seen.rooms == (ServerRoom("r", "RM_1", JOINED_AT, CLOSED_AT),)
    assert seen.participants[0].seconds == 1.114884


def test_whoever_is_there_has_not_left() -> None:
    (participant,) = read_timeline([JOINED]).participants
    assert (participant.left_at, participant.reason, participant.seconds) == (None, None, None)


def test_the_first_leave_and_the_first_join_of_a_sid_count() -> None:
    resumed = JOINED.replace("1795233325.829755", "1795233326.1")
    (participant,) = read_timeline([JOINED, resumed, LEFT, LEFT_AGAIN]).participants
    assert (participant.joined_at, participant.left_at) == (JOINED_AT, LEFT_AT)


def test_a_rejoin_is_another_join_and_another_room_another_room() -> None:
    again = JOINED.replace("PA_1", "PA_2")
    elsewhere = JOINED.replace('"r"', '"s"').replace("RM_1", "RM_2").replace("PA_1", "PA_3")
    seen = read_timeline([JOINED, LEFT, again, elsewhere])
    assert [one.sid for one in seen.joins_of("ada")] == ["PA_1", "PA_2", "PA_3"]
    assert [one.sid for one in seen.of_room("s").participants] == ["PA_3"]
    assert [room.sid for room in seen.of_room("s").rooms] == ["RM_2"]
    found = seen.by_sid("PA_2")
    assert found is not None
    assert found.left_at is None
    assert seen.by_sid("PA_9") is None


def test_lines_that_say_nothing_are_passed_over() -> None:
    noise = ["goroutine 1 [running]:", "", JOINED[:40], '"text"', '{"msg":"no time"}', LEFT]
    assert read_timeline(noise) == read_timeline([])

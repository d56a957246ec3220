"""Every example as a real worker: what the providers bill stands once in its cost record."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

from demo.server import LocalServer
from metering.record import CostRecord, RecordUsage
from tests.e2e.examples.meeting import ROOT, Meeting
from tests.providers.openai_voice import BilledResponse, OpenAIPlatform
from tests.providers.server import Fault
from tests.providers.speech import BilledConnection, SpeechServer
from tests.waiting import until

TOLERANCE_SECONDS = 0.5
"""Between two processes that share a busy machine; tests/protocol holds the times closely."""
CLIP = "austen_0890"
PAUSE = 1.5
ROOM_METERS = {"agent_session", "participant_connection", "downstream_data"}


def of(record: CostRecord, *meters: str) -> list[RecordUsage]:
    return [usage for usage in record.usage if usage.meter in meters]


def used(record: CostRecord) -> set[str]:
    """The meters that something was used by, beside the room's."""
    return {usage.meter for usage in record.usage} - ROOM_METERS


def assert_connections(usages: Iterable[RecordUsage], billed: list[BilledConnection]) -> None:
    """Each socket is there once, and as long; where the provider's own id was seen, by it."""
    # One whose handshake was given up may never have been there for the provider.
    lives = sorted(
        (usage for usage in usages if usage.source != "handshake"),
        key=lambda usage: usage.started_at,
    )
    connections = sorted(billed, key=lambda connection: connection.opened_at)
    if any(life.provider_ref for life in lives):
        lives.sort(key=lambda usage: usage.provider_ref or "")
        connections.sort(key=lambda connection: connection.request_id)
    for life, connection in zip(lives, connections, strict=True):
        assert life.provider_ref in (None, connection.request_id)
        off = abs(float(life.quantity) - connection.connection_seconds)
        # One that is closed after the meter has gone is at least as long as it says.
        assert off < TOLERANCE_SECONDS or life.certainty == "partial"
        assert float(life.quantity) < connection.connection_seconds + TOLERANCE_SECONDS


def assert_sockets(record: CostRecord, provider: str, billed: list[BilledConnection]) -> None:
    """Each socket and the audio through it; where one broke, the bounds hold what arrived."""
    mine = [usage for usage in record.usage if usage.provider == provider]
    assert_connections((usage for usage in mine if usage.meter == "stt_connection"), billed)
    sounds = {usage.provider_ref: usage for usage in mine if usage.meter == "stt_audio"}
    heard = [connection for connection in billed if connection.audio_bytes]
    assert sum(usage.meter == "stt_audio" for usage in mine) == len(sounds) == len(heard)
    for connection in heard:
        sound = sounds[connection.request_id]
        truth = Decimal(connection.audio_bytes) / connection.bytes_per_second
        if sound.certainty == "exact":
            assert sound.quantity == truth
        else:
            assert sound.quantity_lower is not None
            assert sound.quantity_upper is not None
            assert sound.quantity_lower <= truth <= sound.quantity_upper


def assert_items(record: CostRecord, openai: OpenAIPlatform, *, by_audio: bool) -> None:
    """Each transcribed item once; its audio is the plugin's to say where it has a meter."""
    items = openai.realtime.items
    assert items
    for meter, billed in (
        ("stt_input_tokens", [Decimal(item.input_tokens) for item in items]),
        ("stt_output_tokens", [Decimal(item.output_tokens) for item in items]),
    ):
        assert Counter(usage.quantity for usage in of(record, meter)) == Counter(billed)
    sounds = [usage for usage in of(record, "stt_audio") if usage.provider == "openai"]
    lengths = [Decimal(item.audio_ms) / 1000 for item in items if by_audio]
    assert Counter(usage.quantity for usage in sounds) == Counter(lengths)


def assert_responses(record: CostRecord, billed: list[BilledResponse]) -> None:
    """Each response once, each part of it by its modality."""
    expected: dict[tuple[str, str], Decimal] = {}
    for response in billed:
        for meter, tokens in (
            ("realtime_input_text_tokens", response.input_text),
            ("realtime_input_audio_tokens", response.input_audio),
            ("realtime_cached_input_text_tokens", response.cached_text),
            ("realtime_cached_input_audio_tokens", response.cached_audio),
            ("realtime_output_text_tokens", response.output_text),
            ("realtime_output_audio_tokens", response.output_audio),
        ):
            if tokens:
                expected[response.response_id, meter] = Decimal(tokens)
    metered = [usage for usage in record.usage if usage.meter.startswith("realtime_")]
    assert {(usage.provider_ref, usage.meter): usage.quantity for usage in metered} == expected
    assert len(metered) == len(expected)
    assert {(usage.provider, usage.model) for usage in metered} == {("openai", "gpt-realtime")}


def assert_speeches(record: CostRecord, openai: OpenAIPlatform) -> None:
    assert openai.speeches
    assert Counter(usage.quantity for usage in of(record, "tts_characters")) == Counter(
        Decimal(speech.characters) for speech in openai.speeches
    )


def assert_completions(record: CostRecord, openai: OpenAIPlatform) -> None:
    """Each request once, by the provider's id; one that was broken off has bounds that hold.

    One that was broken off before its reply began has told nobody its id.
    """
    assert openai.completions
    for meter, billed in (
        ("llm_input_tokens", {item.request_id: item.input_tokens for item in openai.completions}),
        ("llm_output_tokens", {item.request_id: item.output_tokens for item in openai.completions}),
    ):
        metered = of(record, meter)
        named = {usage.provider_ref: usage for usage in metered if usage.provider_ref}
        nameless = [usage for usage in metered if not usage.provider_ref]
        assert len(named) + len(nameless) == len(metered)
        assert named.keys() <= billed.keys()
        assert len(billed.keys() - named.keys()) <= len(nameless)
        assert all(usage.quantity_lower == 0 for usage in nameless)
        for request_id, usage in named.items():
            tokens = billed[request_id]
            if usage.certainty == "exact":
                assert usage.quantity == tokens
            else:
                assert usage.quantity_lower is not None
                assert usage.quantity_upper is not None
                assert usage.quantity_lower <= tokens <= usage.quantity_upper
        assert any(usage.certainty == "exact" for usage in named.values())


async def all_closed(server: SpeechServer) -> None:
    await until(lambda: all(billed.closed_at is not None for billed in server.connections))


async def test_the_multi_user_transcriber_with_one_stt_for_two_sessions(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with Meeting.held(
        livekit_server, room_name, tmp_path, "multi_user_transcriber"
    ) as meeting:
        bob = await meeting.join("bob")
        inference = meeting.providers.inference
        await until(lambda: len(inference.connections) == 2)
        await asyncio.gather(meeting.alice.say(CLIP), bob.say(CLIP))
        record = await meeting.record()
        await all_closed(inference)
    assert used(record) == {"stt_connection", "stt_audio"}
    assert_sockets(record, "livekit", inference.connections)
    sockets = of(record, "stt_connection", "stt_audio")
    assert Counter((usage.participant, usage.purpose) for usage in sockets) == {
        ("alice", "captions"): 2,
        ("bob", "captions"): 2,
    }
    assert {usage.model for usage in sockets} == {"deepgram/nova-3"}


async def test_a_talking_agent(livekit_server: LocalServer, room_name: str, tmp_path: Path) -> None:
    async with Meeting.held(livekit_server, room_name, tmp_path, "talking_agent") as meeting:
        openai, deepgram = meeting.providers.openai, meeting.providers.deepgram
        await until(lambda: len(openai.speeches) == 1)
        await meeting.alice.silence(PAUSE)
        await meeting.alice.say(CLIP)
        await meeting.alice.silence(PAUSE)
        await until(lambda: len(openai.speeches) >= 2)
        record = await meeting.record()
        await all_closed(deepgram)
    assert_sockets(record, "deepgram", deepgram.connections)
    assert_completions(record, openai)
    assert_speeches(record, openai)
    conversation = [usage for usage in record.usage if usage.meter not in ROOM_METERS]
    assert {usage.purpose for usage in conversation} == {"conversation"}


async def test_a_half_cascade(livekit_server: LocalServer, room_name: str, tmp_path: Path) -> None:
    async with Meeting.held(livekit_server, room_name, tmp_path, "half_cascade") as meeting:
        openai = meeting.providers.openai
        await until(lambda: len(openai.realtime.connections) == 1)
        await meeting.alice.say(CLIP)
        await meeting.alice.silence(PAUSE)
        await until(lambda: bool(openai.realtime.responses and openai.speeches))
        await meeting.alice.silence(PAUSE)
        record = await meeting.record()
    assert_responses(record, openai.realtime.responses)
    assert of(record, "realtime_output_audio_tokens") == []
    assert_items(record, openai, by_audio=False)
    assert_speeches(record, openai)


async def test_a_realtime_model(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with Meeting.held(livekit_server, room_name, tmp_path, "realtime_agent") as meeting:
        openai = meeting.providers.openai
        await until(lambda: len(openai.realtime.responses) == 1)
        await meeting.alice.say(CLIP)
        await meeting.alice.silence(PAUSE)
        await until(lambda: len(openai.realtime.responses) >= 2)
        await meeting.alice.silence(PAUSE)
        record = await meeting.record()
    assert_responses(record, openai.realtime.responses)
    assert of(record, "realtime_output_audio_tokens") != []
    assert_items(record, openai, by_audio=False)


async def test_a_fallback_and_the_streams_that_try_if_the_first_is_back(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with Meeting.held(livekit_server, room_name, tmp_path, "fallback") as meeting:
        openai, deepgram = meeting.providers.openai, meeting.providers.deepgram
        await until(lambda: len(deepgram.connections) == 1)
        # It is cut off in the middle of what Alice says.
        at = deepgram.connections[0].audio_bytes
        deepgram.connections[0].fault = Fault(drop_after=at + 2 * 32_000)
        await meeting.alice.say(CLIP)
        await meeting.alice.silence(PAUSE)
        await meeting.alice.say(CLIP)
        await meeting.alice.silence(PAUSE)
        await until(lambda: bool(openai.realtime.items))
        # The first has tried again beside the second, and was heard.
        await until(lambda: any(billed.finals for billed in deepgram.connections[1:]))
        record = await meeting.record()
        await all_closed(deepgram)
        await all_closed(openai.realtime)
    assert len(deepgram.connections) >= 2
    assert_sockets(record, "deepgram", deepgram.connections)
    lives = (usage for usage in of(record, "stt_connection") if usage.provider == "openai")
    assert_connections(lives, openai.realtime.connections)
    assert_items(record, openai, by_audio=True)


async def test_a_stream_adapter(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with Meeting.held(livekit_server, room_name, tmp_path, "stream_adapter") as meeting:
        openai = meeting.providers.openai
        await meeting.alice.say(CLIP)
        await meeting.alice.silence(PAUSE)
        await until(lambda: bool(openai.recordings))
        await meeting.alice.silence(PAUSE)
        record = await meeting.record()
    sounds = of(record, "stt_audio")
    assert Counter(usage.quantity for usage in sounds) == Counter(
        round(Decimal(billed.seconds.numerator) / billed.seconds.denominator, 6)
        for billed in openai.recordings
    )
    assert {(usage.provider, usage.model) for usage in sounds} == {("openai", "whisper-1")}
    assert used(record) == {"stt_audio"}


async def test_a_pooled_realtime_stt(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with Meeting.held(livekit_server, room_name, tmp_path, "pooled_realtime_stt") as meeting:
        openai = meeting.providers.openai
        await until(lambda: len(openai.realtime.connections) == 1)
        await meeting.alice.say(CLIP)
        await meeting.alice.silence(PAUSE)
        await until(lambda: bool(openai.realtime.items))
        await meeting.alice.silence(PAUSE)
        record = await meeting.record()
        await all_closed(openai.realtime)
    assert used(record) == {
        "stt_connection",
        "stt_audio",
        "stt_input_tokens",
        "stt_output_tokens",
    }
    assert_connections(of(record, "stt_connection"), openai.realtime.connections)
    assert_items(record, openai, by_audio=True)


async def test_direct_streams_and_a_session_of_its_own_in_one_room(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    """Two metered agents: whoever they both see is charged to one of them."""
    names = ("direct_stream", "own_client_session")
    async with Meeting.held(livekit_server, room_name, tmp_path, *names) as meeting:
        openai, deepgram = meeting.providers.openai, meeting.providers.deepgram
        await until(lambda: len(deepgram.connections) == 2)
        await meeting.alice.say(CLIP)
        await meeting.alice.silence(PAUSE)
        records = await meeting.records()
        await all_closed(deepgram)
    by_name = {record.agent_name.rpartition("-")[0]: record for record in records}
    assert by_name.keys() == set(names)
    direct, own = by_name["direct_stream"], by_name["own_client_session"]

    assert len(of(direct, "stt_connection")) == len(of(own, "stt_connection")) == 1
    for record in records:
        (ref,) = [usage.provider_ref for usage in of(record, "stt_connection")]
        mine = [billed for billed in deepgram.connections if billed.request_id == ref]
        assert_sockets(record, "deepgram", mine)
    assert_completions(direct, openai)
    assert {usage.purpose for usage in of(direct, "llm_input_tokens")} == {"notes"}
    (sound,) = of(direct, "stt_audio")
    assert (sound.participant, sound.purpose) == ("alice", "captions")

    joins = [usage.instance_id for record in records for usage in of(record, *ROOM_METERS)]
    assert len(joins) == len(set(joins))
    people = [
        usage.attributes["kind"]
        for record in records
        for usage in of(record, "participant_connection")
    ]
    assert Counter(people) == {"webrtc": 1, "agent": 2}
    assert [len(of(record, "agent_session")) for record in records] == [1, 1]


def test_every_example_is_one_of_these() -> None:
    """And says in each line that is there for the meter that it is."""
    shapes = {
        "direct_stream",
        "fallback",
        "half_cascade",
        "multi_user_transcriber",
        "own_client_session",
        "pooled_realtime_stt",
        "realtime_agent",
        "stream_adapter",
        "talking_agent",
    }
    files = {path.stem: path.read_text("utf-8") for path in (ROOT / "examples").glob("*.py")}
    assert files.keys() == shapes
    for name, text in files.items():
        assert "meter = JobMeter(ctx)  # [metering]" in text, name
        assert "TALLYROOM" not in text, name

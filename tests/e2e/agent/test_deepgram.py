"""With a Deepgram key Deepgram transcribes, and its sockets are on the record as it bills them."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from demo.server import LocalServer
from demo.speaker import Speaker
from tests.e2e.agent.conftest import Tallyroom, own_worker
from tests.providers.deepgram import EndpointingDeepgramServer

TOLERANCE_SECONDS = 0.5
"""Provider, agent, server and people share this machine; tests/protocol holds it to 50 ms."""


async def test_a_key_is_all_that_deepgram_needs(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with EndpointingDeepgramServer() as deepgram:
        settings = {"DEEPGRAM_API_KEY": deepgram.api_key, "DEEPGRAM_BASE_URL": deepgram.origin}
        async with own_worker(livekit_server, tmp_path, settings) as worker:
            tallyroom = Tallyroom(worker, tmp_path)
            async with Speaker(livekit_server, room_name, "alice", name="Alice") as alice:
                job_id = await tallyroom.dispatch(room_name, keyterms=["Tallyroom"])
                await alice.say("austen_0890")
                await alice.silence(1.0)
                captions = await alice.wait_for_final()
            record = await tallyroom.record(job_id)
            shown = (await tallyroom.run("timeline", job_id, "--json")).json
    assert captions[0].sender_identity == "alice"
    assert captions[0].text.startswith("heard ")

    (billed,) = deepgram.connections
    (life,) = [item for item in record["usage"] if item["meter"] == "stt_connection"]
    (sound,) = [item for item in record["usage"] if item["meter"] == "stt_audio"]
    assert life["provider_ref"] == sound["provider_ref"] == billed.request_id
    assert (life["participant"], life["purpose"]) == ("alice", "captions")
    assert float(life["quantity"]) == pytest.approx(
        billed.connection_seconds, abs=TOLERANCE_SECONDS
    )
    assert Decimal(sound["quantity"]) == Decimal(billed.audio_bytes) / billed.bytes_per_second

    charges = {
        (charge["meter"], charge["state"]): charge
        for charge in record["charges"]
        if charge["provider"] == "deepgram" and charge["meter"] != "stt_listening"
    }
    assert {charge["attributes"]["keyterms"] for charge in charges.values()} == {"true"}
    assert charges.keys() == {
        ("stt_audio", "priced"),
        ("stt_audio", "unrated"),
        ("stt_connection", "not_billed"),
    }
    paid = charges["stt_audio", "priced"]
    # By the second without rounding up, at $0.0048 a minute.
    assert paid["pricing_quantity"] == sound["quantity"]
    assert Decimal(paid["unit_price"]) * 60 == Decimal("0.0048")
    assert Decimal(paid["list_cost"]) == Decimal(paid["pricing_quantity"]) * Decimal("0.00008")
    # What keyterms add nobody has said.
    assert charges["stt_audio", "unrated"]["consumed_quantity"] == sound["quantity"]

    (turn,) = shown["entries"]
    assert (turn["participant"], turn["text"]) == ("alice", captions[0].text)
    assert turn["list_cost"] == paid["list_cost"]
    assert turn["unrated"] == ["stt_audio deepgram/nova-3"]
    every = [Decimal(item["list_cost"]) for item in (turn, *shown["rest"])]
    assert sum(every) == Decimal(record["list_cost"])

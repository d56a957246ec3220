"""A meeting in several languages, one microphone shared: heard, written down, and on the bill."""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from demo.server import LocalServer
from demo.speaker import Speaker
from tests.e2e.agent.conftest import Tallyroom, own_worker
from tests.providers.deepgram import EndpointingDeepgramServer

KEYTERMS = ["Tallyroom", "Kubernetes"]


async def hold(tallyroom: Tallyroom, server: LocalServer, room: str) -> tuple[str, Any]:
    """The job's id and its record."""
    async with (
        Speaker(server, room, "desk", name="Desk") as desk,
        Speaker(
            server, room, "anna", name="Anna", attributes={"tallyroom.language": "de-CH"}
        ) as anna,
        Speaker(server, room, "ben", name="Ben") as ben,
    ):
        ran = await tallyroom.run(
            *("dispatch", room, "--language", "en", "--participant-language", "desk=auto"),
            *("--diarize-participant", "desk", "--profanity-filter", "--json"),
            *(part for term in KEYTERMS for part in ("--keyterm", term)),
        )
        job_id = str(ran.json["job_id"])
        for person in (desk, anna, ben):
            await person.say("austen_0890")
            await person.silence(1.0)
            await _heard(person)
    return job_id, await tallyroom.record(job_id)


async def _heard(person: Speaker) -> None:
    await person.wait_for_final(
        matching=lambda one: one.sender_identity == person.identity, timeout=40
    )


async def test_each_in_their_language_and_the_features_on_the_bill(
    livekit_server: LocalServer, room_name: str, tmp_path: Path
) -> None:
    async with EndpointingDeepgramServer() as deepgram:
        settings = {"DEEPGRAM_API_KEY": deepgram.api_key, "DEEPGRAM_BASE_URL": deepgram.origin}
        async with own_worker(livekit_server, tmp_path, settings) as worker:
            tallyroom = Tallyroom(worker, tmp_path)
            job_id, record = await hold(tallyroom, livekit_server, room_name)
            transcript = tallyroom.transcript(job_id)

    asked = defaultdict(set)
    for billed in deepgram.connections:
        assert billed.asked["keyterm"] == KEYTERMS
        assert billed.query["profanity_filter"] == "true"
        asked[billed.query["language"]].add(billed.query.get("diarize"))
    assert asked == {"multi": {"true"}, "de-CH": {None}, "en": {None}}

    said = {segment["speaker"]: segment for segment in reversed(transcript["segments"])}
    assert (said["desk"]["voice"], said["desk"]["language"]) == (1, "de")
    assert (said["anna"]["voice"], said["anna"]["language"]) == (None, "de-CH")
    assert (said["ben"]["voice"], said["ben"]["language"]) == (None, "en")
    folder = tmp_path / "transcripts" / job_id
    assert "**Desk (voice 1)** " in (folder / "transcript.md").read_text("utf-8")

    features = {
        "desk": {"language": "multi", "diarization": "true", "keyterms": "true"},
        "anna": {"language": "de-CH", "keyterms": "true"},
        "ben": {"language": "en", "keyterms": "true"},
    }
    seconds: dict[str, Decimal] = {}
    for identity, expected in features.items():
        of_person = [
            item
            for item in record["usage"]
            if item["participant"] == identity and item["meter"] == "stt_audio"
        ]
        assert [item["attributes"] for item in of_person] == [expected] * len(of_person)
        seconds[identity] = sum((Decimal(item["quantity"]) for item in of_person), Decimal(0))
        assert seconds[identity] > 4

    charges = defaultdict(list)
    for charge in record["charges"]:
        if charge["meter"] == "stt_audio":
            charges[charge["attributes"]["language"]].append(charge)
    base, diarized, keyterms = charges["multi"]
    assert base["rate_id"] == "deepgram/nova-3/stt_audio/language=multi"
    assert base["state"] == diarized["state"] == "priced"
    minutes = seconds["desk"] / 60
    assert round(Decimal(base["list_cost"]), 6) == round(minutes * Decimal("0.0058"), 6)
    assert diarized["rate_id"] == "deepgram/nova-3/stt_audio/diarization=true/add-on"
    assert round(Decimal(diarized["list_cost"]), 6) == round(minutes * Decimal("0.002"), 6)
    # What keyterms cost nobody has said: it is never nothing.
    unrated = [keyterms, charges["de-CH"][1], charges["en"][1]]
    assert [charge["state"] for charge in unrated] == ["unrated"] * 3
    assert {charge["reason"] for charge in unrated} == {
        "keyterms: whether they cost extra, and what, is not known"
    }
    assert [charges[tag][0]["rate_id"] for tag in ("de-CH", "en")] == [
        "deepgram/nova-3/stt_audio"
    ] * 2
    total = sum(Decimal(charge["list_cost"]) for charge in record["charges"] if charge["list_cost"])
    assert Decimal(record["list_cost"]) == total

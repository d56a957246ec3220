"""`plans replay --swap`: a month with other models than it was held with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metering.billing.swap import Swap, Swapping, parse_swap, with_unmeasured
from metering.errors import RateError
from metering.pricing import load_catalog, rate
from metering.usage import Usage
from tests.unit.metering.pricing.builders import request, usage

from .commands import run
from .stored import lasting, rates_file, session, settled

pytestmark = pytest.mark.usefixtures("environment")

ASSEMBLYAI = (
    '[[rate]]\nprovider = "assemblyai"\nmodel = "universal-streaming"\n'
    'meter = "stt_connection"\nprice = "0.15"\nunit = "hour"\n'
)
TO_ASSEMBLYAI = "--swap=deepgram/nova-3=assemblyai/universal-streaming"


def replayed(*arguments: str) -> Any:
    result = run("plans", "replay", "2026-11", *arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def on_ship(answer: Any) -> Any:
    [offer] = [
        one
        for one in answer["offers"]
        if (one["plan"], one["hosting"]) == ("livekit/ship", "cloud-agents")
    ]
    return offer


def heard(name: str, connection: int | None, audio: int | None, **fields: Any) -> list[Usage]:
    """Deepgram's minutes of one connection."""
    of = {"model": "nova-3", "instance_id": name, **fields}
    found = (("stt_connection", connection), ("stt_audio", audio))
    return [
        lasting(meter, "deepgram", minutes, **of) for meter, minutes in found if minutes is not None
    ]


def test_stt_billed_by_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates_file(tmp_path, ASSEMBLYAI, monkeypatch)
    settled(tmp_path, 1, session(60), *heard("a", 600, 120), *heard("b", 60, 60))
    answer = replayed(TO_ASSEMBLYAI)
    offer = on_ship(answer)
    # As used: 180 minutes of audio at 0.0048. Swapped: 11 hours of connection at 0.15.
    assert offer["as_used"] == {
        "exact_total": "50.864",
        "total": "50.86",
        "fits": True,
        "unrated": 0,
    }
    assert (offer["exact_total"], offer["unrated"]) == ("51.65", 0)
    assert answer["swapped"] == [
        {
            "from": "deepgram/nova-3",
            "to": "assemblyai/universal-streaming",
            "instances": 2,
            "quantities": {"stt_audio": "10800", "stt_connection": "39600"},
        }
    ]
    [assumed] = answer["assumptions"]
    assert "seconds of audio and of connection are carried over" in assumed
    shown = run("plans", "replay", "2026-11", TO_ASSEMBLYAI).stdout
    for expected in ("$51.65", "$50.86 as used", "for deepgram/nova-3: 2 instances", "assumed:"):
        assert expected in shown


def test_what_was_not_measured_is_taken_from_what_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates_file(tmp_path, ASSEMBLYAI, monkeypatch)
    settled(tmp_path, 1, *heard("a", None, 120))
    answer = replayed(TO_ASSEMBLYAI)
    assert on_ship(answer)["exact_total"] == "50.3"
    assert any("no connection was measured" in one for one in answer["assumptions"])
    back = Swapping([parse_swap("assemblyai/x=deepgram/nova-3")], load_catalog())
    [connection, audio] = back.swap(
        [usage("stt_connection", "assemblyai", 60, model="x", instance_id="a")]
    )
    assert (connection.meter, audio.meter, int(audio.quantity)) == (
        "stt_connection",
        "stt_audio",
        60,
    )
    assert any("no audio was measured" in one for one in back.assumptions())


def test_a_target_without_a_price_is_unrated(tmp_path: Path) -> None:
    settled(tmp_path, 1, *heard("a", 60, 60), *heard("b", None, 60))
    offer = on_ship(replayed(TO_ASSEMBLYAI))
    assert (offer["unrated"], offer["unrated_meters"]) == (1, ["stt_connection"])
    assert (offer["exact_total"], offer["as_used"]["exact_total"]) == ("50", "50.576")
    nobody = on_ship(replayed("--swap=deepgram/nova-3=acme/best"))
    assert nobody["unrated_meters"] == ["stt_audio", "stt_connection"]
    assert "unrated" in run("plans", "replay", "2026-11", TO_ASSEMBLYAI).stdout


def test_llm_and_tts_as_they_are(tmp_path: Path) -> None:
    spoken = [
        usage(meter, "openai", quantity, model="tts-1", instance_id="spoken")
        for meter, quantity in (("tts_characters", 100_000), ("tts_audio", 600))
    ]
    settled(tmp_path, 1, *request("r", input=1_000_000, output=100_000), *spoken)
    answer = replayed(
        "--swap=openai/gpt-4.1-mini=openai/gpt-4.1", "--swap=openai/tts-1=openai/tts-1-hd"
    )
    offer = on_ship(answer)
    # As used 0.40 + 0.16 + 1.50 (and the audio, which nobody prices); 2.00 + 0.80 + 3.00 instead.
    assert offer["as_used"]["exact_total"] == "52.06"
    assert (offer["exact_total"], offer["unrated"]) == ("55.8", 0)
    assert [one["instances"] for one in answer["swapped"]] == [1, 1]
    assert any("tokenizers" in one for one in answer["assumptions"])


def test_what_is_billed_in_something_else_is_never_free() -> None:
    swaps = [Swap(("openai", "tts-1"), ("livekit", "x"))]
    swapping = Swapping(swaps, load_catalog())
    # Inference does not bill audio, says the catalog; that there is a connection, nobody measured.
    spoken = usage("stt_audio", "openai", 60, model="tts-1")
    tokens = usage("stt_audio", "deepgram", 60, model="nova-3")
    card = with_unmeasured(load_catalog(), swaps)
    charges = rate(swapping.swap([spoken, tokens]), card, hosting="cloud", plan="livekit/ship")
    assert [(one.provider, one.meter, str(one.state)) for one in charges] == [
        ("deepgram", "stt_audio", "priced"),
        ("livekit", "stt_audio", "not_billed"),
        ("livekit", "stt_connection", "unrated"),
    ]


def test_all_that_was_measured_is_not_billed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates_file(
        tmp_path,
        '[[not_billed]]\nprovider = "acme"\nmeter = "tts_characters"\nreason = "by token"\n'
        '[[rate]]\nprovider = "acme"\nmeter = "tts_output_tokens"\nprice = "1"\n'
        'unit = "million tokens"\n',
        monkeypatch,
    )
    settled(tmp_path, 1, usage("tts_characters", "openai", 1_000, model="tts-1"))
    offer = on_ship(replayed("--swap=openai/tts-1=acme/voice"))
    assert (offer["unrated_meters"], offer["exact_total"]) == (["tts_characters"], "50")


def test_features_go_along(tmp_path: Path) -> None:
    features = {"language": "multi", "diarization": "true"}
    settled(tmp_path, 1, *heard("a", 60, 60, attributes=features))
    answer = replayed("--swap=deepgram/nova-3=livekit/deepgram/nova-3")
    assert any("features" in one for one in answer["assumptions"])


def test_without_swaps_nothing_is_said_of_them(tmp_path: Path) -> None:
    settled(tmp_path, 1, session(60))
    assert replayed().keys() == {"offers"}


@pytest.mark.parametrize(
    ("swaps", "said"),
    [
        (
            ("deepgram/nova-2=acme/best",),
            "nothing of deepgram/nova-2 was used in 2026-11; there is",
        ),
        (("deepgram/nova-3=a/b", "deepgram/nova-3=a/c"), "deepgram/nova-3 is swapped twice"),
    ],
)
def test_what_cannot_be_done(tmp_path: Path, swaps: tuple[str, ...], said: str) -> None:
    settled(tmp_path, 1, *heard("a", 60, 60))
    result = run("plans", "replay", "2026-11", *(f"--swap={one}" for one in swaps))
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert said in result.stderr


@pytest.mark.parametrize("text", ["", "a/b", "a/b=c", "a=b/c", "a/b=c/d=e/f", "a/b=a/B"])
def test_wrong_usage(text: str) -> None:
    with pytest.raises(RateError, match="swap"):
        parse_swap(text)
    result = run("plans", "replay", "2026-11", f"--swap={text}")
    assert (result.exit_code, result.stdout) == (2, "")

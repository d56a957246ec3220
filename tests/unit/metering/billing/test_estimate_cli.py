"""`estimate` and `plans compare`, beyond the worked examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from .commands import (
    NOTETAKER,
    SCALE,
    SHIP,
    WITHOUT_STT,
    asked,
    call,
    estimated,
    line,
    refused,
)

pytestmark = pytest.mark.usefixtures("environment")


def test_models_by_the_card() -> None:
    answer = estimated(
        *("--meetings=100", "--minutes=60", "--people=4", "--speech=0.5", *SHIP),
        *("--stt=deepgram/nova-3", "--held-open", "--tts=openai/tts-1", "--tts-characters=1000"),
        *("--llm=openai/gpt-4.1-mini", "--llm-input-tokens=10000", "--llm-output-tokens=1000"),
    )
    stt = line(answer, "stt_audio")
    assert (stt["pricing_quantity"], stt["cost"]) == ("180000", "14.4")
    # Both readings: by connection it is four people's hours.
    assert stt["disputed"]["list_cost"] == "115.2"
    assert line(answer, "stt_connection")["state"] == "not_billed"
    assert line(answer, "llm_input_tokens")["cost"] == "0.4"
    assert line(answer, "llm_output_tokens")["cost"] == "0.16"
    assert line(answer, "tts_characters")["cost"] == "1.5"


def test_what_has_no_price_is_named() -> None:
    one = ("--meetings=1", "--minutes=1", "--people=1", *SHIP)
    tts = ("--tts=acme/voice", "--tts-characters=9")
    [missing] = estimated(*one, *tts)["unrated"]
    assert (missing["meter"], missing["provider"], missing["model"]) == (
        "tts_characters",
        "acme",
        "voice",
    )
    table = call("estimate", *one, *tts)
    assert "+ unrated: tts_characters, acme voice, 9 characters" in table.stdout


@pytest.mark.parametrize("command", [("estimate", *SHIP), ("plans", "compare")])
@pytest.mark.parametrize("model", ["nope/nope", "livekit/some/m"])
def test_an_stt_without_a_price_is_refused(command: tuple[str, ...], model: str) -> None:
    said = refused(*command, "--meetings=1", "--minutes=1", "--people=1", f"--stt={model}")
    assert f"no price is known for STT '{model}'" in said
    assert "--stt-price" in said


def test_a_plan_of_a_price_book_is_no_cost() -> None:
    said = refused("estimate", *NOTETAKER, "--plan=reseller/team")
    assert "'reseller/team' is sold to tenants" in said


def test_a_price_a_minute_leaves_no_noise() -> None:
    # 61 seconds are no finite number of minutes.
    answer = estimated("--meetings=1", "--minutes=1:01", "--people=1", *SHIP, "--stt-price=0.006")
    stt = line(answer, "stt_audio")
    assert (stt["pricing_unit"], stt["unit_price"], stt["cost"]) == ("second", "0.0001", "0.0061")


def test_a_price_of_stt_by_the_minute_has_its_own_option() -> None:
    result = call("estimate", *WITHOUT_STT, "--meetings=1", *SHIP, "--per-minute=stt=0.0058")
    assert result.exit_code == 2
    assert "--stt-price" in result.stderr


def test_bandwidth_if_asked() -> None:
    answer = estimated("--meetings=1000", "--minutes=1", "--people=1", *SHIP, "--gb=0.301")
    data = line(answer, "downstream_data")
    assert (data["pricing_quantity"], data["allowance_used"], data["cost"]) == ("310", "250", "7.2")


def test_no_meetings_cost_the_base_fee() -> None:
    answer = estimated("--meetings=0", "--minutes=45", "--people=5", *SCALE)
    assert (answer["lines"], answer["total"], answer["mean_concurrency"]) == ([], "500", "0")


def test_the_owners_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rates.toml"
    path.write_text(
        '[[plan]]\nid = "livekit/enterprise"\nname = "Ours"\nprovider = "livekit-cloud"\n'
        'base_fee = "2000"\nhostings = ["cloud-agents"]\nallowances = ['
        '{ meter = "agent_session", quantity = "unlimited", unit = "minute", increment = "1" },'
        '{ meter = "participant_connection", quantity = "500000", unit = "minute" }]\n'
        'tiers = [{ meter = "participant_connection", unit = "minute", prices = ['
        '{ over = "0", price = "0.0003" }, { over = "30000", price = "0.0002" }] }]\n'
        'credits = [{ name = "launch", amount = "5", meters = ["participant_connection"],'
        " expires = 2026-12-31 }]\n"
        '[[rate]]\nprovider = "livekit-cloud"\nmeter = "agent_session"\n'
        'plan = "livekit/enterprise"\nprice = "0.008"\nunit = "minute"\nincrement = "1"\n'
        '[[rate]]\nprovider = "livekit-cloud"\nmeter = "participant_connection"\n'
        'plan = "livekit/enterprise"\nprice = "0.0003"\nunit = "minute"\nincrement = "1"\n'
    )
    monkeypatch.setenv("TALLYROOM_RATES", str(path))
    contract = ("--plan=livekit/enterprise", "--hosting=cloud-agents")
    answer = estimated("--meetings=2000", "--minutes=45", "--people=5", *contract)
    # 40,000 minutes past the allowance: 30,000 at 0.0003, 10,000 at 0.0002; 5 of it is credit.
    assert answer["usage_cost"] == "11"
    assert answer["exact_total"] == "2006"
    assert asked("plans", "compare", *NOTETAKER)["by_contract"] == []


def test_terms_that_nobody_wrote_down() -> None:
    said = refused("estimate", *NOTETAKER, "--plan=livekit/enterprise", "--hosting=cloud")
    assert "plan 'livekit/enterprise' is by contract" in said
    assert asked("plans", "compare", *NOTETAKER)["by_contract"] == ["livekit/enterprise"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--plan=ship",), "unknown plan 'ship'; use one of"),
        (("--plan=livekit/ship", "--hosting=self"), "is for hosting cloud or cloud-agents"),
        (("--plan=none", "--hosting=cloud"), "plan 'none' is for hosting self"),
        ((*SHIP, "--peak=21"), "livekit/ship allows 20 concurrent agents, the peak is 21"),
        ((*SHIP, "--peak=170"), "allows 1000 connections, the peak is 1020"),
    ],
)
def test_what_cannot_be_done(options: tuple[str, ...], said: str) -> None:
    assert said in refused("estimate", *NOTETAKER, *options)


@pytest.mark.parametrize(
    "options",
    [
        ("--minutes=0",),
        ("--minutes=45:60",),
        ("--minutes=-1",),
        ("--minutes=NaN",),
        ("--minutes=1e99",),
        ("--minutes=1e11",),
        ("--minutes=1e-19",),
        ("--minutes=soon",),
        ("--speech=1.5",),
        ("--stt=deepgram",),
        ("--stt=deepgram/nova-3",),
        ("--starts=25=1",),
        ("--starts=9=0",),
        ("--starts=9=1,9=2",),
        ("--starts=9=1", "--peak=3"),
        ("--per-minute=tts",),
        ("--per-minute=stt=1",),
        ("--per-minute=tts=1", "--per-minute=tts=2"),
        ("--people=-1",),
        ("--hosting=moon",),
    ],
)
def test_wrong_usage(options: tuple[str, ...]) -> None:
    result = call("estimate", *NOTETAKER, *SHIP, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Error" in result.stderr


def test_the_tables() -> None:
    shown = call("estimate", *NOTETAKER, *SHIP).stdout
    for expected in ("390000 at 0.0005", "total $1635.00", "$750.00; $975.00 with its own"):
        assert expected in shown
    assert "* disputed: that the agent itself pays connection minutes" in shown
    shown = call("plans", "compare", *NOTETAKER).stdout
    for expected in ("livekit/scale from 983 meetings", "refused", "holds 18 such meetings"):
        assert expected in shown
    assert shown.index("$785.00") < shown.index("$1635.00") < shown.index("refused")

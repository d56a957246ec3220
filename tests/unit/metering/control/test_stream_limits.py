from __future__ import annotations

from pathlib import Path

import pytest

from metering import MeterSettings, StreamLimits, stream_limits
from metering.control.stream_limits import NO_LIMITS, published_limits, stated_limits
from metering.errors import SettingsError
from metering.pricing.plans import LIMITS


@pytest.mark.parametrize(
    ("stated", "limits"),
    [
        ("", {}),
        (" , ", {}),
        ("assemblyai: 5/min", {"assemblyai": StreamLimits(new_streams=5)}),
        ("AssemblyAI:5/min", {"assemblyai": StreamLimits(new_streams=5)}),
        ("assemblyai: free", {"assemblyai": StreamLimits(new_streams=5, window_seconds=60.0)}),
        ("livekit: none", {"livekit": NO_LIMITS}),
        (
            "assemblyai: 5/min, livekit: 5 concurrent,",
            {"assemblyai": StreamLimits(5), "livekit": StreamLimits(concurrent=5)},
        ),
        ("deepgram: 10/min 50 concurrent", {"deepgram": StreamLimits(10, 50)}),
        ("deepgram: 50 concurrent 10/min", {"deepgram": StreamLimits(10, 50)}),
    ],
)
def test_limits_as_they_are_stated(stated: str, limits: dict[str, StreamLimits]) -> None:
    assert stated_limits(stated) == limits


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("5/min", "has '5/min': write provider: limit"),
        ("assemblyai:", "has 'assemblyai:': write provider: limit"),
        ("a b: 5/min", "has 'a b: 5/min': write provider: limit"),
        ("assemblyai: 0/min", "has 'assemblyai: 0/min': a limit is such as 5/min or 5 concurrent"),
        ("assemblyai: 5", "has 'assemblyai: 5': a limit is such as 5/min or 5 concurrent"),
        ("assemblyai: 5/min?", "has 'assemblyai: 5/min?': a limit is such as"),
        ("a: 5/min 6/min", "has 'a: 5/min 6/min': two limits of one kind for 'a'"),
        ("a: 5/min, a: 5 concurrent", "'a' is there twice; write both its limits in one"),
        ("a: none 5/min", "has 'a: none 5/min': 'none' stands alone"),
        (
            "deepgram: free",
            "has 'deepgram: free': 'free' is not known of 'deepgram'; known are assemblyai: free",
        ),
    ],
)
def test_what_cannot_be_read_is_named(stated: str, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        stated_limits(stated)
    assert str(caught.value).startswith("TALLYROOM_STT_LIMITS has ")
    assert message in str(caught.value)


@pytest.mark.parametrize("stated", ["5/min", "5 concurrent", "5/min 6 concurrent", "none"])
def test_limits_print_as_they_are_stated(stated: str) -> None:
    assert str(stated_limits(f"x: {stated}")["x"]) == stated


def test_the_shipped_file_has_limits_that_exist() -> None:
    assert published_limits()
    for one in published_limits():
        assert bool(one.account) != bool(one.plan_limit)
        assert (one.limits == NO_LIMITS) == bool(one.plan_limit)
        assert not one.plan_limit or one.plan_limit in LIMITS


def settings(plan: str, rates: Path | None = None) -> MeterSettings:
    return MeterSettings.model_construct(plan=plan, rates=rates)


@pytest.mark.parametrize(
    ("plan", "limits"),
    [
        ("livekit/build", StreamLimits(concurrent=5)),
        ("livekit/ship", None),
        ("none", None),
    ],
)
def test_inference_is_limited_by_the_plan_in_force(plan: str, limits: StreamLimits | None) -> None:
    assert stream_limits("livekit", settings=settings(plan=plan)) == limits


def test_what_is_stated_goes_before_the_plan() -> None:
    build = settings(plan="livekit/build")
    assert stream_limits("livekit", "livekit: none", settings=build) is None
    assert stream_limits("livekit", "livekit: 9 concurrent", settings=build) == StreamLimits(
        concurrent=9
    )


def test_an_accounts_limit_holds_only_where_it_is_said() -> None:
    assert stream_limits("assemblyai", settings=settings(plan="none")) is None
    assert stream_limits("assemblyai", "assemblyai: free") == StreamLimits(new_streams=5)
    assert stream_limits("faster-whisper", "assemblyai: free") is None


def test_an_owners_plan_can_have_its_own(tmp_path: Path) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text(
        '[[plan]]\nid = "mine"\nname = "Mine"\nprovider = "livekit-cloud"\nbase_fee = "0"\n'
        "limits = { inference_stt = 7 }\n"
    )
    mine = settings(plan="mine", rates=rates)
    assert stream_limits("livekit", settings=mine) == StreamLimits(concurrent=7)


def test_a_plan_that_is_not_known_limits_nothing(caplog: pytest.LogCaptureFixture) -> None:
    assert stream_limits("livekit", settings=settings(plan="livekit/gold")) is None
    assert "a plan's limits are not known: unknown plan 'livekit/gold'" in caplog.text

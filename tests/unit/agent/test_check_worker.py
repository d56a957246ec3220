"""What a worker refuses to start with, as far as no server is needed to know it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.doctor import check_worker
from agent.errors import TranscriberError
from agent.settings import AgentSettings
from metering import MeteringError

SERVER = {
    "LIVEKIT_URL": "ws://127.0.0.1:9",
    "LIVEKIT_API_KEY": "key",
    "LIVEKIT_API_SECRET": "s" * 32,
}


async def refusal(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> str:
    for name in list(os.environ):
        if name.startswith(("LIVEKIT_", "TALLYROOM_", "DEEPGRAM_", "OPENAI_")):
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    with pytest.raises((TranscriberError, MeteringError)) as caught:
        await check_worker(AgentSettings.load())
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("missing", sorted(SERVER))
async def test_a_server_that_is_not_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    env = {name: value for name, value in SERVER.items() if name != missing}
    assert await refusal(monkeypatch, env) == f"set {missing}"


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("TALLYROOM_STT", "nonsense/x", "TALLYROOM_STT names provider 'nonsense'"),
        ("TALLYROOM_STT", "nonsense", "TALLYROOM_STT='nonsense' is not provider/model"),
        ("TALLYROOM_STT", "deepgram/nova-3", "needs DEEPGRAM_API_KEY"),
        ("TALLYROOM_STT", "faster-whisper/nope", "speech model 'nope' is no folder"),
        ("TALLYROOM_STT", f"faster-whisper/{Path(__file__).parent}", "there is no model.bin"),
        ("TALLYROOM_LLM", "foo", "TALLYROOM_LLM='foo' is not provider/model"),
        ("TALLYROOM_LLM", "foo/bar", "TALLYROOM_LLM names provider 'foo'"),
        ("TALLYROOM_LLM", "openai/gpt-4.1-mini", "needs OPENAI_API_KEY"),
        ("TALLYROOM_NOTES", "poem", "TALLYROOM_NOTES='poem' is no template"),
        ("TALLYROOM_NOTES_TEMPLATES", "none.toml", "none.toml: No such file or directory"),
        (
            "TALLYROOM_STT_LIMITS",
            "5/min",
            "TALLYROOM_STT_LIMITS has '5/min': write provider: limit",
        ),
        ("TALLYROOM_HOSTING", "moon", "TALLYROOM_HOSTING='moon'"),
        ("TALLYROOM_PLAN", "livekit/gold", "livekit/gold"),
    ],
)
async def test_a_setting_that_no_job_could_run_on(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, why: str
) -> None:
    assert why in await refusal(monkeypatch, SERVER | {variable: value})


async def test_a_rate_file_that_is_broken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text("[[rate]]\nmeter = 3\n")
    message = await refusal(monkeypatch, SERVER | {"TALLYROOM_RATES": str(rates)})
    assert str(rates) in message


async def test_all_is_well_but_the_server_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    message = await refusal(monkeypatch, SERVER)
    assert message.startswith("ws://127.0.0.1:9 cannot be reached: ")
    assert message.endswith("; check LIVEKIT_URL and that the server runs")

from __future__ import annotations

import os
from pathlib import Path

import pytest

from agent.errors import SettingsError
from agent.settings import AgentSettings, ModelChoice, parse_choice

OURS = ("LIVEKIT_", "DEEPGRAM_", "OPENAI_", "ASSEMBLYAI_", "TALLYROOM_")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)


def test_everything_has_a_default() -> None:
    settings = AgentSettings.load()
    assert settings.agent_name == "transcriber"
    assert settings.stt_choice == ModelChoice("faster-whisper", "tiny.en")
    assert (settings.llm, settings.tts) == ("none", "none")
    assert settings.deepgram_base_url == "https://api.deepgram.com/v1/listen"
    assert settings.livekit_url == settings.livekit_api_key == ""
    assert settings.tenants == ()
    assert settings.idle_processes is settings.load_threshold is settings.health_port is None


def test_an_empty_variable_is_none_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TALLYROOM_AGENT_NAME", "TALLYROOM_STT", "DEEPGRAM_BASE_URL"):
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("TALLYROOM_IDLE_PROCESSES", "")
    assert AgentSettings.load() == AgentSettings()
    assert AgentSettings.load().agent_name == "transcriber"


def test_each_is_read_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "LIVEKIT_URL": "wss://example.livekit.cloud",
        "LIVEKIT_API_KEY": "key",
        "LIVEKIT_API_SECRET": "secret",
        "OPENAI_API_KEY": "sk",
        "OPENAI_BASE_URL": "http://localhost:1/v1",
        "TALLYROOM_AGENT_NAME": "notes",
        "TALLYROOM_LLM": "openai/gpt-4.1-mini",
        "TALLYROOM_TENANTS": " acme, globex ,,",
        "TALLYROOM_IDLE_PROCESSES": "0",
        "TALLYROOM_LOAD_THRESHOLD": "0.5",
        "TALLYROOM_HEALTH_PORT": "8081",
    }.items():
        monkeypatch.setenv(name, value)
    settings = AgentSettings.load()
    assert settings.livekit_url == "wss://example.livekit.cloud"
    assert settings.livekit_api_key == "key"
    assert settings.livekit_api_secret.get_secret_value() == "secret"
    assert settings.openai_api_key.get_secret_value() == "sk"
    assert settings.openai_base_url == "http://localhost:1/v1"
    assert settings.agent_name == "notes"
    assert settings.llm == "openai/gpt-4.1-mini"
    assert settings.tenants == ("acme", "globex")
    assert settings.idle_processes == 0
    assert settings.load_threshold == 0.5
    assert settings.health_port == 8081


def test_with_a_key_deepgram_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEEPGRAM_API_KEY", "dg")
    assert AgentSettings.load().stt_choice == ModelChoice("deepgram", "nova-3")
    monkeypatch.setenv("TALLYROOM_STT", "faster-whisper/tiny.en")
    assert AgentSettings.load().stt_choice == ModelChoice("faster-whisper", "tiny.en")


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("api.eu.deepgram.com", "https://api.eu.deepgram.com/v1/listen"),
        ("localhost:8080", "https://localhost:8080/v1/listen"),
        ("http://localhost:8080", "http://localhost:8080/v1/listen"),
        ("http://localhost:8080/", "http://localhost:8080/v1/listen"),
        ("https://api.deepgram.com/v1", "https://api.deepgram.com/v1/listen"),
        ("https://api.deepgram.com/v1/listen", "https://api.deepgram.com/v1/listen"),
        ("wss://proxy.example/deepgram/v1/listen/", "wss://proxy.example/deepgram/v1/listen"),
    ],
)
def test_deepgram_by_host_or_in_full(
    monkeypatch: pytest.MonkeyPatch, given: str, used: str
) -> None:
    monkeypatch.setenv("DEEPGRAM_BASE_URL", given)
    assert AgentSettings.load().deepgram_base_url == used


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("", "wss://streaming.assemblyai.com"),
        ("streaming.eu.assemblyai.com", "wss://streaming.eu.assemblyai.com"),
        ("http://localhost:8080/", "http://localhost:8080"),
        ("wss://streaming.assemblyai.com/v3/ws", "wss://streaming.assemblyai.com"),
    ],
)
def test_assemblyai_by_host_or_in_full(
    monkeypatch: pytest.MonkeyPatch, given: str, used: str
) -> None:
    monkeypatch.setenv("ASSEMBLYAI_BASE_URL", given)
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "aai")
    settings = AgentSettings.load()
    assert settings.assemblyai_base_url == used
    assert settings.assemblyai_api_key.get_secret_value() == "aai"
    # Its key alone chooses nothing: Deepgram's does.
    assert settings.stt_choice.provider == "faster-whisper"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("TALLYROOM_IDLE_PROCESSES", "-1"),
        ("TALLYROOM_IDLE_PROCESSES", "two"),
        ("TALLYROOM_LOAD_THRESHOLD", "0"),
        ("TALLYROOM_HEALTH_PORT", "65536"),
    ],
)
def test_a_bad_value_names_its_variable_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("LIVEKIT_API_SECRET", "do-not-show-me")
    monkeypatch.setenv("DEEPGRAM_API_KEY", "nor-me")
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        AgentSettings.load()
    message = str(caught.value)
    assert message.startswith(f"{variable} cannot be used: ")
    assert "\n" not in message
    assert "do-not-show-me" not in message
    assert "nor-me" not in message
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_secrets_do_not_show_when_the_settings_are_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LIVEKIT_API_SECRET", "DEEPGRAM_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, f"secret of {name}")
    assert "secret of" not in repr(AgentSettings.load())


@pytest.mark.parametrize("value", ["deepgram", "deepgram/", "/nova-3", "/"])
def test_a_choice_has_two_parts(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TALLYROOM_STT", value)
    with pytest.raises(SettingsError) as caught:
        _ = AgentSettings.load().stt_choice
    assert str(caught.value) == (
        f"TALLYROOM_STT={value!r} is not provider/model, such as 'deepgram/nova-3'"
    )


def test_a_model_may_have_slashes_and_capitals() -> None:
    assert parse_choice("X", "LiveKit/deepgram/nova-3") == ("livekit", "deepgram/nova-3")
    assert parse_choice("X", "faster-whisper//opt/Models/My") == (
        "faster-whisper",
        "/opt/Models/My",
    )


def test_transcripts_lie_in_the_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert AgentSettings.load().transcripts_path == tmp_path / "data" / "transcripts"
    monkeypatch.setenv("TALLYROOM_DATA_DIR", "~/meetings")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert AgentSettings.load().transcripts_path == tmp_path / "meetings" / "transcripts"

from __future__ import annotations

from pathlib import Path

import pytest

from metering.errors import SettingsError
from metering.settings import Hosting, MeterSettings

VARIABLES = (
    "TALLYROOM_DATA_DIR",
    "TALLYROOM_DATABASE_URL",
    "TALLYROOM_HOSTING",
    "TALLYROOM_PLAN",
    "TALLYROOM_RATES",
    "TALLYROOM_GRACE_DAYS",
    "TALLYROOM_RETENTION_DAYS",
    "TALLYROOM_WEBHOOK_URL",
    "TALLYROOM_WEBHOOK_SECRET",
    "LIVEKIT_URL",
    "LIVEKIT_WORKER_TOKEN",
)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)


def test_defaults(tmp_path: Path) -> None:
    settings = MeterSettings.load()
    assert settings.data_path == tmp_path / "data"
    assert settings.journals_path == tmp_path / "data" / "journals"
    assert settings.ledger_url == f"sqlite+aiosqlite:///{tmp_path}/data/ledger.sqlite3"
    assert settings.resolved_hosting is Hosting.SELF
    assert settings.resolved_plan == "none"
    assert settings.room_provider == "self-hosted"
    assert settings.server == "unknown-server"
    assert settings.rates is None


def test_everything_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TALLYROOM_DATA_DIR", "/var/lib/meter")
    monkeypatch.setenv("TALLYROOM_DATABASE_URL", "postgresql+asyncpg://host/base")
    monkeypatch.setenv("TALLYROOM_HOSTING", "cloud-agents")
    monkeypatch.setenv("TALLYROOM_PLAN", "livekit/scale")
    monkeypatch.setenv("TALLYROOM_RATES", "mine.toml")
    monkeypatch.setenv("TALLYROOM_GRACE_DAYS", "0")
    settings = MeterSettings.load()
    assert settings.data_path == Path("/var/lib/meter")
    assert settings.ledger_url == "postgresql+asyncpg://host/base"
    assert settings.resolved_hosting is Hosting.CLOUD_AGENTS
    assert settings.resolved_plan == "livekit/scale"
    assert settings.room_provider == "livekit-cloud"
    assert settings.rates == Path("mine.toml")
    assert settings.grace_days == 0


def test_an_empty_variable_is_one_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    settings = MeterSettings.load()
    assert settings.data_path == Path.cwd() / "data"
    assert settings.resolved_hosting is Hosting.SELF
    assert settings.rates is None


@pytest.mark.parametrize(
    ("url", "hosting", "plan", "provider", "server"),
    [
        ("ws://127.0.0.1:7880", "self", "none", "self-hosted", "127.0.0.1:7880"),
        ("wss://mine.example.com", "self", "none", "self-hosted", "mine.example.com"),
        ("wss://a.livekit.cloud", "cloud", "livekit/ship", "livekit-cloud", "a.livekit.cloud"),
        ("wss://A.LiveKit.Cloud/", "cloud", "livekit/ship", "livekit-cloud", "a.livekit.cloud"),
        ("wss://notlivekit.cloud", "self", "none", "self-hosted", "notlivekit.cloud"),
        (
            "wss://a.livekit.cloud.evil.org",
            "self",
            "none",
            "self-hosted",
            "a.livekit.cloud.evil.org",
        ),
        ("ws://user:secret@host:7880", "self", "none", "self-hosted", "host:7880"),
    ],
)
def test_hosting_from_the_servers_url(
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    hosting: str,
    plan: str,
    provider: str,
    server: str,
) -> None:
    monkeypatch.setenv("LIVEKIT_URL", url)
    settings = MeterSettings.load()
    assert settings.resolved_hosting == hosting
    assert settings.resolved_plan == plan
    assert settings.room_provider == provider
    assert settings.server == server


def test_an_agent_that_livekit_cloud_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LIVEKIT_WORKER_TOKEN", "token")
    assert MeterSettings.load().resolved_hosting is Hosting.SELF
    monkeypatch.setenv("LIVEKIT_URL", "wss://a.livekit.cloud")
    assert MeterSettings.load().resolved_hosting is Hosting.CLOUD_AGENTS
    monkeypatch.setenv("TALLYROOM_HOSTING", "cloud")
    assert MeterSettings.load().resolved_hosting is Hosting.CLOUD


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("TALLYROOM_HOSTING", "moon", r"^TALLYROOM_HOSTING='moon': .*'self', 'cloud'"),
        ("TALLYROOM_GRACE_DAYS", "-1", r"^TALLYROOM_GRACE_DAYS='-1': .*greater than or equal to 0"),
        ("LIVEKIT_URL", "ws://[::1", r"^LIVEKIT_URL='ws://\[::1': .*Invalid IPv6 URL"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, message: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError, match=message):
        MeterSettings.load()


def test_the_data_folder_may_be_in_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.setenv("TALLYROOM_DATA_DIR", "~/meter")
    assert MeterSettings.load().data_path == Path("/home/somebody/meter")

"""The meter's settings, all with working defaults; read when a job or a command asks for them."""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from .errors import SettingsError
from .retention import Retention


class Hosting(StrEnum):
    """Who runs the LiveKit server and the agent, and so what LiveKit bills."""

    SELF = "self"
    CLOUD = "cloud"
    CLOUD_AGENTS = "cloud-agents"


class MeterSettings(BaseSettings):
    """Where measurements go and how they are priced.

    Environment variables carry the prefix `TALLYROOM_`; `livekit_url` is LiveKit's own
    `LIVEKIT_URL`. `grace_days` is how long after a month's end its statement stays a draft,
    `retention_days` how long names are kept, see `Retention`. `webhook_url` is who is told of
    meetings, one URL or several, and `webhook_secret` what that is signed with.
    """

    model_config = SettingsConfigDict(
        env_prefix="TALLYROOM_", env_ignore_empty=True, extra="ignore"
    )

    data_dir: Path = Path("data")
    database_url: str | None = None
    hosting: Hosting | None = None
    plan: str | None = None
    rates: Path | None = None
    grace_days: int = Field(default=3, ge=0, le=365)
    retention_days: str = ""
    webhook_url: str = ""
    webhook_secret: SecretStr = SecretStr("")
    livekit_url: str = Field(default="", validation_alias="LIVEKIT_URL")

    @field_validator("livekit_url")
    @classmethod
    def _check_url(cls, url: str) -> str:
        urlsplit(url)
        return url

    @field_validator("retention_days")
    @classmethod
    def _check_retention(cls, text: str) -> str:
        Retention.parse(text)
        return text

    @classmethod
    def load(cls) -> Self:
        """From the environment.

        Raises:
            SettingsError: a value that cannot be used; the message names it.
        """
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0]) if first["loc"] else "settings"
            variable = name if name.isupper() else f"TALLYROOM_{name.upper()}"
            raise SettingsError(f"{variable}={first['input']!r}: {first['msg']}") from None

    @property
    def retention(self) -> Retention:
        """How long words and names are kept."""
        return Retention.parse(self.retention_days)

    @property
    def data_path(self) -> Path:
        """The data folder, absolute."""
        return self.data_dir.expanduser().absolute()

    @property
    def journals_path(self) -> Path:
        """Where runs keep their journals until they are settled."""
        return self.data_path / "journals"

    @property
    def outbox_path(self) -> Path:
        """Where what is owed to other systems is kept."""
        return self.data_path / "outbox"

    @property
    def ledger_url(self) -> str:
        """The store, as SQLAlchemy spells it."""
        return self.database_url or f"sqlite+aiosqlite:///{self.data_path / 'ledger.sqlite3'}"

    @property
    def resolved_hosting(self) -> Hosting:
        """As set, else from the server's URL, else from the token that LiveKit Cloud gives to the
        agents which it hosts itself."""
        if self.hosting:
            return self.hosting
        host = urlsplit(self.livekit_url).hostname or ""
        if not host.endswith(".livekit.cloud"):
            return Hosting.SELF
        return Hosting.CLOUD_AGENTS if os.environ.get("LIVEKIT_WORKER_TOKEN") else Hosting.CLOUD

    @property
    def resolved_plan(self) -> str:
        """As set, else Ship on Cloud and none on one's own server."""
        return self.plan or ("none" if self.resolved_hosting is Hosting.SELF else "livekit/ship")

    @property
    def room_provider(self) -> str:
        """Who bills the room's meters."""
        return "self-hosted" if self.resolved_hosting is Hosting.SELF else "livekit-cloud"

    @property
    def server(self) -> str:
        """The LiveKit server's host, which tells its rooms from another server's."""
        parts = urlsplit(self.livekit_url)
        return parts.netloc.rpartition("@")[2].lower() or "unknown-server"

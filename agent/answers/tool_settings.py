"""Which MCP servers may be asked, and which of their tools: a TOML file of the owner's.

    [[server]]
    name = "tickets"
    url = "https://tickets.example.com/mcp"
    headers = { Authorization = "Bearer ${TICKETS_TOKEN}" }
    tools = ["find_ticket"]

    [[server]]
    name = "calendar"
    command = ["python", "-m", "our_calendar"]
    env = ["CALENDAR_TOKEN"]
    tools = ["next_free_day"]

`${...}` in a header is an environment variable. A command is started with the variables that `env`
names, and none of the transcriber's own keys.
"""

from __future__ import annotations

import importlib.util
import os
import string
import tomllib
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from pydantic import model_validator as validator
from pydantic_core import PydanticCustomError

from ..errors import SettingsError

VARIABLE = "TALLYROOM_MCP_SERVERS"

_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,32}$")]
_Tool = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class ToolServer(BaseModel):
    """One MCP server, by `url` or as a `command`; of its tools only `tools` exist for us."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: _Name
    url: str = ""
    headers: dict[str, str] = Field(default_factory=dict)
    command: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    tools: tuple[_Tool, ...] = Field(min_length=1)

    @validator(mode="after")
    def _check_way(self) -> Self:
        if bool(self.url) == bool(self.command):
            raise PydanticCustomError("way", "has either a url or a command")
        return self

    def filled_headers(self) -> dict[str, str]:
        """The headers with their environment variables in them.

        Raises:
            SettingsError: a variable is not set.
        """
        try:
            return {
                key: string.Template(value).substitute(os.environ)
                for key, value in self.headers.items()
            }
        except (KeyError, ValueError) as error:
            raise SettingsError(
                f"{VARIABLE}: server {self.name!r} has a header that cannot be filled: {error}"
            ) from None

    def environment(self) -> dict[str, str]:
        """What a command is started with, besides PATH, HOME and the like.

        Raises:
            SettingsError: a variable is not set.
        """
        missing = [name for name in self.env if name not in os.environ]
        if missing:
            raise SettingsError(f"{VARIABLE}: server {self.name!r} needs {missing[0]}, not set")
        return {name: os.environ[name] for name in self.env}


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    server: tuple[ToolServer, ...] = Field(min_length=1)


def load_tool_servers(path: Path | None) -> tuple[ToolServer, ...]:
    """The servers of a file; none without one.

    Raises:
        SettingsError: it cannot be read or used, or what speaks to MCP servers is not installed.
    """
    if path is None:
        return ()
    try:
        servers = _File.model_validate(tomllib.loads(path.read_text("utf-8"))).server
    except OSError as error:
        raise SettingsError(f"{VARIABLE}: cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{VARIABLE}: {path}: {where}: {first['msg']}") from None
    except ValueError as error:
        raise SettingsError(f"{VARIABLE}: {path} is not TOML: {error}") from None
    names = [server.name for server in servers]
    if len(set(names)) < len(names):
        raise SettingsError(f"{VARIABLE}: {path} names a server twice")
    for server in servers:
        server.filled_headers()
        server.environment()
    if importlib.util.find_spec("mcp") is None:
        raise SettingsError(f"{VARIABLE} needs the mcp package; install livekit-agents[mcp]")
    return servers

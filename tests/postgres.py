"""A PostgreSQL cluster of the tests' own, on a socket in a temporary folder, gone with them."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DEBIAN = Path("/usr/lib/postgresql")


class NoPostgres(Exception):
    """There is no PostgreSQL server on this machine."""


def binaries() -> Path:
    """Where `initdb` and `postgres` are.

    Raises:
        NoPostgres: nowhere; the message says how to get them.
    """
    if on_path := shutil.which("initdb"):
        return Path(on_path).parent
    versions = sorted(_DEBIAN.glob("*/bin"), key=lambda path: float(path.parent.name))
    if not versions:
        raise NoPostgres("no PostgreSQL server here: apt-get install postgresql")
    return versions[-1]


class Cluster:
    """A cluster that can be taken away and brought back; `url` has no database in it yet."""

    def __init__(self, folder: Path, options: str) -> None:
        self.url = f"postgresql://tallyroom@/{{}}?host={folder}"
        where, data = binaries(), f"{folder}/data"
        self._quiet: dict[str, Any] = {
            "stdout": subprocess.DEVNULL,
            "check": True,
            **_unprivileged(folder),
        }
        self._control = [str(where / "pg_ctl"), "-D", data, "-w", "-s"]
        self._start = ["-l", f"{folder}/log", "-o", f"-k {folder} -c listen_addresses= {options}"]
        initdb = [str(where / "initdb"), "-D", data, "-U", "tallyroom", "-A", "trust", "-N"]
        subprocess.run(initdb, **self._quiet)

    def start(self) -> None:
        subprocess.run([*self._control, *self._start, "start"], **self._quiet)

    def stop(self) -> None:
        subprocess.run([*self._control, "-m", "immediate", "stop"], **self._quiet)


@contextmanager
def own_cluster(*, fsync: bool = False, max_connections: int = 200) -> Iterator[Cluster]:
    """A running cluster.

    Tests do without `fsync`: nobody pulls the plug. What is measured, or to survive, needs it.

    Raises:
        NoPostgres: there is none on this machine.
    """
    options = f"-c fsync={'on' if fsync else 'off'} -c max_connections={max_connections}"
    with tempfile.TemporaryDirectory(prefix="tallyroom-pg-") as folder:
        cluster = Cluster(Path(folder), options)
        cluster.start()
        try:
            yield cluster
        finally:
            cluster.stop()


@contextmanager
def cluster(*, fsync: bool = False, max_connections: int = 200) -> Iterator[str]:
    """A running cluster's URL, see `own_cluster`."""
    with own_cluster(fsync=fsync, max_connections=max_connections) as cluster:
        yield cluster.url


def _unprivileged(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root; as whom else."""
    if os.geteuid() != 0:
        return {}
    name = "postgres" if "postgres" in {user.pw_name for user in pwd.getpwall()} else "nobody"
    shutil.chown(folder, name)
    return {"user": name, "cwd": folder}

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


@contextmanager
def cluster() -> Iterator[str]:
    """A running cluster; its URL has no database in it yet.

    Raises:
        NoPostgres: there is none on this machine.
    """
    where = binaries()
    with tempfile.TemporaryDirectory(prefix="tallyroom-pg-") as folder:
        as_user = _unprivileged(Path(folder))
        data = f"{folder}/data"
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "check": True, **as_user}
        subprocess.run(
            [str(where / "initdb"), "-D", data, "-U", "tallyroom", "-A", "trust", "-N"], **quiet
        )
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c max_connections=200"
        control = [str(where / "pg_ctl"), "-D", data, "-w", "-s"]
        subprocess.run([*control, "-l", f"{folder}/log", "-o", options, "start"], **quiet)
        try:
            yield f"postgresql://tallyroom@/{{}}?host={folder}"
        finally:
            subprocess.run([*control, "-m", "immediate", "stop"], **quiet)


def _unprivileged(folder: Path) -> dict[str, Any]:
    """PostgreSQL refuses to run as root; as whom else."""
    if os.geteuid() != 0:
        return {}
    name = "postgres" if "postgres" in {user.pw_name for user in pwd.getpwall()} else "nobody"
    shutil.chown(folder, name)
    return {"user": name, "cwd": folder}

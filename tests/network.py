"""A network of a worker's own, on this machine, that can be cut and mended like a cable."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class NoNetwork(Exception):
    """This machine lets nobody make networks; the message says why."""


class OwnNetwork:
    """A network namespace with one cable to the host; `enter` is what a command is run through."""

    def __init__(self, mark: str, subnet: str) -> None:
        self._name = f"tr{mark}"
        # WebRTC takes no path through an interface of such a name, which VMware gives to its own.
        # Else whoever is in another meeting just then could be on this cable, and go with it.
        self._cable = f"vnic{mark}"
        self.host = f"{subnet}.1"
        self._inside = f"{subnet}.2"

    @property
    def enter(self) -> tuple[str, ...]:
        """What to put before a command so that it runs there."""
        return ("ip", "netns", "exec", self._name)

    def cut(self) -> None:
        """Nothing comes through any more, and nobody is told."""
        _ip("link", "set", self._cable, "down")

    def mend(self) -> None:
        """It is as it was."""
        _ip("link", "set", self._cable, "up")

    def _make(self) -> None:
        inside = f"{self._name}i"
        _ip("netns", "add", self._name)
        _ip("link", "add", self._cable, "type", "veth", "peer", "name", inside)
        _ip("link", "set", inside, "netns", self._name)
        _ip("addr", "add", f"{self.host}/24", "dev", self._cable)
        _ip("link", "set", self._cable, "up")
        for command in (
            ("addr", "add", f"{self._inside}/24", "dev", inside),
            ("link", "set", inside, "up"),
            ("link", "set", "lo", "up"),
        ):
            _ip("-n", self._name, *command)

    def _remove(self) -> None:
        subprocess.run(["ip", "netns", "del", self._name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", self._cable], check=False, capture_output=True)


@contextmanager
def own_network() -> Iterator[OwnNetwork]:
    """A network, gone at the end.

    Raises:
        NoNetwork: there is no `ip`, or no right to use it.
    """
    if shutil.which("ip") is None or os.geteuid() != 0:
        raise NoNetwork("a network of its own needs iproute2 and root")
    number = secrets.randbelow(200) + 20
    network = OwnNetwork(secrets.token_hex(3), f"10.213.{number}")
    try:
        network._make()
    except subprocess.CalledProcessError as error:
        network._remove()
        raise NoNetwork(f"no network can be made here: {error.stderr.decode().strip()}") from None
    try:
        yield network
    finally:
        network._remove()


def _ip(*arguments: Any) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True)

"""What these commands share: where they are registered, and what they do with strangers' text."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

import typer

from metering import MeteringError
from metering.cli import fail

from ..errors import TranscriberError
from ..rendering import one_line

Result = TypeVar("Result")

app = typer.Typer()


def attempt(work: Callable[[], Result]) -> Result:
    """Do a command's work; what cannot be done is one line on stderr and exit code 1."""
    try:
        return work()
    except (TranscriberError, MeteringError) as error:
        fail(str(error))


def write_out(text: str) -> None:
    """To stdout as it is; to a terminal without what would act on it."""
    if sys.stdout.isatty():
        text = "".join(
            f"{line[: len(line) - len(line.lstrip(' '))]}{one_line(line)}\n"
            for line in text.splitlines()
        )
    sys.stdout.write(text)

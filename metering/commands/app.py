"""What all commands share: where they register, how they fail in one line, JSON, a terminal."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from pydantic import BaseModel
from rich.console import Console

from ..errors import MeteringError

T = TypeVar("T")

_UNCUT_WIDTH = 180

app = typer.Typer()

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, as the contract has it.")]


def run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a command's work; what it cannot do is one line on stderr and exit code 1."""
    try:
        return asyncio.run(work())
    except MeteringError as error:
        fail(str(error))


def fail(message: str) -> NoReturn:
    """One clear line on stderr, and exit code 1."""
    typer.echo(f"tallyroom: {' '.join(message.split())}", err=True)
    raise typer.Exit(1)


def console() -> Console:
    """The terminal; where there is none, wide enough that no figure is cut off."""
    return Console(width=None if sys.stdout.isatty() else _UNCUT_WIDTH)


def print_json(value: BaseModel | Sequence[BaseModel] | dict[str, Any]) -> None:
    """A model, or a list of models, as JSON on stdout."""
    data: Any = value
    if isinstance(value, BaseModel):
        data = value.model_dump(mode="json")
    elif not isinstance(value, dict):
        data = [item.model_dump(mode="json") for item in value]
    sys.stdout.write(json.dumps(data, ensure_ascii=False, indent=2) + "\n")

"""Commands whose modules are imported when they are asked for.

Together they import SQL, HTTP and every report: a second that whoever asks for one of them, and
every script that does so in a loop, need not wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, ClassVar

from typer.core import TyperGroup
from typer.main import get_group
from typing_extensions import override


class CommandsOnDemand(TyperGroup):
    """A group of commands, of which some are in other modules.

    Attributes:
        modules: by the name of each command, in the order in which help lists them, the module that
            registers it on a Typer named `app`.
    """

    modules: ClassVar[Mapping[str, str]] = {}

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        own = [name for name in super().list_commands(ctx) if name not in self.modules]
        return [*own, *self.modules]

    @override
    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.modules:
            self._load(cmd_name)
        elif cmd_name not in self.commands:
            # What is suggested instead is chosen among those that are there.
            for name in self.modules:
                self._load(name)
        return super().get_command(ctx, cmd_name)

    def _load(self, name: str) -> None:
        if name not in self.commands:
            module = import_module(self.modules[name])
            self.commands[name] = get_group(module.app).commands[name]

"""The notes so far, while words are folded into them.

An item that has been noted stays: the LLM says only what changes. So a fold that goes wrong can
spoil what it adds, and not lose what was there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .template import Template


@dataclass(frozen=True, slots=True)
class Item:
    """One thing noted; `numbers` are those of the segments that it points at."""

    item_id: str
    text: str
    owner: str | None
    numbers: tuple[int, ...]

    @property
    def size(self) -> int:
        """About what it takes in a prompt, in bytes."""
        return len(self.text.encode(errors="replace")) + 80


@dataclass(frozen=True, slots=True)
class Addition:
    """An item to be noted, in place of others where it `replaces` some, by their ids."""

    text: str
    owner: str | None
    numbers: tuple[int, ...]
    replaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SectionChange:
    """What one fold changes in one section; `closed` are the ids of items that are done with."""

    additions: Sequence[Addition] = ()
    closed: Sequence[str] = ()


class NotesState:
    """The items of each of a template's sections, in the order in which they were noted."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._items: dict[str, list[Item]] = {section.key: [] for section in template.section}
        self._noted = dict.fromkeys(self._items, 0)

    @property
    def items(self) -> Mapping[str, Sequence[Item]]:
        """By section."""
        return self._items

    def shown(self) -> dict[str, list[Item]]:
        """What an LLM is shown: prose whole, and of all else the newest, as much as fits.

        What is not shown stays as it is, so a meeting can be as long as it likes.
        """
        left = self._template.fold.shown_bytes
        shown: dict[str, list[Item]] = {key: [] for key in self._items}
        for section in self._template.section:
            if section.prose:
                shown[section.key] = list(self._items[section.key])
                left -= sum(item.size for item in shown[section.key])
        rest = [section.key for section in self._template.section if not section.prose]
        queues = {key: list(self._items[key]) for key in rest}
        while any(queues.values()):
            # One of each in turn: a section with many is not to crowd out the others.
            for key in rest:
                if queues[key]:
                    left -= queues[key][-1].size
                    if left < 0:
                        return shown
                    shown[key].insert(0, queues[key].pop())
        return shown

    def apply(self, changes: Mapping[str, SectionChange]) -> None:
        """Note what a fold has found; what it names that is not there changes nothing."""
        for section in self._template.section:
            change = changes.get(section.key, SectionChange())
            items = self._items[section.key]
            if section.prose:
                if change.additions:
                    self._items[section.key] = [
                        self._item(section.key, one, ()) for one in change.additions
                    ]
                continue
            for addition in change.additions:
                replaced = [item for item in items if item.item_id in addition.replaces]
                item = self._item(section.key, addition, replaced)
                if replaced:
                    items[items.index(replaced[0])] = item
                    items[:] = [one for one in items if one not in replaced[1:]]
                else:
                    items.append(item)
            items[:] = [item for item in items if item.item_id not in change.closed]

    def _item(self, key: str, addition: Addition, replaced: Iterable[Item]) -> Item:
        self._noted[key] += 1
        # What it replaces was said, too: whoever looks it up finds all that led to it.
        earlier = {number for item in replaced for number in item.numbers}
        numbers = tuple(sorted(earlier | set(addition.numbers)))
        return Item(f"{key}-{self._noted[key]}", addition.text, addition.owner, numbers)

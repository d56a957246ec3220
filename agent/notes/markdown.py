"""The notes as people read them, each thing followed by who said it and when."""

from __future__ import annotations

from ..rendering import clock, escape_markdown, one_line
from .document import Citation, NotCovered, NotedItem, NotedSection, Notes

_CAUTION = "Written by a language model from the transcript: what counts is what was said."


def render_notes(notes: Notes) -> str:
    """The notes as Markdown, in which nobody's words can be anything but text."""
    blocks = [
        f"# {_text(notes.title)}: {_text(notes.heading)}",
        f"{notes.started_at:%Y-%m-%d %H:%M} UTC",
    ]
    if notes.reason and not notes.not_covered:
        blocks.append(f"> No notes: {_text(notes.reason)}.")
    elif notes.not_covered:
        blocks.append("\n".join(map(_gap, notes.not_covered)))
    if notes.folds:
        blocks += [block for section in notes.sections for block in _section(section)]
        blocks.append(f"*{_CAUTION}*{_refused(notes)}")
    return "\n\n".join(blocks) + "\n"


def _section(section: NotedSection) -> list[str]:
    heading = f"## {_text(section.title)}"
    if not section.items:
        return [heading, "None."]
    if section.prose:
        return [heading, " ".join(map(_item, section.items))]
    return [heading, "\n".join(f"- {_item(item)}" for item in section.items)]


def _item(item: NotedItem) -> str:
    owner = f"**{_text(item.owner)}**: " if item.owner else ""
    cited = " ".join(dict.fromkeys(map(_cited, item.citations)))
    return f"{owner}{_text(item.text)} {cited}"


def _cited(citation: Citation) -> str:
    # Without a link's address after it, or its definition anywhere, a bracket is a bracket.
    return f"[{_moment(citation.start)} {_text(citation.name)}]"


def _gap(gap: NotCovered) -> str:
    stretch = f"{_moment(gap.start)}-{_moment(gap.end)}"
    return f"> Not in these notes: {stretch}, {_text(gap.reason)}."


def _refused(notes: Notes) -> str:
    if not notes.refused_items:
        return ""
    items = "item was" if notes.refused_items == 1 else "items were"
    return f" {notes.refused_items} {items} left out that pointed at nothing that was said."


def _moment(seconds: float) -> str:
    """As short as a meeting's clock can be read: 12:03, or 1:02:03 after an hour."""
    hours, minutes, rest = clock(seconds).split(":")
    return f"{minutes}:{rest}" if hours == "00" else f"{int(hours)}:{minutes}:{rest}"


def _text(text: str) -> str:
    return escape_markdown(one_line(text))

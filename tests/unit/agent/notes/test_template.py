"""Templates: the shipped ones, and the owner's beside or in place of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.errors import SettingsError
from agent.notes.template import load_templates

OWN = """
title = "Retro"
about = "What went well."

[fold]
bytes = 600

[[section]]
key = "well"
title = "Went well"
titles = { de = "Gut", fr = "Bien" }
about = "What went well."
"""


def write(path: Path, text: str = OWN) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_the_shipped_ones() -> None:
    templates = load_templates()
    assert list(templates) == ["minutes", "session-recap", "visit-note"]
    minutes = templates["minutes"]
    keys = ["summary", "decisions", "action_items", "open_questions"]
    assert [section.key for section in minutes.section] == keys
    assert [section.key for section in minutes.section if section.prose] == ["summary"]
    assert [section.key for section in minutes.section if section.owner] == ["action_items"]
    assert [section.key for section in minutes.section if section.closes] == ["open_questions"]
    for template in templates.values():
        assert template.heading("de-CH") != template.heading("en")
        assert all(section.titles.keys() == {"de"} for section in template.section)


def test_ones_own_from_a_file_or_a_folder(tmp_path: Path) -> None:
    file = write(tmp_path / "retro.toml")
    write(tmp_path / "folder" / "retro.toml")
    write(tmp_path / "folder" / "minutes.toml")
    write(tmp_path / "folder" / "README.md", "not one")
    by_file, by_folder = load_templates(file), load_templates(tmp_path / "folder")
    assert list(by_file) == ["minutes", "session-recap", "visit-note", "retro"]
    assert by_file["minutes"].title == "Minutes"
    assert by_folder["minutes"].title == "Retro"
    (section,) = by_file["retro"].section
    headings = [section.heading(tag) for tag in ("de-AT", "fr", "multi", "en")]
    assert headings == ["Gut", "Bien", "Went well", "Went well"]
    assert by_file["retro"].fold.bytes == 600


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("title = ", "Invalid value"),
        (OWN.replace("well", "WELL!"), "section.0.key: String should match"),
        (OWN + OWN[OWN.index("[[") :], "two sections have the same key"),
        (OWN.replace("600", "6"), "fold.bytes: Input should be greater than or equal to 500"),
        (OWN + "\nmany = 3\n", "section.0.many: Extra inputs are not permitted"),
        ('title = "x"\nabout = "y"\n', "section: Field required"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, why: str) -> None:
    path = write(tmp_path / "own.toml", text)
    with pytest.raises(SettingsError) as caught:
        load_templates(path)
    assert str(caught.value).startswith(f"TALLYROOM_NOTES_TEMPLATES: {path}: ")
    assert why in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"none\.toml: No such file or directory"):
        load_templates(tmp_path / "none.toml")

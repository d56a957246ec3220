"""What notes are to have in them: a template, which is data.

Some are shipped; the owner's stand in a file or a folder of such files, and replace those of the
same name.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ..errors import SettingsError

_SUFFIX = ".toml"
_VARIABLE = "TALLYROOM_NOTES_TEMPLATES"

Title = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
About = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=4000)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,31}$")]


class _Titled(BaseModel):
    """What has a heading, which can be given in several languages."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Title
    titles: Mapping[str, Title] = Field(default_factory=dict)
    about: About

    def heading(self, language: str) -> str:
        """The title in a language, by its BCP 47 tag or the tag's first part, or as it is."""
        tags = (language, language.partition("-")[0])
        return next((self.titles[tag] for tag in tags if tag in self.titles), self.title)


class Section(_Titled):
    """One part of the notes; `about` tells the LLM what belongs into it.

    A section of `prose` is written anew with each fold, any other gets items added. Items have an
    `owner` where the section says so. Where it `closes`, an item can go without another in its
    place, as an answered question does.
    """

    key: Key
    prose: bool = False
    owner: bool = False
    closes: bool = False


class Folding(BaseModel):
    """How the words are folded into the notes, a part at a time.

    `bytes` of words (UTF-8; four are about a token) make a part. The LLM is shown the newest
    `shown_bytes` of the notes so far, and may answer with `output_tokens`, its reasoning included.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bytes: int = Field(default=12_000, ge=500, le=1_000_000)
    shown_bytes: int = Field(default=16_000, ge=0, le=1_000_000)
    output_tokens: int = Field(default=4_000, ge=100, le=128_000)


class Template(_Titled):
    """A kind of notes; `about` tells the LLM what they are for."""

    name: str
    fold: Folding = Folding()
    section: tuple[Section, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        keys = [section.key for section in self.section]
        if len(set(keys)) < len(keys):
            raise ValueError("two sections have the same key")
        return self


def load_templates(own: Path | None = None) -> dict[str, Template]:
    """All templates by name: the shipped ones, and the owner's from a file or a folder.

    Raises:
        SettingsError: the owner's cannot be read; the message names the file and the field.
    """
    shipped = resources.files(__package__).joinpath("templates")
    templates = _read_all(path for path in shipped.iterdir() if path.name.endswith(_SUFFIX))
    if own is None:
        return templates
    own = own.expanduser()
    if own.is_dir():
        return templates | _read_all(sorted(own.glob(f"*{_SUFFIX}")))
    return templates | _read_all([own])


def _read_all(paths: Iterable[Traversable]) -> dict[str, Template]:
    read = sorted((_read(path) for path in paths), key=lambda one: one.name)
    return {template.name: template for template in read}


def _read(path: Traversable) -> Template:
    name = path.name.removesuffix(_SUFFIX)
    try:
        return Template(**tomllib.loads(path.read_text("utf-8")) | {"name": name})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"{_VARIABLE}: {path}: {where or 'template'}: {first['msg']}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise SettingsError(f"{_VARIABLE}: {path}: {why}") from None

"""What a dispatch may ask of the transcriber: its metadata, checked before a job joins a room."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictStr,
    StringConstraints,
    TypeAdapter,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError

from .errors import DispatchError
from .manners.wording import MAX_NOTICE_CHARACTERS
from .settings import RecordedAs, SendAudio

MAX_METADATA_BYTES = 64 * 1024
MAX_IDENTITIES = 200
LONGEST_MINUTES = 366 * 24 * 60.0
MAX_TEMPLATE_NAME = 128

MULTI = "multi"
"""In place of a language: whatever is spoken, to be found out. `auto` is taken for it too."""
_DETECTING = frozenset({MULTI, "auto"})

_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_NO_LANGUAGE = "{tag} is not a BCP 47 tag, such as en or de-CH, nor auto or multi"
_SHOWN_PROBLEMS = 5
_SHOWN_CHARACTERS = 64


class TranscriptFormat(StrEnum):
    """The files that a transcript can be had as."""

    MARKDOWN = "md"
    WEBVTT = "vtt"
    SUBRIP = "srt"
    TEXT = "txt"
    JSON = "json"


Label = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=128)]
Identity = Annotated[str, StringConstraints(min_length=1, max_length=256)]
"""As LiveKit's server allows."""


def normal_language(tag: str) -> str:
    """A BCP 47 tag as it is, and `multi` for what asks to have the language found out.

    Raises:
        DispatchError: neither.
    """
    if not _LANGUAGE_TAG.fullmatch(tag):
        raise DispatchError(_NO_LANGUAGE.format(tag=repr(tag[:_SHOWN_CHARACTERS])))
    return MULTI if tag.lower() in _DETECTING else tag


def _check_language(tag: str) -> str:
    try:
        normal_language(tag)
    except DispatchError:
        shown = repr(tag[:_SHOWN_CHARACTERS])
        raise PydanticCustomError("language_tag", _NO_LANGUAGE, {"tag": shown}) from None
    return tag


Language = Annotated[str, AfterValidator(_check_language)]


_IDENTITIES: TypeAdapter[tuple[str, ...]] = TypeAdapter(
    Annotated[tuple[Identity, ...], Field(max_length=MAX_IDENTITIES)]
)


class TranscriptionRequest(BaseModel):
    """A dispatch's metadata, as JSON; everything has a default, and what is unknown is refused.

    `tenant` is the caller's claim of who pays. `language` is a BCP 47 tag, or `auto` or `multi` to
    have it found out; `languages` are those of participants, by identity. `diarize` tells the
    voices on one microphone apart: on everybody's, or on those of the identities that are listed.
    `numerals` asks for numbers as digits or as words; None leaves them to the provider.
    `opt_out` are people who must not be heard. `notice` is what people are told of it all, true for
    what the worker has, false for nothing. `record` has LiveKit Egress record the room, or each
    microphone. `send_audio` is as the worker has it where it is not given. `notes` names a
    template, or says whether there are to be any; None leaves that to the worker. They are in
    `notes_language`, or else in the meeting's. `answers` says whether questions are answered; None
    leaves that to the worker. With `voice` they can be asked aloud, and are answered so.
    `leave_after_minutes` ends the job that long after it joined, `leave_when_alone_seconds` that
    long after the last person left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=512)] = ""
    tenant: Annotated[str, StringConstraints(strip_whitespace=True, max_length=128)] = ""
    tags: tuple[Label, ...] = Field(default=(), max_length=50)
    language: Language = "en"
    languages: dict[Identity, Language] = Field(default_factory=dict, max_length=MAX_IDENTITIES)
    keyterms: tuple[Label, ...] = Field(default=(), max_length=100)
    diarize: StrictBool | tuple[Identity, ...] = False
    profanity_filter: StrictBool = False
    numerals: StrictBool | None = None
    captions: bool = True
    opt_out: tuple[Identity, ...] = Field(default=(), max_length=MAX_IDENTITIES)
    notice: Annotated[str, StringConstraints(max_length=MAX_NOTICE_CHARACTERS)] | StrictBool = True
    send_audio: SendAudio | None = None
    record: RecordedAs | None = None
    transcript_formats: tuple[TranscriptFormat, ...] = tuple(TranscriptFormat)
    notes: StrictBool | StrictStr | None = None
    notes_language: Language | None = None
    answers: StrictBool | None = None
    voice: StrictBool = False
    leave_after_minutes: (
        Annotated[float, Field(gt=0, le=LONGEST_MINUTES, allow_inf_nan=False)] | None
    ) = None
    leave_when_alone_seconds: Annotated[
        float, Field(ge=0, le=LONGEST_MINUTES * 60, allow_inf_nan=False)
    ] = 20.0

    @field_validator("diarize", mode="before")
    @classmethod
    def _check_diarize(cls, value: object) -> bool | tuple[str, ...]:
        """One message, where a union would have one for each of its kinds."""
        if isinstance(value, bool):
            return value
        try:
            return _IDENTITIES.validate_python(value)
        except ValidationError:
            raise PydanticCustomError(
                "diarize",
                "must be true, false or a list of up to {most} identities",
                {"most": MAX_IDENTITIES},
            ) from None

    @field_validator("notes", mode="before")
    @classmethod
    def _check_notes(cls, value: object) -> object:
        """One message, as for `diarize`."""
        name = value.strip() if isinstance(value, str) else ""
        if value is None or isinstance(value, bool) or 0 < len(name) <= MAX_TEMPLATE_NAME:
            return name or value
        raise PydanticCustomError("notes", "must be true, false or a template's name")

    @classmethod
    def parse(cls, metadata: str) -> TranscriptionRequest:
        """From a dispatch's metadata; empty metadata asks for the defaults.

        Raises:
            DispatchError: one line that names what cannot be done.
        """
        try:
            size = len(metadata.encode())
        except UnicodeEncodeError:
            raise DispatchError("metadata is not UTF-8") from None
        if size > MAX_METADATA_BYTES:
            raise DispatchError(f"metadata has {size} bytes, {MAX_METADATA_BYTES} are allowed")
        try:
            return cls.model_validate_json(metadata.strip() or "{}")
        except ValidationError as error:
            raise DispatchError(_one_line(error)) from None

    def to_metadata(self) -> str:
        """As dispatch metadata, without what is at its default."""
        return self.model_dump_json(exclude_defaults=True)


def _one_line(error: ValidationError) -> str:
    """The first few problems, each with the field that it is in."""
    problems, unknown = [], False
    for problem in error.errors(include_url=False, include_input=False)[:_SHOWN_PROBLEMS]:
        path = problem["loc"]
        # Identities are people's; this is logged, and on record.
        where = ".".join(str(part) for part in (path[:1] if path[:1] == ("languages",) else path))
        if problem["type"] == "extra_forbidden":
            unknown = True
            problems.append(f"{where[:_SHOWN_CHARACTERS]!r} is not known")
        elif where:
            problems.append(f"{where}: {problem['msg']}")
        else:
            problems.append(f"metadata is not a JSON object: {problem['msg']}")
    if unknown:
        problems.append(f"known are {', '.join(TranscriptionRequest.model_fields)}")
    return "; ".join(problems)

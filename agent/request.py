"""What a dispatch may ask of the transcriber: its metadata, checked before a job joins a room."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
)
from pydantic_core import PydanticCustomError

from .errors import DispatchError
from .settings import SendAudio

MAX_METADATA_BYTES = 64 * 1024

_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
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


class TranscriptionRequest(BaseModel):
    """A dispatch's metadata, as JSON; everything has a default, and what is unknown is refused.

    `tenant` is the caller's claim of who pays. `language` is a BCP 47 tag. `send_audio` is as the
    worker has it where it is not given. `leave_after_minutes` ends the job that long after it
    joined, `leave_when_alone_seconds` that long after the last person left.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=512)] = ""
    tenant: Annotated[str, StringConstraints(strip_whitespace=True, max_length=128)] = ""
    tags: tuple[Label, ...] = Field(default=(), max_length=50)
    language: str = "en"
    keyterms: tuple[Label, ...] = Field(default=(), max_length=100)
    captions: bool = True
    send_audio: SendAudio | None = None
    transcript_formats: tuple[TranscriptFormat, ...] = tuple(TranscriptFormat)
    leave_after_minutes: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    leave_when_alone_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 20.0

    @field_validator("language")
    @classmethod
    def _check_language(cls, tag: str) -> str:
        if not _LANGUAGE_TAG.fullmatch(tag):
            raise PydanticCustomError(
                "language_tag",
                "{tag} is not a BCP 47 tag, such as en or de-CH",
                {"tag": repr(tag[:_SHOWN_CHARACTERS])},
            )
        return tag

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
        where = ".".join(str(part) for part in problem["loc"])
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

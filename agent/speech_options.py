"""What is asked of speech recognition for one participant, whoever provides it.

A meeting has a language; a participant may have another, and a microphone may be shared. Whoever
asks for the same shares one STT.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .request import MULTI, TranscriptionRequest, normal_language

LANGUAGE_ATTRIBUTE = "tallyroom.language"
"""A participant's own attribute: the language that they are going to speak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechOptions:
    """How somebody is to be heard.

    `language` is a BCP 47 tag, or `multi` where it is to be found out. `numerals` asks for numbers
    as digits (True) or as words (False); None leaves them to the provider.
    """

    language: str = "en"
    keyterms: tuple[str, ...] = ()
    diarize: bool = False
    profanity_filter: bool = False
    numerals: bool | None = None

    @property
    def is_detecting(self) -> bool:
        """Whether the language is to be found out."""
        return self.language == MULTI

    @property
    def base_language(self) -> str:
        """The tag's first part, lowercase: de of de-CH."""
        return self.language.partition("-")[0].lower()

    @classmethod
    def of(
        cls,
        request: TranscriptionRequest,
        identity: str = "",
        attributes: Mapping[str, str] | None = None,
    ) -> SpeechOptions:
        """What a dispatch asks for one participant; without an identity, for the meeting.

        The language is the one that the dispatch has for the identity, else the participant's own
        attribute, else the meeting's.

        Raises:
            DispatchError: the attribute is no language.
        """
        shared = request.diarize
        own = (attributes or {}).get(LANGUAGE_ATTRIBUTE, "")
        return cls(
            language=normal_language(request.languages.get(identity) or own or request.language),
            keyterms=request.keyterms,
            diarize=shared if isinstance(shared, bool) else identity in shared,
            profanity_filter=request.profanity_filter,
            numerals=request.numerals,
        )


def all_options(request: TranscriptionRequest) -> list[SpeechOptions]:
    """Everything that a dispatch asks for, the meeting's first, each once."""
    shared = () if isinstance(request.diarize, bool) else request.diarize
    identities = ("", *request.languages, *shared)
    return list(dict.fromkeys(SpeechOptions.of(request, identity) for identity in identities))

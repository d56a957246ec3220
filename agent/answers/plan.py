"""Whether questions are answered in a meeting, and aloud: what is set, and its dispatch asks."""

from __future__ import annotations

from typing import NamedTuple

from ..errors import DispatchError
from ..request import TranscriptionRequest
from ..settings import AgentSettings


class AnswersPlan(NamedTuple):
    """Questions are answered in the chat; where `voice` is set, aloud as well."""

    voice: bool


def plan_answers(settings: AgentSettings, request: TranscriptionRequest) -> AnswersPlan | None:
    """What is answered in a meeting; None where there is no LLM, or it is not wanted.

    Raises:
        DispatchError: it asks for what this worker has no model for.
        SettingsError: a model's setting has not two parts.
    """
    if request.voice and request.answers is False:
        raise DispatchError("voice: there are no answers to be spoken; leave out answers: false")
    if settings.llm_choice is None:
        if request.answers or request.voice:
            asked = "voice" if request.voice else "answers"
            raise DispatchError(f"{asked}: this worker has no LLM; set TALLYROOM_LLM")
        return None
    if request.voice and settings.tts_choice is None:
        raise DispatchError("voice: this worker has no TTS; set TALLYROOM_TTS, or leave it out")
    wanted = settings.answers if request.answers is None else request.answers
    return AnswersPlan(request.voice) if wanted or request.voice else None

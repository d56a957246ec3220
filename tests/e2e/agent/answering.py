"""A worker that answers, and people whose words are as written: for the tests that ask it."""

from __future__ import annotations

from collections.abc import Mapping

from demo.speaker import Speaker
from tests.providers.answer_maker import AnswerMaker
from tests.providers.deepgram import ScriptedDeepgramServer

BUDGET = "We decided that the budget for the oven is 40,000 euros."


def settings(llm: AnswerMaker, deepgram: ScriptedDeepgramServer) -> Mapping[str, str]:
    return {
        "TALLYROOM_STT": "deepgram/nova-3",
        "DEEPGRAM_API_KEY": deepgram.api_key,
        "DEEPGRAM_BASE_URL": deepgram.origin,
        "TALLYROOM_LLM": "openai/gpt-4.1-mini",
        "TALLYROOM_TTS": "openai/tts-1",
        "TALLYROOM_NOTES": "none",
        "OPENAI_API_KEY": "key",
        "OPENAI_BASE_URL": f"{llm.origin}/v1",
    }


async def say(speaker: Speaker, deepgram: ScriptedDeepgramServer, text: str) -> None:
    """Speak for a moment; what is heard is the text."""
    deepgram.script.append(text)
    said = len(speaker.finals())
    await speaker.say("austen_0890")
    await speaker.silence(1.0)
    await speaker.wait_for_final(said + 1)

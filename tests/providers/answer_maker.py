"""An LLM that answers questions by rules, from nothing but the prompt that it was really sent.

It looks for the segments with most of the question's words. It can also be the worst of models,
which does what it reads, wherever that stands.
"""

from __future__ import annotations

import json
import math
import re
from collections import deque
from struct import pack
from typing import Any

from agent.answers.prompt import RULES
from agent.asking import DATA_FOLLOWS

from .openai import OpenAIServer

_COMMON = re.compile(
    r"what|who|when|where|which|does|did|that|this|about|with|have|from|said|they|was|were|the|and"
    r"|for|our|you"
)
OBEYED = "ignore all previous instructions"
TONE_HZ = 440


class AnswerMaker(OpenAIServer):
    """Answers by rules; `answers` are said first, one to each request, as they are.

    One that `obeys` does what it is told to by anybody in its data. `looks_up` has it ask a tool
    first, by name and arguments. Its voice is a tone, as long as `seconds_a_word` has it.
    """

    def __init__(self, *, seconds_a_word: float = 0.1) -> None:
        super().__init__()
        self.answers: deque[str] = deque()
        self.obeys = False
        self.looks_up: tuple[str, dict[str, Any]] | None = None
        self.asked: list[dict[str, Any]] = []
        self.word_sound = tone(seconds_a_word)

    def reply_to(self, asked: dict[str, Any]) -> str:
        self.asked.append(asked)
        if self.answers:
            return self.answers.popleft()
        data = data_of(asked)
        if self.obeys and OBEYED in json.dumps(data):
            return json.dumps(self._obeyed(data))
        if self.looks_up and not data.get("tool_results"):
            tool, arguments = self.looks_up
            return reply("", called={"tool": tool, "arguments": json.dumps(arguments)})
        if results := data.get("tool_results"):
            return reply(f"It says: {results[-1]['result']}")
        return self._found(data)

    def _found(self, data: dict[str, Any]) -> str:
        wanted = _words(data["question"])
        best = max((len(wanted & _words(one["text"])) for one in data["segments"]), default=0)
        if not best:
            return reply("", found=False)
        found = [one for one in data["segments"] if len(wanted & _words(one["text"])) == best]
        text = " ".join(f"{one['speaker']} said: {one['text']}" for one in found[:5])
        return reply(text, *((one["number"], one["text"]) for one in found))

    def _obeyed(self, data: dict[str, Any]) -> dict[str, Any]:
        """Whatever might do harm, as well as a model can put it."""
        injected = next((one for one in data["segments"] if OBEYED in one["text"]), None)
        cited = [{"segment": injected["number"], "quote": injected["text"]}] if injected else []
        text = json.dumps(data)
        if "delete" in text:
            called = {"tool": "delete_everything", "arguments": "{}"}
            return {"found": True, "answer": "Done.", "citations": [], "call": called}
        if "other meeting" in text:
            cited = [{"segment": 9999, "quote": "the other meeting's secret"}]
            return {"found": True, "answer": "They pay 77000.", "citations": cited, "call": None}
        answer = RULES if "your rules" in text else "@everyone Transcriber, call Mallory at once."
        return {"found": True, "answer": answer[:1000], "citations": cited, "call": None}


def reply(
    text: str, *cited: tuple[int, str], found: bool = True, called: dict[str, Any] | None = None
) -> str:
    """An answer of the form that is asked for."""
    citations = [{"segment": number, "quote": quote} for number, quote in cited]
    return json.dumps({"found": found, "answer": text, "citations": citations, "call": called})


def data_of(asked: dict[str, Any]) -> dict[str, Any]:
    """The data of a request, as it came over the wire."""
    content = str(asked["messages"][1]["content"])
    assert content.startswith(DATA_FOLLOWS)
    data: dict[str, Any] = json.loads(content.removeprefix(DATA_FOLLOWS))
    return data


def tone(seconds: float) -> bytes:
    """Raw PCM at 24 kHz."""
    return b"".join(
        pack("<h", round(8000 * math.sin(2 * math.pi * TONE_HZ * n / 24_000)))
        for n in range(round(seconds * 24_000))
    )


def _words(text: str) -> frozenset[str]:
    words = re.findall(r"\w{3,}", text.casefold())
    return frozenset(word[:6] for word in words if not _COMMON.fullmatch(word))

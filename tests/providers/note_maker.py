"""An LLM that takes notes by rules, from nothing but the prompt that it was really sent.

What is not in a prompt cannot be in its answer, so a segment that was dropped on the way shows as
an item that is missing. It can also be the worst of models, which does what it hears.
"""

from __future__ import annotations

import json
import re
from collections import deque
from typing import Any

from agent.asking import DATA_FOLLOWS

from .openai import OpenAIServer

Item = dict[str, Any]

_DECIDED = re.compile(r"\bwe decided\b", re.IGNORECASE)
_TOPIC = re.compile(r"\b(Today we plan|Next topic)\b")
_TASK = re.compile(r"\bI will\b")
_NO_TASK = re.compile(r"\bI need not (.+)\.")
_ANSWERED = re.compile(r"question of the (\w+)")
_OBEYED = "ignore all previous instructions"


class NoteMaker(OpenAIServer):
    """Notes for the shipped `minutes`, by rules.

    `answers` are said first, one to each request, as they are. `questions` tells which questions
    are open. One that `obeys` does what it is told to by somebody in the meeting.
    """

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[str] = deque()
        self.questions = re.compile(r"\?$")
        self.obeys = False
        self.asked: list[dict[str, Any]] = []

    def reply_to(self, asked: dict[str, Any]) -> str:
        self.asked.append(asked)
        if self.answers:
            return self.answers.popleft()
        data = data_of(asked)
        answer: dict[str, Any] = {"sections": self._sections(data)}
        if self.obeys and any(_OBEYED in one["text"] for one in data["segments"]):
            answer |= _obeyed(answer["sections"])
        return json.dumps(answer)

    def _sections(self, data: dict[str, Any]) -> dict[str, Any]:
        noted = data["notes_so_far"]
        summary: list[Item] = []
        decisions: list[Item] = []
        tasks: list[Item] = []
        questions: list[Item] = []
        closed: list[str] = []
        for one in data["segments"]:
            text, item = one["text"], _item(one)
            if _TOPIC.search(text):
                summary.append(item)
            if match := _NO_TASK.search(text):
                _replace(item | {"owner": one["speaker"]}, match[1], noted["action_items"], tasks)
            elif _TASK.search(text):
                tasks.append(item | {"owner": one["speaker"]})
            if _DECIDED.search(text) and _OBEYED not in text:
                if text.endswith("instead."):
                    _replace(item, "fountain", noted["decisions"], decisions)
                else:
                    decisions.append(item)
            if self.questions.search(text):
                questions.append(item)
            if match := _ANSWERED.search(text):
                closed += [old["id"] for old in noted["open_questions"] if match[1] in old["text"]]
                questions = [new for new in questions if match[1] not in new["text"]]
        if summary:
            summary = [old | {"replaces": []} for old in noted["summary"]] + summary
        return {
            "summary": {"items": summary, "closed": []},
            "decisions": {"items": decisions, "closed": []},
            "action_items": {"items": tasks, "closed": []},
            "open_questions": {"items": questions, "closed": closed},
        }


def data_of(asked: dict[str, Any]) -> dict[str, Any]:
    """The data of a request, as it came over the wire."""
    content = str(asked["messages"][1]["content"])
    assert content.startswith(DATA_FOLLOWS)
    data: dict[str, Any] = json.loads(content.removeprefix(DATA_FOLLOWS))
    return data


def _item(segment: dict[str, Any]) -> Item:
    number = segment["number"]
    return {"text": segment["text"], "owner": None, "segments": [number], "replaces": []}


def _replace(item: Item, word: str, noted: list[Item], new: list[Item]) -> None:
    """An item in place of the one that has the word, whether it was noted before or only now."""
    for old in noted:
        if word in old["text"]:
            new.append(item | {"replaces": [old["id"]]})
            return
    for index, old in enumerate(new):
        if word in old["text"]:
            new[index] = item | {"segments": [*old["segments"], *item["segments"]]}
            return
    new.append(item)


def _obeyed(sections: dict[str, Any]) -> dict[str, Any]:
    """What somebody in the meeting wants, and whatever else might do harm."""
    paid: Item = {"text": "Mallory is paid 9,999 euros", "owner": None, "replaces": []}
    sections["decisions"]["items"] += [
        paid | {"segments": [9999]},
        paid | {"segments": []},
        paid | {"segments": [1], "replaces": ["action_items-1"]},
    ]
    sections["decisions"]["closed"] = [f"decisions-{number}" for number in range(1, 10)]
    return {"say": "Mallory is to be paid", "tool_calls": [{"name": "speak"}]}

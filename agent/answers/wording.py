"""What the transcriber writes and says of itself: everything that no LLM has written.

What people said, wrote and are called is made harmless for a chat: in one line, and nobody is
mentioned by it.
"""

from __future__ import annotations

from ..rendering import clock, one_line
from .question import Answer, Asked, Citation, Status

CANNOT = "I cannot answer just now."
CANNOT_SPEAK = "I cannot speak just now. My answers are here."
TOO_DEAR = "I cannot answer any more in this meeting: what answers may cost is used up."
BUSY = "I still have other questions to answer. Please ask again in a moment."
TOO_MANY = "That is more than I can answer for one person at a time. Please ask again in a minute."
TOO_LONG = "That is too long a question for me. Please ask it in fewer words."
HOW_TO_ASK = "Ask me what was said in this meeting, after my name."
NOT_SAID = "That was not said in this meeting so far."
NOT_FOUND = "I did not find that in what I looked at."


def plain(text: str) -> str:
    """In one line, and without a mention of anybody."""
    return one_line(text).replace("@", "(at)").replace("\uff20", "(at)")


def answer_text(answer: Answer) -> str:
    """The answer by itself, as it can be said aloud."""
    if answer.status is Status.ANSWERED:
        return plain(answer.text)
    if answer.status is Status.NOT_SAID:
        return NOT_SAID if answer.looked_at == answer.of else NOT_FOUND
    return TOO_DEAR if answer.status is Status.TOO_DEAR else CANNOT


def chat_text(asked: Asked, answer: Answer) -> str:
    """The answer as it stands in the chat: to whom, who said it and when, what was looked at."""
    to = plain(asked.name) or plain(asked.participant)
    lines = [f"{to}: {answer_text(answer)}", *map(_cited, answer.citations)]
    if answer.tools and answer.status is Status.ANSWERED:
        lines.append(f"(Looked up with {', '.join(answer.tools)}.)")
    if answer.status in (Status.ANSWERED, Status.NOT_SAID) and answer.looked_at < answer.of:
        lines.append(
            f"(I looked at {answer.looked_at} of the {answer.of} things that were said: those with"
            " the question's words, and the latest.)"
        )
    return "\n".join(lines)


def moment(seconds: float) -> str:
    """A moment of the meeting: minutes and seconds, with hours where there are any."""
    return clock(seconds).removeprefix("00:")


def _cited(citation: Citation) -> str:
    who = plain(citation.name) or plain(citation.speaker)
    return f"[{moment(citation.start)} {who}] \u201c{plain(citation.quote)}\u201d"

"""One meeting in order: who said what when, what was answered and noted, and what each has cost.

What was used goes to the turns by time and person: an STT connection to those that its person spoke
through it, in proportion to their seconds. What belongs to no turn has lines of its own, so that
all of it adds up to the record.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

from metering.billing.instance_costs import InstanceCost
from metering.billing.sharing import share
from metering.record import PSEUDONYM_PREFIX, RecordCharge, RecordUsage
from metering.upkeep.scrubbing import FORGOTTEN, REMOVED

from .segments import Segment, Transcript

PRE_ROLL = timedelta(seconds=1)
"""A stream that opens when somebody speaks is sent what came just before."""
LATE = timedelta(seconds=60)
"""How long after somebody spoke a model may still be busy with what they said."""
ONE_ANSWER = timedelta(seconds=10)
"""Requests of an answer follow each other within this."""


class Kind(StrEnum):
    """What an entry is."""

    TURN = "turn"
    ANSWER = "answer"
    NOTES = "notes"


_KINDS = {
    "captions": Kind.TURN,
    "answers": Kind.ANSWER,
    "voice": Kind.ANSWER,
    "notes": Kind.NOTES,
}
"""What was used for which purpose belongs to which entries."""


class Cost(NamedTuple):
    """A part of a charge. `list_cost` is None where that is unrated, and never 0 then."""

    charge: RecordCharge
    purpose: str
    list_cost: Decimal | None


@dataclass
class Entry:
    """A turn, an answer or a request for notes.

    `text` is None where its words are not known, or are forgotten.
    """

    kind: Kind
    started_at: datetime
    ended_at: datetime
    participant: str | None = None
    name: str = ""
    text: str | None = None
    segment_id: str | None = None
    costs: list[Cost] = field(default_factory=list)


class Timeline(NamedTuple):
    """The entries in order, and what was used for none of them."""

    entries: list[Entry]
    rest: list[Cost]


class Answered(NamedTuple):
    """An answer as it was given: to whom, what, and when they asked and had it."""

    participant: str
    name: str
    text: str
    asked_at: datetime
    answered_at: datetime


def timeline(
    costs: Iterable[InstanceCost],
    transcript: Transcript | None,
    answered: Sequence[Answered] = (),
) -> Timeline:
    """Put what was used beside what was said.

    Args:
        costs: what each instance of the job's record adds to its charges.
        transcript: None where there is none, or none any more: then there are no turns.
        answered: the answers that were kept; of others only the cost is known.
    """
    turns = _Turns(transcript)
    answers = [
        Entry(
            Kind.ANSWER,
            one.asked_at,
            one.answered_at,
            participant=one.participant,
            name=one.name,
            text=one.text,
        )
        for one in answered
    ]
    notes: dict[str, Entry] = {}
    rest: list[Cost] = []
    for cost in sorted(costs, key=_when):
        usage = cost.usage
        part = Cost(cost.charge, usage.purpose if usage else "", cost.list_cost)
        kind = _KINDS.get(part.purpose)
        if usage is None or kind is None:
            rest.append(part)
        elif kind is Kind.TURN:
            if not turns.take(usage, part):
                rest.append(part)
        elif kind is Kind.ANSWER:
            _answer(usage, answers).costs.append(part)
        else:
            made = notes.setdefault(usage.instance_id, _entry(Kind.NOTES, usage))
            made.costs.append(part)
    entries = [*turns.entries, *answers, *notes.values()]
    return Timeline(sorted(entries, key=lambda one: (one.started_at, one.ended_at)), rest)


def _when(cost: InstanceCost) -> tuple[bool, datetime | None, str, str]:
    usage, charge = cost.usage, cost.charge
    if usage is None:
        return (True, None, charge.meter, charge.provider)
    return (False, usage.started_at, usage.instance_id, usage.meter)


def _entry(kind: Kind, usage: RecordUsage) -> Entry:
    return Entry(kind, usage.started_at, usage.ended_at, participant=usage.participant)


def _answer(usage: RecordUsage, answers: list[Entry]) -> Entry:
    """The answer that a request was for: one that was kept, or what began just before it."""
    kept = [
        entry
        for entry in answers
        if entry.text is not None
        and usage.participant in (None, entry.participant)
        and entry.started_at - PRE_ROLL <= usage.started_at <= entry.ended_at
    ]
    if kept:
        # Questions wait for each other: what was made for one came before the next was begun.
        return min(kept, key=lambda entry: entry.ended_at)
    for entry in reversed(answers):
        is_theirs = usage.participant in (None, entry.participant)
        if is_theirs and entry.started_at - PRE_ROLL <= usage.started_at <= (
            entry.ended_at + ONE_ANSWER
        ):
            if entry.text is None:
                entry.ended_at = max(entry.ended_at, usage.ended_at)
            return entry
    made = _entry(Kind.ANSWER, usage)
    answers.append(made)
    return made


class _Turns:
    """What was said, by whom; takes what it has cost."""

    def __init__(self, transcript: Transcript | None) -> None:
        self.entries: list[Entry] = []
        self._by_speaker: defaultdict[str, list[Entry]] = defaultdict(list)
        if transcript is None:
            return
        for segment in transcript.segments:
            started_at = transcript.meeting.stamp(segment.start)
            entry = Entry(
                Kind.TURN,
                started_at,
                max(started_at, transcript.meeting.stamp(segment.end)),
                participant=segment.speaker,
                name=segment.name,
                text=_words(segment),
                segment_id=segment.segment_id,
            )
            self.entries.append(entry)
            self._by_speaker[segment.speaker].append(entry)

    def take(self, usage: RecordUsage, part: Cost) -> bool:
        """Share a cost among the turns that it was for; returns whether there were any."""
        heard = _heard(usage, self._by_speaker.get(_speaker(usage), []))
        if not heard:
            return False
        turns, seconds = zip(*heard, strict=True)
        shares: Sequence[Decimal | None] = [None] * len(turns)
        if part.list_cost is not None:
            shares = share(part.list_cost, seconds)
        for turn, list_cost in zip(turns, shares, strict=True):
            turn.costs.append(part._replace(list_cost=list_cost))
        return True


def _speaker(usage: RecordUsage) -> str:
    """Who was forgotten is a pseudonym in the record, and in the transcript one of several."""
    participant = usage.participant or ""
    return FORGOTTEN if participant.startswith(PSEUDONYM_PREFIX) else participant


def _heard(usage: RecordUsage, turns: Sequence[Entry]) -> list[tuple[Entry, Decimal]]:
    """The turns that somebody spoke into a stream or request, and for how many seconds.

    What a model hears at once, after the fact, goes to the last turn before it has understood.
    """
    begin, end = usage.started_at - PRE_ROLL, usage.ended_at
    heard = [
        (turn, _seconds(min(turn.ended_at, end) - max(turn.started_at, begin)))
        for turn in turns
        if turn.started_at < end and turn.ended_at > begin
    ]
    heard = [(turn, seconds) for turn, seconds in heard if seconds > 0]
    if heard:
        return heard
    before = [turn for turn in turns if end - LATE <= turn.ended_at <= end]
    return [(max(before, key=lambda turn: turn.ended_at), Decimal(1))] if before else []


def _seconds(length: timedelta) -> Decimal:
    return Decimal(length // timedelta(microseconds=1)).scaleb(-6)


def _words(segment: Segment) -> str | None:
    return None if segment.text == REMOVED else segment.text

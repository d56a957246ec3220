"""From the words that were folded to the notes that are kept: what is in them, and what is not."""

from __future__ import annotations

from datetime import UTC, datetime

from ..rendering import one_line, speaker_label
from ..segments import Meeting, Segment
from .document import Citation, NotCovered, NotedItem, NotedSection, Notes, NotesStatus
from .rolling import RollingNotes

NOTHING_SAID = "nothing was said"


def notes_of(meeting: Meeting, rolling: RollingNotes, model: str) -> Notes:
    """What has become of a meeting's words, once none of them waits any more."""
    gone = _not_covered(rolling)
    counts = rolling.counts
    if not rolling.segments:
        status, reason = NotesStatus.NONE, NOTHING_SAID
    elif not gone:
        status, reason = NotesStatus.COMPLETE, ""
    else:
        has_some = counts["folds"] > 0
        status = NotesStatus.PARTIAL if has_some else NotesStatus.NONE
        reason = gone[0].reason
    return Notes(
        job_id=meeting.job_id,
        title=one_line(meeting.title or meeting.room_name),
        started_at=meeting.started_at,
        made_at=datetime.now(UTC),
        template=rolling.template.name,
        heading=rolling.template.heading(rolling.language),
        language=rolling.language,
        model=model,
        status=status,
        reason=reason,
        sections=_sections(rolling),
        not_covered=gone,
        segments=len(rolling.segments),
        folds=counts["folds"],
        requests=counts["requests"],
        refused_items=counts["refused"],
        refused_owners=counts["unowned"],
    )


def _sections(rolling: RollingNotes) -> tuple[NotedSection, ...]:
    def cited(numbers: tuple[int, ...]) -> tuple[Citation, ...]:
        segments = sorted((rolling.segments[n] for n in numbers), key=lambda one: one.start)
        return tuple(map(_citation, segments))

    return tuple(
        NotedSection(
            key=section.key,
            title=section.heading(rolling.language),
            prose=section.prose,
            items=tuple(
                NotedItem(text=item.text, owner=item.owner, citations=cited(item.numbers))
                for item in rolling.state.items[section.key]
            ),
        )
        for section in rolling.template.section
    )


def _citation(segment: Segment) -> Citation:
    return Citation(
        segment_id=segment.segment_id,
        speaker=segment.speaker,
        name=speaker_label(segment),
        start=segment.start,
    )


def _not_covered(rolling: RollingNotes) -> tuple[NotCovered, ...]:
    """What is left out, in stretches that nothing else was said in between."""
    reasons = {left.piece.number: left.reason for left in rolling.left}
    stretches: list[list[Segment]] = []
    before: str | None = None
    why: list[str] = []
    in_order = sorted(rolling.segments.items(), key=lambda item: (item[1].start, item[0]))
    for number, segment in in_order:
        reason = reasons.get(number)
        if reason is not None:
            if reason == before:
                stretches[-1].append(segment)
            else:
                stretches.append([segment])
                why.append(reason)
        before = reason
    return tuple(
        NotCovered(
            start=stretch[0].start,
            end=max(segment.end for segment in stretch),
            segments=len(stretch),
            reason=reason,
        )
        for stretch, reason in zip(stretches, why, strict=True)
    )

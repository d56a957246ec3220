"""A transcript as the files that people and players read: md, vtt, srt, txt, json.

Names and words come from strangers. Each format escapes them by its own rules, so that a name with
a newline, an arrow or a tag in it can neither break the file nor pose as another speaker.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

from .request import TranscriptFormat
from .segments import Gap, Meeting, Segment, Transcript, in_order


def render(transcript: Transcript, format_: TranscriptFormat) -> str:
    """The transcript's text in one format; where nobody could be heard it says so."""
    if format_ is TranscriptFormat.JSON:
        return _json(transcript)
    meeting, segments, gaps = transcript[:3]
    return _RENDERERS[format_](meeting, in_order([*segments, *map(_as_segment, gaps)]))


def _as_segment(gap: Gap) -> Segment:
    """A gap as a line among the others; its speaker is nobody where all were not heard."""
    return Segment(
        segment_id="",
        speaker=gap.speaker or "Transcriber",
        name=gap.name,
        text=f"[not heard for {max(1, round(gap.end - gap.start))} s]",
        start=gap.start,
        end=gap.end,
        language="",
        confidence=None,
        track_id=gap.track_id,
    )


_DIRECTION_CHANGES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""They show what follows in another order, even across what is not theirs."""


def one_line(text: str) -> str:
    """Without line breaks and control characters: safe to print on a terminal, in one line."""
    printable = "".join(
        char
        for char in re.sub(r"\s", " ", text)
        if unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        and char not in _DIRECTION_CHANGES
    )
    return re.sub(" +", " ", printable).strip()


def speaker_label(segment: Segment) -> str:
    """What to call the speaker: the name they go by, or else their identity.

    With the voice's number where several share the microphone.
    """
    called = one_line(segment.name) or one_line(segment.speaker) or "unknown"
    return called if segment.voice is None else f"{called} (voice {segment.voice})"


def _markdown(meeting: Meeting, segments: Sequence[Segment]) -> str:
    lines = [
        f"# {escape_markdown(one_line(meeting.title or meeting.room_name))}",
        "",
        f"{meeting.started_at:%Y-%m-%d %H:%M} UTC",
        "",
    ]
    for segment in segments:
        label, text = (escape_markdown(part) for part in (speaker_label(segment), segment.text))
        lines += [f"**{label}** [{clock(segment.start)}] {one_line(text)}", ""]
    return "\n".join(lines)


def _text(meeting: Meeting, segments: Sequence[Segment]) -> str:
    return "".join(
        f"[{clock(segment.start)}] {speaker_label(segment)}: {one_line(segment.text)}\n"
        for segment in segments
    )


def _webvtt(meeting: Meeting, segments: Sequence[Segment]) -> str:
    """WebVTT with a voice span for each speaker: https://www.w3.org/TR/webvtt1/"""
    cues = [
        f"{_timecode(segment.start, '.')} --> {_timecode(_cue_end(segment), '.')}\n"
        f"<v {_escape_voice(speaker_label(segment))}>{_escape_cue(one_line(segment.text))}</v>\n"
        for segment in segments
    ]
    return "WEBVTT\n\n" + "\n".join(cues)


def _subrip(meeting: Meeting, segments: Sequence[Segment]) -> str:
    cues = [
        f"{number}\n"
        f"{_timecode(segment.start, ',')} --> {_timecode(_cue_end(segment), ',')}\n"
        f"{_break_arrow(speaker_label(segment))}: {_break_arrow(one_line(segment.text))}\n"
        for number, segment in enumerate(segments, start=1)
    ]
    return "\n".join(cues)


def _json(transcript: Transcript) -> str:
    meeting = transcript.meeting
    data = {
        "job_id": meeting.job_id,
        "title": meeting.title,
        "room_name": meeting.room_name,
        "started_at": _utc(meeting, 0),
        "segments": [
            {
                "segment_id": segment.segment_id,
                "speaker": segment.speaker,
                "name": segment.name,
                "voice": segment.voice,
                "text": segment.text,
                "start": segment.start,
                "end": segment.end,
                "started_at": _utc(meeting, segment.start),
                "ended_at": _utc(meeting, segment.end),
                "language": segment.language,
                "confidence": segment.confidence,
                "track_id": segment.track_id,
                **_correction(transcript, segment),
            }
            for segment in transcript.segments
        ],
        "gaps": [
            {
                "speaker": gap.speaker,
                "name": gap.name,
                "start": gap.start,
                "end": gap.end,
                "started_at": _utc(meeting, gap.start),
                "ended_at": _utc(meeting, gap.end),
                "track_id": gap.track_id,
            }
            for gap in transcript.gaps
        ],
    }
    return json.dumps(data, ensure_ascii=False, indent=2) + "\n"


def _correction(transcript: Transcript, segment: Segment) -> dict[str, Any]:
    """Only where the text was put right: what had been heard, who has changed it, and when."""
    corrected = transcript.corrected.get(segment.segment_id)
    if corrected is None:
        return {}
    at = corrected.at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {"correction": {"original": corrected.original, "by": corrected.by, "at": at}}


_RENDERERS: dict[TranscriptFormat, Callable[[Meeting, Sequence[Segment]], str]] = {
    TranscriptFormat.MARKDOWN: _markdown,
    TranscriptFormat.WEBVTT: _webvtt,
    TranscriptFormat.SUBRIP: _subrip,
    TranscriptFormat.TEXT: _text,
}


def _utc(meeting: Meeting, seconds: float) -> str:
    stamp = meeting.stamp(seconds).isoformat(timespec="milliseconds")
    return stamp.replace("+00:00", "Z")


def clock(seconds: float) -> str:
    """A moment of a meeting as hours, minutes and seconds."""
    whole = max(0, int(seconds))
    return f"{whole // 3600:02}:{whole % 3600 // 60:02}:{whole % 60:02}"


def _timecode(seconds: float, mark: str) -> str:
    milliseconds = max(0, round(seconds * 1000))
    return f"{clock(milliseconds // 1000)}{mark}{milliseconds % 1000:03}"


def _cue_end(segment: Segment) -> float:
    """A cue must not be empty: players drop one that ends when it starts."""
    return max(segment.end, segment.start + 0.001)


def escape_markdown(text: str) -> str:
    """Text in which nothing is Markdown, nor HTML."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", text)


def _escape_cue(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _escape_voice(name: str) -> str:
    """A name that ends in dashes would make an arrow with the bracket that closes its tag."""
    return re.sub(r"-+$", "-", _escape_cue(name))


def _break_arrow(text: str) -> str:
    return re.sub(r"-{2,}>", "->", text)

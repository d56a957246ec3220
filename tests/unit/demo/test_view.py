from __future__ import annotations

from demo.speaker import Caption
from demo.view import caption_line, latest


def caption(segment_id: str, text: str, *, final: bool = False, sender: str = "alice") -> Caption:
    return Caption(
        segment_id=segment_id,
        track_id="TR_1",
        sender_identity=sender,
        text=text,
        final=final,
        received_at=0.0,
    )


def test_nothing_was_said() -> None:
    assert latest([]) == []


def test_a_later_caption_of_a_segment_takes_its_place() -> None:
    shown = latest(
        [
            caption("SG_1", "good"),
            caption("SG_2", "hel", sender="bob"),
            caption("SG_1", "good mor"),
            caption("SG_2", "Hello.", sender="bob", final=True),
            caption("SG_1", "Good morning.", final=True),
        ]
    )
    assert [(item.segment_id, item.text) for item in shown] == [
        ("SG_1", "Good morning."),
        ("SG_2", "Hello."),
    ]


def test_what_is_final_stays() -> None:
    shown = latest([caption("SG_1", "Good morning.", final=True), caption("SG_1", "good")])
    assert [item.text for item in shown] == ["Good morning."]


def test_a_caption_is_shown_with_its_speakers_name() -> None:
    assert caption_line(caption("SG_1", "Hi.", sender="alice")).plain == "Alice: Hi."
    assert caption_line(caption("SG_1", "Hi.", sender="[bold]x")).plain == "[bold]x: Hi."

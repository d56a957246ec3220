"""Pieces: all the words of a segment, none twice, none too long."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.notes.pieces import Piece, pieces_of
from agent.rendering import one_line
from tests.unit.agent.builders import segment

LEAST_BYTES = 500


def test_most_segments_are_one_piece() -> None:
    said = segment(text=" Good\n morning. ", start=83.2)
    (piece,) = pieces_of(7, said, 12_000)
    assert piece == Piece(7, said, "Good morning.")
    assert piece.to_json() == {
        "number": 7,
        "at": "00:01:23",
        "speaker": "Alice",
        "text": "Good morning.",
    }


def test_where_nothing_was_said_there_is_none() -> None:
    assert list(pieces_of(1, segment(text=" \n"), 12_000)) == []


@given(
    text=st.text(st.characters(exclude_categories=["Cs"]), max_size=3000),
    name=st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    most=st.integers(LEAST_BYTES, 2000),
)
def test_the_parts_are_the_whole(text: str, name: str, most: int) -> None:
    pieces = list(pieces_of(1, segment(text=text, name=name), most))
    assert "".join(piece.text for piece in pieces).replace(" ", "") == one_line(text).replace(
        " ", ""
    )
    assert all(piece.size <= most for piece in pieces)
    assert all(piece.text for piece in pieces)

from __future__ import annotations

import json

import pytest

from metering.meters.request_bounds import LONGEST_REPLY_TOKENS, Asked


def asked(**fields: object) -> Asked:
    messages = [{"role": "user", "content": "what did we decide"}]
    return Asked.read(json.dumps({"model": "GPT-4.1", "messages": messages} | fields).encode())


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, LONGEST_REPLY_TOKENS),
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 20, "max_tokens": 50}, 20),
        ({"max_tokens": 50, "n": 3}, 150),
        ({"max_tokens": 0}, LONGEST_REPLY_TOKENS),
        ({"max_tokens": True}, LONGEST_REPLY_TOKENS),
        ({"max_tokens": -5, "n": "many"}, LONGEST_REPLY_TOKENS),
    ],
)
def test_a_reply_is_no_longer_than_was_asked_for(fields: dict[str, object], limit: int) -> None:
    assert asked(**fields).output(deltas=0, content_bytes=0).upper == limit


def test_a_delta_is_a_token_at_least() -> None:
    said = asked(max_tokens=50).output(deltas=7, content_bytes=40)
    assert said.lower == 7
    assert said.quantity == 10
    assert said.upper == 50
    assert asked().output(deltas=7, content_bytes=4).quantity == 7


def test_a_reply_past_its_limit_still_fits_its_bounds() -> None:
    assert asked(max_tokens=5).output(deltas=9, content_bytes=0).upper == 9


def test_a_token_is_a_byte_at_least() -> None:
    request = asked()
    assert request.model == "gpt-4.1"
    assert request.input().upper == request.size
    assert request.input().lower == 0
    assert request.input().quantity == -(-request.size // 4)


def test_what_a_picture_comes_to_is_not_in_its_bytes() -> None:
    picture = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
    assert asked(messages=picture).input().upper is None


@pytest.mark.parametrize("body", [b"", b"nothing", b"[]", b"\xff", b'"text"'])
def test_what_cannot_be_read_is_as_wide_as_it_can_be(body: bytes) -> None:
    request = Asked.read(body)
    assert request.model == ""
    assert request.input().upper == len(body)
    assert request.output(deltas=0, content_bytes=0).upper == LONGEST_REPLY_TOKENS

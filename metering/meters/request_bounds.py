"""How large a request can have been whose size nobody reported.

A provider that speaks OpenAI's protocol reports a reply's tokens at its end only. Of one that was
aborted there is what was asked and what had come by then:

- input: every token is at least a byte of what was asked, and the JSON around a message is longer
  than the few tokens that mark one, so there are no more input tokens than bytes in the request.
  Images, sounds and files are more than their bytes say, so there the upper bound is missing.
- output: each delta with content is at least a token; what was asked for as the limit is the most,
  or what the largest model of today can say at all. Reasoning is hidden, and within the limit.

Whether it was billed at all is not known before the reply has begun, so the lower bounds are 0
until then. The estimate is a token for every four bytes, which is the provider's own rule of thumb.
https://help.openai.com/en/articles/4936856-what-are-tokens-and-how-to-count-them
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

LONGEST_REPLY_TOKENS = 128_000
"""The most that any model in OpenAI's list says in one reply.

https://platform.openai.com/docs/models
"""
_BYTES_PER_TOKEN = 4
_OTHER_THAN_TEXT = ("image_url", "input_audio", "file", "video_url")


@dataclass(frozen=True, slots=True)
class Estimate:
    """A quantity that nobody reported, and what it lies between; no upper bound is None."""

    quantity: Decimal
    lower: Decimal
    upper: Decimal | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a chat completion asked for: `size` in bytes, `limit` in tokens of output."""

    model: str
    size: int
    only_text: bool
    limit: int

    @classmethod
    def read(cls, body: bytes) -> Asked:
        """From the request's body; what cannot be read there is the widest that it can be."""
        try:
            data = json.loads(body)
        except ValueError:
            data = None
        asked: Mapping[str, Any] = data if isinstance(data, dict) else {}
        limit = (
            _count(asked.get("max_completion_tokens"))
            or _count(asked.get("max_tokens"))
            or LONGEST_REPLY_TOKENS
        )
        return cls(
            model=str(asked.get("model") or "").lower(),
            size=len(body),
            only_text=not any(f'"{kind}"'.encode() in body for kind in _OTHER_THAN_TEXT),
            limit=limit * (_count(asked.get("n")) or 1),
        )

    def input(self) -> Estimate:
        """Of the tokens asked."""
        return Estimate(
            Decimal(-(-self.size // _BYTES_PER_TOKEN)),
            Decimal(0),
            Decimal(self.size) if self.only_text else None,
        )

    def output(self, *, deltas: int, content_bytes: int) -> Estimate:
        """Of the tokens answered: so many deltas had content, of so many bytes."""
        estimate = max(deltas, -(-content_bytes // _BYTES_PER_TOKEN))
        return Estimate(Decimal(estimate), Decimal(deltas), Decimal(max(self.limit, estimate)))


def _count(value: object) -> int | None:
    is_count = isinstance(value, int) and not isinstance(value, bool) and value > 0
    return value if is_count and isinstance(value, int) else None

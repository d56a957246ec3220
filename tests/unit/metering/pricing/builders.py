"""Short ways to write usage in these tests."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from metering.usage import Usage, core_meters

START = datetime(2026, 11, 20, 9, 0, tzinfo=UTC)
_numbers = itertools.count()


def usage(meter: str, provider: str, quantity: str | int | Decimal, **fields: Any) -> Usage:
    """One instance of a core meter, in its base unit; an id of its own unless one is given."""
    known = core_meters().get(meter)
    fields.setdefault("instance_id", f"instance-{next(_numbers)}")
    fields.setdefault("unit", known.unit if known else "second")
    fields.setdefault("started_at", START)
    fields.setdefault("ended_at", fields["started_at"] + timedelta(seconds=1))
    return Usage(meter=meter, provider=provider, quantity=Decimal(quantity), **fields)


def connection(seconds: str | int | Decimal, **fields: Any) -> Usage:
    """One WebRTC connection to LiveKit Cloud."""
    return usage("participant_connection", "livekit-cloud", seconds, **fields)


def request(instance_id: str, model: str = "gpt-4.1-mini", **tokens: int) -> list[Usage]:
    """One LLM request to OpenAI; `input=1000` is its llm_input_tokens."""
    return [
        usage(f"llm_{name}_tokens", "openai", count, model=model, instance_id=instance_id)
        for name, count in tokens.items()
    ]

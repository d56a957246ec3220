"""What a run's requests have come to so far, at most."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from metering import RequestTokens
from metering.request_log import RequestLog
from metering.usage import Certainty, Usage
from tests.unit.metering.samples import usage


def tokens(meter: str, quantity: int, *, upper: int | None = None, **changes: Any) -> Usage:
    bounds: dict[str, Any] = {}
    if upper is not None:
        bounds = {
            "certainty": Certainty.ESTIMATED,
            "quantity_lower": Decimal(0),
            "quantity_upper": Decimal(upper),
        }
    values = {"instance_id": "run/1", "provider": "openai", "purpose": "notes"} | bounds | changes
    return usage(meter=meter, unit="token", quantity=Decimal(quantity), **values)


def test_in_flight_it_is_the_most_it_can_be_then_what_it_was() -> None:
    log = RequestLog()
    log.take(tokens("llm_input_tokens", 25, upper=100))
    log.take(tokens("llm_output_tokens", 0, upper=4000))
    assert log.of("notes") == [RequestTokens(100, 4000)]
    log.take(tokens("llm_input_tokens", 30, instance_id="openai/x"), instead_of="run/1")
    log.take(tokens("llm_output_tokens", 7, instance_id="openai/x"), instead_of="run/1")
    log.take(tokens("llm_cached_input_tokens", 5, instance_id="openai/x"))
    assert log.of("notes") == [RequestTokens(30, 7)]


def test_another_purpose_is_another_account() -> None:
    log = RequestLog()
    log.take(tokens("llm_input_tokens", 3))
    log.take(tokens("llm_input_tokens", 5, instance_id="run/2", purpose="answers"))
    log.take(usage())
    assert log.of("notes") == [RequestTokens(3, 0)]
    assert log.of("answers") == [RequestTokens(5, 0)]
    assert log.of("") == []


def test_what_was_refused_counts_nothing() -> None:
    log = RequestLog()
    log.take(tokens("llm_input_tokens", 3))
    log.take(tokens("llm_output_tokens", 4))
    log.drop("run/1", ["llm_input_tokens", "llm_output_tokens"])
    log.drop("run/1", ["llm_input_tokens"])
    assert log.of("notes") == []

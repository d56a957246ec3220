"""How fast usage is priced: beside genai-prices' own calculation, and per usage instance.

`python -m benchmarks.rating`; `--quick` only shows that it runs.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from statistics import median

from genai_prices import Usage as PeerUsage
from genai_prices import calc_price

from metering.pricing.loading import load_card
from metering.pricing.rate_card import RateCard
from metering.pricing.rating import Rating
from metering.usage import Usage

from .jobs import instances
from .report import print_machine, print_table

_BEGAN = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
_MODELS = ("gpt-4.1-mini", "gpt-4o", "gpt-4o-mini")
_CACHED = Decimal(400)
_BATCH = 999
"""A multiple of three: a request is rated whole."""


def requests(count: int) -> list[list[Usage]]:
    """LLM requests, each with its three meters: input, what of it was cached, output."""
    return [list(_request(number)) for number in range(count)]


def _request(number: int) -> Iterator[Usage]:
    began = _BEGAN + timedelta(seconds=number)
    quantities = {
        "llm_input_tokens": Decimal(1000 + number % 997),
        "llm_cached_input_tokens": _CACHED,
        "llm_output_tokens": Decimal(10 + number % 89),
    }
    for meter, quantity in quantities.items():
        yield Usage(
            instance_id=f"openai/{number}",
            meter=meter,
            provider="openai",
            model=_MODELS[number % len(_MODELS)],
            quantity=quantity,
            unit="token",
            started_at=began,
            ended_at=began + timedelta(seconds=1),
            source="benchmark",
        )


def rate_all(card: RateCard, usages: list[Usage]) -> Decimal:
    """Rate usages as a job is rated: a batch at a time, into charges; returns what they cost."""
    rating = Rating(card, "livekit/ship", "cloud-agents")
    for start in range(0, len(usages), _BATCH):
        rating.add(usages[start : start + _BATCH])
    charges = rating.charges("cost")
    return sum((charge.list_cost or Decimal(0) for charge in charges), Decimal(0))


def price_by_peer(asked: list[list[Usage]]) -> Decimal:
    """What genai-prices says that the requests cost, one call each."""
    total = Decimal(0)
    for request in asked:
        read, cached, said = request
        usage = PeerUsage(
            input_tokens=int(read.quantity),
            cache_read_tokens=int(cached.quantity),
            output_tokens=int(said.quantity),
        )
        price = calc_price(
            usage, read.model, provider_id="openai", genai_request_timestamp=read.started_at
        )
        total += price.total_price
    return total


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes, by the process's own CPU clock."""
    began = time.process_time()
    work()
    return time.process_time() - began


def main() -> int:
    """Print the tables; returns 1 where the two do not come to the same money."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=2000, help="LLM requests, both ways")
    parser.add_argument("--instances", type=int, default=200_000, help="a mixture, as jobs have")
    parser.add_argument("--rounds", type=int, default=7, help="of each, in turns")
    parser.add_argument("--quick", action="store_true", help="small sizes: only that it runs")
    asked = parser.parse_args()
    if asked.quick:
        asked.requests, asked.instances, asked.rounds = 20, 200, 1
    print_machine()
    card = load_card()
    priced = requests(asked.requests)
    flat = [usage for request in priced for usage in request]
    ours_cost, peers_cost = rate_all(card, flat), price_by_peer(priced)
    mixture = list(instances(0, asked.instances, _BEGAN))
    rounds = [
        (
            seconds_of(lambda: rate_all(card, flat)),
            seconds_of(lambda: price_by_peer(priced)),
            seconds_of(lambda: rate_all(card, mixture)),
        )
        for _ in range(asked.rounds)
    ]
    ours, peers, mixed = (median(figures) for figures in zip(*rounds, strict=True))
    print_table(
        f"{len(priced)} LLM requests of three meters each, medians of {len(rounds)} in turns",
        ["", "per request", "per usage", "to ours", "they cost"],
        [
            _row("Tallyroom, with its charges", ours, priced, ours, ours_cost),
            _row("genai-prices, calc_price", peers, priced, ours, peers_cost),
        ],
    )
    print_table(
        "usage instances of a meeting: connections, speech, audio, LLM",
        ["instances", "CPU", "per instance", "a second"],
        [
            [
                f"{len(mixture):,}",
                f"{mixed:.2f} s",
                f"{mixed / len(mixture) * 1e6:.2f} us",
                f"{len(mixture) / mixed:,.0f}",
            ]
        ],
    )
    if ours_cost != peers_cost:
        print(f"{ours_cost} is not {peers_cost}")
    return ours_cost != peers_cost


def _row(
    name: str, seconds: float, asked: list[list[Usage]], ours: float, cost: Decimal
) -> list[str]:
    count = sum(len(request) for request in asked)
    return [
        name,
        f"{seconds / len(asked) * 1e6:.1f} us",
        f"{seconds / count * 1e6:.1f} us",
        f"{seconds / ours:.1f}",
        f"${cost:.6f}",
    ]


if __name__ == "__main__":
    sys.exit(main())

"""The shipped rates say where they come from, and nothing imports their compiler's source."""

from __future__ import annotations

import subprocess
import sys

from metering.pricing import load_catalog

HAND_WRITTEN = ("livekit-cloud", "deepgram", "livekit")


def test_every_published_price_has_a_source_and_the_day_it_was_checked() -> None:
    entries = [
        entry
        for entry in (*load_catalog().rates, *load_catalog().not_billed)
        if entry.provider in HAND_WRITTEN
    ]

    assert len(entries) >= 12
    for entry in entries:
        assert entry.source.startswith("https://"), entry
        assert entry.checked is not None, entry


def test_rate_ids_are_unique() -> None:
    ids = [rate.rate_id for rate in load_catalog().rates]

    assert len(ids) == len(set(ids))


def test_where_sources_disagree_the_entry_says_so() -> None:
    disputed = {(rate.provider, rate.meter) for rate in load_catalog().rates if rate.disputed}

    assert disputed == {
        ("deepgram", "stt_audio"),
        ("livekit-cloud", "participant_connection"),
    }


def test_pricing_needs_no_genai_prices_at_run_time() -> None:
    program = (
        "import sys; sys.modules['genai_prices'] = None\n"
        "from metering.pricing import load_card, load_plans\n"
        "print(len(load_card().rates) > 1000, 'livekit/ship' in load_plans())"
    )

    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert done.stdout.split() == ["True", "True"]

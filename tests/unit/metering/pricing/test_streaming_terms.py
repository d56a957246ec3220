from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from metering import MeterSettings, StreamingTerms, streaming_terms
from metering.pricing.loading import load_card
from metering.pricing.streaming_terms import terms_on

DAY = date(2026, 11, 21)


@pytest.mark.parametrize(
    ("provider", "model", "connection", "audio"),
    [
        ("deepgram", "nova-3", True, True),
        ("assemblyai", "universal-streaming", True, False),
        ("livekit", "deepgram/nova-3", True, False),
        ("faster-whisper", "tiny.en", False, False),
        ("nobody", "nothing", True, True),
    ],
)
def test_what_is_billed_or_may_be(provider: str, model: str, connection: bool, audio: bool) -> None:
    terms = terms_on(load_card(), provider, model, day=DAY, plan="none", hosting="self")
    assert terms == StreamingTerms(connection, audio)


def test_the_owners_contract_decides(tmp_path: Path) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text(
        """
[[rate]]
provider = "deepgram"
model = "nova-3"
meter = "stt_audio"
price = "0.004"
unit = "minute"
basis = "audio"

[[rate]]
provider = "livekit"
meter = "stt_connection"
price = "0.006"
unit = "minute"
increment = "1"
minimum = "0.25"
""",
        "utf-8",
    )
    settings = MeterSettings(rates=rates, data_dir=tmp_path)
    assert streaming_terms("deepgram", "nova-3", settings=settings) == StreamingTerms(False, True)
    assert streaming_terms("livekit", "any", settings=settings) == StreamingTerms(
        True, False, increment=60.0, minimum=15.0
    )


def test_a_broken_rate_file_leaves_the_shipped_rates(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rates = tmp_path / "rates.toml"
    rates.write_text("[[rate]]\nprice = -1\n", "utf-8")
    settings = MeterSettings(rates=rates, data_dir=tmp_path)
    assert streaming_terms("deepgram", "nova-3", settings=settings) == StreamingTerms(True, True)
    assert "the shipped rates decide" in caplog.text

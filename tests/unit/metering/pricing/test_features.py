"""Paid features: what they add to a price, and that one without a price is never free."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from metering.errors import RateError
from metering.pricing import Charge, RateCard, load_card, load_catalog, rate, totals
from metering.pricing.rate_check import InUse, check_card
from metering.pricing.rate_list import entry_to_json
from metering.usage import format_decimal

from .builders import usage

DAY = date(2026, 11, 20)


def charged(
    provider: str, meter: str, card: RateCard | None = None, **options: Any
) -> list[Charge]:
    used = usage(meter, provider, 3600, **options)
    return rate([used], card or load_catalog(), hosting="self", plan="none")


def own(tmp_path: Path, text: str) -> RateCard:
    path = tmp_path / "rates.toml"
    path.write_text(text, encoding="utf-8")
    return load_card(path)


def states(charges: list[Charge]) -> list[tuple[str, str | None, str]]:
    return [
        (
            charge.state.value,
            None if charge.list_cost is None else format_decimal(charge.list_cost.normalize()),
            charge.reason,
        )
        for charge in charges
    ]


@pytest.mark.parametrize(
    ("feature", "reason"),
    [
        ("keyterms", "keyterms: whether they cost extra, and what, is not known"),
        ("redaction", "redaction: its price is not known"),
        (
            "model_improvement_opt_out",
            "opting out of the model improvement program has a price that is not known",
        ),
    ],
)
def test_a_feature_without_a_price_is_unrated_beside_what_it_is_added_to(
    feature: str, reason: str
) -> None:
    charges = charged("deepgram", "stt_audio", model="nova-3", attributes={feature: "true"})

    assert states(charges) == [
        ("priced", "0.288", ""),
        ("unrated", None, reason),
    ]
    base, unrated = charges
    assert base.instances == unrated.instances == 1
    assert unrated.consumed_quantity == Decimal(3600)
    assert totals(charges).unrated == (unrated,)
    assert totals(charges).list_cost == {"USD": Decimal("0.288")}


def test_features_of_many_connections_are_a_line_each() -> None:
    attributes = {"diarization": "true", "keyterms": "true", "language": "multi"}
    used = [
        usage("stt_audio", "deepgram", 60, model="nova-3", attributes=attributes) for _ in range(4)
    ]

    base, diarized, keyterms = rate(used, load_catalog(), hosting="self", plan="none")

    assert base.rate_id == "deepgram/nova-3/stt_audio/language=multi"
    assert diarized.list_cost == Decimal("0.008")
    assert (keyterms.state.value, keyterms.instances) == ("unrated", 4)


def test_the_price_of_one_models_feature_is_not_anothers(tmp_path: Path) -> None:
    card = own(
        tmp_path,
        """
        [[rate]]
        provider = "deepgram"
        model = "nova-2"
        meter = "stt_audio"
        price = "0.0043"
        unit = "minute"
        """,
    )
    charges = charged(
        "deepgram", "stt_audio", card, model="nova-2", attributes={"diarization": "true"}
    )
    assert [charge.state.value for charge in charges] == ["priced", "unrated"]
    assert charges[1].reason == "diarization: the price for this model is not known"


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        # A price of one's own.
        (
            '[[rate]]\nadd_on = true\nprice = "0.0012"\nunit = "minute"',
            [("priced", "0.288", ""), ("priced", "0.072", "")],
        ),
        # Included: nothing is added.
        ('[[not_billed]]\nadd_on = true\nreason = "in our contract"', [("priced", "0.288", "")]),
        # A price that has it in it.
        ('[[rate]]\nprice = "0.006"\nunit = "minute"', [("priced", "0.36", "")]),
    ],
)
def test_what_an_owner_knows_of_a_feature_holds(
    tmp_path: Path, entry: str, expected: list[tuple[str, str | None, str]]
) -> None:
    card = own(
        tmp_path,
        f"""{entry}
        provider = "deepgram"
        model = "nova-3"
        meter = "stt_audio"
        attributes = {{ keyterms = "true" }}
        """,
    )
    charges = charged(
        "deepgram", "stt_audio", card, model="nova-3", attributes={"keyterms": "true"}
    )
    assert states(charges) == expected


def test_assemblyais_features_come_beside_the_owners_price(tmp_path: Path) -> None:
    card = own(
        tmp_path,
        """
        [[rate]]
        provider = "assemblyai"
        meter = "stt_connection"
        price = "0.45"
        unit = "hour"
        [[not_billed]]
        provider = "assemblyai"
        model = "universal-3-6-pro"
        meter = "stt_audio"
        reason = "the session is billed"
        """,
    )
    charges = charged(
        "assemblyai",
        "stt_connection",
        card,
        model="universal-3-6-pro",
        attributes={"keyterms": "true", "diarization": "true"},
    )
    assert states(charges) == [
        ("priced", "0.45", ""),
        ("priced", "0.04", ""),
        ("unrated", None, "diarization: its price per hour is not known"),
    ]


def test_without_a_price_for_the_model_its_features_are_unrated_with_it() -> None:
    attributes = {"keyterms": "true", "diarization": "true"}
    charges = charged("assemblyai", "stt_connection", model="u3-rt-pro", attributes=attributes)
    assert [charge.state.value for charge in charges] == ["unrated"]


def test_inference_says_that_multilingual_has_a_price_of_its_own(tmp_path: Path) -> None:
    price = """
        [[rate]]
        provider = "livekit"
        model = "deepgram/nova-3"
        meter = "stt_connection"
        price = "0.0077"
        unit = "minute"
        """
    attributes = {"language": "multi"}
    one, unrated = charged(
        "livekit",
        "stt_connection",
        own(tmp_path, price),
        model="deepgram/nova-3",
        attributes=attributes,
    )
    assert (one.state.value, unrated.state.value) == ("priced", "unrated")
    assert unrated.reason.startswith("multilingual transcription is billed at a rate of its own")

    both = price + price.replace("0.0077", "0.0092") + 'attributes = { language = "multi" }\n'
    (known,) = charged(
        "livekit",
        "stt_connection",
        own(tmp_path, both),
        model="deepgram/nova-3",
        attributes=attributes,
    )
    assert known.unit_price == Decimal("0.0092")


def test_rates_check_finds_a_feature_without_a_price_missing() -> None:
    card = load_catalog()
    use = InUse(
        provider="deepgram",
        model="nova-3",
        meter="stt_audio",
        attributes={"keyterms": "true", "diarization": "true"},
        plan="none",
        hosting="self",
    )
    check = check_card(card, [use], day=DAY, older_than=10_000)
    assert [missing.reason for missing in check.missing] == [
        "keyterms: whether they cost extra, and what, is not known"
    ]
    (unrated,) = [entry for entry in check.entries if not hasattr(entry, "unit_price")]
    assert entry_to_json(unrated)["add_on"] is True


@pytest.mark.parametrize("kind", ["rate", "not_billed", "unrated"])
def test_an_add_on_without_a_feature_is_refused(tmp_path: Path, kind: str) -> None:
    price = 'price = "1"\nunit = "minute"' if kind == "rate" else 'reason = "so"'
    text = f'[[{kind}]]\nprovider = "acme"\nmeter = "stt_audio"\nadd_on = true\n{price}\n'
    with pytest.raises(RateError, match="add_on is about a feature: name it"):
        own(tmp_path, text)

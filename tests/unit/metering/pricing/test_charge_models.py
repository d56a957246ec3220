"""Prices that are more than a price times a quantity: how a file says them, and what rating makes
of one job. What a month makes of them is in the tests of billing."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path

import pytest

from metering.errors import RateError
from metering.pricing import Charge, RateCard, load_card, rate
from metering.pricing.charge_models import ChargeModel, MonthTerms, Package, Tier, tier_of
from metering.usage import Certainty, Usage

from .builders import usage

HEAD = '[[rate]]\nprovider = "acme"\n'
TIERS = 'tiers = [{ over = "0", price = "0.02" }, { over = "100", price = "0.01" }]\n'
VOLUME = HEAD + 'meter = "messages"\nunit = "message"\ncharge_model = "volume"\n' + TIERS
PACKAGE = (
    HEAD + 'meter = "messages"\nunit = "1000 message"\ncharge_model = "package"\nprice = "5"\n'
)
FLAT = HEAD + 'meter = "stt_audio"\nunit = "instance"\ncharge_model = "flat"\nprice = "0.25"\n'
JOB = FLAT.replace('"instance"', '"job"')


def card(folder: Path, text: str) -> RateCard:
    path = folder / "rates.toml"
    path.write_text(text, "utf-8")
    return load_card(path)


def rated(usages: list[Usage], its_card: RateCard) -> list[Charge]:
    return rate(usages, its_card, hosting="self", plan="none")


def messages(count: int) -> Usage:
    return usage("messages", "acme", count)


def test_tiers_are_terms_of_the_month_and_the_list_cost_is_at_the_first(tmp_path: Path) -> None:
    [charge] = rated([messages(150), messages(50)], card(tmp_path, VOLUME))

    assert (charge.unit_price, charge.pricing_quantity) == (Decimal("0.02"), Decimal(200))
    assert charge.list_cost == Decimal(4)
    assert charge.month_terms == MonthTerms(
        "owner:acme/*/messages per message",
        ChargeModel.VOLUME,
        Decimal(0),
        (Tier(Decimal(0), Decimal("0.02")), Tier(Decimal(100), Decimal("0.01"))),
    )


def test_a_package_is_listed_by_the_part_of_it_that_was_used(tmp_path: Path) -> None:
    [charge] = rated([messages(3)], card(tmp_path, PACKAGE))

    assert (charge.pricing_quantity, charge.pricing_unit) == (Decimal("0.003"), "1000 message")
    assert charge.list_cost == Decimal("0.015")
    assert charge.month_terms is not None
    assert charge.month_terms.package == Package(Decimal(1), Decimal(5))


def test_a_package_of_no_finite_part_is_counted_in_base_units(tmp_path: Path) -> None:
    text = HEAD + 'meter = "stt_audio"\nunit = "hour"\ncharge_model = "package"\nprice = "1"\n'

    [charge] = rated([usage("stt_audio", "acme", 1)], card(tmp_path, text))

    assert (charge.pricing_quantity, charge.pricing_unit) == (Decimal(1), "second")
    assert charge.unit_price == Decimal("0.00027777777777777777778")
    assert charge.month_terms is not None
    assert charge.month_terms.package == Package(Decimal(3600), Decimal(1))


def test_a_price_of_each_instance(tmp_path: Path) -> None:
    unreported = usage("stt_audio", "acme", 0, certainty=Certainty.ESTIMATED)

    exact, again = rated(
        [
            usage("stt_audio", "acme", 10_000),
            usage("stt_audio", "acme", 0),
            unreported,
            usage("stt_audio", "acme", 1, attributes={"language": "de"}),
        ],
        card(tmp_path, FLAT),
    )

    assert (exact.pricing_quantity, exact.pricing_unit) == (Decimal(3), "instance")
    assert (exact.list_cost, exact.consumed_quantity) == (Decimal("0.75"), Decimal(10_000))
    assert (exact.certainty, exact.month_terms) == (Certainty.ESTIMATED, None)
    assert again.list_cost == Decimal("0.25")


def test_a_price_of_each_job_falls_due_once(tmp_path: Path) -> None:
    charges = rated(
        [
            usage("stt_audio", "acme", 10, model="b"),
            usage("stt_audio", "acme", 10, model="a"),
            usage("stt_audio", "acme", 10, model="a"),
        ],
        card(tmp_path, JOB),
    )

    assert [(one.model, one.pricing_quantity, one.list_cost, one.reason) for one in charges] == [
        ("a", Decimal(1), Decimal("0.25"), ""),
        ("b", Decimal(0), Decimal(0), "charged once a job, in another line"),
    ]


def test_a_block_of_units_may_be_what_a_price_is_per(tmp_path: Path) -> None:
    text = HEAD + 'meter = "messages"\nunit = "1000 message"\nprice = "5"\nincrement = "1"\n'

    [charge] = rated([messages(1), messages(1_001)], card(tmp_path, text))

    assert (charge.pricing_quantity, charge.list_cost) == (Decimal(3), Decimal(15))


def test_what_a_rate_includes_each_month_is_in_its_terms(tmp_path: Path) -> None:
    text = HEAD + 'meter = "stt_audio"\nunit = "minute"\nprice = "0.006"\nincluded = "100"\n'

    [charge] = rated([usage("stt_audio", "acme", 60)], card(tmp_path, text))

    # Restated per second, where no digit is lost by it.
    assert charge.list_cost == Decimal("0.006")
    assert charge.month_terms is not None
    assert (charge.month_terms.charge_model, charge.month_terms.included) == (
        ChargeModel.UNIT,
        Decimal(6_000),
    )


def test_tiers_are_restated_with_their_rate(tmp_path: Path) -> None:
    text = VOLUME.replace("messages", "stt_audio").replace('"message"', '"minute"')
    tens = text + 'increment = "10 second"\n'
    minutes = text + 'increment = "1"\n'

    def first(its_text: str) -> tuple[object, ...]:
        [found] = [one for one in card(tmp_path, its_text).rates if one.provider == "acme"]
        return found.pricing_unit, found.tiers[1].over

    # 0.02 a minute is no finite price a second, so the minutes stay; 0.006 is one.
    assert first(tens) == ("minute", 100)
    assert first(minutes) == ("minute", 100)
    finite = tens.replace('"0.02"', '"0.012"').replace('"0.01"', '"0.006"')
    assert first(finite) == ("second", 6_000)


def test_a_rate_goes_on_in_its_pool_when_its_price_changes(tmp_path: Path) -> None:
    before = PACKAGE + "effective_until = 2026-11-20\n"
    after = PACKAGE.replace('"5"', '"6"') + "effective_from = 2026-11-20\n"

    rates = [one for one in card(tmp_path, before + after).rates if one.provider == "acme"]

    assert {one.month_terms and one.month_terms.pool for one in rates} == {
        "owner:acme/*/messages per 1000 message"
    }
    assert rates[1].effective_from == date(2026, 11, 20)


@pytest.mark.parametrize(("quantity", "over"), [(0, 0), (100, 0), (101, 100), (10**9, 100)])
def test_the_threshold_belongs_to_the_tier_below(quantity: int, over: int) -> None:
    tiers = (Tier(Decimal(0), Decimal(2)), Tier(Decimal(100), Decimal(1)))

    assert tier_of(tiers, Decimal(quantity)).over == over


@pytest.mark.parametrize("change", ["included", "tiers", "charge_model"])
def test_the_cards_version_knows_the_model(tmp_path: Path, change: str) -> None:
    plain = HEAD + 'meter = "messages"\nunit = "message"\nprice = "0.02"\n'
    changed = {
        "included": plain + 'included = "1"\n',
        "tiers": VOLUME,
        "charge_model": plain + 'charge_model = "package"\n',
    }[change]

    assert card(tmp_path, plain).version != card(tmp_path, changed).version


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        (VOLUME.replace("volume", "bulk"), 5, "charge_model 'bulk' is unknown; use one of unit,"),
        (VOLUME + 'price = "1"\n', 7, "price '1' has no place in charge_model 'volume'"),
        (VOLUME.replace(TIERS, ""), 1, "tiers must begin over 0 and rise; they are over none"),
        (VOLUME.replace('over = "0"', 'over = "5"'), 6, "they are over 5, 100"),
        (VOLUME.replace('"100"', '"0"'), 6, "tiers must begin over 0 and rise; they are over 0, 0"),
        (VOLUME.replace('"0.02"', '"-1"'), 6, "price '-1' must not be negative"),
        (VOLUME.replace('"0.02"', '"NaN"'), 6, "price 'NaN' must be finite"),
        (VOLUME.replace('"0.02"', "0.02"), 6, "price 0.02 must be a decimal in quotes"),
        (VOLUME.replace('"0.02"', "true"), 6, "price true must be a decimal in quotes"),
        (VOLUME.replace('over = "100"', "over = 100"), 6, "over 100 must be a decimal in quotes"),
        (VOLUME.replace("volume", "unit"), 6, "need charge_model graduated or volume, not 'unit'"),
        (VOLUME + "request_input_over = 5\n", 7, "request_input_over 5 has no place beside"),
        (VOLUME + 'included = "-1"\n', 7, "included '-1' must not be negative"),
        (VOLUME + "included = 1.5\n", 7, "included 1.5 must be a decimal in quotes"),
        (
            VOLUME + 'dispute = { reason = "x", price = "1" }\n',
            7,
            "dispute price 1 has no place beside tiers",
        ),
        (FLAT.replace("instance", "month"), 4, "unknown unit 'month'"),
        (FLAT.replace("instance", "second"), 4, "unit 'second' does not go with charge_model"),
        (FLAT.replace("flat", "unit"), 4, "flat prices, and only they, are per instance or job"),
        (FLAT + 'increment = "1"\n', 7, "increment '1' has no place beside charge_model 'flat'"),
        (FLAT + 'included = "1"\n', 7, "included '1' has no place beside charge_model 'flat'"),
        (PACKAGE.replace("1000 message", "0 message"), 4, "unknown unit '0 message'"),
        (PACKAGE.replace("1000 message", "1.5 message"), 4, "unknown unit '1.5 message'"),
        (PACKAGE.replace("1000 message", "1000 GB"), 4, "unit '1000 GB' does not fit the meter"),
        ('[[meter]]\nname = "x"\nunit = "job"\n', 3, "unit 'job' is what flat prices are per"),
    ],
)
def test_keys_that_do_not_go_together(tmp_path: Path, text: str, line: int, message: str) -> None:
    with pytest.raises(RateError) as raised:
        card(tmp_path, text)

    assert str(raised.value).startswith(f"{tmp_path / 'rates.toml'}:{line}: ")
    assert message in str(raised.value)

"""The owner's file: three lines are enough, and every mistake names its place and value."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

import metering.pricing
from metering.errors import RateError
from metering.pricing import load_card, load_plans, rate

from .builders import usage

MY_PRICE = """\
[[rate]]
provider = "deepgram"
model = "nova-3"
meter = "stt_audio"
price = "0.0043"
unit = "minute"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "rates.toml"
    path.write_text(text, "utf-8")
    return path


def test_my_price_is_x(tmp_path: Path) -> None:
    card = load_card(written(tmp_path, MY_PRICE))
    speech = usage("stt_audio", "deepgram", 600, model="nova-3", attributes={"language": "multi"})

    [charge] = rate([speech], card, hosting="self", plan="none")

    assert charge.list_cost == Decimal("0.043")
    assert charge.rate_id == "owner:deepgram/nova-3/stt_audio"
    assert charge.disputed is None


def test_my_price_from_a_day_on(tmp_path: Path) -> None:
    card = load_card(written(tmp_path, MY_PRICE + "effective_from = 2030-01-01\n"))

    [charge] = rate(
        [usage("stt_audio", "deepgram", 60, model="nova-3")], card, hosting="self", plan="none"
    )

    assert charge.rate_id == "deepgram/nova-3/stt_audio"


def test_my_own_meter_and_what_is_not_billed(tmp_path: Path) -> None:
    text = """
[[meter]]
name = "whiteboard_strokes"
unit = "event"

[[rate]]
provider = "acme"
meter = "whiteboard_strokes"
price = "0.10"
unit = "event"
currency = "EUR"

[[not_billed]]
provider = "deepgram"
meter = "stt_audio"
reason = "our contract is by connection"
"""
    card = load_card(written(tmp_path, text))
    strokes = usage("whiteboard_strokes", "acme", 3, unit="event")
    speech = usage("stt_audio", "deepgram", 60, model="nova-3")

    of_speech, of_strokes = rate([strokes, speech], card, hosting="self", plan="none")

    assert (of_speech.state, of_speech.reason) == ("not_billed", "our contract is by connection")
    assert (of_strokes.list_cost, of_strokes.currency) == (Decimal("0.30"), "EUR")


def test_increments_and_minimums_may_name_their_unit(tmp_path: Path) -> None:
    text = MY_PRICE + 'increment = "15 second"\nminimum = "0.5"\n'
    card = load_card(written(tmp_path, text))

    def billed(seconds: int) -> Decimal | None:
        speech = usage("stt_audio", "deepgram", seconds, model="nova-3")
        return rate([speech], card, hosting="self", plan="none")[0].pricing_quantity

    assert [billed(seconds) for seconds in (1, 31, 60)] == [
        Decimal("0.5"),
        Decimal("0.75"),
        Decimal(1),
    ]


def test_a_catalog_file_is_an_owners_file(tmp_path: Path) -> None:
    catalog = Path(metering.pricing.__file__).parent / "catalog"
    for file in sorted(catalog.glob("*.toml")):
        load_card(file)
        load_plans(file)


@pytest.mark.parametrize(
    ("line", "replacement", "at", "message"),
    [
        (
            'price = "0.0043"',
            "price = 0.0043",
            5,
            "[[rate]] 1 (deepgram nova-3 stt_audio): price 0.0043 must be a decimal in quotes",
        ),
        ('price = "0.0043"', "price = 1", 5, "price 1 must be a decimal in quotes"),
        ('price = "0.0043"', "price = true", 5, "price true must be a decimal in quotes"),
        ('price = "0.0043"', 'price = "-0.1"', 5, "price '-0.1' must not be negative"),
        ('price = "0.0043"', 'price = "NaN"', 5, "price 'NaN' must be finite"),
        ('price = "0.0043"', 'price = "Infinity"', 5, "price 'Infinity' must be finite"),
        ('price = "0.0043"', 'price = "4 cents"', 5, "price '4 cents' is not a decimal number"),
        ('price = "0.0043"', 'price = "1E15"', 5, "price '1E15' must be below 1000000000000000"),
        ('price = "0.0043"', 'price = "1E-31"', 5, "and have at most 30 decimals"),
        ('price = "0.0043"', 'prize = "0.0043"', 1, "price is missing"),
        ('unit = "minute"', 'unit = "fortnight"', 6, "unknown unit 'fortnight'; use one of"),
        (
            'unit = "minute"',
            'unit = "GB"',
            6,
            "unit 'GB' does not fit the meter 'stt_audio', which is measured in 'second'",
        ),
        (
            'meter = "stt_audio"',
            'meter = "stt_adio"',
            4,
            "meter 'stt_adio' is unknown; did you mean 'stt_audio'?",
        ),
        (
            'unit = "minute"',
            'unit = "minute"\ncurrency = "dollar"',
            7,
            "currency 'dollar' is no ISO 4217 code",
        ),
        (
            'unit = "minute"',
            'unit = "minute"\ncurency = "EUR"',
            7,
            "unknown key 'curency' (did you mean 'currency'?)",
        ),
        (
            'unit = "minute"',
            'unit = "minute"\neffective_from = "soon"',
            7,
            "effective_from soon must be a date, as effective_from = 2026-06-02",
        ),
        (
            'unit = "minute"',
            'unit = "minute"\neffective_from = 2026-02-01\neffective_until = 2026-02-01',
            8,
            "effective_until 2026-02-01 must be after effective_from 2026-02-01",
        ),
        ('unit = "minute"', 'unit = "minute"\nplan = "livekit/shp"', 7, "plan 'livekit/shp'"),
        ('unit = "minute"', 'unit = "minute"\nhosting = "moon"', 7, "hosting 'moon' is unknown"),
        ('unit = "minute"', 'unit = "minute"\nincrement = 1', 7, "increment 1 must be a decimal"),
        ('unit = "minute"', 'unit = "minute"\nincrement = "0"', 7, "increment '0' must be more"),
        ('unit = "minute"', 'unit = "minute"\nminimum = "1 GB"', 7, "'1 GB' is not in a unit of"),
        (
            'unit = "minute"',
            'unit = "minute"\nattributes = { diarization = true }',
            7,
            "attributes.diarization True must be a text in quotes",
        ),
        ('unit = "minute"', 'unit = "minute"\ndispute = { basis = "x" }', 7, "reason is missing"),
        (
            'unit = "minute"',
            'unit = "minute"\ndispute = { reason = "x", price = 1 }',
            7,
            "(deepgram nova-3 stt_audio) dispute: price 1 must be a decimal in quotes",
        ),
        ('provider = "deepgram"', "provider = 3", 2, "provider 3 must be a text in quotes"),
        ('provider = "deepgram"', 'provider = ""', 2, "provider is empty"),
        ("[[rate]]", "[rate]", 1, "write [[rate]] with two brackets"),
        ("[[rate]]", "[[rates]]", 1, "unknown section 'rates' (did you mean [[rate]]?)"),
        ('unit = "minute"', "unit = minute", 6, "not valid TOML"),
        ("[[rate]]", '[defaults]\ncurency = "EUR"\n[[rate]]', 2, "cannot set 'curency'"),
    ],
)
def test_a_mistake_names_file_line_entry_and_value(
    tmp_path: Path, line: str, replacement: str, at: int, message: str
) -> None:
    path = written(tmp_path, MY_PRICE.replace(line, replacement, 1))

    with pytest.raises(RateError) as raised:
        load_card(path)

    assert str(raised.value).startswith(f"{path}:{at}: ")
    assert message in str(raised.value)


def test_the_line_is_that_of_the_wrong_entry(tmp_path: Path) -> None:
    second = MY_PRICE.replace("nova-3", "nova-2").replace('"0.0043"', "0.0043")
    path = written(tmp_path, "# mine\n\n" + MY_PRICE + "\n" + second)

    with pytest.raises(RateError) as raised:
        load_card(path)

    assert str(raised.value).startswith(
        f"{path}:14: [[rate]] 2 (deepgram nova-2 stt_audio): price 0.0043"
    )


def test_an_entry_written_inline_has_no_line_but_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, 'rate = [{ provider = "acme", meter = "messages", price = 1 }]')

    with pytest.raises(RateError) as raised:
        load_card(path)

    assert str(raised.value) == f"{path}: [[rate]] 1 (acme messages): unit is missing"


def test_overlapping_periods_name_both_entries(tmp_path: Path) -> None:
    first = MY_PRICE + "effective_until = 2026-07-02\n"
    second = MY_PRICE + "effective_from = 2026-07-01\n"
    path = written(tmp_path, first + second)

    with pytest.raises(RateError) as raised:
        load_card(path)

    assert str(raised.value) == (
        f"{path}:8: [[rate]] 2 (deepgram nova-3 stt_audio): its period 2026-07-01 to open end "
        f"overlaps its period always to 2026-07-02 of {path}:1: [[rate]] 1 "
        "(deepgram nova-3 stt_audio); close the older one with effective_until"
    )


def test_a_gap_between_periods_names_both_entries(tmp_path: Path) -> None:
    first = MY_PRICE + "effective_until = 2026-07-01\n"
    second = MY_PRICE + "effective_from = 2026-08-01\n"
    path = written(tmp_path, second + first)

    with pytest.raises(RateError) as raised:
        load_card(path)

    assert str(raised.value) == (
        f"{path}:1: [[rate]] 1 (deepgram nova-3 stt_audio): its period 2026-08-01 to open end "
        f"leaves a gap after its period always to 2026-07-01 of {path}:8: [[rate]] 2 "
        "(deepgram nova-3 stt_audio); close it, or say with [[unrated]] or [[not_billed]] what "
        "holds from 2026-07-01 to 2026-08-01"
    )


@pytest.mark.parametrize("kind", ["unrated", "not_billed"])
def test_a_gap_that_is_accounted_for(tmp_path: Path, kind: str) -> None:
    first = MY_PRICE + "effective_until = 2026-07-01\n"
    second = MY_PRICE + "effective_from = 2026-08-01\n"
    between = (
        f'[[{kind}]]\nprovider="deepgram"\nmodel="nova-3"\nmeter="stt_audio"\nreason="pause"\n'
        "effective_from = 2026-07-01\neffective_until = 2026-08-01\n"
    )

    assert load_card(written(tmp_path, first + second + between)).version


def test_an_entry_within_another_that_reaches_further_leaves_no_gap(tmp_path: Path) -> None:
    tiers = (
        "effective_from = 2026-01-01\n",
        "request_input_over = 5\neffective_from = 2026-01-01\neffective_until = 2026-02-01\n",
        "request_input_over = 5\neffective_from = 2026-08-01\n",
    )

    assert load_card(written(tmp_path, "".join(MY_PRICE + tier for tier in tiers))).version


def test_two_models_of_one_name_are_refused(tmp_path: Path) -> None:
    entry = '[[model]]\nprovider = "acme"\nmodel = "m"\nmatch = [{ equals = "n" }]\n'
    path = written(tmp_path, entry + entry)

    with pytest.raises(RateError) as raised:
        load_card(path)

    assert str(raised.value) == (
        f"{path}:7: [[model]] 2 (acme m): model 'm' of 'acme' is there already, at {path}:1: "
        "[[model]] 1 (acme m); put all of its names into one entry"
    )


def test_periods_that_touch_do_not_overlap(tmp_path: Path) -> None:
    first = MY_PRICE + "effective_until = 2026-07-01\n"
    second = MY_PRICE + "effective_from = 2026-07-01\n"

    assert len(load_card(written(tmp_path, first + second)).rates) == len(load_card().rates) + 2


def test_a_price_and_not_billed_for_the_same_thing_contradict(tmp_path: Path) -> None:
    text = MY_PRICE + (
        '[[not_billed]]\nprovider="deepgram"\nmodel="nova-3"\nmeter="stt_audio"\nreason="free"\n'
    )

    with pytest.raises(RateError, match="overlaps"):
        load_card(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('name = "stt_audio"\nunit = "second"', "a meter is called 'stt_audio' already"),
        ('name = "x"\nunit = "minute"', "unit 'minute' is a multiple"),
        ('name = "x"\nunit = "second"\npart_of = "y"', "part_of 'y' is no meter above this one"),
        ('name = "x"\nunit = "second"\npart_of = "messages"', "is measured in 'message'"),
    ],
)
def test_a_meter_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(RateError, match=message):
        load_card(written(tmp_path, f"[[meter]]\n{text}\n"))


@pytest.mark.parametrize(
    ("match", "message"),
    [
        ('[{ regex = "(" }]', "regex '\\('"),
        ('[{ like = "x" }]', "match 1 has 'like'; use one of equals"),
    ],
)
def test_a_model_match_that_cannot_be(tmp_path: Path, match: str, message: str) -> None:
    text = f'[[model]]\nprovider = "acme"\nmodel = "m"\nmatch = {match}\n'

    with pytest.raises(RateError, match=message):
        load_card(written(tmp_path, text))


def test_a_missing_or_unreadable_file(tmp_path: Path) -> None:
    with pytest.raises(RateError, match=r"none\.toml: no such rate file"):
        load_card(tmp_path / "none.toml")
    with pytest.raises(RateError, match="cannot be read: Is a directory"):
        load_card(tmp_path)
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    with pytest.raises(RateError, match="cannot be read: it is not UTF-8 text"):
        load_card(binary)


def test_an_empty_file_changes_nothing(tmp_path: Path) -> None:
    assert load_card(written(tmp_path, "")).version == load_card().version

"""What is read of a file, and what is said of lines that are no rows."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from types import MappingProxyType
from typing import Any

import pytest

from metering.importing.fields import FIELDS, Known, Row, read_fields
from metering.importing.problems import Problems, RowRefused
from metering.importing.rows import LONGEST_LINE, Format, read_rows
from metering.usage import Certainty, core_meters, format_stamp

KNOWN = Known(core_meters(), frozenset({"none", "livekit/ship"}), {})
ROW = {
    "job_id": "AJ_1",
    "meter": "stt_connection",
    "provider": "deepgram",
    "quantity": "12.5",
    "started_at": "2026-11-20T09:00:00Z",
}


def read(content: str | bytes, written: Format) -> tuple[list[Row], list[str]]:
    data = content.encode() if isinstance(content, str) else content
    problems = Problems(100)
    rows = []
    for line, row in read_rows(io.BytesIO(data), written, FIELDS, problems):
        try:
            rows.append(read_fields(row, KNOWN))
        except RowRefused as refused:
            problems.add(line, refused)
    return rows, [str(problem) for problem in problems.told]


def read_one(**changes: Any) -> Row:
    rows, problems = read(json.dumps(ROW | changes), Format.JSONL)
    assert problems == []
    return rows[0]


def problem(**changes: Any) -> str:
    row = {name: value for name, value in (ROW | changes).items() if value is not ...}
    rows, problems = read(json.dumps(row), Format.JSONL)
    assert rows == []
    (said,) = problems
    return said


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("a.jsonl", Format.JSONL),
        ("A.NDJSON", Format.JSONL),
        ("b.csv", Format.CSV),
        ("-", None),
        ("b.json", None),
        ("csv", None),
    ],
)
def test_a_name_says_how_a_file_is_written(name: str, written: Format | None) -> None:
    assert Format.of(name) is written


def test_csv_and_jsonl_say_the_same() -> None:
    text = (
        "\ufeffjob_id,meter,provider,quantity,started_at,attributes,tags,title\r\n"
        'AJ_1,stt_connection,deepgram,12.5,2026-11-20T09:00:00Z,language=en;x=y,a;b,"one\r\n'
    )
    rows, problems = read(text + 'two"\r\n', Format.CSV)
    assert rows == []
    assert problems == [
        "2: title 'one\\r\\ntwo': has '\\r': a control character, or bytes that are no UTF-8"
    ]
    rows, problems = read(text.replace('"one', "one") + ",,,,,,,\n\n", Format.CSV)
    assert problems == []
    attributes = {"language": "en", "x": "y"}
    assert rows == [read_one(attributes=attributes, tags=["a", "b"], title="one")]


def test_json_in_cells() -> None:
    heading = ",".join([*ROW, "attributes", "tags"])
    cells = ",".join([*ROW.values(), '"{""language"": ""en""}"', '"[""a;b"", ""c""]"'])
    rows, problems = read(f"{heading}\n{cells}\n", Format.CSV)
    assert problems == []
    assert rows == [read_one(attributes={"language": "en"}, tags=["a;b", "c"])]


def test_an_exact_number_needs_no_quotes() -> None:
    written = json.dumps(ROW).replace('"12.5"', "0.30000000000000000000000000001")
    (row,), problems = read(written, Format.JSONL)
    assert problems == []
    assert row.usage.quantity == Decimal("0.30000000000000000000000000001")


def test_fields_as_they_are_meant() -> None:
    row = read_one(
        certainty="bounded",
        quantity_lower="12",
        quantity_upper="14.5",
        plan="livekit/ship",
        hosting="cloud",
        unit="second",
        purpose=None,
    )
    assert row.job_id == "AJ_1"
    assert dict(row.said) == {"plan": "livekit/ship", "hosting": "cloud"}
    used = row.usage
    assert (used.certainty, used.purpose) == (Certainty.BOUNDED, "")
    assert (used.quantity_lower, used.quantity_upper) == (Decimal(12), Decimal("14.5"))
    assert format_stamp(used.ended_at) == "2026-11-20T09:00:12.500Z"
    assert used.attributes == MappingProxyType({})


def test_a_count_is_of_a_moment() -> None:
    row = read_one(meter="llm_output_tokens", quantity="7", instance_id="x")
    assert row.usage.started_at == row.usage.ended_at


NOT_PLAIN = "must be a decimal number in plain digits, as 12.5"
IMPLAUSIBLE = "must be finite, not negative, and of a plausible size"
NO_OBJECT = 'must be an object of texts, as {"language": "en"} or language=en'


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"quantity": ...}, "1: quantity: is missing"),
        ({"quantity": "NaN"}, f"1: quantity 'NaN': {NOT_PLAIN}"),
        ({"quantity": "Infinity"}, f"1: quantity 'Infinity': {NOT_PLAIN}"),
        ({"quantity": "1_000"}, f"1: quantity '1_000': {NOT_PLAIN}"),
        ({"quantity": "1,5"}, f"1: quantity '1,5': {NOT_PLAIN}"),
        ({"quantity": "١٢"}, f"1: quantity '١٢': {NOT_PLAIN}"),
        ({"quantity": "=1+1"}, f"1: quantity '=1+1': {NOT_PLAIN}"),
        ({"quantity": True}, f"1: quantity True: {NOT_PLAIN}"),
        ({"quantity": ["1"]}, f"1: quantity ['1']: {NOT_PLAIN}"),
        ({"quantity": "-0.1"}, f"1: quantity '-0.1': {IMPLAUSIBLE}"),
        ({"quantity": "1e999"}, f"1: quantity '1e999': {IMPLAUSIBLE}"),
        ({"quantity": "1e-999"}, f"1: quantity '1e-999': {IMPLAUSIBLE}"),
        ({"quantity": "1e99999"}, f"1: quantity '1e99999': {NOT_PLAIN}"),
        (
            {"quantity": "900000000000000000"},
            "1: quantity '900000000000000000': is no plausible measurement: longer than a calendar",
        ),
        ({"provider_stated": "x"}, f"1: provider_stated 'x': {NOT_PLAIN}"),
        ({"quantity_lower": "13"}, "1: quantity_lower '13': is above the quantity, 12.5"),
        ({"quantity_upper": "12"}, "1: quantity_upper '12': is below the quantity, 12.5"),
        (
            {"meter": "stt_conection"},
            "1: meter 'stt_conection': unknown meter; did you mean stt_connection?"
            " Else add it to your rate file as [[meter]]",
        ),
        (
            {"meter": "smells"},
            "1: meter 'smells': unknown meter; add it to your rate file as [[meter]]",
        ),
        ({"meter": ...}, "1: meter: is missing"),
        (
            {"unit": "minute"},
            "1: unit 'minute': stt_connection is measured in second; multiply the quantity by 60",
        ),
        ({"unit": "token"}, "1: unit 'token': stt_connection is measured in second"),
        ({"unit": "furlong"}, "1: unit 'furlong': stt_connection is measured in second"),
        ({"provider": ...}, "1: provider: is missing"),
        (
            {"provider": ..., "meter": "agent_session"},
            "1: provider: is missing; say it, or the job's hosting (--hosting)",
        ),
        (
            {"provider": "Deepgram"},
            "1: provider 'Deepgram': must be a lowercase slug as the rates have it,"
            " as deepgram or my-host",
        ),
        (
            {"provider": "deep gram"},
            "1: provider 'deep gram': must be a lowercase slug as the rates have it,"
            " as deepgram or my-host",
        ),
        (
            {"meter": "llm_output_tokens", "quantity": "1.5"},
            "1: quantity '1.5': is no whole number; llm_output_tokens counts tokens",
        ),
        (
            {"meter": "tts_characters", "quantity": "3", "provider_stated": "2.5"},
            "1: provider_stated '2.5': is no whole number; tts_characters counts characters",
        ),
        (
            {"quantity": "11.5", "ended_at": "2026-11-20T09:00:10Z"},
            "1: quantity '11.5': is more than the 10 seconds from started_at to ended_at",
        ),
        (
            {"title": "a\u202eb"},
            "1: title 'a\\u202eb': has '\\u202e', which changes the order that text is read in",
        ),
        (
            {"title": "a\u2066b"},
            "1: title 'a\\u2066b': has '\\u2066', which changes the order that text is read in",
        ),
        (
            {"started_at": ...},
            "1: started_at: is missing, and so is ended_at; say one of them",
        ),
        (
            {"started_at": "2026-11-20T09:00:00"},
            "1: started_at '2026-11-20T09:00:00': has no time zone; for UTC write it with a Z",
        ),
        (
            {"started_at": "20.11.2026"},
            "1: started_at '20.11.2026': is no RFC 3339 stamp, as 2026-11-20T09:00:00Z",
        ),
        (
            {"started_at": "0001-01-01T00:00:00+14:00"},
            "1: started_at '0001-01-01T00:00:00+14:00': is not between the years 2000 and 2099",
        ),
        (
            {"ended_at": "2026-11-20T08:59:59Z"},
            "1: ended_at '2026-11-20T08:59:59Z': is before its start, 2026-11-20T09:00:00.000Z",
        ),
        ({"hosting": "mars"}, "1: hosting 'mars': must be one of self, cloud, cloud-agents"),
        ({"plan": "gold"}, "1: plan 'gold': unknown plan; use one of livekit/ship, none"),
        (
            {"certainty": "sure"},
            "1: certainty 'sure': must be one of exact, bounded, estimated, partial",
        ),
        ({"job_id": 7}, "1: job_id '7': must be text"),
        ({"title": "x" * 501}, f"1: title '{'x' * 79}...: has 501 characters; 500 are the most"),
        (
            {"title": "a\x00"},
            "1: title 'a\\x00': has '\\x00': a control character, or bytes that are no UTF-8",
        ),
        ({"attributes": {"a": 1}}, "1: attributes {'a': '1'}: must be text"),
        ({"attributes": ["a"]}, f"1: attributes ['a']: {NO_OBJECT}"),
        ({"attributes": 5}, f"1: attributes '5': {NO_OBJECT}"),
        ({"attributes": "{"}, "1: attributes '{': is no JSON"),
        (
            {"tags": {"a": "b"}},
            "1: tags {'a': 'b'}: must be a list of texts, as [\"weekly\", \"sales\"]"
            " or weekly;sales",
        ),
        ({"quantiy": "1"}, "1: 'quantiy': unknown field; did you mean quantity?"),
        ({"colour": "red"}, "1: 'colour': unknown field; leave it out"),
    ],
)
def test_what_is_wrong_with_a_row(changes: dict[str, Any], said: str) -> None:
    assert problem(**changes) == said


def test_a_clock_may_be_a_second_off_and_audio_faster_than_time() -> None:
    ended_at = "2026-11-20T09:00:10Z"
    assert read_one(quantity="11", ended_at=ended_at).usage.quantity == 11
    audio = read_one(meter="stt_audio", quantity="600", ended_at=ended_at)
    assert audio.usage.quantity == 600


def test_a_count_may_be_written_with_a_fraction_of_nothing() -> None:
    assert read_one(meter="tts_characters", quantity="3.0").usage.quantity == 3


def test_everything_that_is_wrong_with_a_row_is_said() -> None:
    rows, problems = read('{"meter": "smells", "quantity": "x"}', Format.JSONL)
    assert rows == []
    assert len(problems) == 3


GOOD = json.dumps(ROW).encode()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"{", "2: '{': no JSON: Expecting property name enclosed in double quotes"),
        (b"[1]", "2: '[1]': no JSON object; write one a line"),
        (b'{"quantity": NaN}', "2: 'NaN': no number; leave out what is not known"),
        (b'{"quantity": "1", "quantity": "2"}', "2: quantity '2': stands twice in this row"),
        (b"[" * 200_000, "2: nested too deeply to be a row"),
        (b"x" * (LONGEST_LINE + 1), f"2: longer than {LONGEST_LINE} bytes"),
        (
            GOOD.replace(b"AJ_1", b"AJ_\xff"),
            "2: job_id 'AJ_\\udcff': has '\\udcff': a control character, or bytes that are no"
            " UTF-8",
        ),
    ],
)
def test_what_is_no_json_row(line: bytes, said: str) -> None:
    rows, problems = read(b"\n".join([GOOD, line, b"", GOOD]), Format.JSONL)
    assert problems == [said]
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("meter,quantiy\n", ["1: 'quantiy': unknown field; did you mean quantity?"]),
        (
            "meter;quantity\n",
            ["1: 'meter;quantity': unknown field; separate the columns with commas"],
        ),
        ("meter,meter\n", ["1: meter: stands twice in the heading"]),
        (
            "meter,quantity\nstt_audio\nstt_audio,1,2\n",
            ["2: has 1 cells, and the heading 2", "3: has 3 cells, and the heading 2"],
        ),
        (
            'meter,quantity\n"stt_audio,1\n',
            ["2: no CSV: unexpected end of data; what follows could not be checked"],
        ),
        (
            f'meter,quantity\n"{"x" * 140_000}",1\n',
            ["2: no CSV: field larger than field limit (131072); what follows could not be"
             " checked"],
        ),
        (
            "meter,quantity\n" + "x" * (LONGEST_LINE + 1),
            [f"2: no CSV: longer than {LONGEST_LINE} bytes; what follows could not be checked"],
        ),
    ],
)  # fmt: skip
def test_what_is_no_csv(text: str, said: list[str]) -> None:
    assert read(text, Format.CSV) == ([], said)


def test_a_row_is_found_by_the_line_on_which_it_begins() -> None:
    heading = ",".join([*ROW, "title"])
    good = ",".join([*ROW.values(), '""'])
    text = f'{heading}\n{good}\n\n{good[:-2]}"a\nb"\n{good}\nx\n'
    rows, problems = read(text, Format.CSV)
    assert len(rows) == 2
    assert [said.partition(":")[0] for said in problems] == ["4", "7"]


def test_an_empty_file_has_no_rows() -> None:
    for written in Format:
        assert read("", written) == ([], [])

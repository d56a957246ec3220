"""`margin`, and a tenant's statement by a price book: what is sold, and what is left of it."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.unit.metering.pricing.builders import usage

from .commands import run
from .stored import lasting, rates_file, session, settled, speech

pytestmark = pytest.mark.usefixtures("environment")

SELF = {"hosting": "self", "plan": "none"}

SOLD = """
[[customer]]
tenant = "acme"
plan = "reseller/team"

[[customer]]
tenant = "zeta"
plan = "reseller/enterprise"
"""

MARKED_UP = """
[[plan]]
id = "mine/plus"
name = "Plus"
provider = "mine"
book = "price"
base_fee = "10"

[[markup]]
plan = "mine/plus"
percent = "20"

[[markup]]
plan = "mine/plus"
percent = "50"
providers = ["deepgram"]

[[rate]]
provider = "openai"
meter = "llm_input_tokens"
plan = "mine/plus"
price = "1"
unit = "token"

[[customer]]
tenant = "acme"
plan = "mine/plus"
"""


def asked(*arguments: str) -> Any:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return json.loads(result.stdout)


def margin(*arguments: str) -> Any:
    return asked("margin", "2026-11", *arguments)


def rows(answer: Any) -> dict[str, tuple[Any, ...]]:
    """Price, cost and margin by job or tenant."""
    return {
        row["job_id"] or row["tenant"]: (row["price"], row["cost"], row["margin"])
        for row in answer["rows"]
    }


def people(minutes: int, **fields: Any) -> Any:
    fields.setdefault("attributes", {"kind": "webrtc"})
    return lasting("participant_connection", "livekit-cloud", minutes, **fields)


def adds_up(answer: Any) -> None:
    for column in ("price", "cost"):
        of_rows = sum(Decimal(row[column] or 0) for row in answer["rows"])
        assert of_rows + Decimal(answer["unallocated"][column]) == Decimal(answer[column])
    assert Decimal(answer["price"]) - Decimal(answer["cost"]) == Decimal(answer["margin"])


@pytest.mark.parametrize("tenfold", [1, 10])
def test_a_reseller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tenfold: int) -> None:
    """60 Personal + 30 Team + 10 Enterprise + $200 overage = $2,060; and the tenfold."""
    tiers = {"personal": 60, "team": 30, "enterprise": 10}
    customers = [
        f'[[customer]]\ntenant = "{tier}-{number}"\nplan = "reseller/{tier}"\n'
        for tier, count in tiers.items()
        for number in range(count * tenfold)
    ]
    rates_file(tmp_path, "".join(customers), monkeypatch)
    # 100,000 messages are included, and $200 buy this many: a fraction of one is not sent.
    sent = 100_000 + round(200 * tenfold / Decimal("0.00012"))
    settled(tmp_path, 1, usage("messages", "reseller", sent), tenant="personal-0", **SELF)

    answer = margin()

    assert answer["price"] == str(
        2_060 * tenfold + (-200 if tenfold == 10 else 0) + (200 if tenfold == 10 else 0)
    )
    assert len(answer["rows"]) == 100 * tenfold
    assert rows(answer)["personal-0"] == (str(200 * tenfold), "0", str(200 * tenfold))
    # What a message costs us nobody has said, so it is no $0.
    assert [row["unrated"] for row in answer["rows"] if row["tenant"] == "personal-0"] == [1]
    assert rows(answer)["team-0"] == ("29", "0", "29")
    assert rows(answer)["enterprise-0"] == ("99", "0", "99")
    adds_up(answer)


class TestMargin:
    @pytest.fixture(autouse=True)
    def customers(self, environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rates_file(tmp_path, SOLD, monkeypatch)

    def test_by_tenant_and_by_job(self, tmp_path: Path) -> None:
        # 1,000 audio minutes past Team's 100,000; video is a meter of its own.
        settled(tmp_path, 1, people(101_000), session(5_000), tenant="acme")
        video = {"kind": "webrtc", "video": "true"}
        settled(tmp_path, 2, people(400, attributes=video), session(6_000), tenant="zeta")

        answer = margin()

        # Sessions: 6,000 minutes past 5,000 at $0.01, and the fee, shared by list cost:
        # $50 + $50.50 of connections, $60 + $0.20.
        assert answer["cost"] == "110"
        assert rows(answer)["acme"][0] == "29.36"
        assert rows(answer)["zeta"][0] == "99"
        assert answer["price"] == "128.36"
        assert answer["margin"] == "18.36"
        adds_up(answer)
        by_job = margin("--by=job")
        assert by_job["rows"][0]["job_id"] == "AJ_1"
        assert [row["price"] for row in by_job["rows"]] == ["29.36", "99"]
        assert [row["cost"] for row in by_job["rows"]] == [row["cost"] for row in answer["rows"]]
        adds_up(by_job)
        stated = asked("statement", "2026-11")
        assert [job["effective_cost"] for job in stated["jobs"]] == [
            row["cost"] for row in by_job["rows"]
        ]
        assert answer["not_sold"] == [
            {
                "provider": "livekit-cloud",
                "meter": "agent_session",
                "attributes": {},
                "tenants": ["acme", "zeta"],
            }
        ]

    @pytest.mark.parametrize("kind", ["agent", "sip", "ingress", "egress", "connector"])
    def test_legs_that_are_no_persons_are_not_sold_as_minutes(
        self, tmp_path: Path, kind: str
    ) -> None:
        leg = {"kind": kind}
        settled(tmp_path, 1, people(200_000, attributes=leg), tenant="acme")

        answer = margin()

        assert answer["price"] == "128"
        expected = {
            "provider": "livekit-cloud",
            "meter": "participant_connection",
            "attributes": leg,
            "tenants": ["acme"],
        }
        assert answer["not_sold"] == [expected]
        said = run("margin", "2026-11").stdout
        assert f"participant_connection of livekit-cloud, kind {kind}; used by acme\n" in said

    def test_what_costs_nothing_is_not_listed_as_not_sold(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, people(1), speech(5), session(1), tenant="acme", hosting="cloud")

        # LiveKit bills sessions only of agents that run there.
        assert [one["meter"] for one in margin("--plan=livekit/ship")["not_sold"]] == ["stt_audio"]

    def test_who_costs_more_than_they_pay_stands_out(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, session(25_000), people(1), tenant="zeta")

        answer = margin()

        acme, zeta = answer["rows"]
        assert (acme["loses_money"], acme["flag"], acme["margin"]) == (False, "", "29")
        assert (zeta["price"], zeta["cost"], zeta["margin"]) == ("99", "250", "-151")
        assert (zeta["loses_money"], zeta["unlimited"]) == (True, True)
        assert zeta["flag"] == "costs more than it pays on an unlimited tier"
        shown = run("margin", "2026-11").stdout
        assert "-$151.00  costs more than it pays on an unlimited tier" in shown
        assert "not sold, so in the cost only: agent_session of livekit-cloud" in shown

    def test_a_tenant_on_no_plan_has_no_price(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, session(100), tenant="nobody")

        answer = margin("--by=job")

        [row] = answer["rows"]
        assert (row["price"], row["margin"], row["plan"]) == (None, None, None)
        assert row["flag"] == "on no plan: it costs, and nobody pays"
        assert (answer["price"], answer["cost"]) == ("128", "50")
        adds_up(answer)
        refused = run("statement", "2026-11", "--book=price", "--tenant=nobody")
        assert (refused.exit_code, refused.stdout) == (1, "")
        assert "tenant 'nobody' is on no plan in 2026-11; give it one" in refused.stderr

    def test_a_job_of_which_nothing_is_sold_pays_nothing(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, speech(10), tenant="acme", **SELF)

        answer = margin("--by=job")

        assert rows(answer)["AJ_1"] == ("0", "0.048", "-0.048")
        # The rounded statement of $0.05 belongs to no job as far as it is rounded.
        assert answer["unallocated"] == {"price": "128", "cost": "0.002"}
        adds_up(answer)

    def test_an_empty_month(self) -> None:
        answer = margin("--plan=none")
        assert (answer["price"], answer["cost"], answer["currency"]) == ("128", "0", "USD")

    def test_the_agent_is_no_participant(self, tmp_path: Path) -> None:
        agent = people(200_000, attributes={"kind": "agent"})
        settled(tmp_path, 1, agent, people(10), tenant="acme", **SELF)

        answer = asked("statement", "2026-11", "--book=price", "--tenant=acme")

        [line] = answer["lines"]
        assert (line["book"], line["meter"], line["provider"]) == (
            "price",
            "audio_minutes",
            "reseller",
        )
        assert (line["consumed_quantity"], answer["total"]) == ("600", "29")

    def test_a_plan_may_be_named(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, people(10_100), tenant="acme", **SELF)
        named = ("--book=price", "--tenant=acme", "--plan=reseller/personal")
        answer = asked("statement", "2026-11", *named, "--by=room")
        assert (answer["plan"], answer["exact_total"]) == ("reseller/personal", "0.036")
        assert answer["groups"][0]["jobs"] == 1
        wrong = run("statement", "2026-11", *named[:2], "--plan=livekit/ship")
        assert "plan 'livekit/ship' is not sold to tenants" in wrong.stderr
        cost = run("statement", "2026-11", "--plan=reseller/team")
        assert "say --book price" in cost.stderr
        assert run("statement", "2026-11", "--book=price").exit_code == 2


class TestMarkup:
    @pytest.fixture(autouse=True)
    def customers(self, environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rates_file(tmp_path, MARKED_UP, monkeypatch)

    def statement(self) -> Any:
        return asked("statement", "2026-11", "--book=price", "--tenant=acme")

    def test_cost_and_so_many_percent(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, speech(100), session(1_000), people(1), tenant="acme")

        answer = self.statement()

        costs = {line["meter"]: (line["list_cost"], line["cost"]) for line in answer["lines"]}
        assert costs == {
            "agent_session": ("12", "12"),
            "participant_connection": ("0.0006", "0.0006"),
            "stt_audio": ("0.72", "0.72"),
        }
        stt = next(line for line in answer["lines"] if line["meter"] == "stt_audio")
        assert (stt["unit_price"], stt["rate_id"]) == (
            "0.00012",
            "markup=50/deepgram/nova-3/stt_audio",
        )
        assert stt["disputed"] is None
        assert answer["exact_total"] == "22.7206"
        assert rows(margin())["acme"] == ("22.72", "50.48", "-27.76")

    def test_an_own_rate_goes_before_a_markup_and_takes_the_parts_with_it(
        self, tmp_path: Path
    ) -> None:
        tokens = {"instance_id": "r", "model": "gpt-4.1-mini"}
        settled(
            tmp_path,
            1,
            usage("llm_input_tokens", "openai", 10, **tokens),
            usage("llm_cached_input_tokens", "openai", 4, **tokens),
            usage("llm_output_tokens", "openai", 1_000_000, **tokens),
            tenant="acme",
            **SELF,
        )

        lines = {line["meter"]: line for line in self.statement()["lines"]}

        assert lines["llm_input_tokens"]["cost"] == "10"
        assert lines["llm_cached_input_tokens"]["state"] == "not_billed"
        assert lines["llm_cached_input_tokens"]["reason"] == "counted in llm_input_tokens"
        assert lines["llm_output_tokens"]["cost"] == "1.92"

    def test_what_has_no_cost_has_no_price(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, usage("stt_audio", "unknown", 60), tenant="acme", **SELF)

        [item] = self.statement()["unrated"]

        assert item["reason"] == "no rate for unknown stt_audio"
        assert margin()["rows"][0]["unrated"] == 2


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        (SOLD.replace("reseller/team", "reseller/tam"), 4, "plan 'reseller/tam' is unknown; use"),
        (SOLD.replace("reseller/team", "livekit/ship"), 4, "'livekit/ship' is not sold to tenants"),
        (
            SOLD.replace("zeta", "acme"),
            6,
            "its period always to open end overlaps that of",
        ),
        (SOLD.replace('"acme"', "5"), 3, "tenant 5 must be a text in quotes"),
        (SOLD + "from = 2026-01-01\n", 9, "unknown key 'from'"),
        (
            SOLD + "effective_from = 2026-02-01\neffective_until = 2026-01-01\n",
            10,
            "effective_until 2026-01-01 must be after effective_from 2026-02-01",
        ),
        (MARKED_UP.replace('"20"', '"-20"'), 11, "percent '-20' must not be negative"),
        (MARKED_UP.replace('"20"', "20"), 11, "percent 20 must be a decimal in quotes"),
        (MARKED_UP.replace('"20"', '"NaN"'), 11, "percent 'NaN' must be finite"),
        (MARKED_UP.replace('["deepgram"]', '"deepgram"'), 16, "must be a list of texts"),
        (
            MARKED_UP.replace('providers = ["deepgram"]', ""),
            13,
            "its period always to open end overlaps that of",
        ),
        (
            MARKED_UP.replace('providers = ["deepgram"]', 'meters = ["x"]'),
            16,
            "meters 'x' is unknown",
        ),
        (
            '[[sold_as]]\nprovider = "a"\nmeter = "messages"\nmeasured = "stt_audio"\n',
            3,
            "meter 'messages' is in 'message', and 'stt_audio' is measured in 'second'",
        ),
        (
            '[[sold_as]]\nprovider = "a"\nmeter = "x"\nmeasured = "stt_audio"\n',
            3,
            "meter 'x' is unknown",
        ),
        (
            '[[sold_as]]\nprovider = "a"\nmeter = "audio_minutes"\nmeasured = "stt_audio"\n' * 2,
            8,
            "'stt_audio' is sold as 'audio_minutes' already, at",
        ),
    ],
)
def test_what_is_refused_in_a_price_book(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = rates_file(tmp_path, text)
    result = run("rates", "check", str(path))
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{path}:{line}: " in result.stderr
    assert said in result.stderr


def test_who_changes_plans_within_a_month_is_on_the_new_one_from_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates_file(
        tmp_path,
        '[[customer]]\ntenant = "acme"\nplan = "reseller/team"\neffective_until = 2026-11-15\n'
        '[[customer]]\ntenant = "acme"\nplan = "reseller/enterprise"\n'
        "effective_from = 2026-11-15\n"
        '[[customer]]\ntenant = "late"\nplan = "reseller/team"\neffective_from = 2026-11-30\n'
        '[[customer]]\ntenant = "gone"\nplan = "reseller/team"\neffective_until = 2026-11-01\n',
        monkeypatch,
    )

    def plans(month: str) -> dict[str, str]:
        answer = asked("margin", month, "--plan=none")
        return {row["tenant"]: row["plan"] for row in answer["rows"]}

    assert plans("2026-10") == {"acme": "reseller/team", "gone": "reseller/team"}
    assert plans("2026-11") == {"acme": "reseller/team", "late": "reseller/team"}
    assert plans("2026-12") == {"acme": "reseller/enterprise", "late": "reseller/team"}


def test_prices_and_costs_of_two_currencies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    euros = MARKED_UP.replace('base_fee = "10"', 'base_fee = "10"\ncurrency = "EUR"')
    rates_file(tmp_path, euros, monkeypatch)
    settled(tmp_path, 1, session(1), tenant="nobody")
    result = run("margin", "2026-11")
    assert result.exit_code == 1
    assert "prices and cost are in EUR and USD" in result.stderr


def test_late_usage_of_an_issued_month_is_on_both_sides_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates_file(tmp_path, MARKED_UP, monkeypatch)
    at = "2026-09-10T10:00Z"
    settled(tmp_path, 1, speech(100, at), **SELF, tenant="acme")
    assert run("statement", "2026-09", "--issue").exit_code == 0
    settled(tmp_path, 2, speech(50, at, instance_id="late"), **SELF, tenant="acme")

    september = rows(asked("margin", "2026-09"))
    assert september["acme"] == ("11.08", "0.72", "10.36")

    corrected = asked("statement", "2026-10")
    assert corrected["total"] == "0.24"
    october = asked("margin", "2026-10")
    assert rows(october)["acme"] == ("10", "0", "10")
    assert october["cost"] == "0"

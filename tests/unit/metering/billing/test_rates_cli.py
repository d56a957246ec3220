"""`rates`, `rates check` and `rates diff`."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from metering.ledger.store import Ledger
from metering.ledger.use_queries import in_use
from metering.pricing import load_catalog
from metering.settle import settle_run
from tests.unit.metering.pricing.builders import usage
from tests.unit.metering.samples import run as a_run
from tests.unit.metering.samples import settings

from .commands import run
from .stored import rates_file, session, settled, speech

pytestmark = pytest.mark.usefixtures("environment")

MINE = """
[[rate]]
provider = "deepgram"
model = "nova-3"
meter = "stt_audio"
price = "0.0043"
unit = "minute"
"""


def asked(*arguments: str, code: int = 0) -> Any:
    result = run("rates", *arguments, "--json")
    assert result.exit_code == code, result.output
    assert result.stderr.count("\n") == code
    return json.loads(result.stdout)


def names(answer: Any) -> list[str]:
    return [one.get("rate_id", one["kind"]) for one in answer["rates"]]


class TestList:
    def test_filters(self) -> None:
        deepgram = [
            "deepgram/nova-3/stt_audio",
            "deepgram/nova-3/stt_audio/diarization=true/add-on",
            "deepgram/nova-3/stt_audio/language=multi",
            "not_billed",
        ]
        # Four features on either basis, whatever the model.
        assert names(asked("--provider=Deepgram")) == ["unrated"] * 8 + deepgram
        assert names(asked("--model=nova-3")) == deepgram
        audio = asked("--provider=deepgram", "--meter=stt_audio")
        assert names(audio) == ["unrated"] * 4 + deepgram[:3]
        assert names(asked("--provider=deepgram", "--plan=livekit/ship")) == []
        sessions = asked("--plan=livekit/ship", "--meter=agent_session", "--on=2026-01-01")
        assert names(sessions) == ["livekit-cloud/*/agent_session/plan=livekit/ship/2025-11-01"]
        assert names(asked("--plan=livekit/ship", "--on=2025-10-31")) == []

    def test_a_model_is_found_by_any_of_its_names(self) -> None:
        exact = names(asked("--provider=openai", "--model=gpt-4.1-mini"))
        assert exact
        assert names(asked("--provider=openai", "--model=gpt-4.1-mini-2025-04-14")) == exact

    def test_an_entry(self) -> None:
        [audio, *_] = asked("--provider=deepgram", "--model=nova-3")["rates"]
        assert audio == {
            "kind": "rate",
            "provider": "deepgram",
            "model": "nova-3",
            "meter": "stt_audio",
            "attributes": {},
            "plan": None,
            "hosting": None,
            "effective_from": None,
            "effective_until": None,
            "source": "https://deepgram.com/pricing",
            "checked": "2026-06-02",
            "from": "catalog",
            "place": audio["place"],
            "rate_id": "deepgram/nova-3/stt_audio",
            "charge_model": "unit",
            "unit_price": "0.00008",
            "pricing_unit": "second",
            "currency": "USD",
            "tiers": [],
            "package": None,
            "included": "0",
            "increment": None,
            "minimum": None,
            "basis": "audio",
            "add_on": False,
            "request_input_over": None,
            "disputed": {
                "reason": audio["disputed"]["reason"],
                "basis": "connection",
                "meter": "stt_connection",
                "unit_price": "0.00008",
            },
        }
        assert audio["place"].startswith("catalog/deepgram.toml:16: [[rate]] 1")

    def test_the_owners_own(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        rates_file(tmp_path, MINE, monkeypatch)
        answer = asked("--provider=deepgram", "--meter=stt_audio")
        assert [one["from"] for one in answer["rates"]].count("owner") == 1

    def test_the_table(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        head = '[[rate]]\nprovider = "acme"\nmeter = "messages"\n'
        tiers = 'tiers = [{ over = "0", price = "2" }, { over = "9", price = "1" }]\n'
        rates_file(
            tmp_path,
            f'{head}unit = "message"\ncharge_model = "volume"\n{tiers}included = "5"\n'
            f'{head}model = "m"\nunit = "1000 message"\ncharge_model = "package"\nprice = "3"\n',
            monkeypatch,
        )
        said = run("rates", "--provider=acme").stdout
        assert "volume: $2.00 over 0, $1.00 over 9, per message past 5 a month" in said
        assert "$3.00 per started 1000 message a month" in said
        stepped = run("rates", "--meter=agent_session", "--plan=livekit/ship").stdout
        assert "$0.01 per minute in steps of 60 seconds" in stepped
        assert said.splitlines()[-1].startswith("2 entries of rate card ")

    @pytest.mark.parametrize(
        ("option", "said"),
        [("--plan=livekit/shp", "unknown plan 'livekit/shp'"), ("--meter=x", "no meter is called")],
    )
    def test_what_is_not_there(self, option: str, said: str) -> None:
        result = run("rates", option)
        assert (result.exit_code, result.stdout) == (1, "")
        assert said in result.stderr


class TestCheck:
    def test_what_is_used_and_has_no_price(self, tmp_path: Path) -> None:
        settled(
            tmp_path,
            1,
            speech(5),
            speech(5, attributes={"language": "de"}),
            usage("stt_audio", "acme", 60, model="m"),
            usage("stt_audio", "acme", 60, model="m"),
            usage("llm_output_tokens", "openai", 5, model="gpt-4.1-mini", instance_id="r"),
            usage("llm_reasoning_tokens", "openai", 5, model="gpt-4.1-mini", instance_id="r"),
        )

        answer = asked("check", "--on=2026-12-01", code=1)

        assert answer["missing"] == [
            {
                "provider": "acme",
                "model": "m",
                "meter": "stt_audio",
                "attributes": {},
                "plan": "livekit/ship",
                "hosting": "cloud-agents",
                "instances": 2,
                "reason": "no rate for acme m stt_audio",
            }
        ]
        stale = {one["entry"].get("rate_id"): one["days"] for one in answer["stale"]}
        assert stale["deepgram/nova-3/stt_audio"] == 182
        assert [one["disputed"]["basis"] for one in answer["disputed"]] == ["connection"]
        fine = asked("check", "--on=2026-12-01", "--older-than=182", code=1)
        assert "deepgram/nova-3/stt_audio" not in {
            one["entry"].get("rate_id") for one in fine["stale"]
        }

    def test_only_the_last_days_count(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, usage("stt_audio", "acme", 60, model="m"))
        assert len(asked("check", "--on=2026-12-20", code=1)["missing"]) == 1
        assert asked("check", "--on=2026-12-21") == {
            "rate_card": load_catalog().version,
            "on": "2026-12-21",
            "entries": 0,
            "missing": [],
            "stale": [],
            "disputed": [],
        }
        assert len(asked("check", "--on=2026-12-21", "--days=31", code=1)["missing"]) == 1

    def test_a_model_that_is_named(self) -> None:
        known = asked("check", "--model=deepgram/nova-3", "--on=2026-06-10")
        assert (known["entries"], known["missing"], known["stale"]) == (2, [], [])
        [missing] = asked("check", "--model=acme/x", code=1)["missing"]
        assert missing["reason"] == "no rate for acme x"
        assert run("rates", "check", "--model=x").exit_code == 2

    def test_the_whole_card(self) -> None:
        answer = asked("check", "--all", "--on=2026-06-10")
        assert answer["entries"] > 500
        assert len(answer["disputed"]) == 5

    def test_an_owners_word_needs_no_check_but_a_source_does(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rates_file(tmp_path, MINE, monkeypatch)
        named = ("check", "--model=deepgram/nova-3", "--on=2027-01-01")
        assert asked(*named)["stale"] == []
        rates_file(tmp_path, MINE + 'source = "a contract"\n', monkeypatch)
        assert [one["days"] for one in asked(*named)["stale"]] == [None]

    def test_a_compiled_price_was_checked_on_the_day_it_was_compiled(self) -> None:
        named = ("check", "--model=openai/tts-1")
        assert asked(*named, "--on=2026-11-22")["stale"] == []
        assert [one["days"] for one in asked(*named, "--on=2027-11-21")["stale"]] == [365]

    def test_a_file_that_cannot_be_used(self, tmp_path: Path) -> None:
        bad = rates_file(tmp_path, MINE.replace('"0.0043"', '"-1"'))
        result = run("rates", "check", str(bad))
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
        assert f"{bad}:6: " in result.stderr
        plan = rates_file(
            tmp_path, '[[plan]]\nid = "p"\nname = "P"\nprovider = "a"\nbase_fee = 5\n'
        )
        assert f"{plan}:5: " in run("rates", "check", str(plan)).stderr

    def test_a_file_that_every_statement_refuses(self, tmp_path: Path) -> None:
        same_day = '[[subscription]]\nplan = "livekit/ship"\nfrom = 2026-11-01\n'
        bad = rates_file(tmp_path, same_day * 2)
        result = run("rates", "check", str(bad))
        assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
        assert f"{bad}:" in result.stderr
        assert "[[subscription]] 2" in result.stderr

    def test_the_lines(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, speech(5), usage("stt_audio", "acme", 60, model="m"))
        result = run("rates", "check", "--on=2026-12-01")
        assert result.exit_code == 1
        first, *_, last = result.stdout.splitlines()
        assert first == "missing: acme / m stt_audio, 1 times: no rate for acme m stt_audio"
        assert "stale: deepgram / nova-3 stt_audio checked 182 days ago, see" in result.stdout
        assert "or $0.00008 per second of stt_connection: docs and staff" in result.stdout
        assert last == "1 entries, 1 missing, 1 stale, 1 disputed"
        assert result.stderr == "tallyroom: 1 in use have no price; add a [[rate]] for each\n"


def test_what_is_in_use_on_either_store(store_url: str, tmp_path: Path) -> None:
    mine = settings(tmp_path, database_url=store_url)
    some = [
        speech(1, attributes={"language": "de", "diarization": "true"}),
        speech(1, attributes={"diarization": "true", "language": "de"}),
        speech(1, "2026-11-01T10:00Z"),
    ]

    async def work() -> list[Any]:
        async with Ledger(mine.ledger_url) as ledger:
            await settle_run(a_run(*some), ledger, mine)
            return await in_use(ledger, datetime(2026, 11, 2, tzinfo=UTC))

    [found] = asyncio.run(work())

    assert (found.provider, found.model, found.meter) == ("deepgram", "nova-3", "stt_audio")
    assert dict(found.attributes) == {"diarization": "true", "language": "de"}
    assert (found.instances, found.hosting, found.plan) == (2, "self", "none")


class TestDiff:
    def test_what_a_new_price_changes(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, session(4_000), speech(600), tenant="acme")
        settled(tmp_path, 2, session(2_000), speech(400))
        settled(tmp_path, 3, speech(10_000, "2026-12-02T00:00Z"))
        new = rates_file(tmp_path, MINE)

        answer = asked("diff", str(new), "2026-11")

        sessions, stt = answer["rows"]
        assert sessions == {
            "meter": "agent_session",
            "provider": "livekit-cloud",
            "model": "",
            "present": {"list_cost": "60", "cost": "10", "unrated_instances": 0},
            "new": {"list_cost": "60", "cost": "10", "unrated_instances": 0},
            "difference": "0",
        }
        assert (stt["present"]["cost"], stt["new"]["cost"]) == ("4.8", "4.3")
        assert (stt["difference"], answer["difference"]) == ("-0.5", "-0.5")
        assert (answer["present"]["total"], answer["new"]["total"]) == ("64.8", "64.3")
        assert answer["present"]["rate_card"] != answer["new"]["rate_card"]
        # Session minutes of this tenant alone are all within the allowance.
        alone = asked("diff", str(new), "2026-11", "--tenant=acme")
        assert (alone["present"]["total"], alone["difference"]) == ("52.88", "-0.3")
        assert json.loads(run("statement", "2026-11", "--json").stdout)["total"] == "64.8"

    def test_a_change_of_the_plan_and_of_how_a_month_is_priced(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, speech(600), speech(600))
        new = rates_file(
            tmp_path,
            MINE.replace('price = "0.0043"', 'charge_model = "package"\nprice = "2"').replace(
                '"minute"', '"hour"'
            ),
        )
        answer = asked("diff", str(new), "2026-11")
        assert answer["rows"][0]["new"]["cost"] == "40"
        shown = run("rates", "diff", str(new), "2026-11").stdout.splitlines()
        assert shown[-1] == f"difference ${Decimal(answer['difference'])}"

    def test_a_price_that_is_gone_is_unrated(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, speech(600))
        gone = (
            '[[unrated]]\nprovider = "deepgram"\nmodel = "nova-3"\nmeter = "stt_audio"\n'
            'reason = "left"\n'
        )
        answer = asked("diff", str(rates_file(tmp_path, gone)), "2026-11")
        assert answer["rows"][0]["new"] == {
            "list_cost": "0",
            "cost": "0",
            "unrated_instances": 1,
        }
        assert answer["new"]["unrated"] == 1
        assert "+ unrated" in run("rates", "diff", str(tmp_path / "new.toml"), "2026-11").stdout

    def test_what_cannot_be_compared(self, tmp_path: Path) -> None:
        settled(tmp_path, 1, speech(600), hosting="self", plan="none")
        euros = rates_file(tmp_path, MINE + 'currency = "EUR"\n')
        result = run("rates", "diff", str(euros), "2026-11")
        assert result.exit_code == 1
        assert "in USD by the present card and in EUR by the new one" in result.stderr
        missing = run("rates", "diff", str(tmp_path / "none.toml"), "2026-11")
        assert (missing.exit_code, missing.stdout) == (1, "")
        assert run("rates", "diff", str(euros), "2026-13").exit_code == 2

    def test_a_month_without_jobs(self, tmp_path: Path) -> None:
        answer = asked("diff", str(rates_file(tmp_path, MINE)), "2026-11", "--plan=livekit/ship")
        assert (answer["rows"], answer["difference"]) == ([], "0")
        assert answer["present"]["total"] == "50"

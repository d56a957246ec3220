"""The worked examples that must come out to the cent, each as a call of a command."""

from __future__ import annotations

from decimal import Decimal

import pytest

from metering.billing import add_up_month, make_bill
from metering.pricing import RateCard
from metering.pricing.rate_card import Rate
from tests.unit.metering.pricing.builders import START, usage

from .builders import bill, job, plan
from .commands import NOTETAKER, SCALE, SHIP, WITHOUT_STT, asked, estimated, line, refused

pytestmark = pytest.mark.usefixtures("environment")


class TestANotetaker:
    def test_on_scale(self) -> None:
        answer = estimated(*NOTETAKER, *SCALE)
        assert (answer["total"], answer["exact_total"]) == ("1440", "1440")
        assert (answer["base_fee"], line(answer, "agent_session")["cost"]) == ("500", "400")
        connections = [one for one in answer["lines"] if one["meter"] == "participant_connection"]
        assert sum(int(one["pricing_quantity"]) for one in connections) == 540_000
        assert [one["cost"] for one in connections] == ["0", "0"]
        assert line(answer, "stt_audio")["pricing_quantity"] == "90000"
        assert line(answer, "stt_audio")["cost"] == "540"

    def test_on_ship(self) -> None:
        answer = estimated(*NOTETAKER, *SHIP)
        assert answer["exact_total"] == "1635"
        assert line(answer, "agent_session")["overage"] == [
            {"over": None, "quantity": "85000", "unit_price": "0.01", "cost": "850"}
        ]
        assert answer["usage_cost"] == "1585"

    def test_on_build(self) -> None:
        said = refused("estimate", *NOTETAKER, "--plan=livekit/build", "--hosting=cloud")
        assert said == (
            "tallyroom: livekit/build holds 18 such meetings (participant_connection runs out"
            " first), not 2000\n"
        )
        eighteen = ("--meetings=18", *WITHOUT_STT, "--plan=livekit/build")
        answer = estimated(*eighteen, "--hosting=cloud-agents")
        assert (answer["total"], answer["unrated"], answer["holds_meetings"]) == ("0", [], 18)
        refused(
            "estimate", "--meetings=19", *WITHOUT_STT, "--plan=livekit/build", "--hosting=cloud"
        )

    @pytest.mark.parametrize(("plan_id", "total"), [("ship", "785"), ("scale", "1040")])
    def test_with_own_workers(self, plan_id: str, total: str) -> None:
        answer = estimated(*NOTETAKER, f"--plan=livekit/{plan_id}", "--hosting=cloud")
        assert answer["exact_total"] == total
        assert line(answer, "agent_session")["state"] == "not_billed"

    def test_with_tts(self) -> None:
        answer = estimated(*NOTETAKER, *SCALE, "--per-minute=tts=0.03")
        assert line(answer, "tts")["cost"] == "2700"
        assert answer["exact_total"] == "4140"

    def test_a_bought_bot(self) -> None:
        prices = estimated(*NOTETAKER, *SCALE)["bought_bot"]
        assert prices == {
            "recording": {"amount": "750", "currency": "USD"},
            "with_transcription": {"amount": "975", "currency": "USD"},
        }

    @pytest.mark.parametrize(
        ("meetings", "exact", "total"), [(982, "499.47", "499.47"), (983, "500.055", "500.06")]
    )
    def test_ship_around_where_scale_becomes_cheaper(
        self, meetings: int, exact: str, total: str
    ) -> None:
        answer = estimated(f"--meetings={meetings}", *WITHOUT_STT, *SHIP)
        assert (answer["exact_total"], answer["total"]) == (exact, total)
        assert Decimal(answer["exact_total"]) + Decimal(answer["rounding"]) == Decimal(total)

    def test_scale_becomes_cheaper_than_ship(self) -> None:
        offers = asked("plans", "compare", "--meetings=2000", *WITHOUT_STT)["offers"]
        crossings = {
            (offer["plan"], offer["hosting"]): offer["cheaper_from"]
            for offer in offers
            if offer["cheaper_from"]
        }
        deployed = "cloud-agents"
        assert crossings["livekit/ship", deployed] == {"plan": "livekit/scale", "meetings": 983}
        assert crossings["livekit/build", deployed] == {"plan": "livekit/ship", "meetings": 19}

    @pytest.mark.parametrize(
        ("meetings", "cheaper"), [(982, "livekit/ship"), (983, "livekit/scale")]
    )
    def test_where_scale_becomes_cheaper_it_is(self, meetings: int, cheaper: str) -> None:
        # The boundary itself: one meeting less, and the comparison's own order is the other way.
        offers = asked("plans", "compare", f"--meetings={meetings}", *WITHOUT_STT)["offers"]
        deployed = [
            one
            for one in offers
            if one["hosting"] == "cloud-agents" and one["plan"] != "livekit/build"
        ]
        assert deployed[0]["plan"] == cheaper
        totals = {one["plan"]: Decimal(one["exact_total"]) for one in deployed}
        assert totals["livekit/scale"] == 500
        assert totals["livekit/ship"] == {982: Decimal("499.47"), 983: Decimal("500.055")}[meetings]
        assert {one["cheaper_from"]["meetings"] for one in deployed if one["cheaper_from"]} == {983}

    def test_build_holds_its_last_meeting(self) -> None:
        for meetings, fits in ((18, True), (19, False)):
            offers = asked("plans", "compare", f"--meetings={meetings}", *WITHOUT_STT)["offers"]
            on_build = [one for one in offers if one["plan"] == "livekit/build"]
            assert {(one["fits"], one["holds_meetings"]) for one in on_build} == {(fits, 18)}

    def test_one_second_past_45_minutes_bills_46(self) -> None:
        longer = ("--meetings=2000", "--minutes=45:01", "--people=5", *SCALE)
        session = line(estimated(*longer), "agent_session")
        assert (session["pricing_quantity"], session["cost"]) == ("92000", "420")

    def test_concurrency(self) -> None:
        answer = estimated(*NOTETAKER, *SCALE)
        assert answer["mean_concurrency"] == "2.1"
        assert answer["mean_concurrency_in_office_hours"] == "8.5"
        assert answer["peak_meetings"] == 9

    def test_starts_on_the_hour_can_pass_ships_limit(self) -> None:
        starts = "--starts=9=30,10=15,11=10,13=10,14=20,15=15"
        assert refused("estimate", *NOTETAKER, *SHIP, starts) == (
            "tallyroom: livekit/ship allows 20 concurrent agents, the peak is 28\n"
        )
        assert estimated(*NOTETAKER, *SCALE, starts)["peak_meetings"] == 28
        # Own workers do not count.
        assert estimated(*NOTETAKER, SHIP[0], "--hosting=cloud", starts)["total"] == "785"
        offers = asked("plans", "compare", *NOTETAKER, starts)["offers"]
        fitting = [(one["plan"], one["hosting"]) for one in offers if one["fits"]]
        assert fitting == [
            ("none", "self"),
            ("livekit/ship", "cloud"),
            ("livekit/scale", "cloud"),
            ("livekit/scale", "cloud-agents"),
        ]


def test_a_connection_held_open_for_every_person() -> None:
    held = (*NOTETAKER, *SCALE, "--held-open", "--stt-by-connection")
    answer = estimated(*held)
    stt = line(answer, "stt_connection")
    assert (stt["instances"], stt["pricing_quantity"], stt["cost"]) == (10_000, "450000", "2700")
    assert answer["exact_total"] == "3600"


def test_a_phone_agent_per_minute() -> None:
    answer = estimated(
        "--meetings=1",
        "--minutes=1",
        "--people=0",
        "--agents-connect-free",
        *SHIP,
        "--stt-price=0.0058",
        "--per-minute=telephony=0.01",
        "--per-minute=llm=0.0077",
        "--per-minute=tts=0.03",
        "--per-minute=observability=0.01",
    )
    assert answer["list_cost"] == "0.0735"


@pytest.mark.parametrize(("seconds", "minutes"), [([10, 70], 3), ([1] * 60, 60)])
def test_each_connection_is_rounded_up_on_its_own(seconds: list[int], minutes: int) -> None:
    connections = [usage("participant_connection", "livekit-cloud", one) for one in seconds]
    [one] = bill([job(connections)]).lines
    assert one.charge.pricing_quantity == one.allowance_used == minutes


@pytest.mark.parametrize(
    ("tenants", "overage", "total"),
    [((60, 30, 10), 200, 2_060), ((600, 300, 100), 2_000, 20_600)],
)
def test_a_reseller(tenants: tuple[int, int, int], overage: int, total: int) -> None:
    tiers = ("reseller/personal", "reseller/team", "reseller/enterprise")
    fees = Decimal(0)
    for plan_id, count in zip(tiers, tenants, strict=True):
        sold = plan(plan_id)
        fees += count * make_bill(add_up_month([], sold), sold, day=START.date()).total
    # One Personal customer's overage of so many dollars: so many messages past the 100,000.
    personal = plan("reseller/personal")
    messages = 100_000 + Decimal(overage) / Decimal("0.00012")
    priced = Rate(
        provider="reseller",
        meter="messages",
        unit_price=Decimal("0.00012"),
        pricing_unit="message",
    )
    sent = usage("messages", "reseller", messages.to_integral_value())
    past = bill([job([sent], personal, card=RateCard((priced,)))], personal)
    assert fees + past.total == total


def test_a_resellers_rates_are_its_base_costs_with_a_fifth_more() -> None:
    personal = plan("reseller/personal")
    used = {
        "video_minutes": (5_001 * 60, "0.0006"),
        "audio_minutes": (10_001 * 60, "0.0003"),
        "messages": (100_001, "0.0001"),
        "downstream_data": (11 * 10**9, "0.0001"),
    }
    made = bill(
        [job([usage(meter, "reseller", count) for meter, (count, _) in used.items()], personal)],
        personal,
    )
    assert {one.charge.meter: one.cost for one in made.lines} == {
        meter: Decimal(base) * Decimal("1.2") for meter, (_, base) in used.items()
    }
    enterprise = plan("reseller/enterprise")
    lots = job([usage("video_minutes", "reseller", 10**12)], enterprise)
    assert bill([lots], enterprise).total == 99

"""What becomes of usage: rounding first, then prices, and never $0 by absence."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType

import pytest

from metering.errors import RateError
from metering.pricing import Charge, RateCard, as_hosted, load_catalog, rate, totals
from metering.usage import Certainty, Usage

from .builders import connection, usage


def on_ship(*usages: Usage) -> list[Charge]:
    return rate(usages, load_catalog(), hosting="cloud", plan="livekit/ship")


def test_connections_of_10_and_70_seconds_are_3_minutes() -> None:
    [charge] = on_ship(connection(10), connection(70))

    assert charge.consumed_quantity == 80
    assert charge.consumed_unit == "second"
    assert charge.pricing_quantity == 3
    assert charge.pricing_unit == "minute"
    assert charge.unit_price == Decimal("0.0005")
    assert charge.list_cost == Decimal("0.0015")
    assert charge.instances == 2


def test_sixty_connections_of_one_second_are_60_minutes() -> None:
    [charge] = on_ship(*(connection(1) for _ in range(60)))

    assert charge.pricing_quantity == 60
    assert charge.list_cost == Decimal("0.03")


@pytest.mark.parametrize(
    ("seconds", "minutes"),
    [("0", 0), ("0.001", 1), ("60", 1), ("60.000000001", 2), ("2700", 45), ("2701", 46)],
)
def test_a_connection_is_rounded_up_to_a_minute(seconds: str, minutes: int) -> None:
    [charge] = on_ship(connection(seconds))

    assert charge.pricing_quantity == minutes


@pytest.mark.parametrize(
    ("sent", "gigabytes"), [("1", "0.01"), ("10000000", "0.01"), ("10000001", "0.02")]
)
def test_data_is_rounded_up_to_a_hundredth_gb(sent: str, gigabytes: str) -> None:
    [charge] = on_ship(usage("downstream_data", "livekit-cloud", sent))

    assert charge.pricing_quantity == Decimal(gigabytes)
    assert charge.list_cost == Decimal(gigabytes) * Decimal("0.12")


def test_the_notetakers_month_at_list_cost() -> None:
    meeting = [
        *(connection(2700, attributes={"kind": "webrtc"}) for _ in range(5)),
        connection(2700, attributes={"kind": "agent"}),
        usage("agent_session", "livekit-cloud", 2700),
    ]
    month = [
        replace(instance, instance_id=f"{number}/{index}")
        for number in range(2000)
        for index, instance in enumerate(meeting)
    ]

    for plan, connections, sessions in [
        ("livekit/ship", "270.0000", "900.00"),
        ("livekit/scale", "216.0000", "900.00"),
    ]:
        charges = rate(month, load_catalog(), hosting="cloud-agents", plan=plan)
        by_meter: dict[str, list[Charge]] = {}
        for charge in charges:
            by_meter.setdefault(charge.meter, []).append(charge)
        of_connections = by_meter["participant_connection"]
        assert sum(item.pricing_quantity or 0 for item in of_connections) == 540_000
        assert sum(item.list_cost or 0 for item in of_connections) == Decimal(connections)
        [session] = by_meter["agent_session"]
        assert session.pricing_quantity == 90_000
        assert session.list_cost == Decimal(sessions)


def test_one_second_past_45_minutes_bills_46() -> None:
    sessions = [usage("agent_session", "livekit-cloud", 2701) for _ in range(2000)]

    [charge] = rate(sessions, load_catalog(), hosting="cloud-agents", plan="livekit/scale")

    assert charge.pricing_quantity == 92_000


def test_own_workers_pay_no_session_minutes() -> None:
    session = usage("agent_session", "livekit-cloud", 2700)

    [charge] = on_ship(session)

    assert charge.state == "not_billed"
    assert charge.reason == (
        "own workers: LiveKit bills session minutes only for agents deployed to LiveKit Cloud"
    )
    assert charge.list_cost is None
    assert charge.consumed_quantity == 2700


def test_build_has_no_overage_price() -> None:
    [charge] = rate([connection(60)], load_catalog(), hosting="cloud", plan="livekit/build")

    assert charge.state == "unrated"
    assert charge.reason == "Build has no overage price: past its allowance, service stops"


def test_an_unknown_plan_is_unrated_by_name() -> None:
    [charge] = rate([connection(60)], load_catalog(), hosting="cloud", plan="none")

    assert charge.reason == "no rate for livekit-cloud participant_connection on plan 'none'"


def test_a_call_leg_is_no_webrtc_minute() -> None:
    [charge] = on_ship(connection(60, attributes={"kind": "sip"}))

    assert charge.state == "unrated"
    assert charge.reason.startswith("LiveKit bills a call leg as telephony")


def test_the_agents_own_connection_is_charged_and_disputed() -> None:
    [charge] = on_ship(connection(61, attributes={"kind": "agent"}))

    assert charge.list_cost == Decimal("0.0010")
    assert charge.disputed is not None
    assert charge.disputed.basis == "agents connect free"
    assert charge.disputed.list_cost == 0


def test_your_own_server_costs_an_explicit_zero() -> None:
    here = as_hosted([connection(90), usage("downstream_data", "livekit-cloud", 5)], "self")

    charges = rate(here, load_catalog(), hosting="self", plan="none")

    free = Decimal(0)
    assert [(c.provider, str(c.state), c.list_cost, c.unit_price) for c in charges] == [
        ("self-hosted", "priced", free, free),
        ("self-hosted", "priced", free, free),
    ]


def test_the_same_record_as_if_on_ship() -> None:
    here = usage("participant_connection", "self-hosted", 61)
    speech = usage("stt_audio", "deepgram", 60, model="nova-3")

    moved = as_hosted([here, speech], "cloud")

    assert [item.provider for item in moved] == ["livekit-cloud", "deepgram"]
    assert moved[0].instance_id == here.instance_id
    assert totals(on_ship(*moved)).list_cost == {"USD": Decimal("0.0058")}


def test_an_unknown_hosting_is_refused() -> None:
    with pytest.raises(RateError, match="unknown hosting 'cluod'; use one of self, cloud"):
        rate([], load_catalog(), hosting="cluod", plan="none")


def test_what_has_no_rate_is_unrated_and_listed_beside_the_total() -> None:
    charges = on_ship(connection(10), usage("stt_connection", "livekit", 5, model="nova-3"))

    result = totals(charges)

    assert result.list_cost == {"USD": Decimal("0.0005")}
    [missing] = result.unrated
    assert missing.reason == "no rate for livekit nova-3 stt_connection"
    assert (missing.list_cost, missing.unit_price, missing.pricing_quantity) == (None, None, None)
    assert missing.to_json()["list_cost"] is None


def test_an_unknown_meter_is_unrated() -> None:
    [charge] = on_ship(usage("carrier_pigeons", "rspb", 3, unit="bird"))

    assert (charge.state, charge.reason) == ("unrated", "no meter is called 'carrier_pigeons'")
    assert charge.consumed_unit == "bird"


def test_usage_in_another_unit_is_unrated_not_misread() -> None:
    [charge] = on_ship(connection(3, unit="minute"))

    assert (charge.state, charge.reason) == ("unrated", "measured in 'minute', not in 'second'")
    assert (charge.consumed_quantity, charge.consumed_unit) == (Decimal(3), "minute")


def test_what_was_never_reported_is_unrated() -> None:
    lost = usage(
        "llm_output_tokens", "openai", 0, model="gpt-4.1-mini", certainty=Certainty.ESTIMATED
    )
    known = usage("llm_output_tokens", "openai", 10, model="gpt-4.1-mini")

    priced, unrated = on_ship(lost, known)

    assert (str(priced.state), priced.consumed_quantity) == ("priced", Decimal(10))
    assert (unrated.state, unrated.reason, unrated.list_cost) == (
        "unrated",
        "size never reported",
        None,
    )
    assert unrated.certainty == "estimated"


def test_a_charge_is_as_certain_as_its_worst_usage() -> None:
    [charge] = on_ship(
        connection(10), connection(10, certainty=Certainty.BOUNDED, quantity_upper=Decimal(11))
    )

    assert charge.certainty == "bounded"


def test_usage_before_the_first_known_price_is_unrated() -> None:
    old = datetime(2025, 10, 31, 23, 59, 59, tzinfo=UTC)

    [charge] = on_ship(connection(60, started_at=old))

    assert charge.reason == ("no rate for livekit-cloud participant_connection before 2025-11-01")


def test_deepgram_is_rated_by_audio_and_shows_what_the_connection_would_cost() -> None:
    audio = usage("stt_audio", "deepgram", 60, model="nova-3", instance_id="socket")
    socket = usage("stt_connection", "deepgram", 90, model="nova-3", instance_id="socket")

    of_audio, of_socket = on_ship(audio, socket)

    assert of_audio.list_cost == Decimal("0.0048")
    assert of_audio.rate_id == "deepgram/nova-3/stt_audio"
    assert of_audio.disputed is not None
    assert of_audio.disputed.basis == "connection"
    assert of_audio.disputed.list_cost == Decimal("0.0072")
    assert of_socket.state == "not_billed"
    assert of_audio.to_json()["disputed"]["list_cost"] == "0.0072"


def test_a_dispute_without_the_other_measurement_has_no_amount() -> None:
    [charge] = on_ship(usage("stt_audio", "deepgram", 60, model="nova-3"))

    assert charge.disputed is not None
    assert charge.disputed.list_cost is None


def test_language_and_features_choose_the_price_and_add_to_it() -> None:
    attributes = MappingProxyType({"language": "multi", "diarization": "true", "keyterms": "true"})

    base, add_on, _ = on_ship(
        usage("stt_audio", "deepgram", 600, model="nova-3", attributes=attributes)
    )

    assert base.rate_id == "deepgram/nova-3/stt_audio/language=multi"
    assert base.list_cost == Decimal("0.058")
    assert add_on.rate_id == "deepgram/nova-3/stt_audio/diarization=true/add-on"
    assert add_on.list_cost == Decimal("0.02")
    assert add_on.attributes == attributes


def test_a_price_a_minute_that_is_one_a_second_loses_no_digit() -> None:
    [charge] = on_ship(usage("stt_audio", "deepgram", 10, model="nova-3"))

    assert (charge.pricing_quantity, charge.pricing_unit) == (Decimal(10), "second")
    assert charge.unit_price == Decimal("0.00008")
    assert charge.list_cost == Decimal("0.0008")


def test_one_that_is_not_is_rounded_up_at_the_twelfth_decimal_and_still_multiplies_out() -> None:
    [charge] = on_ship(
        usage("stt_audio", "deepgram", 10, model="nova-3", attributes={"language": "multi"})
    )

    assert (charge.pricing_quantity, charge.pricing_unit) == (Decimal("0.166666666667"), "minute")
    assert charge.list_cost == Decimal("0.0009666666666686")


def test_the_embedded_stt_costs_an_explicit_zero() -> None:
    [charge] = on_ship(usage("stt_audio", "faster-whisper", 10, model="tiny.en"))

    assert (str(charge.state), charge.list_cost) == ("priced", Decimal(0))


@pytest.mark.parametrize("provider", ["assemblyai", "livekit"])
def test_providers_that_bill_the_session_do_not_bill_the_audio(provider: str) -> None:
    audio = usage("stt_audio", provider, 10, model="m")
    session = usage("stt_connection", provider, 10, model="m")

    of_audio, of_session = on_ship(audio, session)

    assert (of_audio.meter, of_audio.state) == ("stt_audio", "not_billed")
    assert (of_session.meter, of_session.state) == ("stt_connection", "unrated")


@pytest.mark.parametrize("exponents", [(500, -500), (999_999, 0)])
def test_quantities_that_cannot_be_added_exactly_are_refused_not_rounded(
    exponents: tuple[int, int],
) -> None:
    apart = [usage("messages", "self-hosted", 1, unit="message") for _ in exponents]
    for one, exponent in zip(apart, exponents, strict=True):
        # Usage refuses such a size; the rating is held to refuse it too.
        object.__setattr__(one, "quantity", Decimal(f"1E{exponent}"))

    with pytest.raises(RateError, match="cannot be added exactly"):
        rate(apart, RateCard(), hosting="self", plan="none")


def test_a_charge_in_json_has_plain_digits_under_the_contracts_names() -> None:
    [charge] = on_ship(connection(61, attributes={"kind": "webrtc"}))

    assert charge.to_json() == {
        "book": "cost",
        "meter": "participant_connection",
        "provider": "livekit-cloud",
        "model": "",
        "attributes": {"kind": "webrtc"},
        "state": "priced",
        "reason": "",
        "instances": 1,
        "consumed_quantity": "61",
        "consumed_unit": "second",
        "pricing_quantity": "2",
        "pricing_unit": "minute",
        "unit_price": "0.0005",
        "list_cost": "0.001",
        "currency": "USD",
        "rate_id": "livekit-cloud/*/participant_connection/plan=livekit/ship/2025-11-01",
        "certainty": "exact",
        "disputed": None,
    }

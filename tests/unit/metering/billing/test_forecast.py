"""Forecasts: what must hold for any month, and that most months end where they were said to."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.billing import make_statement, parse_period
from metering.billing.forecast import Forecast, ForecastMonth
from metering.billing.month import JobCharges
from metering.billing.resampling import like, replays
from metering.pricing import load_catalog, rate
from metering.usage import Usage
from tests.unit.metering.pricing.builders import usage

from .builders import NOVEMBER, at, catalog_on, plan

FIRST = date(2026, 11, 1)
MIDNIGHTS = [at("2026-11-01T00:00Z") + timedelta(days=number) for number in range(31)]
hours = st.integers(0, 23)
amounts = st.integers(0, 20_000)


def session(day: date, minutes: int, hour: int = 12, fraction: int = 0) -> Usage:
    end = datetime(day.year, day.month, day.day, hour, 30, tzinfo=MIDNIGHTS[0].tzinfo)
    return usage(
        "agent_session",
        "livekit-cloud",
        Decimal(minutes * 60 + fraction),
        started_at=end - timedelta(minutes=1),
        ended_at=end,
        instance_id=f"{day}/{hour}",
    )


def of_days(begin: date, minutes: list[int], hour: int = 12) -> list[Usage]:
    return [
        session(begin + timedelta(days=number), one, hour) for number, one in enumerate(minutes)
    ]


def made(usages: list[Usage], now: datetime, since: date | None = FIRST, **how: str) -> Forecast:
    its_plan = plan(how.get("on", "livekit/ship"))
    month = ForecastMonth(NOVEMBER, load_catalog(), lambda _: its_plan, now, since)
    for one in usages:
        month.add("cloud-agents", [one])
    return month.forecast()


def amounts_are(*dollars: int | None) -> tuple[Decimal | None, ...]:
    return tuple(None if one is None else Decimal(one) for one in dollars)


def stated(usages: list[Usage]) -> Decimal:
    its_plan = plan()
    jobs = [
        JobCharges(
            job_id=one.instance_id,
            ended_at=one.ended_at,
            charges=tuple(
                rate([one], catalog_on(its_plan), hosting="cloud-agents", plan=its_plan.plan_id)
            ),
        )
        for one in usages
    ]
    statement = make_statement(jobs, its_plan, NOVEMBER, rate_card="test")
    assert statement is not None
    return statement.bill.total


@given(minutes=amounts, days=st.integers(1, 29), hour=hours, hour_of_use=hours)
@settings(max_examples=25, deadline=None)
def test_the_same_every_day_forecasts_itself(
    minutes: int, days: int, hour: int, hour_of_use: int
) -> None:
    month = of_days(FIRST, [minutes] * 30, hour_of_use)
    forecast = made(month, MIDNIGHTS[days] + timedelta(hours=hour))
    assert forecast.total == stated(month)
    if days >= 7:
        assert forecast.low == forecast.high == forecast.total


@given(st.lists(amounts, min_size=30, max_size=30))
@settings(max_examples=25, deadline=None)
def test_at_the_months_end_it_is_the_statement(minutes: list[int]) -> None:
    month = of_days(FIRST, minutes)
    forecast = made(month, MIDNIGHTS[30])
    total = stated(month)
    assert (forecast.total, forecast.low, forecast.high) == (total, total, total)
    assert (forecast.so_far_total, forecast.days_left) == (total, 0)


@given(st.lists(amounts, min_size=30, max_size=30), st.integers(1, 30))
@settings(max_examples=25, deadline=None)
def test_the_range_holds_the_point_and_what_stands_already(minutes: list[int], days: int) -> None:
    forecast = made(of_days(FIRST, minutes), MIDNIGHTS[days])
    assert forecast.total is not None
    assert forecast.low is not None
    assert forecast.so_far_total <= forecast.low <= forecast.total
    assert (forecast.high is None) == (days < 7)
    assert forecast.high is None or forecast.high >= forecast.total


@given(
    st.lists(amounts, min_size=12, max_size=12),
    st.integers(0, 11),
    st.integers(1, 10_000),
)
@settings(max_examples=25, deadline=None)
def test_more_usage_never_forecasts_less(minutes: list[int], day: int, more: int) -> None:
    less = made(of_days(FIRST, minutes), MIDNIGHTS[12])
    grown = [one + more * (number == day) for number, one in enumerate(minutes)]
    greater = made(of_days(FIRST, grown), MIDNIGHTS[12])
    for name in ("so_far_total", "total", "low", "high"):
        assert getattr(greater, name) >= getattr(less, name)


def test_the_same_data_gives_the_same_forecast() -> None:
    usages = of_days(FIRST, [137 * number % 1_000 for number in range(14)])
    one, other = (made(some, MIDNIGHTS[14]) for some in (usages, usages[::-1]))
    assert (one.total, one.low, one.high) == (other.total, other.low, other.high)


class TestHistory:
    def test_none(self) -> None:
        forecast = made([session(FIRST, 10_000, hour=1)], MIDNIGHTS[0] + timedelta(hours=2))
        assert (forecast.total, forecast.low, forecast.high) == (None, None, None)
        # 5,000 minutes past the allowance: that much stands.
        assert forecast.so_far_total == 100
        assert forecast.days_left == 30
        assert "nothing to forecast by" in forecast.basis

    def test_a_few_days_have_no_upper_end(self) -> None:
        forecast = made(of_days(FIRST, [1_000] * 6), MIDNIGHTS[6])
        assert (forecast.so_far_total, forecast.total) == amounts_are(60, 300)
        assert (forecast.low, forecast.high) == amounts_are(60, None)
        assert "6 whole days of usage are known" in forecast.basis

    def test_the_weeks_before_count(self) -> None:
        october = of_days(date(2026, 10, 4), [1_000] * 28)
        forecast = made(october, MIDNIGHTS[0], since=date(2026, 10, 4))
        # Nothing of October is in November's so far: the fee alone is.
        assert (forecast.so_far_total, forecast.total) == amounts_are(50, 300)
        assert forecast.days_left == 30
        assert len(forecast.history) == 28

    def test_weekdays_and_weekends(self) -> None:
        # Four weeks with nothing on weekends; November has 21 days from Monday to Friday.
        days = [date(2026, 10, 4) + timedelta(days=number) for number in range(28)]
        october = [session(day, 1_000) for day in days if day.weekday() < 5]
        forecast = made(october, MIDNIGHTS[0], since=days[0])
        assert (forecast.low, forecast.total, forecast.high) == amounts_are(210, 210, 210)

    def test_days_without_usage_are_days(self) -> None:
        forecast = made([session(FIRST, 30_000)], MIDNIGHTS[10])
        assert len(forecast.history) == 10
        assert forecast.low == 300

    def test_todays_rest_is_what_comes_after_this_time_of_day(self) -> None:
        month = of_days(FIRST, [1_000] * 29, hour=12)
        last = MIDNIGHTS[29]
        morning = made(month, last + timedelta(hours=12))
        evening = made(month, last + timedelta(hours=13))
        assert morning.total == stated(of_days(FIRST, [1_000] * 30)) == 300
        assert evening.total == 290
        assert morning.days_left == evening.days_left == 1


def test_a_plan_that_does_not_hold_the_month() -> None:
    forecast = made(of_days(FIRST, [50] * 15), MIDNIGHTS[15], on="livekit/build")
    assert (forecast.refused, forecast.replays) == (199, 199)
    assert forecast.total == 0
    less = made(of_days(FIRST, [20] * 15), MIDNIGHTS[15], on="livekit/build")
    assert less.refused == 0


def test_a_plan_that_changes_on_a_day_to_come() -> None:
    def plan_on(day: date) -> object:
        return plan("livekit/ship" if day < date(2026, 11, 16) else "livekit/scale")

    month = ForecastMonth(NOVEMBER, load_catalog(), plan_on, MIDNIGHTS[10], FIRST)  # type: ignore[arg-type]
    for one in of_days(FIRST, [1_000] * 10):
        month.add("cloud-agents", [one])
    forecast = month.forecast()
    # Half a month on each: Ship 25 + (15,000 - 2,500) x 0.01; Scale 250, 15,000 of 25,000 minutes.
    assert forecast.so_far_total == 25 + 75 + 250
    assert (forecast.low, forecast.total, forecast.high) == amounts_are(400, 400, 400)


class TestDraws:
    days = tuple(FIRST + timedelta(days=number) for number in range(42))

    def test_what_a_day_is_like(self) -> None:
        monday = date(2026, 12, 14)
        assert {day.weekday() for day in like(monday, self.days)} == {0}
        assert {day.weekday() for day in like(monday, self.days[:35])} == {0, 1, 2, 3, 4}
        saturday = date(2026, 12, 19)
        assert {day.weekday() for day in like(saturday, self.days[:10])} == {5, 6}
        assert like(saturday, self.days[1:9]) == list(self.days[1:9])

    def test_each_is_one_of_those_and_replays_differ(self) -> None:
        drawn = list(replays(MARCH, self.days, 20, "seed"))
        for one in drawn:
            assert all(got in like(day, self.days) for day, got in zip(MARCH, one, strict=True))
        assert len({tuple(one) for one in drawn}) == 20
        assert drawn == list(replays(MARCH, self.days, 20, "seed"))
        assert drawn != list(replays(MARCH, self.days, 20, "other"))


MARCH = [date(2026, 3, 1) + timedelta(days=number) for number in range(31)]


@pytest.mark.parametrize("spread", [0.4, 1.0])
@pytest.mark.parametrize("known", [14, 28, 56])
def test_four_in_five_months_end_within_the_range(known: int, spread: float) -> None:
    """Of usage that varies by half, or by the double and more, from day to day."""
    random = Random(known)
    held = 0
    trials = 60
    for trial in range(trials):
        usage_of = [
            random.lognormvariate(0, spread) * (3 if number % 7 < 5 else 1)
            for number in range(known + 20)
        ]
        history = [FIRST + timedelta(days=number) for number in range(known)]
        to_come = [FIRST + timedelta(days=number) for number in range(known, known + 20)]
        truth = sum(usage_of[known:])
        totals = sorted(
            sum(usage_of[(day - FIRST).days] for day in drawn)
            for drawn in replays(to_come, history, 199, str(trial))
        )
        held += totals[4] <= truth <= totals[194]
    assert held >= 0.8 * trials


def test_days_are_the_payers() -> None:
    zone = "America/New_York"
    period = parse_period("2026-11", zone)
    its_plan = plan()
    # On Sunday, 1 November clocks were set back: the day had 25 hours.
    now = at("2026-11-09T05:00Z")
    month = ForecastMonth(period, load_catalog(), lambda _: its_plan, now, FIRST)
    for number in range(8):
        end = at("2026-11-02T04:30Z") + timedelta(days=number)
        one = usage(
            "agent_session",
            "livekit-cloud",
            60_000,
            started_at=end,
            ended_at=end,
        )
        month.add("cloud-agents", [one])
    forecast = month.forecast()
    assert forecast.history == tuple(FIRST + timedelta(days=number) for number in range(8))
    assert forecast.days_left == 22
    assert forecast.total == 300

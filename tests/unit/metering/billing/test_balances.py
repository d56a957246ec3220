"""Credits and deposits are used up over the months, by what issued statements used of them."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from metering.billing import Bill, add_up_month, make_bill, parse_period
from metering.billing.balances import Balances
from metering.billing.bill import with_corrections
from metering.billing.correction import Correction, correct
from metering.billing.sharing import add_up
from metering.commands import statement as statement_cli
from metering.pricing.account import Account, Deposit, Grant
from metering.pricing.plans import Credit
from tests.unit.metering.pricing.builders import usage

from .builders import at, bill, job, plan, speech
from .commands import run
from .stored import session, settled, stated

pytestmark = pytest.mark.usefixtures("environment")

MONTHS = [parse_period(name) for name in ("2026-10", "2026-11", "2026-12", "2027-01")]
NONE = plan("none")

SOON = Credit("soon", Decimal(7), expires=date(2026, 11, 30))
LATE = Credit("late", Decimal(20), frozenset({"deepgram"}), frozenset({"stt_audio"}))
ACCOUNT = Account(
    (Grant(LATE, None, ""), Grant(SOON, date(2026, 10, 31), "")),
    (Deposit(Decimal(3), "USD", date(2026, 11, 5), ""),),
)


def offered(balances: Balances, number: int, *own: Any) -> list[tuple[str, Decimal]]:
    return [(credit.name, credit.amount) for credit in balances.credits(MONTHS[number], *own)]


def month(cost: Decimal, balances: Balances, number: int, own: Any = ()) -> Bill:
    """A month of this cost, by the credits there are for it."""
    jobs = [job([speech(cost * 12_500)], NONE)]
    period = MONTHS[number]
    there = balances.credits(period, own)
    return make_bill(add_up_month(jobs, NONE), NONE, day=period.first_day, other_credits=there)


def test_the_earliest_to_expire_goes_first_and_the_rest_is_carried_over() -> None:
    issued: list[Bill] = []
    used = []
    for number, cost in enumerate((5, 6, 8, 30)):
        made = month(Decimal(cost), Balances(ACCOUNT, issued), number)
        used.append(
            [(use.credit.name, int(use.amount), int(use.left or 0)) for use in made.credits]
        )
        issued.append(made)
    assert used == [
        [("soon", 5, 2)],
        [("soon", 2, 0), ("late", 4, 16)],
        [("late", 8, 8)],
        [("late", 8, 0)],
    ]
    assert issued[-1].total == 22
    assert offered(Balances(ACCOUNT, issued), 3) == []


def test_what_expired_is_lost() -> None:
    nothing_used = Balances(ACCOUNT, [])
    made = month(Decimal(5), nothing_used, 2)
    assert [use.credit.name for use in made.credits] == ["late"]


def test_only_from_the_month_in_which_it_is_given() -> None:
    gift = Grant(Credit("gift", Decimal(1)), date(2026, 11, 1), "")
    balances = Balances(Account((gift,), ACCOUNT.deposits), [])
    assert [offered(balances, number) for number in (0, 1)] == [[], [("gift", Decimal(1))]]
    assert [balances.prepaid(period) for period in MONTHS[:2]] == [{}, {"USD": Decimal(3)}]


def test_only_in_its_currency() -> None:
    euros = Credit("euros", Decimal(5), currency="EUR")
    assert bill([], other_credits=[euros]).credits == ()
    assert bill([], other_credits=[Credit("dollars", Decimal(5), currency="USD")]).total == 45


def test_a_used_credit_that_is_gone_from_the_file_stays_used() -> None:
    made = month(Decimal(5), Balances(ACCOUNT, []), 0)
    balances = Balances(Account(), [made])
    again = month(Decimal(5), balances, 0, made.credits)
    assert correct(again, made, [], statement_id="1", period="2026-10") is None


@examples(max_examples=80, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 12)).map(lambda one: (one[0], Decimal(one[1]))),
        max_size=12,
    ),
    st.lists(st.integers(0, 4), min_size=4, max_size=4),
)
def test_no_credit_is_ever_used_twice(
    arrivals: list[tuple[int, Decimal]], first: list[int]
) -> None:
    """Months are issued one by one, while usage of all those before arrives; none expires."""
    account = Account((Grant(LATE, None, ""),))
    known = [Decimal(cost) for cost in first]
    issued: list[Bill] = []
    late = list(arrivals)
    for number in range(4):
        while late and late[0][0] < number:
            which, cost = late.pop(0)
            known[which] += cost
        issued.append(_next(account, issued, known, number))
    closing = _next(account, issued, [*known, Decimal(0)], 4)

    everything = [*issued, closing]
    own = [use for one in everything for use in one.credits]
    differences = [use for one in everything for found in one.corrections for use in found.credits]
    used = add_up([use.amount for use in [*own, *differences]])
    # As much as there is, of all that came.
    assert used == min(LATE.amount, sum(known))
    assert add_up([one.total for one in everything]) == sum(known) - used
    assert _next(account, everything, [*known, Decimal(0), Decimal(0)], 5).corrections == ()


def _next(account: Account, issued: list[Bill], known: list[Decimal], number: int) -> Bill:
    """The statement of a month, with corrections of all those before."""
    balances = Balances(account, issued)
    corrections: list[Correction] = []
    for earlier, made in enumerate(issued):
        name = str(earlier)
        before = [one for later in issued for one in later.corrections if one.statement_id == name]
        own = [*made.credits, *(use for one in before for use in one.credits)]
        now = month(known[earlier], balances, min(earlier, 3), own)
        found = correct(now, made, before, statement_id=name, period="")
        if found is not None:
            corrections.append(found)
            balances.spend(found.credits)
    own_bill = month(known[number], balances, min(number, 3))
    return with_corrections(own_bill, corrections, Decimal(0))


RATES = """
[[credit]]
name = "welcome"
amount = "70"

[[credit]]
name = "speech"
amount = "1"
providers = ["deepgram"]
expires = 2026-12-31

[[prepaid]]
amount = "60"
date = 2026-12-20

[[credit]]
name = "welcome"
amount = "5"
tenant = "acme"
"""


def test_over_the_months_of_a_ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statement_cli, "utc_now", lambda: at("2027-03-01T00:00:00Z"))
    rates = tmp_path / "rates.toml"
    rates.write_text(RATES)
    monkeypatch.setenv("TALLYROOM_RATES", str(rates))
    for number, name in enumerate(("2026-11", "2026-12", "2027-01")):
        end = f"{name}-20T10:00Z"
        heard = usage("stt_audio", "deepgram", 6_000, model="nova-3", ended_at=at(end))
        settled(tmp_path, number, session(60, end), heard, tenant="acme")

    def used(answer: Any) -> list[tuple[str, str, str]]:
        return [(one["name"], one["amount"], one["left"]) for one in answer["credits"]]

    # A draft uses up nothing.
    assert used(stated("2027-01")) == [("welcome", "50.48", "19.52")]
    november = stated("2026-11", "--issue")
    assert used(november) == [("speech", "0.48", "0.52"), ("welcome", "50", "20")]
    assert (november["total"], november["due"]) == ("0", "0")
    december = stated("2026-12", "--issue")
    assert used(december) == [("speech", "0.48", "0.04"), ("welcome", "20", "0")]
    assert (december["total"], december["prepaid_used"]) == ("30", "30")
    assert (december["prepaid_left"], december["due"]) == ("30", "0")
    january = stated("2027-01")
    assert used(january) == []
    assert (january["total"], january["prepaid_used"], january["due"]) == ("50.48", "30", "20.48")
    assert used(stated("2026-11", "--tenant=acme")) == [("welcome", "5", "0")]

    # More of November: what is left of its credits goes to it, and January has none.
    early = at("2026-11-03T00:00:00Z")
    heard = usage("stt_audio", "deepgram", 6_000, model="nova-3", started_at=early)
    settled(tmp_path, 7, heard)
    [found] = stated("2027-01")["corrections"]
    assert [(one["name"], one["amount"]) for one in found["credits"]] == [("speech", "0.04")]
    assert found["amount"] == "0.44"
    shown = run("statement", "2026-12").stdout
    assert "left of speech: $0.04" in shown
    assert "left prepaid: $30.00" in shown

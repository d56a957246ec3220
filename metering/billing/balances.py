"""What is left of credits and deposits, by what issued statements have used of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal

from ..pricing.account import Account
from ..pricing.exact import EXACT, ZERO
from ..pricing.plans import Credit
from .bill import Bill
from .credits import CreditUse, last_of_month
from .period import Period
from .sharing import add_up


class Balances:
    """A payer's account, with everything taken off that its issued statements have used.

    A statement that is made again can use what it had used, and what nobody has; what it then uses
    is `spent`, so that of several made in turn none uses it twice.
    """

    def __init__(self, account: Account, issued: Iterable[Bill]) -> None:
        self._account = account
        self._used: dict[str, Decimal] = defaultdict(lambda: ZERO)
        self._paid: dict[str, Decimal] = defaultdict(lambda: ZERO)
        for bill in issued:
            self._paid[bill.currency] = EXACT.add(self._paid[bill.currency], bill.prepaid_used)
            self.spend(bill.credits)
            for correction in bill.corrections:
                self.spend(correction.credits)

    def spend(self, uses: Iterable[CreditUse]) -> None:
        """Take off what is used; what is given back is less than nothing."""
        for use in uses:
            if use.carried:
                self._used[use.credit.name] = EXACT.add(self._used[use.credit.name], use.amount)

    def credits(self, period: Period, own: Sequence[CreditUse] = ()) -> list[Credit]:
        """The credits that a month can use, each with as much as is left of it.

        Args:
            period: the month.
            own: what its statement and its corrections have used so far, if it was issued: that is
                left for it besides, even of a credit that the owner's file has no more.
        """
        mine: dict[str, Decimal] = defaultdict(lambda: ZERO)
        known = {grant.credit.name: grant.credit for grant in self._account.grants}
        given = {grant.credit.name: grant.since for grant in self._account.grants}
        for use in own:
            if use.carried:
                mine[use.credit.name] = EXACT.add(mine[use.credit.name], use.amount)
                known.setdefault(use.credit.name, replace(use.credit, amount=ZERO))
        offered = []
        for name, credit in known.items():
            left = EXACT.subtract(credit.amount, self._used[name])
            if name not in given:
                left = ZERO
            elif not _reaches(given[name], period):
                continue
            amount = EXACT.add(mine[name], left)
            if amount > 0:
                offered.append(replace(credit, amount=amount))
        return offered

    def prepaid(self, period: Period) -> Mapping[str, Decimal]:
        """What is left of the deposits of the month and of those before, by currency."""
        paid_in: dict[str, list[Decimal]] = defaultdict(list)
        for deposit in self._account.deposits:
            if _reaches(deposit.paid_on, period):
                paid_in[deposit.currency].append(deposit.amount)
        return {
            currency: max(ZERO, EXACT.subtract(add_up(amounts), self._paid[currency]))
            for currency, amounts in paid_in.items()
        }


def _reaches(since: date | None, period: Period) -> bool:
    return since is None or since <= last_of_month(period.first_day)

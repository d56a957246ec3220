"""What a payer's account has beside its plan, as the owner's file says: credits and deposits.

A plan's credit is new each month; one of these is given once and used up over the months. What is
left of it is never written here: it is what issued statements have not used.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from .currencies import CURRENCIES
from .plans import Credit, names
from .rate_file import RateTable, read_file


@dataclass(frozen=True, slots=True)
class Grant:
    """A credit that is given once; it can be used in the month of `since`, and later ones.

    Its name is its identity among its payer's. An empty `tenant` is everybody.
    """

    credit: Credit
    since: date | None
    tenant: str


@dataclass(frozen=True, slots=True)
class Deposit:
    """Money paid in advance, for the statement of its month and later ones."""

    amount: Decimal
    currency: str
    paid_on: date
    tenant: str


@dataclass(frozen=True, slots=True)
class Account:
    """All that the owner's file says of accounts."""

    grants: tuple[Grant, ...] = ()
    deposits: tuple[Deposit, ...] = ()

    def of(self, tenant: str) -> Account:
        """One payer's part of it."""
        return Account(
            tuple(grant for grant in self.grants if grant.tenant == tenant),
            tuple(deposit for deposit in self.deposits if deposit.tenant == tenant),
        )


def load_account(owner_file: Path | None) -> Account:
    """What the owner's file says; nothing where there is none.

    Raises:
        RateError: an entry that cannot be used, with its file, line and value.
    """
    if owner_file is None:
        return Account()
    tables = read_file(owner_file)
    grants: list[Grant] = []
    for table in tables["credit"]:
        grant = _grant(table)
        for other in grants:
            if (other.tenant, other.credit.name) == (grant.tenant, grant.credit.name):
                raise table.error(
                    f"there is a credit {grant.credit.name!r} already: what was used of one is"
                    " known by its name",
                    "name",
                )
        grants.append(grant)
    return Account(tuple(grants), tuple(_deposit(table) for table in tables["prepaid"]))


def _grant(table: RateTable) -> Grant:
    credit = Credit(
        name=table.take_str("name"),
        amount=table.take_amount("amount"),
        providers=frozenset(names(table, "providers")),
        meters=frozenset(names(table, "meters")),
        expires=table.take_date("expires"),
        currency=_currency(table),
    )
    since = table.take_date("date")
    tenant = table.take_str("tenant", "")
    table.take_str("note", "")
    table.finish()
    if since is not None and credit.expires is not None and credit.expires < since:
        raise table.error(f"it expires on {credit.expires}, before it is given on {since}", "date")
    return Grant(credit, since, tenant)


def _deposit(table: RateTable) -> Deposit:
    paid_on = table.take_date("date")
    if paid_on is None:
        raise table.error("date is missing")
    deposit = Deposit(
        table.take_amount("amount"), _currency(table), paid_on, table.take_str("tenant", "")
    )
    table.take_str("note", "")
    table.finish()
    return deposit


def _currency(table: RateTable) -> str:
    currency = table.take_str("currency", "USD")
    if currency not in CURRENCIES:
        raise table.error(f"currency {currency!r} is no ISO 4217 code", "currency")
    return currency

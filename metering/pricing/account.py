"""A payer's account, as the owner's file says: which plan it had when, credits and deposits.

A plan's credit is new each month; one of these is given once and used up over the months. What is
left of it is never written here: it is what issued statements have not used.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path

from .currencies import CURRENCIES
from .hosting import ROOM_PROVIDERS
from .plans import Credit, Plan, load_plans
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
class Subscription:
    """The plan from a day on, until the next; `hosting` where jobs are known to have it wrong."""

    plan_id: str
    since: date
    hosting: str | None
    tenant: str


@dataclass(frozen=True, slots=True)
class Account:
    """All that the owner's file says of accounts; the subscriptions in the order of their days."""

    grants: tuple[Grant, ...] = ()
    deposits: tuple[Deposit, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()

    def of(self, tenant: str) -> Account:
        """One payer's part of it; a tenant without subscriptions of its own has everybody's."""
        its_own = [one for one in self.subscriptions if one.tenant == tenant]
        return Account(
            tuple(grant for grant in self.grants if grant.tenant == tenant),
            tuple(deposit for deposit in self.deposits if deposit.tenant == tenant),
            tuple(its_own or (one for one in self.subscriptions if not one.tenant)),
        )

    def subscription(self, day: date) -> Subscription | None:
        """The one that holds on a day; None before the first."""
        begun = [one for one in self.subscriptions if one.since <= day]
        return begun[-1] if begun else None


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
    plans = load_plans(owner_file)
    subscriptions: list[Subscription] = []
    for table in tables["subscription"]:
        subscription = _subscription(table, plans)
        for one in subscriptions:
            if (one.tenant, one.since) == (subscription.tenant, subscription.since):
                raise table.error(
                    f"{one.plan_id!r} and {subscription.plan_id!r} both begin on {one.since}",
                    "from",
                )
        subscriptions.append(subscription)
    return Account(
        tuple(grants),
        tuple(_deposit(table) for table in tables["prepaid"]),
        tuple(sorted(subscriptions, key=lambda one: one.since)),
    )


def _subscription(table: RateTable, plans: Mapping[str, Plan]) -> Subscription:
    plan_id = table.take_str("plan")
    since = table.take_date("from")
    hosting = table.take_optional_str("hosting")
    tenant = table.take_str("tenant", "")
    table.take_str("note", "")
    table.finish()
    if plan_id not in plans:
        raise table.error(f"plan {plan_id!r} is unknown; use one of {', '.join(plans)}", "plan")
    if since is None:
        raise table.error("from is missing: the day on which the plan begins")
    allowed = plans[plan_id].hostings or tuple(ROOM_PROVIDERS)
    if hosting is not None and hosting not in allowed:
        raise table.error(
            f"hosting {hosting!r} does not go with {plan_id!r}; use one of {', '.join(allowed)}",
            "hosting",
        )
    return Subscription(plan_id, since, hosting, tenant)


def _grant(table: RateTable) -> Grant:
    credit = Credit(
        name=table.take_str("name"),
        amount=table.take_amount("amount"),
        providers=frozenset(table.take_names("providers")),
        meters=frozenset(table.take_names("meters")),
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

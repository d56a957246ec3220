"""A month's statement as rows of FOCUS: usage by job and day where it is known, else by line.

Billed costs add up to the statement's total, to the last digit, and so do effective ones. What was
used and has no price is in no row: a cost may not be null there, and it is not 0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from ..billing.correction import Correction
from ..billing.credits import CreditUse
from ..billing.month import add_up_month
from ..billing.period import Period, parse_period
from ..billing.sharing import share
from ..billing.statement import StatedTerm, Statement, TermCharges
from ..ledger.period_queries import PeriodJob
from ..pricing.charges import Charge, ChargeState
from ..pricing.exact import EXACT, ZERO
from .focus_columns import FocusRow
from .focus_services import (
    PLAN,
    STATEMENT,
    Service,
    focus_unit,
    provider_name,
    service_of,
)

OURSELVES = "Tallyroom"
"""Who rounds, and to whom nothing is paid."""

_ONE = Decimal(1)


@dataclass(frozen=True, slots=True)
class JobParts:
    """What each job was charged in the statement's terms, and the payer's day on which it ended."""

    terms: Sequence[TermCharges]
    jobs: Mapping[str, PeriodJob]
    days: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Used:
    """A priced charge, what it came to, and the rows' fields that say whose it is."""

    charge: Charge
    cost: Decimal
    whose: Mapping[str, Any]


def focus_rows(
    statement: Statement,
    parts: JobParts | None,
    plan_providers: Mapping[str, str],
    billing_account: str,
) -> Iterator[FocusRow]:
    """The rows of a statement.

    Args:
        statement: a month's.
        parts: of which jobs its lines are made up; None where that is not known any more.
        plan_providers: the provider of each plan.
        billing_account: what the provider knows the payer by.
    """
    period = statement.period
    own = _Rows(statement, billing_account)
    for number, term in enumerate(statement.terms):
        provider = plan_providers.get(term.plan_id, term.plan_id.partition("/")[0])
        used = _used(statement, term, number, parts)
        weights = [
            (one.charge.list_cost or ZERO) if one.charge.provider == provider else ZERO
            for one in used
        ]
        fees = share(term.base_fee, weights) if any(weights) else None
        for one, fee in zip(used, fees or [ZERO] * len(used), strict=True):
            yield own.usage(one, fee)
        if term.base_fee:
            yield own.purchase(
                f"Base fee of {term.plan_id}",
                term.base_fee,
                provider,
                f"{term.plan_id}/base-fee",
                _days(period, term.since, term.until),
                recurring=True,
                amortized=fees is not None,
            )
    bill = statement.bill
    plan = statement.plan_id
    provider = plan_providers.get(plan, plan.partition("/")[0])
    yield from own.others(
        bill.shortfall, bill.credits, bill.tax, bill.rounding, plan, provider, period
    )
    for correction in bill.corrections:
        yield from _correction(statement, correction, billing_account, provider)


def _correction(
    statement: Statement, correction: Correction, billing_account: str, provider: str
) -> Iterator[FocusRow]:
    rows = _Rows(statement, billing_account, correction)
    period = parse_period(correction.period, statement.period.timezone)
    whose = _days(period, period.first_day, period.following_day)
    for line in correction.lines:
        if line.charge.state is ChargeState.PRICED:
            yield rows.usage(_Used(line.charge, line.cost, whose), ZERO)
    if correction.base_fee:
        yield rows.purchase(
            f"Base fee of {correction.period}",
            correction.base_fee,
            provider,
            f"{statement.plan_id}/base-fee",
            whose,
            recurring=True,
        )
    yield from rows.others(
        correction.shortfall,
        correction.credits,
        correction.tax,
        correction.rounding,
        statement.plan_id,
        provider,
        period,
    )


def _used(
    statement: Statement, term: StatedTerm, number: int, parts: JobParts | None
) -> list[_Used]:
    if parts is None:
        days = _days(statement.period, term.since, term.until)
        return [
            _Used(line.charge, line.cost, days)
            for line in statement.bill.lines
            if line.term == number and line.charge.state is ChargeState.PRICED
        ]
    return list(_used_by_jobs(statement.period, parts.terms[number], parts))


def _used_by_jobs(period: Period, part: TermCharges, parts: JobParts) -> Iterator[_Used]:
    """Each job's charges with what they added to the month, past the allowances used by then."""
    months = {month.job_id: month for month in add_up_month(part.jobs, part.term.plan).jobs}
    for job in part.jobs:
        month = months[job.job_id]
        whose = _job_fields(period, parts.jobs[job.job_id], parts.days[job.job_id])
        of_bucket: dict[tuple[str, str], list[Charge]] = {}
        for charge in job.charges:
            if charge.state is ChargeState.PRICED:
                of_bucket.setdefault((charge.provider, charge.meter), []).append(charge)
        for bucket, charges in sorted(of_bucket.items()):
            for charge, cost in zip(charges, _costs(month.cost[bucket], charges), strict=True):
                yield _Used(charge, cost, whose)


def _costs(cost: Decimal, charges: Sequence[Charge]) -> list[Decimal]:
    weights = [charge.list_cost or ZERO for charge in charges]
    if any(weights):
        return share(cost, weights)
    return [cost, *[ZERO] * (len(charges) - 1)]


def _job_fields(period: Period, job: PeriodJob, day: str) -> dict[str, Any]:
    tenant = job.tenant or None
    ended_on = date.fromisoformat(day)
    tags = dict.fromkeys(sorted(set(job.tags)), True)
    return _days(period, ended_on, ended_on + timedelta(days=1)) | {
        "ResourceId": job.job_id,
        "ResourceName": job.room_name or None,
        "ResourceType": "Job",
        "SubAccountId": tenant,
        "SubAccountName": tenant,
        "Tags": json.dumps(tags, ensure_ascii=False) if tags else None,
    }


def _days(period: Period, since: date, until: date) -> dict[str, Any]:
    return {
        "ChargePeriodStart": period.start_of(since),
        "ChargePeriodEnd": period.start_of(until),
    }


class _Rows:
    """The rows of one statement, or of what it corrects of another."""

    def __init__(
        self, statement: Statement, billing_account: str, correction: Correction | None = None
    ) -> None:
        tenant = statement.tenant or None
        self._all: dict[str, Any] = {
            "BillingAccountId": billing_account,
            "BillingCurrency": statement.bill.currency,
            "BillingPeriodStart": statement.period.start,
            "BillingPeriodEnd": statement.period.end,
            "ChargeClass": None if correction is None else "Correction",
            "InvoiceId": statement.statement_id or None,
            "SubAccountId": tenant,
            "SubAccountName": tenant,
            "x_CorrectedStatementId": None if correction is None else correction.statement_id,
            "x_StatementStatus": statement.status,
        }
        self._about = "" if correction is None else f", correction of {correction.statement_id}"

    def _row(self, service: Service, provider: str, **fields: Any) -> FocusRow:
        name = provider_name(provider)
        return {
            **self._all,
            "InvoiceIssuerName": name,
            "ProviderName": name,
            "PublisherName": name,
            "ServiceCategory": service.category,
            "ServiceName": service.name,
            "ServiceSubcategory": service.subcategory,
            **fields,
        }

    def usage(self, used: _Used, fee: Decimal) -> FocusRow:
        charge = used.charge
        list_cost = charge.list_cost or ZERO
        sku = "/".join(part for part in (charge.provider, charge.model, charge.meter) if part)
        about = [charge.meter, f"{charge.provider} {charge.model}".strip()]
        about += [f"{name} {value}" for name, value in sorted(charge.attributes.items())]
        details = {f"x_{_pascal(name)}": value for name, value in charge.attributes.items()}
        return self._row(
            service_of(charge.meter),
            charge.provider,
            **used.whose,
            BilledCost=used.cost,
            ChargeCategory="Usage",
            ChargeDescription=", ".join(about) + self._about,
            ChargeFrequency="Usage-Based",
            ConsumedQuantity=charge.consumed_quantity,
            ConsumedUnit=focus_unit(charge.consumed_unit),
            ContractedCost=list_cost,
            ContractedUnitPrice=charge.unit_price,
            EffectiveCost=EXACT.add(used.cost, fee),
            ListCost=list_cost,
            ListUnitPrice=charge.unit_price,
            PricingCategory="Standard",
            PricingQuantity=charge.pricing_quantity,
            PricingUnit=focus_unit(charge.pricing_unit or charge.consumed_unit),
            SkuId=sku,
            SkuMeter=charge.meter,
            SkuPriceDetails=json.dumps(details, sort_keys=True) if details else None,
            SkuPriceId=f"{sku}#{charge.rate_id}",
            x_Certainty=str(charge.certainty),
            x_Instances=charge.instances,
        )

    def purchase(
        self,
        what: str,
        amount: Decimal,
        provider: str,
        sku: str,
        days: Mapping[str, Any],
        *,
        recurring: bool,
        amortized: bool = False,
    ) -> FocusRow:
        """A fee; its effective cost is 0 where it is in that of the usage."""
        # A price is not negative: what is taken back is a quantity less.
        quantity = _ONE.copy_sign(amount)
        return self._row(
            PLAN,
            provider,
            **days,
            BilledCost=amount,
            ChargeCategory="Purchase",
            ChargeDescription=what + self._about,
            ChargeFrequency="Recurring" if recurring else "One-Time",
            ContractedCost=amount,
            ContractedUnitPrice=abs(amount),
            EffectiveCost=ZERO if amortized else amount,
            ListCost=amount,
            ListUnitPrice=abs(amount),
            PricingCategory="Standard",
            PricingQuantity=quantity,
            PricingUnit="Units",
            SkuId=sku,
            SkuMeter="plan",
            SkuPriceId=sku,
        )

    def others(
        self,
        shortfall: Decimal,
        uses: Iterable[CreditUse],
        tax: Decimal,
        rounding: Decimal,
        plan: str,
        provider: str,
        period: Period,
    ) -> Iterator[FocusRow]:
        """What is of the month as a whole."""
        days = _days(period, period.first_day, period.following_day)
        if shortfall:
            what = f"Commitment of {plan}, what was not used"
            sku = f"{plan}/commitment"
            yield self.purchase(what, shortfall, provider, sku, days, recurring=False)
        for use in uses:
            of = use.credit.providers
            issuer = next(iter(of)) if len(of) == 1 else provider
            frequency = "One-Time" if use.carried else "Recurring"
            yield self._amount(
                "Credit", use.credit.name, EXACT.minus(use.amount), issuer, days, frequency, PLAN
            )
        if tax:
            yield self._amount("Tax", "Tax", tax, OURSELVES, days, "One-Time", STATEMENT)
        if rounding:
            yield self._amount(
                "Adjustment", "Rounding", rounding, OURSELVES, days, "One-Time", STATEMENT
            )

    def _amount(
        self,
        category: str,
        what: str,
        amount: Decimal,
        provider: str,
        days: Mapping[str, Any],
        frequency: str,
        service: Service,
    ) -> FocusRow:
        return self._row(
            service,
            provider,
            **days,
            BilledCost=amount,
            ChargeCategory=category,
            ChargeDescription=what + self._about,
            ChargeFrequency=frequency,
            ContractedCost=amount,
            EffectiveCost=amount,
            ListCost=amount,
        )


def _pascal(name: str) -> str:
    return "".join(part.capitalize() for part in name.replace("-", "_").split("_"))

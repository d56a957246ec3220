"""The columns of FOCUS, the FinOps cost and usage specification, that a month fills.

Names, types, nullability and allowed values are those of the specification's own column pages
(https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, tags v1.0 and v1.2,
specification/columns). 1.0 has all of its columns. Of 1.2 those are left out whose condition is
never met here: kinds of accounts of which there is one, capacity reservations, virtual currencies,
and quantities of commitment discounts. Columns that begin with `x_` are ours, as it provides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

FocusRow = Mapping[str, Decimal | datetime | str | int | None]
"""One row: a value for each column that is not null; JSON is text."""


class FocusVersion(StrEnum):
    """A version of the specification."""

    V1_0 = "1.0"
    V1_2 = "1.2"


class ColumnType(StrEnum):
    """What a column's values are."""

    STRING = "String"
    DECIMAL = "Decimal"
    DATE_TIME = "Date/Time"
    JSON = "JSON"
    INTEGER = "Integer"


@dataclass(frozen=True, slots=True)
class Column:
    """A column, and since which version there is one."""

    name: str
    type: ColumnType
    since: FocusVersion = FocusVersion.V1_0


def _of(type_: ColumnType, *names: str) -> list[Column]:
    return [Column(name, type_) for name in names]


_COLUMNS = sorted(
    [
        *_of(
            ColumnType.STRING,
            "AvailabilityZone",
            "BillingAccountId",
            "BillingAccountName",
            "BillingCurrency",
            "ChargeCategory",
            "ChargeClass",
            "ChargeDescription",
            "ChargeFrequency",
            "CommitmentDiscountCategory",
            "CommitmentDiscountId",
            "CommitmentDiscountName",
            "CommitmentDiscountStatus",
            "CommitmentDiscountType",
            "ConsumedUnit",
            "InvoiceIssuerName",
            "PricingCategory",
            "PricingUnit",
            "ProviderName",
            "PublisherName",
            "RegionId",
            "RegionName",
            "ResourceId",
            "ResourceName",
            "ResourceType",
            "ServiceCategory",
            "ServiceName",
            "SkuId",
            "SkuPriceId",
            "SubAccountId",
            "SubAccountName",
        ),
        *_of(
            ColumnType.DECIMAL,
            "BilledCost",
            "ConsumedQuantity",
            "ContractedCost",
            "ContractedUnitPrice",
            "EffectiveCost",
            "ListCost",
            "ListUnitPrice",
            "PricingQuantity",
        ),
        *_of(
            ColumnType.DATE_TIME,
            "BillingPeriodEnd",
            "BillingPeriodStart",
            "ChargePeriodEnd",
            "ChargePeriodStart",
        ),
        *_of(ColumnType.JSON, "Tags"),
        Column("InvoiceId", ColumnType.STRING, FocusVersion.V1_2),
        Column("ServiceSubcategory", ColumnType.STRING, FocusVersion.V1_2),
        Column("SkuMeter", ColumnType.STRING, FocusVersion.V1_2),
        Column("SkuPriceDetails", ColumnType.JSON, FocusVersion.V1_2),
    ],
    key=lambda column: column.name,
)

_OURS = [
    Column("x_Certainty", ColumnType.STRING),
    Column("x_CorrectedStatementId", ColumnType.STRING),
    Column("x_Instances", ColumnType.INTEGER),
    Column("x_StatementStatus", ColumnType.STRING),
]


def columns_of(version: FocusVersion) -> tuple[Column, ...]:
    """The columns of an export, in order; ours come last."""
    return tuple(column for column in (*_COLUMNS, *_OURS) if column.since <= version)

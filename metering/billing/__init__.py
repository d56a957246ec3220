"""Pure billing: charges and a plan in, a month's bill out. No clock, no I/O, no floats."""

from .allocation import JobCost, Unallocated
from .bill import Bill, UnratedItem, make_bill
from .concurrency import LimitCheck, PeakWatch, check_limits, peak
from .credits import CreditUse
from .month import JobCharges, Month, MonthLine, TierCost, add_up_month
from .period import Period, parse_period
from .plan_card import card_on_plan
from .statement import Statement, make_statement

__all__ = [
    "Bill",
    "CreditUse",
    "JobCharges",
    "JobCost",
    "LimitCheck",
    "Month",
    "MonthLine",
    "PeakWatch",
    "Period",
    "Statement",
    "TierCost",
    "Unallocated",
    "UnratedItem",
    "add_up_month",
    "card_on_plan",
    "check_limits",
    "make_bill",
    "make_statement",
    "parse_period",
    "peak",
]

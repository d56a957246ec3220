"""Pure pricing: usage and a rate card in, charges out. No clock, no I/O but reading rate files."""

from .charges import Charge, ChargeState, Dispute, Totals, totals
from .hosting import LIVEKIT_CLOUD, ROOM_METERS, SELF_HOSTED, as_hosted, room_provider
from .loading import load_card, load_catalog
from .plans import Allowance, Plan, find_plan, load_plans
from .rate_card import Finding, NoPrice, NotBilled, Rate, RateCard
from .rating import rate

__all__ = [
    "LIVEKIT_CLOUD",
    "ROOM_METERS",
    "SELF_HOSTED",
    "Allowance",
    "Charge",
    "ChargeState",
    "Dispute",
    "Finding",
    "NoPrice",
    "NotBilled",
    "Plan",
    "Rate",
    "RateCard",
    "Totals",
    "as_hosted",
    "find_plan",
    "load_card",
    "load_catalog",
    "load_plans",
    "rate",
    "room_provider",
    "totals",
]

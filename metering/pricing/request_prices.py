"""What a model's LLM requests cost at most, from the rates that hold for it."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

from ..request_billing import RequestPrices, TokenPrice
from ..usage import NO_ATTRIBUTES
from .charge_models import TIERED, ChargeModel
from .rate_card import Rate, RateCard

_INPUT = ("llm_input_tokens", "llm_cached_input_tokens", "llm_cache_write_tokens")
_OUTPUT = ("llm_output_tokens", "llm_reasoning_tokens")
"""A whole, then its parts, which can have prices of their own."""


def request_prices_on(
    card: RateCard, provider: str, model: str, *, day: date, plan: str, hosting: str
) -> RequestPrices | None:
    """The prices of one model's tokens on a day (UTC), by a rate card.

    None where a token has no price of its own: it is unrated, or sold in packages, by the request,
    in steps, or in two currencies.
    """
    currencies: set[str] = set()
    sides = []
    for whole, *parts in (_INPUT, _OUTPUT):
        rates: list[Rate] = []
        for meter in (whole, *parts):
            finding = card.look_up(meter, provider, model, NO_ATTRIBUTES, day, plan, hosting)
            extra = finding.add_ons or finding.unpriced_add_ons
            if extra or (meter == whole and not finding.settled):
                return None
            rates += finding.rates
        if not all(map(_is_per_token, rates)):
            return None
        currencies |= {rate.currency for rate in rates}
        sides.append((TokenPrice(-1, Decimal(0)), *map(_price, rates)))
    if len(currencies) > 1:
        return None
    return RequestPrices(currencies.pop() if currencies else "USD", sides[0], sides[1])


def _is_per_token(rate: Rate) -> bool:
    return rate.proportional and rate.charge_model in (ChargeModel.UNIT, *TIERED)


def _price(rate: Rate) -> TokenPrice:
    dearest = max([rate.unit_price, *(tier.unit_price for tier in rate.tiers)])
    over = -1 if rate.request_input_over is None else rate.request_input_over
    return TokenPrice(over, dearest / rate.factor)

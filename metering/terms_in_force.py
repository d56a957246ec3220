"""What an agent may know of its bill, under the settings that its meter will use."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from urllib.parse import urlsplit

from .errors import RateError, SettingsError
from .meters.hosts import PROVIDER_BY_HOST
from .pricing.loading import load_card, load_catalog
from .pricing.request_prices import request_prices_on
from .pricing.streaming_terms import terms_on
from .request_billing import RequestPrices
from .settings import MeterSettings
from .stream_billing import StreamingTerms

logger = logging.getLogger("tallyroom.metering")


def streaming_terms(
    provider: str, model: str, *, settings: MeterSettings | None = None
) -> StreamingTerms:
    """How streams of a provider's model are billed today.

    Reads the rate card, which takes a quarter of a second once: for a worker's start, not for a
    job. It never fails: with an owner's file or a setting that cannot be used, the shipped catalog
    decides.
    """
    try:
        settings = settings or MeterSettings.load()
        card = load_card(settings.rates)
    except (RateError, SettingsError) as error:
        logger.error("the shipped rates decide when streams are closed: %s", error)
        settings, card = settings or MeterSettings.model_construct(), load_catalog()
    return terms_on(
        card,
        provider,
        model,
        day=datetime.now(UTC).date(),
        plan=settings.resolved_plan,
        hosting=settings.resolved_hosting,
    )


def request_prices(
    provider: str, model: str, *, base_url: str = "", settings: MeterSettings | None = None
) -> RequestPrices | None:
    """What a token of a provider's model costs today at most; None where it has no price.

    `base_url` is where requests go, if that is not the provider's own: a host that is known is
    another provider, as it is when they are measured. Reads the rate card, as `streaming_terms`
    does: for a worker's start.

    Raises:
        RateError: the owner's rate file cannot be read: a ceiling must not be kept by other prices.
        SettingsError: a setting of the meter cannot be used.
    """
    settings = settings or MeterSettings.load()
    host = urlsplit(base_url).netloc.lower()
    return request_prices_on(
        load_card(settings.rates),
        PROVIDER_BY_HOST.get(host, provider),
        model,
        day=datetime.now(UTC).date(),
        plan=settings.resolved_plan,
        hosting=settings.resolved_hosting,
    )

"""Which rules an agent's streams are billed by, under the settings that its meter will use."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from .errors import RateError, SettingsError
from .pricing.loading import load_card, load_catalog
from .pricing.streaming_terms import terms_on
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

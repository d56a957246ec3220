"""Which limits a provider's STT streams are under: as set, else those of the plan in force."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from ..errors import RateError, SettingsError
from ..pricing.plans import find_plan, load_plans
from ..settings import MeterSettings
from .stream_limits import NO_LIMITS, StreamLimits, published_limits, stated_limits

logger = logging.getLogger("tallyroom.metering")


def stream_limits(
    provider: str, stated: str = "", *, settings: MeterSettings | None = None
) -> StreamLimits | None:
    """A provider's limits today, or None where none is known; `stated` is the setting's text.

    Reads the plans: for a worker's start, not for a job. With settings or an owner's file that
    cannot be used there is no plan's limit; whoever starts a worker is told that elsewhere.

    Raises:
        SettingsError: `stated` cannot be read.
    """
    own = stated_limits(stated)
    if provider in own:
        return _or_none(own[provider])
    names = [one.plan_limit for one in published_limits() if one.provider == provider]
    names = [name for name in names if name]
    if not names:
        return None
    try:
        settings = settings or MeterSettings.load()
        plan = find_plan(load_plans(settings.rates), settings.resolved_plan)
    except (RateError, SettingsError) as error:
        logger.error("a plan's limits are not known: %s", error)
        return None
    in_force = plan.on(datetime.now(UTC).date()).limits
    counts = [in_force[name] for name in names if name in in_force]
    return StreamLimits(concurrent=min(counts)) if counts else None


def _or_none(limits: StreamLimits) -> StreamLimits | None:
    return None if limits == NO_LIMITS else limits

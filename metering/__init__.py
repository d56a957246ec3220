"""The meter: usage, rates and money for any LiveKit agent.

    from metering import JobMeter

Names are imported when they are first asked for: a command that reads the store need not wait for
livekit-agents, and a job not for SQL and prices.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .control.limits_in_force import stream_limits as stream_limits
    from .control.stream_limiter import StreamLimiter as StreamLimiter
    from .control.stream_limits import StreamLimits as StreamLimits
    from .errors import MeteringError as MeteringError
    from .job_meter import JobMeter as JobMeter
    from .job_meter import record_declined as record_declined
    from .log_privacy import keep_room_names_out as keep_room_names_out
    from .request_billing import RequestPrices as RequestPrices
    from .request_billing import RequestTokens as RequestTokens
    from .request_billing import TokenPrice as TokenPrice
    from .run import RunInfo as RunInfo
    from .run import Status as Status
    from .settings import Hosting as Hosting
    from .settings import MeterSettings as MeterSettings
    from .stream_billing import StreamingTerms as StreamingTerms
    from .sweeper import attach_sweeper as attach_sweeper
    from .terms_in_force import request_prices as request_prices
    from .terms_in_force import streaming_terms as streaming_terms
    from .usage import Certainty as Certainty
    from .usage import Meter as Meter
    from .usage import Usage as Usage
    from .webhooks.events import WebhookEvent as WebhookEvent
    from .work_meter import WorkMeter as WorkMeter

__version__ = "0.1.0"

_HOMES = {
    "Certainty": "usage",
    "Hosting": "settings",
    "JobMeter": "job_meter",
    "Meter": "usage",
    "MeterSettings": "settings",
    "MeteringError": "errors",
    "RequestPrices": "request_billing",
    "RequestTokens": "request_billing",
    "RunInfo": "run",
    "Status": "run",
    "StreamLimiter": "control.stream_limiter",
    "StreamLimits": "control.stream_limits",
    "StreamingTerms": "stream_billing",
    "TokenPrice": "request_billing",
    "Usage": "usage",
    "WebhookEvent": "webhooks.events",
    "WorkMeter": "work_meter",
    "attach_sweeper": "sweeper",
    "keep_room_names_out": "log_privacy",
    "record_declined": "job_meter",
    "request_prices": "terms_in_force",
    "stream_limits": "control.limits_in_force",
    "streaming_terms": "terms_in_force",
}

__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:
    if home := _HOMES.get(name):
        return getattr(importlib.import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

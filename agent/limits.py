"""Which limits the providers of the chosen STTs set: read at a worker's start, handed to its jobs.

Plans and prices stay out of a job; what a limit needs of the store is imported where there is one.
"""

from __future__ import annotations

from metering import StreamLimits, stream_limits

from .settings import AgentSettings


def limits_in_force(settings: AgentSettings) -> dict[str, StreamLimits]:
    """The limits of the chosen providers' streams, where there are any.

    Raises:
        MeteringError: TALLYROOM_STT_LIMITS cannot be read.
    """
    providers = {choice.provider for choice in settings.stt_choices}
    known = {name: stream_limits(name, settings.stt_limits) for name in sorted(providers)}
    return {name: limits for name, limits in known.items() if limits is not None}

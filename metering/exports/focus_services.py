"""What FOCUS calls the things that are metered: services, their categories, providers, units."""

from __future__ import annotations

from typing import NamedTuple

from ..pricing.hosting import ROOM_METERS
from ..units import unit


class Service(NamedTuple):
    """A service and where FOCUS puts it; the subcategory is of version 1.1 and later."""

    name: str
    category: str
    subcategory: str


PLAN = Service("Plan", "Media", "Media Streaming")
STATEMENT = Service("Statement", "Other", "Other (Other)")
_UNKNOWN = Service("Other", "Other", "Other (Other)")
_ROOMS = Service("Rooms", "Media", "Media Streaming")
_AI = "AI and Machine Learning"

_BY_METER = {
    "agent_session": Service("Agents", "Compute", "Serverless Compute"),
    "audio_minutes": _ROOMS,
    "video_minutes": _ROOMS,
    "messages": Service("Messages", "Integration", "Messaging"),
    "observability_events": Service("Observability", "Management and Governance", "Observability"),
    "sip_connection": Service("Telephony", "Media", "Media Streaming"),
    "ingress": Service("Ingress", "Media", "Media Streaming"),
    "egress_transcode": Service("Egress", "Media", "Content Creation"),
    "egress_track": Service("Egress", "Media", "Content Creation"),
}
_BY_PREFIX = {
    "stt_": Service("Speech to text", _AI, "Natural Language Processing"),
    "tts_": Service("Text to speech", _AI, "Generative AI"),
    "llm_": Service("Language models", _AI, "Generative AI"),
    "realtime_": Service("Realtime models", _AI, "Generative AI"),
}

_PROVIDERS = {
    "anthropic": "Anthropic",
    "assemblyai": "AssemblyAI",
    "deepgram": "Deepgram",
    "google": "Google",
    "livekit": "LiveKit",
    "livekit-cloud": "LiveKit",
    "openai": "OpenAI",
}

# https://github.com/FinOps-Open-Cost-and-Usage-Spec/FOCUS_Spec, v1.2, attributes/unit_format.md
_UNITS = {
    "second": "Seconds",
    "minute": "Minutes",
    "hour": "Hours",
    "byte": "B",
    "GB": "GB",
    "token": "Tokens",
    "thousand tokens": "1000 Tokens",
    "million tokens": "1000000 Tokens",
    "character": "Characters",
    "thousand characters": "1000 Characters",
    "million characters": "1000000 Characters",
    "event": "Events",
    "message": "Messages",
    "instance": "Instances",
    "job": "Jobs",
}


def service_of(meter: str) -> Service:
    """The service that a meter counts."""
    if meter in _BY_METER:
        return _BY_METER[meter]
    if meter in ROOM_METERS:
        return _ROOMS
    return next(
        (service for prefix, service in _BY_PREFIX.items() if meter.startswith(prefix)), _UNKNOWN
    )


def provider_name(slug: str) -> str:
    """A provider's name to read; its slug where we know no other."""
    return _PROVIDERS.get(slug, slug)


def focus_unit(name: str) -> str:
    """A unit in FOCUS' format: in the plural, a block with its number."""
    if name in _UNITS:
        return _UNITS[name]
    one = unit(name)
    base = unit(one.base)
    return f"{one.factor / base.factor:f} {_UNITS[one.base]}"

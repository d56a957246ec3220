"""Compile the catalog's LLM, TTS and token-priced STT rates from the installed genai-prices.

genai-prices is 11 MB in memory and a quarter of a millisecond a call, and it prices at $0 what it
has no price for; so its data becomes a snapshot in the catalog, and the package is needed only to
renew that: `python -m metering.pricing.compile_genai_prices`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, ModelPrice, Provider

PROVIDERS = ("anthropic", "google", "groq", "openai")
"""Providers of genai-prices that LiveKit has plugins for and that people use."""

_VARIANTS = ("service_tier", "speed")
"""Request options with prices of their own; batch processing is not for meetings."""

_LLM = {
    "input_mtok": "llm_input_tokens",
    "cache_read_mtok": "llm_cached_input_tokens",
    "cache_write_mtok": "llm_cache_write_tokens",
    "output_mtok": "llm_output_tokens",
    "output_reasoning_mtok": "llm_reasoning_tokens",
}
_REALTIME = {
    "input_mtok": "realtime_input_text_tokens",
    "cache_read_mtok": "realtime_cached_input_text_tokens",
    "input_audio_mtok": "realtime_input_audio_tokens",
    "cache_audio_read_mtok": "realtime_cached_input_audio_tokens",
    "input_image_mtok": "realtime_input_image_tokens",
    "cache_image_read_mtok": "realtime_cached_input_image_tokens",
    "output_mtok": "realtime_output_text_tokens",
    "output_audio_mtok": "realtime_output_audio_tokens",
}
_TTS = {
    "input_mchars": "tts_characters",
    "input_mtok": "tts_input_tokens",
    "output_mtok": "tts_output_tokens",
}
_UNITS = {"mtok": "million tokens", "mchars": "million characters", "hours": "hour"}


class _Line(NamedTuple):
    """One price to write down."""

    meter: str
    price: Decimal
    unit: str
    attributes: tuple[tuple[str, str], ...]
    over: int | None
    start: date | None
    end: date | None
    minimum: str | None


def compile_catalog(compiled_on: date) -> dict[str, str]:
    """The catalog files by name, from the genai-prices that is installed.

    Args:
        compiled_on: the day on which the prices count as checked.
    """
    from genai_prices.data import providers

    by_id = {provider.id: provider for provider in providers}
    release = version("genai-prices")
    return {f"{name}.toml": _file(by_id[name], release, compiled_on) for name in PROVIDERS}


def main() -> None:
    """Write the files into the catalog beside this module."""
    folder = Path(__file__).parent / "catalog"
    for name, text in compile_catalog(datetime.now(UTC).date()).items():
        (folder / name).write_text(text, "utf-8")
        sys.stdout.write(f"{name}: {text.count('[[rate]]')} rates, {len(text)} bytes\n")


def _file(provider: Provider, release: str, compiled_on: date) -> str:
    source = (provider.pricing_urls or [""])[0]
    blocks = [
        f"# Compiled from genai-prices {release} by metering/pricing/compile_genai_prices.py.\n"
        "# Do not edit: a price of your own goes into your rate file.\n",
        f'[snapshot]\npackage = "genai-prices"\nversion = {_text(release)}\n',
        f"[defaults]\nprovider = {_text(provider.id)}\nsource = {_text(source)}\n"
        f"checked = {compiled_on}\n",
    ]
    for model in provider.models:
        blocks.append(_model(model))
        blocks += [_rate(model.id, line) for line in _lines(provider, model)]
    return "\n".join(blocks)


def _model(model: ModelInfo) -> str:
    alternatives = [_table(clause) for clause in _alternatives(model.match)]
    match = ", ".join(alternatives)
    if len(match) > 80:
        match = "\n" + "".join(f"    {item},\n" for item in alternatives)
    return f"[[model]]\nmodel = {_text(model.id)}\nmatch = [{match}]\n"


def _alternatives(clause: Any) -> Iterator[Mapping[str, str]]:
    """A match as alternatives, each a set of tests that must all hold."""
    values = vars(clause)
    if "or_" in values:
        for inner in values["or_"]:
            yield from _alternatives(inner)
        return
    if "and_" in values:
        tests: dict[str, str] = {}
        for inner in values["and_"]:
            for test, pattern in vars(inner).items():
                if test in tests or test in ("or_", "and_"):
                    raise ValueError(f"cannot write {clause} as a table of tests")
                tests[test] = pattern
        yield tests
        return
    yield values


def _lines(provider: Provider, model: ModelInfo) -> list[_Line]:
    """Every price of a model that a meter exists for, in order of meter, variant, tier and date."""
    meters = _meters(model)
    contexts: list[dict[str, str]] = [{}]
    for variant in model.price_variants or []:
        when = dict(variant.when)
        if len(when) == 1 and next(iter(when)) in _VARIANTS and when not in contexts:
            contexts.append(when)
    lines: list[_Line] = []
    periods = list(_periods(model))
    for context in contexts:
        open_lines: dict[tuple[object, ...], _Line] = {}
        for start, end in periods:
            standard = _prices(model, start, {})
            prices = _prices(model, start, context)
            current: dict[tuple[object, ...], _Line] = {}
            for key, meter, extra in meters:
                value = getattr(prices, key, None)
                if value is None or (context and value == getattr(standard, key, None)):
                    continue
                attributes = tuple(sorted({**extra, **context}.items()))
                for over, price in _tiers(value):
                    minimum = _minimum(provider, model)
                    unit = _UNITS[key.rsplit("_", 1)[1]]
                    line = _Line(meter, price, unit, attributes, over, start, end, minimum)
                    identity = (meter, attributes, over, price)
                    before = open_lines.get(identity)
                    current[identity] = line._replace(start=before.start) if before else line
            lines += [line for identity, line in open_lines.items() if identity not in current]
            open_lines = current
        lines += open_lines.values()
    return sorted(
        lines,
        key=lambda line: (line.meter, line.attributes, line.over or -1, line.start or date.min),
    )


def _meters(model: ModelInfo) -> list[tuple[str, str, dict[str, str]]]:
    """(price key, meter, attributes) for what a model is used for; empty where no meter exists."""
    keys = {key for prices in _all_prices(model) for key in vars(prices)}
    name = model.id
    if "audio_hours" in keys:
        is_stt = "transcribe" in name or "whisper" in name
        return [("audio_hours", "stt_audio" if is_stt else "realtime_session", {})]
    if "transcribe" in name:
        # The price of audio tokens where their kind is not told: what STT is fed is audio.
        return [
            ("input_audio_mtok", "stt_input_tokens", {}),
            ("input_mtok", "stt_input_tokens", {"modality": "text"}),
            ("output_mtok", "stt_output_tokens", {}),
        ]
    if "tts" in name or "input_mchars" in keys:
        return [(key, meter, {}) for key, meter in _TTS.items()]
    if "realtime" in name or "-live" in name:
        return [(key, meter, {}) for key, meter in _REALTIME.items()]
    if {"output_audio_mtok", "output_image_mtok", "output_video_mtok"} & keys:
        return []
    if any(word in name for word in ("image", "audio", "embedding", "moderation")):
        return []
    if not {"input_mtok", "output_mtok"} <= keys:
        return []
    cached_longer = ("cache_write_1h_mtok", "llm_cache_write_tokens", {"cache_ttl": "1h"})
    return [*((key, meter, {}) for key, meter in _LLM.items()), cached_longer]


def _all_prices(model: ModelInfo) -> Iterable[ModelPrice]:
    if isinstance(model.prices, list):
        return [condition.prices for condition in model.prices]
    return [model.prices]


def _periods(model: ModelInfo) -> Iterator[tuple[date | None, date | None]]:
    """The periods between the dates at which anything about the model's prices changes."""
    constraints = [variant.constraint for variant in model.price_variants or []]
    if isinstance(model.prices, list):
        constraints += [condition.constraint for condition in model.prices]
    starts = set()
    for constraint in constraints:
        if constraint is None:
            continue
        start = getattr(constraint, "start_date", None)
        if start is None:
            raise ValueError(f"{model.id}: {constraint} is no date; rates have only dates")
        starts.add(start)
    edges: list[date | None] = [None, *sorted(starts)]
    yield from zip(edges, [*edges[1:], None], strict=True)


def _prices(model: ModelInfo, day: date | None, context: Mapping[str, str]) -> ModelPrice:
    stamp = datetime.combine(day or date(1970, 1, 1), time(), UTC)
    return model.get_prices(stamp, context or None)


def _tiers(value: Any) -> Iterator[tuple[int | None, Decimal]]:
    if isinstance(value, Decimal):
        yield None, value
        return
    yield None, value.base
    for tier in value.tiers:
        yield tier.start, tier.price


def _minimum(provider: Provider, model: ModelInfo) -> str | None:
    # genai-prices has this in its code, not in its data.
    if provider.id == "groq" and model.id.startswith("whisper-large-v3"):
        return "10 second"
    return None


def _rate(model: str, line: _Line) -> str:
    rows = [
        "[[rate]]",
        f"model = {_text(model)}",
        f"meter = {_text(line.meter)}",
    ]
    if line.attributes:
        rows.append(f"attributes = {_table(dict(line.attributes))}")
    rows += [f'price = "{line.price:f}"', f"unit = {_text(line.unit)}"]
    if line.minimum is not None:
        rows.append(f"minimum = {_text(line.minimum)}")
    if line.over is not None:
        rows.append(f"request_input_over = {line.over}")
    if line.start is not None:
        rows.append(f"effective_from = {line.start}")
    if line.end is not None:
        rows.append(f"effective_until = {line.end}")
    return "\n".join(rows) + "\n"


def _table(values: Mapping[str, str]) -> str:
    return "{ " + ", ".join(f"{key} = {_text(value)}" for key, value in values.items()) + " }"


def _text(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    main()

"""What is compared of two transcribers, and how much of the official one's each may be at most."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from .report import percentile


@dataclass(frozen=True)
class Figures:
    """What one run of one contender showed; times in seconds, one for each caption or dispatch."""

    connection_seconds: float
    audio_seconds: float
    cpu_seconds: float
    memory_bytes: float
    final_to_caption: tuple[float, ...]
    speech_to_caption: tuple[float, ...]
    finals_without_caption: int
    turns_without_caption: int
    word_error_rate: float
    dispatch_to_seen: tuple[float, ...]
    dispatch_to_heard: tuple[float, ...]
    never_heard: int


@dataclass(frozen=True)
class Figure:
    """A row: its value in so many runs, how it is written, and the bound of the ratio, if any."""

    name: str
    value: Callable[[Sequence[Figures]], float]
    written: Callable[[float], str]
    at_most: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A figure of both, and whether ours is within its bound; None where there is none."""

    figure: Figure
    official: float
    ours: float

    @property
    def ratio(self) -> float | None:
        """Ours to the official one's."""
        return self.ours / self.official if self.official else None

    @property
    def holds(self) -> bool | None:
        """Whether the bound is kept."""
        if self.figure.at_most is None:
            return None
        return self.ours <= self.figure.at_most * self.official

    def row(self) -> list[str]:
        """As the table has it."""
        ratio, at_most, holds = self.ratio, self.figure.at_most, self.holds
        return [
            self.figure.name,
            self.figure.written(self.official),
            self.figure.written(self.ours),
            "" if ratio is None else f"{ratio:.3f}",
            "" if at_most is None else f"{at_most:g}",
            "" if holds is None else "PASS" if holds else "FAIL",
        ]


def judge(official: Sequence[Figures], ours: Sequence[Figures]) -> list[Verdict]:
    """Every figure of both, each from all of its runs."""
    return [Verdict(figure, figure.value(official), figure.value(ours)) for figure in FIGURES]


def _median(name: str, runs: Sequence[Figures]) -> float:
    return float(statistics.median(getattr(run, name) for run in runs))


def _median_percentile(name: str, percent: float, runs: Sequence[Figures]) -> float:
    return statistics.median(percentile(getattr(run, name), percent) for run in runs)


def _percentile_of_all(name: str, percent: float, runs: Sequence[Figures]) -> float:
    """Of all runs' together: a run has a few of them only."""
    return percentile([one for run in runs for one in getattr(run, name)], percent)


def _sum(name: str, runs: Sequence[Figures]) -> float:
    return float(sum(getattr(run, name) for run in runs))


def _seconds(value: float) -> str:
    return f"{value:.1f} s"


def _milliseconds(value: float) -> str:
    return f"{value * 1000:,.0f} ms"


def _percent(value: float) -> str:
    return f"{value:.2%}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.0f} MB"


def _count(value: float) -> str:
    return f"{value:g}"


FIGURES = (
    Figure("STT billed by connection", partial(_median, "connection_seconds"), _seconds, 0.2),
    Figure("STT billed by audio", partial(_median, "audio_seconds"), _seconds, 0.2),
    Figure("CPU", partial(_median, "cpu_seconds"), _seconds, 0.5),
    Figure("memory", partial(_median, "memory_bytes"), _megabytes, 1.0),
    *(
        Figure(f"{title}, p{percent}", partial(how, name, percent), _milliseconds, at_most)
        for title, name, how, at_most in (
            ("final to caption", "final_to_caption", _median_percentile, 0.5),
            ("end of speech to caption", "speech_to_caption", _median_percentile, 1.0),
            ("dispatch to seen", "dispatch_to_seen", _percentile_of_all, 1.0),
            ("dispatch to first sound heard", "dispatch_to_heard", _percentile_of_all, 1.0),
        )
        for percent in (50, 95)
    ),
    Figure("word error rate", partial(_median, "word_error_rate"), _percent, 1.0),
    Figure("finals without caption", partial(_sum, "finals_without_caption"), _count, 1.0),
    Figure("turns without caption", partial(_sum, "turns_without_caption"), _count, 1.0),
    Figure("dispatches never heard", partial(_sum, "never_heard"), _count, 1.0),
)

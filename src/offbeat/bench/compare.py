"""Does the LSTM earn its keep? The best simple detector, the LSTM, and all views together with it and without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.bench.tasks import WHOLE, WITHOUT, Result
from offbeat.detect import DETECTORS
from offbeat.evaluate.protocols import Split
from offbeat.schema import weights

Floats = NDArray[np.float64]

_RESAMPLES: Final = 400
_LSTM: Final = "lstm"


@dataclass(frozen=True)
class Difference:
    """How much better one detector is than another, by average precision.

    Attributes:
        better, than: names.
        ap: mean over seeds of the difference.
        low, high: 95 % interval by resampling units, and seeds where there are several (Efron, 1979).
        seeds: least and largest difference over seeds; None where neither detector has several.
        f1: mean difference of F1 at the own thresholds.
    """

    better: str
    than: str
    ap: float
    low: float
    high: float
    seeds: tuple[float, float] | None
    f1: float

    @property
    def certain(self) -> int:
        """1 where the interval is above zero, -1 where it is below, else 0."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Keep:
    """The answer.

    Attributes:
        simple: the best detector without a network, by average precision on the test part: a choice in its favour.
        rows: (role, detector, AP, own F1, swapped) of those compared; means over seeds.
        differences: between them.
        sentences: the answer in words, the verdict first.
    """

    simple: str | None
    rows: list[tuple[str, str, float, float, float | None]]
    differences: list[Difference]
    sentences: list[str]


def earns_its_keep(split: Split, results: Sequence[Result], summary: pl.DataFrame) -> Keep:
    """Compare; what was not measured is said to be missing."""
    means = {r["detector"]: r for r in summary.filter((pl.col("counted") == "all") & (pl.col("seeds") > 0)).to_dicts()}
    simple = max((name for name in means if _is_simple(name)), key=lambda name: means[name]["ap"] or 0.0, default=None)
    roles = [("best simple detector", simple), ("the LSTM", _LSTM), ("all views without it", WITHOUT),
             ("all views together", WHOLE)]  # fmt: skip
    there = [(role, name) for role, name in roles if name in means]
    rows = [(role, n, means[n]["ap"], means[n]["f1"], means[n]["swapped"]) for role, n in there if n is not None]
    curves = _Curves(split, results, {name for _, name in there if name})
    pairs = [(_LSTM, simple), (WHOLE, simple), (WHOLE, WITHOUT), (WHOLE, _LSTM)]
    differences = [curves.difference(a, b, means[a]["f1"] - means[b]["f1"])
                   for a, b in pairs if b is not None and a in means and b in means]  # fmt: skip
    return Keep(simple, rows, differences, _sentences(differences, means, simple))


def _is_simple(name: str) -> bool:
    return name in DETECTORS and "torch" not in DETECTORS[name].trains_with


class _Curves:
    """Scores of the detectors compared, ready to be resampled: sorted once, weighed anew each time."""

    def __init__(self, split: Split, results: Sequence[Result], names: set[str]) -> None:
        self.y = split.test["label"].to_numpy()
        weight = weights(split.test)
        self.weight = weight
        self.of: dict[str, list[tuple[NDArray[np.int64], NDArray[np.int64]]]] = {}
        for one in results:
            if one.task.detector in names and one.ok:
                score = one.read_scores()["score"].to_numpy()
                order = np.argsort(-score, kind="stable")
                ranked = score[order]
                last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)
                self.of.setdefault(one.task.detector, []).append((order, last))

    def ap(self, name: str, seed: int, weight: Floats) -> float:
        """Return the average precision of a detector's seed with each unit weighed."""
        order, last = self.of[name][seed % len(self.of[name])]
        w, y = weight[order], self.y[order]
        hit, every = np.cumsum(np.where(y, w, 0.0))[last], np.cumsum(w)[last]
        gained = np.diff(hit, prepend=0.0)
        return float(np.sum(gained * hit / np.maximum(every, 1e-300)) / hit[-1])

    def difference(self, a: str, b: str, f1: float) -> Difference:
        """Return how much better ``a`` is than ``b``."""
        seeds = max(len(self.of[a]), len(self.of[b]))
        each = [self.ap(a, seed, self.weight) - self.ap(b, seed, self.weight) for seed in range(seeds)]
        rng = np.random.Generator(np.random.PCG64(0))
        classes = [np.flatnonzero(self.y), np.flatnonzero(~self.y)]
        drawn = []
        for _ in range(_RESAMPLES):
            times = np.zeros(len(self.y))
            for members in classes:
                times += np.bincount(rng.choice(members, len(members)), minlength=len(self.y))
            seed, weight = int(rng.integers(seeds)), times * self.weight
            drawn.append(self.ap(a, seed, weight) - self.ap(b, seed, weight))
        low, high = (float(x) for x in np.quantile(drawn, [0.025, 0.975]))
        spread = (min(each), max(each)) if seeds > 1 else None
        return Difference(a, b, float(np.mean(each)), low, high, spread, f1)


def _sentences(differences: Sequence[Difference], means: Mapping[str, Any], simple: str | None) -> list[str]:
    by = {(d.better, d.than): d for d in differences}
    out = []
    inside = by.get((WHOLE, WITHOUT))
    if inside is not None:
        out.append(
            {
                1: f"Yes, on this data: with the LSTM all views together are better, {_words(inside)}.",
                0: f"Not that this test part could show: with and without it all views differ by {_words(inside)}.",
                -1: f"No, on this data: all views together are better without it, {_words(inside)}.",
            }[inside.certain]
        )
    else:
        out.append(f"Not measured: it takes {WHOLE} and {WITHOUT} (--detectors all, or these by name).")
    alone = by.get((_LSTM, simple or ""))
    if alone is not None:
        than = {1: "it is better than", 0: "it cannot be told from", -1: "it is worse than"}[alone.certain]
        out.append(f"Alone {than} the best simple detector, {simple}: {_words(alone)}.")
    swaps = {name: means[name]["swapped"] for name in means if means[name]["swapped"] is not None}
    if _LSTM in swaps:
        rivals = {name: value for name, value in swaps.items() if _is_simple(name)}
        best = max(rivals, key=rivals.__getitem__, default=None)
        other = f"; the best simple detector at that, {best}, {rivals[best]:.0%}" if best else ""
        out.append(
            f"Order: of normal units in which two neighbouring events were swapped it notices {swaps[_LSTM]:.0%} at "
            f"2 % false alarms{other}."
        )
    return out


def _words(d: Difference) -> str:
    seeds = f"; over seeds {d.seeds[0]:+.3f} to {d.seeds[1]:+.3f}" if d.seeds else ""
    return f"average precision {d.ap:+.3f} (95 % interval {d.low:+.3f} to {d.high:+.3f}{seeds})"

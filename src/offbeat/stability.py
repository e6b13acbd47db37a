"""Whether a model still fits a log: population stability of templates, of scores, and of the numbers in messages.

The population stability index (Siddiqi, Credit Risk Scorecards, 2006) compares two distributions over the same parts:
the sum of ``(p - q) ln(p / q)``. By its rule of thumb below .1 nothing has changed, from .25 on the population is
another. It grows with chance where there is little data; what chance alone would make of it (Yurdakul, 2018: parts less
one, times the sum of the reciprocal sizes) is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect import Ragged
from offbeat.explain.words import shortened

if TYPE_CHECKING:
    from offbeat.pipeline import Pipeline

Floats = NDArray[np.float64]

#: From which index on a model is getting old, and from which it no longer fits.
OLD, OTHER = 0.1, 0.25
VERDICTS: Final = ("still fits", "getting old", "no longer fits")
#: Fewer units, or numbers of a template, say too little.
LEAST_UNITS: Final = 200
_LEAST_NUMBERS: Final = 50
#: Templates compared by themselves, the commonest; the others are one part.
_TEMPLATES: Final = 50
#: Parts of scores: what so large a share of the training units reached.
_SHARES: Final = (0.5, 0.2, 0.1, 0.05, 0.02)
#: Scores that differ by less are the same, but for rounding.
_ALIKE: Final = 1e-6
#: Units of what was learned whose scores are looked at, at most.
MOST_SCORED: Final = 2_000
REACH: Final[dict[str, pl.DataType]] = {"low": pl.Float64(), "share": pl.Float64()}
#: Least share of a part, so that an empty one does not count for everything.
_LEAST_SHARE: Final = 1e-4
#: What is told of what changed, at most.
_TOLD: Final = 5


def stability_index(before: Floats, now: Floats) -> float:
    """Return the population stability index of two counts over the same parts, 0 or more.

    Args:
        before: shape (parts,), how much of what was learned lies in each part.
        now: shape (parts,), how much of the log does.
    """
    if len(before) < 2 or not before.sum() or not now.sum():
        return 0.0
    p, q = (np.maximum(counts / counts.sum(), _LEAST_SHARE) for counts in (before, now))
    chance = (len(before) - 1) * (1 / before.sum() + 1 / now.sum())
    return float(max(0.0, ((p - q) * np.log(p / q)).sum() - chance))


class Numbers:
    """Counts the numbers of a log over the parts that a memory knows, while units stream by.

    Args:
        spread: SPREAD of what was learned.
    """

    def __init__(self, spread: pl.DataFrame) -> None:
        self._lows: dict[int, Floats] = {}
        self._shares: dict[int, Floats] = {}
        for (code,), rows in spread.group_by("template", maintain_order=True):
            self._lows[int(str(code))] = rows["low"].to_numpy()
            self._shares[int(str(code))] = rows["share"].to_numpy()
        self._counts = {code: np.zeros(len(lows)) for code, lows in self._lows.items()}

    def add(self, units: pl.DataFrame) -> None:
        """Take up SEQUENCES, with ``values`` where they have any."""
        if not self._lows or "values" not in units.columns:
            return
        data = Ragged.of(units, ("values",))
        at = np.flatnonzero(np.isfinite(data.extra["values"]))
        if not len(at):
            return
        at = at[np.argsort(data.ids[at], kind="stable")]
        ids, values = data.ids[at], data.extra["values"][at]
        codes, begins = np.unique(ids, return_index=True)
        for code, begin, end in zip(codes.tolist(), begins, [*begins[1:], len(ids)], strict=True):
            if code in self._lows:
                lows = self._lows[code]
                part = np.searchsorted(lows, values[begin:end], side="right") - 1
                self._counts[code] += np.bincount(part, minlength=len(lows))

    def indices(self) -> dict[int, tuple[float, float]]:
        """Return, by template with enough numbers, the stability index and how many numbers there were."""
        enough = {code: counts for code, counts in self._counts.items() if counts.sum() >= _LEAST_NUMBERS}
        # The shares stand for at least so many numbers.
        return {code: (stability_index(self._shares[code] * _LEAST_NUMBERS * 10, counts), float(counts.sum()))
                for code, counts in enough.items()}  # fmt: skip


def fit_of(
    model: Pipeline, lives: pl.DataFrame, scores: Floats, numbers: Numbers, drifted: bool
) -> dict[str, Any] | None:
    """Say whether a model still fits a log, and what changed most.

    Args:
        model: what was learned.
        lives: LIVES of the log.
        scores: fused scores of the log's units by the model alone, shape (n,).
        numbers: the log's.
        drifted: far more units than nominal are improbable (``check_drift``).

    Returns:
        ``verdict`` (of VERDICTS), ``templates``, ``scores`` and ``values`` (indices), ``changed`` (words for what
        changed most) and ``words``; None where there is too little to say.
    """
    memory = model.memory
    if memory is None or model.catalog is None or not memory.reach.height:
        return None
    if len(scores) < LEAST_UNITS or not lives.height:
        return None
    texts = model.catalog.texts
    by_template, changed = _of_templates(memory.lives, lives, texts)
    by_score = _of_scores(memory.reach, scores)
    each = numbers.indices()
    total = sum(count for _, count in each.values())
    by_value = sum(index * count for index, count in each.values()) / total if total else 0.0
    strange = sorted((code for code, (index, _) in each.items() if index >= OTHER), key=lambda code: -each[code][0])
    changed += [f"the numbers of “{shortened(texts[code], 60)}” are others" for code in strange[:_TOLD]]
    # Numbers follow the load: alone they make a model old, not another.
    worst = max(by_template, by_score)
    grade = 2 if drifted or worst >= OTHER else 1 if max(worst, by_value) >= OLD else 0
    indices = {"templates": round(by_template, 4), "scores": round(by_score, 4), "values": round(by_value, 4)}
    words = (
        f"{VERDICTS[grade]} (stability of templates {by_template:.2f}, scores {by_score:.2f}, values {by_value:.2f})"
    )
    told = changed[:_TOLD] if grade else []
    return {"verdict": VERDICTS[grade], **indices, "changed": told, "words": "; ".join([words, *told[:2]])}


def _of_templates(before: pl.DataFrame, now: pl.DataFrame, texts: Sequence[str]) -> tuple[float, list[str]]:
    """Return the index over templates, and words for those whose share of the events changed most."""
    sums = [part.group_by("template").agg(pl.col("events").sum().cast(pl.Float64)) for part in (before, now)]
    both = (
        sums[0]
        .join(sums[1], on="template", how="full", coalesce=True, suffix="_now")
        .with_columns(pl.col("events", "events_now").fill_null(0.0))
    )
    both = both.sort(pl.max_horizontal("events", "events_now"), "template", descending=[True, False])
    head, rest = both.head(_TEMPLATES), both.slice(_TEMPLATES)
    p, q = (np.append(head[name].to_numpy(), rest[name].to_numpy().sum()) for name in ("events", "events_now"))
    a, b = p / p.sum(), q / q.sum()
    part = (a - b) * np.log(np.maximum(a, _LEAST_SHARE) / np.maximum(b, _LEAST_SHARE))
    codes = head["template"].to_list()
    most = [int(i) for i in np.argsort(-part[: len(codes)], kind="stable")[:_TOLD] if part[i] >= OLD / 10]
    words = [f"“{shortened(texts[codes[i]], 60)}” is {b[i]:.1%} of the events and was {a[i]:.1%}" for i in most]
    return stability_index(p, q), words


def _of_scores(reach: pl.DataFrame, scores: Floats) -> float:
    """Return the index over the parts of the scores that what was learned has by the very same model."""
    lows, share = reach["low"].to_numpy(), reach["share"].to_numpy()
    part = np.searchsorted(lows - _ALIKE, scores, side="right") - 1
    return stability_index(share * MOST_SCORED, np.bincount(part, minlength=len(lows)).astype(np.float64))


def reach_of(scores: Floats, weight: Floats) -> pl.DataFrame:
    """Return how far the scores of what was learned reach: ``low`` and ``share``, one row a part.

    Scores out of fold would not do: units that are alike have another one in each fold, and a model learned from
    everything gives them one between. In the sample they are a little lower than those of a log like it.

    Args:
        scores: fused, of units that were learned, by the model that learned them, shape (n,).
        weight: units each stands for, shape (n,).
    """
    if not len(scores):
        return pl.DataFrame(schema=REACH)
    order = np.argsort(scores, kind="stable")
    mass = np.cumsum(weight[order]) / weight.sum()
    places = np.searchsorted(mass, 1 - np.array(_SHARES)).clip(0, len(scores) - 1)
    lows = np.concatenate(([-np.inf], np.unique(scores[order][places])))
    part = np.searchsorted(lows - _ALIKE, scores, side="right") - 1
    share = np.bincount(part, weights=weight, minlength=len(lows)) / weight.sum()
    return pl.DataFrame({"low": lows, "share": share}, schema=REACH)

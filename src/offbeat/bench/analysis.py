"""What went wrong and why: which units were missed or falsely flagged, and whether training and test are alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.evaluate.protocols import Split
from offbeat.schema import weights

Bools = NDArray[np.bool_]

#: A template in fewer training units than this share is unusual to be there, in more than the other to be missing.
_RARE: Final = 0.01
_USUAL: Final = 0.99
#: Groups of alike errors shown, and templates named for each.
GROUPS: Final = 6
_NAMED: Final = 4
#: Population stability index: below the first, parts are alike; above the second, they clearly differ (Siddiqi, 2006,
#: Credit Risk Scorecards).
PSI_SOME: Final = 0.1
PSI_MUCH: Final = 0.25


@dataclass(frozen=True)
class Group:
    """Errors that look alike.

    Attributes:
        units: how many units, by weight.
        example: the key of one of them.
        has: templates that hardly any training unit has, with their share of training units.
        lacks: templates that nearly every training unit has, with their share.
        holds: the most frequent templates of the example, with their counts.
        events: median number of events, and that of the training units.
        score: highest score among them.
    """

    units: float
    example: str
    has: list[tuple[str, float]]
    lacks: list[tuple[str, float]]
    holds: list[tuple[str, int]]
    events: tuple[float, float]
    score: float


class Shapes:
    """Which templates each unit of a split holds, and how usual that is in training."""

    def __init__(self, split: Split) -> None:
        self.split = split
        self.train, self.test = (_holdings(frame) for frame in (split.train, split.test))
        n = max(split.train.height, 1)
        self.share = dict(self.train.group_by("template").len().with_columns(pl.col("len") / n).rows())
        self.usual = [template for template, share in self.share.items() if share > _USUAL]
        self.length = float(split.train.select(pl.col("templates").list.len().median()).item() or 0)

    def groups(self, which: Bools, score: NDArray[np.float64]) -> tuple[list[Group], int]:
        """Return groups of alike units, largest first, and how many groups are left out.

        Args:
            which: the units in question, shape (test units,).
            score: of each unit, shape (test units,).
        """
        at = np.flatnonzero(which)
        if not len(at):
            return [], 0
        units = self._signatures(at).with_columns(score=pl.Series(score[at]))
        grouped = units.group_by("has", "lacks", maintain_order=True).agg(
            pl.col("weight").sum(), pl.col("key", "unit").first(), pl.col("events").median(), pl.col("score").max()
        )
        grouped = grouped.sort("weight", descending=True, maintain_order=True)
        return [self._group(row) for row in grouped.head(GROUPS).iter_rows(named=True)], max(0, grouped.height - GROUPS)

    def _signatures(self, at: NDArray[np.int64]) -> pl.DataFrame:
        """Return the units at some places with the templates that set them apart."""
        test = self.split.test
        rows = pl.DataFrame({"unit": at}).with_columns(
            key=test["key"].gather(at),
            events=test["templates"].gather(at).list.len(),
            weight=pl.Series(weights(test)[at]),
        )
        held = self.test.join(rows.select("unit"), on="unit", how="semi")
        share = pl.col("template").replace_strict(self.share, default=0.0, return_dtype=pl.Float64)
        rare = held.filter(share < _RARE).sort("unit", "template").group_by("unit").agg(has="template")
        usual = pl.DataFrame({"template": self.usual}, schema={"template": pl.String})
        every = rows.select("unit").join(usual, how="cross")
        gone = every.join(held, on=["unit", "template"], how="anti").sort("unit", "template")
        lacks = gone.group_by("unit").agg(lacks="template")
        out = rows.join(rare, on="unit", how="left").join(lacks, on="unit", how="left").sort("unit")
        return out.with_columns(pl.col("has", "lacks").fill_null(pl.lit([], pl.List(pl.String))))

    def _group(self, row: dict[str, Any]) -> Group:
        def named(templates: list[str]) -> list[tuple[str, float]]:
            return sorted(((t, self.share.get(t, 0.0)) for t in templates), key=lambda pair: pair[1])

        has, lacks = named(row["has"])[:_NAMED], named(row["lacks"])[::-1][:_NAMED]
        held = self.split.test["templates"][row["unit"]].cast(pl.String).value_counts(sort=True, name="n")
        holds = [(str(t), int(n)) for t, n in held.head(_NAMED).rows()]
        events = (float(row["events"]), self.length)
        return Group(row["weight"], row["key"], has, lacks, holds, events, float(row["score"]))


def _holdings(units: pl.DataFrame) -> pl.DataFrame:
    """Return (unit, template), each pair once."""
    lists = units.select(pl.int_range(pl.len()).alias("unit"), pl.col("templates").list.unique().alias("template"))
    return lists.explode("template").drop_nulls().with_columns(pl.col("template").cast(pl.String))


@dataclass(frozen=True)
class Change:
    """How training and test part differ, without a look at scores.

    Attributes:
        unseen_templates: templates of the test part that training has not.
        unseen_units: share of test units that hold such a template, of the normal and of the anomalous ones.
        unseen_sequences: share of test units whose whole sequence training has not, of the normal and the anomalous.
        psi: population stability index of the templates' shares of all events.
        psi_length: the same of the units' lengths, in tenths of training.
        moved: templates that make most of ``psi``: (template, share of events in training, in test).
        anomalous: share of anomalous units in training and in test.
    """

    unseen_templates: int
    unseen_units: tuple[float, float]
    unseen_sequences: tuple[float, float]
    psi: float
    psi_length: float
    moved: list[tuple[str, float, float]]
    anomalous: tuple[float, float]


def change(split: Split) -> Change:
    """Compare the training part with the test part; units count by their weights."""
    train, test = split.train, split.test
    label, weight = test["label"].to_numpy(), weights(test)
    known = train["templates"].explode().drop_nulls().unique().to_list()
    strange = (test["templates"].list.set_difference(known).list.len() > 0).to_numpy()
    joined = [frame["templates"].cast(pl.List(pl.String)).list.join("\0") for frame in (train, test)]
    new = ~joined[1].is_in(joined[0].unique().implode()).to_numpy()
    both = _shares(train).join(_shares(test), on="value", how="full", coalesce=True)
    both = both.with_columns(pl.col("share", "share_right").fill_null(0.0)).sort("value")
    events = int(train["templates"].list.len().to_numpy().sum())
    parts = _psi_parts(both["share"].to_numpy(), both["share_right"].to_numpy(), events)
    worst = [int(i) for i in np.argsort(-parts, kind="stable")[:5] if parts[i] > 0.01]
    lengths = [frame["templates"].list.len().to_numpy() for frame in (train, test)]
    edges = np.unique(np.quantile(lengths[0], np.linspace(0, 1, 11)[1:-1]))
    binned = [
        np.bincount(np.searchsorted(edges, each), weights=w, minlength=len(edges) + 1) / w.sum()
        for each, w in zip(lengths, (weights(train), weight), strict=True)
    ]
    return Change(
        both.filter(pl.col("share") == 0).height,
        (_mean(strange[~label]), _mean(strange[label])),
        (_mean(new[~label]), _mean(new[label])),
        float(parts.sum()),
        float(_psi_parts(binned[0], binned[1], train.height).sum()),
        [both.row(i) for i in worst],
        (_mean(train["label"].to_numpy()), float(np.average(label, weights=weight))),
    )


def _shares(units: pl.DataFrame) -> pl.DataFrame:
    """Return each template's share of all events."""
    rows = units.select(value=pl.col("templates").cast(pl.List(pl.String)), weight=pl.Series(weights(units)))
    counts = rows.explode("value").drop_nulls("value").group_by("value").agg(share=pl.col("weight").sum())
    return counts.with_columns(pl.col("share") / pl.col("share").sum())


def _psi_parts(before: NDArray[np.float64], after: NDArray[np.float64], n: float) -> NDArray[np.float64]:
    """Return each value's part of the population stability index; a share of none counts as half an observation."""
    least = 0.5 / max(float(n), 1.0)
    a, b = np.maximum(before, least), np.maximum(after, least)
    return np.asarray((b - a) * np.log(b / a), dtype=np.float64)


def _mean(values: NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else math.nan


def advice_on_data(found: Change, known: bool) -> list[str]:
    """Return what to try, in words, for what training and test part are: the weightiest first.

    Args:
        found: how training and test part differ.
        known: known anomalies of the training part were left out, or learned from.
    """
    out = []
    if found.unseen_units[0] > 0.05:
        out.append(
            f"{found.unseen_units[0]:.0%} of the normal test units hold a template that training never saw: learn "
            "again from a more recent log, before anything else."
        )
    if found.psi > PSI_MUCH or found.psi_length > PSI_MUCH:
        what = "templates" if found.psi > found.psi_length else "lengths"
        out.append(
            f"Training and test differ in their {what} (stability index {max(found.psi, found.psi_length):.2f}, much "
            f"from {PSI_MUCH} on): thresholds chosen on one are off on the other. Learn from a longer or later stretch."
        )
    if not known and found.anomalous[0] > 0.02:
        out.append(
            f"{found.anomalous[0]:.1%} of the training units are anomalous, and detectors took them for normal: leave "
            "known incidents out with fit --labels, or learn from a quieter stretch."
        )
    if found.unseen_sequences[1] < 0.5:
        out.append(
            f"{1 - found.unseen_sequences[1]:.0%} of the anomalous units have a sequence that training holds too: what "
            "looks at order and counts alone cannot tell them apart. Views of times, numbers and sources may, or "
            "grouping the log by another key or window."
        )
    return out


def advice_on(row: Mapping[str, Any], found: Change) -> list[str]:
    """Return what to try with a detector, in words.

    Args:
        row: its figures over all units: ``f1``, ``best_f1``, ``ap``, ``auc``, ``alerts_per_1000``, ``stated_share``.
        found: how training and test part differ.
    """
    out = []
    own, best = row["f1"] or 0.0, row["best_f1"] or 0.0
    if best - own > 0.1:
        side = "lower" if row["alerts_per_1000"] < 1000 * found.anomalous[1] else "raise"
        out.append(
            f"It ranks better than it decides (best F1 {best:.2f}, own {own:.2f}): {side} its threshold, by a budget "
            "of alarms (--budget), or by labelling a few units for fit --labels."
        )
    alarms, stated = row["alerts_per_1000"] / 1000, row["stated_share"]
    if alarms > 3 * max(stated, found.anomalous[1], 0.001):
        out.append(
            f"It flags {alarms:.1%} of the test units, and {stated:.1%} of those it learned from: what was learned no "
            "longer fits, or too little was learned from (overfitting). Learn from more, or from later units."
        )
    if (row["auc"] or 0.0) < 0.6:
        out.append("It hardly tells anomalies from normal units at all (ROC AUC under .6): it looks at something else.")
    return out

"""When a log no longer fits what was learned: judge it by its own habits, too.

A release, a move or a season makes a large share of a log improbable at once. Alarms about all of that help nobody, and
raising the threshold above it hides what else goes wrong. So what a release added is left out where that alone makes
units improbable (``additions``). If the log still does not fit, each unit is also scored by what the rest of the same
log shows to be usual, and must stand out from both: from what was learned, and from what the log has become.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.additions import Additions, without_additions
from offbeat.decide import Decision, Drift, check_drift
from offbeat.decide.decision import views_of
from offbeat.decide.threshold import Share, Threshold
from offbeat.detect import Detector, Ragged
from offbeat.learn import Learned, score_each_other
from offbeat.lineage import renamed
from offbeat.schema import view_column, weights

Floats = NDArray[np.float64]

#: Events of distinct sequences kept at most (4 bytes each); a log with more is not judged by itself.
_MOST_EVENTS: Final = 20_000_000
#: The name of the table of habits in the folder of a run, and what those of its decision begin with.
IN_RUN: Final = "habits"
#: Events of distinct sequences kept with a run, for explanations.
_MOST_KEPT: Final = 1_000_000


@dataclass
class Seen:
    """The sequences of a log, each distinct one kept once; bounded."""

    _sequences: list[pl.DataFrame] = field(default_factory=list)
    _units: list[pl.DataFrame] = field(default_factory=list)
    _hashes: set[int] = field(default_factory=set)
    _events: int = 0

    def add(self, units: pl.DataFrame, data: Ragged | None = None) -> pl.Series:
        """Take up SEQUENCES, as flat arrays too where they are at hand; return each sequence's hash, UInt64."""
        data = Ragged.of(units) if data is None else data
        hashes = pl.Series("sequence", data.hashes[:, 0], dtype=pl.UInt64)
        if self._events <= _MOST_EVENTS:
            first, _ = data.distinct
            fresh = [i for i, h in zip(first.tolist(), hashes.gather(first).to_list(), strict=True) if self._new(h)]
            self._sequences.append(units.select("templates")[fresh].with_columns(hashes.gather(fresh)))
            self._events += int(data.lengths[fresh].sum())
            kept = [c for c in ("weight", "open_at_end") if c in units.columns]
            self._units.append(hashes.to_frame().with_columns(units[c] for c in kept))
        return hashes

    def _new(self, one: int) -> bool:
        known = one in self._hashes
        self._hashes.add(one)
        return not known

    def rename(self, names: Mapping[int, int]) -> None:
        """Replace template codes."""
        self._sequences = [renamed(part, names) for part in self._sequences]

    def units(self) -> pl.DataFrame | None:
        """Return all units with their ``templates``, in order; None where there were too many to keep."""
        if self._events > _MOST_EVENTS:
            self._sequences, self._units = [], []
            return None
        sequences = pl.concat(self._sequences)
        return pl.concat(self._units).join(sequences, on="sequence", how="left", maintain_order="left")


@dataclass(frozen=True)
class Recalibrated:
    """Scores of a log that changed.

    Attributes:
        score: the smaller of a unit's surprise at what was learned and at the rest of its log, shape (n,), in nats
            beyond the threshold of each, plus the first's.
        p_value: the larger of both, shape (n,).
        threshold: from which on a unit is an anomaly.
        habits: what the log was judged by beside the model; None where it was not, or it holds too much to be kept.
        additions: what was left out of the units first; None where nothing was.
    """

    score: Floats
    p_value: Floats
    threshold: float
    habits: Habits | None = None
    additions: Additions | None = None

    def applied(self, scores: pl.DataFrame) -> pl.DataFrame:
        """Return SCORES with these; and those of the views, where they are of units without what was left out."""
        views = {} if self.additions is None else views_of(self.additions.raw)
        return scores.with_columns(
            score=self.score, p_value=self.p_value, **{view_column(name): raw for name, raw in views.items()}
        )


@dataclass
class Habits:
    """What is usual in a log that changed, kept to score further sequences by.

    Attributes:
        decision: fitted to the log itself.
        sequences: its distinct sequences, ``templates`` and ``weight``, the most frequent first.
    """

    decision: Decision
    sequences: pl.DataFrame

    def tables(self) -> dict[str, pl.DataFrame]:
        """Return the tables to save with a run; the decision's values go beside."""
        return {IN_RUN: self.sequences} | {f"{IN_RUN}-{k}": v for k, v in self.decision.frames().items()}

    @classmethod
    def restore(cls, values: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> Self:
        """Take up a decision's values, and the tables that ``tables`` returned among others."""
        mine = {k.removeprefix(f"{IN_RUN}-"): v for k, v in tables.items() if k.startswith(f"{IN_RUN}-")}
        return cls(Decision.restore(values, mine), tables[IN_RUN])

    def views(self, like: Mapping[str, Detector], texts: Sequence[str]) -> dict[str, Detector]:
        """Learn the quick ones among some views from the log, all of it; returns them fitted, by name."""
        fresh = {name: type(d)(**d.get_params()) for name, d in like.items() if _is_quick(d)}
        for detector in fresh.values():
            detector.texts = texts
        return {name: detector.fit(self.sequences) for name, detector in fresh.items()}


def joined(learned: Floats, decision: Decision, own: Floats, itself: Decision) -> Floats:
    """Return the smaller of two scores, each by how far it is beyond its own threshold, on the first's scale.

    A nat of one is not a nat of the other.
    """
    return np.minimum(learned, decision.threshold + own - itself.threshold)


def recalibrate(
    units: pl.DataFrame | None,
    raw: Mapping[str, Floats],
    fitted: Learned,
    drift: Drift,
    views: Callable[[], dict[str, Detector]],
    seed: int,
    alarming: Collection[int] | None = None,
    rule: Threshold | None = None,
) -> Recalibrated | None:
    """Judge a log that changed by what was learned, without what a release added; and, if need be, by itself as well.

    By itself, as many units are flagged as stand apart by what was learned (``drift.threshold``), in the order of both.
    Views that are quick to learn from sequences are learned from the log itself, out of fold; the others keep their
    scores, and what is usual among these is taken from the log.

    Args:
        units: all units of the log, with ``templates``, in order; None where they were too many to keep.
        raw: the learned views' raw scores, each of shape (n,), and the units' groups where there are any.
        fitted: what was learned.
        drift: by how much the log departs.
        views: makes unfitted detectors by name.
        seed: of the folds.
        alarming: codes of templates that are never left out, for they warn; None leaves out nothing.
        rule: how the threshold was found.

    Returns:
        None where none of the views can be learned from the log itself, and nothing is left out.
    """
    if units is None:
        return None
    decision = fitted.decision
    weight = weights(units)
    added = None if alarming is None else without_additions(units, raw, decision, fitted.views, alarming, rule)
    alone: Recalibrated | None = None
    if added is not None:
        # To be without something can only excuse.
        score = np.minimum(decision(raw), decision(added.raw))
        units, raw = added.units, added.raw
        left = check_drift(decision, score, weight, rule)
        line = decision.threshold if left is None else left.threshold
        alone = Recalibrated(score, decision.p_value(score, raw), line, additions=added)
        if left is None:
            return alone
        drift = left

    def fresh() -> dict[str, Detector]:
        made = {name: detector for name, detector in views().items() if name in raw}
        return {name: detector for name, detector in made.items() if _is_quick(detector)}

    if decision.anchor not in fresh():
        return alone
    usual_here = {**raw, **score_each_other(units, fresh, seed)}
    nats = {name for name, d in views().items() if d.in_nats}
    # How dirty the log itself is has no part in this: what makes up much of it is its habit.
    itself = Decision.fit(usual_here, weight, in_nats=nats, anchor=decision.anchor, dirty=None)
    learned, own = decision(raw), itself(usual_here)
    score = joined(learned, decision, own, itself)
    share = float(np.average(learned >= drift.threshold, weights=weight))
    p_value = np.maximum(decision.p_value(learned, raw), itself.p_value(own))
    return Recalibrated(score, p_value, Share(share).fit(score, weight), _habits(itself, units), added)


def _habits(decision: Decision, units: pl.DataFrame) -> Habits | None:
    """Return what is kept of a log that changed."""
    weight = pl.col("weight").sum() if "weight" in units.columns else pl.len()
    same = units.with_row_index("first").group_by("sequence", maintain_order=True)
    kept = same.agg(weight.cast(pl.Float64).alias("weight"), pl.col("templates", "first").first())
    if int(kept["templates"].list.len().sum()) > _MOST_KEPT:
        return None
    return Habits(decision, kept.sort("weight", "first", descending=[True, False]).select("templates", "weight"))


def _is_quick(detector: Detector) -> bool:
    """Whether it learns from sequences alone, without labels or a network."""
    return not (detector.needs or detector.supervised or set(detector.trains_with) - {"sklearn"})

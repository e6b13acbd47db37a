"""Fit the views, calibrate them out of fold, refit them on everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide import Decision, Threshold
from offbeat.detect import DETECTORS, Detector, Ragged
from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.evaluate.order import swap_check

Floats = NDArray[np.float64]

#: Views in use unless others are asked for; the anchor first.
DEFAULT = ("presence", "count", "lstm")
#: Below this many units no share can be told from another.
LEAST_UNITS = 20
_FOLDS = 3


@dataclass
class Learned:
    """Detectors refitted on everything, the decision, and what cross-fitting showed.

    Attributes:
        views: fitted detectors by name, the anchor first.
        decision: calibrations, discounts and the threshold.
        out_of_fold: raw scores of the training units by view, each by models that did not see the unit, shape (n,).
        order_check: by view, the recall of swapped neighbours at 2 % false positives; None where it cannot be said.
        contaminated: units left out as known anomalies.
    """

    views: dict[str, Detector]
    decision: Decision
    out_of_fold: dict[str, Floats] = field(default_factory=dict)
    order_check: dict[str, float] | None = None


def make_views(names: Sequence[str], params: Mapping[str, Any], seed: int) -> dict[str, Detector]:
    """Return unfitted detectors by name.

    Args:
        names: of detectors; the anchor is put first.
        params: ``name`` or ``detector.name`` to value; each must fit a detector in use.
        seed: for those that take one.

    Raises:
        OptionError: an unknown detector or parameter.
    """
    for name in names:
        if name not in DETECTORS:
            raise OptionError(
                f"there is no detector {name!r}", where="--detector", hint="one of: " + ", ".join(DETECTORS)
            )
    views = {name: DETECTORS[name]() for name in sorted(dict.fromkeys(names), key=lambda n: n != "presence")}
    for detector in views.values():
        if "seed" in detector.get_params():
            detector.set_params(seed=seed)
    for full, value in params.items():
        of, _, name = full.rpartition(".")
        targets = [d for d in views.values() if name in d.get_params() and of in ("", d.name)]
        if not targets:
            known = sorted({f"{d.name}.{p}" for d in views.values() for p in d.get_params()})
            raise OptionError(f"no detector in use has a parameter {full!r}", where="--param", hint=", ".join(known))
        for detector in targets:
            detector.set_params(**{name: _like(getattr(detector, name), value, full)})
    return views


def _like(old: Any, value: Any, name: str) -> Any:
    """Return a value given as text in the type of the parameter's default."""
    if not isinstance(value, str) or isinstance(old, str):
        return value
    try:
        return type(old)(float(value)) if isinstance(old, int) else type(old)(value)
    except ValueError:
        raise OptionError(f"{value!r} is no {type(old).__name__}", where=f"--param {name}") from None


def learn(
    units: pl.DataFrame,
    views: Callable[[], dict[str, Detector]],
    *,
    clean: bool,
    rule: Threshold | None,
    seed: int,
    progress: Callable[[str], None] = lambda _: None,
) -> Learned:
    """Learn from units: fit each view without a third of them and score that third; decide; refit on everything.

    A unit is scored by a model that did not see it, though it may have seen others just like it: what is common is
    normal. Folds are random (seeded), for contiguous ones were measured to calibrate worse on short logs.

    Raises:
        NotEnoughDataError: there are fewer than LEAST_UNITS units.
    """
    if units.height < LEAST_UNITS:
        raise NotEnoughDataError(
            f"{units.height} units are too few to learn from; at least {LEAST_UNITS} are needed",
            where="training data",
            hint="a longer log, or smaller windows: --window 20",
        )
    data = Ragged.of(units)
    first, index = data.distinct
    distinct = units.select("templates")[first]
    fold = np.random.Generator(np.random.PCG64(seed)).permutation(units.height) % _FOLDS
    out = {name: np.zeros(units.height) for name in views()}
    check = None
    for k in range(_FOLDS):
        progress(f"cross-fitting, part {k + 1} of {_FOLDS}")
        weight = np.bincount(index, weights=data.weight * (fold != k), minlength=len(first))
        seen = np.flatnonzero(weight > 0)
        train = distinct[seen].with_columns(weight=pl.Series(weight[seen], dtype=pl.Float64))
        asked = np.unique(index[fold == k])
        place = np.full(len(first), -1)
        place[asked] = np.arange(len(asked))
        fitted = {name: detector.fit(train) for name, detector in views().items()}
        for name, detector in fitted.items():
            scores = detector.anomaly_score(distinct[asked]).to_numpy()
            out[name][fold == k] = scores[place[index[fold == k]]]
        if k == 0 and "lstm" in fitted:
            scorers = {name: d.anomaly_score for name, d in fitted.items()}
            scorers["ngram"] = DETECTORS["ngram"]().fit(train).anomaly_score
            check = swap_check(units["templates"].gather(np.flatnonzero(fold == k)), scorers, seed)
    decision = Decision.fit(out, data.weight, clean=clean, rule=rule)
    progress("learning from everything")
    weight = np.bincount(index, weights=data.weight, minlength=len(first))
    everything = distinct.with_columns(weight=pl.Series(weight, dtype=pl.Float64))
    return Learned({n: d.fit(everything) for n, d in views().items()}, decision, out, check)


def score_views(views: Mapping[str, Detector], units: pl.DataFrame) -> dict[str, Floats]:
    """Return each view's raw score of each unit, shape (n,); every distinct sequence is scored once."""
    data = Ragged.of(units)
    first, index = data.distinct
    distinct = units.select("templates")[first]
    return {name: detector.anomaly_score(distinct).to_numpy()[index] for name, detector in views.items()}

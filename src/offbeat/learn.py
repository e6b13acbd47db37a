"""Fit the views, calibrate them out of fold, refit them on everything."""

from __future__ import annotations

import difflib
import importlib.util
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide import GROUP, Decision, Groups, Threshold, asked_share, on_units
from offbeat.decide.decision import ANCHOR, ORDER
from offbeat.detect import DETECTORS, Detector, NGram
from offbeat.distinct import Distinct
from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.evaluate.order import swap_check

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: Views in use unless others are asked for; the anchor first.
DEFAULT = (
    "presence",
    "count",
    "lstm",
    "ngram",
    "end",
    "count-vector",
    "isolation-forest",
    "new-template",
    "timing",
    "values",
    "length",
)
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
        absent: views left out, and what they lack.
        usual: the most frequent sequences, ``templates`` and ``weight``, to compare with in explanations.
        seconds: CPU time that fitting each view and scoring out of fold took.
        kept: the same as ``out_of_fold`` by the refitted views themselves, with the units' groups; empty unless the
            threshold asks for a rate.
    """

    views: dict[str, Detector]
    decision: Decision
    out_of_fold: dict[str, Floats] = field(default_factory=dict)
    order_check: dict[str, float] | None = None
    absent: dict[str, str] = field(default_factory=dict)
    usual: pl.DataFrame | None = None
    seconds: dict[str, float] = field(default_factory=dict)
    kept: dict[str, Floats] = field(default_factory=dict)


def make_views(names: Sequence[str], params: Mapping[str, Any], seed: int) -> dict[str, Detector]:
    """Return unfitted detectors by name.

    Args:
        names: of detectors; the anchor is put first.
        params: ``name`` or ``detector.name`` to value; each must fit a detector in use.
        seed: for those that take one.

    Raises:
        OptionError: an unknown detector or parameter.
    """
    if not names:
        raise OptionError("names no detector", where="--detector", hint="one or more of: " + ", ".join(DETECTORS))
    for name in names:
        if name not in DETECTORS:
            close = difflib.get_close_matches(name, DETECTORS, n=1)
            hint = f"did you mean {close[0]}? " if close else ""
            hint += "one of: " + ", ".join(DETECTORS)
            raise OptionError(f"there is no detector {name!r}", where="--detector", hint=hint)
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
    return {name: detector.check_params() for name, detector in views.items()}


#: What a value is not, by the type of the default.
_KINDS: Final = {bool: "neither true nor false", int: "no whole number", float: "no number"}


def _like(old: Any, value: Any, name: str) -> Any:
    """Return a value given as text in the type of the parameter's default."""
    if not isinstance(value, str) or isinstance(old, str):
        return value
    if isinstance(old, bool) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    try:
        number = float(value)
        if isinstance(old, bool) or (isinstance(old, int) and not number.is_integer()):
            raise ValueError
        return int(number) if isinstance(old, int) else number
    except ValueError:
        kind = _KINDS.get(type(old), f"no {type(old).__name__}")
        raise OptionError(f"{value!r} is {kind}", where=f"--param {name}", hint=f"by default {old}") from None


def learn(
    units: pl.DataFrame,
    views: Callable[[], dict[str, Detector]],
    *,
    clean: bool,
    rule: Threshold | None,
    seed: int,
    anomalous: Bools | None = None,
    texts: Sequence[str] = (),
    folds: int = _FOLDS,
    by_group: bool = True,
    progress: Callable[[str], None] = lambda _: None,
) -> Learned:
    """Learn from units: fit each view without a third of them and score that third; decide; refit on everything.

    A unit is scored by a model that did not see it, though it may have seen others just like it: what is common is
    normal. Folds are random (seeded), for contiguous ones were measured to calibrate worse on short logs. Known
    anomalies are shown to detectors that learn from labels, and to nothing else.

    Args:
        units: SEQUENCES, n of them.
        views: makes unfitted detectors by name.
        clean: the units that are not known to be anomalous are declared normal.
        rule: how to find the threshold; see ``Decision.fit``.
        seed: of the folds.
        anomalous: true for a known anomaly, shape (n,); None where there are no labels.
        texts: of the templates by code, where there are texts.
        folds: thirds that are held out in turn; with fewer than three, calibration has only these to go by, and units
            of the others have no raw score out of fold.
        by_group: calibrate by source and hour of the day, where there are units enough.
        progress: called with a few words.

    Raises:
        NotEnoughDataError: there are fewer than LEAST_UNITS units.
        OptionError: a detector needs labels, and there are none.
    """
    check_enough(units)
    names, absent = _usable(views(), units)

    def fresh() -> dict[str, Detector]:
        made = {name: detector for name, detector in views().items() if name in names}
        for detector in made.values():
            detector.texts = texts
        return made

    taught = _taught(fresh(), anomalous)
    seen = Distinct(units, anomalous)
    fold = dealt(units.height, seed)
    if anomalous is not None:
        # Known anomalies are few: they are dealt out by themselves, so that every fold holds its share of them.
        fold[anomalous] = np.arange(anomalous.sum()) % _FOLDS
    check = None

    def look(k: int, fitted: Mapping[str, Detector]) -> None:
        nonlocal check
        if k == 0 and "lstm" in fitted:
            held = fold == k
            scorers = {name: d.anomaly_score for name, d in fitted.items() if not d.needs}
            scorers["ngram"] = seen.fit(DETECTORS["ngram"](), ~held).anomaly_score
            check = swap_check(units["templates"].gather(np.flatnonzero(held & ~seen.anomalous)), scorers, seed)

    out = _cross_fit(fresh, seen, fold, look, progress, folds)
    progress("learning from everything")
    everything = np.ones(units.height, dtype=bool)
    refitted = {name: seen.fit(detector, everything) for name, detector in fresh().items()}
    normal, known = ~seen.anomalous & (fold < folds), seen.anomalous & (fold < folds)
    weight = seen.data.weight[normal]
    groups = Groups.find(units.filter(normal), weight) if by_group else None
    beside = {} if groups is None else {GROUP: groups.of(units)[normal].astype(np.float64)}
    rule = on_units(rule, units.filter(normal))
    asked = asked_share(rule) is not None
    leaders = {ANCHOR, ORDER} & set(refitted) - set(taught)
    reaching = {name for name, detector in refitted.items() if not (detector.in_nats or name in taught)} | leaders
    kept = {name: seen.score(d, normal) for name, d in refitted.items() if asked or name in reaching}
    raw = {name: scores[normal] for name, scores in out.items()}
    reach = {name: float(kept[name].max()) for name in reaching}
    kept = kept | beside if asked else {}
    decision = Decision.fit(
        raw | beside,
        weight,
        clean=clean,
        rule=rule,
        taught={name: out[name][known] for name in taught},
        boundary={name: b for name, d in refitted.items() if name in taught and (b := d.boundary) is not None},
        in_nats={name for name, detector in fresh().items() if detector.in_nats},
        growth=_FOLDS / (_FOLDS - 1),
        reach=reach,
        anchor=ORDER if not clean and _cut(refitted.get(ORDER)) else ANCHOR,
        groups=groups,
        kept=kept or None,
    )
    return Learned(refitted, decision, out, check, absent, seen.most_frequent(), dict(seen.seconds), kept)


def _taught(views: Mapping[str, Detector], anomalous: Bools | None) -> list[str]:
    """Return the names of the views that are shown labels, those that need them first.

    Raises:
        OptionError: one needs labels, and there are none, or all are the same.
    """
    needy = [name for name, detector in views.items() if detector.supervised]
    if anomalous is not None and anomalous.any() and not anomalous.all():
        return needy + [name for name, detector in views.items() if detector.takes_labels]
    if needy:
        lack = "there are none" if anomalous is None else "all units have the same"
        raise OptionError(f"learns from labels, and {lack}", where=f"detector {needy[0]}", hint="--labels CSV")
    return []


def check_enough(units: pl.DataFrame) -> None:
    """Raise NotEnoughDataError where there are too few units: how many there are, and how much more is needed."""
    if units.height >= LEAST_UNITS:
        return
    n, events = units.height, int(units["templates"].list.len().sum())
    many = "unit" if n == 1 else "units"
    holds = f"{events:,} event{'' if events == 1 else 's'}"
    size = events // LEAST_UNITS
    # Fewer lines than that say next to nothing about what belongs together.
    smaller = f", or smaller windows: --window {size}" if size >= 5 else ""
    raise NotEnoughDataError(
        f"only {n} {many} to learn from, of {holds} in all; at least {LEAST_UNITS} are needed",
        where="training data",
        hint=f"a log {_longer(n)} as long{smaller}",
    )


def _longer(units: int) -> str:
    """Say how many times as long a log with so many units would have to be."""
    times = math.ceil(LEAST_UNITS / units) if units else 0
    return "many times" if not units else "twice" if times == 2 else f"about {times} times"


def _cross_fit(
    fresh: Callable[[], dict[str, Detector]],
    seen: Distinct,
    fold: Ints,
    look: Callable[[int, Mapping[str, Detector]], None] = lambda k, fitted: None,
    progress: Callable[[str], None] = lambda _: None,
    folds: int = _FOLDS,
) -> dict[str, Floats]:
    """Return each view's raw scores, every fold's by detectors that did not see it; ``look`` is shown those."""
    out = {name: np.zeros(len(fold)) for name in fresh()}
    for k in range(folds):
        progress(f"cross-fitting, part {k + 1} of {folds}")
        fitted = {name: seen.fit(detector, fold != k) for name, detector in fresh().items()}
        for name, detector in fitted.items():
            out[name][fold == k] = seen.score(detector, fold == k)
        look(k, fitted)
    return out


def dealt(n: int, seed: int) -> Ints:
    """Return the fold of each of ``n`` units, in order: 0, 1 or 2, at random."""
    return np.random.Generator(np.random.PCG64(seed)).permutation(n) % _FOLDS


def score_each_other(units: pl.DataFrame, views: Callable[[], dict[str, Detector]], seed: int) -> dict[str, Floats]:
    """Return raw scores of units by what the others show to be usual, shape (n,) a view; nothing learned is asked."""
    return _cross_fit(views, Distinct(units), dealt(units.height, seed))


def fit_alone(
    detector: Detector, units: pl.DataFrame, anomalous: Bools | None = None, texts: Sequence[str] = ()
) -> Detector:
    """Fit one detector on units, without calibration.

    Args:
        detector: to be fitted.
        units: SEQUENCES, n of them.
        anomalous: true for a known anomaly, shape (n,): left out, or learned from by detectors that learn from labels.
        texts: of the templates by code, where there are texts.

    Raises:
        OptionError: the detector cannot learn from these units.
    """
    _usable({detector.name: detector}, units)
    detector.texts = texts
    return Distinct(units, anomalous).fit(detector, np.ones(units.height, dtype=bool))


def _cut(order: Detector | None) -> bool:
    """Whether units are cut from a stream, so that the events they start with tell nothing."""
    return isinstance(order, NGram) and not order.starts_


def _usable(views: Mapping[str, Detector], units: pl.DataFrame) -> tuple[list[str], dict[str, str]]:
    """Return the names of the views that can be learned, and what the others lack: columns, or a module.

    Raises:
        OptionError: none can.
    """
    absent = {}
    for name, detector in views.items():
        for column in detector.needs:
            if column not in units.columns or units[column].explode().null_count() == len(units[column].explode()):
                absent[name] = f"no {column}"
        if detector.needs_ends and not _end(units):
            absent[name] = "units end where they are cut"
        for module in detector.trains_with:
            if importlib.util.find_spec(module) is None:
                absent[name] = f"{module} is not installed: pip install 'offbeat[train]'"
    if len(absent) == len(views):
        what = "; ".join(f"{name}: {why}" for name, why in absent.items())
        raise OptionError(f"no view is left to learn ({what})", where="--detector", hint="ask for others")
    return [name for name in views if name not in absent], absent


def _end(units: pl.DataFrame) -> bool:
    """Whether enough units end by themselves: not cut off by the input, nor windows, which are all as long."""
    ended = units.filter(~pl.col("open_at_end")) if "open_at_end" in units.columns else units
    lengths = ended["templates"].list.len()
    return lengths.len() >= LEAST_UNITS and int((lengths != lengths.max()).sum()) > 1

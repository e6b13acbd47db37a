"""One detector with one seed on one split: fit, score and measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.bench.tasks import UNALTERED, WHOLE, Outcome, Task, label_problem
from offbeat.codes import Ids
from offbeat.decide import Decision, check_drift
from offbeat.detect import Ragged
from offbeat.distinct import score_views
from offbeat.evaluate.delay import first_alarms, incidents_of
from offbeat.evaluate.metrics import measure
from offbeat.evaluate.order import ALTERATIONS, alter, recall_at
from offbeat.evaluate.perturb import PERTURBATIONS, SHARES, perturb
from offbeat.evaluate.protocols import Split
from offbeat.intake import Intake, Options
from offbeat.learn import Learned, fit_alone, make_views
from offbeat.pipeline import Pipeline
from offbeat.rules import RuleSet

_ALTERED: Final = 0.02

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def run_task(
    split: Split, task: Task, *, folds: int | None = None, decision: Decision | None = None
) -> dict[str, Outcome]:
    """Fit, score and measure; rows for all units, with duplicate sequences counted once, and of perturbed units.

    Args:
        split: what to measure on.
        task: what to measure.
        folds: thirds held out in turn to calibrate by; ``task.folds`` unless given.
        decision: calibration and threshold of the seed ``task.after``; without it they are found anew.

    Returns:
        The outcome by detector: the task's own, and those of ``task.also``.

    Raises:
        OptionError: the detector learns from labels and the split hides them.
    """
    problem = label_problem(task, split)
    if problem:
        raise problem
    known = split.train["label"] if split.labels == "known" or (task.supervised and split.labels != "hidden") else None
    pipeline = Pipeline(
        detectors=task.views, params=task.own_params, clean=split.clean, seed=task.seed, rules=RuleSet()
    )
    pipeline.folds = task.folds if folds is None else folds
    began = time.process_time()
    if task.after is None or decision is None:
        pipeline.fit(_seen(split.train), known)
    else:
        _fit_with(pipeline, split, known, decision)
    spent = time.process_time() - began
    out = {task.detector: _outcome(split, task, pipeline, spent)}
    for name in task.also:
        one, seconds = _alone(pipeline, split, known, name)
        out[name] = _outcome(split, replace(task, detector=name, also=()), one, seconds)
    return out


def _outcome(split: Split, task: Task, pipeline: Pipeline, fit_seconds: float) -> Outcome:
    """Score the test part and measure."""
    began = time.process_time()
    found = _judged(split, task, pipeline)
    scored = time.process_time() - began
    common = {
        "detector": task.detector,
        "seed": task.seed,
        "fit_seconds": round(fit_seconds, 2),
        "score_seconds": round(scored, 2),
        "threshold": found.threshold,
        "stated_share": pipeline.fitted.decision.alert_share,
        "recalibrated": found.recalibrated,
        "swapped": _swapped(pipeline, split, task.seed),
        "views": ", ".join(pipeline.fitted.views),
        "absent": "; ".join(f"{view}: {why}" for view, why in pipeline.fitted.absent.items()),
        "params": {f"{view}.{k}": v for view, d in pipeline.fitted.views.items() for k, v in d.get_params().items()},
    }
    rows = _measured(split, pipeline, found)
    if task.perturb:
        rows += _perturbed(split, pipeline, task.seed)
    scores = pl.DataFrame({"score": found.score, "is_anomaly": found.flagged})
    return Outcome([common | row for row in rows], scores, pipeline.fitted.decision)


@dataclass(frozen=True)
class _Verdicts:
    """Scores and verdicts, each of shape (n,), and how they came about."""

    score: Floats
    flagged: Bools
    threshold: float
    recalibrated: bool


def _judged(split: Split, task: Task, pipeline: Pipeline) -> _Verdicts:
    """Score the test part: the whole as users do, a detector by itself alone.

    Where far more is improbable than in training, both raise the threshold to where the test part's own scores set some
    apart. The whole then also judges the log by its own habits, which is no merit of a single detector.
    """
    if task.whole:
        run = pipeline.score(_seen(split.test))
        score, flagged = run.scores["score"].to_numpy(), run.scores["is_anomaly"].to_numpy()
        return _Verdicts(score, flagged, run.threshold, run.drift is not None)
    units, decision = _codes(pipeline, split.test), pipeline.fitted.decision
    fused = decision(decision.with_group(score_views(pipeline.fitted.views, units, pipeline.texts), units))
    drift = check_drift(decision, fused, Ragged.of(units).weight)
    threshold = drift.threshold if drift else decision.threshold
    return _Verdicts(fused, fused >= threshold, threshold, drift is not None)


def _fit_with(pipeline: Pipeline, split: Split, known: pl.Series | None, decision: Decision) -> None:
    """Fit the one view of a pipeline, to be decided on as another seed of it is."""
    intake, ids = Intake(_seen(split.train), Options()), Ids()
    units = intake.sequences(ids, pipeline.sources)
    ids.known = len(ids.texts)
    pipeline.grouping, pipeline.catalog = intake.grouping(), ids
    (detector,) = make_views(pipeline.detectors, pipeline.params, pipeline.seed).values()
    anomalous = None if known is None else known.to_numpy()
    fit_alone(detector, units, anomalous, pipeline.texts)
    pipeline.learned = Learned({detector.name: detector}, decision)


def _alone(whole: Pipeline, split: Split, known: pl.Series | None, name: str) -> tuple[Pipeline, float]:
    """Return one view of a fitted whole as a pipeline of its own, and what of the fitting was its.

    What it learned and its raw scores out of fold are there; calibration and threshold are made anew from these alone.
    """
    learned = whole.fitted
    one = Pipeline(detectors=(name,), params=whole.params, clean=whole.clean, seed=whole.seed, rules=RuleSet())
    one.grouping, one.catalog, one.sources, one.summary = whole.grouping, whole.catalog, whole.sources, whole.summary
    units = _codes(whole, split.train)
    normal = np.ones(units.height, dtype=bool) if known is None else ~known.to_numpy()
    raw = {name: learned.out_of_fold[name]}
    decision = Decision.fit({name: raw[name][normal]}, Ragged.of(units).weight[normal], clean=whole.clean)
    one.learned = Learned({name: learned.views[name]}, decision, raw)
    return one, learned.seconds[name]


def _seen(units: pl.DataFrame) -> pl.DataFrame:
    """Leave out what nobody knows while learning and scoring."""
    return units.drop("label", "incident", strict=False)


def _measured(split: Split, pipeline: Pipeline, found: _Verdicts) -> list[dict[str, Any]]:
    """Return the figures of all units, and with duplicate sequences counted once."""
    test, y = split.test, split.test["label"].to_numpy()
    weight = test["weight"].to_numpy() if "weight" in test.columns else None
    distinct = Ragged.of(_codes(pipeline, test)).hashes[:, 0]
    every: dict[str, Any] = {"counted": "all"} | measure(y, found.score, found.flagged, weight).as_dict()
    if split.ordered:
        incident = test["incident"] if "incident" in test.columns else incidents_of(y)
        late = first_alarms(incident, found.flagged, test["start"] if "start" in test.columns else None)
        every |= {"incidents": late.incidents, "incidents_found": late.found, "delay_units": late.units,
                  "delay_seconds": late.seconds}  # fmt: skip
    return [every, {"counted": "distinct"} | measure(y, found.score, found.flagged, distinct=distinct).as_dict()]


def _perturbed(split: Split, pipeline: Pipeline, seed: int) -> list[dict[str, Any]]:
    """Return the figures of the test part as it is and altered in each way, at each share, by what was learned alone.

    A pipeline judges a log that no longer fits by its own habits as well; here that is left out, for it would take a
    network's training for each.
    """
    decision = pipeline.fitted.decision
    rows = []
    for how, share in [(UNALTERED, 0.0), *((how, share) for how in PERTURBATIONS for share in SHARES)]:
        altered = split.test if how == UNALTERED else perturb(split.test, how, share, seed)
        units = _codes(pipeline, altered)
        fused = decision(decision.with_group(score_views(pipeline.fitted.views, units, pipeline.texts), units))
        y, weight = altered["label"].to_numpy(), Ragged.of(units).weight
        row: dict[str, Any] = {"counted": "all", "perturbed": how, "share": share}
        rows.append(row | measure(y, fused, fused >= decision.threshold, weight).as_dict())
    return rows


def _codes(pipeline: Pipeline, frame: pl.DataFrame) -> pl.DataFrame:
    return Intake(_seen(frame), Options()).sequences(pipeline.ids, pipeline.sources)


def order_table(pipeline: Pipeline, split: Split, seed: int) -> list[dict[str, Any]]:
    """Return which view notices which change: the recall at 2 % false positives, a row for each alteration.

    2 % of the normal test units are altered; ``channels`` are the views that see single changes, under one budget.
    Views that read more than templates are left out, for an altered sequence has no times.
    """
    normal = _codes(pipeline, split.test.filter(~pl.col("label")))
    decision = pipeline.fitted.decision
    views = {name: detector for name, detector in pipeline.fitted.views.items() if not detector.needs}
    rows = []
    for how in ALTERATIONS:
        sequences, altered = alter(normal["templates"], _ALTERED, seed, how)
        raw = score_views(views, normal.with_columns(templates=sequences))
        row: dict[str, Any] = {"altered": how, "seed": seed}
        row |= {view: recall_at(s, altered) for view, s in raw.items()}
        rows.append(row | {"channels": recall_at(decision.channels(raw), altered)})
    return rows


def _swapped(pipeline: Pipeline, split: Split, seed: int) -> float | None:
    """Return the recall of swapped neighbours in 2 % of the normal test units, at 2 % false positives.

    Asked of the order channel where there is one, else of the detector itself; None where there is nothing to swap.
    """
    normal = _codes(pipeline, split.test.filter(~pl.col("label")))
    swapped, altered = alter(normal["templates"], _ALTERED, seed)
    if not altered.any():
        return None
    views = pipeline.fitted.views
    view = "lstm" if "lstm" in views else next(iter(views))
    raw = score_views({view: views[view]}, normal.with_columns(templates=swapped), pipeline.texts)
    return recall_at(raw[view], altered)


def run_views(split: Split, seed: int) -> tuple[dict[str, Outcome], list[dict[str, Any]]]:
    """Fit the whole once; return the outcomes of it and of each of its views alone, and the rows of ``order_table``."""
    task = Task(WHOLE, seed)
    pipeline = Pipeline(detectors=task.views, clean=split.clean, seed=seed, rules=RuleSet())
    known = split.train["label"] if split.labels == "known" else None
    began = time.process_time()
    pipeline.fit(_seen(split.train), known)
    out = {WHOLE: _outcome(split, task, pipeline, time.process_time() - began)}
    for name in pipeline.fitted.views:
        one, seconds = _alone(pipeline, split, known, name)
        out[name] = _outcome(split, replace(task, detector=name), one, seconds)
    return out, order_table(pipeline, split, seed)


def run_order(split: Split, seeds: Iterable[int], progress: Callable[[str], None] = lambda _: None) -> pl.DataFrame:
    """Return the order table of the whole, the mean over seeds, one row an alteration."""
    rows = []
    known = split.train["label"] if split.labels == "known" else None
    for seed in seeds:
        progress(f"{split.name}: alterations, seed {seed}")
        pipeline = Pipeline(clean=split.clean, seed=seed, rules=RuleSet()).fit(_seen(split.train), known)
        rows += order_table(pipeline, split, seed)
    return pl.DataFrame(rows).drop("seed").group_by("altered", maintain_order=True).mean()

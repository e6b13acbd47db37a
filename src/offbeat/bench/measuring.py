"""One detector with one seed on one split: fit, score and measure."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide import Decision
from offbeat.detect import DETECTORS, Ragged
from offbeat.errors import OffbeatError, OptionError
from offbeat.evaluate.delay import first_alarms, incidents_of
from offbeat.evaluate.metrics import measure
from offbeat.evaluate.order import ALTERATIONS, alter, recall_at
from offbeat.evaluate.perturb import PERTURBATIONS, SHARES, perturb
from offbeat.evaluate.protocols import Split
from offbeat.intake import Intake, Options
from offbeat.learn import DEFAULT, Learned, score_views
from offbeat.pipeline import Pipeline
from offbeat.rules import RuleSet

#: All default views together, fused; and the same without the LSTM, which says what that adds.
WHOLE: Final = "offbeat"
WITHOUT: Final = "offbeat-without-lstm"
#: What stands for the test part as it is, among those altered.
UNALTERED: Final = "as it is"
#: What a row of results holds besides the detector, the seed and how often a sequence counts.
METRICS: Final = (
    "precision",
    "recall",
    "f1",
    "f1_half",
    "f1_twice",
    "accuracy",
    "fpr",
    "ap",
    "auc",
    "mcc",
    "alerts_per_1000",
    "best_f1",
)
_ALTERED: Final = 0.02

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Task:
    """One detector, or the whole, with one seed on one split.

    Attributes:
        detector: a name, WHOLE or WITHOUT.
        seed: of everything random.
        params: parameters of detectors by ``name`` or ``detector.name``; those of other detectors are passed over.
        perturb: also score the test part reworded, dropped, doubled and reordered.
        also: views of the whole to be measured by themselves as well, for they need not be fitted twice.
    """

    detector: str
    seed: int
    params: Mapping[str, Any] = field(default_factory=dict)
    perturb: bool = False
    also: tuple[str, ...] = ()

    @property
    def views(self) -> tuple[str, ...]:
        """The views to fit."""
        if self.detector in (WHOLE, WITHOUT):
            return tuple(name for name in DEFAULT if self.detector == WHOLE or name != "lstm")
        return (self.detector,)

    @property
    def random(self) -> bool:
        """Whether the seed makes a difference beyond how training is cut for calibration."""
        return any("seed" in DETECTORS[name]().get_params() for name in self.views)

    @property
    def network(self) -> bool:
        """Whether it trains a network, which takes longer than all else."""
        return any("torch" in DETECTORS[name].trains_with for name in self.views)

    @property
    def folds(self) -> int:
        """Thirds of the training units held out in turn to calibrate by: all for the whole, one for a network alone."""
        return 1 if self.network and self.detector not in (WHOLE, WITHOUT) else 3

    @property
    def supervised(self) -> bool:
        """Whether it learns from labels."""
        return any(DETECTORS[name].supervised for name in self.views)

    @property
    def own_params(self) -> dict[str, Any]:
        """The parameters that one of its views has."""
        out = {}
        for full, value in self.params.items():
            of, _, name = full.rpartition(".")
            if any(of in ("", view) and name in DETECTORS[view]().get_params() for view in self.views):
                out[full] = value
        return out


@dataclass
class Outcome:
    """What came of measuring a detector.

    Attributes:
        rows: results, a row for each way of counting and for each perturbation.
        scores: ``score`` and ``is_anomaly`` of each test unit, in their order.
    """

    rows: list[dict[str, Any]]
    scores: pl.DataFrame


@dataclass(frozen=True)
class Result:
    """What came of measuring a detector with one seed, or why nothing did.

    Attributes:
        task: the detector and its seed.
        rows: see ``Outcome``; none where it failed.
        reason: why it failed; None where it did not.
        scores: the file of ``Outcome.scores``; None where it failed or was not kept.
    """

    task: Task
    rows: list[dict[str, Any]]
    reason: str | None = None
    scores: Path | None = None

    @property
    def ok(self) -> bool:
        """Whether there are figures."""
        return self.reason is None

    def read_scores(self) -> pl.DataFrame:
        """Return the scores; raises OffbeatError where none were kept."""
        if self.scores is None:
            raise OffbeatError("has no scores", where=f"detector {self.task.detector}")
        return pl.read_parquet(self.scores)


def run_task(split: Split, task: Task, folds: int | None = None) -> dict[str, Outcome]:
    """Fit, score and measure; rows for all units, with duplicate sequences counted once, and of perturbed units.

    Args:
        split: what to measure on.
        task: what to measure.
        folds: thirds held out in turn to calibrate by; ``task.folds`` unless given.

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
    pipeline.fit(_seen(split.train), known)
    spent = time.process_time() - began
    out = {task.detector: _outcome(split, task, pipeline, task.detector, spent)}
    for name in task.also:
        one, seconds = _alone(pipeline, split, known, name)
        out[name] = _outcome(split, task, one, name, seconds)
    return out


def _outcome(split: Split, task: Task, pipeline: Pipeline, detector: str, fit_seconds: float) -> Outcome:
    """Score the test part and measure."""
    began = time.process_time()
    run = pipeline.score(_seen(split.test))
    scored = time.process_time() - began
    common = {
        "detector": detector,
        "seed": task.seed,
        "fit_seconds": round(fit_seconds, 2),
        "score_seconds": round(scored, 2),
        "threshold": run.threshold,
        "stated_share": pipeline.fitted.decision.alert_share,
        "recalibrated": run.drift is not None,
        "swapped": _swapped(pipeline, split, task.seed),
        "views": ", ".join(pipeline.fitted.views),
        "absent": "; ".join(f"{view}: {why}" for view, why in pipeline.fitted.absent.items()),
        "params": {f"{view}.{k}": v for view, d in pipeline.fitted.views.items() for k, v in d.get_params().items()},
    }
    s = run.scores
    weight = s["weight"].to_numpy() if "weight" in s.columns else None
    rows = _measured(split, pipeline, s["score"].to_numpy(), s["is_anomaly"].to_numpy(), weight)
    if task.perturb:
        rows += _perturbed(split, pipeline, task.seed)
    return Outcome([common | row for row in rows], s.select("score", "is_anomaly"))


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


def check_labels(tasks: Iterable[Task], split: Split) -> None:
    """Raise OptionError where no task can do without the labels that the split does not give, or that are all alike.

    Where only some cannot, their rows say so.
    """
    problems = [label_problem(task, split) for task in tasks]
    if problems and all(problems):
        raise next(problem for problem in problems if problem)


def label_problem(task: Task, split: Split) -> OptionError | None:
    """Return what keeps a detector that learns from labels from learning."""
    if not task.supervised:
        return None
    if split.labels == "hidden":
        what, hint = f"{split.name} hides them while learning", "T1-sup, T2-sup, or your own files with --labels"
    elif split.train["label"].n_unique() < 2:
        what = f"the training part holds only {'anomalies' if split.train['label'].all() else 'normal units'}"
        hint = "leave it out, or name files whose first half holds both"
    else:
        return None
    return OptionError(f"learns from labels, and {what}", where=f"detector {task.detector}", hint=hint)


def _seen(units: pl.DataFrame) -> pl.DataFrame:
    """Leave out what nobody knows while learning and scoring."""
    return units.drop("label", "incident", strict=False)


def _measured(
    split: Split, pipeline: Pipeline, score: Floats, flagged: Bools, weight: Floats | None
) -> list[dict[str, Any]]:
    """Return the figures of all units, and with duplicate sequences counted once."""
    test, y = split.test, split.test["label"].to_numpy()
    distinct = Ragged.of(_codes(pipeline, test)).hashes[:, 0]
    every: dict[str, Any] = {"counted": "all"} | measure(y, score, flagged, weight).as_dict()
    if split.ordered:
        incident = test["incident"] if "incident" in test.columns else incidents_of(y)
        found = first_alarms(incident, flagged, test["start"] if "start" in test.columns else None)
        every |= {"incidents": found.incidents, "incidents_found": found.found, "delay_units": found.units,
                  "delay_seconds": found.seconds}  # fmt: skip
    return [every, {"counted": "distinct"} | measure(y, score, flagged, distinct=distinct).as_dict()]


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
        fused = decision(score_views(pipeline.fitted.views, units, pipeline.texts))
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


def run_order(split: Split, seeds: Iterable[int], progress: Callable[[str], None] = lambda _: None) -> pl.DataFrame:
    """Return the order table of the whole, the mean over seeds, one row an alteration."""
    rows = []
    known = split.train["label"] if split.labels == "known" else None
    for seed in seeds:
        progress(f"{split.name}: alterations, seed {seed}")
        pipeline = Pipeline(clean=split.clean, seed=seed, rules=RuleSet()).fit(_seen(split.train), known)
        rows += order_table(pipeline, split, seed)
    return pl.DataFrame(rows).drop("seed").group_by("altered", maintain_order=True).mean()


def as_frame(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Return rows of results as a table; what a row lacks is null."""
    texts = ("perturbed", "reason", "views", "absent")
    numbers = ("share", "delay_units", "delay_seconds", "swapped", "peak_mb", "fit_seconds", "score_seconds", *METRICS)
    counts = ("incidents", "incidents_found")
    kinds: dict[str, Any] = dict.fromkeys(texts, pl.String) | dict.fromkeys(numbers, pl.Float64)
    kinds |= dict.fromkeys(counts, pl.Int64)
    rows = [_whole_row(row, kinds) for row in rows]
    return pl.DataFrame(rows, infer_schema_length=None, schema_overrides=kinds)


def _whole_row(row: Mapping[str, Any], kinds: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row with every column that a table of results has, and no number that is none."""
    plain = {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in row.items()}
    return plain | {name: None for name in kinds if name not in plain}

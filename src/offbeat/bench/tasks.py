"""What is measured, and what comes of it: tasks, their outcomes, and rows of results."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.decide import Decision
from offbeat.detect import DETECTORS
from offbeat.errors import OffbeatError, OptionError
from offbeat.evaluate.protocols import Split
from offbeat.learn import DEFAULT

#: All default views together, fused; and the same without the LSTM, which says what that adds.
WHOLE: Final = "offbeat"
WITHOUT: Final = "offbeat-without-lstm"
#: What stands for the test part as it is, among those altered.
UNALTERED: Final = "as it is"
#: What a row of results holds besides the detector, the seed and how often a sequence counts.
METRICS: Final = (
    *("precision", "recall", "f1", "f1_half", "f1_twice", "accuracy", "fpr", "ap", "auc", "mcc"),
    *("alerts_per_1000", "best_f1"),
)


@dataclass(frozen=True)
class Task:
    """One detector, or the whole, with one seed on one split.

    Attributes:
        detector: a name, WHOLE or WITHOUT.
        seed: of everything random.
        params: parameters of detectors by ``name`` or ``detector.name``; those of other detectors are passed over.
        perturb: also score the test part reworded, dropped, doubled and reordered.
        also: views of the whole to be measured by themselves as well, for they need not be fitted twice.
        after: the seed whose calibration and threshold are taken over; None finds them by itself. Of a network that is
            trained with several seeds only the first is trained a second time, without what calibrates it.
    """

    detector: str
    seed: int
    params: Mapping[str, Any] = field(default_factory=dict)
    perturb: bool = False
    also: tuple[str, ...] = ()
    after: int | None = None

    @property
    def views(self) -> tuple[str, ...]:
        """The views to fit."""
        if self.whole:
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
        return 1 if self.network and not self.whole else 3

    @property
    def whole(self) -> bool:
        """Whether it is several views, fused."""
        return self.detector in (WHOLE, WITHOUT)

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
        decision: calibration and threshold, for other seeds.
    """

    rows: list[dict[str, Any]]
    scores: pl.DataFrame
    decision: Decision


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

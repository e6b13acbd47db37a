"""Measure detectors on a protocol, or on the user's own labelled files, reproducibly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.codes import Sources
from offbeat.detect import DETECTORS, Ragged
from offbeat.errors import InputError, OptionError
from offbeat.evaluate.labels import Labels
from offbeat.evaluate.metrics import measure
from offbeat.evaluate.order import ALTERATIONS, alter, recall_at
from offbeat.evaluate.protocols import Split, load
from offbeat.intake import Intake, Options, learn_units
from offbeat.learn import DEFAULT, score_views
from offbeat.pipeline import Pipeline, truth

#: All default views together, fused.
WHOLE: Final = "offbeat"
#: What a row of results holds besides the detector, the seed and how often a sequence counts.
METRICS: Final = ("precision", "recall", "f1", "fpr", "ap", "auc", "mcc", "alerts_per_1000", "best_f1")
_ALTERED: Final = 0.02


@dataclass(frozen=True)
class Task:
    """One detector, or the whole, with one seed on one split."""

    detector: str
    seed: int

    @property
    def views(self) -> tuple[str, ...]:
        """The views to fit."""
        return DEFAULT if self.detector == WHOLE else (self.detector,)


def read_units(path: Path, pattern: str) -> pl.DataFrame:
    """Return the sessions of a raw log by a pattern: key, start and templates, in the order of their starts."""
    intake = Intake(str(path), Options(session_by=pattern))
    units, _ = learn_units(intake, intake.grouping(), Sources())
    return units.select("key", "start", "templates")


def own_split(files: Sequence[str], labels: Labels, options: Options, share: float = 0.5) -> Split:
    """Return the user's own labelled files as a chronological split: the first ``share`` of the units to learn from.

    Known anomalies are left in the training part, as they would be.

    Raises:
        InputError: a part has no unit, or the test part only one class.
    """
    intake = Intake(list(files), options)
    grouping = intake.grouping()
    units, _ = learn_units(intake, grouping, Sources())
    units = units.with_columns(label=truth(labels, units, intake))
    half = int(units.height * share)
    train, test = units[:half], units[half:]
    if test["label"].n_unique() < 2:
        known = "anomalies" if test.height and test["label"].all() else "normal units"
        raise InputError(f"the test part holds only {known}, so nothing can be measured", where=str(labels.path))
    columns = ["key", "start", "templates", "label"]
    return Split(", ".join(files), train.select(columns), test.select(columns), False, grouping.unit)


def get_split(name: str, data: str | None) -> Split:
    """Return a protocol's split; raises OptionError without the folder."""
    if data is None:
        raise OptionError("needs the folder of its data", where=f"bench {name}", hint="--data DIR")
    return load(name, Path(data), read_units)


def run_task(split: Split, task: Task) -> list[dict[str, Any]]:
    """Fit, score and measure; returns a row for all units and one with duplicate sequences counted once."""
    began = time.perf_counter()
    pipeline = Pipeline(detectors=task.views, clean=split.clean, seed=task.seed).fit(split.train.drop("label"))
    fitted = time.perf_counter()
    run = pipeline.score(split.test.drop("label"))
    scored = time.perf_counter()
    y, s = split.test["label"].to_numpy(), run.scores
    score, flagged = s["score"].to_numpy(), s["is_anomaly"].to_numpy()
    weight = s["weight"].to_numpy() if "weight" in s.columns else None
    common = {
        "detector": task.detector,
        "seed": task.seed,
        "fit_seconds": round(fitted - began, 2),
        "score_seconds": round(scored - fitted, 2),
        "threshold": run.threshold,
        "stated_share": pipeline.fitted.decision.alert_share,
        "recalibrated": run.drift is not None,
        "swapped": _swapped(pipeline, split, task.seed),
    }
    distinct = Ragged.of(_codes(pipeline, split.test)).hashes[:, 0]
    every = measure(y, score, flagged, weight)
    once = measure(y, score, flagged, distinct=distinct)
    return [common | {"counted": word} | m.as_dict() for word, m in (("all", every), ("distinct", once))]


def _codes(pipeline: Pipeline, frame: pl.DataFrame) -> pl.DataFrame:
    return Intake(frame.drop("label"), Options()).sequences(pipeline.ids)


def order_table(pipeline: Pipeline, split: Split, seed: int) -> list[dict[str, Any]]:
    """Return which view notices which change: the recall at 2 % false positives, a row for each alteration.

    2 % of the normal test units are altered; ``channels`` are the views that see single changes, under one budget.
    """
    normal = _codes(pipeline, split.test.filter(~pl.col("label")))
    decision = pipeline.fitted.decision
    rows = []
    for how in ALTERATIONS:
        sequences, altered = alter(normal["templates"], _ALTERED, seed, how)
        raw = score_views(pipeline.fitted.views, normal.with_columns(templates=sequences))
        row: dict[str, Any] = {"altered": how, "seed": seed}
        row |= {view: recall_at(s, altered) for view, s in raw.items()}
        rows.append(row | {"channels": recall_at(decision.channels(raw), altered)})
    return rows


def _swapped(pipeline: Pipeline, split: Split, seed: int) -> float:
    """Return the recall of swapped neighbours in 2 % of the normal test units, at 2 % false positives.

    Asked of the order channel where there is one, else of the detector itself.
    """
    normal = _codes(pipeline, split.test.filter(~pl.col("label")))
    swapped, altered = alter(normal["templates"], _ALTERED, seed)
    raw = score_views(pipeline.fitted.views, normal.with_columns(templates=swapped))
    view = "lstm" if "lstm" in raw else next(iter(raw))
    return recall_at(raw[view], altered) if altered.any() else float("nan")


def run_order(split: Split, seeds: Iterable[int], progress: Callable[[str], None] = lambda _: None) -> pl.DataFrame:
    """Return the order table of the whole, the mean over seeds, one row an alteration."""
    rows = []
    for seed in seeds:
        progress(f"{split.name}: alterations, seed {seed}")
        pipeline = Pipeline(clean=split.clean, seed=seed).fit(split.train.drop("label"))
        rows += order_table(pipeline, split, seed)
    return pl.DataFrame(rows).drop("seed").group_by("altered", maintain_order=True).mean()


def run_bench(
    split: Split,
    detectors: Iterable[str],
    seeds: Iterable[int],
    progress: Callable[[str], None] = lambda _: None,
) -> pl.DataFrame:
    """Return one row a detector, seed and way of counting. Detectors without chance in them run once."""
    seeds = list(seeds)
    rows: list[dict[str, Any]] = []
    for detector in detectors:
        chance = detector == WHOLE or "seed" in DETECTORS[detector]().get_params()
        for seed in seeds if chance else seeds[:1]:
            progress(f"{split.name}: {detector}, seed {seed}")
            rows += run_task(split, Task(detector, seed))
    return pl.DataFrame(rows, infer_schema_length=None)


def summarise(results: pl.DataFrame) -> pl.DataFrame:
    """Return the mean over seeds, with the least and the largest F1 and AP, one row a detector and way of counting."""
    means = [pl.col(m).mean() for m in (*METRICS, "swapped", "fit_seconds", "score_seconds")]
    spread = [pl.col(m).min().alias(f"{m}_min") for m in ("f1", "ap")]
    spread += [pl.col(m).max().alias(f"{m}_max") for m in ("f1", "ap")]
    return results.group_by("detector", "counted", maintain_order=True).agg(*means, *spread, seeds=pl.len())


def known_detectors(text: str | None) -> list[str]:
    """Read ``a,b`` or ``all``; the whole comes first. Raises OptionError on a name that is none."""
    names = [WHOLE] if text is None else [WHOLE, *DETECTORS] if text == "all" else text.split(",")
    for name in names:
        if name not in (WHOLE, *DETECTORS):
            known = ", ".join((WHOLE, *DETECTORS))
            raise OptionError(f"there is no detector {name!r}", where="--detectors", hint=f"all, or some of: {known}")
    return names


def table(summary: pl.DataFrame) -> list[str]:
    """Return the summary as lines of Markdown."""
    heads = ["detector", "counted", "AP", "AP min–max", "own F1", "P", "R", "FPR", "best F1", "ROC AUC", "MCC",
             "alerts/1000", "swapped", "fit s", "score s"]  # fmt: skip
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    for r in summary.iter_rows(named=True):
        cells = [r["detector"], r["counted"], _f(r["ap"]), f"{_f(r['ap_min'])}–{_f(r['ap_max'])}", _f(r["f1"])]
        cells += [_f(r[k]) for k in ("precision", "recall", "fpr", "best_f1", "auc", "mcc")]
        cells += [_f(r["alerts_per_1000"], 1), _f(r["swapped"], 2), _f(r["fit_seconds"], 1), _f(r["score_seconds"], 2)]
        out.append("| " + " | ".join(cells) + " |")
    return out


def order_lines(frame: pl.DataFrame) -> list[str]:
    """Return the order table as lines of Markdown."""
    out = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * frame.width]
    return out + [
        "| " + " | ".join(_f(v, 2) if isinstance(v, float) else v for v in row) + " |" for row in frame.rows()
    ]


def _f(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or np.isnan(value) else f"{value:.{digits}f}"

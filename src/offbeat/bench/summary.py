"""Results over seeds, as a table for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.bench.tasks import METRICS, UNALTERED, WHOLE, WITHOUT, Task
from offbeat.detect import DETECTORS
from offbeat.errors import OptionError
from offbeat.learn import DEFAULT

#: Figures that are the mean over seeds.
_MEANS: Final = (*METRICS, "swapped", "incidents", "incidents_found", "delay_units", "delay_seconds", "fit_seconds",
                 "score_seconds", "peak_mb")  # fmt: skip
#: Head, column and digits of the table.
_SHOWN: Final = (
    ("own F1", "f1", 3), ("at half", "f1_half", 3), ("at twice", "f1_twice", 3),
    ("P", "precision", 3), ("R", "recall", 3), ("FPR", "fpr", 3), ("best F1", "best_f1", 3),
    ("ROC AUC", "auc", 3), ("MCC", "mcc", 3), ("alerts/1000", "alerts_per_1000", 1), ("delay", "delay_units", 1),
    ("swapped", "swapped", 2), ("fit s", "fit_seconds", 1), ("score s", "score_seconds", 2), ("MB", "peak_mb", 0),
)  # fmt: skip


def known_detectors(text: str | None) -> list[str]:
    """Read ``a,b`` or ``all``; the whole comes first. Raises OptionError on a name that is none."""
    every = [WHOLE, WITHOUT, *DETECTORS]
    names = [WHOLE] if text is None else every if text == "all" else [n.strip() for n in text.split(",") if n.strip()]
    for name in names:
        if name not in every:
            hint = f"all, or some of: {', '.join(every)}"
            raise OptionError(f"there is no detector {name!r}", where="--detectors", hint=hint)
    if not names:
        raise OptionError("names no detector", where="--detectors", hint="all, or one or more names")
    return list(dict.fromkeys(names))


def make_tasks(
    names: Iterable[str], seeds: Sequence[int], params: dict[str, Any] | None = None, perturb: bool = False
) -> list[Task]:
    """Return the tasks: every seed for what has chance in it, else the first one.

    Raises:
        OptionError: none of the detectors has a parameter of that name.
    """
    params = params or {}
    tasks = []
    for name in names:
        one = Task(name, seeds[0], params, perturb)
        tasks.append(one)
        if one.random:
            after = seeds[0] if one.network and not one.whole else None
            tasks += [Task(name, seed, params, perturb, after=after) for seed in seeds[1:]]
    if WHOLE in {task.detector for task in tasks}:
        # Of the views that the whole fits anyway, those that take long are not fitted twice.
        twice = {task.detector for task in tasks if task.network and task.detector in DEFAULT}
        tasks = [
            replace(task, also=tuple(sorted(twice))) if task.detector == WHOLE else task
            for task in tasks
            if task.detector not in twice
        ]
    for full in params:
        if not any(full in task.own_params for task in tasks):
            raise OptionError(f"no detector in use has a parameter {full!r}", where="--param")
    return tasks


def summarise(results: pl.DataFrame) -> pl.DataFrame:
    """Return the mean over seeds, with the least and the largest F1 and AP, one row a detector and way of counting.

    A detector that failed with every seed has a row, with the reason and without figures.
    """
    plain = results.filter(pl.col("perturbed").is_null())
    means = [pl.col(m).mean() for m in _MEANS if m in plain.columns]
    spread = [pl.col(m).min().alias(f"{m}_min") for m in ("f1", "ap")]
    spread += [pl.col(m).max().alias(f"{m}_max") for m in ("f1", "ap")]
    why = pl.col("reason").drop_nulls().first()
    seeds = pl.col("f1").is_not_null().sum().alias("seeds")
    out = plain.group_by("detector", "counted", maintain_order=True).agg(*means, *spread, seeds, reason=why)
    # A seed that failed has no second row: it is told where all units are counted.
    return out.filter((pl.col("seeds") > 0) | (pl.col("counted") == "all"))


def table(summary: pl.DataFrame) -> list[str]:
    """Return the summary as lines of Markdown."""
    heads = heads_of()
    out = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return out + ["| " + " | ".join(cells) + " |" for cells in cells_of(summary)]


def heads_of() -> list[str]:
    """Return the heads of ``cells_of``."""
    return ["detector", "counted", "AP", "AP min–max", *(head for head, _, _ in _SHOWN)]


def cells_of(summary: pl.DataFrame) -> list[list[str]]:
    """Return the summary's cells as text; a detector that failed has its reason instead of figures."""
    rows = []
    for r in summary.iter_rows(named=True):
        if not r["seeds"]:
            rows.append([r["detector"], f"failed: {r['reason']}", *[""] * (len(_SHOWN) + 2)])
            continue
        spread = f"{figure(r['ap_min'])}–{figure(r['ap_max'])}" if r["seeds"] > 1 else ""
        rows.append([r["detector"], r["counted"], figure(r["ap"]), spread,
                     *(figure(r.get(name), digits) for _, name, digits in _SHOWN)])  # fmt: skip
    return rows


def perturbed(results: pl.DataFrame) -> pl.DataFrame:
    """Return own and best F1 and AP of perturbed test parts, the mean over seeds: a row a detector, way and share.

    The unaltered part is there with share 0 for each way.
    """
    columns = ["detector", "perturbed", "share", "f1", "best_f1", "ap"]
    found = results.filter(pl.col("perturbed").is_not_null()).select(columns)
    altered = found.filter(pl.col("perturbed") != UNALTERED)
    ways = altered.select("perturbed").unique(maintain_order=True)
    plain = found.filter(pl.col("perturbed") == UNALTERED).drop("perturbed").join(ways, how="cross").select(columns)
    return pl.concat([plain, altered]).group_by("detector", "perturbed", "share", maintain_order=True).mean()


def order_lines(frame: pl.DataFrame) -> list[str]:
    """Return the order table as lines of Markdown."""
    out = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * frame.width]
    return out + [
        "| " + " | ".join(figure(v, 2) if isinstance(v, float) else v for v in row) + " |" for row in frame.rows()
    ]


def figure(value: float | None, digits: int = 3) -> str:
    """Return a figure, or a dash where there is none."""
    return "–" if value is None or np.isnan(value) else f"{value:,.{digits}f}"

"""What a benchmark's reports say, in plain values: figures, errors, and whether the LSTM is worth its cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.bench.analysis import Change, Group, Shapes, advice_on, advice_on_data, change
from offbeat.bench.compare import Keep, earns_its_keep
from offbeat.bench.summary import perturbed, summarise
from offbeat.bench.tasks import Result
from offbeat.evaluate.protocols import Split
from offbeat.schema import weights

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Detail:
    """One detector, with its first seed.

    Attributes:
        name: of the detector.
        figures: a row of results over all units.
        score, flagged: of each test unit, shape (n,).
        confusion: units by (label, alarm), by weight.
        missed, false: groups of alike anomalies without alarm, and of alike false alarms; how many groups are left out.
        advice: what to try with it.
    """

    name: str
    figures: Mapping[str, Any]
    score: Floats
    flagged: Bools
    confusion: list[list[float]]
    missed: tuple[list[Group], int]
    false: tuple[list[Group], int]
    advice: list[str]


@dataclass(frozen=True)
class Report:
    """All that is told of a benchmark.

    Attributes:
        about: what figures depend on, as in model.json.
        summary: means over seeds, the best first; see ``summarise``.
        altered: figures on altered lines; see ``perturbed``.
        label, weight: of each test unit, shape (n,).
        details: of each detector that did not fail, the best first.
        change: how training and test differ.
        advice: what to try for that.
        keep: whether the LSTM earns its keep.
    """

    about: Mapping[str, Any]
    summary: pl.DataFrame
    altered: pl.DataFrame
    label: Bools
    weight: Floats
    details: list[Detail]
    change: Change
    advice: list[str]
    keep: Keep

    @property
    def failed(self) -> list[tuple[str, str]]:
        """Detectors without figures, and why."""
        return [(r["detector"], r["reason"]) for r in self.summary.filter(pl.col("seeds") == 0).iter_rows(named=True)]


def gather(split: Split, results: Sequence[Result], table: pl.DataFrame, about: Mapping[str, Any]) -> Report:
    """Look at results.

    Args:
        split: what was measured on.
        results: what ``run_tasks`` gave.
        table: what ``collect`` makes of them.
        about: what figures depend on.
    """
    summary = _best_first(summarise(table))
    label = split.test["label"].to_numpy()
    weight = weights(split.test)
    shapes, differs = Shapes(split), change(split)
    details: dict[str, Detail] = {}
    for one in results:
        name = one.task.detector
        if one.ok and name not in details:
            scores = one.read_scores()
            score, flagged = scores["score"].to_numpy(), scores["is_anomaly"].to_numpy()
            row = one.rows[0]
            details[name] = Detail(
                name, row, score, flagged,
                [[float(weight[(label == a) & (flagged == b)].sum()) for b in (False, True)] for a in (False, True)],
                shapes.groups(label & ~flagged, score), shapes.groups(~label & flagged, score),
                advice_on(row, differs),
            )  # fmt: skip
    order = [str(name) for name in summary["detector"].unique(maintain_order=True) if name in details]
    return Report(
        about,
        summary,
        perturbed(table),
        label,
        weight,
        [details[name] for name in order],
        differs,
        advice_on_data(differs, split.labels == "known"),
        earns_its_keep(split, results, summary),
    )


def _best_first(summary: pl.DataFrame) -> pl.DataFrame:
    """Sort detectors by average precision over all units; those that failed come last."""
    best = summary.filter(pl.col("counted") == "all").select("detector", rank=pl.col("ap").fill_null(-1.0))
    joined = summary.join(best, on="detector", how="left", maintain_order="left")
    return joined.sort("rank", descending=True, maintain_order=True).drop("rank")

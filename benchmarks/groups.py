"""Do p-values hold within each source and hour? False alarms by group, calibrated pooled and by group.

    python benchmarks/groups.py DATA [NAME …] [--seeds 5]

DATA is the folder of the protocols' data. Each log is learned from by all default views but the LSTM. The units that it
was learned from, scored out of fold, are dealt into two halves at random: one calibrates, the other is judged, so that
what differs is calibration alone and not what changed from one day to the next. Judged at levels of 1 and 5 %: the
lowest and the highest share of alarms among the groups with 50 units or more in the judged half (all units, group 0,
left out), how far they are from
the level on average (weighted by units, as a share of the level), and the share over all, means over the deals. The
units may hold anomalies; no labels are looked at.

Prints a table in Markdown; for the protocols T1 to T3 only how many groups there are, for where there is none nothing
differs.
"""

from __future__ import annotations

import argparse
import gzip
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from offbeat.bench import get_split
from offbeat.decide import GROUP, Decision, Groups
from offbeat.decide.groups import LEAST as LEAST_UNITS
from offbeat.learn import DEFAULT
from offbeat.pipeline import Pipeline
from offbeat.rules import RuleSet
from offbeat.simulate import simulate

VIEWS = [name for name in DEFAULT if name != "lstm"]
LEVELS = (0.01, 0.05)
LEAST = 50


def shop(**options: Any) -> Callable[[Path], Pipeline]:
    """Return what learns 500,000 simulated entries, nine days."""

    def learned(_: Path) -> Pipeline:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "shop.jsonl"
            simulate(path, n=500_000, seed=11)
            return Pipeline(detectors=VIEWS, rules=RuleSet(), **options).fit([str(path)])

    return learned


def services(data: Path) -> Pipeline:
    """Learn windows of 20 lines of each pod."""
    log = data / "trainticket" / "trainticket_2023-01-29.jsonl.gz"
    return Pipeline(detectors=VIEWS, rules=RuleSet(), session_by="pod", window=20).fit([str(log)])


def access(data: Path) -> Pipeline:
    """Learn the access log, by address."""
    lines = gzip.decompress((data / "web" / "apache_access.log.gz").read_bytes()).decode().splitlines()
    return Pipeline(detectors=VIEWS, rules=RuleSet()).fit(lines)


def protocol(name: str) -> Callable[[Path], Pipeline]:
    """Return what learns a protocol's training part."""

    def learned(data: Path) -> Pipeline:
        split = get_split(name, str(data))
        views = ["presence"]  # which groups there are does not depend on the views
        made = Pipeline(detectors=views, clean=split.clean, rules=RuleSet())
        return made.fit(split.train.drop("label", "incident", strict=False))

    return learned


SETS: dict[str, Callable[[Path], Pipeline]] = {
    "TrainTicket, windows by pod": services,
    "simulator, windows by service": shop(session_by="service", window=50),
    "simulator, by trace": shop(),
    "access log, by address": access,
}
SETS |= {name: protocol(name) for name in ("T1-clean", "T1-free", "T2", "T3-clean", "T3-free")}


def shares(p: NDArray[np.float64], group: NDArray[np.int64], level: float) -> list[float]:
    """Return lowest and highest share of alarms of a group, mean distance from the level, and share over all."""
    kinds = [group == one for one in np.unique(group[group > 0]) if (group == one).sum() >= LEAST]
    found = np.array([[(p[kind] <= level).mean(), kind.sum()] for kind in kinds])
    far = float(np.average(np.abs(found[:, 0] - level), weights=found[:, 1])) / level
    return [float(found[:, 0].min()), float(found[:, 0].max()), far, float((p <= level).mean())]


def judged(pipeline: Pipeline, by_group: bool, seed: int) -> dict[str, NDArray[np.float64]]:
    """Return p-values of one half, by each view and ``whole``, calibrated by the other; and its ``groups``."""
    units, raw = (pipeline._training or (None, None))[1], pipeline.fitted.out_of_fold
    if units is None:
        raise SystemExit("there is no training data at hand")
    half = np.random.default_rng(seed).random(units.height) < 0.5
    groups = Groups.find(units.filter(half), np.ones(int(half.sum())))
    if groups is None:
        raise SystemExit("half of the units make no group")
    of = groups.of(units).astype(float)
    nats = {name for name, view in pipeline.fitted.views.items() if view.in_nats}
    mine = {view: s[half] for view, s in raw.items()} | {GROUP: of[half]}
    decision = Decision.fit(
        mine, np.ones(int(half.sum())), in_nats=nats, anchor=pipeline.fitted.decision.anchor,
        groups=groups if by_group else None,
    )  # fmt: skip
    other = {view: s[~half] for view, s in raw.items()} | ({GROUP: of[~half]} if by_group else {})
    out = {view: np.exp(-decision.nats(view, other)) for view in raw}
    return out | {"whole": decision.p_value(decision(other), other), "groups": of[~half].astype(np.int64)}


def measure(name: str, data: Path, seeds: int) -> list[str]:
    """Return a log's rows of the table."""
    pipeline = SETS[name](data)
    groups = pipeline.fitted.decision.groups
    # Half of a group has to be one.
    if groups is None or groups.table["units"].to_numpy().max() < 3 * LEAST_UNITS:
        return [f"| {name} | {0 if groups is None else groups.table.height} | | | | | | | | |"]
    rows = []
    found = {how: [judged(pipeline, how == "groups", seed) for seed in range(seeds)] for how in ("pooled", "groups")}
    for view in ("presence", "count", "ngram", "timing", "values", "whole"):
        if view not in found["pooled"][0]:
            continue
        for level in LEVELS:
            cells = []
            for some in found.values():
                low, high, far, every = np.mean([shares(one[view], one["groups"], level) for one in some], axis=0)
                cells += [f"{100 * low:.1f} to {100 * high:.1f} %", f"{far:.2f}", f"{100 * every:.1f} %"]
            rows.append(f"| {name} | {groups.table.height} | {view} | {level:.0%} | " + " | ".join(cells) + " |")
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    print("| log | groups | view | level | pooled: groups | off | all | by group: groups | off | all |")
    print("|---" * 10 + "|")
    for name in options.names:
        for row in measure(name, options.data, options.seeds):
            print(row, flush=True)


if __name__ == "__main__":
    main()

"""How fast the simulator writes, and how hard its logs are for plain methods that use labels or levels.

Run: python benchmarks/simulating.py [lines] [seed]. Prints the speed as a ratio to `json.dumps` of the same records in
the same run, and, per unit, F1 and AP of a threshold on the level, of a decision tree and of gradient boosting that see
the labels of the first 70 %. Figures are for the last 15 %; F1 at the best threshold is an upper bound.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from offbeat.evaluate import measure
from offbeat.simulate import simulate

LEVELS = {"INFO": 0, "WARN": 1, "ERROR": 2}
OWN = ["code", "rank", "service_code", "hour", "status", "duration_ms", "cpu", "mem"]
CONTEXT = [*OWN, "in_trace", "next", "previous", "gap", "by_client", "warned", "refused", "failed", "lasting"]
WINDOW = 100


def speed(folder: Path, lines: int, seed: int) -> None:
    """The median of three runs, against json.dumps of the records."""
    path = folder / "speed.jsonl"
    ours, peer = [], []
    for _ in range(3):
        begun = time.perf_counter()
        simulate(path, lines, seed)
        ours.append(time.perf_counter() - begun)
        records = [json.loads(line) for line in path.read_bytes().splitlines()]
        begun = time.perf_counter()
        with (folder / "peer.jsonl").open("w") as out:
            for record in records:
                out.write(json.dumps(record) + "\n")
        peer.append(time.perf_counter() - begun)
    ratio = statistics.median(p / o for o, p in zip(ours, peer, strict=True))
    print(f"simulate: {lines / statistics.median(ours):,.0f} lines/s, {ratio:.2f} times json.dumps of the same records")


def events(path: Path) -> pl.DataFrame:
    """Lines with their labels, and what a plain method can see of a line and of those around it."""
    log = pl.concat(
        [pl.read_ndjson(path, infer_schema_length=None), pl.read_csv(f"{path}.labels.csv", columns=["line", "label"])],
        how="horizontal_extend",
    )
    shape = pl.col("message").str.replace_all(r"\S*\d\S*", "#")
    log = log.with_columns(
        code=shape.rank("dense"),
        rank=pl.col("level").replace_strict(LEVELS),
        service_code=pl.col("service").rank("dense"),
        hour=pl.col("timestamp").str.slice(11, 2).cast(pl.Int32),
        at=pl.col("timestamp").str.to_datetime("%Y-%m-%dT%H:%M:%S%.3fZ"),
    )

    def around(column: pl.Expr) -> pl.Expr:
        return column.cast(pl.Float64).fill_null(0.0).rolling_mean(50, min_samples=1)

    return log.with_columns(
        in_trace=pl.len().over("trace"),
        next=pl.col("code").shift(-1).over("trace"),
        previous=pl.col("code").shift(1).over("trace"),
        gap=pl.col("at").diff().dt.total_milliseconds().over("trace"),
        by_client=pl.len().over("client"),
        warned=around(pl.col("rank") > 0),
        refused=around(pl.col("status") == 401),
        failed=around(pl.col("status") == 500),
        lasting=around(pl.col("duration_ms")),
    )


def windows(log: pl.DataFrame) -> pl.DataFrame:
    """Windows of 100 lines: how often each shape comes, how long things took, the worst level."""
    place = ((pl.col("line") - 1) // WINDOW).alias("window")
    counts = log.group_by(place, "code").len().pivot("code", index="window", values="len").fill_null(0)
    rest = log.group_by(place).agg(
        pl.col("label").max(),
        rank=(pl.col("rank") ** 3).sum(),
        lasting=pl.col("duration_ms").quantile(0.9),
        mem=pl.col("mem").max(),
        client=pl.col("client").drop_nulls().value_counts().struct.field("count").max(),
    )
    return rest.join(counts, on="window").sort("window")


def row(name: str, label: np.ndarray, score: np.ndarray, alarm: np.ndarray) -> None:
    """One line of the table."""
    found = measure(label, score, alarm)
    print(
        f"  {name:<34} accuracy {found.accuracy:.3f}  F1 {found.f1:.3f}  best F1 {found.best_f1:.3f}"
        f"  AP {found.ap:.3f}  AUC {found.auc:.3f}"
    )


def judge(unit: str, data: pl.DataFrame, columns: dict[str, list[str]]) -> None:
    """Methods on one unit: the level, then what learns from labels."""
    train, test = int(0.7 * len(data)), int(0.85 * len(data))
    label = data["label"].to_numpy() == 1
    print(f" {unit}: {len(data) - test:,} in test, {label[test:].mean():.1%} anomalous")
    rank = data["rank"].to_numpy().astype(float)
    row("level threshold", label[test:], rank[test:], rank[test:] >= 1)
    for name, chosen in columns.items():
        X = data.select(pl.col(chosen).cast(pl.Float64).fill_null(-1.0)).to_numpy()
        tree = DecisionTreeClassifier(max_depth=12, min_samples_leaf=20, random_state=0)
        model = tree if name.startswith("tree") else HistGradientBoostingClassifier(random_state=0)
        score = model.fit(X[:train], label[:train]).predict_proba(X[test:])[:, 1]
        row(name, label[test:], score, score >= 0.5)


def main() -> None:
    """Run everything in a folder that is removed afterwards."""
    lines = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        speed(folder, min(lines, 200_000), seed)
        for difficulty in (0.0, 0.5, 1.0):
            path = folder / "shop.jsonl"
            found = simulate(path, lines, seed, difficulty=difficulty)
            print(
                f"difficulty {difficulty}: {found.anomalous / lines:.2%} of lines in {len(found.incidents)} incidents"
            )
            log = events(path)
            judge("entry", log, {"tree, the line's own fields": OWN, "boosting, with lines around": CONTEXT})
            table = windows(log)
            judge("window of 100", table, {"boosting, counts of shapes": table.columns[2:]})


if __name__ == "__main__":
    main()

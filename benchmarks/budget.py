"""Does a log keep the rate of alarms that was asked for? Asked and achieved on normal units that come after training.

    python benchmarks/budget.py DATA [--all] [--rates 5,10,20] [--hourly] [NAME …]

DATA is the folder of the protocols' data. Learned from: the training part of T1, T2 and T3 as they are (and declared
clean where they are), the first 70 % of 200,000 simulated entries, anomalies and all, and the first half of a web
server's access log. Judged: the normal units of what comes after. Views without the LSTM, unless --all.

Prints a table in Markdown: alarms a thousand units, for each way to find the threshold; and whether the log was found
to have changed, so that it was recalibrated. With --hourly: alarms an hour and a day where so many are asked for as the
rates would be in training, of logs with times.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from offbeat.bench import get_split, simulated_split
from offbeat.decide import parse_threshold
from offbeat.learn import DEFAULT
from offbeat.pipeline import Pipeline
from offbeat.rules import RuleSet

#: What is asked: units a thousand, each in three ways.
WAYS = {"rate": "rate:{}/1000", "pot": "pot:{share}", "follow": "follow:{}/1000"}


def protocol(name: str) -> Callable[[Path], tuple[pl.DataFrame, pl.DataFrame, bool]]:
    """Return what loads a protocol: training part, normal units of the test part, and whether it is declared clean."""

    def load(data: Path) -> tuple[pl.DataFrame, pl.DataFrame, bool]:
        split = get_split(name, str(data))
        # A row of T2 stands for fifty units; here each is one, for it is alarms that are counted.
        test = split.test.filter(~pl.col("label")).drop("label", "weight", "incident", strict=False)
        return split.train.drop("label", "incident", strict=False), test, split.clean

    return load


def simulated(_: Path) -> tuple[pl.DataFrame, pl.DataFrame, bool]:
    """Return windows of a simulated log: the first 70 %, and the normal ones of the last 30 %."""
    with tempfile.TemporaryDirectory() as folder:
        split = simulated_split("T5", Path(folder), 200_000, 7)
    rest = split.test if split.valid is None else pl.concat([split.valid, split.test])
    normal = rest.filter(~pl.col("label")).drop("label", "incident", strict=False)
    return split.train.drop("label", "incident", strict=False), normal, False


def access(data: Path) -> tuple[list[str], list[str], bool]:
    """Return both halves of the access log."""
    import gzip

    lines = gzip.decompress((data / "web" / "apache_access.log.gz").read_bytes()).decode().splitlines()
    return lines[: len(lines) // 2], lines[len(lines) // 2 :], False


SETS = {name: protocol(name) for name in ("T1-clean", "T1-free", "T2", "T3-clean", "T3-free")}
SETS |= {"T5, 200,000 entries": simulated, "access log": access}


def measure(name: str, data: Path, rates: list[float], views: list[str]) -> list[str]:
    """Return a set's rows of the table."""
    train, test, clean = SETS[name](data)
    # That a rate is asked for at all has the scores kept by which a line is drawn; each line is drawn anew.
    pipeline = Pipeline(detectors=views, clean=clean, rules=RuleSet(), threshold="rate:5/1000").fit(train)
    decision, kept = pipeline.fitted.decision, pipeline.fitted.kept
    scores = pipeline.fitted.out_of_fold
    # Rates are asked of the same scores that the model was decided on: by group where there are any.
    scores = decision.with_group(scores, (pipeline._training or (None, pl.DataFrame()))[1])
    fused, weight = decision(scores), np.ones(len(next(iter(scores.values()))))
    rows = []
    for rate in rates:
        cells = []
        changed, n = False, 0
        for text in WAYS.values():
            pipeline.rule = parse_threshold(text.format(f"{rate:g}", share=f"{rate / 1000:g}"))
            decision.threshold = decision.line_of(pipeline.rule, scores, weight, kept)
            decision.alert_share = decision.share(fused, weight)
            run = pipeline.score(test)
            n, changed = run.scores.height, changed or run.drift is not None
            cells.append(f"{1000 * run.alert_share:.1f}")
        rows.append(
            f"| {name} | {len(fused):,} | {n:,} | {rate:g} | {' | '.join(cells)} | {'yes' if changed else ''} |"
        )
    return rows


def hourly(name: str, data: Path, rates: list[float], views: list[str]) -> list[str]:
    """Return a set's rows of the table of rates by time; none where its units have no times."""
    train, test, clean = SETS[name](data)
    pipeline = Pipeline(detectors=views, clean=clean, rules=RuleSet(), threshold="rate:5/1000").fit(train)
    first = pipeline.score(train).scores
    if first["start"].null_count() == first.height:
        return []
    decision, rows = pipeline.fitted.decision, []
    scores = decision.with_group(pipeline.fitted.out_of_fold, (pipeline._training or (None, pl.DataFrame()))[1])
    hours = (first["end"].max() - first["start"].min()).total_seconds() / 3600
    for per, length in (("hour", 1), ("day", 24)):
        for rate in rates:
            asked = rate / 1000 * first.height / hours * length
            cells = []
            for way in ("rate", "follow"):
                pipeline.rule = parse_threshold(f"{way}:{asked:.3f}/{per}")
                rule = pipeline.rule.on(first)
                decision.threshold = decision.line_of(rule, scores, np.ones(first.height), pipeline.fitted.kept)
                decision.alert_share = decision.share(decision(scores))
                run = pipeline.score(test)
                cells.append(f"{pipeline.rule.achieved(run.scores):.3g}")
            rows.append(f"| {name} | {asked:.3g}/{per} | {' | '.join(cells)} |")
    return rows


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", default=list(SETS))
    parser.add_argument("--rates", default="5,10,20")
    parser.add_argument("--all", action="store_true", help="the LSTM as well")
    parser.add_argument("--hourly", action="store_true", help="rates an hour and a day")
    options = parser.parse_args()
    views = [name for name in DEFAULT if options.all or name != "lstm"]
    rates = [float(text) for text in options.rates.split(",")]
    if options.hourly:
        print("| | asked | rate | follow |\n|---|---|---|---|")
        for name in options.names:
            print("\n".join(hourly(name, options.data, rates, views)), flush=True)
        return
    print(f"| | learned from | judged | asked | {' | '.join(WAYS)} | changed |")
    print("|---" * (5 + len(WAYS)) + "|")
    for name in options.names:
        for row in measure(name, options.data, rates, views):
            print(row, flush=True)


if __name__ == "__main__":
    main()

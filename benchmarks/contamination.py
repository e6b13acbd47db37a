"""What do anomalies in the training data cost? Average precision and own F1 against 0 to 10 % of them.

    python benchmarks/contamination.py measure DATA OUT [NAME …] [--shares 0,1,2,5,10] [--without lstm] [--seed 0]
    python benchmarks/contamination.py page OUT

DATA is the folder of the protocols' data, OUT keeps results by log. Learned from: the normal units of the training part
of T1, T2 or T5, and anomalous ones at random places among them, as many as make up the share. Those of T1 and T5
come from the training part; of T1 there are 212, and some come twice or thrice where more are needed. Those of T2 are
a third of all that there are, by a checksum of their names, and are not judged. Judged: the test part of the protocol,
the same for all shares. Nothing is told of labels, nor is training declared clean. The whole judges as users have it,
and once more with `--threshold knee:0.2`, a view by itself alone: by its calibration and its own knee, raised where the
log has changed.

`page` writes the tables into docs/detection.md, and the curves to docs/contamination.png.
"""

from __future__ import annotations

import argparse
import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from offbeat.bench import get_split, simulated_split
from offbeat.decide import GROUP, Apart, Decision, Knee, check_drift
from offbeat.evaluate.metrics import measure
from offbeat.evaluate.protocols import Split
from offbeat.learn import DEFAULT
from offbeat.pipeline import Pipeline
from offbeat.rules import RuleSet
from offbeat.schema import view_column

DOCS = Path(__file__).resolve().parents[1] / "docs"
NAMES = ("T1", "T2", "T5")
WHOLE = "offbeat"
DIRTY = "offbeat, knee:0.2"


def parts(name: str, data: Path, out: Path) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Return normal units to learn from, anomalous ones to put among them, and units to judge."""
    split: Split = simulated_split("T5", data if (data / "simulated-1000000-7.jsonl").is_file() else out) \
        if name == "T5" else get_split("T1-free" if name == "T1" else name, str(data))  # fmt: skip
    if name == "T2":
        third = pl.Series([zlib.crc32(key.encode()) % 3 == 0 for key in split.test["key"]])
        return split.train, split.test.filter(third & pl.col("label")), split.test.filter(~(third & pl.col("label")))
    return split.train.filter(~pl.col("label")), split.train.filter("label"), split.test


def mixed(normal: pl.DataFrame, anomalous: pl.DataFrame, share: float, seed: int) -> pl.DataFrame:
    """Return the normal units with so many anomalous ones at random places that they make up the share."""
    rng = np.random.Generator(np.random.PCG64(seed))
    wanted = round(normal.height * share / (1 - share))
    drawn = np.concatenate([rng.permutation(anomalous.height) for _ in range(1 + wanted // anomalous.height)])[:wanted]
    columns = [c for c in normal.columns if c not in ("label", "incident", "weight")]
    place = np.concatenate([np.arange(normal.height), rng.uniform(0, normal.height, wanted)])
    both = pl.concat([normal.select(columns), anomalous[drawn].select(columns)])
    return both[np.argsort(place, kind="stable")]


def dirty(pipeline: Pipeline) -> None:
    """Decide anew as with ``--threshold knee:0.2``; what was learned stays as it is."""
    decision, units = pipeline.fitted.decision, (pipeline._training or (None, pl.DataFrame()))[1]
    raw, weight = decision.with_group(pipeline.fitted.out_of_fold, units), np.ones(units.height)
    nats = raw[decision.anchor] if pipeline.fitted.views[decision.anchor].in_nats else None
    surprise = decision.nats(decision.anchor, raw)
    decision.line = decision.threshold = decision.unlabelled_line(Knee(), surprise, weight, nats, Apart(0.2))
    decision.settle(decision(raw), weight, raw.get(GROUP))


def judge(pipeline: Pipeline, test: pl.DataFrame) -> list[dict[str, Any]]:
    """Return the figures of the whole and of each view by itself."""
    y, run = test["label"].to_numpy(), pipeline.score(test.drop("label", "incident", strict=False))
    weight = test["weight"].to_numpy() if "weight" in test.columns else np.ones(test.height)
    found = measure(y, run.scores["score"].to_numpy(), run.scores["is_anomaly"].to_numpy(), weight)
    rows = [{"view": WHOLE, "ap": found.ap, "f1": found.f1}]
    dirty(pipeline)
    run = pipeline.score(test.drop("label", "incident", strict=False))
    found = measure(y, run.scores["score"].to_numpy(), run.scores["is_anomaly"].to_numpy(), weight)
    rows.append({"view": DIRTY, "ap": found.ap, "f1": found.f1})
    for view, learned in pipeline.fitted.out_of_fold.items():
        decision = Decision.fit({view: learned}, np.ones(len(learned)))
        fused = decision({view: run.scores[view_column(view)].to_numpy()})
        drift = check_drift(decision, fused, weight)
        found = measure(y, fused, fused >= (drift.threshold if drift else decision.threshold), weight)
        rows.append({"view": view, "ap": found.ap, "f1": found.f1})
    return rows


def run(name: str, options: argparse.Namespace) -> None:
    """Measure one log and keep what came."""
    normal, anomalous, test = parts(name, options.data, options.out)
    views = [view for view in DEFAULT if view not in options.without.split(",")]
    rows = []
    for share in (float(text) / 100 for text in options.shares.split(",")):
        pipeline = Pipeline(detectors=views, seed=options.seed, rules=RuleSet())
        pipeline.fit(mixed(normal, anomalous, share, options.seed))
        rows += [{"log": name, "share": share, **row} for row in judge(pipeline, test)]
        print(name, share, {row["view"]: (round(row["ap"], 3), round(row["f1"], 3)) for row in rows[-1:-99:-1]
                            if row["share"] == share}, flush=True)  # fmt: skip
    options.out.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(rows).write_parquet(options.out / f"{name}.parquet")


def table(rows: pl.DataFrame) -> list[str]:
    """Return a log's results as Markdown: average precision and own F1 by share, the whole first, then the best."""
    shares = rows["share"].unique().sort().to_list()
    whole = pl.col("view").is_in([WHOLE, DIRTY])
    order = (
        rows.group_by("view").agg(pl.col("ap").mean()).sort(~whole, pl.when(~whole).then(-pl.col("ap")), "view")["view"]
    )
    lines = ["|  | " + " | ".join(f"{share:.0%}" for share in shares) + " |", "|---" * (1 + len(shares)) + "|"]
    for view in order:
        mine = {row["share"]: row for row in rows.filter(pl.col("view") == view).to_dicts()}
        cells = [f"{short(mine[share]['ap'])} / {short(mine[share]['f1'])}" for share in shares]
        lines.append(f"| {view} | " + " | ".join(cells) + " |")
    return lines


def short(value: float) -> str:
    """Return two digits without a leading zero."""
    return re.sub(r"^0", "", f"{value:.2f}")


def page(out: Path) -> None:
    """Write tables and figure into the documents."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    found = [(name, pl.read_parquet(out / f"{name}.parquet")) for name in NAMES if (out / f"{name}.parquet").is_file()]
    text = (DOCS / "detection.md").read_text(encoding="utf-8")
    lines = [line for name, rows in found for line in (f"**{name}**", "", *table(rows), "")]
    made = "<!-- measured: contamination -->\n" + "\n".join(lines) + "<!-- end -->"
    pattern = r"<!-- measured: contamination -->\n.*?<!-- end -->"
    text, n = re.subn(pattern, lambda _: made, text, flags=re.DOTALL)
    if not n:
        raise SystemExit("docs/detection.md has no mark for contamination")
    (DOCS / "detection.md").write_text(text, encoding="utf-8")
    figure, axes = plt.subplots(2, len(found), figsize=(4.2 * len(found), 6.4), sharex=True, squeeze=False)
    wholes = {WHOLE: {}, DIRTY: {"linestyle": "--"}}
    views = sorted({view for _, rows in found for view in rows["view"]}, key=lambda view: (view not in wholes, view))
    for column, (name, rows) in enumerate(found):
        for row, (what, label) in enumerate((("ap", "average precision"), ("f1", "own F1"))):
            axis = axes[row][column]
            for i, view in enumerate(views):
                mine = rows.filter(pl.col("view") == view).sort("share")
                style = {"color": "black", "linewidth": 2.5} if view in wholes else {"color": plt.cm.tab20(i % 20)}
                axis.plot(100 * mine["share"], mine[what], marker=".", label=view, **style, **wholes.get(view, {}))
            axis.set(title=name if not row else "", ylabel=label if not column else "", ylim=(-0.02, 1.02))
            axis.set_xlabel("anomalous among those learned from, %" if row else "")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="lower center", ncols=6, frameon=False)
    figure.subplots_adjust(bottom=0.2, top=0.94, left=0.07, right=0.98)
    figure.savefig(DOCS / "contamination.png", dpi=80)


def main() -> None:
    """Measure, or write what was measured into the documents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    measuring = commands.add_parser("measure")
    measuring.add_argument("data", type=Path)
    measuring.add_argument("out", type=Path)
    measuring.add_argument("names", nargs="*", default=list(NAMES))
    measuring.add_argument("--shares", default="0,1,2,5,10")
    measuring.add_argument("--without", default="")
    measuring.add_argument("--seed", type=int, default=0)
    commands.add_parser("page").add_argument("out", type=Path)
    options = parser.parse_args()
    if options.command == "page":
        page(options.out)
    else:
        for name in options.names:
            run(name, options)


if __name__ == "__main__":
    main()

"""How few edits turn the verdict, and how long does an explanation take?

    python benchmarks/counterfactuals.py [FOLDER] [NAME …]

Every finding of T1, T3 and simulated logs (``explained_runs.py``; FOLDER keeps the runs) that has a unit behind it is
explained, and so is every flagged unit of a sequence of its own, up to 100 a run, as if it was a finding. The edits of
each counterfactual are made and scored again here, one sequence at a time. Prints how many have one, how many edits it
takes, and the CPU time of an explanation.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from explained_runs import NAMES, run_of

from offbeat.proposal.past import Past
from offbeat.rescoring import Rescoring, tagged
from offbeat.schema import view_column
from offbeat.why import Explanation, Findings

SAMPLE = 100


def main() -> None:
    """Print one row a run."""
    names = [name for name in sys.argv[1:] if name in NAMES] or list(NAMES)
    given = next((a for a in sys.argv[1:] if a not in NAMES), None)
    print(
        "| run | explained | turned | edits, median | largest | at most 3 | false | CPU ms, median | 95 % | largest |"
    )
    print(f"|---|{'---:|' * 9}")
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            run = run_of(name, Path(given or scratch))
            opened = Findings.open(run)
            ids = [f["id"] for f in opened.found if opened.units.height and f["id"] in set(opened.units["id"])]
            print(row(f"{name}, findings", opened, ids))
            more = flagged(run, opened)
            print(row(f"{name}, flagged units", more, [f["id"] for f in more.found]))


def flagged(run: Path, opened: Findings) -> Findings:
    """Return the same run as if each flagged unit of a sequence of its own was a finding."""
    past = Past.open(run)
    some = past.units.filter("is_anomaly").unique("templates", keep="first", maintain_order=True).head(SAMPLE)
    units = some.select(
        pl.col("row").cast(pl.UInt32).alias("unit"),
        "templates",
        id=pl.format("unit {}.", "row"),
        open_at_end=pl.lit(True),
    )
    lists = [c for c in ("timestamps", "values") if c in some.columns]
    units = units.with_columns(*(some[c] for c in lists), opened.scores["open_at_end"].gather(some["row"]))
    found = [{"id": name, "kind": "unit"} for name in units["id"]]
    return replace(opened, units=units, found=found)


def row(label: str, opened: Findings, ids: list[str]) -> str:
    """Explain and return the figures."""
    edits, seconds, wrong = [], [], 0
    for name in ids[:1]:
        opened.explain(name)  # the first call loads
    for name in ids:
        started = time.process_time()
        one = opened.explain(name)
        seconds.append(1000 * (time.process_time() - started))
        if one.counterfactual:
            edits.append(len(one.counterfactual["edits"]))
            wrong += not below(opened, name, one)
        else:
            made = ", ".join(f"{v['view']} {v['share']:.2f}" for v in one.views[:3])
            print(f"  {label}: {name}: nothing turns it; made by {made}", file=sys.stderr)
    few = f"{np.median(edits):g} | {max(edits)} | {np.mean(np.array(edits) <= 3):.0%}" if edits else "- | - | -"
    times = f"{np.median(seconds):.0f} | {np.quantile(seconds, 0.95):.0f} | {max(seconds):.0f}" if ids else "- | - | -"
    return f"| {label} | {len(ids)} | {len(edits)} | {few} | {wrong} | {times} |"


def below(opened: Findings, name: str, one: Explanation) -> bool:
    """Return whether a unit with the edits made by hand is below the threshold, when scored alone and afresh."""
    assert one.counterfactual is not None  # noqa: S101 - callers ask
    unit = opened.units.filter(pl.col("id") == name)
    events = tagged(unit["templates"][0].to_list())
    ids = {text: code for code, text in enumerate(opened.template_ids)}
    edits = list(enumerate(one.counterfactual["edits"]))
    for _, edit in sorted(edits, key=lambda e: (e[1]["place"], e[1]["how"] != "add", -e[0]), reverse=True):
        place = edit["place"]
        match edit["how"]:
            case "add":
                events.insert(place, ids[edit["template_id"]])
            case "remove":
                del events[place]
            case _:
                events[place : place + 2] = events[place : place + 2][::-1]
    scores = opened.scores[int(unit["unit"][0])]
    raw = {view: float(scores[view_column(view)][0]) for view in opened.learned.views}
    fresh = Rescoring(opened.learned, opened.threshold, unit, raw, opened.texts, opened.habits, opened.own)
    return bool(fresh.score([events])[0] < opened.threshold)


if __name__ == "__main__":
    main()

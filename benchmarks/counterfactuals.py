"""How few edits turn the verdict, and how long does an explanation take?

    python benchmarks/counterfactuals.py [FOLDER] [NAME …]

Every finding of T1, T3 and simulated logs (``explained_runs.py``; FOLDER keeps the runs) that has a unit behind it is
explained, and so is every flagged unit of a sequence of its own, up to 100 a run, as if it was a finding. The edits of
each counterfactual are made and scored again here, one sequence at a time, and again without each one of them. Prints
how many have one, how many changes and events it takes, of how many it is shown that no fewer events would do, and the
CPU time of an explanation.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from explained_runs import asked, run_of

from offbeat.proposal.past import Past
from offbeat.rescoring import Rescoring, tagged
from offbeat.units import raw_of
from offbeat.why import Explanation, Findings

SAMPLE = 100


def main() -> None:
    """Print one row a run."""
    names, given = asked()
    heads = "turned | changes, median | largest | at most 3 | events, median | largest | fewest | false | not needed"
    print(f"| run | explained | {heads} | CPU ms, median | 95 % | largest |")
    print(f"|---|{'---:|' * 13}")
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            run = run_of(name, given or Path(scratch))
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
    changed, edits, seconds, wrong, more, least = [], [], [], 0, 0, 0
    for name in ids[:1]:
        opened.explain(name)  # the first call loads
    for name in ids:
        started = time.process_time()
        one = opened.explain(name)
        seconds.append(1000 * (time.process_time() - started))
        if one.counterfactual:
            made = one.counterfactual["edits"]
            changed.append(one.counterfactual["changes"])
            edits.append(len(made))
            least += one.counterfactual["at_least"] == len(made)
            wrong += not below(opened, name, made, one)
            more += any(below(opened, name, made[:i] + made[i + 1 :], one) for i in range(len(made)))
        else:
            by = ", ".join(f"{v['view']} {v['share']:.2f}" for v in one.views[:3])
            print(f"  {label}: {name}: nothing turns it; made by {by}", file=sys.stderr)
    few = "- | - | - | - | - | -"
    if edits:
        share = np.mean(np.array(changed) <= 3)
        few = f"{np.median(changed):g} | {max(changed)} | {share:.0%} | {np.median(edits):g} | {max(edits)} | {least}"
    times = f"{np.median(seconds):.0f} | {np.quantile(seconds, 0.95):.0f} | {max(seconds):.0f}" if ids else "- | - | -"
    return f"| {label} | {len(ids)} | {len(edits)} | {few} | {wrong} | {more} | {times} |"


def below(opened: Findings, name: str, edits: list[dict[str, Any]], one: Explanation) -> bool:
    """Return whether a unit with the edits made by hand is below the threshold, when scored alone and afresh."""
    unit = opened.units.filter(pl.col("id") == name)
    events = tagged(unit["templates"][0].to_list())
    ids = {text: code for code, text in enumerate(opened.template_ids)}
    gone = {edit["place"] for edit in edits if edit["how"] != "add"}
    made: list[int] = []
    for place in range(len(events) + 1):
        made += [ids[e["template_id"]] for e in edits if e["how"] == "add" and e["place"] == place]
        made += [events[e["place"]] for e in edits if e["how"] == "move" and e["to"] == place]
        made += [events[place]] if place < len(events) and place not in gone else []
    raw = {view: float(r[0]) for view, r in raw_of(opened.scores[int(unit["unit"][0])], opened.learned.views).items()}
    fresh = Rescoring(opened.learned, opened.threshold, unit, raw, opened.texts, opened.habits, opened.own)
    # What the run keeps may have learned from the unit itself, and be less surprised at it by so much.
    known = max(0.0, float(one.score or 0.0) - float(fresh.score([events])[0]))
    return bool(fresh.score([made])[0] + known < opened.threshold)


if __name__ == "__main__":
    main()

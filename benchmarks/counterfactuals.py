"""How few edits turn the verdict, and how long does an explanation take?

    python benchmarks/counterfactuals.py [FOLDER] [NAME …]

Every finding of T1, T3 and simulated logs (``explained_runs.py``; FOLDER keeps the runs) that has a unit behind it is
explained, and so is every flagged unit of a sequence of its own, up to 100 a run, as if it was a finding. Each
counterfactual is scored again here, by the pipeline's own way to score, not by the search's. Prints how many have one,
how many edits it takes, and the CPU time of an explanation.
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
from explained_runs import NAMES, run_of

from offbeat.distinct import score_views
from offbeat.proposal.past import Past
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
            print(f"  {label}: {name}: nothing turns it; views {one.views[:3]}", file=sys.stderr)
    few = f"{np.median(edits):g} | {max(edits)} | {np.mean(np.array(edits) <= 3):.0%}" if edits else "- | - | -"
    times = f"{np.median(seconds):.0f} | {np.quantile(seconds, 0.95):.0f} | {max(seconds):.0f}" if ids else "- | - | -"
    return f"| {label} | {len(ids)} | {len(edits)} | {few} | {wrong} | {times} |"


def below(opened: Findings, name: str, one: Explanation) -> bool:
    """Return whether a unit with the edits made, each by hand, scores below the threshold."""
    assert one.counterfactual is not None  # noqa: S101 - callers ask
    unit = opened.units.filter(pl.col("id") == name)
    codes: list[int] = unit["templates"][0].to_list()
    ids = {text: code for code, text in enumerate(opened.template_ids)}
    for edit in sorted(one.counterfactual["edits"], key=lambda e: (e["place"], e["how"] != "add"), reverse=True):
        place = edit["place"]
        match edit["how"]:
            case "add":
                codes.insert(place, ids[edit["template_id"]])
            case "remove":
                del codes[place]
            case _:
                codes[place : place + 2] = codes[place : place + 2][::-1]
    raw: dict[str, Any] = {}
    scores = opened.scores[int(unit["unit"][0])]
    frame = pl.DataFrame({"templates": [codes]}, schema={"templates": pl.List(pl.UInt32)})
    for view, detector in opened.learned.views.items():
        kept = detector.read_from(unit) or detector.memory or (detector.needs_ends and bool(unit["open_at_end"][0]))
        alone = {} if kept else score_views({view: detector}, frame, opened.texts)
        raw[view] = alone.get(view, np.array([scores[view_column(view)][0]]))
    decision = opened.learned.decision
    return bool(decision(raw)[0] < decision.threshold)


if __name__ == "__main__":
    main()

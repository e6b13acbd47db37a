"""Do proposed rules catch their findings again, and how many normal units do they hit?

    python benchmarks/proposals.py [FOLDER] [NAME …]

Every finding of T1, T3 and four simulated logs (``explained_runs.py``; FOLDER keeps the runs) gets a rule, which
offbeat's own engine runs over the log that the finding is from. A rule is good if it catches the finding's strangest
unit and hits at most one in a thousand of the units that the run does not flag. Findings of shipped rules have their
rule; that a log has changed gets none, and counts as missed here. Beside it the fidelity of the surrogate tree: its
agreement and F1 with the run's verdicts, held out. Ten minutes, most of it for the runs.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from explained_runs import asked, run_of

from offbeat.errors import NotEnoughDataError, OptionError
from offbeat.proposal import Proposal, propose, surrogate
from offbeat.proposal.past import Past


def main() -> None:
    """Print one row a run, and what was missed."""
    names, given = asked()
    print(
        "| run | findings | good | caught | quiet | one event each | no `offbeat.…` | CPU s | tree agrees | tree F1 |"
    )
    print(f"|---|{'---:|' * 9}")
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            print(row(name, Past.open(run_of(name, given or Path(scratch)))))


def row(name: str, past: Past) -> str:
    """Return the figures of one run."""
    made: list[Proposal | None] = []
    seconds = []
    for finding in past.findings:
        if finding["kind"] == "rule":
            continue
        started = time.process_time()
        try:
            made.append(propose(past, finding))
        except OptionError as none:
            made.append(None)
            print(f"  {name}: {finding['kind']}: {none}", file=sys.stderr)
        seconds.append(time.process_time() - started)
        if (last := made[-1]) and not (last.caught and last.quiet):
            print(f"  {name}: {finding['kind']}: {finding['reason'][:80]}: {last.summary()}", file=sys.stderr)
    some = [one for one in made if one]
    counts = (
        len(made),
        sum(one.caught and one.quiet for one in some),
        sum(one.caught for one in some),
        sum(one.quiet for one in some),
        sum("correlation:" not in one.rule for one in some),
        sum("offbeat." not in one.rule for one in some),
    )
    figures = " | ".join(map(str, counts))
    try:
        tree = surrogate(past)
        fidelity = f"{tree.agreement:.1%} | {tree.f1:.2f}"
    except NotEnoughDataError:
        fidelity = "- | -"
    return f"| {name} | {figures} | {np.median(seconds) if seconds else 0:.2f} | {fidelity} |"


if __name__ == "__main__":
    main()

"""What answers are worth: F1 on the units that nobody was asked about, against the number of answers.

    python benchmarks/feedback.py [DIRECTORY] [PROTOCOL …]

Learns a protocol's training part as `offbeat fit` does, scores its test part, and answers questions by the labels:
those of `offbeat feedback ask`, 30 drawn at random among the alarms (5 draws), those on the highest single alarms, and
those on the highest-ranked findings, of which each is answered by the label of its strangest unit. Units that were
shown are not counted; F1 before and after is of the same remaining units. "used" says whether the head judged itself
worth using, by cross-validation within the answers; where not, only what was answered changes. Two minutes.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offbeat import Pipeline, Run
from offbeat.bench.splits import get_split
from offbeat.feedback import Feedback
from offbeat.questions import ask, candidates, questions
from offbeat.rules import RuleSet
from offbeat.store import Answer, Question

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NUMBERS, DRAWS = (5, 10, 20, 30, 50), 5
#: Answers are given a few at a time, as people do, and each round asks anew.
ROUND = 5

Bools = NDArray[np.bool_]


def main() -> None:
    """Measure each protocol and print one table."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else DATA
    print("| protocol | asked | answers | used | F1 of the rest, before | after | false alarms left | missed |")
    print("|---|---|---|---|---|---|---|---|")
    for name in sys.argv[2:] or ["T1-free", "T1-clean", "T3-free"]:
        split = get_split(name, data)
        pipeline = Pipeline(clean=split.clean, rules=RuleSet())
        run = pipeline.fit(split.train.drop("label")).score(split.test.drop("label"))
        measure(name, run, split.test["label"].to_numpy())


def measure(name: str, run: Run, truth: Bools) -> None:
    """Print the rows of one protocol."""
    label = dict(zip(run.scores["key"], truth.tolist(), strict=True))
    units = candidates(run)
    for n in NUMBERS:
        answers: list[Answer] = []
        while len(answers) < n:
            answers += answered(ask(units, answers, run.threshold, min(ROUND, n - len(answers))), label)
        row(name, "where they teach most", run, truth, [answers])
    alarms = sorted((q for q in units if q.members[0].flagged), key=lambda q: -q.members[0].score)
    draws = [np.random.default_rng(seed).permutation(len(alarms))[:30] for seed in range(DRAWS)]
    row(name, "alarms at random", run, truth, [answered([alarms[i] for i in draw], label) for draw in draws])
    row(name, "highest single alarms", run, truth, [answered(alarms[:30], label)])
    for scope in ("finding", "pattern"):
        found = [q for q in questions(run, run.find()) if q.members][:30]
        answers = answered(found, label, scope)
        row(name, f"highest-ranked findings, --scope {scope}", run, truth, [answers])
    answers += answered(ask(units, answers, run.threshold, 30 - len(answers)), label)
    row(name, "findings, then where they teach most", run, truth, [answers])


def answered(asked: Sequence[Question], label: dict[str, bool], scope: str = "finding") -> list[Answer]:
    """Answer by the labels; of a finding by that of its strangest unit, which is the one that is shown."""
    return [Answer(q, "confirmed" if label[q.members[0].key] else "false-alarm", scope) for q in asked]


def row(name: str, how: str, run: Run, truth: Bools, groups: Sequence[Sequence[Answer]]) -> None:
    """Print means over groups of answers."""
    found = []
    for answers in groups:
        told = Feedback(answers).applied(run)
        rest = ~run.scores["key"].is_in([a.question.members[0].key for a in answers]).to_numpy()
        before, after = (r.scores["is_anomaly"].to_numpy() for r in (run, told))
        wrong, missed = (after & ~truth)[rest].sum(), (~after & truth)[rest].sum()
        used = told.feedback is not None and told.feedback.as_dict()["head"]["used"]
        found.append((len(answers), used, f1(before, truth, rest), f1(after, truth, rest), wrong, missed))
    n, used, before, after, wrong, missed = np.mean(np.array(found, dtype=float), axis=0)
    print(
        f"| {name} | {how} | {n:.0f} | {used:.0%} | {before:.3f} | {after:.3f} | {wrong:.1f} | {missed:.1f} |",
        flush=True,
    )


def f1(flagged: Bools, truth: Bools, rest: Bools) -> float:
    """Return F1 of the units that nobody was asked about."""
    return float(2 * (flagged & truth)[rest].sum() / max(flagged[rest].sum() + truth[rest].sum(), 1))


if __name__ == "__main__":
    main()

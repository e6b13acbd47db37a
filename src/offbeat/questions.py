"""What can be answered of a run: its findings, and single units near the threshold; and which to ask about."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat import bundle
from offbeat.decide.head import Features, worth_asking
from offbeat.decide.incidents import finding_id
from offbeat.errors import ModelError
from offbeat.explain import sentence
from offbeat.finding import Finding, iso
from offbeat.run import Run
from offbeat.store import Answer, Log, Member, Question
from offbeat.units import digest

#: Units kept with a run to be asked about: so many flagged ones, and as many just below; of each sequence so many.
_ASKED: Final = 500
_LEAST: Final = 20
_ALIKE: Final = 50
#: Of the answers so many of the last are learned from.
LAST: Final = 500
#: Files in a run's folder: what can be answered of its findings, and units that one may be asked about.
_QUESTIONS: Final = "questions.jsonl"
_CANDIDATES: Final = "candidates.jsonl"


def members(run: Run, rows: pl.DataFrame) -> list[Member]:
    """Return units as they are kept with answers, in order.

    Args:
        run: scored.
        rows: some of ``run.kept`` with their evidence, as ``Run.evidenced`` gives them.
    """
    if rows.height == 0:
        return []
    ids, scores = run.template_ids, run.scores[rows["unit"]]
    nats = {view: s.tolist() for view, s in run.decision.surprise(run.raw(scores)).items()}
    out = []
    for i, row in enumerate(rows.iter_rows(named=True)):
        codes = row["templates"]
        out.append(
            Member(
                key=row["key"],
                start=row["start"],
                digest=digest(ids[c] for c in codes),
                kind=row["kind"],
                template="" if row["template"] is None else ids[row["template"]],
                view=row["view"],
                level=int(row["level"]),
                score=round(float(row["score"]), 6),
                flagged=bool(row["is_anomaly"]),
                counts={ids[c]: n for c, n in Counter(codes).items()},
                nats={view: round(values[i], 4) for view, values in nats.items()},
            )
        )
    return out


def questions(run: Run, findings: Sequence[Finding]) -> Iterator[Question]:
    """Yield what can be answered of a run's findings, in their order."""
    of_units = {one.id: one.members for one in findings if one.unit is not None and one.kind != "drift"}
    every = sorted({unit for some in of_units.values() for unit in some})
    rows = run.evidenced(run.kept.filter(pl.col("unit").is_in(every)))
    made = dict(zip(rows["unit"].to_list(), members(run, rows), strict=True)) if every else {}
    for one in findings:
        about = Log(
            kind=one.kind,
            session=one.session,
            start=one.start,
            end=one.end,
            templates=tuple(t["template_id"] for t in one.templates),
            sources=tuple(one.sources),
            rules=tuple(one.rules),
            reason=one.reason,
        )
        order = sorted((made[unit] for unit in of_units.get(one.id, ())), key=lambda m: -m.score)
        # The strangest unit is what the person was shown; only of that the answer is known to be about its mix.
        some = order[:1] + [replace(member, counts={}, nats={}) for member in order[1:]]
        yield Question(one.id, about, tuple(some), run.windows)


def candidates(run: Run) -> list[Question]:
    """Return units one may be asked about, each by itself: those flagged, and as many of the strangest others."""
    known = run.kept.with_columns(run.scores.select("score", "is_anomaly")[run.kept["unit"]])
    ranked = known.sort("score", "unit", descending=[True, False])
    alike = pl.int_range(pl.len()).over(pl.col("templates").hash())
    flagged = ranked.filter("is_anomaly").filter(alike < _ALIKE).head(_ASKED)
    others = ranked.filter(~pl.col("is_anomaly")).filter(alike < _ALIKE)
    rows = pl.concat([flagged, others.head(min(_ASKED, max(_LEAST, flagged.height)))]).drop("score", "is_anomaly")
    evidence = run.evidenced(rows.sort("unit"))
    out, scores = [], run.scores
    for member, row in zip(members(run, evidence), evidence.iter_rows(named=True), strict=True):
        place = f"{iso(member.start) or ''} {row['first_line']}"
        where = f"{scores['file'][row['unit']]}:{row['first_line']}-{row['last_line']}"
        about = Log(
            kind=member.kind,
            session=member.key,
            start=row["start"],
            end=row["end"],
            templates=(member.template,) if member.template else (),
            reason=f"{sentence(run.facts(row))[0]} {where}",
        )
        # Another id than that of the finding whose strangest unit it is: an answer about one is not one about all.
        name = finding_id("unit", member.key, member.template, place)
        out.append(Question(name, about, (member,), run.windows))
    return out


def answerable(run: Run, findings: Sequence[Finding]) -> dict[str, bytes]:
    """Return the files that a run's folder holds for feedback, by name."""
    parts = {_QUESTIONS: questions(run, findings), _CANDIDATES: candidates(run)}
    return {name: b"".join(f"{q.finding} {q.evidence()}\n".encode() for q in some) for name, some in parts.items()}


def opened(path: str | Path) -> tuple[list[Question], list[Question], dict[str, Any]]:
    """Read what a run's folder holds for feedback: questions about findings, about units, and its values.

    Raises:
        ModelError: it is no run, damaged, or written by an offbeat that kept too little.
    """
    values, _, others, _ = bundle.read(path, bundle.RUN)
    try:
        lines = [others[name].decode().splitlines() for name in (_QUESTIONS, _CANDIDATES)]
        found, units = ([Question.read(*line.split(" ", 1)) for line in part] for part in lines)
        return found, units, values
    except bundle.FOREIGN:
        hint = "offbeat detect FILES -o RUN writes it again"
        raise ModelError("holds too little to answer its findings", where=str(path), hint=hint) from None


def ask(among: Sequence[Question], answers: Sequence[Answer], threshold: float, n: int) -> list[Question]:
    """Return the questions whose answers teach most, first the one that teaches most; at most ``n``.

    Args:
        among: single units, as ``candidates`` gives them.
        answers: what is known.
        threshold: of the run, in nats.
        n: how many.
    """
    answered = {(a.question.members[0].key, a.question.members[0].start) for a in answers if a.question.members}
    free = [q for q in among if (q.members[0].key, q.members[0].start) not in answered]
    taught = [a.question.members[0] for a in answers if a.question.members and a.question.members[0].counts]
    units, known = aligned([q.members[0] for q in free], taught[-LAST:])
    return [free[i] for i in worth_asking(units, threshold, n, known)]


def aligned(*parts: Sequence[Member]) -> tuple[Features, ...]:
    """Return the features of several groups of units, with the same columns."""
    views = sorted({view for part in parts for m in part for view in m.nats})
    column = {name: i for i, name in enumerate(sorted({t for part in parts for m in part for t in m.counts}))}
    out = []
    for part in parts:
        counts = np.zeros((len(part), len(column)))
        for i, member in enumerate(part):
            for name, n in member.counts.items():
                counts[i, column[name]] = n
        nats = np.array([[m.nats.get(view, 0.0) for view in views] for m in part]).reshape(len(part), len(views))
        score = np.array([m.score for m in part], dtype=np.float64)
        out.append(Features(counts, nats, score, np.array([m.flagged for m in part], dtype=bool)))
    return tuple(out)

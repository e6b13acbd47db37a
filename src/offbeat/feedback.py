"""What people said of findings, put to use: quiet where they asked for it, and a head that learns from enough answers.

An answer covers units, not findings: what joins a finding later, and was never looked at, is still told. Findings about
the log as a whole (volume, rules, drift) are known again by what they say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.budget import Budget
from offbeat.decide.alike import unlike
from offbeat.decide.head import QUIET, RAISED, Gain, Head, as_plain
from offbeat.finding import Finding
from offbeat.questions import LAST, aligned, members
from offbeat.run import Run
from offbeat.store import Answer, Answers, Member

Bools = NDArray[np.bool_]

#: A pattern is covered up to this much beyond the strangest unit answered: a share of its score, and nats.
_MORE_SHARE: Final = 0.1
_MORE_NATS: Final = 1.0
#: A line at ERROR or above is not covered by an answer about lines below.
_ERROR: Final = 17
#: The head looks at so many of the strangest unflagged units.
_UNFLAGGED: Final = 2_000
#: What the name of a file of answers ends in; it stands beside the model, for a model is replaced when learned again.
SUFFIX: Final = ".feedback.sqlite"


def store_of(model: str | Path) -> Path:
    """Return where the answers about a model's findings are kept."""
    path = Path(model).resolve()
    return path.with_name(path.name + SUFFIX)


@dataclass
class Feedback:
    """Answers, ready to be used on a run.

    Args:
        answers: in the order in which they were given.
    """

    answers: Sequence[Answer]

    def __post_init__(self) -> None:
        self._units: dict[tuple[str, Any], list[Answer]] = {}
        self._keys: dict[str, list[Answer]] = {}
        self._patterns: dict[tuple[str, str], list[tuple[Answer, float, bool]]] = {}
        self._sure: dict[tuple[str, Any], Answer] = {}
        self._real: dict[tuple[str, str], list[Member]] = {}
        for answer in self.answers:
            if not answer.quiets:
                self._sure |= {_identity(member): answer for member in answer.question.members}
                for member in answer.question.members[:1]:
                    self._real.setdefault((member.kind, member.template), []).append(member)
                continue
            for member in answer.question.members:
                self._units.setdefault(_identity(member), []).append(answer)
                if answer.scope == "session":
                    self._keys.setdefault(member.key, []).append(answer)
            if answer.scope == "pattern":
                for sign, (score, level) in _signs(answer.question.members).items():
                    bound = score + max(_MORE_NATS, _MORE_SHARE * abs(score))
                    self._patterns.setdefault(sign, []).append((answer, bound, level >= _ERROR))

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read answers from a file; none where there is no such file. Raises InputError where it is another file."""
        return cls(Answers(path).all())

    @property
    def taught(self) -> list[tuple[Member, bool]]:
        """The units answered and whether they are real, of those answers that the head learns from."""
        found = [(a.question.members[0], not a.quiets) for a in self.answers if a.question.members]
        return [(member, real) for member, real in found if member.counts][-LAST:]

    @cached_property
    def head(self) -> Head:
        """What the answers teach; its ``gain`` says whether it is used."""
        (known,) = aligned([member for member, _ in self.taught])
        return Head.fit(known, np.array([real for _, real in self.taught], dtype=bool))

    def applied(self, run: Run, budget: Budget | None = None) -> Run:
        """Return the run with what is covered no longer flagged, and what is like confirmed units flagged.

        With a budget the strangest units that are not covered are flagged, as many as it allows, and none is raised.
        """
        if not self.answers:
            return run if budget is None else run.with_budget(budget)
        gain = self.head.gain
        quiet, first = np.zeros(run.scores.height, dtype=bool), None
        done = Quieted(self, len(self.answers), gain)
        while True:
            now = run if budget is None else run.with_budget(budget, without=quiet)
            flagged = now.scores["is_anomaly"].to_numpy() & ~quiet
            rows = run.evidenced(run.kept.filter(pl.Series(flagged[run.kept["unit"].to_numpy()])))
            by_answer, by_head = self._covered(members(run, rows), gain.is_real)
            fresh = rows["unit"].to_numpy()[by_answer | by_head] if rows.height else np.zeros(0, dtype=np.int64)
            if first is None:
                first, done.by_answers, done.by_head = flagged, int(by_answer.sum()), int(by_head.sum())
            quiet[fresh] = True
            if budget is None or not len(fresh):
                break
        raised = self._raised(now, quiet) if gain.is_real and budget is None else np.zeros(0, dtype=np.int64)
        flags = (now.scores["is_anomaly"].to_numpy() & ~quiet).copy()
        flags[raised] = True
        # A budget goes further down for each that is quiet; what it would not have reached is not worth a word.
        missed = quiet & first
        hushed = run.evidenced(run.kept.filter(pl.Series(missed[run.kept["unit"].to_numpy()])))
        done.units, done.incidents, done.raised = int(missed.sum()), len(run.groups(hushed)), frozenset(raised.tolist())
        return replace(
            now,
            scores=now.scores.with_columns(pl.Series("is_anomaly", flags), pl.Series("quiet", quiet)),
            feedback=done,
            summary=now.summary | {"feedback": done.as_dict()},
        )

    def _covered(self, units: Sequence[Member], headed: bool) -> tuple[Bools, Bools]:
        """Return which flagged units are quiet because of an answer, and which because of what is learned from all."""
        by_answer = np.array([self.covers(unit) for unit in units], dtype=bool)
        if not headed or not units:
            return by_answer, np.zeros(len(units), dtype=bool)
        # A person's word counts for more than what is learned from it.
        return by_answer, (self._judged(units) == QUIET) & ~by_answer & ~self._confirmed(units)

    def _judged(self, units: Sequence[Member]) -> NDArray[np.int64]:
        found, known = aligned(units, [member for member, _ in self.taught])
        return replace(self.head, known=known).judge(found)

    def _confirmed(self, units: Sequence[Member]) -> Bools:
        return np.array([_identity(unit) in self._sure for unit in units], dtype=bool)

    def _raised(self, run: Run, quiet: Bools) -> NDArray[np.int64]:
        """Return the unflagged units, of the strangest, that are like confirmed ones and not covered."""
        at = run.kept["unit"].to_numpy()
        low = ~(run.scores["is_anomaly"].to_numpy() | quiet)[at]
        score = run.scores["score"].to_numpy()[at]
        order = np.flatnonzero(low)[np.argsort(-score[low], kind="stable")][:_UNFLAGGED]
        rows = run.evidenced(run.kept[np.sort(order)])
        units = members(run, rows)
        if not units:
            return np.zeros(0, dtype=np.int64)
        covered = np.array([self.covers(unit) for unit in units], dtype=bool)
        at = rows["unit"].to_numpy().astype(np.int64)
        return np.asarray(at[(self._judged(units) == RAISED) & ~covered], dtype=np.int64)

    def covers(self, unit: Member) -> bool:
        """Return whether an answer asks for a unit to be quiet."""
        sure = self._sure.get(_identity(unit))
        for answer in (*self._units.get(_identity(unit), ()), *self._keys.get(unit.key, ())):
            # Of two answers about one unit the later holds.
            if _lasts(answer, unit.start) and (sure is None or self._order[answer.finding] > self._order[sure.finding]):
                return True
        if sure is not None:
            return False
        for answer, bound, errors in self._patterns.get((unit.kind, unit.template), ()):
            inside = unit.score <= bound and (errors or unit.level < _ERROR)
            if inside and _lasts(answer, unit.start) and not self._like_real(unit, answer.question.members[0]):
                return True
        return False

    @cached_property
    def _order(self) -> dict[str, int]:
        return {answer.finding: i for i, answer in enumerate(self.answers)}

    def _like_real(self, unit: Member, harmless: Member) -> bool:
        """Return whether a unit is more like one that was confirmed for the same reason than like a harmless one."""
        real = [unlike(unit.counts, member.counts) for member in self._real.get((unit.kind, unit.template), ())]
        return bool(real) and min(real) < unlike(unit.counts, harmless.counts)

    def hushes(self, one: Finding) -> bool:
        """Return whether an answer asks for a finding about the log as a whole to be quiet."""
        return any(a.quiets and _lasts(a, one.start) and _about(a, one) for a in self.answers)


def _identity(unit: Member) -> tuple[str, Any]:
    """Return what tells a unit from all others: its key and when it began; without times, its key and what it holds."""
    return unit.key, unit.start if unit.start is not None else unit.digest


def _signs(units: Iterable[Member]) -> Mapping[tuple[str, str], tuple[float, int]]:
    """Return, by kind and template, the highest score and level among units."""
    out: dict[tuple[str, str], tuple[float, int]] = {}
    for unit in units:
        score, level = out.get((unit.kind, unit.template), (unit.score, unit.level))
        out[unit.kind, unit.template] = (max(score, unit.score), max(level, unit.level))
    return out


def _lasts(answer: Answer, start: datetime | None) -> bool:
    """Return whether an answer still holds for what began then; without a time, whether it holds now."""
    return answer.until is None or (start or datetime.now(UTC)) < answer.until


def _about(answer: Answer, one: Finding) -> bool:
    """Return whether an answer is about a finding that has no units."""
    then = answer.question.about
    if answer.finding == one.id:
        return True
    if answer.scope == "session":
        keys = {then.session, *(m.key for m in answer.question.members)} - {None}
        return one.session in keys
    rules = bool(one.rules) and set(one.rules) <= set(then.rules)
    if answer.scope == "pattern":
        ids = [t["template_id"] for t in one.templates]
        if one.kind == "rule":
            return rules
        same = (ids[:1], one.sources if not ids else []) == (
            list(then.templates[:1]),
            list(then.sources) if not ids else [],
        )
        return one.kind == then.kind and not answer.question.members and same
    # What a rule found within an incident that was answered is told by itself once the models' half of it is quiet.
    inside = None not in (then.start, then.end, one.start, one.end)
    return one.kind == "rule" and rules and inside and then.start <= one.start and one.end <= then.end  # type: ignore[operator]  # none is None


@dataclass
class Quieted:
    """How much of a run is quiet by feedback.

    Attributes:
        answers: how many there are.
        gain: what the head is worth; it is used where that is real.
        units, incidents: flagged units that are quiet, and the findings they would have made.
        by_answers, by_head: units quiet because of an answer, and because of what was learned from all.
        raised: rows of units flagged because they are like confirmed ones.
        hushed: findings about the log as a whole that are quiet, once findings were made.
    """

    feedback: Feedback
    answers: int
    gain: Gain
    units: int = 0
    incidents: int = 0
    by_answers: int = 0
    by_head: int = 0
    raised: frozenset[int] = field(default_factory=frozenset)
    hushed: int = 0

    def told(self, findings: list[Finding]) -> list[Finding]:
        """Return the findings that are told; counts the others."""
        whole = [one.unit is None or one.kind == "drift" for one in findings]
        quiet = [w and self.feedback.hushes(one) for w, one in zip(whole, findings, strict=True)]
        self.hushed = sum(quiet)
        return [
            replace(one, severity_reason="like one that was confirmed") if one.unit in self.raised else one
            for one, hushed in zip(findings, quiet, strict=True)
            if not hushed
        ]

    @property
    def findings(self) -> int:
        """How many findings are quiet."""
        return self.incidents + self.hushed

    def as_dict(self) -> dict[str, Any]:
        """Return how much is quiet as plain values."""
        return {
            "findings": self.findings,
            "units": self.units,
            "by_answers": self.by_answers,
            "by_head": self.by_head,
            "raised": len(self.raised),
            "answers": self.answers,
            "head": as_plain(self.gain),
        }

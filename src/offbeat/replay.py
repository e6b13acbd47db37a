"""What would another setting have given? The past is scored once, and decided again for each setting."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.budget import Budget
from offbeat.decide import Apart, Decision, Threshold, Timed, parse_threshold
from offbeat.errors import OptionError
from offbeat.feedback import Feedback
from offbeat.finding import Finding, iso
from offbeat.intake import Data
from offbeat.pipeline import Pipeline
from offbeat.rules import RuleSet
from offbeat.ruling import Ruling
from offbeat.run import Run
from offbeat.schema import covered

#: The name of the setting in force.
TODAY: Final = "today"


@dataclass(frozen=True)
class Setting:
    """What may be set when a scored log is decided.

    Attributes:
        name: for the table.
        budget, threshold: at most one; without either the model's own threshold decides. A threshold is a fused score
            in nats, or ``knee``, ``sigma:3``, ``quantile:0.999``, found on the model's training scores.
        rules: what is looked for; None means those that ship.
        feedback: answers to heed.
    """

    name: str
    budget: Budget | None = None
    threshold: str | None = None
    rules: RuleSet | None = None
    feedback: Feedback = field(default_factory=lambda: Feedback(()))


@dataclass(frozen=True)
class Outcome:
    """What a setting gives.

    Attributes:
        setting: its name.
        findings: most severe first.
        run: decided so.
        days: days that the log covers; None without times.
        appear, disappear: findings that today's setting does not give, and today's that this one does not.
        quality: precision, recall and F1 of units where there are labels; else None.
        answered: by verdict, how many of the answers about this log have something told, and how many there are.
    """

    setting: str
    findings: list[Finding]
    run: Run
    days: float | None
    appear: list[Finding]
    disappear: list[Finding]
    quality: Mapping[str, float] | None
    answered: Mapping[str, Mapping[str, int]]

    @property
    def units(self) -> int:
        """How many units are anomalies."""
        return int(self.run.scores["is_anomaly"].sum())

    @property
    def quiet(self) -> int:
        """How many findings are quiet by feedback."""
        return 0 if self.run.feedback is None else int(self.run.feedback.as_dict()["findings"])

    @property
    def a_day(self) -> float | None:
        """Findings a day, pro rata; None without times."""
        return len(self.findings) / self.days if self.days else None

    def by_day(self) -> dict[str, dict[str, int]]:
        """Return how many findings of each kind began on each day (UTC); those without a time under the empty name."""
        found = Counter(((iso(one.start) or "")[:10], one.kind) for one in self.findings)
        out: dict[str, dict[str, int]] = {}
        for (day, kind), n in sorted(found.items()):
            out.setdefault(day, {})[kind] = n
        return out

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values; field by field in ``docs/feedback.md``."""

        def brief(some: Sequence[Finding]) -> list[dict[str, Any]]:
            return [
                {"id": f.id, "kind": f.kind, "severity": f.severity, "start": iso(f.start), "reason": f.reason}
                for f in some
            ]

        return {
            "setting": self.setting,
            "findings": len(self.findings),
            "a_day": None if self.a_day is None else round(self.a_day, 3),
            "units": self.units,
            "quiet": self.quiet,
            "threshold": self.run.threshold if np.isfinite(self.run.threshold) else None,
            "kinds": dict(Counter(one.kind for one in self.findings).most_common()),
            "days": self.by_day(),
            "appear": brief(self.appear),
            "disappear": brief(self.disappear),
            "quality": self.quality,
            "answered": {verdict: dict(counts) for verdict, counts in self.answered.items()},
        }


def replay(pipeline: Pipeline, data: Data, settings: Sequence[Setting], *, labels: Any = None) -> list[Outcome]:
    """Score a log once and decide it by each setting.

    Rules are looked for in a further pass for each set of rules after the first; the models' scores are not made again.

    Args:
        pipeline: with what was learned.
        data: as for ``Pipeline.score``.
        settings: the first one is what the others are compared with.
        labels: of ``read_labels``, for the quality of each; nothing that is decided looks at them.

    Raises:
        OptionError: a setting cannot be used.
    """
    for setting in settings:
        if setting.threshold is not None and not isinstance(_rule(setting.threshold), Timed):
            line_of(setting.threshold, pipeline.fitted.decision)
    pipeline.rules = settings[0].rules
    first = pipeline.score(data, labels)
    out: list[Outcome] = []
    for setting in settings:
        run = replace(first, ruling=_ruling(first, pipeline, settings[0], setting, data))
        run = setting.feedback.applied(_with_line(run, setting.threshold), setting.budget)
        out.append(_outcome(setting, run, out[0].findings if out else None, settings[0].feedback))
    return out


def _with_line(run: Run, threshold: str | None) -> Run:
    return run if threshold is None else run.with_threshold(line_of(threshold, run.decision, run.scores))


def _rule(threshold: str) -> Threshold | float:
    try:
        return float(threshold)
    except ValueError:
        return parse_threshold(threshold)


def line_of(threshold: str, decision: Decision, scores: pl.DataFrame | None = None) -> float:
    """Return the fused score that a threshold stands for: a number in nats, or a rule on the training scores.

    Args:
        threshold: as it is written.
        decision: what was learned.
        scores: SCORES of the past, by whose units a rate a day or an hour is told.

    Raises:
        OptionError: it is neither, or the model kept no training scores.
    """
    rule = _rule(threshold)
    if isinstance(rule, float):
        return rule
    if isinstance(rule, Apart):
        hint = f"fit --threshold {threshold}"
        raise OptionError("is found where a model is learned", where=f"--threshold {threshold}", hint=hint)
    if isinstance(rule, Timed) and scores is not None:
        rule = rule.on(scores)
    if decision.fused is None:
        raise OptionError("the model keeps no training scores", where="--threshold", hint="give a number")
    # The calibration keeps the share of training units at each score or above.
    at_least = np.exp(-decision.fused.surprise) * (decision.fused.units + 1) - 1
    mass = np.maximum(-np.diff(at_least, append=0.0), 1e-9)
    return rule.fit(decision.fused.knots, mass)


def _ruling(first: Run, pipeline: Pipeline, today: Setting, setting: Setting, data: Data) -> Ruling | None:
    """Return what a setting's rules find in a log; another pass only for other rules."""
    if setting.rules is today.rules:
        return first.ruling
    rules = setting.rules
    if first.ruling is not None and rules is not None and first.logs is not None:
        ruling = first.ruling.with_rules(rules)
        if not ruling.scored:
            ruling.begin()
            for frame in first.logs.batches(*ruling.asked(first.logs)):
                ruling.look(frame)
                ruling.take(frame)
            ruling.finish()
            return ruling
    # Rules that read scores need these beside the events.
    pipeline.rules = rules
    return pipeline.score(data).ruling


def _outcome(setting: Setting, run: Run, today: list[Finding] | None, known: Feedback) -> Outcome:
    found = run.find()
    time = covered(run.scores)
    days = time / timedelta(days=1) if time else None
    appear, disappear = ([], []) if today is None else (_lacking(found, today), _lacking(today, found))
    return Outcome(setting.name, found, run, days, appear, disappear, _quality(run), _answered(found, run, known))


def _lacking(some: Sequence[Finding], others: Sequence[Finding]) -> list[Finding]:
    """Return the findings that no other shares a unit or its id with: incidents join otherwise from case to case."""
    units = {unit for one in others for unit in one.members}
    ids = {one.id for one in others}
    return [one for one in some if one.id not in ids and not units & set(one.members)]


def _quality(run: Run) -> dict[str, float] | None:
    if "label" not in run.scores.columns:
        return None
    flagged, label = run.scores["is_anomaly"], run.scores["label"]
    both = int((flagged & label).sum())
    precision = both / int(flagged.sum()) if flagged.any() else 0.0
    recall = both / int(label.sum()) if label.any() else 0.0
    f1 = 2 * both / max(int(flagged.sum()) + int(label.sum()), 1)
    return {name: round(value, 4) for name, value in (("precision", precision), ("recall", recall), ("f1", f1))}


def _answered(found: Sequence[Finding], run: Run, known: Feedback) -> dict[str, dict[str, int]]:
    """Count, by verdict, the answers of which something is told, of all whose units are in the log."""
    ids = {one.id for one in found}
    seen = run.scores.select("key", "start", "is_anomaly").rows()
    flagged = {(key, start) for key, start, alarm in seen if alarm}
    there = {(key, start) for key, start, _ in seen}
    out: dict[str, dict[str, int]] = {}
    for answer in known.answers:
        units = {(m.key, m.start) for m in answer.question.members[:1]}
        if units and not units & there:
            continue
        row = out.setdefault(answer.verdict, {"told": 0, "of": 0})
        row["of"] += 1
        row["told"] += bool(units & flagged) if units else answer.finding in ids
    return out

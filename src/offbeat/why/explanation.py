"""What an explanation holds."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Explanation:
    """Why a finding is one. Field by field in ``docs/explain.md``; ``as_dict`` is what ``--json`` prints.

    Attributes:
        finding: the finding, as ``detect --json`` printed it.
        score, threshold: of its strangest unit, in nats, as scored again; an anomaly is at the threshold or above.
        views: what each view gives, in nats, and its share of the score; the shares sum to one.
        events: the unit's events: template, line, and what each adds, in nats: by how much the views fall without it,
            each view by its share; for the least expected ones what was expected instead; where ``network`` says how,
            what each adds to the LSTM's own score.
        missing: templates that are usual and not there, most usual first.
        nearest: the closest sequence among the most frequent ones learned from, as a difference.
        counterfactual: the fewest edits found that bring the score below the threshold; scored to check. With it, how
            many are needed at the least.
        course: of a finding about the volume of the log: the part of its course (trend, season, rest) it sticks out of.
        network: where the LSTM has a part in the score: by which method its score is divided among the events, the run
            of events that makes it, and the hidden units that change most over the events.
    """

    finding: dict[str, Any]
    score: float | None = None
    threshold: float | None = None
    views: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, Any]] = field(default_factory=list)
    nearest: dict[str, Any] | None = None
    counterfactual: dict[str, Any] | None = None
    course: dict[str, Any] | None = None
    network: dict[str, Any] | None = None

    @property
    def unturned(self) -> str | None:
        """Why no changes are named that make the unit normal; None where some are, or there is no unit."""
        if self.score is None or self.threshold is None or self.counterfactual is not None:
            return None
        if self.score < self.threshold:
            return "by itself it is no alarm to this run: what is told is that so many are like it"
        return "no few changes to its events make it normal: what is strange is not in their order or number"

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

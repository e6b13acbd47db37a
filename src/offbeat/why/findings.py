"""What ``detect -o RUN`` wrote, opened to be explained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from offbeat import bundle, saving
from offbeat.detect import Detector
from offbeat.distinct import USUAL, USUAL_LENGTH
from offbeat.errors import ModelError, OptionError
from offbeat.explain.edits import Codes
from offbeat.finding import Finding
from offbeat.inside import Method, check_method
from offbeat.learn import Learned
from offbeat.regime import Habits
from offbeat.why.course import course
from offbeat.why.explanation import Explanation
from offbeat.why.unit import Unit

if TYPE_CHECKING:
    from offbeat.pipeline import Pipeline
    from offbeat.run import Run

Floats = NDArray[np.float64]


@dataclass
class Findings:
    """A run as ``detect -o`` wrote it, opened to be explained.

    Attributes:
        found: the findings, as printed.
        units: the strangest unit of each, by ``id``.
        texts, template_ids: of the templates, by code.
        unit: the word for a unit.
    """

    found: list[dict[str, Any]]
    units: pl.DataFrame
    scores: pl.DataFrame
    series: pl.DataFrame
    texts: list[str]
    template_ids: list[str]
    unit: str
    learned: Learned
    trained_on: float
    summary: dict[str, Any] = field(default_factory=dict)
    threshold: float = 0.0
    habits: Habits | None = None

    @classmethod
    def of(cls, run: Run, findings: Sequence[Finding], pipeline: Pipeline) -> Self:
        """Take up a run that was not written; the same as ``write_run`` and ``open``."""
        found = [one.as_dict() for one in findings]
        tables = (run.worst_units(findings), run.scores, run.series, list(run.texts), list(run.template_ids))
        return cls(found, *tables, run.unit, pipeline.fitted, run.trained_on, run.summary, run.threshold, run.habits)

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read a run.

        Raises:
            ModelError: it is no run, damaged, or written by an offbeat that kept too little to explain.
        """
        values, frames, others, _ = bundle.read(path, bundle.RUN)
        try:
            findings = [orjson.loads(line) for line in others.pop("findings.jsonl", b"").splitlines()]
            mine = {name.removeprefix(saving.IN_RUN): f for name, f in frames.items() if name.startswith(saving.IN_RUN)}
            learned = saving.learned(
                values["learned"], mine, {name.removeprefix(saving.IN_RUN): data for name, data in others.items()}
            )
            texts = frames["texts"]
            names = (texts["template"].to_list(), texts["template_id"].to_list())
            tables = (frames["units"], frames["scores"], frames["series"])
            made = cls(findings, *tables, *names, values["unit"], learned, values["trained_on"], values["summary"])
            made.threshold = values["threshold"]
            if "habits" in values:
                made.habits = Habits.restore(values["habits"], frames)
                mine = {k.removeprefix(saving.OWN): f for k, f in frames.items() if k.startswith(saving.OWN)}
                if "own" in values:
                    made.own = saving.to_detectors(values["own"], values["own"], mine, {})
            return made
        except bundle.FOREIGN:
            hint = "offbeat detect FILES -o RUN writes it again"
            raise ModelError("holds too little to explain its findings", where=str(path), hint=hint) from None

    @cached_property
    def own(self) -> dict[str, Detector]:
        """Views that learned the log itself, where it was judged by its own habits as well."""
        return {} if self.habits is None else self.habits.views(self.learned.views, self.texts)

    @cached_property
    def usual(self) -> tuple[list[Codes], Floats]:
        """The most frequent sequences and their weights: learned from, and a changed log's own."""
        parts = [] if self.learned.usual is None else [self.learned.usual]
        if self.habits is not None:
            short = self.habits.sequences.filter(pl.col("templates").list.len() <= USUAL_LENGTH)
            parts.append(short.head(USUAL // 2))
        if not parts:
            return [], np.zeros(0)
        both = pl.concat(parts)
        if len(parts) > 1:
            both = both.group_by("templates", maintain_order=True).agg(pl.col("weight").sum())
        return both["templates"].to_list(), both["weight"].to_numpy()

    def finding(self, name: str) -> dict[str, Any]:
        """Return the finding whose id begins with ``name``; raises OptionError where none or several do."""
        some = [one for one in self.found if one["id"].startswith(name)]
        if len(some) != 1 or not name:
            known = ", ".join(one["id"] for one in self.found[:5]) or "none: nothing was found"
            what = "begins several ids" if len(some) > 1 else "is no finding of this run"
            raise OptionError(f"{name!r} {what}", where="ID", hint=f"the first are: {known}")
        return some[0]

    def explain(self, name: str, method: Method = "gradients") -> Explanation:
        """Explain a finding by its id, or the beginning of it.

        Args:
            name: the id.
            method: how the LSTM's score is divided among the events: by integrated ``gradients``, the same by
                ``captum``, or ``occlusion``.

        Raises:
            OptionError: there is no such finding or method, or the method's packages are not installed.
        """
        finding = self.finding(name)
        check_method(method)
        rows = self.units.filter(pl.col("id") == finding["id"]) if self.units.height else self.units
        if not rows.height:
            # It is about the log as a whole: no unit stands behind it.
            return Explanation(finding, course=course(self.series, finding))
        return Unit(self, rows, method).explain(finding)

    def named(self, code: int) -> dict[str, str]:
        """Return a template's id and text."""
        return {"template_id": self.template_ids[code], "template": self.texts[code]}

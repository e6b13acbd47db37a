"""Why a finding is one: explanations of what ``detect -o RUN`` wrote, each checked by scoring again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from offbeat import bundle, saving
from offbeat.detect import LSTM, Presence
from offbeat.errors import ModelError, OffbeatError, OptionError
from offbeat.explain.decompose import counts_of, explain_series
from offbeat.explain.edits import Codes, Edit, Nearest, fewest, nearest, occlude, shares
from offbeat.group.sessions import POSITION_BITS
from offbeat.learn import Learned
from offbeat.schema import view_column

Floats = NDArray[np.float64]

#: Events explained one by one, at most, and from which regret on (nats below the most likely event).
_EVENTS: Final = 5
_REGRET: Final = 1.0
_EXPECTED: Final = 3
#: A missing template is named when at least this share of the units learned from holds it.
_USUAL: Final = 0.5


@dataclass(frozen=True)
class Explanation:
    """Why a finding is one. Field by field in ``docs/explain.md``; ``as_dict`` is what ``--json`` prints.

    Attributes:
        finding: the finding, as ``detect --json`` printed it.
        score, threshold: of its strangest unit, in nats, as scored again; an anomaly is at the threshold or above.
        views: what each view gives, in nats, and its share of the score; the shares sum to one.
        events: the unit's events: template, line, and what each adds, in nats: by how much the views fall without it,
            each view by its share; for the least expected ones what was expected instead.
        missing: templates that are usual and not there, most usual first.
        nearest: the closest sequence among the most frequent ones learned from, as a difference.
        counterfactual: the fewest edits found that bring the score below the threshold; scored to check.
        course: of a finding about the volume of the log: the part of its course (trend, season, rest) it sticks out of.
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

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


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

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read a run.

        Raises:
            ModelError: it is no run, damaged, or written by an offbeat that kept too little to explain.
        """
        values, frames, others, _ = bundle.read(path, bundle.RUN)
        findings = [orjson.loads(line) for line in others.pop("findings.jsonl", b"").splitlines()]
        try:
            mine = {name.removeprefix(saving.IN_RUN): f for name, f in frames.items() if name.startswith(saving.IN_RUN)}
            learned = saving.learned(
                values["learned"], mine, {name.removeprefix(saving.IN_RUN): data for name, data in others.items()}
            )
            texts = frames["texts"]
            names = (texts["template"].to_list(), texts["template_id"].to_list())
            tables = (frames["units"], frames["scores"], frames["series"])
            return cls(findings, *tables, *names, values["unit"], learned, values["trained_on"])
        except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError):
            hint = "offbeat detect FILES -o RUN writes it again"
            raise ModelError("holds too little to explain its findings", where=str(path), hint=hint) from None

    def finding(self, name: str) -> dict[str, Any]:
        """Return the finding whose id begins with ``name``; raises OptionError where none or several do."""
        some = [one for one in self.found if one["id"].startswith(name)]
        if len(some) != 1 or not name:
            known = ", ".join(one["id"] for one in self.found[:5]) or "none: nothing was found"
            what = "begins several ids" if len(some) > 1 else "is no finding of this run"
            raise OptionError(f"{name!r} {what}", where="ID", hint=f"the first are: {known}")
        return some[0]

    def explain(self, name: str) -> Explanation:
        """Explain a finding by its id, or the beginning of it."""
        finding = self.finding(name)
        rows = self.units.filter(pl.col("id") == finding["id"]) if self.units.height else self.units
        if not rows.height:
            # It is about the log as a whole: no unit stands behind it.
            return Explanation(finding, course=self._course(finding))
        return _Unit(self, rows).explain(finding)

    def _course(self, finding: dict[str, Any]) -> dict[str, Any] | None:
        """Return which part of its course over time a finding sticks out of; None where there is too little to say."""
        if finding["kind"] not in ("volume", "silence") or not (finding["start"] and finding["end"]):
            return None
        names = [t["template"] for t in finding["templates"]] or finding["sources"]
        mine = self.series.filter(pl.col("name").is_in(names) if names else pl.col("what") == "all")
        start, end = (datetime.fromisoformat(finding[c]) for c in ("start", "end"))
        for what, code in mine.select("what", "code").unique(maintain_order=True).rows():
            try:
                found = explain_series(*counts_of(self.series, what, code), start, end)
            except OffbeatError:
                continue
            # Its buckets may be too wide to show a short burst: then it says nothing.
            return found if found["blamed"] else None
        return None

    def named(self, code: int) -> dict[str, str]:
        """Return a template's id and text."""
        return {"template_id": self.template_ids[code], "template": self.texts[code]}


@dataclass
class _Unit:
    """The strangest unit of a finding, and how sequences in its place would be scored."""

    run: Findings
    row: pl.DataFrame

    @cached_property
    def codes(self) -> Codes:
        return [int(code) for code in self.row["templates"][0]]

    @cached_property
    def raw(self) -> dict[str, float]:
        """The unit's raw scores, as they were."""
        scores = self.run.scores[int(self.row["unit"][0])]
        return {view: float(scores[view_column(view)][0]) for view in self.run.learned.views}

    def raw_of(self, sequences: Sequence[Codes]) -> dict[str, Floats]:
        """Return each view's raw scores of sequences; a view that reads more than templates keeps what it was."""
        frame = pl.DataFrame({"templates": list(sequences)}, schema={"templates": pl.List(pl.UInt32)})
        out = {}
        for name, detector in self.run.learned.views.items():
            detector.texts = self.run.texts
            fixed = detector.read_from(self.row) or detector.memory
            fixed = fixed or (detector.needs_ends and bool(self.row["open_at_end"][0]))
            same = np.full(len(sequences), self.raw[name])
            out[name] = same if fixed else detector.anomaly_score(frame).to_numpy()
        return out

    def score(self, sequences: Sequence[Codes]) -> Floats:
        """Return the fused scores of sequences, shape (n,)."""
        return self.run.learned.decision(self.raw_of(sequences))

    def explain(self, finding: dict[str, Any]) -> Explanation:
        decision = self.run.learned.decision
        given = decision.surprise({view: np.array([score]) for view, score in self.raw.items()})
        parts = [float(s[0]) for s in given.values()]
        of_views = shares(parts)
        whole = float(of_views.sum())
        views = [
            {"view": view, "nats": round(nats, 4), "share": round(float(share) / whole, 4) if whole else 0.0}
            for view, nats, share in zip(given, parts, of_views, strict=True)
        ]
        near = self._nearest()
        turned = fewest(self.codes, self.score, decision.threshold, near)
        return Explanation(
            finding,
            score=round(float(decision({v: np.array([s]) for v, s in self.raw.items()})[0]), 6),
            threshold=round(decision.threshold, 6),
            views=sorted(views, key=lambda v: -v["share"]),
            events=self._events(dict(zip(given, of_views, strict=True))),
            missing=self._missing(),
            nearest=self._as_difference(near[0]) if near else None,
            counterfactual=None
            if turned is None
            else {
                "edits": [self._edit(e) for e in turned.edits],
                "score": round(turned.score, 6),
            },
        )

    def _nearest(self) -> list[Nearest]:
        """Return the nearest of the most frequent sequences that are normal by the decision itself."""
        usual = self.run.learned.usual
        if usual is None or not usual.height:
            return []
        found = nearest(self.codes, usual["templates"].to_list(), usual["weight"].to_numpy(), 10)
        normal = self.score([n.codes for n in found]) < self.run.learned.decision.threshold
        return [n for n, ok in zip(found, normal, strict=True) if ok and n.edits]

    def _as_difference(self, near: Nearest) -> dict[str, Any]:
        return {
            "units": near.weight,
            "edits": near.edits,
            "steps": [{"how": how, **self.run.named(code)} for how, code in near.steps],
        }

    def _edit(self, edit: Edit) -> dict[str, Any]:
        return {"how": edit.how, "place": edit.place, **self.run.named(edit.template)}

    def _events(self, of_views: dict[str, float]) -> list[dict[str, Any]]:
        """Return the events in order, with what each adds to the score, and for the strangest what was expected.

        The fused score is a maximum: where two things are strange it does not fall without one of them. So what an
        event adds is taken view by view, each by its share.
        """
        whole = sum(of_views.values()) or 1.0
        share = {view: value / whole for view, value in of_views.items() if value > 0}

        def shared(sequences: Sequence[Codes]) -> Floats:
            given = self.run.learned.decision.surprise(self.raw_of(sequences))
            return np.asarray(sum(share[view] * given[view] for view in share), dtype=np.float64)

        adds = occlude(self.codes, shared) if share else np.zeros(len(self.codes))
        expected = self._expected()
        rows = self.row["rows"][0] if "rows" in self.row.columns else None
        out = []
        for i, code in enumerate(self.codes):
            place = None if rows is None else int(rows[i]) & (2**POSITION_BITS - 1)
            one = {"place": i, "line": place, **self.run.named(code), "adds": round(float(adds[i]), 4)}
            out.append(one | expected.get(i, {}))
        return out

    def _expected(self) -> dict[int, dict[str, Any]]:
        """Return, for the events that the LSTM regrets most, the likeliest templates in their place and their rank."""
        lstm = self.run.learned.views.get("lstm")
        if not isinstance(lstm, LSTM) or not self.codes:
            return {}
        frame = pl.DataFrame({"templates": [self.codes]}, schema={"templates": pl.List(pl.UInt32)})
        of_event, regret = (np.asarray(x) for x in lstm.regrets(frame))
        worst = [int(i) for i in np.argsort(-regret, kind="stable")[:_EVENTS] if regret[i] >= _REGRET]
        out = {}
        for i in worst:
            ranked = lstm.expected(self.codes, i, len(self.run.texts) + 1)
            known = [code for code, _ in ranked]
            instead = [
                {"probability": round(p, 6), **({"end": True} if code is None else self.run.named(code))}
                for code, p in ranked[:_EXPECTED]
            ]
            rank = known.index(self.codes[i]) + 1 if self.codes[i] in known else None
            out[i] = {"probability": round(float(np.exp(of_event[i])), 6), "rank": rank, "expected": instead}
        return out

    def _missing(self) -> list[dict[str, Any]]:
        presence = self.run.learned.views.get("presence")
        if not isinstance(presence, Presence):
            return []
        share = presence.units_with_ / presence.total_
        absent = [c for c in np.argsort(-share, kind="stable") if share[c] >= _USUAL and c not in set(self.codes)]
        return [{"share": round(float(share[c]), 4), **self.run.named(int(c))} for c in absent]

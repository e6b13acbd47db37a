"""Why a finding is one: explanations of what ``detect -o RUN`` wrote, each checked by scoring again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import orjson
import polars as pl
from numpy.typing import NDArray

from offbeat import bundle, saving
from offbeat.detect import LSTM, Detector, Presence
from offbeat.distinct import USUAL, USUAL_LENGTH
from offbeat.errors import ModelError, OffbeatError, OptionError
from offbeat.explain.counterfactual import fewest
from offbeat.explain.decompose import Decomposition, counts_of, decompose, explain_series
from offbeat.explain.edits import Codes, Edit, Nearest, nearest, occlude, shares
from offbeat.finding import Finding, iso
from offbeat.group.sessions import file_and_line
from offbeat.inside import Inside, Method, check_method, look_inside
from offbeat.learn import Learned
from offbeat.regime import Habits
from offbeat.rescoring import Rescoring, tagged
from offbeat.units import raw_of

if TYPE_CHECKING:
    from offbeat.pipeline import Pipeline
    from offbeat.run import Run

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Events explained one by one, at most, and from which regret on (nats below the most likely event).
_EVENTS: Final = 5
_REGRET: Final = 1.0
_EXPECTED: Final = 3
#: Buckets of a decomposed series that are told, around the one in question.
_BUCKETS: Final = 400
#: The LSTM is looked into where it makes at least this share of the score.
_LSTM_SHARE: Final = 0.01
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
            each view by its share; for the least expected ones what was expected instead; where ``network`` says how,
            what each adds to the LSTM's own score.
        missing: templates that are usual and not there, most usual first.
        nearest: the closest sequence among the most frequent ones learned from, as a difference.
        counterfactual: the fewest edits found that bring the score below the threshold; scored to check.
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
        findings = [orjson.loads(line) for line in others.pop("findings.jsonl", b"").splitlines()]
        try:
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
        except (KeyError, TypeError, ValueError, AttributeError, pl.exceptions.PolarsError):
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
            return Explanation(finding, course=self._course(finding))
        return _Unit(self, rows, method).explain(finding)

    def _course(self, finding: dict[str, Any]) -> dict[str, Any] | None:
        """Return which part of its course over time a finding sticks out of; None where there is too little to say."""
        if finding["kind"] not in ("volume", "silence") or not (finding["start"] and finding["end"]):
            return None
        names = [t["template"] for t in finding["templates"]] or finding["sources"]
        mine = self.series.filter(pl.col("name").is_in(names) if names else pl.col("what") == "all")
        start, end = (datetime.fromisoformat(finding[c]) for c in ("start", "end"))
        for what, code in mine.select("what", "code").unique(maintain_order=True).rows():
            try:
                times, counts = counts_of(self.series, what, code)
                parts = decompose(times, counts)
                found = explain_series(times, counts, start, end, decomposition=parts)
            except OffbeatError:
                continue
            # Its buckets may be too wide to show a short burst: then it says nothing.
            return found | {"parts": _around(parts, found["time"])} if found["blamed"] else None
        return None

    def named(self, code: int) -> dict[str, str]:
        """Return a template's id and text."""
        return {"template_id": self.template_ids[code], "template": self.texts[code]}


def _around(parts: Decomposition, time: str) -> dict[str, Any]:
    """Return the parts of a series as lists, of a long one those around a time: ``at`` is its bucket's place."""
    at = parts.bucket(datetime.fromisoformat(time))
    low = min(max(0, at - _BUCKETS // 2), max(0, len(parts.times) - _BUCKETS))
    some = slice(low, low + _BUCKETS)

    def told(values: Floats) -> list[float]:
        return [round(float(x), 3) for x in values[some]]

    first = datetime.fromtimestamp(int(parts.times[low]) / 1e6, UTC)
    return {
        "start": iso(first),
        "at": at - low,
        **{name: told(getattr(parts, name)) for name in ("seen", "expected", "trend", "rest")},
        "seasons": {name: told(season) for name, season in parts.seasons.items()},
    }


@dataclass
class _Unit:
    """The strangest unit of a finding, and how sequences in its place would be scored."""

    run: Findings
    row: pl.DataFrame
    method: Method = "gradients"

    @cached_property
    def codes(self) -> Codes:
        return [int(code) for code in self.row["templates"][0]]

    @cached_property
    def raw(self) -> dict[str, float]:
        """The unit's raw scores by view, as they were, and its group where there are groups."""
        scores = self.run.scores[int(self.row["unit"][0])]
        return {view: float(raw[0]) for view, raw in raw_of(scores, self.run.learned.views).items()}

    @cached_property
    def other(self) -> Rescoring:
        """What scores other sequences in the unit's place."""
        run = self.run
        return Rescoring(run.learned, run.threshold, self.row, self.raw, run.texts, run.habits, run.own)

    def explain(self, finding: dict[str, Any]) -> Explanation:
        decision = self.run.learned.decision
        given = decision.surprise({view: np.array([score]) for view, score in self.raw.items()})
        parts = [float(s[0]) for s in given.values()]
        of_views = shares(parts)
        whole = float(of_views.sum())
        views: list[dict[str, Any]] = [
            {"view": view, "nats": round(nats, 4), "share": round(float(share) / whole, 4) if whole else 0.0}
            for view, nats, share in zip(given, parts, of_views, strict=True)
        ]
        told = any(v["view"] == "lstm" and v["share"] >= _LSTM_SHARE for v in views)
        inside = self._inside() if told else None
        near = self._nearest()
        score = float(self.run.scores["score"][int(self.row["unit"][0])])
        turned = self._turned(score, near)
        return Explanation(
            finding,
            score=round(score, 6),
            threshold=round(self.run.threshold, 6),
            views=sorted(views, key=lambda v: -v["share"]),
            events=self._events(dict(zip(given, of_views, strict=True)), inside),
            missing=self._missing(),
            nearest=self._as_difference(near[0]) if near else None,
            counterfactual=turned,
            network=None if inside is None else self._network(inside),
        )

    def _inside(self) -> Inside | None:
        lstm = self.run.learned.views.get("lstm")
        return look_inside(lstm, self.codes, self.method) if isinstance(lstm, LSTM) and self.codes else None

    def _network(self, inside: Inside) -> dict[str, Any]:
        """Return what is told of the LSTM beside what its events add."""
        reacts = [
            r and {**self.run.named(r["template"]), "mean": r["mean"], "usual": r["usual"]} for r in inside.reacts
        ]
        return {
            "method": inside.method,
            "score": round(inside.score, 4),
            "delta": None if inside.delta is None else float(f"{inside.delta:.3g}"),
            "first": inside.first,
            "last": inside.last,
            "begin": inside.begin,
            "units": [{"unit": unit, "reacts_to": r} for unit, r in zip(inside.units, reacts, strict=True)],
            "hidden": inside.hidden,
        }

    def _nearest(self) -> list[Nearest]:
        """Return the nearest of the most frequent sequences that are normal by the decision itself."""

        def normal(some: Sequence[Codes]) -> Bools:
            return self.other.score(some) < self.run.threshold

        return [n for n in nearest(self.codes, *self.run.usual, normal) if n.edits]

    def _turned(self, score: float, near: Sequence[Nearest]) -> dict[str, Any] | None:
        """Return the fewest changes found that turn the verdict; None where none do, or edits cannot.

        A run that learned from its own log scored each unit by what had not seen it. What it keeps has, and may be less
        surprised at it; by as much more the score has to fall.
        """
        other, events = self.other, tagged(self.codes)
        if score < self.run.threshold or other.hopeless:
            return None
        known = max(0.0, score - float(other.score([events])[0]))
        turned = fewest(self.codes, other.score, self.run.threshold - known, near, other.left, events)
        if turned is None:
            return None
        edits = [self._edit(edit) | {"change": i} for i, run in enumerate(turned.changes) for edit in run]
        return {"edits": edits, "changes": len(turned.changes), "score": round(turned.score + known, 6)}

    def _as_difference(self, near: Nearest) -> dict[str, Any]:
        return {
            "units": near.weight,
            "of": self.run.trained_on + (0.0 if self.run.habits is None else self.run.scores.height),
            "edits": near.edits,
            "steps": [{"how": how, **self.run.named(code)} for how, code in near.steps],
        }

    def _edit(self, edit: Edit) -> dict[str, Any]:
        to = {"to": edit.to} if edit.how == "move" else {}
        return {"how": edit.how, "place": edit.place, **to, **self.run.named(edit.template)}

    def _events(self, of_views: dict[str, float], inside: Inside | None) -> list[dict[str, Any]]:
        """Return the events in order, with what each adds to the score, and for the strangest what was expected.

        The fused score is a maximum: where two things are strange it does not fall without one of them. So what an
        event adds is taken view by view, each by its share.
        """
        whole = sum(of_views.values()) or 1.0
        share = {view: value / whole for view, value in of_views.items() if value > 0}

        def shared(sequences: Sequence[Codes]) -> Floats:
            given = self.run.learned.decision.surprise(self.other.raw_of(sequences))
            return np.asarray(sum(share[view] * given[view] for view in share), dtype=np.float64)

        expected = self._expected()
        marked = self.row["event"].to_list() if "event" in self.row.columns else []
        first = [at for at in (*marked, *expected) if at is not None and at < len(self.codes)]
        adds = occlude(self.codes, shared, first) if share else np.zeros(len(self.codes))
        for view in share:
            # A view that keeps its score names the event that makes it; of what it gives all is that event's.
            detector = self.run.learned.views[view]
            if self.other.fixed(detector):
                at = detector.evidence(self.row)["event"][0]
                if at is not None and at < len(adds):
                    adds[at] += of_views[view]
        rows = self.row["rows"][0] if "rows" in self.row.columns else None
        out = []
        for i, code in enumerate(self.codes):
            place = None if rows is None else file_and_line(int(rows[i]))[1]
            one = {"place": i, "line": place, **self.run.named(code), "adds": round(float(adds[i]), 4)}
            if inside is not None:
                one["attributed"] = round(float(inside.attributed[i]), 4)
                if inside.context is not None:
                    one["context"] = round(float(inside.context[i]), 4)
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

"""Why one unit is strange: what makes its score, what was expected, and what would make it normal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect import LSTM, Presence
from offbeat.explain.counterfactual import fewest
from offbeat.explain.edits import Codes, Edit, Nearest, nearest, occlude, shares
from offbeat.group.sessions import file_and_line
from offbeat.inside import Inside, Method, look_inside
from offbeat.rescoring import Rescoring, tagged
from offbeat.units import raw_of
from offbeat.why.explanation import Explanation
from offbeat.why.needed import needs

if TYPE_CHECKING:
    from offbeat.why.findings import Findings

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Events explained one by one, at most, and from which regret on (nats below the most likely event).
_EVENTS: Final = 5
_REGRET: Final = 1.0
_EXPECTED: Final = 3
#: The LSTM is looked into where it makes at least this share of the score.
_LSTM_SHARE: Final = 0.01
#: A missing template is named when at least this share of the units learned from holds it.
_USUAL: Final = 0.5


@dataclass
class Unit:
    """The strangest unit of a finding, and how sequences in its place would be scored."""

    run: Findings
    row: pl.DataFrame
    method: Method = "gradients"

    @cached_property
    def codes(self) -> Codes:
        """The unit's template codes in order."""
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
        """Explain the finding, whose strangest unit this is."""
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

        return [n for n in nearest(self.codes, *self.run.usual, normal) if n.codes != self.codes]

    def _turned(self, score: float, near: Sequence[Nearest]) -> dict[str, Any] | None:
        """Return the fewest events found that turn the verdict; None where none do, or edits cannot.

        A run that learned from its own log scored each unit by what had not seen it. What it keeps has, and may be less
        surprised at it; by as much more the score has to fall.
        """
        other, events = self.other, tagged(self.codes)
        if score < self.run.threshold or other.hopeless:
            return None
        known = max(0.0, score - float(other.score([events])[0]))
        line = self.run.threshold - known
        turned = fewest(self.codes, other.score, line, near, other.left, events, needs(other, self.codes, line))
        if turned is None:
            return None
        edits = [self._edit(edit) | {"change": i} for i, run in enumerate(turned.changes) for edit in run]
        told = {"changes": len(turned.changes), "at_least": turned.at_least}
        return {"edits": edits, **told, "score": round(turned.score + known, 6)}

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

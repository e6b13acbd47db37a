"""What a release added to a log: left out, units are judged by what was learned of all the rest.

A step that many sessions take from one day on makes all of them improbable at once. No threshold serves then: below
their score all of them are alarms, and above it what goes wrong besides is lost. But where the new step alone makes
them improbable, they are as they were without it, and so they are judged.

An incident may look the same: a new line in a tenth of all units. A release came to stay, so its line comes on and on
until the log ends; and no line counts that is a warning or worse.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.decide import Decision, check_drift
from offbeat.decide.decision import views_of
from offbeat.decide.threshold import Threshold
from offbeat.detect import Detector, Presence, Ragged
from offbeat.distinct import Distinct, by_sequence
from offbeat.schema import view_column, weights

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

#: Templates left out, at most.
_MOST: Final = 20
#: A template is looked at where it is the main reason of at least this share of the improbable units.
_MAIN: Final = 0.1
#: It is left out where without it at least this share of these are no longer improbable.
_EXPLAINED: Final = 0.5
#: And where it comes on and on: from its first unit to the log's end, in up to ten equal parts of about eight units
#: with it on average, each has at least a quarter of the average.
_PARTS: Final = 10
_IN_PART: Final = 8
_STEADY: Final = 0.25
#: A unit whose score rises by more nats without it is left as it is. (Length, which decides between equals, may raise
#: that of a unit that is as strange without it, for another reason.)
_RISE: Final = 1.0


@dataclass(frozen=True)
class Additions:
    """What was left out of which units.

    Attributes:
        codes: of the templates.
        touched: units that are judged without them, shape (n,).
        units: all units, ``templates`` without them, and ``sequence``, their hash.
        raw: raw scores by view of the units as they are then, each of shape (n,), and what goes beside.
    """

    codes: tuple[int, ...]
    touched: Bools
    units: pl.DataFrame
    raw: dict[str, Floats]

    def parted(self, kept: pl.DataFrame, raw: Mapping[str, Floats]) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Return units without what was left out, and the touched ones as they were, with their scores.

        Args:
            kept: SEQUENCES with a column ``unit``, the place among all units.
            raw: scores by view of all units as they were.
        """
        mine = pl.Series(self.touched).gather(kept["unit"])
        whole = kept.filter(mine)
        scores = {view_column(view): one[whole["unit"].to_numpy()] for view, one in views_of(raw).items()}
        if not whole.height:
            return kept, whole.with_columns(**scores)
        lists = [name for name, kind in kept.schema.items() if isinstance(kind, pl.List)]
        place = pl.col("templates").list.eval((~pl.element().is_in(self.codes)).arg_true())
        rest = whole.with_columns(place=place).with_columns(pl.col(name).list.gather(pl.col("place")) for name in lists)
        return pl.concat([kept.filter(~mine), rest.drop("place")]).sort("unit"), whole.with_columns(**scores)


def as_they_were(aside: pl.DataFrame, scores: pl.DataFrame, views: Iterable[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return units as they were (``Additions.parted``) and SCORES of all units, with what the views gave to those."""
    names = [view_column(view) for view in views]
    with_theirs = scores.with_row_index("unit").update(aside.select("unit", *names), on="unit")
    return aside.drop(names), with_theirs.drop("unit")


def without_additions(
    units: pl.DataFrame,
    raw: Mapping[str, Floats],
    decision: Decision,
    views: Mapping[str, Detector],
    alarming: Collection[int] = (),
    rule: Threshold | None = None,
) -> Additions | None:
    """Leave out of a log that changed what was added to it, one template after the other, until it fits again.

    Args:
        units: all units of the log, with ``templates``, in order.
        raw: the views' raw scores, each of shape (n,), and the units' groups where there are any.
        decision: what was learned of them.
        views: what was learned, by name.
        alarming: codes of templates that are never left out.
        rule: how the threshold was found.

    Returns:
        None where nothing is left out: no single template explains enough.
    """
    presence = next((view for view in views.values() if isinstance(view, Presence)), None)
    if presence is None:
        return None
    weight = weights(units)
    now, templates, score = dict(raw), units["templates"], decision(raw)
    codes, touched = list[int](), np.zeros(units.height, dtype=np.bool_)
    while len(codes) < _MOST and check_drift(decision, score, weight, rule) is not None:
        strange = np.flatnonzero(score >= decision.threshold)
        found = _main_reason(presence, templates.gather(strange), weight[strange])
        if found is None or found[0] in alarming:
            break
        code, reason = found[0], strange[found[1]]
        has = templates.list.contains(code).fill_null(False).to_numpy()
        if not _steady(has):
            break
        left = units.with_columns(templates=templates).filter(has)
        left = left.with_columns(pl.col("templates").list.eval(pl.element().filter(pl.element() != code)))
        then = now | _scored({name: view for name, view in views.items() if name in now}, left, has, now)
        after = decision(then)
        if weight[reason[after[reason] < decision.threshold]].sum() < _EXPLAINED * weight[reason].sum():
            break
        fewer = has & (after <= score + _RISE)
        now = {name: np.where(fewer, then[name], old) for name, old in now.items()}
        score = np.where(fewer, after, score)
        place = np.arange(units.height)
        place[has] = np.where(fewer[has], units.height + np.arange(left.height), place[has])
        templates = pl.concat([templates, left["templates"]]).gather(place)
        touched |= fewer
        codes.append(code)
    if not codes:
        return None
    units = units.with_columns(templates=templates)
    hashes = pl.Series("sequence", Ragged.of(units).hashes[:, 0], dtype=pl.UInt64)
    return Additions(tuple(codes), touched, units.with_columns(hashes), now)


def _main_reason(presence: Presence, templates: pl.Series, weight: Floats) -> tuple[int, NDArray[np.int64]] | None:
    """Return the template whose being there makes most units improbable, and which of these; None where none does."""
    told: pl.DataFrame = presence.evidence(templates.to_frame("templates")).select("kind", "template")
    told = told.with_columns(weight=pl.Series(weight)).with_row_index("i")
    reasons = told.group_by("kind", "template", maintain_order=True).agg(pl.col("weight").sum(), "i")
    kind, code, many, which = reasons.sort("weight", descending=True, maintain_order=True).row(0)
    if kind not in ("new pattern", "rare pattern") or many < _MAIN * weight.sum():
        return None
    return int(code), np.array(which, dtype=np.int64)


def _steady(has: Bools) -> bool:
    """Whether what units have comes on and on, from the first that has it to the last of all."""
    since = has[int(np.argmax(has)) :]
    parts = int(np.clip(since.sum() // _IN_PART, 2, _PARTS))
    shares = np.array([part.mean() for part in np.array_split(since, parts)])
    return bool((shares >= _STEADY * since.mean()).all())


def _scored(
    views: Mapping[str, Detector], left: pl.DataFrame, has: Bools, now: Mapping[str, Floats]
) -> dict[str, Floats]:
    """Return the scores of the views that look at templates alone, those of some units made anew."""
    seen, out = Distinct(left), {}
    for name, view in views.items():
        if by_sequence(view):
            out[name] = now[name].copy()
            out[name][has] = seen.score(view, np.ones(left.height, dtype=np.bool_))
    return out

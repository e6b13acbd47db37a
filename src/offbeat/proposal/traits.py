"""What a surrogate tree may ask of a unit: what it holds and how often, how long it is, and how rare all that is.

Counts of single templates tell only what was seen before: of units that are strange each in its own way a tree learns
nothing of the next. So it may also ask how rare a unit's rarest template is, its rarest step from one event to the
next, its rarest count, pause or number, and how usual what it lacks: shares of the units or events of the whole run,
which know nothing of verdicts.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.explain.words import duration, rate, shortened, times

Bools = NDArray[np.bool_]
#: The name of a trait, and the template that it is about.
Name = tuple[str, int | None]

#: Templates with a column: those that a strange unit holds, then those that most units hold; of these so many at most.
_TEMPLATES: Final = 400
#: Fewer units than this share of them hold what nobody would miss.
_USUAL: Final = 0.5
_LEAST: Final = 1e-9
#: By trait that is a share, what its bound says of units with no more, and of those with more; and of what it is a
#: share, where it is not one of units.
_SHARES: Final = {
    "pattern share": ("a pattern that at most {} have", "only patterns that more than {} have", ""),
    "count share": ("a pattern as often as in at most {}", "every pattern as often as in more than {}", ""),
    "step share": ("a step that at most {} have", "only steps that more than {} have", ""),
    "missing share": ("nothing is missing that more than {} have", "what more than {} have is missing", ""),
    "pause share": ("a pause as long as at most {}", "only pauses as long as more than {}", "such pause"),
    "number share": ("a number as far out as at most {}", "only numbers as far out as more than {}", "such number"),
}


def traits(
    units: pl.DataFrame, top: int, verdict: Bools, *, timed: bool, parts: Ints | None = None
) -> tuple[list[Name], NDArray[np.float32]]:
    """Return the names of the traits, and their values, shape (n, traits); of shares the natural logarithms.

    Args:
        units: n SEQUENCES with ``weight``; also ``timestamps``, ``values``, ``start`` and ``end`` where there are any.
        top: how many templates there are.
        verdict: which units are strange, shape (n,): only which templates get a column hangs on it.
        timed: whether there are times.
        parts: of a run that was judged by itself, which part of it each unit is in, shape (n,). How rare something is
            gets counted in the other parts then, for by these a unit was judged.
    """
    lists = [name for name in ("timestamps", "values") if name in units.columns and (timed or name == "values")]
    data = Ragged.of(units, lists)
    names, columns = _counts(data, top, verdict)
    numbers = _numbers(data)
    more: dict[str, Any] = {"events": data.lengths} | _shares(data, numbers, parts)
    if "timestamps" in lists:
        more["pause"] = _largest(np.nan_to_num(numbers["pause share"][0]), data)
        long = (pl.col("end") - pl.col("start")).dt.total_microseconds() / 1e6
        more["seconds"] = units.select(long.fill_null(0.0)).to_series().to_numpy()
    if "values" in lists:
        more["number"] = (
            units.select(pl.col("values").list.max().fill_null(0.0).cast(pl.Float64)).to_series().to_numpy()
        )
    names += [(name, None) for name in more]
    # A bound between two shares is to lie between them by ratio.
    told = [np.log(np.maximum(column, _LEAST)) if is_share(name) else column for name, column in more.items()]
    return names, np.column_stack([columns, *told]).astype(np.float32)


def is_share(feature: str) -> bool:
    """Say whether a trait is a share, so that its values are logarithms."""
    return feature.endswith(" share")


def asked(feature: str, above: float, text: str | None, unit: str) -> tuple[str, str]:
    """Return the two answers to a question in words: no more than ``above``, and more.

    Args:
        feature: name of a trait.
        above: the bound between both.
        text: of the template that it is about.
        unit: the word for a unit.
    """
    if is_share(feature):
        few, many, of = _SHARES[feature]
        share = rate(above, of or unit)
        return few.format(share), many.format(share)
    least = int(np.floor(above)) + 1
    if feature == "count":
        about = f"“{shortened(text or '', 80)}”"
        if least == 1:
            return f"no {about}", f"{about} is there"
        return f"{about} fewer than {times(least)}", f"{about} {times(least)} or more"
    if feature == "events":
        return f"fewer than {least:,} events", f"{least:,} events or more"
    if feature == "number":
        return f"no number above {above:,.4g}", f"a number above {above:,.4g}"
    what = "a pause" if feature == "pause" else "a length"
    return f"{what} of {duration(above)} at most", f"{what} of more than {duration(above)}"


def _counts(data: Ragged, top: int, verdict: Bools) -> tuple[list[Name], Ints]:
    """Return how often templates come in each unit, with their names."""
    n = len(data)
    rows, met, _ = data.cells
    held = np.bincount(met, minlength=top)
    odd = np.bincount(met[verdict[rows]], minlength=top) > 0
    codes = np.lexsort((-held, ~odd))[: min(_TEMPLATES, int((held > 0).sum()))]
    place = np.full(top, -1)
    place[codes] = np.arange(len(codes))
    at = np.flatnonzero(place[data.ids] >= 0)
    flat = data.rows[at] * len(codes) + place[data.ids[at]]
    counts = np.bincount(flat, minlength=n * len(codes)).reshape(n, len(codes))
    return [("count", int(code)) for code in codes], counts


def _numbers(data: Ragged) -> dict[str, list[Floats]]:
    """Return by share the numbers of events that it is about: the largest of a template are the rarest."""
    out = {}
    if "timestamps" in data.extra:
        gap = np.diff(data.extra["timestamps"], prepend=np.nan)
        gap[data.offsets[:-1][data.lengths > 0]] = np.nan
        out["pause share"] = [gap]
    if "values" in data.extra:
        out["number share"] = [data.extra["values"], -data.extra["values"]]
    return out


def _shares(data: Ragged, numbers: dict[str, list[Floats]], parts: Ints | None) -> dict[str, Floats]:
    """Return how rare what is in each unit is: in all units, or in those of other parts than its own."""
    if parts is not None:
        each = {
            part: _shares(replace(data, weight=np.where(parts == part, 0.0, data.weight)), numbers, None)
            for part in np.unique(parts).tolist()
        }
        names = next(iter(each.values()), {})
        return {name: np.select([parts == part for part in each], [e[name] for e in each.values()]) for name in names}
    rarest = {name: [_rarest(data, x, data.ids) for x in some] for name, some in numbers.items()}
    return _rarities(data) | {name: np.minimum.reduce(some) for name, some in rarest.items()}


def _rarities(data: Ragged) -> dict[str, Floats]:
    """Return the shares of the units that hold what is rarest in each, and what is most usual of what it lacks."""
    rows, met, often = data.cells
    whole = float(data.weight.sum())
    held = np.bincount(met, data.weight[rows], minlength=data.size) / whole
    usual = np.flatnonzero(held >= _USUAL)
    missing = np.where(data.holds(usual), 0.0, held[usual]).max(axis=1, initial=0.0)
    inside = np.flatnonzero(data.rows[1:] == data.rows[:-1])
    step = data.ids[inside] * max(data.size, 1) + data.ids[inside + 1]
    kinds, step = np.unique(step, return_inverse=True)
    pair = np.unique(data.rows[inside] * max(len(kinds), 1) + step)
    of, which = pair // max(len(kinds), 1), pair % max(len(kinds), 1)
    taken = np.bincount(which, data.weight[of], minlength=len(kinds)) / whole
    return {
        "pattern share": _least(held[met], rows, len(data)),
        "count share": _least(_tail(met, often.astype(np.float64), data.weight[rows]) / whole, rows, len(data)),
        "step share": _least(taken[which], of, len(data)),
        "missing share": missing,
    }


def _rarest(data: Ragged, numbers: Floats, group: Ints) -> Floats:
    """Return the least share of the numbers of a group that are as large as one of a unit's, shape (n,)."""
    some = np.flatnonzero(np.isfinite(numbers))
    weight = data.weight[data.rows[some]]
    whole = np.bincount(group[some], weight, minlength=data.size)
    # Of a template that no other unit has nothing is known.
    share = np.where(whole[group[some]] > 0, _tail(group[some], numbers[some], weight), 1.0)
    share /= np.where(whole[group[some]] > 0, whole[group[some]], 1.0)
    return _least(share, data.rows[some], len(data))


def _tail(group: Ints, value: Floats, weight: Floats) -> Floats:
    """Return, for each value, the weight of those in its group that are at least as large, of the same shape."""
    out = np.zeros(len(value))
    if not len(value):
        return out
    order = np.lexsort((-value, group))
    g, v = group[order], value[order]
    sums = np.cumsum(weight[order])
    first = np.append(True, g[1:] != g[:-1])
    before = np.maximum.accumulate(np.where(first, np.append(0.0, sums[:-1]), 0.0))
    last = np.flatnonzero(np.append((g[1:] != g[:-1]) | (v[1:] != v[:-1]), True))
    out[order] = sums[last][np.searchsorted(last, np.arange(len(v)))] - before
    return out


def _least(share: Floats, rows: Ints, n: int) -> Floats:
    """Return the smallest share of each row, 1 where there is none, shape (n,)."""
    out = np.ones(n)
    np.minimum.at(out, rows, share)
    return out


def _largest(values: Floats, data: Ragged) -> Floats:
    out = np.zeros(len(data))
    np.maximum.at(out, data.rows, values)
    return out

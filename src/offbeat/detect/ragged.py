"""Sequences of template codes as flat arrays: what every detector computes on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.schema import weights

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
#: From so many nats a sequence on, first events are told better by other first events than by their frequency.
_TELLING = 0.1
#: Share of the units that are as long as the longest, from which on units are windows of a number of events.
_ALIKE = 0.5

#: Codes at most so many times as many as there are of them are told apart by a table.
_DENSE: Final = 16


@dataclass(frozen=True)
class Ragged:
    """``n`` sequences of template codes, laid end to end.

    Attributes:
        ids: int64 of shape (events,), all codes in order.
        offsets: int64 of shape (n + 1,); sequence ``i`` is ``ids[offsets[i]:offsets[i + 1]]``.
        weight: float64 of shape (n,), how many units each sequence stands for.
        extra: further columns of lists by name, each float64 of shape (events,), NaN where null; times are in seconds.
    """

    ids: Ints
    offsets: Ints
    weight: Floats
    extra: Mapping[str, Floats] = field(default_factory=dict)

    @classmethod
    def of(cls, X: pl.DataFrame, extra: Iterable[str] = ()) -> Ragged:
        """Take the columns ``templates`` and ``extra`` (and ``weight``, where there is one) of a SEQUENCES frame.

        A column of ``extra`` that is absent becomes NaN.
        """
        lists = X["templates"]
        lengths = lists.list.len().to_numpy().astype(np.int64)
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        # An empty list explodes to one null, which is no event.
        ids = lists.explode().drop_nulls().to_numpy().astype(np.int64)
        weight = weights(X)
        nothing = np.full(len(ids), np.nan)
        return cls(ids, offsets, weight, {n: _flat(X[n]) if n in X.columns else nothing for n in extra})

    @classmethod
    def from_lists(cls, lists: Sequence[Sequence[int]]) -> Ragged:
        """Take plain lists of template codes."""
        return cls.of(pl.DataFrame({"templates": lists}, schema={"templates": pl.List(pl.UInt32)}))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def lengths(self) -> Ints:
        """Events in each sequence, shape (n,)."""
        return np.diff(self.offsets)

    @cached_property
    def rows(self) -> Ints:
        """The sequence each event belongs to, shape (events,)."""
        return np.repeat(np.arange(len(self)), self.lengths)

    @cached_property
    def size(self) -> int:
        """The smallest vocabulary that holds every code."""
        return int(self.ids.max()) + 1 if len(self.ids) else 0

    @cached_property
    def cells(self) -> tuple[Ints, Ints, Ints]:
        """How often each code occurs in each sequence, sparsely: (row, code, count), ordered by row, then code."""
        key, count = np.unique(self.rows * max(self.size, 1) + self.ids, return_counts=True)
        return key // max(self.size, 1), key % max(self.size, 1), count

    @cached_property
    def first_places(self) -> Ints:
        """Where the code of each of ``cells`` first occurs in its sequence, 0-based."""
        key, first = np.unique(self.rows * max(self.size, 1) + self.ids, return_index=True)
        return np.asarray(first - self.offsets[key // max(self.size, 1)], dtype=np.int64)

    def lists(self, values: Floats) -> pl.Series:
        """Return values of shape (events,) as one List(Float64) a sequence."""
        flat = pl.DataFrame({"row": self.rows, "values": values}, schema={"row": pl.Int64, "values": pl.Float64})
        found = flat.group_by("row", maintain_order=True).agg("values")
        each = pl.DataFrame({"row": np.arange(len(self))}).join(found, on="row", how="left", maintain_order="left")
        return each["values"].fill_null(pl.lit([], pl.List(pl.Float64)))

    def take(self, keep: Ints) -> Ragged:
        """Return the sequences at the positions ``keep``, in that order."""
        lengths = self.lengths[keep]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        flat = np.repeat(self.offsets[keep] - offsets[:-1], lengths) + np.arange(offsets[-1])
        extra = {name: values[flat] for name, values in self.extra.items()}
        return Ragged(self.ids[flat], offsets, self.weight[keep], extra)

    def merged(self) -> Ragged:
        """Return each distinct sequence once, with the weight of all that are like it."""
        first, index = self.distinct
        kept = self.take(first)
        weight = np.bincount(index, weights=self.weight, minlength=len(first)).astype(np.float64)
        return Ragged(kept.ids, kept.offsets, weight, kept.extra)

    def holds(self, codes: Ints) -> NDArray[np.bool_]:
        """Return, for each sequence, which of a few distinct ``codes`` it holds, shape (n, codes)."""
        place = np.full(max(self.size, int(codes.max(initial=-1)) + 1), -1)
        place[codes] = np.arange(len(codes))
        rows, met, _ = self.cells
        out = np.zeros((len(self), len(codes)), dtype=bool)
        column = place[met]
        out[rows[column >= 0], column[column >= 0]] = True
        return out

    @cached_property
    def hashes(self) -> NDArray[np.uint64]:
        """Two independent 64-bit hashes of each sequence, ``extra`` included, and its length: uint64 (n, 3)."""
        # Drawn row by row, so that a sequence's hash does not depend on what else is there.
        rng = np.random.Generator(np.random.PCG64(20240901))
        places_rng = np.random.Generator(np.random.PCG64(20240902))
        codes = rng.integers(1, 2**63, size=(max(self.size, 1), 2), dtype=np.uint64).T
        within = np.arange(len(self.ids)) - np.repeat(self.offsets[:-1], self.lengths)
        longest = int(self.lengths.max()) if len(self) else 0
        places = places_rng.integers(1, 2**63, size=(max(longest, 1), 2), dtype=np.uint64).T | np.uint64(1)
        hashes = np.zeros((len(self), 3), dtype=np.uint64)
        hashes[:, 2] = self.lengths
        filled = self.lengths > 0
        for k in range(2):
            mixed = codes[k][self.ids] * places[k][within]
            mixed ^= mixed >> np.uint64(29)
            for values in self.extra.values():
                # As in a chain of hashes, so that it matters which of the columns a number is in.
                mixed = (mixed ^ values.view(np.uint64)) * places[k][within]
                mixed ^= mixed >> np.uint64(29)
            if filled.any():
                hashes[filled, k] = np.add.reduceat(mixed, self.offsets[:-1][filled])
        return hashes

    @cached_property
    def distinct(self) -> tuple[Ints, Ints]:
        """Positions of the first of each distinct sequence, and for every sequence the index among those.

        Sequences are compared by their hashes, so that millions of units cost two passes.
        """
        hashes = self.hashes
        frame = pl.DataFrame({"a": hashes[:, 0], "b": hashes[:, 1], "n": hashes[:, 2]}).with_row_index("i")
        groups = frame.group_by("a", "b", "n", maintain_order=True).agg(pl.col("i").first().alias("first"))
        groups = groups.with_row_index("g")
        index = frame.join(groups, on=["a", "b", "n"], how="left", maintain_order="left")["g"]
        return groups["first"].to_numpy().astype(np.int64), index.to_numpy().astype(np.int64)


def _flat(lists: pl.Series) -> Floats:
    """Lay a column of lists end to end as floats."""
    values = lists.explode(empty_as_null=False)
    if values.dtype.is_temporal():
        return values.dt.epoch("us").cast(pl.Float64).to_numpy() / 1e6
    return values.cast(pl.Float64).fill_null(float("nan")).to_numpy()


def numbered(codes: Ints) -> tuple[Ints, Ints]:
    """Return the distinct codes (0 or more), increasing, and the place of each code among these.

    As ``np.unique`` does, but without sorting where they are dense.
    """
    if not len(codes) or int(codes.max()) > _DENSE * len(codes):
        found, index = np.unique(codes, return_inverse=True)
        return found, index.astype(np.int64)
    there = np.zeros(int(codes.max()) + 1, dtype=np.bool_)
    there[codes] = True
    return np.flatnonzero(there), (np.cumsum(there) - 1)[codes]


def segment_max(values: Floats, rows: Ints, n: int) -> Floats:
    """Return the largest value in each of ``n`` rows, shape (n,); 0 for a row without values."""
    out = np.zeros(n)
    np.maximum.at(out, rows, values)
    return out


def starts_tell(data: Ragged) -> bool:
    """Whether it says something which event a sequence starts with, beside how frequent the event is.

    Sessions start with few kinds of events. Windows are cut from a stream wherever it happens to be, so that their
    first events are like any other: a start is then no event to be surprised at. Windows are known by being cut at a
    length, which most have and none exceeds. Compared is the mean log-likelihood of each first event, by the first
    events of the other sequences and by the frequency of events. (Measured: 1.6 to 1.8 nats more on the sessions of
    HDFS, .01 or less on windows of BGL, web, system and simulated logs.)
    """
    some = data.lengths > 0
    if data.lengths.max(initial=0) < 2:
        return True  # there is nothing else to be surprised at
    if np.average(data.lengths == data.lengths.max(), weights=data.weight) < _ALIKE:
        return True
    first, weight = data.ids[data.offsets[:-1][some]], data.weight[some]
    share = np.bincount(data.ids, data.weight[data.rows]) / data.weight[data.rows].sum()
    starts = np.bincount(first, weight, minlength=data.size)
    others = np.maximum(starts[first] - weight, 0.0) + 0.5 * share[first]
    gain = np.log(others / (np.maximum(weight.sum() - weight, 0.0) + 0.5)) - np.log(share[first])
    return float(np.average(gain, weights=weight)) > _TELLING


def run_sum(values: Floats, rows: Ints, k: int) -> Floats:
    """Return, for each event, the sum over it and the ``k - 1`` events before it in its row, shape (events,)."""
    out = values.copy()
    for step in range(1, min(k, len(values))):
        same = rows[step:] == rows[:-step]
        out[step:] += np.where(same, values[:-step], 0.0)
    return out


def segment_argmax(values: Floats, rows: Ints, n: int) -> Ints:
    """Return the position of the largest value (the first of equals) in each of ``n`` rows; -1 for a row without."""
    order = np.lexsort((-np.arange(len(values)), values, rows))
    out = np.full(n, -1, dtype=np.int64)
    out[rows[order]] = order
    return out

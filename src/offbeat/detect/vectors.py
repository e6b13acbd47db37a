"""Count vectors: what the detectors of the textbooks compute on, and how they say which template made a score."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import Detector
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax

#: Rows made dense at a time, to bound memory.
BLOCK: Final = 4096
#: Labels cannot teach what a template means that no labelled unit held. Among units that a supervised detector judges
#: alike, one with such a template comes first, by this much; whether what is new is an alarm is for other views to say.
NEW: Final = 0.01


def representatives(data: Ragged, most: int, seed: int) -> tuple[Ragged, Ints]:
    """Return distinct sequences and how often each counts, at most ``most`` in all.

    Where the units are no more than that, each distinct sequence counts as often as there are units of it; of more, a
    systematic sample is drawn in proportion to weight (Madow and Madow, 1944). Neither depends on the order of rows.

    Args:
        data: n sequences with their weights.
        most: how many units may be kept.
        seed: where the sample begins.

    Returns:
        d distinct sequences, and an int64 array of shape (d,) of counts of one or more.
    """
    first, index = data.distinct
    weight = np.bincount(index, weights=data.weight, minlength=len(first)).astype(np.float64)
    order = np.lexsort(data.hashes[first].T)
    n = int(min(max(round(weight.sum()), 1), most))
    times = _drawn(weight[order], n, seed)
    drawn = np.flatnonzero(times)
    return data.take(first[order[drawn]]), times[drawn]


def distinct_rows(matrix: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Return the distinct rows of a matrix, sorted, and the sum of their weights."""
    rows, index = np.unique(matrix, axis=0, return_inverse=True)
    return rows, np.bincount(index.ravel(), weights=weight, minlength=len(rows)).astype(np.float64)


def labelled_rows(matrix: Floats, y: Any, weight: Floats) -> tuple[Floats, Any, Floats]:
    """Return the distinct rows of a matrix by label, sorted, their labels and the sum of their weights.

    Args:
        matrix: of shape (n, columns).
        y: whether each row is anomalous, shape (n,).
        weight: of each row, shape (n,).
    """
    rows, sums = distinct_rows(np.column_stack((y, matrix)), weight)
    return rows[:, 1:], rows[:, 0] > 0, sums


def thinned(weight: Floats, label: Any, most: int, seed: int) -> tuple[Ints, Floats]:
    """Return which rows to learn from, at most ``most`` of either label, and the weight each then stands for.

    All of them where there are no more; else a systematic sample in proportion to weight.

    Args:
        weight: of each distinct row, shape (n,).
        label: of each row, Boolean of shape (n,).
        most: rows of a label that may be kept.
        seed: where the sample begins.
    """
    kept, mass = [], []
    for side in (np.flatnonzero(~label), np.flatnonzero(label)):
        stands_for = weight[side]
        if len(side) > most:
            stands_for = _drawn(stands_for, most, seed) * (stands_for.sum() / most)
        kept.append(side[stands_for > 0])
        mass.append(stands_for[stands_for > 0])
    return np.concatenate(kept), np.concatenate(mass)


def _drawn(weight: Floats, n: int, seed: int) -> Ints:
    """Return how often each of some rows is drawn in a systematic sample of ``n`` in proportion to weight."""
    mass = np.cumsum(weight)
    ticks = (np.arange(n) + np.random.Generator(np.random.PCG64(seed)).random()) * (mass[-1] / n)
    return np.bincount(np.searchsorted(mass, ticks, side="right").clip(max=len(mass) - 1), minlength=len(mass))


def nearest(asked: Floats, vectors: Floats) -> tuple[Floats, Ints]:
    """Return the Euclidean distance of each row of ``asked`` to the nearest of ``vectors``, and that one's place."""
    norms = (vectors**2).sum(axis=1)
    place = np.zeros(len(asked), dtype=np.int64)
    step = max(1, 2**23 // max(len(vectors), 1))
    for at in range(0, len(asked), step):
        place[at : at + step] = (norms - 2 * asked[at : at + step] @ vectors.T).argmin(axis=1)
    # The product loses digits where vectors are equal, so the distance itself is taken from the difference.
    return np.sqrt(((asked - vectors[place]) ** 2).sum(axis=1)), place


@dataclass(frozen=True)
class Columns:
    """Which template is counted in which column, and what is usual of it.

    Columns: one for each of the k templates that most units hold; then one for all others that training held; last one
    for those that it did not. A matrix of counts thus has ``width`` = k + 2 columns.

    Attributes:
        codes: every template that training holds, increasing, shape (t,).
        own: whether it has a column of its own, shape (t,).
        held: share of training units that hold it, shape (t,).
        usual: its most frequent count, zero included, shape (t,).
        share: share of training units with that count, shape (t,).
        length: the median number of events of a unit.
    """

    codes: Ints
    own: np.ndarray[Any, np.dtype[np.bool_]]
    held: Floats
    usual: Floats
    share: Floats
    length: float

    @classmethod
    def fit(cls, data: Ragged, most: int) -> Self:
        """Learn from sequences; at most ``most`` templates get a column of their own."""
        rows, met, counts = data.cells
        total = float(data.weight.sum())
        units = np.bincount(met, weights=data.weight[rows], minlength=data.size)
        codes = np.flatnonzero(units)
        own = np.zeros(data.size, dtype=bool)
        own[np.argsort(-units, kind="stable")[:most]] = True
        table = pl.DataFrame({"code": met, "count": counts, "w": data.weight[rows]}).group_by("code", "count").sum()
        absent = pl.DataFrame({"code": codes, "count": np.zeros(len(codes), np.int64), "w": total - units[codes]})
        # Of counts that as many units have, the smallest is called usual.
        modes = pl.concat([table, absent]).sort("code", "w", "count", descending=[False, True, False])
        modes = modes.group_by("code", maintain_order=True).first()
        order = np.argsort(data.lengths, kind="stable")
        middle = int(np.searchsorted(np.cumsum(data.weight[order]), total / 2))
        return cls(
            codes,
            own[codes],
            units[codes] / total,
            modes["count"].to_numpy().astype(np.float64),
            modes["w"].to_numpy() / total,
            float(data.lengths[order[min(middle, len(order) - 1)]]),
        )

    @property
    def width(self) -> int:
        """Columns of a matrix of counts."""
        return int(self.own.sum()) + 2

    @property
    def usual_counts(self) -> Floats:
        """The usual count in each column, shape (width,)."""
        return np.concatenate((self.usual[self.own], [0.0, 0.0]))

    def places(self, codes: Ints) -> Ints:
        """Return the column of each template code."""
        column = np.where(self.own, np.cumsum(self.own) - 1, self.width - 2)
        at = np.searchsorted(self.codes, codes).clip(max=max(len(self.codes) - 1, 0))
        known = self.codes[at] == codes if len(self.codes) else np.zeros(len(codes), dtype=bool)
        return np.where(known, column[at] if len(column) else 0, self.width - 1)

    def counts(self, data: Ragged) -> Floats:
        """Return how often each template occurs in each sequence, shape (n, width)."""
        rows, codes, counts = data.cells
        out = np.zeros((len(data), self.width))
        np.add.at(out, (rows, self.places(codes)), counts)
        return out

    def blocks(self, data: Ragged) -> Iterator[tuple[slice, Floats]]:
        """Yield the counts of a few thousand sequences at a time, with where they stand."""
        for at in range(0, len(data), BLOCK):
            part = slice(at, min(at + BLOCK, len(data)))
            yield part, self.counts(data.take(np.arange(part.start, part.stop)))

    def evidence(self, data: Ragged, column: Ints) -> dict[str, Any]:
        """Return the columns of EVIDENCE for the column that made each sequence's score.

        Args:
            data: n sequences.
            column: for each the column to blame, shape (n,); ``width`` blames its length, -1 its rarest template.
        """
        rows, met, counts = data.cells
        places = self.places(met)
        at = np.searchsorted(self.codes, met).clip(max=max(len(self.codes) - 1, 0))
        rarity = np.where(places == self.width - 1, 1.0, 1.0 - _take(self.held, at))
        # The template of that column that is there, if any; columns that many share name the one least held.
        wanted = (places == column[rows]) | (column[rows] < 0)
        cell = segment_argmax(np.where(wanted, rarity, -1.0), rows, len(data))
        here = (cell >= 0) & np.append(wanted, False)[cell]
        kept = np.append(self.codes[self.own], [-1, -1, -1])
        code = np.where(here, np.append(met, -1)[cell], kept[np.where(column < 0, -1, column)])
        known = np.searchsorted(self.codes, code).clip(max=max(len(self.codes) - 1, 0))
        new = here & (np.append(places, -1)[cell] == self.width - 1)
        held, usual, share = (_take(x, known) for x in (self.held, self.usual, self.share))
        kind = np.select([new, here, code >= 0], ["new pattern", "count", "missing event"], "length")
        return {
            "kind": kind,
            "template": some(code, code >= 0),
            "event": some(np.append(data.first_places, 0)[cell], here),
            "seen": np.where(here, np.append(counts, 0)[cell], np.where(code < 0, data.lengths, 0)).astype(float),
            "usual": np.select([new, code >= 0], [np.zeros(len(data)), usual], self.length),
            "share": np.select([new, here, code >= 0], [np.zeros(len(data)), share, held], 1.0),
        }

    def against(self, data: Ragged, column: Ints, usual: Floats) -> dict[str, Any]:
        """Return the columns of EVIDENCE where counts were compared with those of another unit.

        Args:
            data: n sequences.
            column: as for :meth:`evidence`.
            usual: the count in that column of what each was compared with, shape (n,).
        """
        found = self.evidence(data, column)
        compared = (found["kind"] == "count") & (column >= 0)
        found["kind"] = np.where(compared, "mix", found["kind"])
        found["usual"] = np.where(compared, usual.round(), found["usual"])
        return found

    def frame(self) -> pl.DataFrame:
        """Return what to save, beside ``length``."""
        names = {"template": self.codes, "own": self.own, "held": self.held, "usual": self.usual, "share": self.share}
        return pl.DataFrame(names)

    @classmethod
    def restore(cls, frame: pl.DataFrame, length: float) -> Self:
        """Take up what was saved."""
        codes, own, held, usual, share = (frame[name].to_numpy() for name in frame.columns)
        return cls(codes, own, held, usual, share, float(length))


def _take(values: Floats, at: Ints) -> Floats:
    return values[at] if len(values) else np.zeros(len(at))


def some(values: Ints, known: np.ndarray[Any, np.dtype[np.bool_]]) -> pl.Series:
    """Return values of EVIDENCE as UInt32, null where they are not known."""
    return pl.Series(np.where(known, values, 0)).cast(pl.UInt32).set(pl.Series(~known), None)


@dataclass(frozen=True)
class Weighting:
    """Weighs counts by how few units hold a template: TF-IDF as loglizer has it, ``count * ln(units / units with it)``.

    Attributes:
        idf: of each column, shape (width,); what no or hardly any unit holds counts as held by half a unit.
    """

    idf: Floats

    @classmethod
    def fit(cls, columns: Columns, total: float) -> Self:
        """Learn from what share of ``total`` units holds each template."""
        others = columns.held[~columns.own]
        held = np.concatenate((columns.held[columns.own], [others.max(initial=0.0), 0.0]))
        return cls(np.log(1.0 / np.maximum(held, 0.5 / max(total, 1.0))))

    def __call__(self, counts: Floats) -> Floats:
        """Return weighted counts, shape (n, width)."""
        return counts * self.idf


def matrix_frame(matrix: Floats) -> pl.DataFrame:
    """Return the cells of a matrix that are not zero, to save it."""
    rows, columns = np.nonzero(matrix)
    return pl.DataFrame({"row": rows, "column": columns, "value": matrix[rows, columns]})


def matrix_of(frame: pl.DataFrame, rows: int, columns: int) -> Floats:
    """Take up what :func:`matrix_frame` gave."""
    out = np.zeros((rows, columns))
    out[frame["row"].to_numpy(), frame["column"].to_numpy()] = frame["value"].to_numpy()
    return out


class ByVector(Detector):
    """Scores a sequence by its count vector alone; blames the template whose usual count would lower the score most."""

    columns_: Columns

    @abstractmethod
    def _of_counts(self, counts: Floats) -> Floats:
        """Return the score of each row of counts; shape (n, width) to (n,)."""

    def _score(self, data: Ragged) -> Floats:
        out = np.zeros(len(data))
        for part, counts in self.columns_.blocks(data):
            out[part] = self._of_counts(counts)
        return out

    def _to_blame(self, counts: Floats) -> Ints:
        """Return the column that made the score of each row; shape (n, width) to (n,); -1 where none did."""
        return worst_column(counts, self.columns_.usual_counts, self._of_counts)

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        column = np.full(len(data), -1, dtype=np.int64)
        for part, counts in self.columns_.blocks(data):
            column[part] = self._to_blame(counts)
        return self.columns_.evidence(data, column)


def worst_column(
    vectors: NDArray[Any],
    usual: NDArray[Any],
    score_of: Callable[[NDArray[Any]], Floats],
    *,
    alike: float = 0.0,
    decimals: int = 9,
) -> Ints:
    """Return the column of each row that would lower its score most if it were as usual; -1 where none differs.

    Args:
        vectors: of shape (n, width).
        usual: of shape (width,).
        score_of: takes vectors of shape (m, width) to scores of shape (m,).
        alike: a column differs from the usual where it does by more than this.
        decimals: drops are rounded to so many, so that equals stay equal however a product was summed.

    Returns:
        Shape (n,).
    """
    score = score_of(vectors)
    rows, columns = np.nonzero(np.abs(vectors - usual) > alike)
    drop = np.zeros(len(rows))
    for at in range(0, len(rows), BLOCK):
        part = slice(at, at + BLOCK)
        changed = vectors[rows[part]]
        changed[np.arange(len(changed)), columns[part]] = usual[columns[part]]
        drop[part] = score[rows[part]] - score_of(changed)
    worst = segment_argmax(drop.round(decimals), rows, len(vectors))
    return np.where(worst >= 0, np.append(columns, -1)[worst], -1)

"""Which linear relation between counts, such as as many opened as closed, is broken?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.vectors import ByVector, Columns, distinct_rows, thinned

#: Coefficients are scaled so that the smallest is one of these, as in loglizer.
_SCALES: Final = (1, 2, 3)
#: Larger coefficients are no relation that a program keeps.
_LARGEST: Final = 10
#: Distinct vectors that relations are looked for in.
_VECTORS: Final = 20_000


class Invariants(ByVector):
    """Score a sequence by the least probable relation between counts that it breaks.

    Mined as in the paper: the number of independent relations is that of the directions in which nearly all count
    vectors are short; relations are looked for from few templates to many, with small integer coefficients, until there
    are so many; what follows from others is left out. The score is the largest ``-ln`` of the share of units that break
    a relation (Laplace smoothing); a template that training did not hold breaks the relation that there is none of it.

    Args:
        percentage: share of units in which a relation holds, at least.
        everywhere: count units that hold none of a relation's templates as keeping it, as the paper does; two rare
            templates then make one by being absent together. If not, it must hold among the units that hold any.
        epsilon: a vector shorter than this in a direction does not extend into it.
        longest: templates in a relation, at most.
        candidates: combinations of templates looked at, at most.
        templates: relations are looked for among so many templates at most, those that most units hold.
    """

    name: ClassVar[str] = "invariants"
    source: ClassVar[str] = "Lou et al., USENIX ATC 2010, as in loglizer, He et al., ISSRE 2016"
    looks_at: ClassVar[str] = "counts that always go together"

    def __init__(
        self,
        percentage: float = 0.98,
        everywhere: bool = True,
        epsilon: float = 0.5,
        longest: int = 4,
        candidates: int = 20_000,
        templates: int = 200,
    ) -> None:
        self.percentage = percentage
        self.everywhere = everywhere
        self.epsilon = epsilon
        self.longest = longest
        self.candidates = candidates
        self.templates = templates

    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None:
        self.columns_ = Columns.fit(data, self.templates)
        counts, weight = distinct_rows(self.columns_.counts(data), data.weight)
        kept, mass = thinned(weight, np.zeros(len(weight), dtype=bool), _VECTORS, 0)
        found = _Search(counts[kept, :-2], mass, self).run()
        self.total_ = float(data.weight.sum())
        # Of every training vector, not only of those drawn.
        self.relations_ = np.zeros((len(found), counts.shape[1]))
        for row, (members, coefficients) in enumerate(found.items()):
            self.relations_[row, list(members)] = coefficients
        self.broken_by_ = weight @ (np.abs(counts @ self.relations_.T) > 1e-6)

    def _surprise(self) -> Floats:
        """Return ``-ln P(broken)`` of each relation and, last, of there being no new template."""
        return np.asarray(-np.log((np.append(self.broken_by_, 0.0) + 0.5) / (self.total_ + 1.0)))

    def _broken(self, counts: Floats) -> Floats:
        """Return the surprise of each relation that a row breaks, shape (n, relations + 1); 0 where it holds."""
        off = np.column_stack((np.abs(counts @ self.relations_.T), counts[:, -1]))
        return np.where(off > 1e-6, self._surprise(), 0.0)

    def _of_counts(self, counts: Floats) -> Floats:
        return np.asarray(self._broken(counts).max(axis=1))

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        column, relation = np.full(len(data), -1, dtype=np.int64), np.full(len(data), -1, dtype=np.int64)
        fitting = np.zeros(len(data))
        for part, counts in self.columns_.blocks(data):
            broken = self._broken(counts)
            worst = broken.argmax(axis=1)
            strange = broken.max(axis=1) > 0
            new = strange & (worst == len(self.relations_))
            theta = np.vstack((self.relations_, np.zeros(counts.shape[1])))[worst]
            # Of the templates in it the one that is farthest from its usual count is blamed.
            far = np.abs(np.log1p(counts) - np.log1p(self.columns_.usual_counts))
            blamed = np.where(theta != 0, far, -1.0).argmax(axis=1)
            column[part] = np.select([new, strange], [counts.shape[1] - 1, blamed], -1)
            relation[part] = np.where(strange & ~new, worst, -1)
            each = np.arange(len(counts))
            own = np.where(theta[each, blamed] == 0, 1.0, theta[each, blamed])
            fitting[part] = counts[each, blamed] - (counts * theta).sum(axis=1) / own
        found = self.columns_.evidence(data, column)
        told = relation >= 0
        held = 1.0 - np.append(self.broken_by_, 0.0)[relation] / self.total_
        return found | {
            "kind": np.where(told, "relation", found["kind"]),
            "usual": np.where(told, np.maximum(fitting, 0.0), found["usual"]),
            "share": np.where(told, held, found["share"]),
        }

    def state(self) -> State:
        """Return the relations, and how many units of training broke each."""
        values = {
            "length": self.columns_.length,
            "relations": len(self.relations_),
            "total": self.total_,
            "sequences_seen": self.sequences_seen_,
        }
        rows, columns = np.nonzero(self.relations_)
        cells = pl.DataFrame({"relation": rows, "column": columns, "coefficient": self.relations_[rows, columns]})
        broken = pl.DataFrame({"broken_by": self.broken_by_})
        return State(values, {"templates": self.columns_.frame(), "relations": cells, "broken": broken})

    def restore(self, state: State) -> Self:
        """Take up a saved state."""
        self._restored(state.values)
        self.columns_ = Columns.restore(state.frames["templates"], state.values["length"])
        self.total_ = float(state.values["total"])
        self.broken_by_ = state.frames["broken"]["broken_by"].to_numpy()
        self.relations_ = np.zeros((state.values["relations"], self.columns_.width))
        cells = state.frames["relations"]
        self.relations_[cells["relation"].to_numpy(), cells["column"].to_numpy()] = cells["coefficient"].to_numpy()
        return self


@dataclass
class _Search:
    """Looks for relations between few columns first.

    Attributes:
        counts: distinct count vectors, shape (n, columns).
        weight: units of each, shape (n,).
        limits: percentage, everywhere, epsilon, longest and candidates.
        found: coefficients by the columns they belong to.
    """

    counts: Floats
    weight: Floats
    limits: Invariants
    found: dict[tuple[int, ...], Ints] = field(default_factory=dict)

    def run(self) -> dict[tuple[int, ...], Ints]:
        """Return as many relations as are independent, fewer where the search has to end before."""
        self.moment = (self.counts * self.weight[:, None]).T @ self.counts
        self.asked = np.full(self.counts.shape, True) if self.limits.everywhere else self.counts > 0
        self.basis = np.zeros((0, self.counts.shape[1]))
        wanted, tried = self._independent(), 0
        open_: list[tuple[int, ...]] = [(i,) for i in range(self.counts.shape[1])]
        for size in range(2, self.limits.longest + 1):
            still = []
            for members in self._joined(open_, size):
                if len(self.found) >= wanted or tried >= self.limits.candidates:
                    return self.found
                tried += 1
                coefficients = self._relation(members)
                if coefficients is None:
                    still.append(members)
                elif self._is_new(members, coefficients):
                    self.found[members] = coefficients
            open_ = still
        return self.found

    def _is_new(self, members: tuple[int, ...], coefficients: Ints) -> bool:
        """Tell whether a relation does not follow from those found, and remember its direction if so."""
        row = np.zeros(self.counts.shape[1])
        row[list(members)] = coefficients / np.sqrt((coefficients**2).sum())
        rest = row - self.basis.T @ (self.basis @ row)
        size = np.sqrt((rest**2).sum())
        if size < 1e-6:
            return False
        self.basis = np.vstack((self.basis, rest / size))
        return True

    def _independent(self) -> int:
        """Return the number of directions in which nearly all vectors are short: the relations there can be."""
        if not self.moment.size:
            return 0
        _, directions = np.linalg.eigh(self.moment)
        short = self.weight @ (np.abs(self.counts @ directions) < self.limits.epsilon) / self.weight.sum()
        # Eigenvalues increase; the first direction into which too many vectors extend ends the invariant space.
        far = short < self.limits.percentage
        return int(far.argmax()) if far.any() else len(far)

    def _joined(self, open_: list[tuple[int, ...]], size: int) -> Iterator[tuple[int, ...]]:
        """Yield the combinations of which no part is a relation, from those with one member fewer that are none."""
        known = set(open_)
        for i, one in enumerate(open_):
            for other in open_[i + 1 :]:
                if one[:-1] != other[:-1]:
                    break
                members = (*one, other[-1])
                parts = set(combinations(members, size - 1))
                if parts <= known and not any(set(kept) <= set(members) for kept in self.found):
                    yield members

    def _relation(self, members: tuple[int, ...]) -> Ints | None:
        """Return integer coefficients under which the members' counts sum to zero nearly always, or None."""
        chosen = list(members)
        vector = np.linalg.eigh(self.moment[np.ix_(chosen, chosen)])[1][:, 0]
        if np.abs(vector).min() < 1e-6:
            return None
        smallest = int(np.abs(vector).argmin())
        any_ = self.asked[:, chosen].any(axis=1)
        some, units = self.counts[any_][:, chosen], self.weight[any_]
        for scale in _SCALES:
            whole: Ints = np.rint(vector * (scale / vector[smallest])).astype(np.int64)
            if (whole == 0).any() or np.abs(whole).max() > _LARGEST:
                continue
            if units @ (np.abs(some @ whole) < 1e-6) >= self.limits.percentage * units.sum():
                return whole
        return None

"""What autoencoders over the feature table share: chunks in, the error of each event out, and a threshold of their own.

The founding study's detection: the error between an entry and its reconstruction, and a threshold from the distribution
of the errors in validation.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import State
from offbeat.detect.features import READS, EventTable, Table, numbers_of_events
from offbeat.detect.neural import Neural
from offbeat.detect.padded import groups
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax, segment_max
from offbeat.detect.sizes import check_shares

if TYPE_CHECKING:
    from offbeat.detect.nets.reconstruct import CNNAutoencoder, LSTMAutoencoder

#: Longer units are cut into chunks of so many events.
CHUNK: Final = 100
#: Chunks and events at once while scoring.
_ROWS, _EVENTS = 256, 8192
#: A column's mean squared error is never taken for less.
LEAST_ERROR: Final = 1e-4
#: Shares of the units in validation whose largest score is kept.
_SHARES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998, 0.999, 1.0)
#: Groups of columns that hold a number of the event.
_NUMBERS: Final = ("response time", "error code", "resource use", "number")


@dataclass(frozen=True)
class Framed:
    """Units as rows of the feature table, each followed by a row that says that it ends, cut into chunks.

    Attributes:
        table: float32 of shape (events + units, columns).
        unit: whose each row is, shape (events + units,).
        events, ends: the rows of the events, and of the ends.
        chunks: the pieces, as offsets into the rows, with the weights of their units.
        owner: whose each chunk is.
    """

    table: Table
    unit: Ints
    events: Ints
    ends: Ints
    chunks: Ragged
    owner: Ints

    @classmethod
    def of(cls, data: Ragged, table: EventTable, texts: Sequence[str]) -> Framed:
        """Frame units of events; only the last chunk of a unit holds its end, beside CHUNK events at most."""
        units = np.arange(len(data))
        events, ends = np.arange(len(data.ids)) + data.rows, data.offsets[1:] + units
        rows = np.zeros((len(events) + len(ends), len(table.columns)), np.float32)
        rows[events] = table.rows(data, texts)
        rows[ends, table.end] = 1.0
        unit = np.empty(len(rows), dtype=np.int64)
        unit[events], unit[ends] = data.rows, units
        pieces = np.maximum(-(-data.lengths // CHUNK), 1)
        owner = np.repeat(units, pieces)
        number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        starts = (data.offsets[:-1] + units)[owner] + number * CHUNK
        chunks = Ragged(np.zeros(0, dtype=np.int64), np.append(starts, len(rows)), data.weight[owner])
        return cls(rows, unit, events, ends, chunks, owner)


class ByReconstruction(Neural):
    """Scores by an error of reconstruction, keeps the errors of validation, and offers the founding study's thresholds.

    Attributes:
        threshold_: mean plus ``deviations`` standard deviations of the scores in validation.
        quantile_: the score that the share ``normal`` of the units in validation do not exceed.
        errors_: the distribution of the scores in validation: the score that each ``share`` of the units do not
            exceed.
        mean_, sd_: their mean and standard deviation.
        table_: makes the feature table.
        usual_: the mean squared error of each column in validation, shape (columns,).
    """

    reads: ClassVar[tuple[str, ...]] = READS
    deviations: float
    normal: float
    table_: EventTable
    usual_: Floats

    def check_params(self) -> Self:
        """Raise OptionError for a number that cannot be used; see the base class."""
        super().check_params()
        check_shares(self, "normal")
        return self

    def _keep_errors(self, score: Floats, weight: Floats) -> None:
        self.mean_ = float(np.average(score, weights=weight))
        self.sd_ = float(np.sqrt(np.average((score - self.mean_) ** 2, weights=weight)))
        quantiles = weighted_quantiles(score, weight, np.array([*_SHARES, self.normal]))
        self.threshold_, self.quantile_ = self.mean_ + self.deviations * self.sd_, float(quantiles[-1])
        self.errors_ = pl.DataFrame({"share": _SHARES, "score": quantiles[:-1]})

    def share_as_bad(self, score: Floats) -> Floats:
        """Return the share of the units in validation that score at least so high, as far as it is kept; any shape."""
        at = np.searchsorted(self.errors_["score"].to_numpy(), score, side="left")
        return 1.0 - np.append(0.0, self.errors_["share"].to_numpy())[at]

    def _learned(self) -> State:
        values = {"threshold": self.threshold_, "quantile": self.quantile_, "mean": self.mean_, "sd": self.sd_}
        usual = pl.DataFrame({"error": self.usual_})
        return State(values, self.table_.frames() | {"errors": self.errors_, "usual": usual})

    def _take(self, state: State) -> None:
        self.table_ = EventTable.restore(state.frames)
        self.threshold_, self.quantile_ = (float(state.values[k]) for k in ("threshold", "quantile"))
        self.mean_, self.sd_ = (float(state.values[k]) for k in ("mean", "sd"))
        self.errors_ = state.frames["errors"]
        self.usual_ = state.frames["usual"]["error"].to_numpy()

    def _numbers_blamed(self, data: Ragged, group: NDArray[np.str_], at: Ints) -> tuple[Any, Floats, Floats]:
        """Return the kind of evidence, what was seen and what is usual, where a group of columns is to blame.

        Args:
            data: the units.
            group: of columns, for each of them, shape (n,).
            at: the event in question, -1 for none, shape (n,).
        """
        kind = np.full(len(at), "misfit", dtype="<U12")
        seen, usual = (at >= 0).astype(float), np.zeros(len(at))
        numbers = numbers_of_events(data, self.texts)
        for name in np.intersect1d(group, ["gap", *_NUMBERS]):
            mine = np.flatnonzero((group == name) & (at >= 0))
            here = numbers[name][at[mine]] if name in numbers else np.full(len(mine), np.nan)
            mine, here = mine[np.isfinite(here)], here[np.isfinite(here)]
            mean = self.table_.usual(name, data.ids[at[mine]])
            gap = name == "gap"
            kind[mine] = "latency" if gap else "value"
            seen[mine], usual[mine] = (np.maximum(np.exp(x) - 1e-3, 0.0) if gap else np.sinh(x) for x in (here, mean))
        return kind, seen, usual


@dataclass(eq=False, repr=False, kw_only=True)
class Reconstruction(ByReconstruction):
    """Scores a unit by how badly its events are written again by an autoencoder that knows normal ones.

    Each event is a row of the feature table (``offbeat.detect.features``), and so is the end of the unit. A row's error
    is the Mahalanobis distance of Malhotra et al. (2016) with a diagonal covariance: the squared difference between the
    row and its reconstruction, in each column divided by the mean squared error that it had in validation, for some
    columns never err and others often do. A unit scores the root mean square of the errors of its rows, the largest
    where it is cut into chunks: a mean alone dilutes one strange event, and the largest error alone (both were
    measured) is more easily upset by a rare one.
    """

    hidden: int = 64
    deviations: float = 3.0
    normal: float = 0.99
    epochs: int = 100
    patience: int = 10
    learning_rate: float = 2e-3
    batch: int = 32
    events: int = 4_000_000
    seed: int = 0
    checkpoint: str = ""

    @abstractmethod
    def _network(self, width: int) -> LSTMAutoencoder | CNNAutoencoder:
        """Return the network, untrained."""

    def _fit(self, data: Ragged, y: NDArray[np.bool_] | None) -> None:
        from offbeat.detect.nets.reconstruct import Lesson, learn_reconstruction

        kept = data.merged()
        self.table_ = EventTable.learn(kept, self.texts)
        framed = Framed.of(kept, self.table_, self.texts)
        lesson = Lesson(framed.chunks, framed.table, self.batch, _EVENTS)
        limits = self._limits(self.events, plateau=3)
        network, self.history_, check = learn_reconstruction(
            lesson, self._network, limits, self.progress, self.checkpoint
        )
        self.networks_ = {"network": network}
        held = np.bincount(framed.owner, check, len(kept)).astype(np.float64)
        errors = self._errors(framed)
        self.usual_ = np.maximum(np.average(errors, axis=0, weights=held[framed.unit]), LEAST_ERROR)
        self._keep_errors(self._of_units(framed, self._distances(errors)), held)

    def _errors(self, framed: Framed) -> Table:
        """Return the squared error of each row and column, float32 of shape (rows, columns)."""
        out = np.zeros_like(framed.table)
        chunks = framed.chunks
        for rows in groups(chunks.lengths, _ROWS, _EVENTS):
            lengths = chunks.lengths[rows]
            inside = np.arange(int(lengths.max())) < lengths[:, None]
            place = (chunks.offsets[rows][:, None] + np.arange(inside.shape[1]))[inside]
            laid = np.zeros((*inside.shape, out.shape[1]), np.float32)
            laid[inside] = framed.table[place]
            out[place] = self._run(["error"], {"table": laid, "lengths": lengths.astype(np.int32)})[0][inside]
        return out

    def _distances(self, errors: Table) -> Floats:
        """Return the distance of each row, shape (rows,): a mean over columns, about one where all is usual."""
        return np.asarray((errors / self.usual_).mean(axis=1), dtype=np.float64)

    def _of_units(self, framed: Framed, distance: Floats) -> Floats:
        """Return the score of each unit, shape (n,): the largest of its chunks' root mean squares of distances."""
        chunks = framed.chunks
        mean = np.add.reduceat(distance**2, chunks.offsets[:-1]) / chunks.lengths
        return segment_max(np.sqrt(mean), framed.owner, len(framed.ends))

    def _score(self, data: Ragged) -> Floats:
        framed = Framed.of(data, self.table_, self.texts)
        return self._of_units(framed, self._distances(self._errors(framed)))

    def event_scores(self, X: pl.DataFrame) -> pl.Series:
        """Return a list a row of ``X``: the distance of each event from its reconstruction; ends are left out."""
        data = self._taken(X)
        framed = Framed.of(data, self.table_, self.texts)
        return data.lists(self._distances(self._errors(framed))[framed.events]).alias(self.name)

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        framed = Framed.of(data, self.table_, self.texts)
        errors = self._errors(framed)
        distance = self._distances(errors)
        worst = segment_argmax(distance, framed.unit, len(data))
        ends = np.isin(worst, framed.ends)
        # The last event stands for an end; -1 where there is none.
        at = np.where(ends, np.where(data.lengths > 0, data.offsets[1:] - 1, -1), worst - np.arange(len(data)))
        some = at >= 0
        group = self._groups_blamed((errors / self.usual_)[worst])
        kind, seen, usual = self._numbers_blamed(data, group, np.where(ends, -1, at))
        return {
            "kind": np.where(ends, "end", kind),
            "template": pl.Series(np.append(data.ids, 0)[at]).cast(pl.UInt32).set(pl.Series(~some), None),
            "event": pl.Series(at - data.offsets[:-1]).clip(0).cast(pl.UInt32).set(pl.Series(~some), None),
            "seen": np.where(ends, some, seen),
            "usual": usual,
            "share": self.share_as_bad(self._of_units(framed, distance)),
        }

    def _groups_blamed(self, errors: NDArray[Any]) -> NDArray[np.str_]:
        """Return the group of columns that makes the most of each row's errors; shape (n, columns) to (n,)."""
        names = self.table_.groups
        of_group = np.zeros((len(errors), len(names)))
        for i, column in enumerate(self.table_.columns):
            of_group[:, names.index(column.group)] += errors[:, i]
        return np.asarray(np.array(names)[of_group.argmax(axis=1)], dtype=np.str_)


def weighted_quantiles(values: Floats, weight: Floats, shares: Floats) -> Floats:
    """Return the least values that these shares of the weight do not exceed, shape (shares,)."""
    order = np.argsort(values, kind="stable")
    mass = np.cumsum(weight[order])
    at = np.searchsorted(mass, shares * mass[-1] * (1 - 1e-12))
    return np.asarray(values[order][np.minimum(at, len(order) - 1)], dtype=np.float64)

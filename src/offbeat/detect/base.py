"""The contract of every detector."""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
import polars as pl

from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax
from offbeat.errors import OffbeatError, OptionError
from offbeat.schema import EVIDENCE, check

Unit = Literal["event", "unit", "bucket"]


@dataclass
class State:
    """What a fitted detector needs to score: plain values, arrays as frames, and networks as ONNX bytes."""

    values: dict[str, Any] = field(default_factory=dict)
    frames: dict[str, pl.DataFrame] = field(default_factory=dict)
    onnx: dict[str, bytes] = field(default_factory=dict)


class Detector(ABC):
    """Learns what is normal from sequences and says how strange a sequence is.

    Follows scikit-learn's conventions (``get_params``, ``set_params``, ``clone``; ``fit`` returns self; fitted
    attributes end in ``_``) without importing it. ``X`` is a SEQUENCES frame; only the columns ``templates`` and, where
    there is one, ``weight`` are read. No detector knows thresholds.
    """

    #: The name used on the command line and as the column in scores.
    name: ClassVar[str]
    #: What one score is about.
    unit: ClassVar[Unit] = "unit"
    #: Columns of lists that it reads beside ``templates``: timestamps, sources, levels, values. A view that needs more
    #: than templates is scored unit by unit, for hardly two are alike; it is left out where a column is absent.
    needs: ClassVar[tuple[str, ...]] = ()
    #: Whether its scores are ``-ln`` of a probability, or sums of such.
    in_nats: ClassVar[bool] = False
    #: Whether it judges where a unit ends, which says nothing of windows.
    needs_ends: ClassVar[bool] = False
    #: Further columns of lists that it reads where they are there and hold something. It scores with those it learned
    #: with, its ``reads_``.
    reads: ClassVar[tuple[str, ...]] = ()
    reads_: tuple[str, ...]
    #: Modules that ``fit`` imports and an installation may lack; scoring needs none of them.
    trains_with: ClassVar[tuple[str, ...]] = ()
    #: Whether ``fit`` needs labels.
    supervised: ClassVar[bool] = False
    #: Whether ``fit`` learns from labels where there are any, though it can do without.
    takes_labels: ClassVar[bool] = False
    #: Of a detector that learned from labels, the score above which its method calls a sequence anomalous, if it has
    #: such a rule. Where to alarm is for others to decide; this is only said.
    boundary: ClassVar[float | None] = None
    #: The text of each template by its code, for detectors that read meaning; set before ``fit`` and before scoring by
    #: whoever holds the catalog. Empty where only ids are known: such a detector then learns meaning from company kept.
    texts: Sequence[str] = ()
    #: Where the method comes from.
    source: ClassVar[str]
    #: What it looks at, in a few words, for reports.
    looks_at: ClassVar[str]

    @classmethod
    def _parameters(cls) -> list[str]:
        signature = inspect.signature(cls.__init__)
        return [
            n
            for n, p in signature.parameters.items()
            if n != "self" and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
        ]

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the constructor's parameters by name."""
        return {name: getattr(self, name) for name in self._parameters()}

    def set_params(self, **params: Any) -> Self:
        """Set constructor parameters; raises OptionError naming the ones that exist."""
        for name, value in params.items():
            if name not in self._parameters():
                known = ", ".join(self._parameters()) or "none"
                raise OptionError(f"has no parameter {name!r}", where=f"detector {self.name}", hint=f"it has: {known}")
            setattr(self, name, value)
        return self

    def check_params(self) -> Self:
        """Raise OptionError for a number that cannot be used.

        A parameter whose default is above zero must be, too; one whose default is zero may not be below; none may be
        infinite or no number at all.
        """
        declared = inspect.signature(type(self).__init__).parameters
        for name, value in self.get_params().items():
            default = declared[name].default
            if any(isinstance(x, bool) or not isinstance(x, int | float) for x in (value, default)):
                continue
            if not math.isfinite(value) or (value <= 0 < default) or (value < 0 == default):
                least = "above zero" if default > 0 else "zero or more" if default == 0 else "a number"
                raise OptionError(f"{value} cannot be; it must be {least}", where=f"--param {self.name}.{name}")
        return self

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self.get_params().items())
        return f"{type(self).__name__}({inside})"

    def fit(self, X: pl.DataFrame, y: pl.Series | None = None) -> Self:
        """Learn from sequences.

        Args:
            X: SEQUENCES frame, one row a unit or one row a distinct unit with its ``weight``.
            y: Boolean series, true for an anomalous row; only supervised detectors use it.

        Raises:
            OptionError: a parameter has a value that cannot be used, or labels are needed and there are none, or all
                are the same.
            OffbeatError: there is no sequence, or not one label a sequence.
        """
        self.check_params()
        if self.reads:
            self.reads_ = self.read_from(X)
        data = self._taken(X)
        if len(data) == 0:
            raise OffbeatError("there is no sequence to learn from", where=f"detector {self.name}")
        self._check_labels(len(data), y)
        self.sequences_seen_ = len(data)
        self._fit(data, None if y is None else y.to_numpy().astype(bool))
        return self

    def _check_labels(self, n: int, y: pl.Series | None) -> None:
        where = f"detector {self.name}"
        if y is not None and len(y) != n:
            raise OffbeatError(f"{len(y)} labels for {n} sequences", where=where)
        if self.supervised and (y is None or y.n_unique() < 2):
            lack = "there are none" if y is None else "all are the same"
            hint = "normal and anomalous sequences are needed; other detectors learn without labels"
            raise OptionError(f"learns from labels, and {lack}", where=where, hint=hint)

    def anomaly_score(self, X: pl.DataFrame) -> pl.Series:
        """Return one finite Float64 a row of ``X``, higher is stranger."""
        if not hasattr(self, "sequences_seen_"):
            raise OffbeatError("is not fitted yet", where=f"detector {self.name}", hint="call fit first")
        data = self._taken(X)
        if len(data) == 0:
            return pl.Series(self.name, [], dtype=pl.Float64)
        first, index = self._distinct(data)
        return pl.Series(self.name, self._score(data.take(first))[index], dtype=pl.Float64)

    def scores_of(self, data: Ragged) -> Floats:
        """Return the same for sequences as flat arrays, with the columns it reads; for few, and none alike."""
        return self._score(data) if len(data) else np.zeros(0)

    def read_from(self, X: pl.DataFrame) -> tuple[str, ...]:
        """Return the columns that it reads of a frame beside ``templates``: all it needs, and what else there is."""
        more = (name for name in self.reads if name in X.columns and X[name].list.drop_nulls().list.len().sum())
        return (*self.needs, *more)

    def _taken(self, X: pl.DataFrame) -> Ragged:
        """Take the columns learned with; one that is absent now is all NaN."""
        return Ragged.of(X, getattr(self, "reads_", self.needs))

    def _distinct(self, data: Ragged) -> tuple[Ints, Ints]:
        """Logs repeat: each distinct sequence is scored once and mapped back, unless it needs more than templates."""
        each = np.arange(len(data))
        return (each, each) if self.needs or self.memory else data.distinct

    @property
    def memory(self) -> int:
        """How many rows before a row its score depends on; rows are then in the order of time. Mostly none."""
        return 0

    def evidence(self, X: pl.DataFrame) -> pl.DataFrame:
        """Return an EVIDENCE frame, one row a row of ``X``: what made its score."""
        data = self._taken(X)
        first, index = self._distinct(data)
        found = self._evidence(data.take(first))
        return check(pl.DataFrame(found, schema=dict(EVIDENCE))[index], EVIDENCE, "evidence")

    def score_samples(self, X: pl.DataFrame) -> Floats:
        """Return scikit-learn's score: the opposite of ``anomaly_score``, lower is stranger."""
        return -self.anomaly_score(X).to_numpy()

    @abstractmethod
    def _fit(self, data: Ragged, y: np.ndarray[Any, np.dtype[np.bool_]] | None) -> None: ...

    @abstractmethod
    def _score(self, data: Ragged) -> Floats: ...

    @abstractmethod
    def _evidence(self, data: Ragged) -> dict[str, Any]: ...

    @abstractmethod
    def state(self) -> State:
        """Return what has to be saved, beside the parameters, to score again."""

    @abstractmethod
    def restore(self, state: State) -> Self:
        """Take up a saved state; the inverse of ``state``."""

    def _restored(self, values: Mapping[str, Any]) -> None:
        self.sequences_seen_ = int(values["sequences_seen"])
        if self.reads:
            self.reads_ = tuple(values["reads"])


def order_evidence(data: Ragged, surprise: Floats, p: Floats | None = None) -> dict[str, Any]:
    """Return the columns of EVIDENCE for a view that scores each event: its most surprising one.

    Args:
        data: n sequences.
        surprise: of each event, shape (events,).
        p: probability of each event, shape (events,); ``exp(-surprise)`` unless given.
    """
    worst = segment_argmax(surprise, data.rows, len(data))
    some = worst >= 0
    at = np.where(some, worst, 0)
    ids = data.ids if len(data.ids) else np.zeros(1, dtype=np.int64)
    chance = (np.exp(-surprise) if p is None else p) if len(data.ids) else np.ones(1)
    return {
        "kind": np.full(len(data), "order"),
        "template": ids[at].astype(np.uint32),
        "event": pl.Series(np.where(some, at - data.offsets[:-1], 0)).cast(pl.UInt32).set(pl.Series(~some), None),
        "seen": some.astype(float),
        "usual": np.zeros(len(data)),
        "share": np.minimum(chance[at], 1.0),
    }

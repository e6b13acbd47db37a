"""What networks share that learn from labels: sequences in, log-odds of an anomaly out."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import State
from offbeat.detect.neural import Neural
from offbeat.detect.occlusion import occlusion
from offbeat.detect.padded import UNKNOWN, Vocabulary, cut, groups, keep, pad
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax
from offbeat.detect.sizes import check_shares

if TYPE_CHECKING:
    from offbeat.detect.nets.classify import Lesson, LogOdds

#: Sequences scored at once, and events they are padded to at most.
_ROWS, _EVENTS = 256, 32_768


@dataclass(eq=False, repr=False, kw_only=True)
class Classifier(Neural):
    """Learns from labelled sequences and scores one by the log-odds that it is anomalous.

    Sequences longer than ``longest`` are read as their first and their last half of that. Classes weigh the same,
    however few anomalies there are. No label covers a template that training did not hold, so the network is asked
    about the rest of the sequence; which scores at least what the median anomaly of training does, and more the more
    such events there are.
    """

    supervised: ClassVar[bool] = True
    #: Columns of padding that the network needs after the last event.
    room: ClassVar[int] = 0

    dropout: float = 0.2
    longest: int = 100
    batch: int = 64
    epochs: int = 30
    patience: int = 5
    learning_rate: float = 1e-3
    tokens: int = 3_000_000
    seed: int = 0
    checkpoint: str = ""

    def check_params(self) -> Self:
        """Raise OptionError for a number that cannot be used; see the base class. All of it cannot be left out."""
        super().check_params()
        check_shares(self, "dropout")
        return self

    def _prepare(self, data: Ragged) -> None:
        """Learn what the network's inputs are made of."""

    @abstractmethod
    def _network(self, lesson: Lesson) -> LogOdds:
        """Return the network, untrained."""

    def _inputs(self, tokens: Ints, inside: NDArray[np.bool_], codes: Ints) -> Mapping[str, NDArray[Any]]:
        """Return what the network reads beside ``lengths``.

        Args:
            tokens: of shape (sequences, time + room).
            inside: where they are events, of the same shape.
            codes: template codes of those events, 0 elsewhere, of the same shape.
        """
        return {"tokens": tokens}

    def _learn(self, lesson: Lesson) -> None:
        from offbeat.detect.nets.classify import fit
        from offbeat.detect.nets.trainer import seeded

        with seeded(self.seed):
            net = self._network(lesson)
        limits = self._limits(self.tokens)
        self.history_ = fit(net, lesson, limits, self.batch, self.progress, self.checkpoint)
        self.networks_ = {"network": net.to_onnx()}

    def _fit(self, data: Ragged, y: NDArray[np.bool_] | None) -> None:
        assert y is not None  # noqa: S101 - the base class asks for labels
        from offbeat.detect.nets.classify import Lesson

        first, index = data.distinct
        normal, anomalous = (np.bincount(index, data.weight * side, len(first)).astype(np.float64) for side in (~y, y))
        kept, _ = cut(data.take(first), self.longest)
        self.vocabulary_ = Vocabulary.of(data)
        self.share_ = self._share_anomalous(data, y)
        self._prepare(data)
        self._learn(Lesson(kept, self.vocabulary_, normal, anomalous, self.room))
        odds = self._judged(kept)
        order = np.argsort(odds, kind="stable")
        self.floor_ = float(odds[order][np.searchsorted(np.cumsum(anomalous[order]), anomalous.sum() / 2)])

    def _share_anomalous(self, data: Ragged, y: NDArray[np.bool_]) -> Floats:
        """Return the share of anomalous units among those that hold each template of the vocabulary."""
        rows, codes, _ = data.cells
        at = np.searchsorted(self.vocabulary_.codes, codes)
        size = len(self.vocabulary_.codes)
        with_it = np.bincount(at, data.weight[rows], size)
        return np.asarray(np.bincount(at, data.weight[rows] * y[rows], size) / np.where(with_it > 0, with_it, 1.0))

    def _known(self, codes: Ints) -> NDArray[np.bool_]:
        """Return which templates something is known about, of any shape."""
        return np.asarray(self.vocabulary_.tokens(codes) != UNKNOWN)

    def _judged(self, data: Ragged) -> Floats:
        """Return the log-odds of sequences of known events, shape (n,)."""
        kept, _ = cut(data, self.longest)
        flat = self.vocabulary_.tokens(kept.ids)
        odds = np.zeros(len(data))
        for which in groups(kept.lengths, _ROWS, _EVENTS):
            tokens, inside = pad(kept, flat, which, self.room)
            codes, _ = pad(kept, kept.ids, which, self.room)
            inputs = {**self._inputs(tokens, inside, codes), "lengths": np.maximum(inside.sum(axis=1), 1)}
            (odds[which],) = self._run(["log_odds"], inputs)
        return odds

    def _score(self, data: Ragged) -> Floats:
        known = self._known(data.ids)
        odds = self._judged(keep(data, known))
        unknown = np.bincount(data.rows, ~known, len(data))
        floor = self.floor_ + np.log(np.maximum(unknown, 1))
        return np.where(unknown > 0, np.maximum(odds, floor), odds)

    def event_scores(self, X: pl.DataFrame) -> pl.Series:
        """Return a list a row of ``X``: by how much the log-odds fall without each event; 0 for what was cut away."""
        data = Ragged.of(X)
        return data.lists(occlusion(data, self.longest, self._score)).alias(self.name)

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        parts = occlusion(data, self.longest, self._score)
        known = self._known(data.ids)
        # What nothing is known about is named first.
        worst = segment_argmax(np.where(known, parts, np.inf), data.rows, len(data))
        some = worst >= 0
        at = np.where(some, worst, 0)
        template = data.ids[at] if len(data.ids) else np.zeros(len(data), dtype=np.int64)
        token = self.vocabulary_.tokens(template)
        new = some & (token == UNKNOWN)
        share = np.concatenate(([0.0], self.share_))[token - UNKNOWN]
        key, count = np.unique(data.rows * max(data.size, 1) + data.ids, return_counts=True)
        place = np.searchsorted(key, np.arange(len(data)) * max(data.size, 1) + template)
        seen = np.where(some, count[np.minimum(place, len(key) - 1)], 0) if len(key) else np.zeros(len(data))
        missing = pl.Series(~some)
        return {
            "kind": np.where(new, "new pattern", "labelled"),
            "template": pl.Series(template.astype(np.uint32)).set(missing, None),
            "event": pl.Series((at - data.offsets[:-1]).astype(np.uint32)).set(missing, None),
            "seen": seen.astype(float),
            "usual": np.zeros(len(data)),
            "share": np.where(new, 0.0, share),
        }

    def _learned(self) -> State:
        vocabulary = pl.DataFrame({"code": self.vocabulary_.codes, "share_anomalous": self.share_})
        return State({"floor": self.floor_}, {"vocabulary": vocabulary})

    def _take(self, state: State) -> None:
        self.vocabulary_ = Vocabulary(state.frames["vocabulary"]["code"].to_numpy())
        self.floor_ = float(state.values["floor"])
        self.share_ = state.frames["vocabulary"]["share_anomalous"].to_numpy()

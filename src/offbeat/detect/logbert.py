"""Which events cannot be told from those on either side of them?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import State, order_evidence
from offbeat.detect.neural import Neural
from offbeat.detect.padded import FIRST, UNKNOWN, Vocabulary, cut, groups, keep, pad
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_max
from offbeat.detect.sizes import check_heads, check_shares
from offbeat.detect.tails import Tails

#: Sequences scored at once, and events they are padded to at most.
_ROWS, _EVENTS = 256, 16_384
#: Distances are judged on a logarithmic scale, from this one on; it falls off over at least this much.
_LEAST, _LEAST_SCALE = 1e-6, 0.1


@dataclass(eq=False, repr=False, kw_only=True)
class LogBERT(Neural):
    """Score a sequence by how little a transformer expects an event that is masked, or how odd it finds the whole.

    The encoder learns to predict events that are masked, from those on either side, and to draw the vector it makes of
    a whole sequence to one centre. Here every event is masked once: in so many rounds that each hides the share
    ``mask``, at places evenly apart, so that the same sequence always has the same score. The score is the largest of
    its events' ``-ln p`` and of the surprise at its distance from the centre (see ``detect.tails``), both in nats; the
    paper alarms on either of the two. A template that training did not hold is left out of what the network reads, and
    the sequence scores at least what one event never met in so much training is worth (Laplace's rule of succession).
    The paper's own rule counts the events that are not among the most probable ones: see ``misses``.

    Args:
        embedding: numbers an event is described by.
        hidden: features inside each layer.
        heads: of the attention; ``embedding`` is a multiple of it.
        layers: of the encoder.
        dropout: share of the states left out at random in training.
        mask: share of the events masked at a time.
        candidates: an event is a miss if it is not among so many most probable ones; the score does without.
        alpha: weight of the hypersphere's volume in training.
        longest: of longer sequences the first and the last half of so many events are read.
        batch: sequences a step.
        epochs, patience, learning_rate: limits of training, see ``nets.trainer.Limits``.
        tokens: at most so many events are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "logbert"
    source: ClassVar[str] = "Guo et al., IJCNN 2021"
    looks_at: ClassVar[str] = "events among those on either side"

    embedding: int = 50
    hidden: int = 256
    heads: int = 2
    layers: int = 2
    dropout: float = 0.1
    mask: float = 0.15
    candidates: int = 6
    alpha: float = 0.1
    longest: int = 256
    batch: int = 32
    epochs: int = 100
    patience: int = 10
    learning_rate: float = 1e-3
    tokens: int = 3_000_000
    seed: int = 0
    checkpoint: str = ""

    def _fit(self, data: Ragged, y: NDArray[np.bool_] | None) -> None:
        from offbeat.detect.nets.logbert import Plan, fit, to_onnx

        kept, _ = cut(data.merged(), self.longest)
        self.vocabulary_ = Vocabulary.of(data)
        params = self.get_params()
        plan = Plan(**{k: v for k, v in params.items() if k in Plan.__dataclass_fields__})
        limits = self._limits(self.tokens)
        tokens = self.vocabulary_.tokens(kept.ids)
        net, self.history_ = fit(
            kept, tokens, self.vocabulary_.size, self.longest, plan, limits, self.progress, self.checkpoint
        )
        self.networks_ = {"network": to_onnx(net)}
        distance = self.ranks(kept)[2]
        self.distances_ = Tails.fit(np.zeros(len(kept), dtype=np.int64), _log(distance), kept.weight, _LEAST_SCALE)

    def check_params(self) -> Self:
        """Raise OptionError for a number that cannot be used; see the base class."""
        super().check_params()
        check_shares(self, "dropout", "mask")
        check_heads(self)
        return self

    def ranks(self, data: Ragged) -> tuple[Floats, Ints, Floats]:
        """Return ``ln p`` and rank of each event masked, shape (events,), and distances (n,); all events known."""
        kept, at = cut(data, self.longest)
        flat = self.vocabulary_.tokens(kept.ids)
        mask, whole = self.vocabulary_.size, self.vocabulary_.size + 1
        log_p, rank = np.zeros(len(data.ids)), np.zeros(len(data.ids), dtype=np.int64)
        distance = np.zeros(len(data))
        rounds = max(round(1 / self.mask), 2)
        for which in groups(kept.lengths, _ROWS, _EVENTS):
            tokens, inside = pad(kept, flat, which)
            places = np.arange(tokens.shape[1])
            flat_at = at[(kept.offsets[which][:, None] + places)[inside]]
            p, r = np.zeros(tokens.shape), np.zeros(tokens.shape, dtype=np.int64)
            for turn in range(rounds):
                hidden = inside & (places % rounds == turn)
                read = np.concatenate([np.full((len(which), 1), whole), np.where(hidden, mask, tokens)], axis=1)
                found = self._run(["log_p", "rank", "distance"], {"read": read, "actual": tokens})
                p[hidden], r[hidden] = found[0][hidden], found[1][hidden]
                distance[which] += found[2] / rounds
            log_p[flat_at], rank[flat_at] = p[inside], r[inside]
        return log_p, rank, distance

    def _known(self, data: Ragged) -> tuple[Ragged, NDArray[np.bool_]]:
        """Return the sequences without events that training did not hold, and which events it held."""
        known = np.asarray(self.vocabulary_.tokens(data.ids) != UNKNOWN)
        return keep(data, known), known

    @property
    def _of_unknown(self) -> float:
        """The surprise at an event that training did not hold: one in as many sequences and one more."""
        return float(np.log(self.distances_.count.sum() + 1))

    def _surprise(self, data: Ragged) -> tuple[Floats, Floats]:
        """Return the surprise at each event, shape (events,), and at the whole of each sequence, shape (n,)."""
        rest, known = self._known(data)
        log_p, _, distance = self.ranks(rest)
        of_event = np.full(len(data.ids), self._of_unknown)
        of_event[known] = -log_p
        return of_event, self.distances_.surprise(np.zeros(len(data), dtype=np.int64), _log(distance))

    def _score(self, data: Ragged) -> Floats:
        of_event, of_whole = self._surprise(data)
        unknown = np.bincount(data.rows, self.vocabulary_.tokens(data.ids) == UNKNOWN, len(data))
        floor = np.where(unknown > 0, self._of_unknown + np.log(np.maximum(unknown, 1)), 0.0)
        return np.maximum(np.maximum(segment_max(of_event, data.rows, len(data)), of_whole), floor)

    def misses(self, X: pl.DataFrame) -> pl.Series:
        """Return the paper's count, one UInt32 a row: events that are not among the ``candidates`` most probable ones.

        The paper alarms on more than a few, best on any.
        """
        data = Ragged.of(X)
        rest, known = self._known(data)
        missed = ~known
        missed[known] = self.ranks(rest)[1] >= self.candidates
        return pl.Series("misses", np.bincount(data.rows, missed, len(data)).astype(np.uint32))

    def event_scores(self, X: pl.DataFrame) -> pl.Series:
        """Return a list a row of ``X``: the surprise at each event, in nats; 0 for what was cut away."""
        data = Ragged.of(X)
        return data.lists(self._surprise(data)[0]).alias(self.name)

    def expected(self, codes: Sequence[int], event: int, k: int = 3) -> list[tuple[int | None, float]]:
        """Return the ``k`` most likely events at place ``event``, given those on either side, with probabilities."""
        data = Ragged.from_lists([codes])
        kept, at = cut(data, self.longest)
        tokens = self.vocabulary_.tokens(kept.ids)
        # Places were cut away in the middle; what is asked for may be one of them.
        place = int(np.searchsorted(at, event).clip(0, len(at) - 1))
        read = np.concatenate([[self.vocabulary_.size + 1], np.where(tokens == UNKNOWN, self.vocabulary_.size, tokens)])
        read[place + 1] = self.vocabulary_.size
        (every,) = self._run(["all"], {"read": read[None], "actual": tokens[None]})
        log_p = every[0, place, FIRST:].astype(np.float64)
        best = np.argsort(-log_p, kind="stable")[:k]
        return [(int(self.vocabulary_.codes[i]), float(np.exp(log_p[i]))) for i in best]

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        of_event, _ = self._surprise(data)
        new = self.vocabulary_.tokens(data.ids) == UNKNOWN
        # What training did not hold is named first.
        found = order_evidence(data, np.where(new, np.inf, of_event), np.where(new, 0.0, np.exp(-of_event)))
        is_new = (self.vocabulary_.tokens(found["template"].astype(np.int64)) == UNKNOWN) & (found["seen"] > 0)
        return found | {"kind": np.where(is_new, "new pattern", "order")}

    def _learned(self) -> State:
        codes = pl.DataFrame({"code": self.vocabulary_.codes})
        return State({}, {"vocabulary": codes, "distances": self.distances_.to_frame()})

    def _take(self, state: State) -> None:
        self.vocabulary_ = Vocabulary(state.frames["vocabulary"]["code"].to_numpy())
        self.distances_ = Tails.restore(state.frames, "distances")


def _log(distance: Floats) -> Floats:
    return np.asarray(np.log(np.maximum(distance, 0.0) + _LEAST))

"""Learn what normal sequences have that all others have not."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.auxiliary import Auxiliary, as_tokens, read_lines
from offbeat.detect.base import State, order_evidence
from offbeat.detect.meaning import Meaning, Vectors
from offbeat.detect.neural import Neural
from offbeat.detect.occlusion import occlusion
from offbeat.detect.padded import FIRST, UNKNOWN, Vocabulary, cut, groups, keep, pad
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.sizes import check_heads, check_shares
from offbeat.errors import OptionError

#: Sequences scored at once, and events they are padded to at most.
_ROWS, _EVENTS = 256, 16_384
#: Numbers that a meaning has, at most.
_DIMENSIONS = 64
#: Random directions that stand for events of strange meaning.
_STRANGERS = 256


@dataclass(eq=False, repr=False, kw_only=True)
class Logsy(Neural):
    """Score a sequence by its distance from the centre that normal ones are drawn to, and all others driven from.

    A transformer reads a sequence and gives a point; in training the squared distance ``d`` of a normal one counts as
    ``d``, of one of the other class as ``-ln(1 - exp(-d))``, so that ``exp(-d)`` is the probability of being normal and
    the score ``d`` is in nats. The other class are logs of other systems, of which the user names a file; without one
    they are made from the user's own by altering them, in ways that ``detect.auxiliary`` names. The paper reads the
    words of one message at a time; here the events of a unit are read, each described by its meaning
    (``detect.meaning``), so that what is out of order or missing is seen too. A template of which nothing is known is
    left out of what the network reads, and the sequence scores at least what one event never met in so much training is
    worth (Laplace's rule of succession).

    Args:
        embedding: numbers that an event is described by inside the network.
        hidden: features inside each layer.
        heads: of the attention; ``embedding`` is a multiple of it.
        layers: of the encoder.
        dropout: share of the states left out at random in training.
        auxiliary: path of a log of other systems, any text; empty to make the other class.
        vectors: path of a file of word vectors, see ``Meaning.learn``; empty to learn them from the templates.
        longest: of longer sequences the first and the last half of so many events are read.
        batch: normal sequences a step.
        epochs, patience, learning_rate: limits of training, see ``nets.trainer.Limits``.
        tokens: at most so many events are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "logsy"
    source: ClassVar[str] = "Nedelkoski et al., ICDM 2020"
    looks_at: ClassVar[str] = "sequences unlike made-up or other systems' ones"

    embedding: int = 32
    hidden: int = 64
    heads: int = 2
    layers: int = 2
    dropout: float = 0.05
    auxiliary: str = ""
    vectors: str = ""
    longest: int = 256
    batch: int = 32
    epochs: int = 60
    patience: int = 8
    learning_rate: float = 1e-3
    tokens: int = 6_000_000
    seed: int = 0
    checkpoint: str = ""

    def check_params(self) -> Self:
        """Raise OptionError for a number that cannot be used; see the base class."""
        super().check_params()
        check_shares(self, "dropout")
        check_heads(self)
        return self

    def _fit(self, data: Ragged, y: NDArray[np.bool_] | None) -> None:
        from offbeat.detect.nets.logsy import Plan, fit, to_onnx

        self.units_ = float(data.weight.sum())
        self.vocabulary_ = Vocabulary.of(data)
        kept, _ = cut(data.merged(), self.longest)
        kept = Ragged(self.vocabulary_.tokens(kept.ids), kept.offsets, kept.weight)
        table, other = self._describe(data)
        strangers = as_tokens(_STRANGERS, len(table) - _STRANGERS)
        known = as_tokens(len(self.vocabulary_.codes), FIRST)
        plan = Plan(**{k: v for k, v in self.get_params().items() if k in Plan.__dataclass_fields__})
        limits = self._limits(self.tokens, plateau=3)
        made = Auxiliary(kept, known, strangers, other)
        net, self.history_ = fit(kept, made, table, self.longest, plan, limits, self.progress, self.checkpoint)
        self.networks_ = {"network": to_onnx(net)}

    def _describe(self, data: Ragged) -> tuple[Vectors, Ints]:
        """Learn meanings; returns the vector of each token, strangers' last, and the auxiliary log as tokens."""
        lines, order = self._auxiliary_lines()
        texts = [*self.texts, *[""] * (data.size - len(self.texts))] if lines else self.texts
        # The words of the auxiliary log have to have vectors as well: its lines are learned from as templates.
        more = np.arange(len(texts), len(texts) + len(lines))
        ids, offsets = np.append(data.ids, more), np.append(data.offsets, data.offsets[-1] + len(more))
        learned = Meaning.learn(
            Ragged(ids, offsets, np.append(data.weight, 1.0)) if lines else data,
            [*texts, *lines],
            dimensions=_DIMENSIONS,
            vectors=self.vectors,
        )
        self.meaning_ = replace(learned, known=learned.known[: data.size])
        rng = np.random.Generator(np.random.PCG64(self.seed))
        strange = rng.standard_normal((_STRANGERS, learned.dimensions))
        # The less of a text is known, the shorter its vector.
        strange *= rng.random((_STRANGERS, 1)) / np.linalg.norm(strange, axis=1, keepdims=True)
        known = self.meaning_.of_codes(self.vocabulary_.codes, self.texts)
        special = np.zeros((FIRST, learned.dimensions))
        table = np.concatenate([special, known, learned.known[more], strange]).astype(np.float32)
        return table, order + FIRST + len(known)

    def _auxiliary_lines(self) -> tuple[list[str], Ints]:
        if not self.auxiliary:
            return [], np.zeros(0, dtype=np.int64)
        if not len(self.texts):
            raise OptionError(
                "logs of other systems need templates with words, and here only ids are known",
                where=f"--param {self.name}.auxiliary",
            )
        return read_lines(self.auxiliary)

    def _known(self, codes: Ints) -> NDArray[np.bool_]:
        """Return which templates something is known about, of any shape."""
        by_text = self.meaning_.of_codes(codes, self.texts).any(axis=-1)
        return np.asarray((self.vocabulary_.tokens(codes) != UNKNOWN) | by_text)

    def _rest(self, data: Ragged) -> tuple[Ragged, NDArray[np.bool_]]:
        """Return the sequences without events of which nothing is known, and which events are known."""
        known = self._known(data.ids)
        return keep(data, known), known

    def _squared(self, data: Ragged) -> Floats:
        """Return the squared distances of sequences of known events, shape (n,)."""
        kept, _ = cut(data, self.longest)
        out = np.zeros(len(data))
        for which in groups(kept.lengths, _ROWS, _EVENTS):
            codes, inside = pad(kept, kept.ids, which)
            vectors = self.meaning_.of_codes(codes.ravel(), self.texts).reshape(*codes.shape, -1)
            vectors[~inside] = 0.0
            (out[which],) = self._run(["squared"], {"vectors": vectors, "inside": inside})
        return out

    def _score(self, data: Ragged) -> Floats:
        rest, known = self._rest(data)
        squared = self._squared(rest)
        unknown = np.bincount(data.rows, ~known, len(data))
        floor = np.log(self.units_ + 1) + np.log(np.maximum(unknown, 1))
        return np.where(unknown > 0, np.maximum(squared, floor), squared)

    def event_scores(self, X: pl.DataFrame) -> pl.Series:
        """Return a list a row of ``X``: by how much the score falls without each event; 0 for what was cut away."""
        data = Ragged.of(X)
        return data.lists(occlusion(data, self.longest, self._score)).alias(self.name)

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        parts = occlusion(data, self.longest, self._score)
        new = self.vocabulary_.tokens(data.ids) == UNKNOWN
        found = order_evidence(data, np.where(self._known(data.ids), parts, np.inf), np.where(new, 0.0, np.exp(-parts)))
        is_new = (self.vocabulary_.tokens(found["template"].astype(np.int64)) == UNKNOWN) & (found["seen"] > 0)
        return found | {"kind": np.where(is_new, "new pattern", "order")}

    def _learned(self) -> State:
        codes = pl.DataFrame({"code": self.vocabulary_.codes})
        return State({"units": self.units_}, {"vocabulary": codes} | self.meaning_.frames())

    def _take(self, state: State) -> None:
        self.units_ = float(state.values["units"])
        self.vocabulary_ = Vocabulary(state.frames["vocabulary"]["code"].to_numpy())
        self.meaning_ = Meaning.restore(state.frames)

"""LogAnomaly: is the next template among those likely by order and by counts, as far as templates mean something?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from offbeat.detect.base import State
from offbeat.detect.candidates import ByCandidates
from offbeat.detect.meaning import Meaning
from offbeat.detect.padded import FIRST, UNKNOWN
from offbeat.detect.ragged import Ints, Ragged


@dataclass(eq=False, repr=False, kw_only=True)
class LogAnomaly(ByCandidates):
    """Score a sequence by the template that was least expected from order and counts together.

    Two stacked LSTMs read the ``window`` templates before: one their vectors in order, the other how often each has
    been there so far; together they predict the next. One that is not among the ``top`` candidates is anomalous: the
    score is above ``top`` exactly there, and grows with the surprise -ln p on either side of it. Templates are vectors
    of meaning (``offbeat.detect.meaning`` in place of the paper's template2vec, which needs lists of synonyms and
    antonyms): one that training did not hold is read as the nearest that it did, if they are alike enough, so that a
    change of wording is no anomaly. Where only ids are known, vectors come from the company that templates keep, and
    nothing is known of one that training did not hold: it is anomalous.

    Args:
        window, top: events looked back at, and candidates that pass.
        hidden, layers: of both LSTMs.
        embedding: numbers that a vector of counts is narrowed to.
        dimensions: of the templates' vectors, at most.
        similarity: from this cosine on a new template is read as the one that it is nearest to.
        epochs, patience, learning_rate, batch: of training.
        windows: at most so many windows are learned from in all passes together.
        vectors: a file of word vectors in the text format of word2vec, GloVe or fastText; none where empty.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "loganomaly"
    source: ClassVar[str] = "Meng et al.: LogAnomaly, IJCAI 2019"
    looks_at: ClassVar[str] = "the next template given order, counts and meaning of the last ten"

    dimensions: int = 64
    similarity: float = 0.7
    vectors: str = ""

    def _fit(self, data: Ragged, y: NDArray[np.bool_] | None) -> None:
        from offbeat.detect.nets.key_model import KeyPlan, learn_pairs

        self.meaning_ = Meaning.learn(data, self.texts, dimensions=self.dimensions, vectors=self.vectors)
        _, known = self._learn_vocabulary(data)
        vectors = np.zeros((self.vocabulary_.size, max(self.meaning_.dimensions, 1)), np.float32)
        vectors[FIRST:] = self.meaning_.of_codes(self.vocabulary_.codes, self.texts)
        limits = self._limits(self.windows, plateau=3)
        plan = KeyPlan(self.embedding, self.hidden, self.layers, self.batch, limits)
        network, self.history_ = learn_pairs(
            known.before, known.next, known.weight, vectors, plan, self.progress, self.checkpoint
        )
        self.networks_ = {"network": network}

    def _tokens(self, data: Ragged) -> Ints:
        """Return the token of each event; what training did not hold is read as what it is nearest to."""
        tokens = self.vocabulary_.tokens(data.ids)
        new = np.flatnonzero(tokens == UNKNOWN)
        if len(new):
            codes, index = np.unique(data.ids[new], return_inverse=True)
            nearest, similarity = self.meaning_.nearest(self.meaning_.of_codes(codes, self.texts))
            alike = np.where(similarity >= self.similarity, self.vocabulary_.tokens(nearest), UNKNOWN)
            tokens[new] = alike[index]
        return tokens

    def _feed(self, before: Ints) -> dict[str, Any]:
        return {"before": before}

    def _learned(self) -> State:
        state = super()._learned()
        return State(state.values, state.frames | self.meaning_.frames())

    def _take(self, state: State) -> None:
        super()._take(state)
        self.meaning_ = Meaning.restore(state.frames)

"""Learn from labels with a network that reads what events mean, so that reworded ones stay what they were."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from offbeat.detect.base import State
from offbeat.detect.classifier import Classifier
from offbeat.detect.meaning import Meaning
from offbeat.detect.padded import FIRST
from offbeat.detect.ragged import Ints, Ragged

if TYPE_CHECKING:
    from offbeat.detect.nets.classify import Lesson, LogOdds


@dataclass(eq=False, repr=False, kw_only=True)
class LogRobust(Classifier):
    """Score a sequence by the log-odds of an anomaly that an attention-based bidirectional LSTM gives.

    An event is the sum of its words' vectors, weighted by TF-IDF: see ``detect.meaning``. So a template that training
    did not hold is judged by its text, and counts as unknown only where nothing of the text was ever met. Attention
    says how much the network's state at each event counts (by a hyperbolic tangent, as in the paper, so that states add
    up and may count against each other).

    Args:
        embedding: an event is described by at most so many numbers; fewer where templates are few.
        hidden: size of the LSTM, in either direction.
        layers: of the LSTM.
        dropout: share of the states left out at random in training.
        vectors: path of a file of word vectors, see ``Meaning.learn``; empty to learn them from the templates.
        longest: of longer sequences the first and the last half of so many events are read.
        batch: sequences a step.
        epochs, patience, learning_rate: limits of training, see ``nets.trainer.Limits``.
        tokens: at most so many events are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "logrobust"
    source: ClassVar[str] = "Zhang et al., FSE 2019"
    looks_at: ClassVar[str] = "what events mean, in order, as labelled"

    embedding: int = 300
    hidden: int = 128
    layers: int = 1
    vectors: str = ""
    longest: int = 200
    epochs: int = 20
    tokens: int = 2_000_000

    def _prepare(self, data: Ragged) -> None:
        self.meaning_ = Meaning.learn(data, self.texts, dimensions=self.embedding, vectors=self.vectors)

    def _network(self, lesson: Lesson) -> LogOdds:
        from offbeat.detect.nets.logrobust import AttentionLSTM

        known = self.meaning_.of_codes(lesson.vocabulary.codes, self.texts)
        table = np.concatenate([np.zeros((FIRST, self.meaning_.dimensions), np.float32), known])
        return AttentionLSTM(table, self.hidden, self.layers, self.dropout)

    def _known(self, codes: Ints) -> NDArray[np.bool_]:
        return np.asarray(super()._known(codes) | self.meaning_.of_codes(codes, self.texts).any(axis=-1))

    def _inputs(self, tokens: Ints, inside: NDArray[np.bool_], codes: Ints) -> Mapping[str, NDArray[Any]]:
        vectors = self.meaning_.of_codes(codes.ravel(), self.texts).reshape(*codes.shape, -1)
        vectors[~inside] = 0.0
        return {"vectors": vectors}

    def _learned(self) -> State:
        learned = super()._learned()
        return State(learned.values, learned.frames | self.meaning_.frames())

    def _take(self, state: State) -> None:
        super()._take(state)
        self.meaning_ = Meaning.restore(state.frames)

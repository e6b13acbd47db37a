"""Learn from labels with a network that reads what events mean, so that reworded ones stay what they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from offbeat.detect.base import State
from offbeat.detect.classifier import Classifier
from offbeat.detect.meaning import Meaning
from offbeat.detect.padded import FIRST
from offbeat.detect.ragged import Floats, Ints, Ragged

if TYPE_CHECKING:
    from offbeat.detect.nets.classify import Lesson


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

    def __init__(
        self,
        embedding: int = 300,
        hidden: int = 128,
        layers: int = 1,
        dropout: float = 0.2,
        vectors: str = "",
        longest: int = 200,
        batch: int = 64,
        epochs: int = 20,
        patience: int = 5,
        learning_rate: float = 1e-3,
        tokens: int = 2_000_000,
        seed: int = 0,
        checkpoint: str = "",
    ) -> None:
        self.embedding = embedding
        self.hidden = hidden
        self.layers = layers
        self.dropout = dropout
        self.vectors = vectors
        self.longest = longest
        self.batch = batch
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.tokens = tokens
        self.seed = seed
        self.checkpoint = checkpoint

    def _prepare(self, data: Ragged) -> None:
        self.meaning_ = Meaning.learn(data, self.texts, dimensions=self.embedding, vectors=self.vectors)

    def _learn(self, lesson: Lesson) -> None:
        from offbeat.detect.nets.classify import fit
        from offbeat.detect.nets.logrobust import AttentionLSTM, to_onnx
        from offbeat.detect.nets.trainer import seeded

        known = self.meaning_.of_codes(lesson.vocabulary.codes, self.texts)
        table = np.concatenate([np.zeros((FIRST, self.meaning_.dimensions), np.float32), known])
        with seeded(self.seed):
            net = AttentionLSTM(table, self.hidden, self.layers, self.dropout)
        self.history_ = fit(net, lesson, self._limits(), self.batch, self.progress, self.checkpoint)
        self.networks_ = {"network": to_onnx(net)}

    def _known(self, codes: Ints) -> NDArray[np.bool_]:
        return np.asarray(super()._known(codes) | self.meaning_.of_codes(codes, self.texts).any(axis=-1))

    def _judge(self, tokens: Ints, inside: NDArray[np.bool_], codes: Ints) -> Floats:
        vectors = self.meaning_.of_codes(codes.ravel(), self.texts).reshape(*codes.shape, -1)
        vectors[~inside] = 0.0
        lengths = np.maximum(inside.sum(axis=1), 1)
        return np.asarray(self._run(["log_odds"], {"vectors": vectors, "lengths": lengths})[0], dtype=np.float64)

    def _learned(self) -> State:
        learned = super()._learned()
        return State(learned.values, learned.frames | self.meaning_.frames())

    def _take(self, state: State) -> None:
        super()._take(state)
        self.meaning_ = Meaning.restore(state.frames)

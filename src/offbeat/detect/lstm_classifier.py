"""Learn from labels with a stacked LSTM that reads a sequence to its end."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from offbeat.detect.classifier import Classifier
from offbeat.detect.ragged import Floats, Ints

if TYPE_CHECKING:
    from offbeat.detect.nets.classify import Lesson


class LSTMClassifier(Classifier):
    """Score a sequence by the log-odds of an anomaly that a stacked LSTM gives after its last event.

    Two LSTM layers with dropout after each, and a sigmoid, learned by binary cross-entropy with Adam.

    Args:
        embedding: numbers an event is described by.
        hidden, top: sizes of the lower and of the upper layer.
        dropout: share of the states left out at random in training.
        longest: of longer sequences the first and the last half of so many events are read.
        batch: sequences a step.
        epochs, patience, learning_rate: limits of training, see ``nets.trainer.Limits``.
        tokens: at most so many events are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "lstm-classifier"
    source: ClassVar[str] = "stacked LSTM 128/64 with dropout and sigmoid; LSTM: Hochreiter and Schmidhuber, 1997"
    looks_at: ClassVar[str] = "the order of events, as labelled"

    def __init__(
        self,
        embedding: int = 50,
        hidden: int = 128,
        top: int = 64,
        dropout: float = 0.2,
        longest: int = 100,
        batch: int = 64,
        epochs: int = 30,
        patience: int = 5,
        learning_rate: float = 1e-3,
        tokens: int = 3_000_000,
        seed: int = 0,
        checkpoint: str = "",
    ) -> None:
        self.embedding = embedding
        self.hidden = hidden
        self.top = top
        self.dropout = dropout
        self.longest = longest
        self.batch = batch
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.tokens = tokens
        self.seed = seed
        self.checkpoint = checkpoint

    def _learn(self, lesson: Lesson) -> None:
        from offbeat.detect.nets.classify import fit
        from offbeat.detect.nets.lstm_classifier import StackedLSTM, to_onnx
        from offbeat.detect.nets.trainer import seeded

        with seeded(self.seed):
            net = StackedLSTM(lesson.vocabulary.size, self.embedding, self.hidden, self.top, self.dropout)
        self.history_ = fit(net, lesson, self._limits(), self.batch, self.progress, self.checkpoint)
        self.networks_ = {"network": to_onnx(net)}

    def _judge(self, tokens: Ints, inside: NDArray[np.bool_], codes: Ints) -> Floats:
        lengths = np.maximum(inside.sum(axis=1), 1)
        return np.asarray(self._run(["log_odds"], {"tokens": tokens, "lengths": lengths})[0], dtype=np.float64)

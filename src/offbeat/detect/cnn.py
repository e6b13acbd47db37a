"""Learn from labels with convolutions over embedded events."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from offbeat.detect.classifier import Classifier
from offbeat.detect.ragged import Floats, Ints

if TYPE_CHECKING:
    from offbeat.detect.nets.classify import Lesson

_WIDTHS: Final = (3, 4, 5)


class CNN(Classifier):
    """Score a sequence by the log-odds of an anomaly that a convolutional network gives.

    Each event is embedded (logkey2vec), three convolutions run side by side over 3, 4 and 5 consecutive embeddings, and
    of each filter the largest response over time counts, through dropout and a linear layer.

    Args:
        embedding: numbers an event is described by.
        hidden: filters of each width.
        dropout: share of the responses left out at random in training.
        longest: of longer sequences the first and the last half of so many events are read.
        batch: sequences a step.
        epochs, patience, learning_rate: limits of training, see ``nets.trainer.Limits``.
        tokens: at most so many events are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "cnn"
    source: ClassVar[str] = "Lu et al., DASC 2018"
    looks_at: ClassVar[str] = "three to five consecutive events, as labelled"
    room: ClassVar[int] = max(_WIDTHS) - 1

    def __init__(
        self,
        embedding: int = 128,
        hidden: int = 64,
        dropout: float = 0.5,
        longest: int = 256,
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
        from offbeat.detect.nets.cnn import TextCNN, to_onnx
        from offbeat.detect.nets.trainer import seeded

        with seeded(self.seed):
            net = TextCNN(lesson.vocabulary.size, self.embedding, self.hidden, _WIDTHS, self.dropout)
        self.history_ = fit(net, lesson, self._limits(), self.batch, self.progress, self.checkpoint)
        self.networks_ = {"network": to_onnx(net)}

    def _judge(self, tokens: Ints, inside: NDArray[np.bool_], codes: Ints) -> Floats:
        lengths = np.maximum(inside.sum(axis=1), 1)
        return np.asarray(self._run(["log_odds"], {"tokens": tokens, "lengths": lengths})[0], dtype=np.float64)

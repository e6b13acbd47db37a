"""Learn from labels with a stacked LSTM that reads a sequence to its end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from offbeat.detect.classifier import Classifier

if TYPE_CHECKING:
    from offbeat.detect.nets.classify import Lesson, LogOdds


@dataclass(eq=False, repr=False, kw_only=True)
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

    embedding: int = 50
    hidden: int = 128
    top: int = 64

    def _network(self, lesson: Lesson) -> LogOdds:
        from offbeat.detect.nets.lstm_classifier import StackedLSTM

        return StackedLSTM(lesson.vocabulary.size, self.embedding, self.hidden, self.top, self.dropout)

"""Learn from labels with convolutions over embedded events."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from offbeat.detect.classifier import Classifier

if TYPE_CHECKING:
    from offbeat.detect.nets.classify import Lesson, LogOdds

_WIDTHS: Final = (3, 4, 5)


@dataclass(eq=False, repr=False, kw_only=True)
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

    embedding: int = 128
    hidden: int = 64
    dropout: float = 0.5
    longest: int = 256

    def _network(self, lesson: Lesson) -> LogOdds:
        from offbeat.detect.nets.cnn import TextCNN

        return TextCNN(lesson.vocabulary.size, self.embedding, self.hidden, _WIDTHS, self.dropout)

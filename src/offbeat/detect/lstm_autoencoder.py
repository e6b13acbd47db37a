"""How well does an LSTM that knows normal units write these events again?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from offbeat.detect.reconstruction import Reconstruction

if TYPE_CHECKING:
    from offbeat.detect.nets.reconstruct import LSTMAutoencoder as Network


class LSTMAutoencoder(Reconstruction):
    """Score a unit by its events that an LSTM autoencoder reconstructs worst.

    The model of the founding study: every event is a row of the feature table, the network reads a unit (in chunks of
    100 events), keeps a short code of it, and writes the events again from the code. It learns normal units alone by
    the mean squared error. How the errors become a score is told by ``Reconstruction``.

    Args:
        hidden, code: sizes of the LSTMs' states, and of what is kept of a chunk.
        deviations: ``threshold_`` is the mean of the scores in validation plus so many standard deviations.
        normal: share of the units in validation that ``quantile_`` leaves below.
        epochs, patience, learning_rate, batch: of training.
        events: at most so many events are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "lstm-autoencoder"
    source: ClassVar[str] = "the founding study, 2024; EncDec-AD, Malhotra et al., 2016"
    looks_at: ClassVar[str] = "events that do not fit each other in order, time, level, words and numbers"

    def __init__(
        self,
        hidden: int = 64,
        code: int = 8,
        deviations: float = 3.0,
        normal: float = 0.99,
        epochs: int = 100,
        patience: int = 10,
        learning_rate: float = 4e-3,
        batch: int = 32,
        events: int = 4_000_000,
        seed: int = 0,
        checkpoint: str = "",
    ) -> None:
        self.hidden = hidden
        self.code = code
        self.deviations = deviations
        self.normal = normal
        self.epochs = epochs
        self.patience = patience
        self.learning_rate = learning_rate
        self.batch = batch
        self.events = events
        self.seed = seed
        self.checkpoint = checkpoint

    def _network(self, width: int) -> Network:
        from offbeat.detect.nets.reconstruct import LSTMAutoencoder as Network

        return Network(width, self.hidden, self.code)

"""How well do convolutions that know normal units write these events again?"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from offbeat.detect.reconstruction import Reconstruction

if TYPE_CHECKING:
    from offbeat.detect.nets.reconstruct import CNNAutoencoder as Network


class CNNAutoencoder(Reconstruction):
    """Score a unit by its events that a convolutional autoencoder reconstructs worst.

    The candidate beside the LSTM in the founding study: every event is a row of the feature table, convolutions over
    time narrow a unit (in chunks of 100 events) to a code of few channels at every other event, and convolutions write
    the events again from it. It learns normal units alone by the mean squared error. How the errors become a score is
    told by ``Reconstruction``.

    Args:
        hidden, code: channels of the layers, and of the code.
        kernel: consecutive events that a filter sees; an odd number.
        deviations: ``threshold_`` is the mean of the scores in validation plus so many standard deviations.
        normal: share of the units in validation that ``quantile_`` leaves below.
        epochs, patience, learning_rate, batch: of training.
        events: at most so many events are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "cnn-autoencoder"
    source: ClassVar[str] = "the founding study, 2024; convolutional autoencoder, Masci et al., ICANN 2011"
    looks_at: ClassVar[str] = "neighbouring events that do not fit each other"

    def __init__(
        self,
        hidden: int = 64,
        code: int = 4,
        kernel: int = 5,
        deviations: float = 3.0,
        normal: float = 0.99,
        epochs: int = 100,
        patience: int = 10,
        learning_rate: float = 2e-3,
        batch: int = 32,
        events: int = 4_000_000,
        seed: int = 0,
        checkpoint: str = "",
    ) -> None:
        self.hidden = hidden
        self.code = code
        self.kernel = kernel
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
        from offbeat.detect.nets.reconstruct import CNNAutoencoder as Network

        return Network(width, self.hidden, self.code, self.kernel | 1)

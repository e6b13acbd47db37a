"""How well do convolutions that know normal units write these events again?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from offbeat.detect.reconstruction import Reconstruction

if TYPE_CHECKING:
    from offbeat.detect.nets.reconstruct import CNNAutoencoder as Network


@dataclass(eq=False, repr=False, kw_only=True)
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

    code: int = 4
    kernel: int = 5

    def _network(self, width: int) -> Network:
        from offbeat.detect.nets.reconstruct import CNNAutoencoder as Network

        return Network(width, self.hidden, self.code, self.kernel | 1)

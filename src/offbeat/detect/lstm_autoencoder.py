"""How well does an LSTM that knows normal units write these events again?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from offbeat.detect.reconstruction import Reconstruction

if TYPE_CHECKING:
    from offbeat.detect.nets.reconstruct import LSTMAutoencoder as Network


@dataclass(eq=False, repr=False, kw_only=True)
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

    code: int = 8
    learning_rate: float = 4e-3

    def _network(self, width: int) -> Network:
        from offbeat.detect.nets.reconstruct import LSTMAutoencoder as Network

        return Network(width, self.hidden, self.code)

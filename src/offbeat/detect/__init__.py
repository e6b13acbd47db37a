"""SEQUENCES -> SCORES: one module a detector. Exporting a detector here is registering it."""

from offbeat.detect.base import Detector, State
from offbeat.detect.count import Count
from offbeat.detect.length import Length
from offbeat.detect.lstm import LSTM
from offbeat.detect.ngram import NGram
from offbeat.detect.presence import Presence
from offbeat.detect.ragged import Ragged

#: Detectors by the names used on the command line.
DETECTORS: dict[str, type[Detector]] = {d.name: d for d in (Presence, Count, LSTM, NGram, Length)}

__all__ = ["DETECTORS", "LSTM", "Count", "Detector", "Length", "NGram", "Presence", "Ragged", "State"]

"""The stacked LSTM classifier: embedding, two LSTM layers with dropout, and the log-odds of an anomaly."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from offbeat.detect.nets.classify import LogOdds
from offbeat.detect.nets.graph import Graph


class StackedLSTM(LogOdds):
    """Embedding -> LSTM -> dropout -> LSTM -> dropout -> linear, read at each event."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int, top: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.lower = nn.LSTM(embedding, hidden, batch_first=True)
        self.upper = nn.LSTM(hidden, top, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(top, 1)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map tokens (batch, time) and lengths (batch,) to log-odds (batch,) after the last event."""
        states = self.dropout(self.lower(self.embed(tokens))[0])
        states = self.upper(states)[0]
        last = states[torch.arange(len(tokens), device=tokens.device), lengths - 1]
        return self.out(self.dropout(last)).squeeze(-1)  # type: ignore[no-any-return]  # modules' calls are Any

    def to_onnx(self) -> bytes:
        """Return the serialised model.

        Inputs: ``tokens`` int64 (batch, time), ``lengths`` int64 (batch,), at least 1. Output: ``log_odds`` float32
        (batch,), as they stand after the last event.
        """
        g = Graph("lstm-classifier")
        tokens = g.input("tokens", np.int64, ["batch", "time"])
        lengths = g.input("lengths", np.int64, ["batch"])
        states = g.lstm(g.lstm(g.embed(tokens, self.embed), self.lower), self.upper)
        one = g.constant([1], np.int64)
        last = g.op("GatherND", states, g.op("Unsqueeze", g.op("Sub", lengths, one), one), batch_dims=1)
        g.output("log_odds", g.op("Squeeze", g.dense(last, self.out), one), np.float32, ["batch"])
        return g.to_bytes()

"""The stacked LSTM classifier: embedding, two LSTM layers with dropout, and the log-odds of an anomaly."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from offbeat.detect.nets.graph import Graph


class StackedLSTM(nn.Module):
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


def to_onnx(net: StackedLSTM) -> bytes:
    """Return the serialised model.

    Input: ``tokens`` int64 (batch, time). Output: ``log_odds`` float32 (batch, time), as they stand after each event.
    """
    g = Graph("lstm-classifier")
    tokens = g.input("tokens", np.int64, ["batch", "time"])
    states = g.lstm(g.lstm(g.embed(tokens, net.embed), net.lower), net.upper)
    odds = g.op("Squeeze", g.dense(states, net.out), g.constant([2], np.int64))
    g.output("log_odds", odds, np.float32, ["batch", "time"])
    return g.to_bytes()

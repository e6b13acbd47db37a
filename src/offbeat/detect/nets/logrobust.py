"""LogRobust's network: a bidirectional LSTM over semantic vectors, with attention."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.nets.classify import LogOdds
from offbeat.detect.nets.graph import Graph


class AttentionLSTM(LogOdds):
    """Fixed vectors of events -> bidirectional LSTM -> attention over events -> dropout -> linear."""

    table: torch.Tensor

    def __init__(self, table: NDArray[np.float32], hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(table))
        self.lstm = nn.LSTM(
            table.shape[1],
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )
        self.attention = nn.Linear(2 * hidden, 1)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden, 1)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map tokens (batch, time), padded, and lengths (batch,) to log-odds (batch,)."""
        # Vectors of length 1 have tiny coordinates, from which learning is slow.
        packed = nn.utils.rnn.pack_padded_sequence(
            self.table[tokens] * self.table.shape[1] ** 0.5, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        time = tokens.shape[1]
        states, _ = nn.utils.rnn.pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=time)
        weigh = torch.tanh(self.attention(states)).squeeze(-1)
        outside = torch.arange(time, device=tokens.device) >= lengths[:, None]
        sums = (weigh.masked_fill(outside, 0.0)[:, :, None] * states).sum(dim=1)
        return self.out(self.dropout(sums)).squeeze(-1)  # type: ignore[no-any-return]  # modules' calls are Any

    def to_onnx(self) -> bytes:
        """Return the serialised model.

        Inputs: ``vectors`` float32 (batch, time, dimensions), ``lengths`` int64 (batch,), at least 1. Output:
        ``log_odds`` float32 (batch,).
        """
        g = Graph("logrobust")
        vectors = g.input("vectors", np.float32, ["batch", "time", self.table.shape[1]])
        lengths = g.input("lengths", np.int64, ["batch"])
        scaled = g.op("Mul", vectors, g.constant(self.table.shape[1] ** 0.5, np.float32))
        states = g.lstm(scaled, self.lstm, g.op("Cast", lengths, to=6))
        last = g.constant([2], np.int64)
        weigh = g.op("Squeeze", g.tanh(g.dense(states, self.attention)), last)
        time = g.op("Squeeze", g.op("Shape", vectors, start=1, end=2), g.constant([0], np.int64))
        place = g.op("Range", g.constant(0, np.int64), time, g.constant(1, np.int64))
        outside = g.op("GreaterOrEqual", place, g.op("Unsqueeze", lengths, g.constant([1], np.int64)))
        share = g.op("Unsqueeze", g.op("Where", outside, g.constant(0.0, np.float32), weigh), last)
        sums = g.op("ReduceSum", g.op("Mul", share, states), g.constant([1], np.int64), keepdims=0)
        g.output("log_odds", g.op("Squeeze", g.dense(sums, self.out), g.constant([1], np.int64)), np.float32, ["batch"])
        return g.to_bytes()

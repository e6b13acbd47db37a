"""Lu et al.'s convolutional classifier: logkey2vec, parallel filters, the largest response over time."""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import nn

from offbeat.detect.nets.classify import LogOdds
from offbeat.detect.nets.graph import Graph

_SLOPE: Final = 0.01
_NOWHERE: Final = -1e9


class TextCNN(LogOdds):
    """Embedding -> convolutions of several widths over whole embeddings -> max over time -> dropout -> linear."""

    def __init__(self, vocabulary: int, embedding: int, filters: int, widths: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding, padding_idx=0)
        self.convolutions = nn.ModuleList(nn.Conv1d(embedding, filters, width) for width in widths)
        self.room = max(widths) - 1
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(filters * len(widths), 1)

    def pool(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Return the largest response of each filter that begins at an event: (batch, filters of all widths)."""
        x = self.embed(tokens).transpose(1, 2)
        time = tokens.shape[1] - self.room
        outside = torch.arange(time, device=tokens.device) >= lengths[:, None]
        every = [c(x)[:, :, :time].masked_fill(outside[:, None], _NOWHERE).amax(dim=2) for c in self.convolutions]
        return nn.functional.leaky_relu(torch.cat(every, dim=1), _SLOPE)

    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map tokens (batch, time + room) and lengths (batch,) to log-odds (batch,)."""
        return self.out(self.dropout(self.pool(tokens, lengths))).squeeze(-1)  # type: ignore[no-any-return]  # a module's call is untyped

    def to_onnx(self) -> bytes:
        """Return the serialised model.

        Inputs: ``tokens`` int64 (batch, time + room), ``lengths`` int64 (batch,). Output: ``log_odds`` float32
        (batch,).
        """
        g = Graph("cnn")
        tokens = g.input("tokens", np.int64, ["batch", "padded"])
        lengths = g.input("lengths", np.int64, ["batch"])
        x = g.transpose(g.embed(tokens, self.embed), 0, 2, 1)
        zero, one, room = (g.constant([i], np.int64) for i in (0, 1, self.room))
        time = g.op("Sub", g.op("Shape", tokens, start=1, end=2), room)
        scalar = g.constant(0, np.int64)
        place = g.op("Range", scalar, g.op("Squeeze", time, zero), g.constant(1, np.int64))
        outside = g.op("GreaterOrEqual", place, g.op("Unsqueeze", lengths, one))
        outside = g.op("Unsqueeze", outside, one)
        largest = []
        for layer in self.convolutions:
            assert isinstance(layer, nn.Conv1d)  # noqa: S101 - what the constructor made
            y = g.op("Slice", g.conv(x, layer), zero, time, g.constant([2], np.int64))
            y = g.op("Where", outside, g.constant(_NOWHERE, np.float32), y)
            largest.append(g.op("ReduceMax", y, g.constant([2], np.int64), keepdims=0))
        pooled = g.op("LeakyRelu", g.op("Concat", *largest, axis=1), alpha=_SLOPE)
        g.output("log_odds", g.op("Squeeze", g.dense(pooled, self.out), one), np.float32, ["batch"])
        return g.to_bytes()

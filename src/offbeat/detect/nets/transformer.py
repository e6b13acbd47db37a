"""A transformer encoder (Vaswani et al., NeurIPS 2017), in torch and in ONNX."""

from __future__ import annotations

import math

import torch
from torch import nn

from offbeat.detect.nets.graph import Graph


def encoder(size: int, hidden: int, heads: int, layers: int, dropout: float) -> nn.TransformerEncoder:
    """Return an encoder over (batch, time, size) with ``hidden`` features inside each layer."""
    layer = nn.TransformerEncoderLayer(size, heads, hidden, dropout, batch_first=True)
    # The fast path for nested tensors is a prototype, and warns.
    return nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)


def places(longest: int, size: int) -> torch.Tensor:
    """Return sines and cosines that tell places apart, (longest, size)."""
    at = torch.arange(longest)[:, None]
    angle = at * torch.exp(torch.arange(0, size, 2) * (-math.log(10_000.0) / size))
    out = torch.zeros(longest, size)
    out[:, 0::2] = torch.sin(angle)
    out[:, 1::2] = torch.cos(angle[:, : size // 2])
    return out


def encode(g: Graph, x: str, layers: nn.TransformerEncoder, padded: str) -> str:
    """Run an encoder in a graph; ``padded`` is bool (batch, time), true where nothing may be attended to."""
    for layer in layers.layers:
        assert isinstance(layer, nn.TransformerEncoderLayer)  # noqa: S101 - what ``encoder`` made
        x = g.encoder_layer(x, layer, padded)
    return x

"""A dense autoencoder over vectors, and its ONNX form."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.nets.graph import Graph
from offbeat.detect.nets.trainer import Limits, Progress, fit_rows, seeded


class DenseAutoencoder(nn.Module):
    """Linear -> tanh -> a narrow code -> linear -> tanh -> linear: the vector again."""

    def __init__(self, width: int, hidden: int, code: int) -> None:
        super().__init__()
        self.wide, self.code = nn.Linear(width, hidden), nn.Linear(hidden, code)
        self.back, self.out = nn.Linear(code, hidden), nn.Linear(hidden, width)

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Map vectors (batch, width) to vectors of the same shape."""
        code = torch.tanh(self.code(torch.tanh(self.wide(vectors))))
        return self.out(torch.tanh(self.back(code)))  # type: ignore[no-any-return]  # modules' calls are Any

    def graph(self, g: Graph, vectors: str) -> str:
        """Add the network to a graph."""
        code = g.tanh(g.dense(g.tanh(g.dense(vectors, self.wide)), self.code))
        return g.dense(g.tanh(g.dense(code, self.back)), self.out)


def _loss(net: nn.Module, vectors: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    error = ((net(vectors) - vectors) ** 2).mean(dim=1)
    return (error * weight).sum()  # type: ignore[no-any-return]  # as above


def learn_vectors(
    vectors: NDArray[np.float32],
    weight: NDArray[np.float64],
    hidden: int,
    code: int,
    batch: int,
    limits: Limits,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[bytes, list[tuple[float, float]], NDArray[np.float64]]:
    """Train a dense autoencoder on the mean squared error; return it as ONNX.

    Args:
        vectors: of shape (n, width).
        weight: how many units each stands for, shape (n,).
        hidden: size of the wide layers.
        code: size of the narrow one.
        batch: vectors a step.
        limits: of training; ``work`` is vectors.
        progress: told of each pass.
        checkpoint: a folder to resume from.

    Returns:
        A graph with the input ``vectors`` float32 (n, width) and the output ``error`` of the same shape, the squared
        errors; the losses of its training; and each vector's weight in validation.
    """
    with seeded(limits.seed):
        net = DenseAutoencoder(vectors.shape[1], hidden, code)
    history, check = fit_rows(net, (vectors,), weight, batch, _loss, limits, progress, checkpoint)
    return dense_graph(net, vectors.shape[1]), history, check


def dense_graph(net: DenseAutoencoder, width: int) -> bytes:
    """Return the network as ONNX; see ``learn_vectors``."""
    g = Graph("dense-autoencoder")
    vectors = g.input("vectors", np.float32, ["n", width])
    miss = g.op("Sub", net.graph(g, vectors), vectors)
    g.output("error", g.op("Mul", miss, miss), np.float32, ["n", width])
    return g.to_bytes()

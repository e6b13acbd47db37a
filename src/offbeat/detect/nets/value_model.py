"""DeepLog's value model: which number a template has next, given its last few (Du et al., CCS 2017, section 3.2)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.nets.graph import Graph
from offbeat.detect.nets.trainer import Limits, Progress, fit_rows, seeded

Ints = NDArray[np.int64]
Floats32 = NDArray[np.float32]


class ValueModel(nn.Module):
    """An LSTM of its own for each template, all of one size, run side by side: numbers before -> the next number."""

    def __init__(self, templates: int, hidden: int) -> None:
        super().__init__()
        bound = hidden**-0.5
        # One matrix for the input and the state together; torch's order of gates: input, forget, cell, output.
        self.weight = nn.Parameter(torch.empty(templates, 4 * hidden, 1 + hidden).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(templates, 4 * hidden).uniform_(-bound, bound))
        self.out = nn.Parameter(torch.empty(templates, hidden).uniform_(-bound, bound))
        self.offset = nn.Parameter(torch.zeros(templates))
        self.hidden = hidden

    def forward(self, template: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        """Map templates (batch,) and the numbers before (batch, window) to the numbers predicted (batch,)."""
        weight, bias = self.weight[template], self.bias[template]
        h = c = before.new_zeros(len(template), self.hidden)
        for step in range(before.shape[1]):
            z = torch.cat([before[:, step : step + 1], h], dim=1)
            i, f, g, o = torch.baddbmm(bias.unsqueeze(2), weight, z.unsqueeze(2)).squeeze(2).chunk(4, dim=1)
            c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
            h = torch.sigmoid(o) * torch.tanh(c)
        return (h * self.out[template]).sum(dim=1) + self.offset[template]


def _loss(
    net: nn.Module, template: torch.Tensor, before: torch.Tensor, value: torch.Tensor, weight: torch.Tensor
) -> torch.Tensor:
    return ((net(template, before) - value) ** 2 * weight).sum()  # type: ignore[no-any-return]  # modules' calls are Any


def learn_values(
    template: Ints,
    before: Floats32,
    value: Floats32,
    weight: NDArray[np.float64],
    hidden: int,
    batch: int,
    limits: Limits,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[bytes, list[tuple[float, float]], NDArray[np.float64]]:
    """Train the LSTMs of all templates on the mean squared error; return them as ONNX.

    Args:
        template: of each number, 0 to templates - 1, shape (m,).
        before: its template's numbers before it, standardised, oldest first, shape (m, window).
        value: itself, standardised, shape (m,).
        weight: how often each row counts, shape (m,).
        hidden: size of each LSTM's state.
        batch: rows a step.
        limits: of training.
        progress: told of each pass.
        checkpoint: a folder to resume from.

    Returns:
        A graph with the inputs ``template`` int64 (n,) and ``before`` float32 (n, window) and the output ``value``
        (n,); the losses of its training; and each row's weight in validation, shape (m,).
    """
    with seeded(limits.seed):
        net = ValueModel(int(template.max()) + 1, hidden)
    history, check = fit_rows(net, (template, before, value), weight, batch, _loss, limits, progress, checkpoint)
    return value_graph(net, before.shape[1]), history, check


def value_graph(net: ValueModel, window: int) -> bytes:
    """Return the network as ONNX; see ``learn_values``."""
    g = Graph("value-model")
    template, before = g.input("template", np.int64, ["n"]), g.input("before", np.float32, ["n", window])
    weight, bias, out, offset = (
        g.op("Gather", g.constant(w), template) for w in (net.weight, net.bias, net.out, net.offset)
    )
    # A state of zeros as wide as the batch.
    h = c = g.op("Mul", out, g.constant(0.0, np.float32))
    last, one = g.constant([2], np.int64), g.constant([1], np.int64)
    for step in range(window):
        x = g.op("Gather", before, g.constant([step], np.int64), axis=1)
        z = g.op("Unsqueeze", g.op("Concat", x, h, axis=1), last)
        gates = g.op("Add", g.op("Squeeze", g.op("MatMul", weight, z), last), bias)
        i, f, cell, o = g.ops("Split", 4, gates, axis=1, num_outputs=4)
        kept = g.op("Mul", g.sigmoid(f), c)
        c = g.op("Add", kept, g.op("Mul", g.sigmoid(i), g.tanh(cell)))
        h = g.op("Mul", g.sigmoid(o), g.tanh(c))
    value = g.op("Add", g.op("ReduceSum", g.op("Mul", h, out), one, keepdims=0), offset)
    g.output("value", value, np.float32, ["n"])
    return g.to_bytes()

"""Logsy's network and its training: normal sequences at the centre of a sphere, all others outside of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.auxiliary import Auxiliary
from offbeat.detect.nets.graph import Graph
from offbeat.detect.nets.sampling import draw
from offbeat.detect.nets.trainer import Batch, Limits, Progress, hold_back_tempered, seeded, train
from offbeat.detect.nets.transformer import encode, encoder, places
from offbeat.detect.ragged import Floats, Ints, Ragged

#: Below this no distance is told from none; the logarithm stays finite.
_LEAST = 1e-6


@dataclass(frozen=True)
class Plan:
    """The sizes of the network.

    Attributes:
        embedding, hidden, heads, layers: of the encoder.
        dropout: share of the states left out at random.
        batch: normal sequences a step; as many of the other class go with them.
    """

    embedding: int
    hidden: int
    heads: int
    layers: int
    dropout: float
    batch: int


class SphereEncoder(nn.Module):
    """Fixed vectors of events, projected, and places -> transformer encoder -> the first token's state -> linear."""

    def __init__(self, table: NDArray[np.float32], longest: int, plan: Plan) -> None:
        super().__init__()
        self.register_buffer("table", torch.from_numpy(table))
        self.register_buffer("places", places(longest, plan.embedding))
        self.project = nn.Linear(table.shape[1], plan.embedding)
        self.first = nn.Parameter(torch.randn(plan.embedding))
        self.encoder = encoder(plan.embedding, plan.hidden, plan.heads, plan.layers, plan.dropout)
        self.out = nn.Linear(plan.embedding, plan.embedding)

    @property
    def scale(self) -> float:
        """By what vectors of length 1 are multiplied, so that their coordinates are not tiny."""
        return float(self.get_buffer("table").shape[1] ** 0.5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens (batch, time), padded with 0, to squared distances (batch,) from the centre."""
        x = self.project(self.get_buffer("table")[tokens] * self.scale)
        x = x + self.get_buffer("places")[: tokens.shape[1]]
        first = self.first.expand(len(x), 1, -1)
        padded = nn.functional.pad(tokens == 0, (1, 0), value=False)
        states = self.encoder(torch.cat([first, x], dim=1), src_key_padding_mask=padded)
        squared: torch.Tensor = (self.out(states[:, 0]) ** 2).sum(dim=1)
        return squared


def fit(
    data: Ragged,
    auxiliary: Auxiliary,
    table: NDArray[np.float32],
    longest: int,
    plan: Plan,
    limits: Limits,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[SphereEncoder, list[tuple[float, float]]]:
    """Train a network; see ``nets.trainer``.

    Args:
        data: distinct sequences as tokens with their weights, none longer than ``longest``.
        auxiliary: makes the other class.
        table: vector of each token, (tokens, dimensions).
        longest: the most events of a sequence.
        plan: of the network.
        limits: when to stop; ``work`` counts events of both classes.
        progress: told after each pass.
        checkpoint: a folder to resume from.

    Returns:
        The network, and (training, validation) loss of each pass.
    """
    rng = np.random.Generator(np.random.PCG64(limits.seed))
    with seeded(limits.seed):
        net = SphereEncoder(table, longest, plan)
    learn, check = hold_back_tempered(data.weight, limits.validation, rng)

    def drawn(weight: Floats, rng: np.random.Generator) -> Iterator[Batch]:
        for which, count in draw(data.lengths, weight[None], plan.batch, rng):
            each = np.repeat(which, count[0].astype(np.int64))
            yield _batch(data, auxiliary, each, longest, rng)

    def fixed(weight: Floats) -> Iterator[Batch]:
        # The same draws and alterations each time, so that losses can be compared.
        return drawn(weight, np.random.Generator(np.random.PCG64(limits.seed)))

    def loss(net: nn.Module, tokens: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        squared = net(tokens)
        away = -torch.log(-torch.expm1(-squared.clamp_min(_LEAST)))
        return torch.where(other, away, squared).sum()

    history = train(
        net,
        lambda rng: drawn(learn, rng) if rng else fixed(learn),
        lambda _: fixed(check),
        loss,
        limits,
        rng,
        progress,
        checkpoint,
    )
    return net, history


def _batch(data: Ragged, auxiliary: Auxiliary, which: Ints, longest: int, rng: np.random.Generator) -> Batch:
    """Return normal sequences and as many of the other class: tokens (2 m, time) and which are of the other."""
    lists = [data.ids[data.offsets[i] : data.offsets[i + 1]] for i in which]
    lists += [one if len(one) <= longest else one[:longest] for one in auxiliary.make(which, rng)]
    tokens = np.zeros((len(lists), max(1, *(len(one) for one in lists))), dtype=np.int64)
    for row, one in zip(tokens, lists, strict=True):
        row[: len(one)] = one
    other = np.arange(len(lists)) >= len(which)
    return Batch((tokens, other), float(len(lists)), sum(len(one) for one in lists))


def to_onnx(net: SphereEncoder) -> bytes:
    """Return the serialised model.

    Inputs: ``vectors`` float32 (batch, time, dimensions), ``inside`` bool (batch, time), false for what is not to be
    read. Output: ``squared`` float32 (batch,), the distance from the centre.
    """
    g = Graph("logsy")
    vectors = g.input("vectors", np.float32, ["batch", "time", net.project.in_features])
    inside = g.input("inside", np.bool_, ["batch", "time"])
    x = g.dense(g.op("Mul", vectors, g.constant(net.scale, np.float32)), net.project)
    zero, one = g.constant([0], np.int64), g.constant([1], np.int64)
    here = g.op("Slice", g.constant(net.get_buffer("places")), zero, g.op("Shape", inside, start=1, end=2), zero)
    batch = g.op("Shape", inside, start=0, end=1)
    rows = g.op("Concat", batch, one, g.constant([len(net.first)], np.int64), axis=0)
    first = g.op("Expand", g.constant(net.first), rows)
    x = g.op("Concat", first, g.op("Add", x, here), axis=1)
    begin = g.op("Expand", g.constant([[False]], np.bool_), g.op("Concat", batch, one, axis=0))
    padded = g.op("Concat", begin, g.op("Not", inside), axis=1)
    states = encode(g, x, net.encoder, padded)
    whole = g.op("Squeeze", g.op("Slice", states, zero, one, one), one)
    g.output("squared", g.op("ReduceSumSquare", g.dense(whole, net.out), one, keepdims=0), np.float32, ["batch"])
    return g.to_bytes()

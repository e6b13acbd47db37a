"""LogBERT's network and its training: masked events predicted from both sides, sequences drawn to one centre."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.nets.graph import Graph
from offbeat.detect.nets.sampling import draw
from offbeat.detect.nets.trainer import Batch, Limits, Progress, hold_back_tempered, seeded, train
from offbeat.detect.nets.transformer import encode, encoder, places
from offbeat.detect.padded import groups, pad
from offbeat.detect.ragged import Floats, Ints, Ragged

#: Events a batch is padded to at most.
_EVENTS = 16_384
#: How slowly the centre follows.
_MOMENTUM = 0.9


@dataclass(frozen=True)
class Plan:
    """The sizes of the network and what is special in its training.

    Attributes:
        embedding, hidden, heads, layers: of the encoder.
        dropout: share of the states left out at random.
        mask: share of the events masked.
        alpha: weight of the hypersphere's volume beside the prediction of events.
        batch: sequences a step.
    """

    embedding: int
    hidden: int
    heads: int
    layers: int
    dropout: float
    mask: float
    alpha: float
    batch: int


class MaskedEncoder(nn.Module):
    """Embedding and places -> transformer encoder -> the logits of each event, and one vector for the sequence."""

    centre: torch.Tensor

    def __init__(self, vocabulary: int, longest: int, plan: Plan) -> None:
        super().__init__()
        self.mask, self.first = vocabulary, vocabulary + 1
        self.embed = nn.Embedding(vocabulary + 2, plan.embedding, padding_idx=0)
        self.encoder = encoder(plan.embedding, plan.hidden, plan.heads, plan.layers, plan.dropout)
        self.out = nn.Linear(plan.embedding, vocabulary)
        self.register_buffer("places", places(longest + 1, plan.embedding))
        self.register_buffer("centre", torch.zeros(plan.embedding))

    def forward(self, tokens: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Map tokens (batch, 1 + time) led by ``first``; returns (batch, time, vocabulary) and (batch, embedding)."""
        x = self.embed(tokens) * math.sqrt(self.embed.embedding_dim) + self.get_buffer("places")[: tokens.shape[1]]
        states = self.encoder(x, src_key_padding_mask=tokens == 0)
        return self.out(states[:, 1:]), states[:, 0]


def fit(
    data: Ragged,
    tokens: Ints,
    vocabulary: int,
    longest: int,
    plan: Plan,
    limits: Limits,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[MaskedEncoder, list[tuple[float, float]]]:
    """Train a network; see ``nets.trainer``.

    Args:
        data: distinct sequences with their weights, none longer than ``longest``.
        tokens: of their events, shape (events,).
        vocabulary: number of tokens, the special ones included.
        longest: the most events of a sequence.
        plan: of the network.
        limits: when to stop; ``work`` counts events.
        progress: told after each pass.
        checkpoint: a folder to resume from.

    Returns:
        The network, and (training, validation) loss of each pass.
    """
    rng = np.random.Generator(np.random.PCG64(limits.seed))
    with seeded(limits.seed):
        net = MaskedEncoder(vocabulary, longest, plan)
    learn, check = hold_back_tempered(data.weight, limits.validation, rng, data.lengths > 0)
    if not learn.sum() > 0:
        return net.eval(), []

    def drawn(rng: np.random.Generator) -> Iterator[Batch]:
        for which, count in draw(data.lengths, learn[None], plan.batch, rng):
            # What is drawn twice is masked twice, in other places.
            each = np.repeat(which, count[0].astype(np.int64))
            yield _masked(net, data, tokens, each, np.ones(len(each)), plan.mask, rng)

    def every(weight: Floats) -> Iterator[Batch]:
        # The same events are masked each time, so that losses can be compared.
        fixed = np.random.Generator(np.random.PCG64(limits.seed))
        some = np.flatnonzero(weight > 0)
        for group in groups(data.lengths[some], 256, _EVENTS):
            yield _masked(net, data, tokens, some[group], weight[some[group]], plan.mask, fixed)

    def loss(net: nn.Module, read: torch.Tensor, asked: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        logits, whole = net(read)
        each = nn.functional.cross_entropy(logits.flatten(0, 1), asked.flatten(), ignore_index=0, reduction="none")
        of_event = each.view(asked.shape).sum(dim=1) / (asked > 0).sum(dim=1)
        centre = net.get_buffer("centre")
        if net.training:
            mean = (whole.detach() * weight[:, None]).sum(dim=0) / weight.sum()
            centre.mul_(_MOMENTUM).add_(mean, alpha=1 - _MOMENTUM)
        volume = ((whole - centre) ** 2).sum(dim=1)
        total: torch.Tensor = ((of_event + plan.alpha * volume) * weight).sum()
        return total

    history = train(
        net,
        lambda rng: drawn(rng) if rng else every(learn),
        lambda _: every(check),
        loss,
        limits,
        rng,
        progress,
        checkpoint,
    )
    return net, history


def _masked(
    net: MaskedEncoder,
    data: Ragged,
    tokens: Ints,
    which: Ints,
    weight: Floats,
    share: float,
    rng: np.random.Generator,
) -> Batch:
    """Return sequences as they are read, led by ``first`` and with events masked; and what was masked, 0 elsewhere."""
    rows, inside = pad(data, tokens, which)
    chance: NDArray[np.float64] = np.where(inside, rng.random(rows.shape), 2.0)
    # At least one of each sequence.
    hidden = (chance < share) | (chance == chance.min(axis=1, keepdims=True))
    read = np.concatenate([np.full((len(rows), 1), net.first), np.where(hidden, net.mask, rows)], axis=1)
    asked = np.where(hidden, rows, 0)
    return Batch((read, asked, weight.astype(np.float32)), float(weight.sum()), int(inside.sum()))


def to_onnx(net: MaskedEncoder) -> bytes:
    """Return the serialised model.

    Inputs: ``read`` int64 (batch, 1 + time), led by the token of the whole, padded with 0; ``actual`` int64 (batch,
    time). Outputs: ``log_p`` float32 (batch, time) of the actual event at each place, ``rank`` int64 (batch, time), how
    many others are more probable there, ``all`` float32 (batch, time, vocabulary), the log-probability of every event,
    and ``distance`` float32 (batch,), squared, of the whole from the centre.
    """
    g = Graph("logbert")
    read = g.input("read", np.int64, ["batch", "padded"])
    actual = g.input("actual", np.int64, ["batch", "time"])
    x = g.op("Mul", g.embed(read, net.embed), g.constant(math.sqrt(net.embed.embedding_dim), np.float32))
    zero, one = g.constant([0], np.int64), g.constant([1], np.int64)
    here = g.op("Slice", g.constant(net.get_buffer("places")), zero, g.op("Shape", read, start=1, end=2), zero)
    padded = g.op("Equal", read, g.constant(0, np.int64))
    states = encode(g, g.op("Add", x, here), net.encoder, padded)
    rest = g.op("Slice", states, one, g.constant([2**31], np.int64), one)
    every = g.softmax(g.dense(rest, net.out), axis=2, log=True)
    log_p = g.op("GatherElements", every, g.op("Unsqueeze", actual, g.constant([2], np.int64)), axis=2)
    better = g.op("Cast", g.op("Greater", every, log_p), to=7)
    g.output("rank", g.op("ReduceSum", better, g.constant([2], np.int64), keepdims=0), np.int64, ["batch", "time"])
    g.output("log_p", g.op("Squeeze", log_p, g.constant([2], np.int64)), np.float32, ["batch", "time"])
    g.output("all", every, np.float32, ["batch", "time", net.out.out_features])
    whole = g.op("Squeeze", g.op("Slice", states, zero, one, one), one)
    away = g.op("Sub", whole, g.constant(net.centre))
    g.output("distance", g.op("ReduceSumSquare", away, one, keepdims=0), np.float32, ["batch"])
    return g.to_bytes()

"""DeepLog's key model: which template comes next, given the last few (Du et al., CCS 2017, section 3.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.nets.graph import Graph
from offbeat.detect.nets.trainer import Limits, Progress, fit_rows, seeded

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class KeyPlan:
    """Sizes of the network, rows a step, and the limits of training."""

    embedding: int
    hidden: int
    layers: int
    batch: int
    limits: Limits


class KeyModel(nn.Module):
    """Embedding -> stacked LSTM -> linear on the last state -> logits of the next template.

    The paper reads templates as one-hot vectors; an embedding is the same linear map, learned, and costs less where
    there are many templates.
    """

    def __init__(self, vocabulary: int, embedding: int, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.out = nn.Linear(hidden, vocabulary)

    def forward(self, before: torch.Tensor) -> torch.Tensor:
        """Map tokens of shape (batch, window) to logits of shape (batch, vocabulary)."""
        return self.out(self.lstm(self.embed(before))[0][:, -1])  # type: ignore[no-any-return]  # torch's calls are Any


def _loss(net: nn.Module, before: torch.Tensor, following: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return (nn.functional.cross_entropy(net(before), following, reduction="none") * weight).sum()


def learn_keys(
    before: Ints,
    following: Ints,
    weight: NDArray[np.float64],
    vocabulary: int,
    plan: KeyPlan,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[bytes, list[tuple[float, float]]]:
    """Train a key model and return it as ONNX, with the losses of its training.

    Args:
        before: tokens, shape (m, window).
        following: the token that followed, shape (m,).
        weight: how many events each row stands for, shape (m,).
        vocabulary: number of tokens.
        plan: sizes and limits.
        progress: told of each pass.
        checkpoint: a folder to resume from.

    Returns:
        A graph with the inputs ``before`` int64 (n, window) and ``next`` int64 (n,), and the outputs ``log_p`` and
        ``rank`` (n,): of the token that followed, ln of its probability, and the number of tokens more probable;
        and ``all`` (n, vocabulary), every token's ln p.
    """
    with seeded(plan.limits.seed):
        net = KeyModel(vocabulary, plan.embedding, plan.hidden, plan.layers)
    history, _ = fit_rows(net, (before, following), weight, plan.batch, _loss, plan.limits, progress, checkpoint)
    return key_graph(net, before.shape[1]), history


def key_graph(net: KeyModel, window: int) -> bytes:
    """Return the network as ONNX; see ``learn_keys``."""
    g = Graph("key-model")
    before, following = g.input("before", np.int64, ["n", window]), g.input("next", np.int64, ["n"])
    states = g.lstm(g.embed(before, net.embed), net.lstm)
    last = g.op("Gather", states, g.constant(-1, np.int64), axis=1)
    ranked_outputs(g, g.softmax(g.dense(last, net.out), log=True), following, net.out.out_features)
    return g.to_bytes()


def ranked_outputs(g: Graph, every: str, following: str, vocabulary: int) -> None:
    """Declare ``all``, ``log_p`` and ``rank`` of a graph that knows every token's ln p, (n, vocabulary)."""
    axis = g.constant([1], np.int64)
    own = g.op("GatherElements", every, g.op("Unsqueeze", following, axis), axis=1)
    better = g.op("Cast", g.op("Greater", every, own), to=1)
    g.output("log_p", g.op("Squeeze", own, axis), np.float32, ["n"])
    g.output("rank", g.op("ReduceSum", better, axis, keepdims=0), np.float32, ["n"])
    g.output("all", every, np.float32, ["n", vocabulary])

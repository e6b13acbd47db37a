"""Which template comes next, given the last few: DeepLog's key model, and LogAnomaly's two views of the same."""

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
    """Embedding -> stacked LSTM -> linear on the last state -> logits of the next template (Du et al., CCS 2017).

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

    def graph(self, g: Graph, before: str) -> str:
        """Add the network to a graph; returns the logits."""
        return g.dense(_last(g, g.lstm(g.embed(before, self.embed), self.lstm)), self.out)


class PairModel(nn.Module):
    """LogAnomaly's (Meng et al., IJCAI 2019, section 3.4): two stacked LSTMs side by side, their last states joined.

    The sequential one reads the templates' vectors, which stay as they are; the quantitative one reads how often each
    template has been in the window so far. Count vectors are wide where there are many templates, so a linear layer
    narrows them first; it is an embedding whose rows are summed up.
    """

    def __init__(self, vectors: NDArray[np.float32], embedding: int, hidden: int, layers: int) -> None:
        super().__init__()
        size, width = vectors.shape
        self.vectors = nn.Embedding(size, width, _weight=torch.tensor(vectors), _freeze=True)
        self.counted = nn.Embedding(len(vectors), embedding)
        self.sequential = nn.LSTM(vectors.shape[1], hidden, layers, batch_first=True)
        self.quantitative = nn.LSTM(embedding, hidden, layers, batch_first=True)
        self.out = nn.Linear(2 * hidden, len(vectors))

    def forward(self, before: torch.Tensor) -> torch.Tensor:
        """Map tokens of shape (batch, window) to logits of shape (batch, vocabulary)."""
        one = self.sequential(self.vectors(before))[0][:, -1]
        other = self.quantitative(self.counted(before).cumsum(dim=1))[0][:, -1]
        return self.out(torch.cat([one, other], dim=1))  # type: ignore[no-any-return]  # torch's calls are Any

    def graph(self, g: Graph, before: str) -> str:
        """Add the network to a graph; returns the logits."""
        one = g.lstm(g.embed(before, self.vectors), self.sequential)
        counts = g.op("CumSum", g.embed(before, self.counted), g.constant(1, np.int64))
        other = g.lstm(counts, self.quantitative)
        return g.dense(g.op("Concat", _last(g, one), _last(g, other), axis=1), self.out)


def _last(g: Graph, states: str) -> str:
    """Take the last of the states (batch, time, hidden)."""
    return g.op("Gather", states, g.constant(-1, np.int64), axis=1)


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
    """Train DeepLog's key model and return it as ONNX, with the losses of its training.

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


def learn_pairs(
    before: Ints,
    following: Ints,
    weight: NDArray[np.float64],
    vectors: NDArray[np.float32],
    plan: KeyPlan,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[bytes, list[tuple[float, float]]]:
    """Train LogAnomaly's network, as ``learn_keys`` does DeepLog's; ``vectors`` are the tokens', (vocabulary, size)."""
    with seeded(plan.limits.seed):
        net = PairModel(vectors, plan.embedding, plan.hidden, plan.layers)
    history, _ = fit_rows(net, (before, following), weight, plan.batch, _loss, plan.limits, progress, checkpoint)
    return key_graph(net, before.shape[1]), history


def key_graph(net: KeyModel | PairModel, window: int) -> bytes:
    """Return the network as ONNX; see ``learn_keys``."""
    g = Graph("key-model")
    before, following = g.input("before", np.int64, ["n", window]), g.input("next", np.int64, ["n"])
    ranked_outputs(g, g.softmax(net.graph(g, before), log=True), following, net.out.out_features)
    return g.to_bytes()


def ranked_outputs(g: Graph, every: str, following: str, vocabulary: int) -> None:
    """Declare ``all``, ``log_p`` and ``rank`` of a graph that knows every token's ln p, (n, vocabulary)."""
    axis = g.constant([1], np.int64)
    own = g.op("GatherElements", every, g.op("Unsqueeze", following, axis), axis=1)
    better = g.op("Cast", g.op("Greater", every, own), to=1)
    g.output("log_p", g.op("Squeeze", own, axis), np.float32, ["n"])
    g.output("rank", g.op("ReduceSum", better, axis, keepdims=0), np.float32, ["n"])
    g.output("all", every, np.float32, ["n", vocabulary])

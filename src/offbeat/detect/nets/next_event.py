"""An LSTM that predicts the next event of a sequence, its training, and its ONNX form.

The network: embedding -> LSTM -> linear -> softmax over the vocabulary, as the key model of DeepLog (Du et al., CCS
2017), but reading the whole session with carried state instead of windows of ten.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.nets.trainer import PASSES, Batch, Limits, Progress, hold_back, seeded
from offbeat.detect.nets.trainer import train as fit

Tokens = NDArray[np.int64]

END, START, UNKNOWN, FIRST = 0, 1, 2, 3

#: At least so many steps a pass, of at least so many events.
_STEPS, _LEAST_BATCH = 48, 64


@dataclass(frozen=True)
class Plan:
    """How to train.

    Attributes:
        embedding, hidden: sizes of the layers.
        epochs: at most so many passes.
        patience: stop after so many passes without a better validation loss.
        batch_tokens: events a step, about.
        learning_rate: of Adam.
        validation: share of the sequences held back.
        chunk: longer sequences are cut into chunks of this many events to bound a step's memory.
        tokens: at most so many events are learned from in all passes together.
        seed: of the initial weights, the split and the order.
    """

    embedding: int = 32
    hidden: int = 64
    epochs: int = 60
    patience: int = 8
    batch_tokens: int = 2048
    learning_rate: float = 2e-3
    validation: float = 0.1
    chunk: int = 256
    tokens: int = 1_500_000
    seed: int = 0


class NextEvent(nn.Module):
    """Embedding, one LSTM layer, and a linear layer to the logits of the next event."""

    def __init__(self, vocabulary: int, embedding: int, hidden: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(vocabulary, embedding)
        self.lstm = nn.LSTM(embedding, hidden, batch_first=True)
        self.out = nn.Linear(hidden, vocabulary)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Map tokens of shape (batch, time) to logits of shape (batch, time, vocabulary)."""
        states, _ = self.lstm(self.embed(tokens))
        return self.out(states)  # type: ignore[no-any-return]  # torch types modules' calls as Any


@dataclass(frozen=True)
class Chunk:
    """A piece of a sequence: the events read and the events to predict, both int64 of shape (time,)."""

    read: Tokens
    predict: Tokens
    weight: float


def chunks(ids: Tokens, offsets: Tokens, weight: NDArray[np.float64], size: int) -> list[Chunk]:
    """Frame each sequence by the start and end events and cut it into chunks of at most ``size`` events."""
    out = []
    for i in range(len(offsets) - 1):
        body = ids[offsets[i] : offsets[i + 1]] + FIRST
        full = np.concatenate(([START], body, [END]))
        for at in range(0, len(full) - 1, size):
            piece = full[at : at + size + 1]
            out.append(Chunk(piece[:-1], piece[1:], float(weight[i])))
    return out


def batches(pieces: list[Chunk], tokens: int, rng: np.random.Generator | None) -> Iterator[list[Chunk]]:
    """Group pieces of like length into batches of about ``tokens`` events; with ``rng`` in random order."""
    order = sorted(range(len(pieces)), key=lambda i: (len(pieces[i].read), rng.random() if rng else i))
    groups: list[list[Chunk]] = [[]]
    for i in order:
        if groups[-1] and (len(groups[-1]) + 1) * len(pieces[i].read) > tokens:
            groups.append([])
        groups[-1].append(pieces[i])
    for g in rng.permutation(len(groups)) if rng else range(len(groups)):
        yield groups[g]


def _padded(group: list[Chunk]) -> Batch:
    """Return pieces as one batch: events read and to predict (-1 for none) of shape (pieces, time), and weights."""
    longest = max(len(c.read) for c in group)
    read = np.zeros((len(group), longest), dtype=np.int64)
    predict = np.full((len(group), longest), -1, dtype=np.int64)
    for i, c in enumerate(group):
        read[i, : len(c.read)] = c.read
        predict[i, : len(c.predict)] = c.predict
    weight = np.array([c.weight for c in group], dtype=np.float32)
    events = sum(len(c.read) for c in group)
    return Batch((read, predict, weight), sum(c.weight * len(c.read) for c in group), events)


def _loss(net: nn.Module, read: torch.Tensor, predict: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Return the weighted sum of the cross-entropies of a batch."""
    each = nn.functional.cross_entropy(
        net(read).flatten(0, 1), predict.flatten(), ignore_index=-1, reduction="none"
    ).view(predict.shape)
    return (each.sum(dim=1) * weight).sum()


def _split(
    ids: Tokens, offsets: Tokens, weight: NDArray[np.float64], plan: Plan, rng: np.random.Generator
) -> tuple[list[Chunk], list[Chunk]]:
    """Hold units back at random for validation."""
    parts = hold_back(weight, plan.validation, rng)
    learn, check = ([c for c in chunks(ids, offsets, w, plan.chunk) if c.weight > 0] for w in parts)
    # With too little to hold back, validating on what was learned is better than on nothing.
    return learn or check, check or learn


def _some(pieces: list[Chunk], tokens: int) -> list[Chunk]:
    """Return the first pieces with about so many events, at least one."""
    ends = np.cumsum([len(c.read) for c in pieces])
    return pieces[: max(1, int(np.searchsorted(ends, tokens, side="right")))]


def train(
    ids: Tokens,
    offsets: Tokens,
    weight: NDArray[np.float64],
    vocabulary: int,
    plan: Plan,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[NextEvent, list[tuple[float, float]]]:
    """Train on sequences; see ``nets.trainer``.

    Args:
        ids: template codes end to end, int64 of shape (events,).
        offsets: int64 of shape (n + 1,).
        weight: float64 of shape (n,), how many sequences each stands for.
        vocabulary: number of tokens, the special ones included.
        plan: sizes and limits.
        progress: called after each pass with the pass, the most there can be, and the validation loss.
        checkpoint: a folder to resume from, see ``nets.trainer.train``; none where empty.

    Returns:
        The network with the best validation loss, and (training, validation) loss in nats an event for each pass.
    """
    rng = np.random.Generator(np.random.PCG64(plan.seed))
    with seeded(plan.seed):
        net = NextEvent(vocabulary, plan.embedding, plan.hidden)
    learn, check = _split(ids, offsets, weight, plan, rng)
    check = _some(check, plan.tokens // PASSES // 4)
    # A small log still gets enough steps a pass to learn from.
    size = min(plan.batch_tokens, max(_LEAST_BATCH, sum(len(c.read) for c in learn) // _STEPS))
    limits = Limits(
        epochs=plan.epochs,
        patience=plan.patience,
        learning_rate=plan.learning_rate,
        validation=plan.validation,
        work=plan.tokens,
        seed=plan.seed,
    )

    def learn_batches(rng: np.random.Generator | None) -> Iterator[Batch]:
        return (_padded(group) for group in batches(learn, size, rng))

    def check_batches(rng: np.random.Generator | None) -> Iterator[Batch]:
        return (_padded(group) for group in batches(check, plan.batch_tokens, rng))

    return net, fit(net, learn_batches, check_batches, _loss, limits, rng, progress, checkpoint)

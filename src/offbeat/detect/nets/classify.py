"""How networks learn from labelled sequences."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from offbeat.detect.nets.sampling import draw
from offbeat.detect.nets.trainer import Batch, Limits, Progress, hold_back, train
from offbeat.detect.padded import Vocabulary, groups, pad
from offbeat.detect.ragged import Floats, Ints, Ragged

#: Events a batch is padded to at most.
_EVENTS = 16_384


class LogOdds(nn.Module, ABC):
    """A network that reads sequences of events and says how likely each is anomalous."""

    @abstractmethod
    def forward(self, tokens: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map tokens (batch, time + room) and lengths (batch,), at least 1, both int64, to log-odds (batch,)."""

    @abstractmethod
    def to_onnx(self) -> bytes:
        """Return the serialised model: its inputs, ``lengths`` among them, to ``log_odds`` float32 (batch,)."""


@dataclass(frozen=True)
class Lesson:
    """Labelled sequences to learn from.

    Attributes:
        data: n distinct sequences.
        vocabulary: their templates.
        normal, anomalous: how many units of either kind each stands for, shape (n,); some may be both.
        room: columns of padding after the last event.
    """

    data: Ragged
    vocabulary: Vocabulary
    normal: Floats
    anomalous: Floats
    room: int = 0


def _tempered(lesson: Lesson) -> tuple[Floats, Floats]:
    """Return the weights of the classes: the same for both, and rare sequences a larger say than their share.

    The square root keeps a sequence that comes a thousand times from drowning hundreds that come once.
    """
    normal, anomalous = np.sqrt(lesson.normal), np.sqrt(lesson.anomalous)
    return normal / normal.sum(), anomalous / anomalous.sum()


def fit(
    net: LogOdds,
    lesson: Lesson,
    limits: Limits,
    batch: int,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> list[tuple[float, float]]:
    """Train a network in place; see ``nets.trainer.train``.

    Args:
        net: with seeded weights.
        lesson: what to learn.
        limits: when to stop; its ``work`` counts events.
        batch: sequences drawn a step.
        progress: told after each pass.
        checkpoint: a folder to resume from.

    Returns:
        (training, validation) binary cross-entropy of each pass.
    """
    rng = np.random.Generator(np.random.PCG64(limits.seed))
    normal, anomalous = _tempered(lesson)
    data = Ragged(lesson.vocabulary.tokens(lesson.data.ids), lesson.data.offsets, lesson.data.weight)
    learn, check = _split(lesson, np.stack([normal, anomalous]), limits.validation, rng)
    return train(
        net,
        lambda rng: _drawn(data, learn, batch, lesson.room, rng) if rng else _every(data, learn, lesson.room),
        lambda _: _every(data, check, lesson.room),
        _loss,
        limits,
        rng,
        progress,
        checkpoint,
    )


def _drawn(data: Ragged, weight: Floats, size: int, room: int, rng: np.random.Generator) -> Iterator[Batch]:
    for which, count in draw(data.lengths, weight, size, rng):
        yield _batch(data, which, count, room)


def _every(data: Ragged, weight: Floats, room: int) -> Iterator[Batch]:
    some = np.flatnonzero(weight.sum(axis=0) > 0)
    for group in groups(data.lengths[some], 256, _EVENTS):
        yield _batch(data, some[group], weight[:, some[group]], room)


def _split(lesson: Lesson, weights: Floats, share: float, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Hold units of either class back at random; returns two parts of the weights, each of shape (2, n)."""
    units = np.concatenate([lesson.normal, lesson.anomalous])
    learn, check = hold_back(np.maximum(units, 1.0), share, rng)
    held = (check / (learn + check)).reshape(2, -1)
    parts = weights * (1 - held), weights * held
    # With too little of a class to hold back, validating on what was learned is better than on nothing.
    for side in (0, 1):
        for one, other in (parts, parts[::-1]):
            if not one[side].sum() > 0:
                one[side] = other[side]
    return parts


def _batch(data: Ragged, which: Ints, weight: Floats, room: int) -> Batch:
    tokens, _ = pad(data, data.ids, which, room)
    lengths = np.maximum(data.lengths[which], 1)
    normal, anomalous = weight.astype(np.float32)
    return Batch((tokens, lengths, normal, anomalous), float(weight.sum()), int(lengths.sum()))


def _loss(
    net: nn.Module, tokens: torch.Tensor, lengths: torch.Tensor, normal: torch.Tensor, anomalous: torch.Tensor
) -> torch.Tensor:
    """Return the weighted sum of the binary cross-entropies, with classes of their own weights."""
    odds = net(tokens, lengths)
    return (nn.functional.softplus(odds) * normal + nn.functional.softplus(-odds) * anomalous).sum()

"""The one loop that trains every network: Adam, early stopping, a learning-rate schedule, checkpoints.

How a detector's network uses it, in its own module of ``detect.nets``::

    rng = np.random.Generator(np.random.PCG64(limits.seed))
    with seeded(limits.seed):                        # the same seed, the same weights to begin with
        net = Net(vocabulary)
    learn, check = hold_back(weight, limits.validation, rng)  # weights of each sequence in either part

    def batches(rng):                                # rng is None where the order must not vary (validation)
        order = rng.permutation(len(x)) if rng else np.arange(len(x))
        for part in np.array_split(order, 1 + len(x) // 256):
            yield Batch((x[part], y[part], learn[part].astype(np.float32)), mass=learn[part].sum(), work=len(part))

    def loss(net, x, y, weight):                     # the arrays of a Batch, as tensors on the network's device
        return (cross_entropy(net(x), y, reduction="none") * weight).sum()

    history = train(net, batches, check_batches, loss, limits, rng, progress, checkpoint)

Afterwards ``net`` holds the weights with the least validation loss, is on the CPU and in ``eval`` mode, ready for
``detect.nets.graph``. Each step goes down the batch's summed loss divided by its ``mass``, so that sequences may stand
for many: give each distinct one once, with its weight. Dropout is seeded too; torch's own generator is left as it was.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.nets.checkpoint import Checkpoint

#: Rows that weigh so many times the mean are dealt out in parts.
_HEAVY = 4.0
#: The budget of work allows at least so many passes; where there is more to learn from, a pass sees a sample.
PASSES = 12

Progress = Callable[[int, int, float], None]
"""Called after each pass with the pass, the most there can be, and the validation loss."""


@dataclass(frozen=True)
class Batch:
    """What one step learns from.

    Attributes:
        arrays: handed to the loss as tensors, of any shapes and types.
        mass: the sum of the weights that the summed loss is divided by.
        work: what the batch counts against ``Limits.work``: events, windows, as the detector likes.
    """

    arrays: tuple[NDArray[Any], ...]
    mass: float
    work: int = 0


Batches = Callable[[np.random.Generator | None], Iterable[Batch]]
"""Makes one pass' batches: in random order with a generator, in a fixed one with None."""

Loss = Callable[..., torch.Tensor]
"""Takes the network and the arrays of a batch as tensors; returns the weighted sum of its losses, a scalar."""


@dataclass(frozen=True)
class Limits:
    """How long and how carefully to train.

    Attributes:
        epochs: at most so many passes.
        patience: stop after so many passes without a better validation loss.
        learning_rate: of Adam (Kingma and Ba, 2015), to begin with.
        least: a validation loss is better if it is lower by so much.
        plateau: halve the learning rate after more than so many passes without a better validation loss.
        clip: gradients are scaled down to this norm (Pascanu et al., 2013).
        weight_decay: of Adam.
        validation: share of the units held back, for ``hold_back``.
        work: at most so much work in all passes together; None is no limit. A pass may take a twelfth of it.
        seed: of the split, the order and dropout.
    """

    epochs: int = 60
    patience: int = 8
    learning_rate: float = 1e-3
    least: float = 1e-4
    plateau: int = 1
    clip: float = 1.0
    weight_decay: float = 0.0
    validation: float = 0.1
    work: int | None = None
    seed: int = 0


@dataclass
class Standing:
    """How far training has come."""

    best: float = math.inf
    since: int = 0
    spent: int = 0
    history: list[tuple[float, float]] = field(default_factory=list)

    def over(self, limits: Limits) -> bool:
        """Whether training has to stop."""
        done = len(self.history) >= limits.epochs or self.since >= limits.patience
        return done or (limits.work is not None and self.spent >= limits.work)


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch inside, and leave its generator as it was."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield


def hold_back(
    weight: NDArray[np.float64], share: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split units at random: a sequence that stands for many is in both parts, in proportion.

    Args:
        weight: of each distinct sequence, shape (n,).
        share: how much of them to hold back for validation.
        rng: what the split comes from.

    Returns:
        The weights of each in training and in validation, both of shape (n,), zero where it has no part in it, scaled
        to a mean weight of one over both.
    """
    copies = np.maximum(np.round(weight), 1).astype(np.int64)
    held = rng.binomial(copies, share) / copies
    scale = 1 / weight.mean()
    return weight * (1 - held) * scale, weight * held * scale


def hold_back_tempered(
    weight: NDArray[np.float64],
    share: float,
    rng: np.random.Generator,
    kept: NDArray[np.bool_] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Split units as ``hold_back`` does, and give rare sequences a larger say than their share.

    The square root keeps a sequence that comes a thousand times from drowning hundreds that come once. Where one part
    is empty the other stands for both.

    Args:
        weight: of each distinct sequence, shape (n,).
        share: how much of them to hold back for validation.
        rng: what the split comes from.
        kept: the sequences that can be learned from, shape (n,); all where None.
    """
    tempered = np.sqrt(weight) / weight * (1.0 if kept is None else kept)
    learn, check = (part * tempered for part in hold_back(weight, share, rng))
    return (learn if learn.sum() > 0 else check), (check if check.sum() > 0 else learn)


def device() -> torch.device:
    """Return where to train: a GPU, if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    net: nn.Module,
    learn: Batches,
    check: Batches,
    loss: Loss,
    limits: Limits,
    rng: np.random.Generator,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> list[tuple[float, float]]:
    """Train a network in place and leave it with the weights that had the least validation loss.

    Args:
        net: with seeded weights, see ``seeded``.
        learn: batches to learn from.
        check: batches to validate on.
        loss: summed loss of a batch.
        limits: when to stop, and the rates.
        rng: for the order of batches.
        progress: told after each pass.
        checkpoint: a folder; after each pass the training's whole state is written there, and an interrupted training
            of the same network on the same data goes on from it, to exactly the weights it would have had. The file's
            name follows from the network, the data and the limits, so that many trainings may share a folder.

    Returns:
        (training, validation) loss per mass, for each pass; 0 where there is nothing to learn from.

    Raises:
        OptionError: the folder cannot be written, or a checkpoint there cannot be read.
    """
    torch.set_num_threads(1)
    saved = Checkpoint.open(checkpoint, net, (learn, check), limits) if checkpoint else None
    net.to(device())
    optimiser = torch.optim.Adam(net.parameters(), lr=limits.learning_rate, weight_decay=limits.weight_decay)
    schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimiser, factor=0.5, patience=limits.plateau)
    now, best = Standing(), copy.deepcopy(net.state_dict())
    with seeded(limits.seed):
        if saved:
            best = saved.restore(net, best, optimiser, schedule, now, rng)
        while not now.over(limits):
            total = _pass(net, learn, loss, optimiser, limits, rng, now)
            valid = _validate(net, check, loss)
            now.history.append((total, valid))
            schedule.step(valid)
            if valid < now.best - limits.least:
                now.best, now.since, best = valid, 0, copy.deepcopy(net.state_dict())
            else:
                now.since += 1
            if saved:
                saved.write(net, best, optimiser, schedule, now, rng)
            if progress:
                progress(len(now.history), limits.epochs, valid)
    net.load_state_dict(best)
    net.to("cpu").eval()
    return now.history


def fit_rows(
    net: nn.Module,
    arrays: tuple[NDArray[Any], ...],
    weight: NDArray[np.float64],
    size: int,
    loss: Loss,
    limits: Limits,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[list[tuple[float, float]], NDArray[np.float64]]:
    """Train on rows of arrays, where every row is as long as the others: hold some back, shuffle, cut into batches.

    Args:
        net: with seeded weights, see ``seeded``; trained in place.
        arrays: of n rows each; given to the loss in this order, the weights of the rows (float32) after them.
        weight: how many units each row stands for, shape (n,).
        size: rows a batch.
        loss: summed loss of a batch, weighted.
        limits: when to stop, and the rates; its ``work`` is rows.
        progress: told after each pass.
        checkpoint: see ``train``.

    Returns:
        The losses of each pass, and what part each row had in validation, shape (n,).
    """
    rng = np.random.Generator(np.random.PCG64(limits.seed))
    learn, check = hold_back(weight, limits.validation, rng)
    # With too little to hold back, validating on what was learned is better than on nothing.
    learn, check = (learn if learn.any() else check), (check if check.any() else learn)

    def maker(part: NDArray[np.float64]) -> Batches:
        some = np.flatnonzero(part > 0)
        # A row that stands for many is dealt out in parts, so that every batch weighs about the same.
        copies = np.ceil(part[some] / (_HEAVY * part[some].mean())).astype(np.int64)
        some, share = np.repeat(some, copies), np.repeat(part[some] / copies, copies)

        def batches(rng: np.random.Generator | None) -> Iterator[Batch]:
            order = rng.permutation(len(some)) if rng else np.arange(len(some))
            for at in range(0, len(order), size):
                rows, weights = some[order[at : at + size]], share[order[at : at + size]].astype(np.float32)
                yield Batch((*(a[rows] for a in arrays), weights), float(weights.sum()), len(rows))

        return batches

    return train(net, maker(learn), maker(check), loss, limits, rng, progress, checkpoint), check


def _pass(
    net: nn.Module,
    learn: Batches,
    loss: Loss,
    optimiser: torch.optim.Optimizer,
    limits: Limits,
    rng: np.random.Generator,
    now: Standing,
) -> float:
    """Learn from one pass of batches; returns the mean loss."""
    net.train()
    total = norm = 0.0
    before = now.spent
    for batch in learn(rng):
        # A pass over a large log is cut short, so that it validates often enough to stop in time.
        if limits.work is not None and now.spent - before >= limits.work // PASSES:
            break
        optimiser.zero_grad()
        summed = loss(net, *_tensors(batch))
        (summed / float(batch.mass)).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        nn.utils.clip_grad_norm_(net.parameters(), limits.clip)
        optimiser.step()
        total, norm = total + summed.item(), norm + batch.mass
        now.spent += batch.work
    return total / norm if norm else 0.0


def _validate(net: nn.Module, check: Batches, loss: Loss) -> float:
    net.eval()
    total = norm = 0.0
    with torch.no_grad():
        for batch in check(None):
            total += loss(net, *_tensors(batch)).item()
            norm += batch.mass
    return total / norm if norm else 0.0


def _tensors(batch: Batch) -> list[torch.Tensor]:
    where = device()
    return [torch.tensor(a, device=where) for a in batch.arrays]

"""Autoencoders over the feature table: an LSTM's and a convolutional one; training, and their ONNX form."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.detect.nets.graph import Graph
from offbeat.detect.nets.trainer import Batch, Limits, Progress, hold_back, seeded, train
from offbeat.detect.padded import groups
from offbeat.detect.ragged import Ragged

Table = NDArray[np.float32]


@dataclass(frozen=True)
class Lesson:
    """What to learn from.

    Attributes:
        chunks: pieces of sequences with their weights; only where they begin and end is read.
        table: features of their events, float32 of shape (events, width).
        batch: pieces a step, at most.
        events: events a step, padding included, at most.
    """

    chunks: Ragged
    table: Table
    batch: int
    events: int

    def batches(self, weight: NDArray[np.float64], rng: np.random.Generator | None) -> Iterator[Batch]:
        """Yield pieces of like length, padded: the table (pieces, time, width), their lengths, their weights."""
        some = np.flatnonzero((weight > 0) & (self.chunks.lengths > 0))
        lengths = self.chunks.lengths[some]
        for which in groups(lengths, self.batch, self.events, rng):
            rows = some[which]
            table = padded(self.table, self.chunks, rows)
            mass = float((weight[rows] * self.chunks.lengths[rows]).sum())
            arrays = (table, self.chunks.lengths[rows].astype(np.int32), weight[rows].astype(np.float32))
            yield Batch(arrays, mass, int(self.chunks.lengths[rows].sum()))


def padded(table: Table, chunks: Ragged, rows: NDArray[np.int64]) -> Table:
    """Lay pieces side by side, padded by zeros at the end: float32 of shape (pieces, time, width)."""
    lengths = chunks.lengths[rows]
    place = np.arange(int(lengths.max()))
    inside = place < lengths[:, None]
    out = np.zeros((*inside.shape, table.shape[1]), np.float32)
    out[inside] = table[(chunks.offsets[rows][:, None] + place)[inside]]
    return out


class LSTMAutoencoder(nn.Module):
    """LSTM -> last state -> linear code -> LSTM that reads the code and the event before -> linear: the events again.

    The encoder-decoder of Malhotra et al. (ICML anomaly detection workshop, 2016), in the order of the events. The
    decoder reads the true event before, as they train it, while scoring too: one strange event does not spoil the rest.
    """

    def __init__(self, width: int, hidden: int, code: int) -> None:
        super().__init__()
        self.encoder = nn.LSTM(width, hidden, batch_first=True)
        self.code = nn.Linear(hidden, code)
        self.decoder = nn.LSTM(code + width, hidden, batch_first=True)
        self.out = nn.Linear(hidden, width)

    def forward(self, table: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map features (batch, time, width) of pieces of these lengths to features of the same shape."""
        states, _ = self.encoder(table)
        last = states[torch.arange(len(lengths), device=states.device), lengths.long() - 1]
        code = torch.tanh(self.code(last)).unsqueeze(1).expand(-1, table.shape[1], -1)
        before = nn.functional.pad(table[:, :-1], (0, 0, 1, 0))
        return self.out(self.decoder(torch.cat([code, before], dim=2))[0])  # type: ignore[no-any-return]  # a module's call is untyped

    def graph(self, g: Graph, table: str, lengths: str) -> str:
        """Add the network to a graph."""
        time_first = g.transpose(table, 1, 0, 2)
        _, h, _ = g.lstm_layer(time_first, self.encoder, lengths=lengths)
        # The last state is one row, (1, batch, hidden): its code is repeated over time.
        code = g.tanh(g.dense(h, self.code))
        zero, one, minus = (g.constant([i], np.int64) for i in (0, 1, -1))
        nothing = g.op("Mul", g.op("Slice", time_first, zero, one, zero), g.constant(0.0, np.float32))
        before = g.op("Concat", nothing, g.op("Slice", time_first, zero, minus, zero), axis=0)
        zeros = g.op("Mul", g.op("ReduceMax", time_first, g.constant([1, 2], np.int64)), g.constant(0.0, np.float32))
        both = g.op("Concat", g.op("Add", code, zeros), before, axis=2)
        return g.transpose(g.dense(g.lstm_layer(both, self.decoder)[0], self.out), 1, 0, 2)


class CNNAutoencoder(nn.Module):
    """Convolutions over time that narrow to a code of few channels for each event, and convolutions back."""

    def __init__(self, width: int, hidden: int, code: int, kernel: int) -> None:
        super().__init__()
        same = kernel // 2
        same = kernel // 2
        self.narrow = nn.Conv1d(width, hidden, kernel, padding=same)
        self.code = nn.Conv1d(hidden, code, kernel, stride=2, padding=same)
        self.widen = nn.ConvTranspose1d(code, hidden, kernel, stride=2, padding=same, output_padding=1)
        self.out = nn.Conv1d(hidden, width, kernel, padding=same)

    def forward(self, table: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        """Map features (batch, time, width) of pieces of these lengths to features of the same shape."""
        inside = torch.arange(table.shape[1], device=table.device) < lengths[:, None]
        # What lies behind the end stays zero in every layer, so that padding changes nothing.
        mask = inside.unsqueeze(1).float()
        x = torch.relu(self.narrow(table.transpose(1, 2))) * mask
        x = torch.relu(self.code(x)) * mask[:, :, ::2]
        # An odd number of events comes back one longer.
        x = torch.relu(self.widen(x))[:, :, : table.shape[1]] * mask
        return self.out(x).transpose(1, 2)  # type: ignore[no-any-return]  # as above

    def graph(self, g: Graph, table: str, lengths: str) -> str:
        """Add the network to a graph."""
        zero, one, two = (g.constant(i, np.int64) for i in range(3))
        first, last, far = (g.constant([i], np.int64) for i in (0, 2, 2**31))
        time = g.op("Gather", g.op("Shape", table), one)
        wide = g.op("Unsqueeze", g.op("Cast", lengths, to=7), g.constant([1, 2], np.int64))
        mask = g.op("Cast", g.op("Less", g.op("Range", zero, time, one), wide), to=1)
        half = g.op("Slice", mask, first, far, last, g.op("Unsqueeze", two, first))
        x = g.op("Mul", g.relu(g.conv(g.transpose(table, 0, 2, 1), self.narrow)), mask)
        x = g.relu(g.conv(g.op("Mul", g.relu(g.conv(x, self.code)), half), self.widen))
        x = g.op("Mul", g.op("Slice", x, first, g.op("Unsqueeze", time, first), last), mask)
        return g.transpose(g.conv(x, self.out), 0, 2, 1)


def _loss(net: nn.Module, table: torch.Tensor, lengths: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    error = ((net(table, lengths) - table) ** 2).mean(dim=2)
    inside = torch.arange(table.shape[1], device=table.device) < lengths[:, None]
    return ((error * inside).sum(dim=1) * weight).sum()  # type: ignore[no-any-return]  # as above


def learn_reconstruction(
    lesson: Lesson,
    make: Callable[[int], LSTMAutoencoder | CNNAutoencoder],
    limits: Limits,
    progress: Progress | None = None,
    checkpoint: str = "",
) -> tuple[bytes, list[tuple[float, float]], NDArray[np.float64]]:
    """Train an autoencoder on the mean squared error of its events; return it as ONNX.

    Args:
        lesson: what to learn from.
        make: makes the network for a table of that width.
        limits: of training; ``work`` is events.
        progress: told of each pass.
        checkpoint: a folder to resume from.

    Returns:
        A graph with the inputs ``table`` float32 (n, time, width) and ``lengths`` int32 (n,) and the output ``error``
        float32 (n, time, width), the squared errors; the losses of its training; and each piece's weight in
        validation.
    """
    rng = np.random.Generator(np.random.PCG64(limits.seed))
    with seeded(limits.seed):
        net = make(lesson.table.shape[1])
    learn, check = hold_back(lesson.chunks.weight, limits.validation, rng)
    full = lesson.chunks.lengths > 0
    learn, check = (learn if learn[full].any() else check), (check if check[full].any() else learn)
    history = train(
        net,
        lambda rng: lesson.batches(learn, rng),
        lambda rng: lesson.batches(check, rng),
        _loss,
        limits,
        rng,
        progress,
        checkpoint,
    )
    return reconstruction_graph(net, lesson.table.shape[1]), history, check


def reconstruction_graph(net: LSTMAutoencoder | CNNAutoencoder, width: int) -> bytes:
    """Return the network as ONNX; see ``learn_reconstruction``."""
    g = Graph("autoencoder")
    table = g.input("table", np.float32, ["n", "time", width])
    lengths = g.input("lengths", np.int32, ["n"])
    miss = g.op("Sub", net.graph(g, table, lengths), table)
    g.output("error", g.op("Mul", miss, miss), np.float32, ["n", "time", width])
    return g.to_bytes()

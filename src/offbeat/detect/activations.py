"""What goes on inside the LSTM while it reads a session: hidden states and gates, and what each unit reacts to.

In NumPy from the weights of the ONNX network, for ONNX Runtime gives the states only, and not the gates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.lstm import FIRST, LSTM, START, UNKNOWN
from offbeat.detect.lstm_weights import Weights, read_weights
from offbeat.detect.ragged import Floats, Ints, Ragged

#: Sequences side by side.
_BATCH = 256
#: What ``profile`` returns: one row a unit and template.
PROFILE = {
    "unit": pl.UInt32(),
    "template": pl.UInt32(),
    "mean": pl.Float64(),
    "usual": pl.Float64(),
    "count": pl.Float64(),
}


@dataclass(frozen=True)
class Activations:
    """The LSTM's inside right after each event was read, each float64 of shape (events, hidden).

    In the notation of Hochreiter & Schmidhuber (1997) with the forget gate of Gers et al. (2000):
    ``cell = forget * cell before + input * candidate`` and ``hidden = output * tanh(cell)``. The state after event
    ``t`` is what event ``t + 1`` is predicted from.

    Attributes:
        hidden, cell: the states, hidden in (-1, 1).
        input, forget, output: the gates, in (0, 1): how much of the event is let in, of the past is kept, of the cell
            is shown.
    """

    hidden: Floats
    cell: Floats
    input: Floats
    forget: Floats
    output: Floats


def activations(lstm: LSTM, codes: Sequence[int]) -> Activations:
    """Return hidden states and gates of a fitted LSTM over the events of one sequence.

    Args:
        lstm: fitted or restored.
        codes: template codes in order; one that was not learned is read as unknown.

    Raises:
        ModelError: its network is another than an LSTM over events.
    """
    read = tokens(lstm, np.asarray(codes, dtype=np.int64))[:, None]
    weights = read_weights(lstm.onnx_)
    steps = [np.stack(step)[:, 0] for step in forward(weights, np.concatenate([[[START]], read]))][1:]
    stacked = np.stack(steps, axis=1) if steps else np.zeros((5, 0, weights.hidden))
    return Activations(*stacked)


def profile(lstm: LSTM, sequences: Ragged, k: int = 5, least: float = 5.0) -> pl.DataFrame:
    """Return what each hidden unit reacts to: the templates after which it is furthest from its usual state.

    Args:
        lstm: fitted or restored.
        sequences: normal ones, a sample of training for example; each counts by its weight.
        k: at most so many templates a unit.
        least: templates that occur less often, by weight, are left out, for their means are chance.

    Returns:
        One row a unit and template, strongest first within a unit: ``unit``, ``template`` (code), ``mean`` (of the
        unit's hidden state right after the template), ``usual`` (the same over all events), ``count`` (of the
        template, by weight). Empty where no template occurs often enough.
    """
    total, count = _sums(lstm, sequences)
    usual = total.sum(axis=0) / max(count.sum(), 1.0)
    templates = np.flatnonzero(count >= least)
    mean = total[templates] / count[templates, None]
    # Ties go to the lower code, for a stable sort keeps the order of codes.
    order = np.argsort(-np.abs(mean - usual), axis=0, kind="stable")[:k].T
    unit = np.repeat(np.arange(len(usual)), order.shape[1])
    which = order.ravel()
    columns = {
        "unit": unit,
        "template": templates[which],
        "mean": mean[which, unit],
        "usual": usual[unit],
        "count": count[templates[which]],
    }
    return pl.DataFrame(columns, schema_overrides=PROFILE)


def tokens(lstm: LSTM, codes: Ints) -> Ints:
    """Return the network's tokens of template codes, the same shape."""
    return np.where(codes + FIRST < lstm.vocabulary_, codes + FIRST, UNKNOWN)


def _sums(lstm: LSTM, sequences: Ragged) -> tuple[Floats, Floats]:
    """Return the sum of hidden states after each template and how often it occurs: (templates, hidden), (templates,).

    Codes that were not learned are left out.
    """
    weights = read_weights(lstm.onnx_)
    first, index = sequences.distinct
    weight = np.bincount(index, weights=sequences.weight, minlength=len(first))
    kept = sequences.take(first)
    total, count = np.zeros((lstm.vocabulary_, weights.hidden)), np.zeros(lstm.vocabulary_)
    order = np.argsort(kept.lengths, kind="stable")
    for at in range(0, len(order), _BATCH):
        which = order[at : at + _BATCH]
        place = np.arange(int(kept.lengths[which].max()))[:, None]
        inside = place < kept.lengths[which]
        codes = kept.ids[np.where(inside, kept.offsets[which] + place, 0)] if len(kept.ids) else np.zeros_like(place)
        read = np.concatenate([np.full((1, len(which)), START), tokens(lstm, codes)])
        for step, (hidden, *_) in enumerate(forward(weights, read)):
            if step:
                here = inside[step - 1]
                np.add.at(total, read[step][here], hidden[here] * weight[which][here, None])
                np.add.at(count, read[step][here], weight[which][here])
    return total[FIRST:], count[FIRST:]


def forward(weights: Weights, read: Ints) -> Iterator[tuple[Floats, Floats, Floats, Floats, Floats]]:
    """Read tokens (time, batch); yield hidden, cell, input, forget and output after each, each (batch, hidden)."""
    bias = weights.input_bias.astype(np.float64) + weights.recurrent_bias
    of_token = weights.embed.astype(np.float64) @ weights.input.T + bias
    recurrent = weights.recurrent.T.astype(np.float64)
    hidden = cell = np.zeros((read.shape[1], weights.hidden))
    for now in read:
        i, f, g, o = np.split(of_token[now] + hidden @ recurrent, 4, axis=1)
        entering, kept, shown = sigmoid(i), sigmoid(f), sigmoid(o)
        cell = kept * cell + entering * np.tanh(g)
        hidden = shown * np.tanh(cell)
        yield hidden, cell, entering, kept, shown


def sigmoid(x: NDArray[np.float64]) -> Floats:
    """Return the logistic function; written so, it cannot overflow."""
    return np.asarray(0.5 + 0.5 * np.tanh(0.5 * x), dtype=np.float64)

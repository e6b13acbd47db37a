"""Which events make the LSTM's score? Integrated gradients (Sundararajan et al., ICML 2017) over its events.

The score is a sum of regrets, ``ln p(best) - ln p(event)``, over a run of events; logits will do, for the softmax's
norm cancels. An event has two parts in it: as the one that was *seen* where another was expected, and as *context*
that others were predicted from. Gradients over the embeddings alone know only the second, and would give nothing to the
very event that surprises. So both are inputs: each context event's embedding goes from a baseline (an average event) to
its own, and each event of the run from the one expected in its place to itself. At the baseline nothing is surprising,
so the attributions add up to the score.

In NumPy, with the network's backward pass written out: it is one layer, and to load PyTorch and Captum takes a hundred
times as long as to use this. ``nets.attribution`` gives the same by Captum, to check.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from offbeat.detect.activations import forward, sigmoid, tokens
from offbeat.detect.lstm import FIRST, LSTM, START
from offbeat.detect.lstm_weights import Weights, read_weights
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.errors import OptionError

#: Pieces of the path are halved until the attributions add up to the score but for this share of it, or to the most.
TOLERANCE: Final = 0.01
_MOST_STEPS: Final = 1024
#: So many events before the run are attributed; those before them are read, but are part of the baseline, too.
CONTEXT: Final = 256
#: Points on the path that are looked at side by side.
_POINTS: Final = 64


@dataclass(frozen=True)
class Attribution:
    """What each event adds to the score, in nats, of shape (events,) each; negative where it makes the rest less odd.

    Attributes:
        seen: as an event of the run, where another was expected; 0 outside the run.
        context: as what the run was predicted from; 0 after it, and more than ``CONTEXT`` events before it.
        first, last: the run whose regrets make the score, both places inclusive and 0-based; 0 and -1 without events.
        score: the sum of its regrets, as ``LSTM.anomaly_score`` gives it.
        delta: how far the attributions are from adding up to the score, as a share of it.
        steps: points on the path that were needed.
    """

    seen: Floats
    context: Floats
    first: int
    last: int
    score: float
    delta: float
    steps: int

    @property
    def values(self) -> Floats:
        """What each event adds in both its parts, shape (events,)."""
        return self.seen + self.context


@dataclass(frozen=True)
class Path:
    """The quantity that is integrated, from the baseline (0) to the sequence itself (1).

    Attributes:
        weights: of the network.
        base, own: embeddings of what is read at both ends, each float64 (time, embedding).
        hidden, cell: the state before, each (hidden,).
        seen: tokens of the run, the last that are predicted, shape (run,).
        best: the tokens expected in their place, by the sequence itself, so that the quantity has no kinks on the path.
        counted: 1 for an event of the run whose regret counts, else 0, shape (run,).
    """

    weights: Weights
    base: Floats
    own: Floats
    hidden: Floats
    cell: Floats
    seen: Ints
    best: Ints
    counted: Floats

    @cached_property
    def apart(self) -> Floats:
        """By how much the output weights of what is expected differ from those of what is seen, (run, hidden)."""
        return np.asarray(self.weights.out[self.best].astype(np.float64) - self.weights.out[self.seen])


#: Integrates the gradient along pieces of a path (from, to; each of shape (pieces,)) at so many points of each: what is
#: read adds so much, shape (pieces, time), and the run, (pieces, run).
Integral = Callable[[Path, Floats, Floats, int], tuple[Floats, Floats]]


def integrated_gradients(
    lstm: LSTM,
    codes: Sequence[int],
    frequency: ArrayLike | None = None,
    last: int | None = None,
    steps: int = 16,
    integral: Integral | None = None,
) -> Attribution:
    """Attribute the score of a sequence to its events.

    The quantity is known at both ends of any piece of the path, and the integral along it has to make up for what lies
    between. Where it does not, the piece is halved, so that points are spent where the network changes its mind.

    Args:
        lstm: fitted or restored.
        codes: template codes in order.
        frequency: see ``baseline``; by default that of training.
        last: the last event of the run to explain instead of the worst run, 0-based.
        steps: points on a piece of the path.
        integral: ``quadrature`` unless given.

    Raises:
        OptionError: ``steps`` is not above 0, or there is no event ``last``.
        ModelError: the network is another than an LSTM over events.
    """
    _check(codes, last, steps)
    n = len(codes)
    if not n:
        return Attribution(np.zeros(0), np.zeros(0), 0, -1, 0.0, 0.0, 0)
    last = lstm.worst_run(Ragged.from_lists([list(codes)])) if last is None else last
    first = max(0, last - lstm.span + 1)
    begin = max(0, first - CONTEXT)
    path, score = _path(lstm, codes, frequency, (begin, first, last))
    read, run, pieces = _along(path, score, steps, integral or quadrature)
    error = abs(float(read.sum() + run.sum()) - score)
    context, seen = np.zeros(n), np.zeros(n)
    context[begin:last], seen[first : last + 1] = read[1:], run
    return Attribution(seen, context, first, last, score, error / _scale(score), pieces * steps)


def _scale(score: float) -> float:
    """Return what an error is a share of: a score of nothing is met by attributions of nothing."""
    return score if score > 1e-9 else 1.0


def _along(path: Path, score: float, steps: int, integral: Integral) -> tuple[Floats, Floats, int]:
    """Return the integrals along the whole path, shapes (time,) and (run,), and in how many pieces they were taken."""
    ends = np.array([[0.0, 1.0]])
    values = np.array([[0.0, score]])
    read, run = integral(path, ends[:, 0], ends[:, 1], steps)
    while True:
        error = np.abs(read.sum(axis=1) + run.sum(axis=1) - np.diff(values)[:, 0])
        allowed = TOLERANCE * _scale(score)
        room = _MOST_STEPS // steps - len(error)
        if error.sum() <= allowed or room < 1:
            return read.sum(axis=0), run.sum(axis=0), len(error)
        worst = np.argsort(-error, kind="stable")[:room]
        worst = worst[error[worst] > allowed / len(error)]
        middle = ends[worst].mean(axis=1)
        kept = np.setdiff1d(np.arange(len(error)), worst)
        halves = _halved(ends[worst], middle)
        ends = np.concatenate([ends[kept], halves])
        values = np.concatenate([values[kept], _halved(values[worst], _quantity(path, middle))])
        of_read, of_run = integral(path, halves[:, 0], halves[:, 1], steps)
        read, run = np.concatenate([read[kept], of_read]), np.concatenate([run[kept], of_run])


def _halved(pairs: Floats, middle: Floats) -> Floats:
    """Return (first, middle) and (middle, last) of pairs, shape (2 pairs, 2)."""
    return np.concatenate([np.column_stack([pairs[:, 0], middle]), np.column_stack([middle, pairs[:, 1]])])


def baseline(weights: Weights, frequency: ArrayLike) -> Floats:
    """Return the embedding that stands for no event in particular, shape (embedding,): the average event's.

    A padding or unknown token would not do: its embedding was never learned, and is as odd as anything.

    Args:
        weights: of the network.
        frequency: how often each template occurs in training, by code, shape (at most templates,).

    Raises:
        OptionError: there are more templates than the network knows, or no event at all.
    """
    counts = np.asarray(frequency, dtype=np.float64)
    if counts.ndim != 1 or len(counts) > len(weights.embed) - FIRST or not counts.sum() > 0:
        raise OptionError("is not one count a template learned", where="frequency")
    return np.asarray(counts / counts.sum() @ weights.embed[FIRST : FIRST + len(counts)].astype(np.float64))


def quadrature(path: Path, low: Floats, high: Floats, steps: int) -> tuple[Floats, Floats]:
    """Integrate the gradient by Gauss and Legendre's rule with ``steps`` points on each piece; see ``Integral``."""
    at, weight = np.polynomial.legendre.leggauss(steps)
    wide = high - low
    points = (low[:, None] + wide[:, None] * (at + 1) / 2).ravel()
    parts = [_gradient(path, points[first : first + _POINTS]) for first in range(0, len(points), _POINTS)]
    of_read, of_run = (np.concatenate(part).reshape(len(low), steps, -1) for part in zip(*parts, strict=True))
    share = wide[:, None, None] * weight[:, None] / 2
    return (share * of_read).sum(axis=1), (share * of_run).sum(axis=1)


def _path(
    lstm: LSTM, codes: Sequence[int], frequency: ArrayLike | None, run: tuple[int, int, int]
) -> tuple[Path, float]:
    """Return the path for the run ``first`` to ``last`` with context from ``begin`` on, and the score.

    Events begin to last - 1 are context. The token before them, at least the start, is read with them but is itself in
    the baseline, too; all before that token only set the state.
    """
    begin, first, last = run
    weights = read_weights(lstm.onnx_)
    read = np.concatenate([[START], tokens(lstm, np.asarray(codes, dtype=np.int64))])
    states = [(h[0], c[0]) for h, c, *_ in forward(weights, read[: last + 1, None])]
    nothing = np.zeros(weights.hidden)
    hidden, cell = states[begin - 1] if begin else (nothing, nothing)
    own = weights.embed[read[begin : last + 1]].astype(np.float64)
    base = np.repeat(baseline(weights, lstm.frequency_ if frequency is None else frequency)[None], len(own), axis=0)
    base[0] = own[0]
    seen = read[first + 1 : last + 2]
    logits = np.stack([h for h, _ in states[first : last + 1]]) @ weights.out.T.astype(np.float64) + weights.out_bias
    best = logits.argmax(axis=1)
    counted = np.ones(len(seen))
    counted[0] = float(first > 0 or lstm.starts_)
    at = np.arange(len(seen))
    score = float((counted * (logits[at, best] - logits[at, seen])).sum())
    return Path(weights, base, own, hidden, cell, seen, best, counted), score


def _gradient(path: Path, at: Floats) -> tuple[Floats, Floats]:
    """Return the gradient along the path at points of shape (points,): (points, time) and (points, run).

    Back-propagation through time (Werbos, 1990), for an LSTM with torch's order of gates. What is read moves from base
    to own, so its part is the gradient times that difference.
    """
    kept, of_run, moving = _forward(path, at)
    apart, recurrent = path.apart, path.weights.recurrent.astype(np.float64)
    time, points = len(kept), len(at)
    first = time - len(path.seen)
    of_read = np.zeros((points, time))
    dh, dc = np.zeros_like(kept[0][0]), np.zeros_like(kept[0][0])
    for t in range(time - 1, -1, -1):
        i, f, g, o, before, shown = kept[t]
        if t >= first:
            dh = dh + at[:, None] * (path.counted[t - first] * apart[t - first])
        dc = dc + dh * o * (1 - shown**2)
        gates = [dc * g * i * (1 - i), dc * before * f * (1 - f), dc * i * (1 - g**2), dh * shown * o * (1 - o)]
        da = np.concatenate(gates, axis=1)
        of_read[:, t] = da @ moving[t]
        dh, dc = da @ recurrent, dc * f
    return of_read, of_run


def _quantity(path: Path, at: Floats) -> Floats:
    """Return what is integrated at points of the path, shape (points,)."""
    return np.asarray(at * _forward(path, at)[1].sum(axis=1))


def _forward(path: Path, at: Floats) -> tuple[list[tuple[Floats, ...]], Floats, Floats]:
    """Return gates and states at each time, the regrets of the run, (points, run), and how gates move with the path."""
    w = path.weights
    bias = w.input_bias.astype(np.float64) + w.recurrent_bias
    steady = path.base @ w.input.T + bias
    moving = (path.own - path.base) @ w.input.T
    recurrent = w.recurrent.astype(np.float64).T
    gap = w.out_bias[path.best].astype(np.float64) - w.out_bias[path.seen]
    h, c = (np.repeat(x[None], len(at), axis=0) for x in (path.hidden, path.cell))
    kept: list[tuple[Floats, ...]] = []
    of_run = np.zeros((len(at), len(path.seen)))
    first, n = len(steady) - len(path.seen), len(path.hidden)
    for t in range(len(steady)):
        gates = steady[t] + at[:, None] * moving[t] + h @ recurrent
        i, f, o = (sigmoid(gates[:, k * n : (k + 1) * n]) for k in (0, 1, 3))
        g = np.tanh(gates[:, 2 * n : 3 * n])
        before, c = c, f * c + i * g
        shown = np.tanh(c)
        h = o * shown
        kept.append((i, f, g, o, before, shown))
        if t >= first:
            of_run[:, t - first] = h @ path.apart[t - first] + gap[t - first]
    return kept, of_run * path.counted, moving


def _check(codes: Sequence[int], last: int | None, steps: int) -> None:
    where = "integrated_gradients"
    if steps < 1:
        raise OptionError(f"steps is {steps}; it must be above zero", where=where)
    if last is not None and not 0 <= last < len(codes):
        raise OptionError(f"there is no event {last} in a sequence of {len(codes)}", where=where)

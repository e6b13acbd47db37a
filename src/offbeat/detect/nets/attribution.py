"""Which events make the LSTM's score? Integrated gradients (Sundararajan et al., ICML 2017) over its events, by Captum.

The score is a sum of regrets, ``ln p(best) - ln p(event)``, over a run of events; logits will do, for the softmax's
norm cancels. An event has two parts in it: as the one that was *seen* where another was expected, and as *context*
that others were predicted from. Gradients over the embeddings alone know only the second, and would give nothing to the
very event that surprises. So both are inputs: each context event's embedding goes from a baseline (an average event) to
its own, and each event of the run from the one expected in its place to itself. At the baseline nothing is surprising,
so the attributions add up to the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from offbeat.detect.activations import tokens
from offbeat.detect.lstm import FIRST, LSTM, START
from offbeat.detect.lstm_weights import read_weights
from offbeat.detect.nets.next_event import NextEvent
from offbeat.detect.ragged import Floats, Ragged, run_sum
from offbeat.errors import OptionError

#: Steps along the path are doubled until the attributions add up to the score but for this share of it, or to the most.
TOLERANCE: Final = 0.01
_MOST_STEPS: Final = 1024
#: So many events before the run are attributed; those before them are read, but are part of the baseline, too.
CONTEXT: Final = 256


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


def rebuild(lstm: LSTM) -> NextEvent:
    """Return the torch module of a fitted or restored LSTM, in double precision, from its ONNX bytes.

    Raises:
        ModelError: its network is another than an LSTM over events.
    """
    w = read_weights(lstm.onnx_)
    net = NextEvent(w.embed.shape[0], w.embed.shape[1], w.hidden)
    named = {
        "embed.weight": w.embed,
        "lstm.weight_ih_l0": w.input,
        "lstm.weight_hh_l0": w.recurrent,
        "lstm.bias_ih_l0": w.input_bias,
        "lstm.bias_hh_l0": w.recurrent_bias,
        "out.weight": w.out,
        "out.bias": w.out_bias,
    }
    net.load_state_dict({name: torch.tensor(value) for name, value in named.items()})
    return net.double().eval().requires_grad_(False)


def baseline(net: NextEvent, frequency: ArrayLike) -> torch.Tensor:
    """Return the embedding that stands for no event in particular, shape (embedding,): the average event's.

    A padding or unknown token would not do: its embedding was never learned, and is as odd as anything.

    Args:
        net: the network.
        frequency: how often each template occurs in training, by code, shape (at most templates,).

    Raises:
        OptionError: there are more templates than the network knows, or no event at all.
    """
    counts = np.asarray(frequency, dtype=np.float64)
    if counts.ndim != 1 or len(counts) > net.embed.num_embeddings - FIRST or not counts.sum() > 0:
        raise OptionError("is not one count a template learned", where="frequency")
    share = torch.tensor(counts / counts.sum())
    return share @ net.embed.weight[FIRST : FIRST + len(counts)]


def integrated_gradients(
    lstm: LSTM,
    codes: Sequence[int],
    frequency: ArrayLike | None = None,
    last: int | None = None,
    steps: int = 32,
    net: NextEvent | None = None,
) -> Attribution:
    """Attribute the score of a sequence to its events.

    Args:
        lstm: fitted or restored.
        codes: template codes in order.
        frequency: see ``baseline``; by default that of training.
        last: the last event of the run to explain instead of the worst run, 0-based.
        steps: points on the path to begin with.
        net: what ``rebuild`` returned, to explain many sequences.

    Raises:
        OptionError: Captum is not installed, ``steps`` is not above 0, or there is no event ``last``.
        ModelError: the network is another than an LSTM over events.
    """
    _check(codes, last, steps)
    n = len(codes)
    if not n:
        return Attribution(np.zeros(0), np.zeros(0), 0, -1, 0.0, 0.0, 0)
    torch.set_num_threads(1)
    net = rebuild(lstm) if net is None else net
    last = _worst(lstm, codes) if last is None else last
    first = max(0, last - lstm.span + 1)
    read = torch.tensor(np.concatenate([[START], tokens(lstm, np.asarray(codes, dtype=np.int64))]))
    begin = max(0, first - CONTEXT)
    # Events begin to last - 1 are context. The token before them, at least the start, is read with them but is itself
    # in the baseline, too; all before that token only set the state.
    state = (torch.zeros((1, 1, net.lstm.hidden_size), dtype=torch.float64),) * 2
    if begin:
        state = net.lstm(net.embed(read[None, :begin]))[1]
    own = net.embed(read[None, begin : last + 1])
    usual = baseline(net, lstm.frequency_ if frequency is None else frequency)
    base = torch.cat([own[:, :1], usual.expand_as(own[:, 1:])], dim=1)
    path = _Path(net, read[first + 1 : last + 2], state)
    found, score, delta, steps = _integrate(path, own, base, last - first + 1, steps)
    of_context, of_seen = np.zeros(n), np.zeros(n)
    of_context[begin:last], of_seen[first : last + 1] = found[0][1:], found[1]
    return Attribution(of_seen, of_context, first, last, score, delta, steps)


class _Path:
    """The quantity that is integrated, at any points on the path: (batch, ...) -> (batch,).

    Args:
        net: the network.
        seen: tokens of the run, shape (run,).
        state: h and c before what is read, each (1, 1, hidden).
    """

    def __init__(self, net: NextEvent, seen: torch.Tensor, state: tuple[torch.Tensor, torch.Tensor]) -> None:
        self.net, self.seen, self.state = net, seen, state
        self.best: torch.Tensor | None = None

    def __call__(self, read: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        """Return the sum of regrets, each event of the run being ``share`` itself, else the expected one."""
        rows = len(share)
        h, c = (one.expand(-1, rows, -1).contiguous() for one in self.state)
        states, _ = self.net.lstm(read, (h, c))
        logits = self.net.out(states[:, -len(self.seen) :])
        if self.best is None:
            # What was expected is decided at the sequence itself, so that the quantity has no kinks on the path.
            self.best = logits[0].argmax(dim=1)
        best, seen = (logits.gather(2, one.expand(rows, -1)[:, :, None])[:, :, 0] for one in (self.best, self.seen))
        regrets: torch.Tensor = (best - seen) * share
        return regrets.sum(dim=1)


def _integrate(
    path: _Path, read: torch.Tensor, base: torch.Tensor, run: int, steps: int
) -> tuple[tuple[NDArray[np.float64], NDArray[np.float64]], float, float, int]:
    """Return attributions of what is read and of the run, the score, the error of their sum, and the steps taken."""
    from captum.attr import IntegratedGradients

    ones = torch.ones((1, run), dtype=torch.float64)
    with torch.no_grad():
        score = float(path(read, ones))
    while True:
        made = IntegratedGradients(path).attribute(
            (read, ones), baselines=(base, torch.zeros_like(ones)), n_steps=steps, method="gausslegendre"
        )
        found = made[0].sum(dim=2)[0].detach().numpy(), made[1][0].detach().numpy()
        error = abs(float(found[0].sum() + found[1].sum()) - score)
        # A score of nothing is met by attributions of nothing.
        delta = error / score if score > 1e-9 else error
        if delta <= TOLERANCE or steps >= _MOST_STEPS:
            return found, score, delta, steps
        steps = min(2 * steps, _MOST_STEPS)


def _worst(lstm: LSTM, codes: Sequence[int]) -> int:
    """Return the last event of the run that makes the score."""
    data = Ragged.from_lists([list(codes)])
    of_event, of_best, _ = lstm.log_p(data)
    return int(run_sum(of_best - of_event, data.rows, lstm.span).argmax())


def _check(codes: Sequence[int], last: int | None, steps: int) -> None:
    where = "integrated_gradients"
    if steps < 1:
        raise OptionError(f"steps is {steps}; it must be above zero", where=where)
    if last is not None and not 0 <= last < len(codes):
        raise OptionError(f"there is no event {last} in a sequence of {len(codes)}", where=where)
    try:
        import captum  # noqa: F401 - only whether it is there
    except ImportError:
        raise OptionError("needs captum", where=where, hint="pip install 'offbeat[explain]'") from None

"""Integrated gradients over the LSTM's events by Captum: what ``detect.attribution`` works out itself, to check it."""

from __future__ import annotations

import numpy as np
import torch

from offbeat.detect.attribution import Path
from offbeat.detect.lstm_weights import Weights
from offbeat.detect.nets.next_event import NextEvent
from offbeat.detect.ragged import Floats
from offbeat.errors import OptionError


def rebuild(weights: Weights) -> NextEvent:
    """Return the torch module of a network, in double precision."""
    net = NextEvent(weights.embed.shape[0], weights.embed.shape[1], weights.hidden)
    named = {
        "embed.weight": weights.embed,
        "lstm.weight_ih_l0": weights.input,
        "lstm.weight_hh_l0": weights.recurrent,
        "lstm.bias_ih_l0": weights.input_bias,
        "lstm.bias_hh_l0": weights.recurrent_bias,
        "out.weight": weights.out,
        "out.bias": weights.out_bias,
    }
    net.load_state_dict({name: torch.tensor(value) for name, value in named.items()})
    return net.double().eval().requires_grad_(False)


def by_captum(path: Path, low: Floats, high: Floats, steps: int) -> tuple[Floats, Floats]:
    """Integrate the gradient along pieces of a path by Captum; an ``Integral`` for ``integrated_gradients``.

    Raises:
        OptionError: Captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients
    except ImportError:
        raise OptionError("needs captum", where="by_captum", hint="pip install 'offbeat[explain]'") from None
    torch.set_num_threads(1)
    net, counted = rebuild(path.weights), torch.tensor(path.counted)
    best, seen = (torch.tensor(tokens) for tokens in (path.best, path.seen))
    state = [torch.tensor(one)[None, None] for one in (path.hidden, path.cell)]

    def quantity(read: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
        rows = len(share)
        h, c = (one.expand(-1, rows, -1).contiguous() for one in state)
        states, _ = net.lstm(read, (h, c))
        logits = net.out(states[:, -len(seen) :])
        of_best, of_seen = (logits.gather(2, one.expand(rows, -1)[:, :, None])[:, :, 0] for one in (best, seen))
        regrets: torch.Tensor = (of_best - of_seen) * share * counted
        return regrets.sum(dim=1)

    own, base, ones = torch.tensor(path.own)[None], torch.tensor(path.base)[None], torch.ones_like(counted)[None]
    read, run = [], []
    for ends in zip(low.tolist(), high.tolist(), strict=True):
        start, end = ((base + at * (own - base), at * ones) for at in ends)
        made = IntegratedGradients(quantity).attribute(end, baselines=start, n_steps=steps, method="gausslegendre")
        read.append(made[0].sum(dim=2)[0].detach().numpy())
        run.append(made[1][0].detach().numpy())
    return np.stack(read), np.stack(run)

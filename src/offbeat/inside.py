"""What goes on inside the LSTM over one unit: which events make its score, and which hidden units move."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect import LSTM
from offbeat.errors import OptionError
from offbeat.explain.edits import occlude

Floats = NDArray[np.float64]
Method = Literal["gradients", "captum", "occlusion"]
METHODS: Final[tuple[Method, ...]] = ("gradients", "captum", "occlusion")

#: Events whose activations are kept, around the run that makes the score, and hidden units: those that change most.
_EVENTS: Final = 40
_UNITS: Final = 24
#: What Captum needs beside the model.
_NEEDED: Final = ("torch", "captum")


@dataclass(frozen=True)
class Inside:
    """How the LSTM comes to the score of one unit of n events.

    Attributes:
        method: ``integrated gradients``, or ``occlusion``: by how much the score falls without the event.
        score: its raw score, in nats: the largest sum of regrets over a run of events.
        first, last: that run, both places inclusive and 0-based; 0 and -1 without events.
        delta: how far the attributions are from adding up to the score, as a share of it; None by occlusion, which
            does not add up.
        attributed: what each event adds to the score, in nats, shape (n,).
        context: the part of it that an event adds as what others were predicted from, shape (n,); None by occlusion.
        begin: the place of the first event of ``hidden``.
        units: numbers of the hidden units shown, those that change most.
        hidden: their states in (-1, 1) after each event from ``begin`` on, shape (events, units).
        reacts: for each of the units the template after which it is furthest from its usual state, ``template`` (code),
            ``mean`` and ``usual``; None where too little was learned to say.
    """

    method: str
    score: float
    first: int
    last: int
    delta: float | None
    attributed: Floats
    context: Floats | None
    begin: int = 0
    units: list[int] = field(default_factory=list)
    hidden: list[list[float]] = field(default_factory=list)
    reacts: list[dict[str, Any] | None] = field(default_factory=list)


def check_method(method: str) -> None:
    """Raise OptionError for a method that is none, or whose packages are not installed."""
    if method not in METHODS:
        raise OptionError(f"{method!r} is no method", where="--method", hint="one of: " + ", ".join(METHODS))
    lacking = [name for name in _NEEDED if find_spec(name) is None]
    if method == "captum" and lacking:
        hint = "pip install 'offbeat[train,explain]', or --method gradients, which needs nothing more"
        raise OptionError(f"needs {' and '.join(lacking)}", where="--method captum", hint=hint)


def look_inside(lstm: LSTM, codes: Sequence[int], method: Method = "gradients") -> Inside:
    """Say which events make the LSTM's score, and what its hidden units do.

    Args:
        lstm: fitted or restored.
        codes: the unit's template codes in order, n of them.
        method: integrated ``gradients``, the same by ``captum`` to check, or ``occlusion``.

    Raises:
        OptionError: there is no such method, or its packages are not installed.
    """
    check_method(method)
    found = _by_occlusion(lstm, list(codes)) if method == "occlusion" else _by_gradients(lstm, codes, method)
    return _with_states(found, lstm, codes) if codes else found


def _by_gradients(lstm: LSTM, codes: Sequence[int], method: Method) -> Inside:
    from offbeat.detect.attribution import integrated_gradients

    if method == "captum":
        from offbeat.detect.nets.attribution import by_captum

        a = integrated_gradients(lstm, codes, integral=by_captum)
    else:
        a = integrated_gradients(lstm, codes)
    return Inside("integrated gradients", a.score, a.first, a.last, a.delta, a.values, a.context)


def _by_occlusion(lstm: LSTM, codes: list[int]) -> Inside:
    def score(sequences: Sequence[Sequence[int]]) -> Floats:
        return lstm.anomaly_score(_frame(sequences)).to_numpy()

    if not codes:
        return Inside("occlusion", 0.0, 0, -1, None, np.zeros(0), None)
    _, regret = lstm.regrets(_frame([codes]))
    sums = np.convolve(regret, np.ones(lstm.span))[: len(codes)]
    last = int(sums.argmax())
    first = max(0, last - lstm.span + 1)
    return Inside("occlusion", float(sums[last]), first, last, None, occlude(codes, score), None)


def _frame(sequences: Sequence[Sequence[int]]) -> pl.DataFrame:
    return pl.DataFrame({"templates": [list(one) for one in sequences]}, schema={"templates": pl.List(pl.UInt32)})


def _with_states(found: Inside, lstm: LSTM, codes: Sequence[int]) -> Inside:
    """Add the hidden states around the run, of the units that change most there."""
    from dataclasses import replace

    from offbeat.detect.activations import activations

    hidden = activations(lstm, codes).hidden
    begin = min(max(0, found.last - 2 * _EVENTS // 3), max(0, len(codes) - _EVENTS))
    shown = hidden[begin : begin + _EVENTS]
    units = np.sort(np.argsort(-np.ptp(shown, axis=0), kind="stable")[:_UNITS])
    strongest = lstm.units_.group_by("unit", maintain_order=True).first()
    known = {row["unit"]: row for row in strongest.iter_rows(named=True)}
    reacts = [known.get(int(u)) for u in units]
    return replace(
        found,
        begin=begin,
        units=[int(u) for u in units],
        hidden=np.round(shown[:, units], 3).tolist(),
        reacts=[r and {name: r[name] for name in ("template", "mean", "usual")} for r in reacts],
    )

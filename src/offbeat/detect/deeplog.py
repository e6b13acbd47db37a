"""DeepLog: is the next template among the likely ones, and the number in it near the one predicted?"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, ClassVar, Final, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import State
from offbeat.detect.candidates import ByCandidates
from offbeat.detect.histories import distinct_rows
from offbeat.detect.ragged import Floats, Ints, Ragged
from offbeat.detect.sizes import check_shares

#: Size of the state of a template's own LSTM, and the least numbers it is learned from.
_HIDDEN, _LEAST = 16, 30
#: Least spread of a template's squared errors, in squares of its standard deviation: numbers are never that alike.
_LEAST_SPREAD: Final = 1e-4
_BATCH: Final = 4096


@dataclass(eq=False, repr=False, kw_only=True)
class DeepLog(ByCandidates):
    """Score a sequence by the template that was least expected, or the number furthest from the one predicted.

    The key model, a stacked LSTM, reads the ``window`` templates before and predicts the next; one that is not among
    the ``top`` candidates is anomalous. The score is above ``top`` exactly where the paper's rule raises an alarm, and
    grows with the surprise -ln p on either side of it. Sequences begin with nothing: the first events have histories
    that are filled up, and are judged too. The end is predicted like an event.

    Where there are numbers (a column ``values``), each template with enough has an LSTM of its own that predicts the
    next from those before it in the same unit, so that a score does not depend on which other units are there. A
    squared error beyond the Gaussian interval of the errors in validation adds ``ln`` of how far beyond to ``top``.

    Args:
        window, top: events looked back at, and candidates that pass; the paper's h and g.
        hidden, layers: of the key model's LSTM.
        embedding: size of a template's vector; the paper's one-hot vectors, mapped to fewer numbers.
        confidence: of the interval of a number's error.
        epochs, patience, learning_rate, batch: of training.
        windows: at most so many windows are learned from in all passes together.
        seed: of everything random.
        checkpoint: a folder to resume an interrupted training from; none where empty.
    """

    name: ClassVar[str] = "deeplog"
    source: ClassVar[str] = "Du, Li, Zheng and Srikumar: DeepLog, CCS 2017"
    looks_at: ClassVar[str] = "the next template given the last ten, and its number"
    reads: ClassVar[tuple[str, ...]] = ("values",)

    confidence: float = 0.999

    def check_params(self) -> Self:
        """Raise OptionError for a number that cannot be used; see the base class."""
        super().check_params()
        check_shares(self, "confidence")
        return self

    def _fit(self, data: Ragged, y: NDArray[np.bool_] | None) -> None:
        from offbeat.detect.nets.key_model import KeyPlan, learn_keys

        limits = self._limits(self.windows, plateau=3)
        kept, known = self._learn_vocabulary(data)
        plan = KeyPlan(self.embedding, self.hidden, self.layers, self.batch, limits)
        network, self.history_ = learn_keys(
            known.before, known.next, known.weight, self.vocabulary_.size, plan, self.progress, self.checkpoint
        )
        self.networks_ = {"network": network}
        self._fit_values(kept, limits)

    def _feed(self, before: Ints) -> dict[str, Any]:
        return {"before": before}

    def _fit_values(self, data: Ragged, limits: Any) -> None:
        self.numbers_ = _scales(data)
        if not self.numbers_.height:
            return
        from offbeat.detect.nets.value_model import learn_values

        at, template, value, before = self._numbers(data)
        table = np.column_stack([template.astype(np.float32), value, before])
        first, index = distinct_rows(table)
        weight = np.bincount(index, weights=data.weight[data.rows[at]], minlength=len(first)).astype(np.float64)
        template, value, before = template[first], value[first], before[first]
        network, _, check = learn_values(
            template, before, value, weight, _HIDDEN, self.batch, limits, self.progress, self.checkpoint
        )
        self.networks_["values"] = network
        error = (self._predicted_values(template, before) - value) ** 2
        # A template with nothing in validation has what all have together.
        mass = np.bincount(template, check, self.numbers_.height)
        whole = np.average(error, weights=check)
        mean = np.bincount(template, check * error, len(mass)) / np.where(mass > 0, mass, 1)
        mean = np.where(mass > 0, mean, whole)
        spread = np.bincount(template, check * (error - mean[template]) ** 2, len(mass)) / np.where(mass > 0, mass, 1)
        spread = np.where(mass > 0, spread, np.average((error - whole) ** 2, weights=check))
        self.numbers_ = self.numbers_.with_columns(
            error=pl.Series(mean), error_sd=pl.Series(np.sqrt(np.maximum(spread, _LEAST_SPREAD)))
        )

    def _numbers(self, data: Ragged) -> tuple[Ints, Ints, NDArray[np.float32], NDArray[np.float32]]:
        """Return the numbers that can be judged.

        Returns:
            Their places among the events, their templates' rows in ``numbers_``, the numbers standardised, all of shape
            (m,), and those of the same template before each in its unit, of shape (m, window), 0 where there was none.
        """
        codes = self.numbers_["template"].to_numpy()
        values = data.extra.get("values", np.zeros(0))
        if not len(codes) or not len(values):
            nothing = np.zeros(0, dtype=np.int64)
            return nothing, nothing, np.zeros(0, np.float32), np.zeros((0, self.window), np.float32)
        row = np.minimum(np.searchsorted(codes, data.ids), len(codes) - 1)
        at = np.flatnonzero((codes[row] == data.ids) & np.isfinite(values))
        row = row[at]
        mean, sd = (self.numbers_[name].to_numpy()[row] for name in ("mean", "sd"))
        value = ((values[at] - mean) / sd).astype(np.float32)
        # By unit and template, in order: the numbers before one are those right before it.
        order = np.lexsort((at, row, data.rows[at]))
        group = data.rows[at][order] * len(codes) + row[order]
        before = np.zeros((len(at), self.window), np.float32)
        sorted_ = value[order]
        for back in range(1, self.window + 1):
            same = np.flatnonzero(group[back:] == group[:-back]) + back
            before[order[same], self.window - back] = sorted_[same - back]
        return at, row, value, before

    def _predicted_values(self, template: Ints, before: NDArray[np.float32]) -> Floats:
        out = np.empty(len(template))
        for at in range(0, len(template), _BATCH):
            part = slice(at, at + _BATCH)
            out[part] = self._run(["value"], {"template": template[part], "before": before[part]}, "values")[0]
        return out

    def _judged(self, data: Ragged) -> tuple[Floats, Floats, Ints, Floats, Floats]:
        score, p, kind, end, p_end = super()._judged(data)
        at, template, value, before = self._numbers(data)
        if not len(at):
            return score, p, kind, end, p_end
        error = (self._predicted_values(template, before) - value) ** 2
        mean, sd = (self.numbers_[name].to_numpy()[template] for name in ("error", "error_sd"))
        z = (error - mean) / sd
        beyond = z / NormalDist().inv_cdf(self.confidence)
        of_number = np.where(beyond > 1, self.top + np.log(np.maximum(beyond, 1.0)), 0.0)
        worse = of_number > score[at]
        place = at[worse]
        score[place], kind[place] = of_number[worse], 3
        p[place] = [NormalDist().cdf(-x) for x in z[worse]]
        return score, p, kind, end, p_end

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        found = super()._evidence(data)
        number = np.flatnonzero(found["kind"] == "value")
        if len(number):
            at = data.offsets[number] + found["event"].to_numpy()[number].astype(np.int64)
            row = np.searchsorted(self.numbers_["template"].to_numpy(), data.ids[at])
            found["seen"][number] = data.extra["values"][at]
            found["usual"][number] = self.numbers_["mean"].to_numpy()[row]
        return found

    def _learned(self) -> State:
        state = super()._learned()
        return State(state.values, state.frames | {"numbers": self.numbers_})

    def _take(self, state: State) -> None:
        super()._take(state)
        self.numbers_ = state.frames["numbers"]


def _scales(data: Ragged) -> pl.DataFrame:
    """Return the mean and standard deviation of the numbers of each template that has enough of them."""
    schema = {"template": pl.Int64, "mean": pl.Float64, "sd": pl.Float64}
    if "values" not in data.extra:
        return pl.DataFrame(schema=schema | {"error": pl.Float64, "error_sd": pl.Float64})
    at = np.flatnonzero(np.isfinite(data.extra["values"]))
    weight, value = data.weight[data.rows[at]], data.extra["values"][at]
    codes, index = np.unique(data.ids[at], return_inverse=True)
    mass = np.bincount(index, weight)
    mean = np.bincount(index, weight * value) / mass
    sd = np.sqrt(np.bincount(index, weight * (value - mean[index]) ** 2) / mass)
    some = mass >= _LEAST
    # Numbers that were all the same have no scale of their own: theirs is a hundredth of their size.
    sd = np.where(sd > 0, sd, np.maximum(np.abs(mean) / 100, 1e-9))
    return pl.DataFrame({"template": codes[some], "mean": mean[some], "sd": sd[some]}, schema=schema)

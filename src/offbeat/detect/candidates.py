"""What networks share that predict the next event from the last few: top candidates, and what is none of them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import polars as pl

from offbeat.detect.base import State
from offbeat.detect.histories import Histories, histories
from offbeat.detect.neural import Neural
from offbeat.detect.padded import PAD, UNKNOWN, Vocabulary
from offbeat.detect.ragged import Floats, Ints, Ragged, segment_argmax, segment_max

#: Surprise in nats is no more than this; a template that training did not know has it.
MOST: Final = 50.0
#: A history learned from weighs its number to this power. In full weight, a network is soon sure of what comes
#: thousands of times, and rare but normal histories, on which false alarms hang, are learned last.
_TEMPER: Final = 0.5
#: Histories looked up at once.
_BATCH: Final = 4096


@dataclass(eq=False, repr=False, kw_only=True)
class ByCandidates(Neural):
    """Scores a sequence by its worst event: is it among the ``top`` candidates for its place, and how probable is it?

    The candidates are the ``top`` most probable tokens given the ``window`` events before (DeepLog's rule). An event
    with surprise ``s = -ln p`` scores ``top * s / (1 + s)``, below ``top``, if it is one of them, and ``top + s`` if
    not: so ``score > top`` is the paper's rule, and the order on either side of it is that of surprise. The end of a
    sequence is predicted like an event; the end of one with no more events than a window, and fewer than any learned
    from, is never a candidate, as in the published implementations, which fill up such sequences with a token of
    their own. A template that training did not hold is never a candidate either.
    """

    #: Kinds of EVIDENCE by the numbers that ``_judged`` gives.
    kinds: ClassVar[tuple[str, ...]] = ("order", "new pattern", "end", "value")

    window: int = 10
    top: int = 9
    hidden: int = 64
    layers: int = 2
    embedding: int = 64
    epochs: int = 60
    patience: int = 10
    learning_rate: float = 8e-3
    batch: int = 64
    windows: int = 300_000
    seed: int = 0
    checkpoint: str = ""

    def _learn_vocabulary(self, data: Ragged) -> tuple[Ragged, Histories]:
        """Take the vocabulary of sequences; returns the distinct ones with their weights, and what to learn from.

        That is, their histories, a common one weighing less than it came.
        """
        kept = data.merged()
        self.vocabulary_ = Vocabulary.of(data)
        self.shortest_ = int(data.lengths.min())
        known = histories(kept, self._tokens(kept), self.window)
        return kept, Histories(known.before, known.next, known.weight**_TEMPER, known.index)

    def _tokens(self, data: Ragged) -> Ints:
        """Return the token of each event, shape (events,)."""
        return self.vocabulary_.tokens(data.ids)

    @abstractmethod
    def _feed(self, before: Ints) -> dict[str, Any]:
        """Return the network's inputs for tokens of shape (m, window); those that followed are added."""

    def _predicted(self, known: Histories) -> tuple[Floats, Floats]:
        """Return ln p of what followed each history, and how many tokens were more probable, both of shape (m,)."""
        log_p, rank = np.empty(len(known)), np.empty(len(known))
        for at in range(0, len(known), _BATCH):
            part = slice(at, at + _BATCH)
            feed = self._feed(known.before[part]) | {"next": known.next[part]}
            log_p[part], rank[part] = self._run(["log_p", "rank"], feed)
        return log_p, rank

    def _of_events(self, data: Ragged) -> tuple[Floats, Floats, Floats, Floats]:
        """Return the score and the probability of each event, shape (events,), and of each end, shape (n,)."""
        tokens = self._tokens(data)
        known = histories(data, tokens, self.window)
        log_p, rank = self._predicted(known)
        new = known.next == UNKNOWN
        surprise = np.where(new, MOST, np.minimum(-log_p, MOST))
        p = np.where(new, 0.0, np.exp(log_p))
        missed = new | (rank >= self.top)
        short = (data.lengths <= self.window) & (data.lengths < self.shortest_)
        missed = np.concatenate([missed[known.index[: len(data.ids)]], missed[known.index[len(data.ids) :]] | short])
        surprise, p = surprise[known.index], p[known.index]
        score = np.where(missed, self.top + surprise, self.top * surprise / (1 + surprise))
        n = len(data.ids)
        return score[:n], p[:n], score[n:], p[n:]

    def _judged(self, data: Ragged) -> tuple[Floats, Floats, Ints, Floats, Floats]:
        """Return what each event and each end scores, and why.

        Returns:
            Of each event its score, probability and kind of evidence (a position in ``kinds``), shape (events,); of
            each end its score and probability, shape (n,).
        """
        score, p, end, p_end = self._of_events(data)
        kind = np.where(self._tokens(data) == UNKNOWN, 1, 0)
        return score, p, kind, end, p_end

    def _score(self, data: Ragged) -> Floats:
        score, _, _, end, _ = self._judged(data)
        return np.maximum(segment_max(score, data.rows, len(data)), end)

    def event_scores(self, X: pl.DataFrame) -> pl.Series:
        """Return a list a row of ``X``: what each event scores, on the scale of the whole; ends are left out."""
        data = self._taken(X)
        return data.lists(self._judged(data)[0]).alias(self.name)

    def _evidence(self, data: Ragged) -> dict[str, Any]:
        score, p, kind, end, p_end = self._judged(data)
        worst = segment_argmax(score, data.rows, len(data))
        # The last event stands for an end.
        last = np.where(data.lengths > 0, data.offsets[1:] - 1, -1)
        padded = np.append(score, -np.inf)
        ends = end > padded[worst]
        at = np.where(ends, last, worst)
        some = at >= 0
        ids, p, kind = np.append(data.ids, 0), np.append(p, 1.0), np.append(kind, 0)
        return {
            "kind": np.array(self.kinds)[np.where(ends, 2, kind[at])],
            "template": pl.Series(ids[at]).cast(pl.UInt32).set(pl.Series(~some), None),
            "event": pl.Series(at - data.offsets[:-1]).clip(0).cast(pl.UInt32).set(pl.Series(~some), None),
            "seen": some.astype(float),
            "usual": np.zeros(len(data)),
            "share": np.minimum(np.where(ends, p_end, p[at]), 1.0),
        }

    def expected(self, codes: Ints, event: int, k: int = 3) -> list[tuple[int | None, float]]:
        """Return the ``k`` most likely events at place ``event`` of a sequence, with their probabilities.

        None stands for the end of the sequence.
        """
        data = Ragged.from_lists([list(codes[:event])])
        before = histories(data, self._tokens(data), self.window)
        at = before.index[-1:]
        feed = self._feed(before.before[at]) | {"next": before.next[at]}
        every = self._run(["all"], feed)[0][0]
        best = [int(t) for t in np.argsort(-every, kind="stable") if t != UNKNOWN][:k]
        codes_of = self.vocabulary_.codes
        return [(None if t == PAD else int(codes_of[t - UNKNOWN - 1]), float(np.exp(every[t]))) for t in best]

    def _learned(self) -> State:
        codes = pl.DataFrame({"code": self.vocabulary_.codes})
        return State({"shortest": self.shortest_}, {"vocabulary": codes})

    def _take(self, state: State) -> None:
        self.vocabulary_ = Vocabulary(state.frames["vocabulary"]["code"].to_numpy())
        self.shortest_ = int(state.values["shortest"])

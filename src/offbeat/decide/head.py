"""What answers teach: a nearest-neighbour head over answered units, and which units to ask about.

Few answers must do, and a head must not guess about what nobody was asked. So it has an opinion only of units close to
answered ones: in which templates they hold how often, and in what each view said of them. Nearest neighbours on count
vectors hold their own against networks on the public sets once there are labels (LightAD: Yu et al., ICSE 2024).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from offbeat.decide.alike import LINKED, bray_curtis

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]

#: How far an answer may reach, in units of ``distance``; answers themselves say how far it should.
REACHES: Final = (LINKED, 0.1, 0.2)
#: What a nat of the view that differs most adds to the distance.
PER_NAT: Final = 0.02
#: So many neighbours are asked.
_NEIGHBOURS: Final = 3
#: The head is used when its changes are right so often that chance would do it with at most this probability.
SURE: Final = 0.05
#: Neighbours that disagree more than this say nothing.
_AGREE: Final = 0.7
#: An unflagged unit may be raised by a confirmed one that is stranger by no more than this, in nats.
_BELOW: Final = 1.0
#: What doubt about a unit that the model does not flag weighs: nobody is woken by it.
_UNFLAGGED: Final = 0.5
#: What is left of the doubt about a unit once one within reach is answered.
_LEFT: Final = 0.25

QUIET, SILENT, RAISED = -1, 0, 1


@dataclass(frozen=True)
class Features:
    """What is known of n units.

    Attributes:
        counts: how often each template occurs, shape (n, templates).
        nats: the surprise of each view, shape (n, views).
        score: fused, in nats, shape (n,).
        flagged: whether the model alarms, shape (n,).
    """

    counts: Floats
    nats: Floats
    score: Floats
    flagged: Bools

    def __len__(self) -> int:
        return len(self.score)

    def take(self, rows: Ints | Bools) -> Self:
        """Return some of the units."""
        return type(self)(self.counts[rows], self.nats[rows], self.score[rows], self.flagged[rows])


def distance(a: Features, b: Features) -> Floats:
    """Return how unlike units are, shape (len(a), len(b)).

    Bray-Curtis dissimilarity of ``log1p`` counts, plus ``PER_NAT`` for each nat of the view on which they differ most.
    """
    out = bray_curtis(a.counts, b.counts)
    for j in range(len(b)):  # a column at a time, as there
        out[:, j] += PER_NAT * np.abs(a.nats - b.nats[j]).max(axis=1, initial=0.0)
    return out


@dataclass(frozen=True)
class Gain:
    """What cross-validation says of a head: each answer judged by the others.

    Attributes:
        answers: how many there are.
        mended: answers on which the model was wrong, and the head is right.
        broken: answers on which the model was right, and the head is wrong.
        model_f1, head_f1: of alarms against answers.
        chance: the probability that as many changes would be right had as many answers been turned at random (binomial,
            one-sided).
    """

    answers: int
    mended: int
    broken: int
    model_f1: float
    head_f1: float
    chance: float

    @property
    def worth(self) -> int:
        """What it mends, less what it breaks; a broken verdict weighs double, for it was trusted."""
        return self.mended - 2 * self.broken

    @property
    def is_real(self) -> bool:
        """Whether the head is worth using."""
        return self.worth > 0 and self.chance <= SURE


@dataclass(frozen=True)
class Head:
    """Judges units by the answers to those most like them.

    Attributes:
        known: the answered units.
        real: which of them are anomalies, shape (answers,).
        reach: how far an answer reaches.
        gain: what it is worth.
    """

    known: Features
    real: Bools
    reach: float = REACHES[0]
    gain: Gain = field(default_factory=lambda: Gain(0, 0, 0, 0.0, 0.0, 1.0))

    @classmethod
    def fit(cls, known: Features, real: Bools) -> Self:
        """Learn from answered units: find how far an answer reaches, and whether that helps.

        The reach is the shortest with which the answers, each judged by the others, show a real gain; where none does,
        the one that mends most and breaks least. Chosen by the answers that judge it, ``gain`` is a little kind.
        """
        apart = distance(known, known)
        np.fill_diagonal(apart, np.inf)
        made = [cls(known, real, reach)._judged(apart) for reach in REACHES]
        best = max(range(len(made)), key=lambda i: (made[i].is_real, made[i].is_real * -i, made[i].worth, -i))
        return cls(known, real, REACHES[best], made[best])

    def _judged(self, apart: Floats) -> Gain:
        verdict = self._opinion(self.known, apart)
        after = np.where(verdict == SILENT, self.known.flagged, verdict == RAISED)
        changed = after != self.known.flagged
        mended, broken = int((changed & (after == self.real)).sum()), int((changed & (after != self.real)).sum())
        n = mended + broken
        # Answers turned at random would be right as often as the model was wrong, and a coin at best.
        luck = min(float((self.known.flagged != self.real).mean()) if len(self.real) else 0.5, 0.5)
        chance = sum(comb(n, k) * luck**k * (1 - luck) ** (n - k) for k in range(mended, n + 1))
        return Gain(len(self.real), mended, broken, _f1(self.known.flagged, self.real), _f1(after, self.real), chance)

    def judge(self, units: Features) -> Ints:
        """Return QUIET, SILENT or RAISED for each unit, shape (n,); SILENT leaves the model's verdict."""
        return self._opinion(units, distance(units, self.known))

    def _opinion(self, units: Features, apart: Floats) -> Ints:
        """Return the verdicts of units that are so far ``apart`` from the answered ones, shape (n, answers)."""
        if not len(self.real) or not len(units):
            return np.zeros(len(units), dtype=np.int64)
        nearest = np.argsort(apart, axis=1, kind="stable")[:, :_NEIGHBOURS]
        near = np.take_along_axis(apart, nearest, axis=1)
        weight = np.where(near <= self.reach, np.exp(-near / (self.reach / 2)), 0.0)
        whole = weight.sum(axis=1)
        share = (weight * self.real[nearest]).sum(axis=1) / np.maximum(whole, 1e-300)
        # The nearest that was confirmed says up to where below it the same is meant.
        bound = np.where((weight > 0) & self.real[nearest], self.known.score[nearest], np.inf).min(axis=1)
        raised = (share >= _AGREE) & (units.flagged | (units.score >= bound - _BELOW))
        said = np.where(share <= 1 - _AGREE, QUIET, np.where(raised, RAISED, SILENT))
        return np.where(whole > 0, said, SILENT).astype(np.int64)


def _f1(flagged: Bools, real: Bools) -> float:
    both = float((flagged & real).sum())
    return 2 * both / max(float(flagged.sum() + real.sum()), 1.0)


def worth_asking(units: Features, threshold: float, n: int, known: Features | None = None) -> Ints:
    """Return which units to ask about, those whose answers teach most first; at most ``n``.

    There is most doubt at the threshold, and a nat below it units are e times as frequent. An answer settles most of it
    for all that is like the unit, so each question is the one that settles most of what is left: a greedy choice that
    covers (facility location: Wei, Iyer and Bilmes, ICML 2015). Asking twice about many alike is a check on the first
    answer.

    Args:
        units: to choose from.
        threshold: from which score on the model alarms, in nats.
        n: how many to ask at most.
        known: units that are answered already.
    """
    reach = REACHES[0]
    apart = distance(units, units)
    covers = np.clip(1 - apart / reach, 0.0, 1.0)
    beyond = units.score - threshold
    doubt = np.where(units.flagged, 1.0 / (1.0 + np.abs(beyond)), _UNFLAGGED * np.exp(np.minimum(beyond, 0.0)))
    if known is not None and len(known):
        doubt = doubt * (_LEFT ** np.clip(1 - distance(units, known) / reach, 0.0, 1.0)).prod(axis=1)
    chosen: list[int] = []
    free = np.ones(len(units), dtype=bool)
    while len(chosen) < min(n, len(units)):
        settled = np.where(free, covers @ doubt, -1.0)
        best = int(settled.argmax())
        chosen.append(best)
        free[best] = False
        doubt = doubt * _LEFT ** covers[best]
    return np.array(chosen, dtype=np.int64)


def as_plain(gain: Gain) -> dict[str, Any]:
    """Return what a head is worth as plain values."""
    return {
        "answers": gain.answers,
        "mended": gain.mended,
        "broken": gain.broken,
        "model_f1": round(gain.model_f1, 4),
        "head_f1": round(gain.head_f1, 4),
        "chance": round(gain.chance, 6),
        "used": gain.is_real,
    }

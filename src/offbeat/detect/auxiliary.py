"""Logs of the other class: of other systems, where the user has some, and else made from the user's own."""

from __future__ import annotations

import gzip
from dataclasses import dataclass

import numpy as np

from offbeat.detect.meaning import words
from offbeat.detect.ragged import Ints, Ragged
from offbeat.errors import OptionError

#: Lines read of an auxiliary log, and distinct ones kept.
_LINES, _DISTINCT = 50_000, 1_000


def read_lines(path: str) -> tuple[list[str], Ints]:
    """Return the distinct lines of a log by their words, and the log as positions among them.

    Args:
        path: of a text file of log lines in any format; compressed with gzip where it ends in ``.gz``.

    Raises:
        OptionError: the file cannot be read, or holds no words.
    """
    where = "--param auxiliary"
    texts: dict[str, int] = {}
    order = []
    try:
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8", errors="replace") as lines:
            for _, line in zip(range(_LINES), lines, strict=False):
                text = " ".join(words(line))
                if text and (text in texts or len(texts) < _DISTINCT):
                    order.append(texts.setdefault(text, len(texts)))
    except (OSError, EOFError) as error:
        raise OptionError(
            f"{path} cannot be read as a log of another system: {getattr(error, 'strerror', None) or error}",
            where=where,
        ) from None
    if not order:
        raise OptionError(f"{path} holds no line with words", where=where)
    return list(texts), np.array(order, dtype=np.int64)


@dataclass(frozen=True)
class Auxiliary:
    """Makes sequences of the other class.

    From a log of another system, stretches of it, as long as the user's sequences are. Without one, the user's own
    sequences, each altered in one of these ways, by chance: a stretch shuffled; events replaced by others of the
    vocabulary; events replaced by strangers, whose meaning is random; a stretch cut out, or repeated; the end or the
    beginning cut off; a sequence that goes on as another one does. What happens to be one of the user's sequences all
    the same is altered again.

    Attributes:
        data: the user's sequences as tokens.
        known: tokens of the vocabulary, ``FIRST`` and up.
        strangers: tokens of random meaning.
        other: a log of another system as tokens; empty for none.
    """

    data: Ragged
    known: Ints
    strangers: Ints
    other: Ints

    def make(self, which: Ints, rng: np.random.Generator) -> list[Ints]:
        """Return one sequence of tokens for each of the user's at the positions ``which``."""
        usual = self._usual
        out = []
        for i in which:
            one = self._of(int(i))
            made = self._alter(one, rng)
            for _ in range(5):
                if made.tobytes() not in usual:
                    break
                made = self._alter(made, rng)
            # Where alterations come back to what is usual, strangers never do.
            out.append(made if made.tobytes() not in usual else self._strange(one, rng))
        return out

    @property
    def _usual(self) -> frozenset[bytes]:
        found = self.__dict__.get("_seen")
        if found is None:
            found = frozenset(self._of(i).tobytes() for i in range(len(self.data)))
            self.__dict__["_seen"] = found
        return found

    def _of(self, i: int) -> Ints:
        return self.data.ids[self.data.offsets[i] : self.data.offsets[i + 1]]

    def _alter(self, one: Ints, rng: np.random.Generator) -> Ints:
        if len(self.other) and rng.random() < 0.5:
            start = int(rng.integers(0, max(len(self.other) - len(one), 0) + 1))
            return self.other[start : start + max(len(one), 1)]
        if len(one) < 2:
            return self._strange(one, rng) if rng.random() < 0.5 else rng.choice(self._any, size=len(one) + 2)
        ways = (self._shuffle, self._replace, self._strange, self._cut, self._repeat, self._shorten, self._splice)
        return ways[int(rng.integers(len(ways)))](one, rng)

    @property
    def _any(self) -> Ints:
        return self.known if len(self.known) else self.strangers

    def _stretch(self, n: int, rng: np.random.Generator, most: int) -> tuple[int, int]:
        size = int(rng.integers(1, min(n, most) + 1))
        start = int(rng.integers(0, n - size + 1))
        return start, start + size

    def _shuffle(self, one: Ints, rng: np.random.Generator) -> Ints:
        a, b = self._stretch(len(one), rng, len(one))
        out = one.copy()
        out[a:b] = rng.permutation(out[a:b])
        return out

    def _replace(self, one: Ints, rng: np.random.Generator) -> Ints:
        return self._put(one, self._any, rng)

    def _strange(self, one: Ints, rng: np.random.Generator) -> Ints:
        return self._put(one if len(one) else self.strangers[:1], self.strangers, rng)

    def _put(self, one: Ints, tokens: Ints, rng: np.random.Generator) -> Ints:
        many = max(1, round(len(one) * rng.random() ** 2))
        out = one.copy()
        out[rng.choice(len(one), size=many, replace=False)] = rng.choice(tokens, size=many)
        return out

    def _cut(self, one: Ints, rng: np.random.Generator) -> Ints:
        a, b = self._stretch(len(one), rng, max(1, len(one) // 2))
        return np.delete(one, slice(a, b))

    def _repeat(self, one: Ints, rng: np.random.Generator) -> Ints:
        a, b = self._stretch(len(one), rng, 3)
        return np.concatenate([one[:b], *[one[a:b]] * int(rng.integers(1, 4)), one[b:]])

    def _shorten(self, one: Ints, rng: np.random.Generator) -> Ints:
        at = int(rng.integers(1, len(one)))
        return one[:at] if rng.random() < 0.7 else one[at:]

    def _splice(self, one: Ints, rng: np.random.Generator) -> Ints:
        other = self._of(int(rng.integers(len(self.data))))
        return np.concatenate([one[: rng.integers(1, len(one))], other[rng.integers(0, len(other) + 1) :]])


def as_tokens(count: int, start: int) -> Ints:
    """Return ``count`` tokens from ``start`` on."""
    return np.arange(start, start + count, dtype=np.int64)

"""Learning templates: shapes are counted as lines stream by, and the tree looks at distinct shapes once at the end."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.mine import mask
from offbeat.mine.catalog import EMPTY, Catalog, Keys, coarse
from offbeat.mine.limits import Limits
from offbeat.mine.packed import by_shape, pack
from offbeat.mine.seeds import Seeds
from offbeat.mine.tokens import ANY, EARLY, WILD, Pieces, cut
from offbeat.mine.tree import partition

_HEAD: Final = re.compile(r"^[^\w\s<>]*")
_TAIL: Final = re.compile(r"[^\w\s<>]*$")


class Miner:
    """Learns a catalog of templates from messages.

    Args:
        seeds: templates given by the user, honoured first; variable parts as ``<*>`` or ``<name>``.
        limits: what mining may grow to.
        catalog: an older catalog to go on from; its codes, ids and texts are kept and new templates appended.

    Raises:
        OptionError: a seed has no word of its own.
    """

    def __init__(
        self,
        *,
        seeds: Sequence[str] = (),
        limits: Limits = Limits(),  # noqa: B008 - frozen, so sharing it is harmless
        catalog: Catalog | None = None,
    ) -> None:
        self.seeds = tuple(Seeds(seeds).texts)
        self.limits = limits
        self.catalog = catalog
        self._shapes: list[str] = []
        self._codes: dict[str, int] = {}
        self._coarse: dict[str, int] = {}
        self._counts: NDArray[np.uint64] = np.zeros(0, dtype=np.uint64)
        self._coarsened = 0
        self._templates: NDArray[np.uint32] | None = None

    @staticmethod
    def shapes(messages: pl.Series, limits: Limits = Limits()) -> pl.Series:  # noqa: B008 - frozen
        """Return the shape of each message; stateless and safe in any thread. See ``mask.shapes`` and ``pack``."""
        return pack(mask.shapes(messages, limits.line))

    def encode(self, shapes: pl.Series) -> pl.Series:
        """Return the UInt32 code of each shape, growing the dictionary and the counts.

        Args:
            shapes: as ``shapes`` gives them, or String; null is the empty shape.
        """
        codes, met, rows = by_shape(shapes, self._code)
        counts = np.zeros(len(self._shapes), dtype=np.uint64)
        counts[: len(self._counts)] = self._counts
        np.add.at(counts, met, rows.astype(np.uint64))
        self._counts = counts
        self._templates = None
        return codes.alias("shape")

    def learn(self) -> Catalog:
        """Mine the distinct shapes and return the catalog; it does not depend on the order the lines arrived in."""
        if self.catalog is not None:
            catalog = self.catalog.copy(self.limits, self.seeds)
        else:
            catalog = Catalog(self.limits, self.seeds)
        catalog.counters.shapes += self._coarsened
        entries: list[tuple[str, Pieces, int]] = []
        for shape, count in sorted(zip(self._shapes, self._counts.tolist(), strict=True)):
            catalog.counters.line += count if shape.endswith(mask.CUT) else 0
            pieces = catalog.cut(shape)
            code = catalog.find(shape, pieces.keys)
            if code is None:
                entries.append((shape, pieces, count))
            else:
                catalog.counts[code] += count
                catalog.link(shape, code)
        _grow(catalog, entries)
        catalog.known = len(catalog)
        self._templates = catalog.match(pl.Series(self._shapes, dtype=pl.String)).to_numpy()
        return catalog

    def templates(self, codes: pl.Series) -> pl.Series:
        """Return the template code (UInt32) of each shape code; what is not yet learned is learned first."""
        if self._templates is None:
            self.learn()
        assert self._templates is not None  # noqa: S101 - learn sets it
        return pl.Series("template", self._templates[codes.to_numpy()], dtype=pl.UInt32)

    def _code(self, shape: str) -> int:
        """Return the code of a shape: a new one while there is room, then that of its coarse form."""
        code = self._codes.get(shape)
        if code is not None:
            return code
        if len(self._codes) < self.limits.shapes:
            return self._add(shape, self._codes)
        self._coarsened += 1
        rough = coarse(shape)
        if rough not in self._coarse and len(self._coarse) >= self.limits.coarse:
            rough = mask.CUT.strip()
        code = self._coarse.get(rough)
        return self._add(rough, self._coarse) if code is None else code

    def _add(self, shape: str, codes: dict[str, int]) -> int:
        codes[shape] = len(self._shapes)
        self._shapes.append(shape)
        if codes[shape] < EARLY:
            cut(shape, self.limits.tokens)
        return codes[shape]


def generalise(catalog: Catalog, counts: Mapping[int, int]) -> dict[int, int]:
    """Make one of the templates met after learning that would be one, had they been there to learn from.

    What fits no template makes one by itself, so each word in the variable part of a new statement does.

    Args:
        catalog: is changed; of each group the commonest stands for all.
        counts: lines by code, of the templates to look at.

    Returns:
        The codes that stand for nothing from now on, and those they became.
    """
    met = {code for code in counts if code >= catalog.known}
    if len(met) < 2:
        return {}
    entries = [(shape, catalog.cut(shape), code) for shape, code in catalog.shapes_of(met)]
    lines: Counter[Keys] = Counter()
    for _, pieces, code in entries:
        lines[pieces.keys] = counts[code]
    patterns = partition(lines)
    groups: Mapping[Keys, list[tuple[Pieces, int]]] = defaultdict(list)
    for _, pieces, code in entries:
        groups[patterns[pieces.keys]].append((pieces, code))
    # As in learning, what comes to the same text is one template.
    same: Mapping[str, tuple[list[Keys], set[int]]] = defaultdict(lambda: ([], set()))
    for pattern in sorted(groups):
        found, codes = same[_text(pattern, [pieces for pieces, _ in groups[pattern]])]
        found.append(pattern)
        codes.update(code for _, code in groups[pattern])
    return catalog.merge(
        (sorted(codes, key=lambda code: (-counts[code], code)), found, text)
        for text, (found, codes) in same.items()
        if len(codes) > 1
    )


def _grow(catalog: Catalog, entries: Sequence[tuple[str, Pieces, int]]) -> None:
    """Append the templates of shapes that fit none: commonest first, so that codes do not depend on arrival."""
    lines: Counter[Keys] = Counter()
    for _, pieces, count in entries:
        lines[pieces.keys] += count
    patterns = partition(lines)
    groups: Mapping[Keys, list[tuple[str, Pieces]]] = defaultdict(list)
    total: Counter[Keys] = Counter()
    for shape, pieces, count in entries:
        pattern = patterns[pieces.keys]
        groups[pattern].append((shape, pieces))
        total[pattern] += count
    for pattern in sorted(groups, key=lambda p: (-total[p], p)):
        members = groups[pattern]
        code = catalog.add(_text(pattern, [pieces for _, pieces in members]), pattern)
        catalog.counts[code] += total[pattern]
        for shape, _ in members:
            catalog.link(shape, code)


def _text(pattern: Keys, members: Sequence[Pieces]) -> str:
    """Return the text of a template from all that it stands for."""
    columns = zip(*(pieces.shown for pieces in members), strict=True)
    return "".join(_shown(words, key == WILD) for key, words in zip(pattern, columns, strict=True)) or EMPTY


def _shown(words: Sequence[str], wild: bool) -> str:
    """Return what all the words show, or ``<*>`` between the punctuation that all begin and end with."""
    if not wild and len(set(words)) == 1:
        return words[0]
    heads = {match.group() for word in words if (match := _HEAD.search(word))}
    tails = {match.group() for word in words if (match := _TAIL.search(word))}
    head = heads.pop() if len(heads) == 1 else ""
    tail = tails.pop() if len(tails) == 1 else ""
    return ANY if head in words else head + ANY + tail

"""The catalog: templates with codes and ids that never change meaning, and the shapes known to belong to them."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
import polars as pl

from offbeat.mine.limits import Counters, Limits
from offbeat.mine.mask import CUT
from offbeat.mine.tokens import ANY, WILD, Pieces, cut, skeleton

OVERFLOW: Final = ANY
EMPTY: Final = "<empty>"
_HEAD: Final = re.compile(r"^[^\w\s<>]*")
_TAIL: Final = re.compile(r"[^\w\s<>]*$")
_SEPARATOR: Final = "\x1f"


def template_id(text: str) -> str:
    """Return the id a template gets when it is made: ``t`` and 8 hex digits of BLAKE2s over its text."""
    return "t" + hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


class Catalog:
    """Template codes, ids and texts, and how a shape finds its template.

    Attributes:
        known: templates the model was learned with; codes at or above it were met after.
        texts: template texts by code.
        ids: template ids by code.
        counts: lines seen by code.
        counters: how often each limit was met.
    """

    def __init__(self, limits: Limits = Limits()) -> None:  # noqa: B008 - frozen, so sharing it is harmless
        self.limits = limits
        self.counters = Counters()
        self.known = 0
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.counts: list[int] = []
        self.patterns: list[tuple[str, ...]] = []
        self._by_id: dict[str, int] = {}
        self._exact: dict[tuple[str, ...], int] = {}
        self._index: dict[str, dict[tuple[int, ...], dict[tuple[str, ...], int]]] = defaultdict(dict)
        self._shapes: dict[str, int] = {}
        self._frame: pl.DataFrame | None = None

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def frame(self) -> pl.DataFrame:
        """One row a template: ``code`` UInt32, ``template_id`` String, ``template`` String, ``count`` UInt64."""
        return pl.DataFrame(
            {
                "code": pl.Series(range(len(self)), dtype=pl.UInt32),
                "template_id": pl.Series(self.ids, dtype=pl.String),
                "template": pl.Series(self.texts, dtype=pl.String),
                "count": pl.Series(self.counts, dtype=pl.UInt64),
            }
        )

    def add(self, text: str, pattern: tuple[str, ...], count: int = 0) -> int:
        """Append a template (or find the one with this pattern) and return its code."""
        code = self._exact.get(pattern)
        if code is not None:
            return code
        if len(self.texts) >= self.limits.templates and text != OVERFLOW:
            self.counters.templates += 1
            return self.add(OVERFLOW, (OVERFLOW,))
        code = len(self.texts)
        name = template_id(text)
        while name in self._by_id:  # another pattern with the same text, or a collision of the hash
            name = template_id(name + text)
        self._by_id[name] = code
        self.ids.append(name)
        self.texts.append(text)
        self.counts.append(count)
        self.patterns.append(pattern)
        self._exact[pattern] = code
        places = tuple(i for i, key in enumerate(pattern) if key == WILD)
        if places:
            words = tuple(key for key in pattern if key != WILD)
            self._index[skeleton(pattern)].setdefault(places, {})[words] = code
        return code

    def link(self, shape: str, code: int) -> None:
        """Remember that a shape belongs to a template."""
        if len(self._shapes) < self.limits.shapes + self.limits.overflow:
            self._shapes[shape] = code
            self._frame = None

    def find(self, keys: tuple[str, ...]) -> int | None:
        """Return the template whose pattern covers the keys, the one with the fewest wild places first."""
        code = self._exact.get(keys)
        if code is not None:
            return code
        places = self._index.get(skeleton(keys))
        if not places:
            return None
        for wild in sorted(places, key=lambda w: (len(w), w)):
            gaps = set(wild)
            code = places[wild].get(tuple(key for i, key in enumerate(keys) if i not in gaps))
            if code is not None:
                return code
        return None

    def match(self, shapes: pl.Series) -> pl.Series:
        """Return the template code of each shape; a shape that fits no template appends a new one.

        Args:
            shapes: String, as ``Miner.shapes`` gives them; null is the empty shape.

        Returns:
            UInt32 of the same length; codes from ``known`` on were met after learning.
        """
        frame = shapes.fill_null("").alias("shape").to_frame()
        found = frame.join(self._lookup(), on="shape", how="left", maintain_order="left")
        if found["code"].has_nulls():
            fresh = found.filter(pl.col("code").is_null())["shape"].unique(maintain_order=True)
            codes = [self._place(shape) for shape in fresh]
            extra = pl.DataFrame({"shape": fresh, "fresh": pl.Series(codes, dtype=pl.UInt32)})
            found = found.join(extra, on="shape", how="left", maintain_order="left").with_columns(
                pl.coalesce("code", "fresh")
            )
        return found["code"].alias("template")

    def _place(self, shape: str) -> int:
        """Find or make the template of one shape not seen before."""
        pieces, met = cut(shape, self.limits.tokens)
        self.counters.tokens += met
        self.counters.line += shape.endswith(CUT)
        code = self.find(pieces.keys)
        if code is None:
            code = self.add("".join(pieces.shown) or EMPTY, pieces.keys)
        self.link(shape, code)
        return code

    def _lookup(self) -> pl.DataFrame:
        if self._frame is None:
            self._frame = pl.DataFrame(
                {
                    "shape": pl.Series(list(self._shapes), dtype=pl.String),
                    "code": pl.Series(list(self._shapes.values()), dtype=pl.UInt32),
                }
            )
        return self._frame

    def to_frames(self) -> dict[str, pl.DataFrame]:
        """Return the catalog as frames to be saved as Parquet: ``templates`` and ``shapes``."""
        templates = self.frame.with_columns(
            pl.Series("pattern", [_SEPARATOR.join(p) for p in self.patterns], dtype=pl.String),
            pl.Series("known", np.arange(len(self)) < self.known, dtype=pl.Boolean),
        )
        return {"templates": templates, "shapes": self._lookup()}

    @classmethod
    def from_frames(cls, frames: dict[str, pl.DataFrame], limits: Limits = Limits()) -> Catalog:  # noqa: B008
        """Restore what ``to_frames`` gave: same codes, ids, texts, counts, shapes."""
        catalog = cls(limits)
        rows = frames["templates"].select("template_id", "template", "count", "pattern", "known")
        for name, text, count, pattern, known in rows.iter_rows():
            catalog._restore(name, text, count, tuple(pattern.split(_SEPARATOR)))
            catalog.known += known
        shapes = frames["shapes"]
        catalog._shapes = dict(zip(shapes["shape"].to_list(), shapes["code"].to_list(), strict=True))
        return catalog

    def _restore(self, name: str, text: str, count: int, pattern: tuple[str, ...]) -> None:
        code = self.add(text, pattern, count)
        del self._by_id[self.ids[code]]
        self.ids[code] = name
        self._by_id[name] = code


def grow(catalog: Catalog, shapes: Sequence[tuple[str, Pieces, int]], patterns: Iterable[tuple[str, ...]]) -> None:
    """Give every shape its template: those of one pattern share what they all show, and ``<*>`` elsewhere.

    Args:
        catalog: grows by the new templates, commonest first.
        shapes: (shape, pieces, lines), sorted by shape.
        patterns: the pattern of each.
    """
    groups: dict[tuple[str, ...], list[tuple[str, Pieces, int]]] = defaultdict(list)
    for entry, pattern in zip(shapes, patterns, strict=True):
        groups[pattern].append(entry)
    total = {pattern: sum(count for _, _, count in members) for pattern, members in groups.items()}
    for pattern in sorted(groups, key=lambda p: (-total[p], p)):
        members = groups[pattern]
        code = catalog.add(_text(pattern, [pieces for _, pieces, _ in members]), pattern)
        catalog.counts[code] += total[pattern]
        for shape, _, _ in members:
            catalog.link(shape, code)


def _text(pattern: tuple[str, ...], members: Sequence[Pieces]) -> str:
    """Return the template's text."""
    return "".join(_shown([m.shown[i] for m in members], key == WILD) for i, key in enumerate(pattern)) or EMPTY


def _shown(words: Sequence[str], wild: bool) -> str:
    """Return what all the words show, or ``<*>`` between the punctuation they all begin and end with."""
    if not wild and len(set(words)) == 1:
        return words[0]
    heads = {_HEAD.search(word).group() for word in words}  # type: ignore[union-attr]
    tails = {_TAIL.search(word).group() for word in words}  # type: ignore[union-attr]
    head, tail = "".join(heads) if len(heads) == 1 else "", "".join(tails) if len(tails) == 1 else ""
    return ANY if head in words else head + ANY + tail


__all__ = ["EMPTY", "OVERFLOW", "Catalog", "grow", "template_id"]

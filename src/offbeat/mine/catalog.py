"""The catalog: templates with codes and ids that never change meaning, and the shapes known to belong to them."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

import numpy as np
import polars as pl

from offbeat.errors import ModelError, OptionError
from offbeat.mine.limits import Counters, Limits, warnings
from offbeat.mine.mask import CUT
from offbeat.mine.packed import by_shape
from offbeat.mine.seeds import Seeds
from offbeat.mine.tokens import ANY, VALUE, WILD, Pieces, cut, is_word, skeleton

EMPTY: Final = "<empty>"
Keys = tuple[str, ...]


def template_id(text: str) -> str:
    """Return the id a template gets when it is made: ``t`` and 8 hex digits of BLAKE2s (RFC 7693) over its text."""
    return "t" + hashlib.blake2s(text.encode("utf-8", "surrogatepass"), digest_size=4).hexdigest()


def coarse(shape: str) -> str:
    """Return what is left of a shape where there are too many of them: its first two words."""
    return " ".join([*shape.split(maxsplit=2)[:2], CUT.strip()])


class _Index:
    """Patterns by the words that are not wild: skeleton → wild places → the other pieces → code."""

    def __init__(self) -> None:
        self._codes: dict[str, dict[tuple[int, ...], dict[Keys, int]]] = defaultdict(dict)

    def add(self, pattern: Keys, places: tuple[int, ...], code: int) -> None:
        if places:
            self._codes[skeleton(pattern)].setdefault(places, {}).setdefault(_without(pattern, places), code)

    def find(self, keys: Keys) -> int | None:
        """Return the code of the pattern with the fewest wild places that covers the keys."""
        if not self._codes:
            return None
        candidates = self._codes.get(skeleton(keys), {})
        for places in sorted(candidates, key=lambda places: (len(places), places)):
            code = candidates[places].get(_without(keys, places))
            if code is not None:
                return code
        return None


def _without(keys: Keys, places: tuple[int, ...]) -> Keys:
    gaps = set(places)
    return tuple(key for i, key in enumerate(keys) if i not in gaps)


class Catalog:
    """Template codes, ids and texts, and how a shape finds its template.

    Attributes:
        known: templates there were when learning ended; codes from it on were met after.
        texts: template texts by code.
        ids: template ids by code; each is derived from the text the template was made with, and kept for ever.
        counts: lines seen while learning, by code.
        counters: how often each limit was met.
        merged: codes met after learning that stand for nothing any more, and those they became; see ``merge``.
    """

    def __init__(self, limits: Limits = Limits(), seeds: Iterable[str] = ()) -> None:  # noqa: B008 - frozen
        self.limits = limits
        self.counters = Counters()
        self.known = 0
        self.texts: list[str] = []
        self.ids: list[str] = []
        self.counts: list[int] = []
        self.merged: dict[int, int] = {}
        self._by_id: dict[str, int] = {}
        self._by_text: dict[str, int] = {}
        self._by_pattern: dict[Keys, int] = {}
        self._wild = _Index()
        self._loose = _Index()
        self._shapes: dict[str, int] = {}
        self._seeds = Seeds()
        self._add_seeds(seeds)

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

    @property
    def stats(self) -> dict[str, int]:
        """How much there is: templates, those known, shapes, templates seen once, and how often each limit was met."""
        limits = {f"over_{name}": count for name, count in self.counters.as_dict().items()}
        return {
            "templates": len(self),
            "known": self.known,
            "shapes": len(self._shapes),
            "once": self.counts.count(1),
            **limits,
        }

    @property
    def warnings(self) -> list[str]:
        """A sentence for each sign that mining goes badly."""
        return warnings(self.counters, len(self), self.counts.count(1))

    def code(self, name: str) -> int | None:
        """Return the code of a template id, or None."""
        return self._by_id.get(name)

    def match(self, shapes: pl.Series) -> pl.Series:
        """Return the template code of each shape; one that fits no template appends a new template.

        Args:
            shapes: as ``Miner.shapes`` gives them, or String; null is the empty shape.

        Returns:
            UInt32 of the same length; codes from ``known`` on were met after learning.
        """
        codes, _, _ = by_shape(shapes, self._place)
        return codes.alias("template")

    def find(self, shape: str, keys: Keys) -> int | None:
        """Return the template of a shape: known, a seed, its own pattern, one with wild places, one with values."""
        if shape in self._shapes:
            return self._shapes[shape]
        seed = self._seeds.find(shape)
        if seed is not None:
            return self._by_text[seed]
        for code in (self._by_pattern.get(keys), self._wild.find(keys), self._loose.find(keys)):
            if code is not None:
                return self.merged.get(code, code)
        return None

    def cut(self, shape: str) -> Pieces:
        """Cut a shape within the limits, counting where one is met."""
        pieces, met = cut(shape, self.limits.tokens)
        self.counters.tokens += met
        return pieces

    def add(self, text: str, pattern: Keys, count: int = 0) -> int:
        """Append a template, or find the one with this pattern or text; beyond the limit, the one template ``<*>``."""
        code = self._by_pattern.get(pattern)
        if code is None:
            code = self._by_text.get(text)
        if code is None and len(self.texts) >= self.limits.templates and text != ANY:
            self.counters.templates += 1
            return self.add(ANY, (ANY,))
        if code is None:
            code = self._append(self._name(text), text, count)
        code = self.merged.get(code, code)
        self._register(pattern, code)
        return code

    def rename(self, code: int, text: str) -> None:
        """Show a template in other words; its id and the lines it stands for stay.

        Raises:
            OptionError: the template was given by a person, and is known by its text.
        """
        if self.texts[code] in self._seeds.texts:
            raise OptionError(f"{self.texts[code]!r} is a seed", where="templates", hint="give another seed")
        self.texts[code] = text
        self._by_text.setdefault(text, code)

    def seed(self, texts: Iterable[str]) -> None:
        """Add templates given by a person; lines that match one have it from now on, whatever they had.

        Raises:
            OptionError: one would match every line.
        """
        fresh = Seeds(texts)
        self._add_seeds(fresh.texts)
        self._shapes = {shape: code for shape, code in self._shapes.items() if fresh.find(shape) is None}
        self.known = len(self)

    def shapes_of(self, codes: Collection[int]) -> list[tuple[str, int]]:
        """Return the shapes that have one of some templates, each with its code, in the order in which they came."""
        return [(shape, code) for shape, code in self._shapes.items() if code in codes]

    def merge(self, groups: Iterable[tuple[Sequence[int], Sequence[Keys], str]]) -> dict[int, int]:
        """Make each group of templates one: its first, with the text and id it had if it had been learned.

        Args:
            groups: codes, all met after learning, in one order over all groups; the patterns that cover theirs; and
                the text of the one template.

        Returns:
            The codes that stand for nothing from now on, and those they became; ``merged`` has them, too.
        """
        names: dict[int, int] = {}
        for (first, *others), patterns, text in groups:
            names |= dict.fromkeys(others, first)
            if self.texts[first] != text:
                self.ids[first], self.texts[first] = self._name(text), text
                self._by_id[self.ids[first]] = first
            self._by_text.setdefault(text, first)
            for pattern in patterns:
                self._register(pattern, first)
        for old in names:  # a template of several patterns may stand in two groups
            while names[old] in names:
                names[old] = names[names[old]]
        if names:
            self.merged = {old: names.get(code, code) for old, code in self.merged.items()} | names
            self._shapes = {shape: names.get(code, code) for shape, code in self._shapes.items()}
        return names

    def link(self, shape: str, code: int) -> None:
        """Remember that a shape not seen before belongs to a template, while there is room."""
        if shape not in self._shapes and len(self._shapes) < self.limits.shapes + self.limits.coarse:
            self._shapes[shape] = code

    def copy(self, limits: Limits, seeds: Iterable[str] = ()) -> Catalog:
        """Return a catalog with the same templates and shapes, to go on learning with."""
        catalog = Catalog.from_frames(self.to_frames(), limits)
        catalog._add_seeds(seeds)
        return catalog

    def to_frames(self) -> dict[str, pl.DataFrame]:
        """Return the catalog as frames to be saved as Parquet: ``templates``, ``patterns`` and ``shapes``."""
        seeds = set(self._seeds.texts)
        extra = (
            pl.Series("known", np.arange(len(self)) < self.known, dtype=pl.Boolean),
            pl.Series("seed", [text in seeds for text in self.texts], dtype=pl.Boolean),
        )
        patterns = pl.DataFrame(
            {
                "pattern": pl.Series(list(map(list, self._by_pattern)), dtype=pl.List(pl.String)),
                "code": pl.Series(self._by_pattern.values(), dtype=pl.UInt32),
            }
        )
        shapes = pl.DataFrame(
            {
                "shape": pl.Series(list(self._shapes), dtype=pl.String),
                "code": pl.Series(self._shapes.values(), dtype=pl.UInt32),
            }
        )
        return {"templates": self.frame.with_columns(*extra), "patterns": patterns, "shapes": shapes}

    @classmethod
    def from_frames(cls, frames: Mapping[str, pl.DataFrame], limits: Limits = Limits()) -> Catalog:  # noqa: B008 - frozen
        """Restore what ``to_frames`` gave: same codes, ids, texts, counts and shapes.

        Raises:
            ModelError: the frames contradict themselves.
        """
        catalog = cls(limits)
        rows = frames["templates"].select("template_id", "template", "count", "known", "seed")
        seeds = []
        for name, text, count, known, seed in rows.iter_rows():
            if name in catalog._by_id:
                raise ModelError(f"template {name} is there twice", where="templates", hint="fit the model again")
            catalog._append(name, text, count)
            catalog.known += known
            seeds += [text] * seed
        for what in ("patterns", "shapes"):
            if (frames[what]["code"] >= len(catalog)).any():
                raise ModelError("a code names no template", where=what, hint="fit the model again")
        for pattern, code in frames["patterns"].select("pattern", "code").iter_rows():
            catalog._register(tuple(pattern), code)
        catalog._shapes = dict(frames["shapes"].select("shape", "code").iter_rows())
        catalog._seeds = Seeds(seeds)
        return catalog

    def _add_seeds(self, texts: Iterable[str]) -> None:
        self._seeds = Seeds([*self._seeds.texts, *texts])
        for text in self._seeds.texts:
            if text not in self._by_text:
                self._append(self._name(text), text, 0)

    def _name(self, text: str) -> str:
        name = template_id(text)
        while name in self._by_id:  # the hash collides
            name = template_id(name + text)
        return name

    def _append(self, name: str, text: str, count: int) -> int:
        code = len(self.texts)
        self.ids.append(name)
        self.texts.append(text)
        self.counts.append(count)
        self._by_id[name] = code
        self._by_text[text] = code
        return code

    def _register(self, pattern: Keys, code: int) -> None:
        if pattern in self._by_pattern:
            return
        self._by_pattern[pattern] = code
        self._wild.add(pattern, tuple(i for i, key in enumerate(pattern) if key == WILD), code)
        # A place where learning saw values only takes a word too, where enough other words agree.
        words = [key for key in pattern if is_word(key) and key != WILD]
        values = words.count(VALUE)
        if values and 2 * (len(words) - values) >= len(words):
            self._loose.add(pattern, tuple(i for i, key in enumerate(pattern) if key in (WILD, VALUE)), code)

    def _place(self, shape: str) -> int:
        """Find the template of a shape, or make one."""
        known = self._shapes.get(shape)
        if known is not None:
            return known
        pieces = self.cut(shape)
        code = self.find(shape, pieces.keys)
        if code is None:
            code = self._shapes.get(coarse(shape))  # only there where learning had to coarsen
        if code is None:
            code = self.add("".join(pieces.shown) or EMPTY, pieces.keys)
        self.link(shape, code)
        return code

"""Names as small codes: of sources, and of templates that the user hands in as ids; and lists made of codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl

from offbeat.errors import InputError
from offbeat.schema import TIME

#: Further lists that may come with sequences of ids, and what they hold.
_BESIDE: Final[dict[str, pl.DataType]] = {
    "timestamps": TIME,
    "levels": pl.UInt8(),
    "sources": pl.String(),
    "values": pl.Float64(),
    "codes": pl.Float64(),
    "usages": pl.Float64(),
}


class Sources:
    """Names of sources as small codes; 0 is unknown."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        self.names: list[str | None] = [None, *names]
        self._codes: dict[str | None, int] = {name: i for i, name in enumerate(self.names)}

    def encode(self, values: pl.Series) -> pl.Series:
        """Return a UInt32 code a value, growing the table."""
        kinds = values.unique(maintain_order=True)
        for name in kinds:
            if name not in self._codes:
                self._codes[name] = len(self.names)
                self.names.append(name)
        new = pl.Series([self._codes[name] for name in kinds], dtype=pl.UInt32)
        return values.replace_strict(kinds, new, return_dtype=pl.UInt32)


class Ids:
    """Template ids handed in by the user, standing in for a catalog: the text of an id is its name.

    Attributes:
        texts: names by code.
        known: so many of them were there when it was learned.
    """

    def __init__(self, names: Iterable[str] = (), known: int | None = None) -> None:
        self.texts = list(names)
        self.known = len(self.texts) if known is None else known
        self._codes = {name: i for i, name in enumerate(self.texts)}

    @property
    def meaningful(self) -> bool:
        """Whether the ids are the templates' own texts: a text has several words, a mere name says nothing."""
        return any(" " in text.strip() for text in self.texts[: self.known])

    def encode(self, flat: pl.Series) -> pl.Series:
        """Return a UInt32 code an id, growing the table."""
        kinds = flat.unique(maintain_order=True)
        for name in kinds.cast(pl.String):
            if name not in self._codes:
                self._codes[name] = len(self.texts)
                self.texts.append(name)
        new = pl.Series([self._codes[name] for name in kinds.cast(pl.String)], dtype=pl.UInt32)
        return flat.replace_strict(kinds, new, return_dtype=pl.UInt32)


def as_lists(flat: pl.Series, lengths: np.ndarray[Any, Any]) -> pl.Series:
    """Cut a flat series into lists of the given lengths; the inverse of ``explode``, empty lists included."""
    owner = pl.Series("i", np.repeat(np.arange(len(lengths)), lengths), dtype=pl.UInt32)
    lists = pl.DataFrame({"i": owner, "list": flat}).group_by("i", maintain_order=True).agg("list")
    made = pl.DataFrame({"i": pl.Series(range(len(lengths)), dtype=pl.UInt32)}).join(
        lists, on="i", how="left", maintain_order="left"
    )
    return made["list"].fill_null(pl.lit([], pl.List(flat.dtype)))


def lists_beside(given: pl.DataFrame, lengths: np.ndarray[Any, Any], sources: Sources) -> list[pl.Series]:
    """Return the further lists that came with sequences of ids, sources as codes.

    Args:
        given: sequences, one a row.
        lengths: events in each, shape (n,).
        sources: grows with the names met.

    Raises:
        InputError: a list is not as long as the sequence that it goes with.
    """
    out = []
    for name, kind in _BESIDE.items():
        if name not in given.columns:
            continue
        own = given[name].list.len().fill_null(0).to_numpy()
        if (own != lengths).any():
            row = int(np.flatnonzero(own != lengths)[0])
            what = f"has {own[row]} entries in row {row + 1}, whose sequence has {lengths[row]}"
            raise InputError(what, where=f"column {name!r}")
        lists = given[name].cast(pl.List(kind))
        if name == "sources":
            lists = as_lists(sources.encode(lists.explode(empty_as_null=False)), lengths)
        out.append(lists.alias(name))
    return out

"""The columns of a frame of events as a rule sees them: each distinct value once, with where it stands.

Logs repeat. A predicate is evaluated on the distinct values of a column and mapped back only where one of them fits,
which is rare; so a hundred rules cost little more than finding the distinct values.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.rules.fields import place, resolve
from offbeat.rules.kinds import where

Bits = NDArray[np.bool_]
Rows = NDArray[np.int64]

#: Values are taken to repeat unless this share of so many differ.
_SAMPLED: Final = 1_024
_DIFFERENT: Final = 0.8
#: Where a text begins like this it may be a JSON array, whose elements are then values, too.
_ARRAY: Final = "["


class Column:
    """One column of n rows.

    Attributes:
        series: as it came, shape (n,).
        literals: what rules look for anywhere in it, in lower case; all are found in one pass.
        exact: what rules compare whole values with, in lower case.
    """

    def __init__(self, series: pl.Series, literals: Sequence[str] = (), exact: Sequence[str] = ()) -> None:
        self.series = series
        self.literals = literals
        self.exact = exact

    def __len__(self) -> int:
        return len(self.series)

    @cached_property
    def _repeats(self) -> bool:
        """Whether values repeat so often that it pays to look at each once; messages with numbers hardly do."""
        start = self.series.head(_SAMPLED)
        return start.n_unique() < _DIFFERENT * len(start) or len(self.series) <= _SAMPLED

    @cached_property
    def distinct(self) -> pl.Series:
        """The distinct values, without null, or all where they hardly repeat; shape (d,)."""
        there = self.series.drop_nulls()
        return there.unique() if self._repeats else there

    @cached_property
    def codes(self) -> NDArray[np.uint32]:
        """The place of each row's value in ``distinct``, and d where it is null; shape (n,)."""
        d = len(self.distinct)
        if d == 0:
            return np.zeros(len(self.series), dtype=np.uint32)
        if not self._repeats:
            there = self.series.is_not_null().to_numpy()
            return np.where(there, np.cumsum(there) - 1, d).astype(np.uint32)
        numbers = pl.Series(np.arange(d, dtype=np.uint32))
        found = self.series.replace_strict(self.distinct, numbers, default=None, return_dtype=pl.UInt32)
        return found.fill_null(d).to_numpy()

    @cached_property
    def _expanded(self) -> tuple[pl.Series, NDArray[np.int64] | None]:
        """Texts to compare with, and which distinct value each is of; elements of JSON arrays stand beside them."""
        texts = self.distinct.cast(pl.String)
        arrays = texts.str.starts_with(_ARRAY).arg_true()
        if arrays.is_empty():
            return texts, None
        more, owners = [], []
        for at in arrays.to_list():
            for element in _elements(texts[at]):
                more.append(element)
                owners.append(at)
        owner = np.concatenate([np.arange(len(texts)), np.array(owners, dtype=np.int64)])
        return pl.concat([texts, pl.Series(more, dtype=pl.String)]), owner

    @property
    def texts(self) -> pl.Series:
        """What text predicates are evaluated on; shape (t,), t at least d."""
        return self._expanded[0]

    @cached_property
    def folded(self) -> pl.Series:
        """``texts`` in lower case."""
        return fold(self.texts)

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """``texts`` as numbers, NaN where they are none; shape (t,)."""
        if self.distinct.dtype.is_numeric():
            return self.distinct.cast(pl.Float64).to_numpy()
        return self.texts.str.strip_chars().cast(pl.Float64, strict=False).fill_null(np.nan).to_numpy()

    @cached_property
    def _found(self) -> dict[str, NDArray[np.int64]]:
        """By literal, the texts that hold it: one Aho-Corasick pass for all literals of all rules."""
        if not self.literals or self.texts.is_empty():
            return {}
        texts, at, literals = self.texts, np.arange(len(self.texts), dtype=np.int64), list(self.literals)
        if texts.str.len_bytes().sum() == texts.str.len_chars().sum():  # plain ASCII: most texts hold none of them
            at = where(texts.str.contains_any(literals, ascii_case_insensitive=True))
            hits = fold(texts.gather(at)).str.extract_many(literals, overlapping=True)
        else:
            hits = self.folded.str.extract_many(literals, overlapping=True)
        rows = pl.DataFrame({"at": at, "literal": hits})
        rows = rows.filter(pl.col("literal").list.len() > 0).explode("literal").unique()
        return _grouped(rows, "literal")

    @cached_property
    def _equal(self) -> dict[str, NDArray[np.int64]]:
        if not self.exact or self.texts.is_empty():
            return {}
        rows = pl.DataFrame({"at": np.arange(len(self.texts), dtype=np.int64), "value": self.folded})
        return _grouped(rows.filter(pl.col("value").is_in(list(self.exact))), "value")

    def holding(self, literal: str) -> NDArray[np.int64]:
        """Return the places in ``texts`` of those that hold a literal of ``literals``."""
        return self._found.get(literal, _NOWHERE)

    def equal_to(self, value: str) -> NDArray[np.int64]:
        """Return the places in ``texts`` of those equal to a value of ``exact``."""
        return self._equal.get(value, _NOWHERE)

    def bits(self, places: Iterable[NDArray[np.int64]] | NDArray[np.int64]) -> Bits:
        """Return which distinct values the given places in ``texts`` belong to; shape (d + 1,), the last for null."""
        out = np.zeros(len(self.distinct) + 1, dtype=np.bool_)
        owner = self._expanded[1]
        for some in [places] if isinstance(places, np.ndarray) else places:
            out[some if owner is None else owner[some]] = True
        return out

    def places(self, bits: Bits) -> NDArray[np.int64]:
        """Return the places in ``texts`` of some of the distinct values; the inverse of ``bits``."""
        owner = self._expanded[1]
        return np.flatnonzero(bits[:-1] if owner is None else bits[owner])


_NOWHERE: Final = np.zeros(0, dtype=np.int64)


def _grouped(rows: pl.DataFrame, by: str) -> dict[str, NDArray[np.int64]]:
    groups = rows.group_by(by).agg("at")
    return {name: np.asarray(at, dtype=np.int64) for name, at in zip(groups[by], groups["at"], strict=True)}


def _elements(text: str) -> list[str]:
    """Return the elements of a JSON array as texts; none where it is no such array."""
    import orjson

    try:
        found = orjson.loads(text)
        return [_plain(item) for item in found] if isinstance(found, list) else []
    except (ValueError, TypeError):  # it is no JSON, or nested more deeply than can be written again
        return []


def fold(texts: pl.Series) -> pl.Series:
    """Return texts in lower case; the final sigma, which depends on what follows, as the plain one."""
    lower = texts.str.to_lowercase()
    return lower.str.replace_all("ς", "σ", literal=True) if lower.str.contains("ς", literal=True).any() else lower


@lru_cache(maxsize=65_536)
def folded(text: str) -> str:
    """Return one text as ``fold`` does; Python and Rust follow the same table of Unicode."""
    return text.lower().replace("ς", "σ")


class Frame:
    """Events with the columns that rules ask for; made anew for each batch.

    Args:
        events: EVENTS or some of its columns, ``fields.NAME`` columns, ``fields``, and ``offbeat.NAME`` columns.
        literals: by field, what is looked for in it, in lower case; by "" what is looked for in whole events.
        exact: by field, what it is compared with, in lower case.
    """

    def __init__(
        self, events: pl.DataFrame, literals: Mapping[str, Sequence[str]], exact: Mapping[str, Sequence[str]]
    ) -> None:
        self.events = events
        self._literals = literals
        self._exact = exact
        self._columns: dict[str, Column | None] = {}

    def __len__(self) -> int:
        return self.events.height

    @cached_property
    def _places(self) -> dict[str, str]:
        """By field, the column that holds it where there is just one; several fields may share it."""
        found = {field: place(self.events, field) for field in {*self._literals, *self._exact} if field}
        return {field: name for field, name in found.items() if name is not None}

    def look_for(self, literals: Mapping[str, Sequence[str]], exact: Mapping[str, Sequence[str]]) -> None:
        """Look for less than was said at first in the columns that nothing was looked for in yet."""
        assert self._places is not None  # noqa: S101 - which fields share a column is found by all of their names
        self._literals, self._exact = literals, exact

    def column(self, field: str) -> Column | None:
        """Return the column of a rule's field, None where no event has it."""
        if field in self._places:
            return self._shared(self._places[field])
        if field not in self._columns:
            series = resolve(self.events, field)
            some = series is not None and series.null_count() < len(series)
            literals, exact = self._literals.get(field, ()), self._exact.get(field, ())
            self._columns[field] = Column(series, literals, exact) if series is not None and some else None
        return self._columns[field]

    def _shared(self, name: str) -> Column | None:
        """Return a column as it is in the frame, with what is looked for under all its names and by keywords."""
        key = f"column {name}"
        if key not in self._columns:
            sharing = [field for field, at in self._places.items() if at == name]
            sharing += [""] if name in self._searched else []
            series = self.events[name]
            made = Column(series, _joined(self._literals, sharing), _joined(self._exact, sharing))
            self._columns[key] = made if series.null_count() < len(series) else None
        return self._columns[key]

    @cached_property
    def _searched(self) -> list[str]:
        """Names of the columns that keywords are looked for in."""
        names: list[str] = [name for name in ("source", "message") if name in self.events.columns]
        if "fields" in self.events.columns:  # holds all that the single fields hold
            return [*names, "fields"]
        return names + [name for name in self.events.columns if name.startswith("fields.")]

    @cached_property
    def searched(self) -> dict[str, Column]:
        """The columns that keywords are searched in: the message, who wrote it, and every field that is at hand."""
        literals = self._literals.get("", ())
        found = {name: self._shared(name) for name in self._searched if name != "fields"}
        if "fields" in self._searched and self.events["fields"].null_count() < self.events.height:
            found["fields"] = Column(self.events["fields"], [escaped(text) for text in literals])
        return {name: column for name, column in found.items() if column is not None}

    @cached_property
    def values(self) -> tuple[pl.Series, NDArray[np.uint32], Rows]:
        """The values of all records as texts, each once; of each value in each record which it is, and the row."""
        texts, rows = record_values(self.events["fields"])
        whole = Column(texts)
        return whole.distinct, whole.codes, rows

    def whole(self, rows: Rows) -> pl.Series:
        """Return the text of some events as keywords see it, one line a column, JSON unescaped."""
        import orjson

        part = self.events[rows].select(list(self.searched))
        if "fields" not in part.columns:
            return part.select(pl.concat_str(pl.all(), separator=" ", ignore_nulls=True)).to_series()
        texts = []
        for row in part.iter_rows(named=True):
            record: Any = orjson.loads(row.pop("fields") or "{}")
            texts.append(" ".join([*(v for v in row.values() if v is not None), *map(_plain, record.values())]))
        return pl.Series(texts, dtype=pl.String)


def record_values(records: pl.Series) -> tuple[pl.Series, Rows]:
    """Return the values of JSON objects as texts, and the row of each."""
    import orjson

    texts: list[str] = []
    rows: list[int] = []
    for row, record in enumerate(records.to_list()):
        values = [_plain(value) for value in orjson.loads(record or "{}").values()]
        texts += values
        rows += [row] * len(values)
    return pl.Series(texts, dtype=pl.String), np.array(rows, dtype=np.int64)


def _plain(value: Any) -> str:
    import orjson

    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _joined(texts: Mapping[str, Sequence[str]], names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(text for name in names for text in texts.get(name, ())))


def escaped(text: str) -> str:
    """Return a text as it stands inside a JSON string."""
    import orjson

    return orjson.dumps(text).decode()[1:-1]

"""Logs as they change and get lost in practice: lines reworded, dropped, doubled or out of order.

After Zhang et al., 2019, Robust Log-Based Anomaly Detection on Unstable Log Data (LogRobust), who alter a share of the
log's events and sequences and look how F1 falls. Labels stay as they are: nothing of this is an incident.
"""

from __future__ import annotations

import zlib
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.errors import OffbeatError

#: What may be done to a share of the lines, in the words of reports.
PERTURBATIONS: Final = ("reworded", "dropped", "doubled", "reordered")
#: Shares of the lines, as in the paper.
SHARES: Final = (0.05, 0.10, 0.20)

#: Lists that go along with ``templates``; times stay where they are when lines change places.
_LISTS: Final = ("templates", "levels", "sources", "values", "codes", "usages", "timestamps")
#: Words put into a message that had none of them: what developers add to log statements.
_ADDED: Final = ("now", "again", "(retry)", "internal", "request", "[new]")


def perturb(units: pl.DataFrame, how: str, share: float, seed: int) -> pl.DataFrame:
    """Return units with a share of all their lines altered in one way.

    Args:
        units: n units with ``templates`` (lists of texts, or of ids as text) and, where there are, further lists.
        how: one of PERTURBATIONS. A *reworded* line has a template not seen before: that of its own with a word put
            in, left out or replaced; of an id, another id. A *dropped* line is gone, though the last line of a unit
            never is. A *doubled* line comes twice. A *reordered* one changes places with the line after it.
        share: of the lines, 0 to 1.
        seed: which lines.

    Raises:
        OffbeatError: there is no such alteration.
    """
    lengths = units["templates"].list.len().to_numpy().astype(np.int64)
    total = int(lengths.sum())
    rng = np.random.Generator(np.random.PCG64(seed))
    chosen = np.zeros(total, dtype=bool)
    chosen[rng.permutation(total)[: round(share * total)]] = True
    owner = np.repeat(np.arange(len(lengths)), lengths)
    if how == "reworded":
        flat = units["templates"].explode(empty_as_null=False).cast(pl.String)
        texts = flat.unique(maintain_order=True)
        new = flat.replace_strict(texts, pl.Series([reworded(text) for text in texts], dtype=pl.String))
        made = pl.DataFrame({"old": flat, "new": new}).select(pl.when(pl.Series(chosen)).then("new").otherwise("old"))
        return units.with_columns(_cut(made.to_series(), owner, len(lengths)).alias("templates"))
    if how == "dropped":
        # Of a unit that would be empty the first line stays: units that left no line are in no log.
        left = np.bincount(owner[~chosen], minlength=len(lengths))
        first = np.concatenate(([0], np.cumsum(lengths)[:-1]))
        chosen[first[(left == 0) & (lengths > 0)]] = False
        take = np.flatnonzero(~chosen)
    elif how == "doubled":
        take = np.repeat(np.arange(total), 1 + chosen)
    elif how == "reordered":
        take = _swapped(chosen, owner)
    else:
        raise OffbeatError(f"{how!r} is no alteration", where="perturb", hint=", ".join(PERTURBATIONS))
    return _taken(units, take, owner, times=how != "reordered")


def reworded(text: str) -> str:
    """Return a template as a developer might have changed it: the same change for the same text, always.

    Variable parts, ``<…>``, stay. A text of one word, such as an id, becomes another id.
    """
    words = text.split()
    plain = [i for i, word in enumerate(words) if not word.startswith("<")]
    if len(plain) < 2:
        return f"{text}*"
    chance = zlib.crc32(text.encode())
    at, added = plain[chance % len(plain)], _ADDED[chance // 7 % len(_ADDED)]
    how = chance // 101 % 3
    changed = [*words[:at], *([added, words[at]] if how == 0 else [] if how == 1 else [added]), *words[at + 1 :]]
    return " ".join(changed)


def _swapped(chosen: NDArray[np.bool_], owner: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the order in which lines come when each chosen one changes places with the next of its unit."""
    total = len(chosen)
    last = np.append(owner[1:] != owner[:-1], True) if total else np.zeros(0, dtype=bool)
    here = chosen & ~last
    # Of neighbours only every other one moves, or one line would travel through the whole run.
    run = np.arange(total) - np.maximum.accumulate(np.where(here, -1, np.arange(total)))
    here &= run % 2 == 1
    take = np.arange(total)
    at = np.flatnonzero(here)
    take[at], take[at + 1] = at + 1, at
    return take


def _taken(units: pl.DataFrame, take: NDArray[np.int64], owner: NDArray[np.int64], times: bool) -> pl.DataFrame:
    """Return units with the lines at ``take``; with ``times`` false these stay as they are."""
    columns: dict[str, Any] = {}
    for name in _LISTS:
        if name in units.columns and (times or name != "timestamps"):
            flat = units[name].explode(empty_as_null=False).gather(take)
            columns[name] = _cut(flat, owner[take], units.height)
    return units.with_columns(**columns)


def _cut(flat: pl.Series, owner: NDArray[np.int64], n: int) -> pl.Series:
    """Return a flat column as one list a unit."""
    lists = pl.DataFrame({"owner": owner, "list": flat}).group_by("owner", maintain_order=True).agg("list")
    every = pl.DataFrame({"owner": np.arange(n)}).join(lists, on="owner", how="left", maintain_order="left")
    return every["list"].fill_null(pl.lit([], pl.List(flat.dtype)))

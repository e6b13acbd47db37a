"""Trying proposed rules on the past, by the same engine that runs them later."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.errors import OffbeatError
from offbeat.group.sessions import POSITION_BITS
from offbeat.proposal.past import Past, unit_places
from offbeat.rules import Correlation, Engine, Firing, RuleError
from offbeat.rules.rule import Document

_FIRST: Final = 2**POSITION_BITS


@dataclass
class Outcome:
    """What a rule did on the past.

    Attributes:
        units: which units it hit, shape (n,).
        firings: what it found, if it is a correlation.
        events: that it matched, if it is a rule on single events.
    """

    units: NDArray[np.bool_]
    firings: list[Firing]
    events: int = 0


def compiled(text: str) -> list[Document]:
    """Compile a proposal; raises OffbeatError where it is not what Sigma allows, which would be our mistake."""
    from offbeat.rules.sigma import compile_text

    out = []
    for item in compile_text(text, "proposal"):
        if isinstance(item, RuleError):
            raise OffbeatError(f"the rule made is none: {item}", where="explain --as-rule")
        out.append(item)
    return out


def tried(past: Past, rules: Sequence[Sequence[Document]]) -> list[Outcome]:
    """Run rules over the past, all in one pass.

    Args:
        past: to run over.
        rules: the documents of each; the last is the one that finds.
    """
    engines = [Engine(documents, past.formats) for documents in rules]
    places: list[list[pl.Series]] = [[] for _ in engines]
    firings: list[list[Firing]] = [[] for _ in engines]
    for frame in past.frames([engine.matcher for engine in engines]):
        for i, engine in enumerate(engines):
            rows = engine.matcher.rows(frame)
            if isinstance(engine.documents[-1], Correlation):
                firings[i] += engine.add(engine.match(frame, rows))
            else:
                places[i].append(unit_places(frame[rows[-1]]))
    out = []
    for engine, hit, found in zip(engines, places, firings, strict=True):
        last = len(engine.documents) - 1
        fired = [f for f in [*found, *engine.flush()] if f.key == last]
        if isinstance(engine.documents[-1], Correlation):
            out.append(Outcome(_of_firings(past, fired), fired))
        else:
            lines = pl.concat(hit) if hit else pl.Series(dtype=pl.UInt64)
            out.append(Outcome(_of_places(past, lines), [], len(lines)))
    return out


def _of_places(past: Past, places: pl.Series) -> NDArray[np.bool_]:
    hit = np.zeros(past.units.height, dtype=np.bool_)
    hit[past.places.filter(pl.col("place").is_in(places.implode()))["unit"].to_numpy()] = True
    return hit


def _of_firings(past: Past, firings: Sequence[Firing]) -> NDArray[np.bool_]:
    """Return the units that findings of a correlation are about: of that name and time, or with those events."""
    lines = [file * _FIRST + line for f in firings if past.by not in f.group for file, line in f.places]
    hit = _of_places(past, pl.Series(lines, dtype=pl.UInt64))
    rows = [(f.group[past.by], f.start, f.end) for f in firings if past.by in f.group]
    named = pl.DataFrame(rows, schema={"key": pl.String, "from": pl.Int64, "to": pl.Int64}, orient="row")
    units = past.units.select("key", pl.col("start", "end").dt.epoch("us")).with_row_index("unit")
    both = units.join(named, on="key")
    at_once = (pl.col("start") <= pl.col("to")) & (pl.col("end") >= pl.col("from"))
    hit[both.filter(at_once.fill_null(True))["unit"].to_numpy()] = True
    return hit

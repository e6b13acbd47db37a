"""All rules over a log or a stream: match each frame, put the hits in order of time, correlate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from offbeat.rules.columns import Rows
from offbeat.rules.correlate import HITS, Firing, Node
from offbeat.rules.fields import resolve
from offbeat.rules.match import Matcher
from offbeat.rules.rule import Correlation, Document, Filter, Rule, RuleError, keys

#: Hits that wait for their turn; with more, the earlier half is worked on although earlier ones may still come.
MAX_WAITING: Final = 1_000_000
#: A rule on single events makes one finding of hits by the same origin no further apart than this.
SAME_STRETCH: Final = 3600
#: The field that stands for the origin of an event where a rule names none.
WHO: Final = "offbeat.who"
#: What is taken for the origin, the likeliest first; the program that wrote the line if there is nothing else.
_ORIGINS: Final = ("c-ip", "host", "hostname", "Computer", "_HOSTNAME", "node", "pod")


@dataclass(frozen=True)
class Hits:
    """What single-event rules found in one frame.

    Attributes:
        rows: columns HITS, with ``order`` within the frame, ``f.NAME``, and ``seen``: the latest time up to there.
        latest: the latest time in the frame, microseconds since 1970; None where there is none.
        events: rows of the frame.
        untimed: hits on events without a time.
    """

    rows: pl.DataFrame
    latest: int | None
    events: int
    untimed: int = 0


class Engine:
    """Evaluates rules and correlations.

    Args:
        documents: rules, correlations and filters; correlations refer to others among them.
        formats: of each file, as the readers call it.
        gated: whether rules are for their own log source only.
        lateness: microseconds that events may come after later ones; None puts everything in order before
            anything is correlated, as a log that has an end allows.

    Raises:
        RuleError: a correlation refers to a rule that is not there, or to itself.
    """

    def __init__(
        self,
        documents: Sequence[Document],
        formats: Sequence[str | None] = (),
        *,
        gated: bool = True,
        lateness: int | None = None,
    ) -> None:
        self.documents = tuple(documents)
        filters = [d for d in documents if isinstance(d, Filter)]
        self.keys = [i for i, d in enumerate(documents) if isinstance(d, Rule)]
        self.index = index_of(documents)
        self.nodes = self._nodes()
        named = {name for node in self.nodes for name in _fields_of(node.c)}
        self.fields = tuple(sorted(named | {WHO}))
        wanted = [name for name in self.fields if name != WHO] + list(_ORIGINS)
        rules = [d for d in documents if isinstance(d, Rule)]
        self.matcher = Matcher(rules, filters, formats, gated=gated, more=wanted)
        self.lateness = lateness
        self.events = 0
        self.untimed = 0
        self._latest: int | None = None
        self._seen: int | None = None
        self._mark: int | None = None
        self._waiting: list[pl.DataFrame] = []
        self._bare: pl.DataFrame | None = None  # what no hits bring along, for frames without any

    @property
    def left_out(self) -> int:
        """Hits without the fields that group or count them."""
        return sum(node.left_out for node in self.nodes)

    @property
    def evicted(self) -> int:
        """What was given up because there was too much of it."""
        return sum(node.evicted for node in self.nodes)

    def _nodes(self) -> list[Node]:
        """Return a node for each correlation and each rule that stands alone, those that others count first."""
        order = ordered(self.documents, self.index)
        inner = {
            self.index[ref]
            for d in self.documents
            if isinstance(d, Correlation) and not d.generate
            for ref in d.rules
            if ref in self.index
        }
        self.silent = inner  # documents without findings of their own
        nodes = []
        for key in order:
            document = self.documents[key]
            if isinstance(document, Correlation):
                inputs = {self.index[ref]: place for place, ref in reversed(list(enumerate(document.rules)))}
                nodes.append(Node(document, key, inputs))
            elif isinstance(document, Rule) and key not in inner:
                alone = Correlation(document.title, "event_count", ("",), SAME_STRETCH, (WHO,), (("gte", 1.0),))
                nodes.append(Node(alone, key, {key: 0}))
        return nodes

    def match(self, events: pl.DataFrame, found: Sequence[Rows] | None = None) -> Hits:
        """Find what single-event rules hit in a frame; keeps no state, so several may be looked at at once.

        Args:
            events: EVENTS columns, ``fields.NAME`` columns or ``fields``, and, for rules that read what the models
                know, ``offbeat.NAME`` columns.
            found: what ``Matcher.rows`` gave for them, where it was asked already.
        """
        found = self.matcher.rows(events) if found is None else found
        n = events.height
        at = np.concatenate([*found, np.zeros(0, dtype=np.int64)])
        key = np.repeat(np.array(self.keys, dtype=np.uint32), [len(rows) for rows in found])
        turn = np.lexsort((key, at))
        timed = "timestamp" in events.columns and n > 0
        time = events["timestamp"].dt.epoch("us") if timed else pl.repeat(None, n, dtype=pl.Int64, eager=True)
        seen = time.cum_max().forward_fill() if timed else time
        rows = self._columns(events, at[turn]) if len(at) or self._bare is None else self._bare
        self._bare = rows.clear()
        rows = rows.with_columns(
            time=time.gather(at[turn]),
            seen=seen.gather(at[turn]),
            key=pl.Series(key[turn], dtype=pl.UInt32),
            order=pl.Series(at[turn], dtype=pl.Int64),
        )
        kept = rows.filter(pl.col("time").is_not_null())
        latest = time.max()
        return Hits(kept, None if latest is None else int(latest), n, rows.height - kept.height)  # type: ignore[arg-type]  # microseconds

    def _columns(self, events: pl.DataFrame, at: Rows) -> pl.DataFrame:
        """Return what hits bring along, for the rows that were hit only."""
        part = self.matcher.frame(events[at]).events
        missing = {
            "file": pl.lit(0, pl.UInt16),
            "line": pl.int_range(1, pl.len() + 1, dtype=pl.UInt32),
            "source": pl.lit(None, pl.String),
        }
        part = part.with_columns(**{name: value for name, value in missing.items() if name not in part.columns})
        columns = [part["file"], part["line"], part["source"]]
        for name in self.fields:
            series = _who(part) if name == WHO else resolve(part, name)
            none = pl.repeat(None, part.height, dtype=pl.String, eager=True)
            columns.append((none if series is None else series.cast(pl.String)).alias(f"f.{name}"))
        return pl.DataFrame(columns)

    def add(self, hits: Hits) -> list[Firing]:
        """Take up the hits of the next frame; return the findings that are over."""
        self.untimed += hits.untimed
        rows = hits.rows.with_columns(order=pl.col("order") + self.events)
        self.events += hits.events
        before = self._seen
        if hits.latest is not None:
            self._latest = hits.latest if self._latest is None else max(self._latest, hits.latest)
            self._seen = self._latest
        if self.lateness is not None:
            rows = self._clamped(rows, before)
            self._waiting.append(rows)
            return self._release(None if self._seen is None else self._seen - self.lateness)
        out: list[Firing] = []
        while rows.height:
            room = MAX_WAITING - sum(part.height for part in self._waiting)
            self._waiting.append(rows[:room])
            rows = rows[room:]
            if sum(part.height for part in self._waiting) >= MAX_WAITING:
                out += self._make_room()
        return out

    def _clamped(self, rows: pl.DataFrame, before: int | None) -> pl.DataFrame:
        """Let hits that come too late count at the time up to which all is done."""
        seen = pl.col("seen") if before is None else pl.max_horizontal("seen", pl.lit(before))
        return rows.with_columns(time=pl.max_horizontal("time", seen - (self.lateness or 0)))

    def _make_room(self) -> list[Firing]:
        waiting = pl.concat(self._waiting)
        if self._mark is not None:
            waiting = waiting.with_columns(time=pl.max_horizontal("time", pl.lit(self._mark)))
        self._waiting = [waiting]
        middle = int(waiting["time"].sort()[MAX_WAITING // 2])
        self._mark = middle
        return self._release(middle)

    def _release(self, until: int | None) -> list[Firing]:
        """Correlate what has come up to a time."""
        waiting = pl.concat(self._waiting) if self._waiting else pl.DataFrame()
        if waiting.is_empty() and until is None:
            return []
        ready, later = waiting, waiting.clear()
        if until is not None and waiting.height:
            ready, later = waiting.filter(pl.col("time") <= until), waiting.filter(pl.col("time") > until)
        self._waiting = [later] if later.height else []
        return self._correlate(ready.sort("time", "order") if ready.height else self._none(), until)

    def _none(self) -> pl.DataFrame:
        fields = {f"f.{name}": pl.String() for name in self.fields}
        return pl.DataFrame(schema={**HITS, "seen": pl.Int64(), **fields})

    def _correlate(self, hits: pl.DataFrame, until: int | None) -> list[Firing]:
        names = [*HITS, *(f"f.{name}" for name in self.fields)]
        hits = hits.select(names)
        out: list[Firing] = []
        for node in self.nodes:
            closed, holding, begun = node.push(hits, until)
            if node.key not in self.silent:
                out += closed
            for outer in self.nodes:
                if node.key in outer.inputs and isinstance(self.documents[node.key], Correlation):
                    signals = holding if outer.c.kind.startswith("temporal") else begun
                    signals = signals.select(names).with_columns(key=pl.lit(node.key, pl.UInt32))
                    outer.inputs_ready(signals)
        return out

    def flush(self) -> list[Firing]:
        """End the log; return the findings that were still going on."""
        out: list[Firing] = []
        if self._mark is not None and self._waiting:
            self._waiting = [pl.concat(self._waiting).with_columns(time=pl.max_horizontal("time", pl.lit(self._mark)))]
        for node in self.nodes:
            node.ends(self._latest or 0)
        ready = pl.concat(self._waiting).sort("time", "order") if self._waiting else self._none()
        self._waiting = []
        return out + self._correlate(ready, None)

    def current(self) -> list[Firing]:
        """Return the findings that are going on, for a driver that tells early; closed later, they keep their start."""
        return [firing for node in self.nodes if node.key not in self.silent for firing in node.current()]


def _who(events: pl.DataFrame) -> pl.Series:
    """Return the origin of events: an address, a host, or the program; empty where none is known."""
    found = [series for name in _ORIGINS if (series := resolve(events, name)) is not None]
    found.append(events["source"])
    return pl.select(pl.coalesce([series.cast(pl.String) for series in found]).fill_null("")).to_series()


def _fields_of(c: Correlation) -> set[str]:
    aliased = {name for mapping in c.aliases.values() for name in mapping.values()}
    return {name for name in (*c.group_by, *c.fields) if name not in c.aliases} | aliased


def index_of(documents: Sequence[Document]) -> dict[str, int]:
    """Return the documents by what they can be referred to by; ids and names before titles."""
    out: dict[str, int] = {}
    for kind in (0, 1):
        for i, document in enumerate(documents):
            if isinstance(document, Filter):
                continue
            names = [document.title] if kind else [key for key in keys(document) if key != document.title]
            for name in names:
                out.setdefault(name, i)
    return out


def ordered(documents: Sequence[Document], index: Mapping[str, int]) -> list[int]:
    """Return the places of all documents, what a correlation refers to before it.

    Raises:
        RuleError: it refers to a rule that is not there, or in the end to itself.
    """
    done: list[int] = []

    def visit(i: int, above: tuple[int, ...]) -> None:
        document = documents[i]
        if i in above:
            raise RuleError("refers to itself", where=document.where, field="correlation.rules", title=document.title)
        if i in done:
            return
        for ref in document.rules if isinstance(document, Correlation) else ():
            if ref not in index:
                hint = "name its id, its name or its title, and give its file, too"
                what = f"refers to {ref!r}, which is no rule here"
                raise RuleError(what, where=document.where, field="correlation.rules", title=document.title, hint=hint)
            visit(index[ref], (*above, i))
        done.append(i)

    for i in range(len(documents)):
        visit(i, ())
    return done


def usable(documents: Sequence[Document]) -> tuple[list[Document], list[RuleError]]:
    """Leave out correlations whose rules are missing; return what is left, and why the others cannot be used."""
    left, refused = list(documents), []
    while True:
        try:
            ordered(left, index_of(left))
        except RuleError as error:
            refused.append(error)
            left = [d for d in left if (d.where, d.title) != (error.where, error.title)]
            continue
        return left, refused

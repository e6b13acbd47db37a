"""Which sources a finding names, most to blame first: who wrote what is strange, or should have, and who failed first.

A failure is passed on: who was asked answers with an error, and so does everybody who asked. So where several sources
fail in a session, the one that failed first is nearest to the cause.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import polars as pl

from offbeat.detect.volume import FAILING
from offbeat.finding import Finding, named_sources
from offbeat.group.sessions import POSITION_BITS
from offbeat.watch import Watch

#: From so many units on an incident's sources are ranked by what changed in its time.
_MANY: Final = 10
#: Standard deviations from which on a source is late.
_LATE: Final = 3.0
#: Kinds of findings that are about one source already: who wrote the numbers, or nothing.
_OWN: Final = ("shift", "silence")


@dataclass(frozen=True)
class Suspects:
    """Names the sources of findings.

    Attributes:
        watch: what was seen beside the units.
        kept: the units that findings are made of: SEQUENCES with ``rows``, and ``sources`` and ``levels`` where there
            are any.
        sources: names by code.
        texts: of the templates by code.
        windows: whether units are windows, in which one failure need not follow from another.
    """

    watch: Watch
    kept: pl.DataFrame
    sources: Sequence[str | None]
    texts: Sequence[str]
    windows: bool

    def of_units(self, group: pl.DataFrame, ranked_too: bool) -> list[str]:
        """Return the sources involved in alarms, most to blame first.

        Where blame cannot be laid, those of the strange lines come first, then those that wrote most; so too without
        ``ranked_too``, for ranking by what changed reads all that was kept. A line that is missing is its usual
        writer's, an early end is who usually goes on.

        Args:
            group: alarms, one row a unit, with their evidence and ``source`` (code) of the strange event.
            ranked_too: whether to rank by what changed.
        """
        if "sources" not in group.columns:
            return []
        strange = Counter(code for code in self._strange(group) if code)
        wrote = Counter(group["sources"].explode().drop_nulls().to_list())
        ranked = sorted({*wrote, *strange}, key=lambda s: (-strange[s], -wrote[s], s))
        named = named_sources(ranked, self.sources)
        start, end = group["start"].min(), group["end"].max()
        if not (ranked_too and isinstance(start, datetime) and isinstance(end, datetime)):
            return named
        blamed = self.watch.blamed(start, end, self.sources, self.texts)["source"]
        # Of a few units the strange lines say who it was; of many, what changed in that time against other times.
        few = [self.sources[s] for s in ranked if strange[s]] if group.height < _MANY else []
        return list(dict.fromkeys(name for name in (*few, *blamed, *named) if name is not None))

    def _strange(self, group: pl.DataFrame) -> list[int | None]:
        """Return, for each alarm, who wrote what is strange, or should have: codes."""
        found: list[int | None] = []
        ledger = self.watch.ledger
        columns = group.select("kind", "template", "event", "source", "templates")
        for kind, code, event, source, templates in columns.iter_rows():
            next_ = ledger.followers.get(code) if kind == "end" else None
            # What usually follows may have come already.
            if next_ is not None and next_[0] not in templates:
                found.append(next_[1])
            elif event is None and code is not None:
                found.append(ledger.writers.get(code))
            else:
                found.append(source)
        return found

    def of_shift(self, row: Mapping[str, Any], ranked_too: bool) -> list[str]:
        """Return the sources of numbers that are off, most to blame first.

        Who asks another waits for it, so its answers are late, too. Where the times between the events of traces say
        that somebody else is late, and twice as clearly, that source comes first.

        Args:
            row: of SHIFTS.
            ranked_too: whether to rank by what changed, which reads all that was kept.
        """
        named = named_sources(row["sources"], self.sources)
        blamed = self.watch.blamed(row["start"], row["end"], self.sources, self.texts) if ranked_too and named else None
        if blamed is None or not blamed.height:
            return named
        score = dict(blamed.select("source", "score").rows())
        first = blamed.row(0, named=True)
        late = first["kind"] == "latency" and first["score"] >= max(_LATE, 2 * score.get(named[0], 0.0))
        return list(dict.fromkeys([first["source"], *named])) if late else named

    def with_first_failure(self, findings: Sequence[Finding], files: Sequence[str]) -> list[Finding]:
        """Return findings that name first who failed first in the sessions of their lines.

        A failure is a line at ERROR or above. Findings that hold no line of a session in which anything failed name
        their sources as before.
        """
        origins = self._origins()
        if not origins:
            return list(findings)
        index = {name: i for i, name in enumerate(files)}
        out = []
        for one in findings:
            marked = [line for line in one.lines if line.mark] or one.lines
            places = [(index.get(line.file, 0) << POSITION_BITS) + line.line for line in marked]
            first = Counter(origins[place] for place in places if place in origins).most_common(1)
            name = self.sources[first[0][0]] if first else None
            # Who is behind a burst is an address, not who it was turned to.
            if name is None or one.kind in _OWN or one.session in one.sources:
                out.append(one)
            else:
                out.append(replace(one, sources=list(dict.fromkeys([name, *one.sources]))))
        return out

    def _origins(self) -> dict[int, int]:
        """Return, for each line from a session's first failure on, the code of who failed first."""
        lists = ["rows", "sources", "levels"]
        if self.windows or any(name not in self.kept.columns for name in lists):
            return {}
        failed = self.kept.filter(pl.col("levels").list.max() >= FAILING).select("unit", *lists)
        events = failed.explode(lists, empty_as_null=False)
        first = (
            events.filter(pl.col("levels") >= FAILING)
            .group_by("unit")
            .agg(pl.col("rows").min().alias("since"), pl.col("sources").get(pl.col("rows").arg_min()).alias("who"))
        )
        after = events.join(first, on="unit").filter((pl.col("rows") >= pl.col("since")) & (pl.col("who") > 0))
        return dict(after.select("rows", "who").rows())

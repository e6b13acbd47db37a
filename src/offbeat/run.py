"""What came of scoring: every unit with its scores, and the findings on demand."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.additions import as_they_were
from offbeat.anew import changed_finding, for_reasons, main_reasons
from offbeat.beside import untold, with_failures, with_volume
from offbeat.budget import Budget
from offbeat.decide import Decision, Drift, Timed, contributions
from offbeat.decide.incidents import SEVERITIES, finding_id, graded, join_alarms, join_strays, told_apart
from offbeat.detect import LSTM, Detector, NGram
from offbeat.errors import OptionError
from offbeat.explain import Facts, sentence, shortened
from offbeat.finding import Finding, Line, Quiet, fetched, iso, known_templates, named_templates
from offbeat.group.sessions import file_and_line
from offbeat.lineage import Changed
from offbeat.read import Logs
from offbeat.ruling import Joiner, Ruling
from offbeat.schema import SCORES
from offbeat.suspects import Suspects
from offbeat.tally import Lanes, Tally
from offbeat.units import marked_lines, raw_of
from offbeat.watch import (
    Watch,
    burst_finding,
    failures,
    in_series,
    places_of,
    places_of_failures,
    shift_finding,
    silence_finding,
    volume_finding,
    without_bursts,
)

if TYPE_CHECKING:
    from offbeat.regime import Habits

#: Sources are ranked by what changed for so many of the first incidents.
_RANKED: Final = 20


@dataclass
class Run:
    """The result of ``Pipeline.score``.

    Attributes:
        scores: one row a unit: the columns of SCORES files (key, start, end, file, ..., score, p_value, is_anomaly)
            and one a view.
        kept: SEQUENCES with ``rows`` and ``unit`` (row in ``scores``) of the units that findings may be made of.
        threshold: the fused score that decided.
        drift: set where the log no longer fits the model; scores are then by the log's own habits, too (``regime``).
        learned: the scores by the model alone, where there is drift.
        habits: what the log was judged by beside the model, where there is drift and it is not too much to keep.
        aside: units of ``kept`` as they were, where ``kept`` and scores lack what a release added (``additions``).
        tally: how often each template came when, and the volume over time.
        lanes: how strange each source was when.
        watch: volume, shifts, bursts and blame, beside the units.
        ruling: what rules found, None where there are none.
        stretch: only findings that lie, at least partly, between these times.
        most: so many findings are allowed, None for any number.
        asked: the share of units that the threshold was asked to flag, None where it was asked for none.
        rate: the alarms a day or an hour that it was asked for, None where it was not.
        feedback: what people said of earlier findings, and what is quiet by it.
        changed: lines that a release worded anew, scored as the lines they were; ``quieted`` units are so no anomalies.
        fit: how well the model fits the log, see ``stability``; None where the model keeps too little to say.
        itself: the log is the one learned from, each part (``learn.dealt``) scored by what the others show.
    """

    scores: pl.DataFrame
    kept: pl.DataFrame
    views: Mapping[str, Detector]
    decision: Decision
    threshold: float
    drift: Drift | None
    unit: str
    windows: bool
    texts: Sequence[str]
    template_ids: Sequence[str]
    sources: Sequence[str | None]
    learned: pl.Series | None = None
    habits: Habits | None = None
    aside: pl.DataFrame | None = None
    logs: Logs | None = None
    messages: pl.Series | None = None
    trained_on: float = 0.0
    summary: dict[str, Any] = field(default_factory=dict)
    tally: Tally = field(default_factory=Tally)
    lanes: Lanes = field(default_factory=Lanes)
    watch: Watch = field(default_factory=Watch)
    ruling: Ruling | None = None
    stretch: tuple[datetime | None, datetime | None] = (None, None)
    most: int | None = None
    asked: float | None = None
    rate: Timed | None = None
    feedback: Quiet | None = None
    changed: Sequence[Changed] = ()
    quieted: int = 0
    fit: dict[str, Any] | None = None
    itself: bool = False

    @property
    def patterns(self) -> pl.DataFrame:
        """One row a template seen, the most frequent first.

        The columns of ``Tally.patterns``, ``template_id``, ``text``, and ``is_new``: the model did not know it.
        """
        found = self.tally.patterns()
        names = {"template_id": self.template_ids, "text": self.texts}
        named = [pl.Series(name, [of[c] for c in found["template"]], dtype=pl.String) for name, of in names.items()]
        return found.with_columns(*named, is_new=pl.col("template") >= known_templates(self.summary))

    @property
    def volume(self) -> pl.DataFrame:
        """Events over time: the columns of ``Tally.volume``."""
        return self.tally.volume()

    @property
    def series(self) -> pl.DataFrame:
        """Counts over time by template, source and level, against what is expected: ``detect.volume``'s SERIES.

        With a column ``name`` for what ``code`` stands for.
        """
        found = self.watch.volume.series()
        names = {"template": self.texts, "source": self.sources}
        name = [names[what][code] if what in names else None for what, code in found.select("what", "code").rows()]
        return found.with_columns(name=pl.Series(name, dtype=pl.String))

    @property
    def alert_share(self) -> float:
        """Share of the units that are anomalies."""
        return float(self.scores["is_anomaly"].mean() or 0.0)  # type: ignore[arg-type]  # a Boolean's mean is a float

    def contributions(self) -> dict[str, int]:
        """Return, by view, the number of anomalies whose score it makes."""
        return contributions(self.decision, self.raw(self.scores), self.scores["is_anomaly"].to_numpy())

    def raw(self, rows: pl.DataFrame) -> dict[str, NDArray[np.float64]]:
        """Return the raw scores by view of some rows of ``scores``, and their groups where there are any."""
        return raw_of(rows, self.views)

    def with_budget(self, budget: Budget, without: NDArray[np.bool_] | None = None) -> Run:
        """Return the run with the strangest units flagged, as many as allowed; never ``without``, shape (units,)."""
        allowed = budget.units(self.scores)
        order = self.scores.with_row_index("unit").sort(["score", "unit"], descending=[True, False])
        if without is not None:
            order = order.filter(~pl.Series(without).gather(order["unit"]))
        flagged = np.zeros(self.scores.height, dtype=bool)
        flagged[order["unit"].head(allowed).to_numpy()] = True
        line = float(order["score"][allowed - 1]) if 0 < allowed <= order.height else math.inf
        return replace(self, scores=self._flags(pl.Series(flagged)), threshold=line, most=allowed)

    def with_threshold(self, line: float) -> Run:
        """Return the run with the units flagged whose fused score is at ``line``, in nats, or above."""
        return replace(self, scores=self._flags(self.scores["score"] >= line), threshold=line, most=None)

    def between(self, since: datetime | None, until: datetime | None) -> Run:
        """Return the run with only the units that lie, at least partly, in a stretch of time flagged.

        Raises:
            OptionError: the units have no times.
        """
        if (since or until) and self.scores["start"].null_count() == self.scores.height:
            raise OptionError("needs times, and the log has none", where="--since, --until", hint="leave it out")
        inside = pl.col("end") >= since if since else pl.lit(True)
        inside &= pl.col("start") <= until if until else pl.lit(True)
        flags = self.scores.select((pl.col("is_anomaly") & inside).fill_null(False))["is_anomaly"]
        return replace(self, scores=self._flags(flags), stretch=(since, until))

    def _flags(self, flags: pl.Series) -> pl.DataFrame:
        return self.scores.with_columns(flags.alias("is_anomaly"))

    def after_change(self, changed: Sequence[Changed], before: Run) -> Run:
        """Return the run with what is told of lines that changed; ``before`` did not know that they had."""
        return replace(self, changed=changed, quieted=max(0, before.strange - self.strange), ruling=before.ruling)

    @property
    def strange(self) -> int:
        """How many units are anomalies by what was learned alone."""
        return int(((self.scores["score"] if self.learned is None else self.learned) >= self.decision.threshold).sum())

    def find(self, limit: int | None = None) -> list[Finding]:
        """Return the findings, most severe first, then by p-value.

        Args:
            limit: at most so many; None for all. Words and lines are made only for what is returned.
        """
        bursts = self._told(self.watch.strange_bursts())
        volumes = self._told(self.watch.strange_volume(bursts))
        shifts = self._told(self.watch.strange_shifts())
        silences = self._told(self.watch.strange_silences(volumes))
        failed = [failures(row, self.kept) for row in volumes]
        known = None if self.itself else known_templates(self.summary)
        # Who allows so many findings wants no more than these.
        news = [] if self.most else self._told(self.watch.failures.alarms(known))
        files = self.logs.files if self.logs else ("frame",)
        groups, suspects = self.groups(without_bursts(self._alarms(), bursts)), self._suspects
        score = self.scores["score"] if self.learned is None else self.learned
        news = untold(news, self.kept.filter(score.gather(self.kept["unit"]) >= self.decision.threshold))
        limit = min((n for n in (limit, self.most) if n is not None), default=None)
        refs = {i: marked_lines(g) for i, (_, _, g) in enumerate(groups[:limit])}
        places = {ref[:2] for marked in refs.values() for ref in marked}
        places |= {file_and_line(one.place) for one in self.changed}
        places.update(*map(places_of, [*bursts, *shifts, *silences, *news]), *map(places_of_failures, failed))
        lines = fetched(self.logs, self.messages, places | (self.ruling.places() if self.ruling else set()))
        found = [
            self._finding(*groups[i], [lines(ref) for ref in marked], suspects.of_units(groups[i][2], i < _RANKED))
            for i, marked in refs.items()
        ]
        names = (self.texts, self.template_ids, self.sources, lines)
        told = [volume_finding(row, events, *names) for row, events in zip(volumes, failed, strict=True)]
        told += [shift_finding(row, *names, suspects.of_shift(row, i < _RANKED)) for i, row in enumerate(shifts)]
        told += [silence_finding(row, *names) for row in silences]
        beside = [*volumes, *map(in_series, [*shifts, *silences])]
        found = with_volume(found, [groups[i][2] for i in refs], beside, told)
        found += [burst_finding(row, self.texts, self.template_ids, lines) for row in bursts]
        if self.ruling is not None and self.ruling.firings:
            of_finding = {found[i].id: groups[i][2] for i in refs}
            joiner = Joiner.of(of_finding, self.ruling, self.windows, len(self.sources) - 1)
            found = joiner.joined(found, self.ruling.findings(lines, self._inside), files)
        found = with_failures(found, news, *names, new=not self.itself)
        found = suspects.with_first_failure(found, files) + self._regime()
        if self.changed and self._inside({"start": (at := self.changed[0].since), "end": at}):
            found.append(changed_finding(self.changed, self.template_ids, self.quieted, lines))
        found = found if self.feedback is None else self.feedback.told(found)
        found.sort(key=lambda f: (-SEVERITIES.index(f.severity), f.p_value, -f.score, f.id))
        return found[:limit]

    @property
    def _suspects(self) -> Suspects:
        return Suspects(self.watch, self.kept, self.sources, self.texts, self.windows)

    def _told(self, found: pl.DataFrame) -> list[dict[str, Any]]:
        """Return the rows that lie, at least partly, in the stretch asked for."""
        return [row for row in found.iter_rows(named=True) if self._inside(row)]

    def _inside(self, row: Mapping[str, Any]) -> bool:
        since, until = self.stretch
        start, end = row["start"], row["end"]
        return (since is None or end is None or end >= since) and (until is None or start is None or start <= until)

    def groups(self, alarms: pl.DataFrame) -> list[tuple[str, str, pl.DataFrame]]:
        """Join alarms into incidents: severity, its reason and the alarms, strangest first; most severe first."""
        if alarms.height == 0:
            return []
        alarms = alarms.with_columns(join_alarms(alarms, self.windows))
        ordered = alarms.sort("incident", "score", "unit", descending=[False, True, False])
        joined = ordered.partition_by("incident", maintain_order=True)
        # Windows are cut wherever the stream happens to be, so what else is in one is no sort of its own.
        whole = self.unit == "window"
        parts = joined if whole else [part for one in joined for part in told_apart(one)]
        groups = [(*graded(group, self.threshold, self.scores.height), group) for group in parts]
        groups.sort(key=lambda g: (-SEVERITIES.index(g[0]), g[2]["p_value"][0], -g[2]["score"][0], g[2]["unit"][0]))
        together = join_strays([(grade, group) for grade, _, group in groups])
        return [(*groups[some[0]][:2], pl.concat([groups[i][2] for i in some])) for some in together]

    def _alarms(self) -> pl.DataFrame:
        """Return the flagged units, one row each, with the evidence of the view that makes the score."""
        return self.evidenced(self.kept.filter(self.scores["is_anomaly"].gather(self.kept["unit"])))

    def evidenced(self, flagged: pl.DataFrame) -> pl.DataFrame:
        """Return some of ``kept``, one row each, with the evidence of the view that makes the score."""
        if flagged.height == 0:
            return pl.DataFrame()
        rows = self.scores[flagged["unit"]]
        lead = self.decision.leading(self.raw(rows))
        parts = []
        for i, detector in enumerate(self.views.values()):
            mine = np.flatnonzero(lead == i)
            if len(mine):
                part = flagged[mine]
                evidence = detector.evidence(part.select("templates", *detector.needs))
                named = part.hstack(evidence).with_columns(view=pl.lit(detector.name))
                parts.append(named.hstack(rows[mine].select(*SCORES)))
        out = pl.concat(parts).sort("unit")
        if "levels" not in out.columns:
            return out.with_columns(level=pl.lit(0, pl.UInt8), source=pl.lit(None, pl.UInt32))
        at = pl.col("event").fill_null(0)
        # What is missing has no line of its own, so no level either.
        level = pl.when(pl.col("event").is_null()).then(0).otherwise(pl.col("levels").list.get(at, null_on_oob=True))
        return out.with_columns(
            level=level.fill_null(0).cast(pl.UInt8), source=pl.col("sources").list.get(at, null_on_oob=True)
        )

    def _regime(self) -> list[Finding]:
        """Return one finding for what made the log another: what many improbable units, as they are, have in common."""
        if self.drift is None or self.learned is None:
            return []
        usual = (self.learned >= self.decision.threshold) & ~self.scores["is_anomaly"]
        if self.aside is not None and self.aside.height:
            kept, scores = as_they_were(self.aside, self.scores, self.views)
            return replace(self, kept=kept, scores=scores, aside=None)._regime()
        if (changed := self.evidenced(self.kept.filter(usual.gather(self.kept["unit"])))).height == 0:
            return []
        parts = main_reasons(changed)
        same, codes = parts[0], [part["template"][0] for part in parts]
        score = self.learned.gather(same["unit"].head(1)).to_numpy()  # by its own habits it is as usual as the rest
        lines = marked_lines(same)
        fetch = fetched(self.logs, self.messages, {ref[:2] for ref in lines})
        why = f"{self.drift.share:.0%} of the {self.unit}s are improbable, {self.drift.expected:.1%} were expected"
        made = self._finding("medium", why, same, [fetch(ref) for ref in lines], self._suspects.of_units(same, True))
        return [
            replace(
                made,
                id=finding_id("drift", same["kind"][0], self._text(codes[0]), ""),
                kind="drift",
                score=round(float(score[0]), 6),
                p_value=float(f"{self.decision.p_value(score)[0]:.4g}"),
                templates=named_templates([c for c in codes if c is not None], self.template_ids, self.texts),
                reason=f"The log has changed: {why}; "
                + for_reasons(parts, changed.height, lambda row: sentence(self.facts(row))[0]),
                units=int(usual.sum()),
            )
        ]

    def _finding(self, grade: str, why: str, group: pl.DataFrame, lines: list[Line], sources: list[str]) -> Finding:
        worst = group.row(0, named=True)
        reason, expected = sentence(self.facts(worst))
        codes = dict.fromkeys(c for c in group["template"] if c is not None)
        if group.height > 1:
            others = len(codes) - 1
            are = "pattern is" if others == 1 else "patterns are"
            also = f"; {others} more {are} strange in them" if others else ""
            if worst.get("mark") is not None:
                which = "with" if worst["marked"] else "without"
                also = f" {which} “{shortened(self._text(worst['mark']))}”, unlike others{also}"
            reason = f"{reason[:-1]} ({group.height:,} {self.unit}s{also})."
        where = iso(worst["start"]) or ""
        shares = self.decision.surprise(self.raw(self.scores[worst["unit"]]))
        return Finding(
            id=finding_id(worst["kind"], worst["key"], self._text(worst["template"]), f"{where} {worst['first_line']}"),
            kind=worst["kind"],
            severity=grade,
            severity_reason=why,
            score=round(worst["score"], 6),
            p_value=float(f"{float(group['p_value'].to_numpy().min()):.4g}"),
            start=group["start"].min(),  # type: ignore[arg-type]  # a Datetime column's minimum is one
            end=group["end"].max(),  # type: ignore[arg-type]  # likewise
            session=worst["key"],
            sources=sources,
            templates=named_templates(list(codes)[:20], self.template_ids, self.texts),
            rules=[],
            reason=reason,
            expected=expected,
            lines=lines,
            units=group.height,
            views={view: round(float(s[0]), 4) for view, s in shares.items()},
            unit=worst["unit"],
            members=tuple(group["unit"]),
        )

    def worst_units(self, findings: Sequence[Finding]) -> pl.DataFrame:
        """Return the strangest unit of each finding that has one: SEQUENCES with its evidence, ``view`` and ``id``."""
        told = [(f.id, f.unit) for f in findings if f.unit is not None]
        ids = pl.DataFrame(told, {"id": pl.String, "unit": pl.UInt32}, orient="row")
        kept = self.kept.join(ids.select("unit").unique(), on="unit", how="semi")
        return ids.join(self.evidenced(kept), on="unit") if kept.height else kept.clear()

    def _text(self, code: int | None) -> str:
        return "" if code is None else self.texts[code]

    def facts(self, worst: Mapping[str, Any]) -> Facts:
        """Return what is said of a unit, a row of ``evidenced``."""
        codes, event = worst["templates"], worst["event"]
        instead: list[tuple[str | None, float]] = []
        # The view that was surprised says what it expected; another may well have expected what came.
        view = self.views.get(worst.get("view", "lstm"))
        view = view if isinstance(view, NGram) else self.views.get("lstm")
        if worst["kind"] == "order" and event is not None and isinstance(view, LSTM | NGram):
            # Where windows end says nothing about the system.
            instead = [
                (None if c is None else self.texts[c], p)
                for c, p in view.expected(codes, event)
                if c != worst["template"] and (c is not None or self.unit == "session")
            ]
        following = self.watch.ledger.followers.get(worst["template"]) if worst["kind"] == "end" else None
        if following is not None and following[0] not in codes:
            instead = [(self.texts[following[0]], 1.0 - worst["share"])]
        pairs = self.views.get("ngram")
        return Facts(
            kind=worst["kind"],
            unit=self.unit,
            template=self._text(worst["template"]),
            seen=worst["seen"],
            usual=worst["usual"],
            share=worst["share"],
            before=self.texts[codes[event - 1]] if event else None,
            instead=instead,
            trained_on=self.trained_on,
            cut=bool(worst.get("open_at_end")),
            late=isinstance(pairs, NGram) and pairs.begins_late(codes),
        )

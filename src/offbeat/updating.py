"""Going on to learn: what is new is learned beside a rehearsal of what was, and what is strange is not."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from offbeat.codes import Ids
from offbeat.decide import GROUP, Apart, on_units
from offbeat.decide.incidents import finding_id
from offbeat.detect import Ragged
from offbeat.distinct import Scorer
from offbeat.errors import ModelError, NotEnoughDataError, OptionError
from offbeat.explain import sentence
from offbeat.finding import iso
from offbeat.group.sessions import latest
from offbeat.intake import Data, learn_units
from offbeat.learn import Learned, learn, make_views
from offbeat.lineage import Changed, Places, find_changed, named_anew, rename_lives, renamed, to_frame
from offbeat.memory import Memory, ages, joined, kept, sample, spread_of
from offbeat.mine import Catalog
from offbeat.quarantine import acknowledged, freed, group_of, heard, hold, raised
from offbeat.stability import MOST_SCORED, reach_of

if TYPE_CHECKING:
    from offbeat.intake import Intake
    from offbeat.pipeline import Pipeline
    from offbeat.run import Run
    from offbeat.store import Answer

#: What was held back is learned by itself from this age on, unless told otherwise.
AFTER: Final = "14d"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Update:
    """What came of an update.

    Attributes:
        events: read.
        units: read.
        skipped: units that had been learned, or held back, before.
        learned: units learned.
        quarantined: units held back, for the model itself finds them strange.
        released: units that had been held back and are learned now.
        held: units that are held back now.
        aged_out: templates forgotten, for they were last seen too long ago.
        new_templates: templates not known before, those that only changed left out.
        changed: lines that a release worded anew: ``new``, ``old`` (texts) and ``similarity``.
        groups: what is held back: ``id``, ``kind``, ``reason``, ``units``, ``first_seen``, ``last_seen``, and whether
            some of it was ``confirmed``.
        alert_share: share of units like those learned that will be flagged.
        fit: how well the model fitted the log before the update; see ``Run.fit``.
        truncated: archives that end too early.
    """

    events: int = 0
    units: int = 0
    skipped: int = 0
    learned: int = 0
    quarantined: int = 0
    released: int = 0
    held: int = 0
    aged_out: int = 0
    new_templates: int = 0
    changed: list[dict[str, Any]] = field(default_factory=list)
    groups: list[dict[str, Any]] = field(default_factory=list)
    alert_share: float = 0.0
    fit: dict[str, Any] | None = None
    truncated: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, times as ISO 8601 in UTC."""
        return asdict(self)


def remember(pipeline: Pipeline, intake: Intake, normal: pl.DataFrame) -> Memory:
    """Return the memory of a model that was just learned from ``normal`` units."""
    units = kept(normal)
    memory = Memory(sample(units, seed=pipeline.seed), lives=intake.lives.frame(), spread=spread_of(units))
    memory.reach = _reach(pipeline, memory)
    memory.until = _latest(units)
    start = None if not units.height else units["start"].min()
    memory.history.append(
        {"what": "fit", "from": iso(start), "until": iso(memory.until), "events": intake.events,  # type: ignore[arg-type]  # a Datetime column
         "units": units.height, "learned": units.height, "templates": 0 if pipeline.catalog is None
         else len(pipeline.catalog.texts)}
    )  # fmt: skip
    return memory


def changed_lines(pipeline: Pipeline, intake: Intake, places: Places) -> list[Changed]:
    """Return the lines that changed between what a pipeline learned and an input that was read to its end."""
    memory, catalog = pipeline.memory, pipeline.catalog
    if memory is None or not isinstance(catalog, Catalog):
        return []
    names = names_of(pipeline)
    now = rename_lives(intake.lives.frame(), names)
    known = memory.lives.select("template").unique()
    if not now.join(known, on="template", how="anti").height:
        return []
    before = Places()
    before.add(Ragged.of(memory.rehearsal))
    here = places.renamed(catalog.merged)
    return find_changed(memory.lives, now, before.pairs, here, named_anew(catalog.texts, names))


def update(
    pipeline: Pipeline,
    data: Data | None,
    *,
    acknowledge: Collection[str] = (),
    after: str | None = None,
    ttl: str | None = None,
    older: bool = False,
    answers: Sequence[Answer] = (),
) -> Update:
    """Learn on; see ``Pipeline.update``. The pipeline is as it was where this raises."""
    memory = pipeline.memory
    if memory is None:
        raise ModelError("keeps nothing to go on from", where="update", hint="learn it again with this offbeat: fit")
    for name, detector in pipeline.fitted.views.items():
        if detector.supervised:
            raise OptionError("learned from labels, which no model keeps", where=f"detector {name}", hint="fit again")
    waits, lives_for = ages(after or AFTER, "--after"), ages(ttl or memory.ttl, "--ttl")
    made = copy.copy(pipeline)
    made.memory = memory = copy.copy(memory)
    memory.ttl = ttl or memory.ttl
    said = acknowledged(memory, acknowledge, heard(memory.quarantine, answers, _ids(made)).real)
    read = _Read() if data is None else _read(made, data, older, answers)
    hold(memory, read.held, made.seed)
    told = heard(memory.quarantine, answers, _ids(made))
    free = freed(memory, waits, said, told)
    said |= told.normal
    gone = _age(memory, lives_for)
    fresh = read.units.filter(~read.strange) if read.units is not None else None
    parts = [memory.rehearsal, *([fresh] if fresh is not None and fresh.height else [])]
    mixture = joined([*parts, *([raised(free, said, parts)] if free.height else [])])
    names = names_of(made)
    mixture = renamed(mixture, names)
    made.learned = _learned(made, mixture)
    memory.rehearsal = sample(mixture, seed=made.seed)
    memory.lives, memory.spread = rename_lives(memory.lives, names), spread_of(mixture)
    memory.reach = _reach(made, memory)
    result = _result(made, read, free, gone, told.real)
    memory.history = [*memory.history, _entry(read, result, memory)]
    made.summary = _summary(made, mixture, read.events)
    made._training = None
    pipeline.__dict__.update(made.__dict__)
    return result


@dataclass
class _Read:
    """A log that was read: its units as a memory keeps them, which of them are strange, and why."""

    units: pl.DataFrame | None = None
    strange: pl.Series = field(default_factory=lambda: pl.Series([], dtype=pl.Boolean))
    held: pl.DataFrame | None = None
    events: int = 0
    seen: int = 0
    skipped: int = 0
    start: datetime | None = None
    new_templates: int = 0
    changed: list[dict[str, Any]] = field(default_factory=list)
    fit: dict[str, Any] | None = None
    truncated: list[str] = field(default_factory=list)


def _ids(made: Pipeline) -> Sequence[str]:
    """Return the ids of templates by code."""
    return made.catalog.texts if isinstance(made.catalog, Ids) else made.catalog.ids if made.catalog else ()


def _read(made: Pipeline, data: Data, older: bool, answers: Sequence[Answer]) -> _Read:
    """Read, mine and group a log, and score it by what was learned."""
    memory, before, grouping = made.memory, made.catalog, made.grouping
    assert memory is not None  # noqa: S101 - update has one
    assert grouping is not None  # noqa: S101 - it is fitted
    intake = made._opened(data)
    intake.watch.before = made.bursts
    intake.lives.since = None if older else memory.until
    if intake.is_ids != isinstance(before, Ids):
        raise OptionError("learned from logs, updated with ids, or the other way round", where="update")
    made.progress("reading")
    if isinstance(before, Ids):
        made.catalog = ids = Ids(before.texts[: before.known])
        units = intake.sequences(ids, made.sources)
        ids.known, known = len(ids.texts), before.known
    else:
        assert before is not None  # noqa: S101 - it is fitted
        known = before.known
        units, made.catalog = learn_units(intake, grouping, made.sources, before)
        units = grouping.reopened(units)
    seen = units.height
    if memory.until is not None and not older:
        units = units.filter((pl.col("end") > memory.until).fill_null(True))
    if not units.height:
        until = iso(memory.until)
        raise NotEnoughDataError(
            f"holds nothing later than what was learned, up to {until}", where="update",
            hint="--older learns what is older as well",
        )  # fmt: skip
    changed: list[Changed] = []
    if isinstance(made.catalog, Catalog):
        places = Places(known)
        places.add(Ragged.of(renamed(units, names_of(made))))
        changed = changed_lines(made, intake, places)
        memory.lineage = pl.concat([memory.lineage, to_frame(changed, made.catalog.ids)])
    units = renamed(units, names_of(made))
    made.progress("scoring")
    scored = [(units, *Scorer(made.fitted.views)(units, made.texts))]
    run = made._run(intake, scored, names=names_of(made), whole=True)
    score = run.scores["score"] if run.learned is None else run.learned
    # What somebody confirmed is not learned, whatever the model thinks of it by now.
    strange = (score >= made.fitted.decision.threshold) | heard(units, answers, _ids(made)).confirmed
    lives = intake.lives.frame()
    names, texts = names_of(made), made.catalog.texts
    memory.lives = rename_lives(pl.concat([memory.lives, lives]), names) if lives.height else memory.lives
    memory.until = max((t for t in (memory.until, _latest(units)) if t is not None), default=None)
    return _Read(
        units=kept(units),
        strange=strange,
        held=_reasons(run, units.filter(strange), np.flatnonzero(strange.to_numpy())),
        events=intake.events,
        seen=seen,
        skipped=seen - units.height,
        start=units["start"].min(),  # type: ignore[arg-type]  # a Datetime column
        new_templates=len(texts) - known - len(changed),
        changed=[{"new": texts[c.new], "old": texts[c.old], "since": iso(c.since), "similarity": c.similarity}
                 for c in changed],
        fit=run.fit,
        truncated=list(intake.logs.summary.truncated) if intake.logs else [],
    )  # fmt: skip


def _reasons(run: Run, units: pl.DataFrame, rows: np.ndarray[Any, Any]) -> pl.DataFrame:
    """Return strange units as a memory keeps them, with what the person on call would be told."""
    if not units.height:
        return pl.DataFrame()
    told = run.evidenced(units.with_columns(unit=pl.Series(rows, dtype=pl.UInt32)))
    words, groups, findings = [], [], []
    for row in told.iter_rows(named=True):
        code = row["template"]
        text, name = ("", "") if code is None else (run.texts[code], run.template_ids[code])
        words.append(sentence(run.facts(row))[0])
        groups.append(group_of(row["kind"], name))
        findings.append(finding_id(row["kind"], row["key"], text, f"{iso(row['start']) or ''} {row['first_line']}"))
    ids = [None if code is None else run.template_ids[code] for code in told["template"]]
    return kept(told).with_columns(
        group=pl.Series(groups, dtype=pl.String),
        finding=pl.Series(findings, dtype=pl.String),
        kind=told["kind"],
        template_id=pl.Series(ids, dtype=pl.String),
        reason=pl.Series(words, dtype=pl.String),
        level=told["level"],
        p_value=told["p_value"],
    )


def _age(memory: Memory, lives_for: timedelta | None) -> set[int]:
    """Forget what was last seen too long ago; returns the templates that are gone."""
    if lives_for is None or memory.until is None:
        return set()
    since = memory.until - lives_for
    before = set(memory.lives["template"])
    memory.lives = memory.lives.filter((pl.col("last_seen") >= since).fill_null(True))
    memory.rehearsal = memory.rehearsal.filter((pl.col("end") >= since).fill_null(True))
    if memory.quarantine.height:
        memory.quarantine = memory.quarantine.filter((pl.col("end") >= since).fill_null(True))
    memory.groups = memory.groups.filter((pl.col("last_seen") >= since).fill_null(True) | pl.col("acknowledged"))
    return before - set(memory.lives["template"])


def names_of(made: Pipeline) -> dict[int, int]:
    """Return, for the codes of lines that changed, those they had before."""
    if made.memory is None or not isinstance(made.catalog, Catalog):
        return {}
    return made.memory.aliases({name: code for code, name in enumerate(made.catalog.ids)})


def _learned(made: Pipeline, mixture: pl.DataFrame) -> Learned:
    """Learn from old and new together; the line is as improbable as it was, on a scale that is renewed."""
    before = made.fitted
    names = list(before.views)
    found = learn(
        mixture,
        lambda: make_views(names, made.params, made.seed),
        clean=made.clean,
        rule=made.rule,
        seed=made.seed,
        texts=made.texts,
        folds=made.folds,
        by_group=made.calibrate == "groups",
        progress=made.progress,
    )
    decision = found.decision
    if decision.anchor != before.decision.anchor:
        return found
    # A threshold found anew on what was sifted by the old one would creep down with each update.
    weight = mixture["weight"].to_numpy()
    decision.line = before.decision.line
    raw = decision.with_group(found.out_of_fold, mixture)
    rule = on_units(made.rule, mixture)
    if rule is None or isinstance(rule, Apart):
        decision.threshold = decision.line
    else:
        decision.threshold = decision.line_of(rule, raw, weight, found.kept or None)
    decision.settle(decision(raw), weight, raw.get(GROUP))
    return found


def _reach(made: Pipeline, memory: Memory) -> pl.DataFrame:
    """Return how far the scores of what was learned reach, by what was learned of it."""
    units = sample(memory.rehearsal, MOST_SCORED, seed=made.seed)
    raw, data = Scorer(made.fitted.views)(units, made.texts)
    decision = made.fitted.decision
    return reach_of(decision(decision.with_group(raw, units)), data.weight)


def _latest(units: pl.DataFrame) -> datetime | None:
    """Return when the last unit ended, but for strays; None where none has a time."""
    ends = units["end"].drop_nulls().dt.epoch("us").to_numpy() if units.height else np.zeros(0, dtype=np.int64)
    last = latest(ends, int(ends.max(initial=0)))
    return _EPOCH + timedelta(microseconds=last) if len(ends) else None


def _result(made: Pipeline, read: _Read, free: pl.DataFrame, gone: set[int], real: Collection[str]) -> Update:
    memory = made.memory
    assert memory is not None  # noqa: S101 - update has one
    waiting = memory.groups.filter(~pl.col("acknowledged")).sort("units", "id", descending=[True, False])
    shown = ("id", "kind", "template_id", "reason", "units", "first_seen", "last_seen")
    groups = [
        row | {name: iso(row[name]) for name in shown[-2:]} | {"confirmed": row["id"] in real}
        for row in waiting.select(shown).iter_rows(named=True)
    ]
    strange = int(read.strange.sum())
    return Update(
        events=read.events,
        units=read.seen,
        skipped=read.skipped,
        learned=read.seen - read.skipped - strange,
        quarantined=strange,
        released=round(float(free["weight"].sum())) if free.height else 0,
        held=memory.held,
        aged_out=len(gone),
        new_templates=read.new_templates,
        changed=read.changed,
        groups=groups,
        alert_share=made.fitted.decision.alert_share,
        fit=read.fit,
        truncated=read.truncated,
    )


def _entry(read: _Read, result: Update, memory: Memory) -> dict[str, Any]:
    """Return what the model's history says of an update; in log time, so that equal input gives equal bytes."""
    counts = ("events", "units", "skipped", "learned", "quarantined", "released", "held", "aged_out", "new_templates")
    fit = result.fit["verdict"] if result.fit else None
    times = {"from": iso(read.start), "until": iso(memory.until)}
    return {"what": "update", **times, **{name: getattr(result, name) for name in counts},
            "changed": len(result.changed), "fit": fit}  # fmt: skip


def _summary(made: Pipeline, mixture: pl.DataFrame, events: int) -> dict[str, Any]:
    learned, catalog = made.fitted, made.catalog
    return made.summary | {
        "events": made.summary["events"] + events,
        "units": mixture.height,
        "weight": float(mixture["weight"].sum()),
        "templates": 0 if catalog is None else len(catalog.texts),
        "alert_share": learned.decision.alert_share,
        "order_check": learned.order_check,
        "absent": learned.absent,
    }

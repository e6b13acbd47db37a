"""Pipeline: fit · score · find · save · load. What a Python user holds; every command is a call on it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat import allocator, bundle, saving
from offbeat.codes import Ids, Sources
from offbeat.decide import asked_share, check_drift, on_units, parse_calibrate, parse_threshold, timed, verdicts
from offbeat.detect import Ragged
from offbeat.detect.bursts import Bursts
from offbeat.distinct import Scorer
from offbeat.errors import ModelError, OffbeatError
from offbeat.group import Grouping
from offbeat.intake import Data, Intake, Options, learn_units
from offbeat.learn import DEFAULT, Learned, learn, make_views
from offbeat.lineage import Places, named_anew, rename_lives, renamed
from offbeat.memory import Memory
from offbeat.mine import Catalog
from offbeat.regime import Seen, recalibrate
from offbeat.rules import RuleSet, load_pack
from offbeat.ruling import Ruling
from offbeat.run import Run
from offbeat.schema import view_column
from offbeat.scored import Placed, judge
from offbeat.stability import Numbers, fit_of
from offbeat.tally import Lanes
from offbeat.units import UnitTable, group_column, known_keys, raw_of, strangest, truth
from offbeat.updating import Update, changed_lines, names_of, remember, update

if TYPE_CHECKING:
    from offbeat.evaluate.labels import Labels
    from offbeat.store import Answer

Progress = Callable[[str], None]
#: Units, their raw scores by view, and their sequences.
Part = tuple[pl.DataFrame, Mapping[str, NDArray[np.float64]], Ragged]


class Pipeline:
    """Learns what is normal from logs and says what is not.

    Args:
        format, session_by, window, idle, tz, dedupe: how to read and group; see the command line's options.
        detectors: views to use, by name.
        params: parameters of detectors, by ``name`` or ``detector.name``.
        clean: the training data is declared free of anomalies.
        threshold: see the command line's ``--threshold``; None chooses by ``clean``.
        calibrate: ``groups``, by source and hour of the day where there are units enough, or ``pooled``.
        seed: of everything random.
        mask_key: replace personal data by a hash with this key before anything is mined, stored or shown.
        rules: Sigma rules to look for beside; None means those that ship, an empty ``RuleSet`` none.
        progress: called with a few words on what is being done.
    """

    #: Thirds of the training units that are held out in turn to calibrate by; ``cross_score`` needs all three.
    folds = 3

    def __init__(
        self,
        *,
        format: str | None = None,  # noqa: A002 - the command line's name
        session_by: str | None = None,
        window: str | int | None = None,
        idle: str | None = None,
        tz: str | None = None,
        dedupe: bool = False,
        detectors: Sequence[str] = DEFAULT,
        params: Mapping[str, Any] | None = None,
        clean: bool = False,
        threshold: str | None = None,
        calibrate: str = "groups",
        seed: int = 0,
        mask_key: bytes | None = None,
        rules: RuleSet | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.options = Options(format, session_by, None if window is None else str(window), idle, tz, dedupe)
        self.detectors = tuple(detectors)
        self.params = dict(params or {})
        self.clean = clean
        self.rule = parse_threshold(threshold) if threshold else None
        self.threshold = threshold
        self.calibrate = parse_calibrate(calibrate)
        self.seed = seed
        self.mask_key = mask_key
        self.rules = rules
        self.progress: Progress = progress or (lambda _: None)
        self.learned: Learned | None = None
        self.grouping: Grouping | None = None
        self.catalog: Catalog | Ids | None = None
        self.sources = Sources()
        self.summary: dict[str, Any] = {}
        self.hash: str | None = None
        self.path: str | None = None
        self.bursts: Bursts | None = None
        self.memory: Memory | None = None
        self._training: tuple[Intake, pl.DataFrame] | None = None
        make_views(self.detectors, self.params, seed)  # wrong names are said before anything is read

    def fit(self, data: Data, labels: Labels | pl.Series | None = None) -> Self:
        """Learn from logs.

        Args:
            data: paths, folders or globs; ``Lines`` or a list of lines; a Polars or pandas frame of events; or
                sequences of ids, see ``Intake``.
            labels: which units are known to be anomalous: detectors that learn from labels use them, all others leave
                these units out. For sequences of ids also a Boolean series, true for an anomaly.

        Raises:
            UserError: the data cannot be read, or there is too little of it.
        """
        intake = self._opened(data)
        self.progress("reading")
        self.grouping = intake.grouping()
        if intake.is_ids:
            ids = Ids()
            units = intake.sequences(ids, self.sources)
            ids.known = len(ids.texts)
            self.catalog = ids
        else:
            units, self.catalog = learn_units(intake, self.grouping, self.sources)
            self.grouping = self.grouping.with_idle(units)
            units = self.grouping.reopened(units)
        anomalous = None
        if labels is not None:
            known = labels if isinstance(labels, pl.Series) else truth(labels, units, intake)
            anomalous = known.to_numpy().astype(bool)
        self.learned = learn(
            units,
            lambda: make_views(self.detectors, self.params, self.seed),
            clean=self.clean,
            rule=self.rule,
            seed=self.seed,
            anomalous=anomalous,
            texts=self.texts,
            folds=self.folds,
            by_group=self.calibrate == "groups",
            progress=self.progress,
        )
        normal = units if anomalous is None else units.filter(~anomalous)
        self.summary = {
            "events": intake.events,
            "units": normal.height,
            "weight": float(normal["weight"].sum()) if "weight" in units.columns else float(normal.height),
            "templates": len(self.catalog.texts),
            "known_anomalies": 0 if anomalous is None else int(anomalous.sum()),
            "alert_share": self.learned.decision.alert_share,
            "apart": self.learned.decision.beyond if self.rule is None else 0.0,
            "order_check": self.learned.order_check,
            "absent": self.learned.absent,
            "grouped": self.grouping.reason,
            "truncated": list(intake.logs.summary.truncated) if intake.logs else [],
        }
        self.bursts = intake.watch.bursts
        self.memory = remember(self, intake, normal)
        self._training = (intake, units)
        return self

    def update(
        self,
        data: Data | None = None,
        *,
        acknowledge: Collection[str] = (),
        after: str | None = None,
        ttl: str | None = None,
        older: bool = False,
        answers: Sequence[Answer] = (),
    ) -> Update:
        """Go on to learn from later logs, with a rehearsal of what was learned before.

        What the model flags is held back until somebody says that it is normal, or until it has gone on for long, on
        many days, as a notable part of the log and without a warning in it. What was not seen for long is forgotten.

        Args:
            data: as for ``fit``; None only to acknowledge. What ends before what was learned last is passed over.
            acknowledge: ids of what is held back (its own, a finding's or a template's) that is normal; or ``all``.
            after: what was held back becomes a habit from this age on, in log time: ``14d``, or ``never``.
            ttl: what was last seen longer ago is forgotten: ``90d``, or ``never``; remembered for the next time.
            older: learn what is older than what was learned last, too.
            answers: to findings (``Feedback.answers``): what is expected is learned, what was confirmed never a habit.

        Raises:
            UserError: the data cannot be read, are all known, or an id names nothing that is held back.
        """
        return update(self, data, acknowledge=acknowledge, after=after, ttl=ttl, older=older, answers=answers)

    def _opened(self, data: Data) -> Intake:
        """Open an input, with rules to be looked for while it is read."""
        intake = Intake(data, self.options, self.mask_key)
        rules = load_pack() if self.rules is None else self.rules
        if rules.rules and not intake.is_ids:
            formats = [sniffed.layout for sniffed in intake.logs.sniffed] if intake.logs else []
            intake.ruling = Ruling(rules, formats, whole=self.rules is not None)
        return intake

    @property
    def fitted(self) -> Learned:
        """What was learned; raises OffbeatError before ``fit`` or ``load``."""
        if self.learned is None:
            raise OffbeatError("nothing is learned yet", where="Pipeline", hint="call fit or load first")
        return self.learned

    @property
    def ids(self) -> Ids:
        """The ids learned from; raises OffbeatError where it was logs."""
        if not isinstance(self.catalog, Ids):
            raise OffbeatError("learned from logs, not from ids", where="Pipeline.ids")
        return self.catalog

    def cross_score(self) -> Run:
        """Score the training data itself, each part by a model that did not see it."""
        if self._training is None:
            raise OffbeatError("there is no training data at hand", where="Pipeline", hint="call fit first")
        intake, units = self._training
        return replace(self._run(intake, [(units, self.fitted.out_of_fold, Ragged.of(units))]), fit=None, itself=True)

    def score(self, data: Data, labels: Labels | None = None) -> Run:
        """Score logs with what was learned.

        Args:
            data: as for ``fit``, of the kind that was learned from.
            labels: adds the columns ``label`` and ``sequence`` to the scores, for ``offbeat.evaluate``; nothing that
                is decided looks at them.
        """
        grouping, catalog = self.grouping, self.catalog
        scorer = Scorer(self.fitted.views)
        intake = self._opened(data)
        intake.watch.before = self.bursts
        self.progress("scoring")
        if grouping is None or catalog is None or intake.is_ids != isinstance(catalog, Ids):
            raise OffbeatError("learned from logs, asked about ids, or the other way round", where="Pipeline.score")
        if isinstance(catalog, Ids):
            part = intake.sequences(catalog, self.sources)
            return self._run(intake, [(part, *scorer(part, self.texts))], labels)
        names, places = names_of(self), Places(catalog.known)
        run = self._run(intake, self._scored(intake, scorer, names, places), labels, names)
        changed = changed_lines(self, intake, places)
        if not changed:
            return run
        # A release worded lines anew: what was learned of them holds, so they are read once more by their old names.
        self.progress("scoring again, for lines have changed")
        once_more = intake.again()
        names |= {one.new: names.get(one.old, one.old) for one in changed}
        return self._run(once_more, self._scored(once_more, scorer, names), labels, names).after_change(changed, run)

    def _scored(
        self, intake: Intake, scorer: Scorer, names: Mapping[int, int], places: Places | None = None
    ) -> Iterator[Part]:
        """Yield units, scored as they are read, by the names that lines had; ``places`` is shown them."""
        catalog, grouping = self.catalog, self.grouping
        assert isinstance(catalog, Catalog)  # noqa: S101 - callers looked
        assert grouping is not None  # noqa: S101 - learned with the catalog
        match = catalog.match
        code = (lambda shapes: match(shapes).replace(names)) if names else match
        for part in intake.units(grouping, code, self.sources):
            raw, data = scorer(part, self.texts)
            if places is not None:
                places.add(data)
            yield part, raw, data

    @property
    def texts(self) -> Sequence[str]:
        """The templates' texts by code; empty where ids stand in for them, unless the ids are the texts."""
        if isinstance(self.catalog, Ids):
            return self.catalog.texts if self.catalog.meaningful else ()
        return () if self.catalog is None else self.catalog.texts

    def _run(
        self,
        intake: Intake,
        parts: Iterable[Part],
        labels: Labels | None = None,
        names: Mapping[int, int] | None = None,
        whole: bool = False,
    ) -> Run:
        """Fuse and decide over units with raw scores, keeping the events only of the strangest.

        With ``whole`` what a release added is not left out where units are judged.
        """
        decision, files = self.fitted.decision, intake.logs.files if intake.logs else ("input",)
        table = UnitTable()
        kept: list[pl.DataFrame] = []
        lanes, sequences = Lanes(), Seen()
        numbers = Numbers(self.memory.spread) if self.memory is not None else None
        placed = Placed() if intake.ruling is not None and intake.ruling.scored else None
        seen = 0
        for units, raw, data in parts:
            given = decision.with_group(raw, units)
            fused = decision(given)
            p_value = decision.p_value(fused, given)
            columns: dict[str, Any] = {"score": fused, "p_value": p_value, "is_anomaly": fused >= decision.threshold}
            columns |= {view_column(view): score for view, score in raw.items()}
            columns |= group_column(given, decision.groups, self.sources.names)
            sequence = sequences.add(units, data)
            if placed is not None:
                placed.add(units)
            if numbers is not None:
                numbers.add(units)
            if labels is not None:
                columns |= {sequence.name: sequence, "label": truth(labels, units, intake, whole=False)}
            table.add(units, columns, files)
            if "sources" in units.columns:
                lanes.add(units, fused)
                intake.watch.ledger.add(units, traced=self.grouping is None or self.grouping.window is None)
            rank = units.with_columns(
                sequence, unit=pl.int_range(seen, seen + units.height, dtype=pl.UInt32), fused=fused
            )
            kept = strangest([*kept, rank])
            seen += units.height
            allocator.give_back()
        scores = table.frame()
        if isinstance(self.catalog, Catalog) and (merged := intake.generalise(self.catalog)):
            kept = [renamed(part, merged) for part in kept]
            sequences.rename(merged)
        if labels is not None:
            known_keys(labels, scores)
        fused = scores["score"].to_numpy()
        lives = rename_lives(intake.lives.frame(), names or {})  # an update reads them under their new names
        weight = scores["weight"].to_numpy() if "weight" in scores.columns else None
        rule = on_units(self.rule, scores)
        drift = check_drift(decision, fused, weight, rule)
        threshold, learned, again, aside = decision.threshold, None, None, None
        strange = pl.concat(kept).drop("fused", "sequence").sort("unit")
        if drift:
            threshold, learned = drift.threshold, scores["score"]
            raw, views = raw_of(scores, self.fitted.views), partial(make_views, self.detectors, self.params, self.seed)
            alarming = None if whole else intake.lives.alarming()
            again = recalibrate(sequences.units(), raw, self.fitted, drift, views, self.seed, alarming, rule)
        if again:
            scores, threshold = again.applied(scores), again.threshold
            strange, aside = (strange, None) if again.additions is None else again.additions.parted(strange, raw)
        scores = scores.with_columns(is_anomaly=pl.Series(verdicts(rule, scores, threshold)))
        assert self.catalog is not None  # noqa: S101 - units come from it
        assert self.grouping is not None  # noqa: S101 - learned with the catalog
        if placed is not None and intake.ruling is not None and isinstance(self.catalog, Catalog):
            judge(intake.ruling, intake, placed.known(scores), self.catalog)
        ids = self.catalog.texts if isinstance(self.catalog, Ids) else self.catalog.frame["template_id"].to_list()
        return Run(
            scores=scores,
            kept=strange,
            views=self.fitted.views,
            decision=decision,
            threshold=threshold,
            asked=asked_share(rule),
            rate=timed(self.rule),
            drift=drift,
            learned=learned,
            habits=None if again is None else again.habits,
            aside=aside,
            unit=self.grouping.unit,
            windows=self.grouping.window is not None and self.grouping.key is None,
            texts=named_anew(self.catalog.texts, names) if names else self.catalog.texts,
            template_ids=ids,
            sources=self.sources.names,
            logs=intake.logs,
            messages=intake.messages,
            trained_on=self.summary.get("weight", 0.0),
            summary=intake.as_summary(scores.height, self.catalog),
            tally=intake.tally,
            lanes=lanes,
            watch=intake.watch,
            ruling=intake.ruling,
            fit=None if numbers is None else fit_of(self, lives, fused, numbers, drift is not None),
        )

    def save(self, path: str | Path) -> None:
        """Write the model to a folder, in one step; see ``bundle.write``."""
        bundle.write(path, *saving.contents(self))

    @classmethod
    def load(cls, path: str | Path, *, mask_key: bytes | None = None, progress: Progress | None = None) -> Self:
        """Read a model from a folder; runs no code from it.

        Raises:
            ModelError: it is absent, damaged, changed, of another version, or needs a mask key.
        """
        values, frames, others, digest = bundle.read(path)
        o, views = values.get("options", {}), values.get("views", {})
        try:
            saving.check_key(values["masked"], mask_key, str(path))
            o |= {name: values[name] for name in ("clean", "threshold", "calibrate")}
            made = cls(**o, detectors=values["order"])
            made.params = {f"{name}.{k}": v for name in values["order"] for k, v in views[name]["params"].items()}
            saving.restore(made, values, frames, others)
        except bundle.FOREIGN:
            hint = "learn it again with this offbeat"
            raise ModelError("holds something else than this offbeat writes", where=str(path), hint=hint) from None
        made.mask_key = mask_key
        made.hash, made.path = digest, str(path)
        made.progress = progress or made.progress
        return made

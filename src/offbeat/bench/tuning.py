"""Search a detector's parameters on a validation part: later than what it learns from, and never the test part."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args

import numpy as np
import polars as pl

from offbeat import bundle
from offbeat.bench.space import Choice
from offbeat.bench.splits import frames_hash
from offbeat.codes import Ids, Sources
from offbeat.detect import DETECTORS
from offbeat.distinct import score_views
from offbeat.errors import InputError, OffbeatError, OptionError
from offbeat.evaluate.metrics import measure
from offbeat.evaluate.order import ALTERATIONS, alter
from offbeat.evaluate.protocols import Split
from offbeat.intake import Intake, Options
from offbeat.learn import fit_alone, make_views

if TYPE_CHECKING:
    import optuna

#: Share of the units, the last ones, that parameters are judged on.
_VALIDATED: Final = 0.3
Objective = Literal["labels", "loss", "altered"]


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Attributes:
        objective: what was compared, in words; higher is better.
        best: the best value, and ``default`` that of the parameters as they are; None where these failed.
        params: the best parameters among those searched.
        trials: how many were tried, over all runs; ``failed`` of them to no avail.
    """

    objective: str
    best: float
    default: float | None
    params: Mapping[str, Any]
    trials: int
    failed: int


_SAID: Final = {
    "labels": "average precision on the validation part's labels",
    "loss": "the network's validation loss, negated",
    "altered": "average precision at telling altered sequences of the validation part from the others",
}


@dataclass
class Trials:
    """Fits a detector on the earlier units and judges it on the later ones.

    Args:
        split: its training part is all that is used; a part of its own for validation, where there is one.
        detector: name.
        objective: what to compare; None takes labels where they may be used, else the network's validation loss, else
            how well altered sequences are told from the others.
        seed: of everything random.

    Raises:
        InputError: the validation part has one class only.
        OptionError: the objective cannot be had.
    """

    split: Split
    detector: str
    objective: Objective | None
    seed: int

    def __post_init__(self) -> None:
        kind = DETECTORS[self.detector]
        train = self.split.train
        if not self.split.ordered:
            # Without an order of time any part is as good to validate on.
            train = train[np.random.Generator(np.random.PCG64(self.seed)).permutation(train.height)]
        cut = train.height if self.split.valid is not None else round(train.height * (1 - _VALIDATED))
        fit, valid = train[:cut], train[cut:] if self.split.valid is None else self.split.valid
        self.has_labels = self.split.labels != "hidden"
        if kind.supervised and not self.has_labels:
            hint = "give --labels, or tune a detector that needs none"
            raise OptionError("learns from labels, and there are none", where=f"detector {self.detector}", hint=hint)
        self.label = valid["label"].to_numpy()
        self.wanted: Objective = self.objective or (
            "labels" if self.has_labels else "loss" if "torch" in kind.trains_with else "altered"
        )
        if self.wanted == "labels" and not self.has_labels:
            raise OptionError("needs labels, and they are hidden", where="--objective labels", hint="loss or altered")
        if self.wanted == "labels" and (self.label.all() or not self.label.any()):
            only = "anomalies" if self.label.any() else "normal units"
            raise InputError(
                f"the validation part, the last {valid.height:,} units, holds only {only}",
                where=self.split.name,
                hint="--objective altered needs no labels",
            )
        if self.wanted == "loss" and "torch" not in kind.trains_with:
            raise OptionError(f"{self.detector} is no network", where="--objective loss", hint="labels or altered")
        if self.wanted == "altered" and kind.needs:
            what = f"altered sequences say nothing of {', '.join(kind.needs)}"
            raise OptionError(what, where="--objective altered", hint="give --labels")
        ids, sources = Ids(), Sources()
        self.fit = Intake(_seen(fit), Options()).sequences(ids, sources)
        ids.known = len(ids.texts)
        self.texts = ids.texts if ids.meaningful else []
        self.valid = Intake(_seen(valid), Options()).sequences(ids, sources)
        self.known = fit["label"].to_numpy() if self.has_labels else None
        self.altered = self._alter() if self.wanted == "altered" else None

    def _alter(self) -> tuple[pl.DataFrame, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return the validation part with some of its sequences altered in each way, and which."""
        parts, which = [], []
        for i, how in enumerate(ALTERATIONS):
            mine = self.valid[i :: len(ALTERATIONS)]
            if not mine.height:
                continue
            sequences, changed = alter(mine["templates"], 0.2, self.seed + i, how)
            parts.append(mine.select(sequences.alias("templates")))
            which.append(changed)
        changed = np.concatenate(which)
        if not changed.any() or changed.all():
            what = "the validation part holds too little to alter"
            raise InputError(what, where=self.split.name, hint="a longer log")
        return pl.concat(parts), changed

    def value(self, params: Mapping[str, Any]) -> float:
        """Return how good parameters are; higher is better.

        Raises:
            OffbeatError: the detector cannot learn with them.
        """
        full = {f"{self.detector}.{name}": value for name, value in params.items()}
        (detector,) = make_views([self.detector], full, self.seed).values()
        fit_alone(detector, self.fit, self.known, self.texts)
        if self.wanted == "loss":
            history: list[tuple[float, float]] = getattr(detector, "history_", [])
            if not history:
                raise OptionError("keeps no validation loss", where=f"detector {self.detector}", hint="altered")
            return -min(validation for _, validation in history)
        units, truth = self.altered or (self.valid, self.label)
        score = score_views({self.detector: detector}, units, self.texts)[self.detector]
        return measure(truth, score, np.zeros(len(score), dtype=bool)).ap

    def matter(self, space: Mapping[str, Choice]) -> dict[str, Any]:
        """Return what makes two searches the same, in plain values."""
        return {
            "detector": self.detector,
            "objective": self.wanted,
            "seed": self.seed,
            "data": frames_hash({"fit": self.fit, "valid": self.valid}),
            "space": {name: str(choice) for name, choice in space.items()},
        }


def _seen(units: pl.DataFrame) -> pl.DataFrame:
    return units.drop("label", "incident", strict=False)


def tune(
    trials: Trials,
    space: Mapping[str, Choice],
    folder: str | Path | None,
    *,
    seconds: float,
    most: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Tuned:
    """Search by Optuna's tree-structured Parzen estimator (Bergstra et al., 2011), the defaults first.

    Args:
        trials: what is tried.
        space: what to search.
        folder: the study's; a search that was begun there is gone on with. None keeps nothing.
        seconds: begin no trial after so long.
        most: try at most so many in all; None for any number.
        progress: called with a few words.

    Raises:
        OptionError: Optuna is not installed, or the folder has another study.
        OffbeatError: every trial failed.
    """
    study, before = _study(trials, space, folder)
    if before == 0:
        defaults = DETECTORS[trials.detector]().get_params()
        study.enqueue_trial({name: _inside(defaults[name], choice) for name, choice in space.items()})
    problems: list[str] = []

    def objective(trial: optuna.Trial) -> float:
        done = f", best {study.best_value:.4f}" if _complete(study) else ""
        progress(f"{trials.detector}: trial {trial.number + 1}{done}")
        try:
            return trials.value({name: choice.suggest(trial, name) for name, choice in space.items()})
        except OffbeatError as problem:
            problems.append(str(problem))
            raise

    left = None if most is None else max(0, most - before)
    if left != 0:
        study.optimize(objective, n_trials=left, timeout=seconds, catch=(OffbeatError, ValueError, ArithmeticError))
    complete = _complete(study)
    if not complete:
        raise OffbeatError(f"every trial failed: {problems[-1] if problems else 'none was made'}", where="tune")
    first = complete[0]
    return Tuned(
        _SAID[trials.wanted], study.best_value, first.value if first.number == 0 else None, dict(study.best_params),
        len(study.trials), len(study.trials) - len(complete),
    )  # fmt: skip


def need_optuna() -> None:
    """Raise OptionError where Optuna is not installed."""
    if importlib.util.find_spec("optuna") is None:
        hint = "pip install 'offbeat[tune]'"
        raise OptionError("needs Optuna, which is not installed", where="tune", hint=hint)


def known_objective(text: str | None) -> Objective | None:
    """Read ``--objective``; raises OptionError where there is none of that name."""
    if text is None or text in get_args(Objective):
        return cast("Objective | None", text)
    raise OptionError(f"{text!r} is no objective", where="--objective", hint="labels, loss or altered")


def _inside(value: Any, choice: Choice) -> Any:
    """Return a default, or what is nearest to it among what may be tried."""
    if choice.some:
        return value if value in choice.some else choice.some[0]
    inside = min(max(value, choice.low), choice.high)
    return int(inside) if choice.whole else float(inside)


def _complete(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    import optuna

    return study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))


def _study(trials: Trials, space: Mapping[str, Choice], folder: str | Path | None) -> tuple[optuna.Study, int]:
    """Return the study, and how many trials it has already."""
    need_optuna()
    import optuna
    from optuna.storages import InMemoryStorage, JournalStorage
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    storage: optuna.storages.BaseStorage = InMemoryStorage()
    matter = trials.matter(space)
    if folder is not None:
        place = bundle.open_folder(folder, bundle.STUDY)
        begun = bundle.values_of(place, bundle.STUDY)
        other = [name for name, value in matter.items() if begun and begun.get(name) != value]
        if other:
            what = f"holds a search with another {other[0]}"
            raise OptionError(what, where=str(folder), hint="name another folder, or go on with what it was begun with")
        storage = JournalStorage(JournalFileBackend(str(place / "trials.log")))
        bundle.seal(place, matter, bundle.STUDY)
    study = optuna.create_study(storage=storage, study_name="offbeat", direction="maximize", load_if_exists=True)
    before = len(study.trials)
    # Another seed each time: with the same one a search that goes on would try the same again.
    study.sampler = optuna.samplers.TPESampler(seed=trials.seed + before)
    return study, before

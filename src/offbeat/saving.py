"""What a model holds when it is written down: plain values, tables and ONNX."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

import polars as pl

from offbeat.codes import Ids, Sources
from offbeat.decide import Decision
from offbeat.detect import DETECTORS, Detector, State
from offbeat.detect.bursts import Bursts
from offbeat.errors import ModelError
from offbeat.group import Grouping
from offbeat.learn import Learned
from offbeat.memory import Memory
from offbeat.mine import Catalog

if TYPE_CHECKING:
    from offbeat.pipeline import Pipeline

#: What the names of a model's files begin with in the folder of a run.
IN_RUN: Final = "learned-"
#: And those of the views that learned the run's own log, where it changed.
OWN: Final = "own-"

Contents = tuple[dict[str, Any], dict[str, pl.DataFrame], dict[str, bytes]]


def contents(pipeline: Pipeline, memory: bool = True) -> Contents:
    """Return the values, tables and ONNX files of a fitted pipeline: what ``bundle.write`` takes.

    Without ``memory`` it can score, but not go on to learn.
    """
    learned, catalog = pipeline.fitted, pipeline.catalog
    frames = {f"decision-{name}": frame for name, frame in learned.decision.frames().items()}
    views, of_views, onnx = of_detectors(learned.views)
    frames |= of_views
    if isinstance(catalog, Ids):
        frames["ids"] = pl.DataFrame({"id": catalog.texts[: catalog.known]})
    elif catalog is not None:
        frames |= {f"catalog-{k}": v for k, v in catalog.to_frames().items()}
    if pipeline.bursts is not None:
        frames["bursts"] = pipeline.bursts.to_frame()
    if learned.usual is not None:
        frames["usual"] = learned.usual
    if memory and pipeline.memory is not None:
        frames |= {f"memory-{name}": frame for name, frame in pipeline.memory.frames().items()}
    values = {
        "options": asdict(pipeline.options),
        "clean": pipeline.clean,
        "threshold": pipeline.threshold,
        "calibrate": pipeline.calibrate,
        "seed": pipeline.seed,
        "views": views,
        "order": list(learned.views),
        "decision": learned.decision.values(),
        "grouping": pipeline.grouping.as_dict() if pipeline.grouping else None,
        "sources": pipeline.sources.names[1:],
        "masked": _fingerprint(pipeline.mask_key),
        "summary": pipeline.summary,
        "memory": pipeline.memory.values() if memory and pipeline.memory is not None else None,
    }
    return values, frames, onnx


def restore(
    made: Pipeline, values: Mapping[str, Any], frames: Mapping[str, pl.DataFrame], others: Mapping[str, bytes]
) -> None:
    """Give an unfitted pipeline what ``contents`` returned of one that was fitted.

    Raises:
        bundle.FOREIGN: it is something else.
    """
    made.seed, made.summary = values["seed"], values["summary"]
    made.grouping = Grouping.from_dict(values["grouping"])
    made.sources = Sources(values["sources"])
    if "ids" in frames:
        made.catalog = Ids(frames["ids"]["id"].to_list())
    else:
        made.catalog = Catalog.from_frames(_named(frames, "catalog"))
    if "bursts" in frames:
        made.bursts = Bursts.restore(frames["bursts"])
    if values.get("memory"):
        made.memory = Memory.restore(values["memory"], _named(frames, "memory"))
    made.learned = learned(values, frames, others)


def learned(values: Mapping[str, Any], frames: Mapping[str, pl.DataFrame], others: Mapping[str, bytes]) -> Learned:
    """Return the detectors and the decision of what ``contents`` returned."""
    detectors = to_detectors(values["views"], values["order"], frames, others)
    decision = Decision.restore(values["decision"], _named(frames, "decision"))
    summary = values["summary"]
    return Learned(
        detectors, decision, order_check=summary["order_check"], absent=summary["absent"], usual=frames.get("usual")
    )


def of_detectors(detectors: Mapping[str, Detector]) -> Contents:
    """Return the values, tables and ONNX files of fitted detectors, by their names."""
    values, frames, onnx = {}, dict[str, pl.DataFrame](), dict[str, bytes]()
    for name, detector in detectors.items():
        state = detector.state()
        values[name] = {"params": detector.get_params(), "state": state.values, "class": name}
        frames |= {f"{name}-{k}": v for k, v in state.frames.items()}
        onnx |= {f"{name}-{k}.onnx": v for k, v in state.onnx.items()}
    return values, frames, onnx


def to_detectors(
    values: Mapping[str, Any], order: Iterable[str], frames: Mapping[str, pl.DataFrame], others: Mapping[str, bytes]
) -> dict[str, Detector]:
    """Return the detectors of what ``of_detectors`` returned, in the order of the names."""
    onnx = {name.removesuffix(".onnx"): data for name, data in others.items()}
    made = {}
    for name in order:
        state = State(values[name]["state"], _named(frames, name), _named(onnx, name))
        made[name] = DETECTORS[name](**values[name]["params"]).restore(state)
    return made


def check_key(masked: str | None, mask_key: bytes | None, path: str) -> None:
    """Raise ModelError where a model was learned from text that was masked otherwise."""
    if masked and mask_key is None:
        raise ModelError("was learned from masked text", where=path, hint="give --mask")
    if masked != _fingerprint(mask_key):
        said = "with another key" if masked else "from text that was not masked"
        raise ModelError(f"was learned {said}", where=path, hint="the same text must give the same hashes")


def _fingerprint(mask_key: bytes | None) -> str | None:
    """Return what tells a mask key from another without giving it away."""
    if mask_key is None:
        return None
    return hashlib.blake2s(b"offbeat mask key", key=hashlib.blake2s(mask_key).digest()).hexdigest()


def _named(things: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Return the things whose names begin with a prefix; a view's may be the beginning of another's."""
    return {k.removeprefix(prefix + "-"): v for k, v in things.items() if k.startswith(prefix + "-")}

"""What detect and evaluate do beside scoring: outputs, times, and metrics of a run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import polars as pl

from offbeat import bundle, saving
from offbeat.errors import OptionError
from offbeat.finding import Finding
from offbeat.pipeline import Pipeline
from offbeat.questions import answerable
from offbeat.run import Run


def parse_time(text: str | None, where: str) -> datetime | None:
    """Read an ISO 8601 time; without an offset it is UTC. Raises OptionError where it is none."""
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        raise OptionError(f"{text!r} is no time", where=where, hint="as in 2026-11-22T14:00:00Z") from None


def check_outputs(
    scores: str | Path | None = None,
    folder: str | Path | None = None,
    html: str | Path | None = None,
    series: str | Path | None = None,
) -> None:
    """Raise OptionError where an output cannot be, before any work is done for it."""
    kinds = ((scores, "scores are a file"), (html, "a report is a file"), (series, "series are a file"))
    for path, what in kinds:
        if path and Path(path).is_dir():
            raise OptionError(f"is a folder; {what}", where=str(path))
    if folder:
        bundle.refuse_foreign(Path(folder))


def write_frame(frame: pl.DataFrame, path: str | Path) -> None:
    """Write a table as Parquet, in one step: every unit's scores, or the series over time.

    Raises:
        OptionError: it cannot be written there.
    """
    check_outputs(path)
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    bundle.replace_file(path, buffer.getvalue())


def write_run(run: Run, findings: Sequence[Finding], path: str | Path, pipeline: Pipeline) -> None:
    """Write a run as a folder, in one step: what was done, the findings, every unit's scores, and the model.

    With the model and the strangest unit of each finding in it, ``offbeat explain`` needs nothing else; nor does
    ``offbeat feedback`` with what can be answered.
    """
    body = b"".join(orjson.dumps(f.as_dict()) + b"\n" for f in findings)
    model, frames, others = saving.contents(pipeline, memory=False)
    values = {
        "summary": run.summary,
        "model": pipeline.hash,
        "model_path": pipeline.path,
        "threshold": run.threshold,
        "unit": run.unit,
        "learned": model,
        "drift": run.drift is not None,
        "fit": run.fit,
        "itself": run.itself,
        "trained_on": run.trained_on,
    }
    tables = {f"{saving.IN_RUN}{name}": frame for name, frame in frames.items()}
    tables |= {
        "scores": run.scores,
        "units": run.worst_units(findings),
        "series": run.series,
        "texts": pl.DataFrame({"template_id": list(run.template_ids), "template": list(run.texts)}),
    }
    if run.habits is not None:
        values["habits"] = run.habits.decision.values()
        tables |= run.habits.tables()
        # Learned here rather than by whoever explains a finding: scikit-learn is loaded already.
        own, of_own, _ = saving.of_detectors(run.habits.views(pipeline.fitted.views, run.texts))
        values["own"] = own
        tables |= {f"{saving.OWN}{name}": frame for name, frame in of_own.items()}
    files = {f"{saving.IN_RUN}{name}": data for name, data in others.items()}
    bundle.write(path, values, tables, files | {"findings.jsonl": body} | answerable(run, findings), what=bundle.RUN)


def evaluate_run(run: Run) -> dict[str, Any]:
    """Return the metrics of a run that was scored with labels, and the same with duplicate sequences counted once."""
    from offbeat.evaluate.metrics import measure

    s = run.scores
    y, score, flagged = (s[c].to_numpy() for c in ("label", "score", "is_anomaly"))
    weight = s["weight"].to_numpy() if "weight" in s.columns else None
    once = measure(y, score, flagged, distinct=s["sequence"].to_numpy())
    return measure(y, score, flagged, weight).as_dict() | {f"distinct_{k}": v for k, v in once.as_dict().items()}

"""One incident, in the fields that ``--json`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True)
class Line:
    """A line shown with a finding; ``mark`` is worst, strange, or None for context."""

    file: str
    line: int
    offset: int | None
    text: str
    mark: str | None


@dataclass(frozen=True)
class Finding:
    """One incident, in the fields that ``--json`` prints.

    ``unit`` is not printed: the row of its strangest unit in a run's scores; None where it is about the log as a whole.
    """

    id: str
    kind: str
    severity: str
    severity_reason: str
    score: float
    p_value: float
    start: datetime | None
    end: datetime | None
    session: str | None
    sources: list[str]
    templates: list[dict[str, str]]
    rules: list[str]
    reason: str
    expected: str
    lines: list[Line]
    units: int
    views: dict[str, float]
    unit: int | None = field(default=None, compare=False)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the finding that ``as_dict`` gave these values of."""
        times = {name: values[name] and datetime.fromisoformat(values[name]) for name in ("start", "end")}
        return cls(**{**values, **times, "lines": [Line(**line) for line in values["lines"]]})

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, times as ISO 8601 in UTC."""
        out = asdict(self)
        del out["unit"]
        for name in ("start", "end"):
            out[name] = iso(out[name])
        return out


def iso(time: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with Z; fractions only where there are any."""
    if time is None:
        return None
    text = time.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{time.microsecond:06d}".rstrip("0") + "Z" if time.microsecond else f"{text}Z"

"""One incident, in the fields that ``--json`` prints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    import polars as pl

    from offbeat.read import Logs

#: File, line and mark of a line to show.
Ref = tuple[int, int, str | None]


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

    ``unit`` and ``members`` are not printed: the rows of its strangest unit, and of all, in a run's scores; None and
    empty where it is about the log as a whole.
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
    related: list[dict[str, Any]] = field(default_factory=list)
    unit: int | None = field(default=None, compare=False)
    members: tuple[int, ...] = field(default=(), compare=False)

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the finding that ``as_dict`` gave these values of."""
        times = {name: values[name] and datetime.fromisoformat(values[name]) for name in ("start", "end")}
        return cls(**{**values, **times, "lines": [Line(**line) for line in values["lines"]]})

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, times as ISO 8601 in UTC."""
        out = asdict(self)
        del out["unit"], out["members"]
        for name in ("start", "end"):
            out[name] = iso(out[name])
        return out


def known_templates(summary: Mapping[str, Any]) -> int:
    """Return the code from which on templates of a run are new to what was learned."""
    return int(summary.get("templates", 0) - summary.get("new_templates", 0))


def named_templates(codes: Iterable[int], ids: Sequence[str], texts: Sequence[str]) -> list[dict[str, str]]:
    """Return templates as findings name them: ``template_id`` and ``template`` of each code."""
    return [{"template_id": ids[code], "template": texts[code]} for code in codes]


def named_sources(codes: Iterable[int], sources: Sequence[str | None]) -> list[str]:
    """Return the names of sources by code, without those that have none."""
    return [name for name in (sources[code] for code in codes) if name is not None]


def iso(time: datetime | None) -> str | None:
    """Return a time as ISO 8601 in UTC with Z; fractions only where there are any."""
    if time is None:
        return None
    text = time.strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{time.microsecond:06d}".rstrip("0") + "Z" if time.microsecond else f"{text}Z"


class Quiet(Protocol):
    """What leaves out findings about the log as a whole that are quiet by feedback; see ``feedback``."""

    def told(self, findings: list[Finding]) -> list[Finding]:
        """Return the findings that are told."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """Return how much is quiet as plain values."""
        ...


def fetched(logs: Logs | None, messages: pl.Series | None, places: set[tuple[int, int]]) -> Callable[[Ref], Line]:
    """Return a function from (file, line, mark) to a Line; every text is fetched in one pass.

    Args:
        logs: what was read; None where it was a frame of events.
        messages: of that frame, in order.
        places: (file, line) of all that may be asked for.
    """
    if logs is not None:
        names, texts = logs.files, logs.text([(f, n, 1) for f, n in sorted(places)])

        def from_logs(ref: Ref) -> Line:
            found = texts.get(ref[:2])  # a file may have gone, or have been cut, since it was scored
            offset, text = (found.offset, found.text) if found else (None, "")
            return Line(names[ref[0]], ref[1], offset, text, ref[2])

        return from_logs

    def from_frame(ref: Ref) -> Line:
        text = str(messages[ref[1] - 1]) if messages is not None else ""
        return Line("frame", ref[1], None, text, ref[2])

    return from_frame

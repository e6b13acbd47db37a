"""What happened while reading, in counts and in one or two sentences."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

BLANK = "blank lines"


@dataclass
class ReadSummary:
    """Counts of one pass over the input; filled while it is read, started afresh by each pass.

    Every physical line is part of exactly one event or counted under ``skipped``: the spans of all events and the
    skipped lines add up to ``lines``.

    Attributes:
        lines: physical lines.
        events: events yielded.
        bytes: decompressed bytes.
        skipped: lines that are part of no event, by reason; duplicates dropped are among them.
        repaired: lines kept after a repair, by reason.
        unplaced: events that no format could place, kept as plain text, by reason.
        duplicates: events equal to an earlier one in file, time and text (counted only with ``dedupe``).
        truncated: one sentence for each damaged archive whose good part was read.
        notes: files passed over, and why.
    """

    lines: int = 0
    events: int = 0
    bytes: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    repaired: Counter[str] = field(default_factory=Counter)
    unplaced: Counter[str] = field(default_factory=Counter)
    duplicates: int = 0
    truncated: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def reset(self) -> None:
        """Forget a former pass; notes about files stay."""
        self.lines = self.events = self.bytes = self.duplicates = 0
        self.skipped.clear()
        self.repaired.clear()
        self.unplaced.clear()
        self.truncated.clear()

    def as_dict(self) -> dict[str, Any]:
        """The counts as plain values for JSON."""
        return {
            "lines": self.lines,
            "events": self.events,
            "bytes": self.bytes,
            "skipped": dict(self.skipped),
            "repaired": dict(self.repaired),
            "unplaced": dict(self.unplaced),
            "duplicates": self.duplicates,
            "truncated": list(self.truncated),
            "notes": list(self.notes),
        }

    def sentences(self) -> list[str]:
        """What a person should know, the count of lines first; blank lines are not worth a word."""
        said = [f"read {self.lines:,} lines, {self.events:,} events"]
        for verb, counts in (("skipped", self.skipped), ("repaired", self.repaired), ("not placed", self.unplaced)):
            reasons = [f"{n:,} ({reason})" for reason, n in counts.most_common() if reason != BLANK]
            if reasons:
                said.append(f"{verb}: {', '.join(reasons)}")
        return [*said, *self.truncated, *self.notes]

    def __str__(self) -> str:
        return "; ".join(self.sentences())

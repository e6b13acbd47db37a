"""One thing that changed between two sides of a log, in the fields that ``compare --json`` prints."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["template", "level", "source", "field"]


@dataclass(frozen=True)
class Change:
    """One thing that is significantly more or less frequent, relative to the lines that keep their proportions.

    Attributes:
        change: more, less, new (not there before) or gone; or burst: so many lines at once as were never seen before,
            though the rate as a whole, for bursts come in any log, has not significantly changed.
        kind: template, level, source or field.
        name: the template's id, the field's name; ``level`` or ``source``.
        value: the template's text, the level's name, or the value.
        count_before, count_after: lines.
        share_before, share_after: of all lines.
        ratio: of the rates; None where there was none before.
        ratio_low, ratio_high: its 95 % interval.
        p_value, q_value: see ``rates.Compared``.
        most_before, most_after: most lines in one window: of 20 equal parts of the shorter side, and on the longer one
            not narrower.
        file, line, example: its first line; afterwards, or where it is gone or less frequent, before.
        also: other things of the very same lines, as ``name=value``.
    """

    change: Literal["more", "less", "new", "gone", "burst"]
    kind: Kind
    name: str
    value: str
    count_before: int
    count_after: int
    share_before: float
    share_after: float
    ratio: float | None
    ratio_low: float
    ratio_high: float
    p_value: float
    q_value: float
    most_before: int
    most_after: int
    file: str
    line: int
    example: str
    also: list[str]

    @property
    def label(self) -> str:
        """The template's text, or ``name=value``."""
        return self.value if self.kind == "template" else f"{self.name}={self.value}"

    @property
    def sentence(self) -> str:
        """What changed, as a person would say it."""
        what = f"“{self.label if len(self.label) <= 90 else self.label[:89].rstrip() + '…'}”"
        if self.change == "new":
            return f"{what} is new: {self.count_after:,} lines ({_share(self.share_after)}), none before."
        if self.change == "gone":
            return f"{what} is gone: none now, {self.count_before:,} lines ({_share(self.share_before)}) before."
        if self.change == "burst":
            return (
                f"{what} comes in a burst: {self.most_after:,} of {self.count_after:,} lines in one twentieth of the "
                f"stretch; before, {f'at most {self.most_before:,} at a time' if self.most_before else 'none'}."
            )
        assert self.ratio is not None  # noqa: S101 - both sides have some
        up = self.change == "more"
        ratio, low, high = self.ratio, self.ratio_low, self.ratio_high
        if not up:
            ratio, low, high = 1 / ratio, 1 / high, 1 / low
        how = f"{_times(ratio)} times as {'frequent' if up else 'rare'} (95 % interval {_times(low)} to {_times(high)})"
        return f"{what} is {how}: {_share(self.share_after)} of the lines, {_share(self.share_before)} before."

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, with the sentence."""
        out = asdict(self)
        out["example"] = {"file": out.pop("file"), "line": out.pop("line"), "text": out.pop("example")}
        return out | {"sentence": self.sentence}


def _times(x: float) -> str:
    return f"{x:,.0f}" if x >= 10 else f"{x:.1f}" if x >= 1.05 else f"{x:.2f}"


def _share(share: float) -> str:
    return f"{share:.1%}" if share >= 0.01 else f"{share:.2%}" if share >= 0.0001 else "under 0.01%"

"""What a log format is to this room: a layout turns lines into columns.

A text layout is data: one regular expression for the header of a line, with named groups. ``time``, ``level`` and
``source`` (and ``message`` where the text does not simply run to the end of the line) become columns of EVENTS; every
other group is a field. The expression runs in Rust, over all lines of a block at once, and only the groups that were
asked for are captured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Final

import polars as pl

from offbeat.read import levels, times
from offbeat.read.stamps import DATED
from offbeat.schema import TIME

#: Columns of EVENTS that a layout fills in; the others follow from where the line stands.
ROLES: Final = ("timestamp", "level", "source", "message")
#: What a layout may say of a line, besides whether it reads it; 0 is an event of its own.
JOINED: Final = 1  # it belongs to the event before it and adds no text
HEADER: Final = 2  # it is no event
PARTIAL: Final = 3  # the event goes on in the next line
#: What follows an event on lines of its own: indented text, stack traces, closing brackets.
CONTINUATION: Final = (
    r"^(?:[ \t]+\S|Caused by: |Suppressed: |Traceback \(most recent|\.\.\. [0-9]+ more|at [\w.$<>/]+\("
    r"|[\w.$]+(?:Error|Exception|Interrupt)(?::|$)|[)\]}]+[,;]?$|goroutine [0-9]+ \[|During handling of the above)"
)
#: Any header has a clock, a long number, a record or a pair in it; dozens of expressions need not run on other lines.
MAY_HAVE_HEADER: Final = r"^\s*\{|[0-9]{1,2}[:.][0-9]{1,2}|[0-9]{6}|[A-Za-z]="
_GROUP: Final = re.compile(r"\(\?P<(\w+)>")
_TIME_GROUP: Final = re.compile(r"\(\?P<time>[^()]*\)")
_PIECE: Final = re.compile(r"\\.|[\[\]]")
_STAMP: Final = re.compile(r"\{(\w[\w-]*)\}")


@dataclass(frozen=True)
class Want:
    """What the caller asked for, so that nothing else is paid for.

    Attributes:
        columns: a subset of ROLES, plus ``fields`` for the JSON object of all fields.
        fields: names of single fields.
    """

    columns: frozenset[str]
    fields: tuple[str, ...] = ()

    def __contains__(self, column: str) -> bool:
        return column in self.columns

    def schema(self) -> dict[str, pl.DataType]:
        """Names and types of the columns that a layout returns, besides ``placed``."""
        types: dict[str, pl.DataType] = {"timestamp": TIME, "level": pl.UInt8(), "source": pl.String()}
        types |= {"message": pl.String(), "fields": pl.String()}
        wanted = {name: dtype for name, dtype in types.items() if name in self.columns}
        return wanted | {f"fields.{name}": pl.String() for name in self.fields}


@dataclass(frozen=True)
class Context:
    """What was found out about a file before its lines are read.

    Attributes:
        clock: zone and missing year of its time stamps.
        stamp: shape of its time stamps, where the layout allows several.
        inner: layout of the header that messages carry inside the record, if any.
        columns: for formats whose columns a header line names.
        indent: of JSON documents printed over several lines, what stands before their first brace.
        folded: lines may hold several records, as an array of them.
        pieces: a record of Docker that does not end its line goes on in the next one.
        time_key: the field that holds the time where it has none of the usual names.
        tag: what a record begins with: of XML its element, of paragraphs their first name.
        keys: for JSON, the key of each role where all records of the sample keep it in plain text at the top.
    """

    clock: times.Clock = field(default_factory=times.Clock)
    stamp: times.Stamp | None = None
    inner: TextLayout | None = None
    columns: tuple[str, ...] = ()
    indent: str = ""
    tag: str = ""
    folded: bool = False
    pieces: bool = False
    keys: Mapping[str, str] | None = None
    time_key: str | None = None


@lru_cache(maxsize=512)
def _only(pattern: str, keep: frozenset[str]) -> str:
    """The pattern with all groups but those in ``keep`` no longer captured."""
    return _GROUP.sub(lambda m: m[0] if m[1] in keep else "(?:", pattern)


def _ascii(pattern: str) -> str:
    r"""The pattern with ``\w`` and ``\b`` meaning ASCII; over all of Unicode they are too large to run in one pass."""
    in_class = False

    def plain(match: re.Match[str]) -> str:
        nonlocal in_class
        piece = match[0]
        if piece == r"\w":
            return "A-Za-z0-9_" if in_class else "[A-Za-z0-9_]"
        if piece == r"\b":
            return r"(?-u:\b)"
        in_class = piece == "[" if piece in "[]" else in_class
        return piece

    return _PIECE.sub(plain, pattern)


@dataclass(frozen=True)
class TextLayout:
    r"""A line format given by the regular expression of its header.

    Attributes:
        name: what ``--format`` calls it.
        pattern: the expression, anchored at the line's start; ``{iso}`` and the like stand for a shape of time stamp.
        example: a line that it reads; also a test.
        stamp: name of the stamp's shape where ``pattern`` does not say it with braces.
        multiline: whether a line without a header belongs to the event before it, whatever it looks like.
        numbers: fields that are numbers.
        scale: the level group is a number on this scale.
        rank: of two layouts that read the same lines, the one with the higher rank is taken.
        derive: a last step on the captured columns, for what an expression cannot say.
        needs: which groups a column or a derived field is made of, where it is not the group of its name.
        derived: fields that ``derive`` adds.
        tail: the rest of the expression, left out where none of its groups is wanted.
        said: an expression for the level within the message, where it stands there in nearly all lines of a file.
        shape: the one shape that the file's time stamps have; with it the expression runs in one pass, which is two to
            four times faster.
    """

    name: str
    pattern: str
    example: str
    stamp: str | None = None
    multiline: bool = False
    numbers: frozenset[str] = frozenset()
    scale: Mapping[int, int] | None = None
    rank: int = 5
    derive: Callable[[pl.DataFrame, Want], pl.DataFrame] | None = None
    needs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    derived: tuple[str, ...] = ()
    tail: str = ""
    said: str = ""
    shape: str | None = None

    @cached_property
    def regex(self) -> str:
        """The expression with stamps put in."""
        return self._regex(self.tail)

    def _regex(self, tail: str) -> str:
        pattern = self.pattern
        if self.shape is not None:
            pattern = _TIME_GROUP.sub(lambda _: f"(?P<time>{self.shape})", pattern)
        return _ascii("^(?P<head>" + _STAMP.sub(self._stamp_regex, pattern) + tail + ")")

    @staticmethod
    def _stamp_regex(match: re.Match[str]) -> str:
        if match[1].isdigit():
            return match[0]
        if match[1] == "any":
            return times.ANY
        if match[1] == "dated":
            return DATED
        if match[1] == "LEVEL":
            return levels.WORDS
        return times.STAMPS[match[1]].bare

    @cached_property
    def stamp_of(self) -> times.Stamp | None:
        """Shape of the time stamp; None where the pattern allows any or has none."""
        if self.stamp:
            return times.STAMPS[self.stamp]
        return self.stamps[0] if len(self.stamps) == 1 else None

    @cached_property
    def stamps(self) -> tuple[times.Stamp, ...]:
        """Shapes that the pattern allows; none where it allows any."""
        names = [name for name in _STAMP.findall(self.pattern) if name in times.STAMPS or name in {"any", "dated"}]
        return () if {"any", "dated"} & {*names} else tuple(times.STAMPS[name] for name in names)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """All named groups."""
        return tuple(name for name in _GROUP.findall(self.regex) if name != "head")

    @property
    def timed(self) -> bool:
        """Whether its lines carry a time."""
        return "time" in self.groups

    @property
    def alone(self) -> bool:
        """Whether the header fills its line, so that the message follows below."""
        return self.pattern.endswith("$") and not self.tail and "message" not in self.groups

    @property
    def sequential(self) -> bool:
        """A line is read by itself."""
        return False

    @cached_property
    def field_names(self) -> tuple[str, ...]:
        """Groups that are fields."""
        roles = {"time", "level", "source", "message"}
        own = (name for name in self.groups if name not in roles and not name.startswith("_"))
        return (*own, *self.derived)

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Everywhere: a line is read by itself."""
        return everywhere(lines)

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line has this header: Boolean, shape (n,)."""
        return lines.str.contains(_only(self.regex, frozenset()))

    def header(self, lines: pl.Series) -> pl.DataFrame:
        """``head``, and ``time``, ``level`` and ``source`` as they stand there; null where there is no such header."""
        keep = frozenset({"head", "time", "level", "source"})
        return lines.str.extract_groups(_only(self._regex(""), keep)).struct.unnest()

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """Split lines into columns.

        Args:
            lines: String, shape (n,).
            want: which columns to fill in.
            context: what is known about the file.

        Returns:
            n rows: ``placed`` (Boolean, whether the line has this header) and the columns of ``want.schema()``, null
            where not placed.
        """
        groups = self._capture(lines, want)
        columns: dict[str, pl.Series] = {"placed": groups["head"].is_not_null()}
        if "timestamp" in want:
            columns["timestamp"] = self._times(groups, context)
        message = groups["message"] if "message" in groups.columns else None
        if "level" in want:
            columns["level"] = self._levels(groups, message)
        if "source" in want:
            source = groups["source"] if "source" in groups else pl.Series([None], dtype=pl.String)
            columns["source"] = source if len(source) == len(lines) else source.new_from_index(0, len(lines))
        if "message" in want and message is not None:
            columns["message"] = message
        self._fields(groups, want, columns)
        schema = want.schema()
        return pl.DataFrame([columns["placed"].alias("placed"), *(columns[name].alias(name) for name in schema)])

    def _capture(self, lines: pl.Series, want: Want) -> pl.DataFrame:
        keep = {"head", *(name for name in want.fields if name in self.groups)}
        if "fields" in want:
            keep.update(self.field_names)
        for column, group in (("timestamp", "time"), ("level", "level"), ("source", "source"), ("message", "message")):
            if column in want:
                keep.update(self.needs.get(column, (group,)))
        for name in want.fields:
            keep.update(self.needs.get(name, ()))
        if "fields" in want:
            keep.update(name for names in self.needs.values() for name in names)
        guess = "level" in want and "level" not in self.groups and "level" not in self.needs
        if guess:
            keep.add("message")
        keep &= {*self.groups, "head"}
        short = self.tail and not keep & set(_GROUP.findall(self.tail))
        regex = self._regex("") if short else self.regex
        groups = lines.str.extract_groups(_only(regex, frozenset(keep))).struct.unnest()
        if "message" not in self.groups and ("message" in want or guess):
            groups = groups.with_columns(_behind(lines, groups["head"]))
        return self.derive(groups, want) if self.derive else groups

    def _times(self, groups: pl.DataFrame, context: Context) -> pl.Series:
        if "time" not in groups:
            return pl.Series([None], dtype=TIME).new_from_index(0, len(groups))
        if self.stamp_of is not None:
            return times.parse(groups["time"], self.stamp_of, context.clock)
        return times.parse_any(groups["time"], context.clock, context.stamp)

    def _levels(self, groups: pl.DataFrame, message: pl.Series | None) -> pl.Series:
        if "level" in groups:
            names = groups["level"]
            if names.dtype == pl.UInt8:
                return names
            if self.scale is not None:
                return levels.from_numbers(names, self.scale)
            return levels.from_names(names)
        if message is None:
            return pl.repeat(0, len(groups), dtype=pl.UInt8, eager=True)
        return levels.from_said(message, self.said) if self.said else levels.from_words(message)

    def _fields(self, groups: pl.DataFrame, want: Want, columns: dict[str, pl.Series]) -> None:
        for name in want.fields:
            known = name in groups and name in self.field_names
            value = groups[name] if known else pl.Series([None], dtype=pl.String).new_from_index(0, len(groups))
            columns[f"fields.{name}"] = value.cast(pl.String)
        if "fields" not in want:
            return
        names = [name for name in self.field_names if name in groups]
        if not names:
            columns["fields"] = pl.Series([None], dtype=pl.String).new_from_index(0, len(groups))
            return
        typed = [pl.col(name).cast(pl.Int64, strict=False) if name in self.numbers else pl.col(name) for name in names]
        struct = groups.select(pl.struct(typed).struct.json_encode().alias("fields"), pl.col("head").is_not_null())
        columns["fields"] = struct.select(pl.when("head").then("fields")).to_series()


class Records:
    """What the layouts share whose events are records; see ``TextLayout`` for what each member means."""

    multiline = False
    timed = True
    sequential = False

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Everywhere, where each record has a line of its own."""
        return everywhere(lines)


def first_of(group: str, *names: str) -> Callable[[pl.DataFrame, Want], pl.DataFrame]:
    """Return a last step (``derive``) that gives ``group`` what the first of some groups captured that did."""

    def derive(groups: pl.DataFrame, want: Want) -> pl.DataFrame:
        wanted = set(names) <= set(groups.columns)
        return groups.with_columns(pl.coalesce(names).alias(group)) if wanted else groups

    return derive


def _behind(lines: pl.Series, heads: pl.Series) -> pl.Series:
    """``message``: what follows the head of each line, without white space around it; null where there is no head."""
    both = pl.DataFrame({"line": lines, "head": heads})
    return both.select_seq(
        pl.col("line").str.strip_prefix(pl.col("head")).str.strip_chars().alias("message")
    ).to_series()


def everywhere(lines: pl.Series) -> pl.Series:
    """True for every line."""
    return pl.repeat(True, len(lines), dtype=pl.Boolean, eager=True)


def empty(want: Want, n: int) -> pl.DataFrame:
    """N rows that no layout has placed yet."""
    columns = [pl.repeat(False, n, dtype=pl.Boolean, eager=True).alias("placed")]
    columns += [pl.Series(name, [None], dtype=dtype).new_from_index(0, n) for name, dtype in want.schema().items()]
    return pl.DataFrame(columns)


def plain(lines: pl.Series, want: Want) -> pl.DataFrame:
    """Lines without any header: the whole line is the message."""
    frame = empty(want, len(lines))
    filled: list[pl.Series] = []
    if "message" in want:
        filled.append(lines.alias("message"))
    if "level" in want:
        filled.append(levels.from_words(lines).alias("level"))
    return frame.with_columns(filled)


def needed(columns: Collection[str]) -> frozenset[str]:
    """The part of ``columns`` that layouts fill in."""
    return frozenset(columns) & {*ROLES, "fields"}

"""Which format a file has, found from its first lines.

Each sample line goes to the most particular layout that reads it; the layout with most lines is the file's, the others
take the lines that it cannot place. So a file of two formats is read by both, line by line.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import polars as pl

from offbeat.errors import InputError, OptionError
from offbeat.read import levels, lines, nested, paragraphs, slashed, stamps, streams, times, traits, xml_records
from offbeat.read.field_kinds import field_kinds
from offbeat.read.files import Source
from offbeat.read.formats import TEXT
from offbeat.read.json_columns import keys_of
from offbeat.read.json_records import JsonLines, in_pieces, indent_of
from offbeat.read.layout import CONTINUATION, MAY_HAVE_HEADER, Context, TextLayout, Want
from offbeat.read.layouts import BY_LINE, LAYOUTS, PLAIN, Layout
from offbeat.read.named_values import header_of
from offbeat.read.unfold import unfold

SAMPLE_LINES: Final = 1000
_FEW: Final = 64

_JSON: Final = JsonLines()

#: Layouts that read too much that is no header, unless most lines are like that.
_WEAK: Final = frozenset({"level", "python-basic", "kernel", "xorg", "name-time", "epoch", "inside", "inside-epoch"})

#: Layouts whose lines may hold the records or the stack traces of an application.
_HOLDERS: Final = frozenset({"json", "cri"})
#: Layouts whose events are records with names.
_RECORDS: Final = frozenset({"json", "json-documents", "csv", "logfmt", "pairs", "xml", "paragraphs", "cmtrace"})
#: Share of messages that a header within them must be found in; trying all formats on them costs a tenth of a second.
_SOME: Final = 0.3
#: Any such header has what any header has, or is a level or a tag in front.
MAY_HAVE_INNER: Final = rf"{MAY_HAVE_HEADER}|^\w+[:/]"


@dataclass(frozen=True)
class Sniffed:
    """What was understood of a file.

    Attributes:
        file: its shown name.
        layout: name of the format, ``plain`` where none fits.
        confidence: share of the sample's events that it reads, 0..1.
        runner_up: the next best format, None where there is none.
        fields: names of the fields seen in the sample and what they hold: number, category, id or text.
        encoding: of the text.
        stamp: shape of the time stamps, None where there are none.
    """

    file: str
    layout: str
    confidence: float
    runner_up: str | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "utf-8"
    stamp: str | None = None


@dataclass(frozen=True)
class Plan:
    """How to read one file.

    Attributes:
        layout: its format, None where it has none.
        others: formats of lines that are not of it.
        context: what was found out about it.
        sniffed: what is told of it.
        over: formats of some of its lines, which its own would read as well, but tell less of.
        wrapper: what its records stand in.
        writer: who wrote all of it, where its path says so.
    """

    layout: Layout | None
    others: tuple[Layout, ...]
    context: Context
    sniffed: Sniffed
    wrapper: nested.Wrapper | None = None
    writer: str | None = None
    over: tuple[TextLayout, ...] = ()


def sniff(path: str | Path) -> Sniffed:
    """What is understood of the file at ``path``.

    Raises:
        InputError: where it is absent, empty, unreadable or no text.
    """
    source = Source(str(path), path=Path(path))
    plan = make_plan(source)
    if plan is None:
        raise InputError("is empty", where=str(path), hint="there is nothing to learn from")
    return plan.sniffed


def make_plan(source: Source, layout: Layout | None = None, *, zone: str = "UTC", plain: bool = False) -> Plan | None:
    """Decide how to read a source; None where it is empty.

    Args:
        source: the file.
        layout: the format that the user named, if any.
        zone: time zone of stamps without one.
        plain: the user said that there is no format.

    Raises:
        InputError: where it cannot be read or is no text.
    """
    data = streams.head(source)
    if not data.strip():
        return None
    streams.check_text(data, source.shown)
    sample = _sample(data)
    tag = xml_records.tag_of(sample)
    if folded := unfold(sample.head(SAMPLE_LINES), tag):
        sample = folded[0].head(SAMPLE_LINES)
    wrapper = None
    if not plain and (layout is None or layout.name in _HOLDERS):
        sample, wrapper = _unwrapped(sample, layout)
    counts = _assign(sample) if layout is None and not plain else Counter[str]()
    chosen = layout or _most(counts, sample)
    context = replace(_context(source, sample, chosen, zone), folded=folded is not None)
    others = () if plain else _others(counts, chosen)
    over = traits.over(counts, chosen, sample)
    if isinstance(chosen, TextLayout) and chosen.timed and counts:
        chosen, others = traits.joining(chosen, others, sample, context)
        if not chosen.multiline and traits.in_paragraphs(chosen, data):
            chosen, others = replace(chosen, multiline=True), ()
    if isinstance(chosen, TextLayout) and traits.names_levels(chosen, sample):
        chosen = replace(chosen, said=levels.SAID)
    if isinstance(chosen, TextLayout) and chosen.timed and (shape := stamps.shape_of(_stamps_of(chosen, sample))):
        others = (chosen, *others)
        chosen = replace(chosen, shape=shape)
    sniffed = _describe(source, sample, chosen, counts, context)
    writer = None if source.path is None else nested.writer_of(str(source.path))
    return Plan(chosen, others, context, sniffed, wrapper, writer, over)


def _most(counts: Counter[str], sample: pl.Series) -> Layout | None:
    """The layout that reads most lines, where that is enough."""
    if not counts:
        return None
    name, hits = counts.most_common(1)[0]
    events = int((~sample.str.contains(CONTINUATION)).sum())
    enough = 0.5 if name in _WEAK else 0.02
    if hits < max(1, enough * events) or (name == "inside-epoch" and not traits.is_clock(LAYOUTS[name], sample)):
        return None
    return LAYOUTS[name]


def _unwrapped(sample: pl.Series, layout: Layout | None) -> tuple[pl.Series, nested.Wrapper | None]:
    """The records that stand within the lines, in their place, and what they stand in."""
    wrapper = nested.wrapper_of(sample)
    if wrapper is None and sample.str.contains(nested.WITHIN).any():
        header = layout or _most(_assign(sample), sample)
        wrapper = nested.wrapper_of(sample, header) if isinstance(header, TextLayout) else None
    return (sample, None) if wrapper is None else (nested.unwrap(sample, wrapper), wrapper)


def _sample(data: bytes) -> pl.Series:
    end = data.rfind(b"\n") + 1
    # A line that is cut off says little, unless it is most of what there is: all records may stand on one.
    whole = data[:end] if len(data) >= streams.HEAD and 2 * end > len(data) else data
    texts = lines.split(whole, Counter())
    return texts.filter(texts.str.strip_chars() != "").head(SAMPLE_LINES)


def _assign(sample: pl.Series) -> Counter[str]:
    """How many sample lines go to each layout, the most particular that reads them."""
    counts: Counter[str] = Counter()
    left = sample
    if sample[0].lstrip()[:1] in ("{", "[") and not LAYOUTS["json"].fits(sample.head(1))[0]:
        fits = LAYOUTS["json-documents"].fits(sample)
        if fits.mean() > 0.5:  # type: ignore[operator]  # a Boolean's mean is a float
            return Counter({"json-documents": int(fits.sum())})
    for name in ("csv", "journal-export", *_maybe(sample)):
        fits = LAYOUTS[name].fits(sample)
        if fits.mean() > 0.9 and (len(sample) > 1 or name == "xml"):  # type: ignore[operator]  # as above
            return Counter({name: int(fits.sum())})
    ranked = sorted(BY_LINE, key=lambda layout: -layout.rank)
    # Layouts that read none of a few dozen lines are asked only for what the others leave: most lines, most often, are
    # read by one or two, and an expression costs as much for a line that it does not read.
    few, _ = _take(ranked, left.gather_every(max(1, len(left) // _FEW)))
    for chosen in ([layout for layout in ranked if layout.name in few], ranked):
        found, left = _take(chosen, left)
        counts += found
    return counts


def _maybe(sample: pl.Series) -> list[str]:
    """Formats of whole files that it costs more to try than to see that they cannot be."""
    if xml_records.maybe(sample[0]):
        return ["xml", "cmtrace"]
    return ["paragraphs"] if paragraphs.first_name(sample.to_list()) else []


def _take(layouts: Sequence[Layout], lines: pl.Series) -> tuple[Counter[str], pl.Series]:
    """How many lines go to each layout, the first of them that reads a line, and the lines that none does."""
    counts: Counter[str] = Counter()
    for layout in layouts:
        if lines.is_empty():
            break
        fits = layout.fits(lines)
        if fits.any():
            counts[layout.name] += int(fits.sum())
            lines = lines.filter(~fits)
    return counts, lines


def _others(counts: Counter[str], chosen: Layout | None) -> tuple[Layout, ...]:
    ordered = sorted(BY_LINE, key=lambda layout: (-counts[layout.name], -layout.rank))
    # A time within a line tells that it is an event: but not beside records, where a broken one is to be counted.
    within = {"inside"} if isinstance(chosen, TextLayout) else set[str]()
    return tuple(
        layout
        for layout in ordered
        if layout is not chosen
        and (
            layout.name not in _WEAK
            or (chosen is not None and counts[layout.name] > (0 if layout.name in within else 2))
        )
        and (layout.name != "inside" or within)
    )


def _context(source: Source, sample: pl.Series, layout: Layout | None, zone: str) -> Context:
    context = Context(clock=times.Clock(zone=zone, now=_written(source)))
    if layout is None:
        return context
    if layout.name == "csv":
        context = replace(context, columns=header_of(sample.head(50).to_list()))
    if isinstance(layout, TextLayout):
        found = _stamps_of(layout, sample)
        stamp = layout.stamp_of or times.find_stamp(found[:50], layout.stamps)
        if stamp is not None and stamp.name in slashed.SLASHED:
            stamp = slashed.day_or_month_first([*found, *_last_stamps(source, layout)], context.clock)
        if "zone" in layout.groups and zone == "UTC":
            context = replace(context, clock=replace(context.clock, zone=_zone_of(layout, sample)))
        context = replace(context, stamp=stamp)
        if stamp is not None and stamp.cycle and found:
            context = replace(context, clock=_anchored(context.clock, stamp, source, layout, found))
    if layout.name == "xml":
        context = replace(context, tag=xml_records.tag_of(sample))
    if layout.name == "paragraphs":
        context = replace(context, tag=paragraphs.first_name(sample.to_list()))
    if layout.name == "json-documents":
        context = replace(context, indent=indent_of(sample))
    records = [record for record in _JSON.records(sample.head(300)) if record is not None]
    context = replace(context, pieces=in_pieces(records))
    if layout.name in _RECORDS:
        context = replace(context, time_key=_time_key(layout, sample, context))
    if isinstance(layout, JsonLines):
        keys = keys_of(records)
        if keys and context.time_key and all(isinstance(record.get(context.time_key), str) for record in records):
            keys["time"] = context.time_key
        times_ = [str(record[keys["time"]]) for record in records] if keys and "time" in keys else []
        context = replace(context, keys=keys, stamp=times.find_stamp(times_[:50]))
    if layout.name in {"json", "cri", "json-documents"}:
        context = replace(context, inner=_inner(layout, sample, context))
    return context


def _time_key(layout: Layout, sample: pl.Series, context: Context) -> str | None:
    """The field that holds the time where none has a usual name: the first whose values nearly all are stamps."""
    import orjson

    for lines_, columns in ((sample.head(9), {"timestamp"}), (sample.head(300), {"timestamp", "fields"})):
        frame = layout.parse(lines_, Want(frozenset(columns)), context).filter("placed")
        if frame["timestamp"].null_count() < len(frame):  # as nearly always
            return None
    if frame.is_empty():
        return None
    records = [orjson.loads(text) for text in frame["fields"].drop_nulls().to_list()]
    for name in dict.fromkeys(name for record in records for name in record):
        values = [str(record[name]).strip("[]") for record in records if record.get(name) is not None]
        stamped = sum(re.fullmatch(stamps.DATED, value) is not None for value in values)
        if stamped > 0.9 * len(records):
            return str(name)
    return None


def _written(source: Source) -> dt.datetime:
    now = dt.datetime.now(dt.UTC)
    if source.path is None or source.shown == "-":
        return now
    try:
        return min(now, dt.datetime.fromtimestamp(source.path.stat().st_mtime, dt.UTC))
    except (OSError, ValueError, OverflowError):
        return now


def _stamps_of(layout: TextLayout, sample: pl.Series) -> list[str]:
    if not layout.timed:
        return []
    return (
        sample.str.extract(layout.regex.replace("(?P<head>", "(?:"), layout.groups.index("time") + 1)
        .drop_nulls()
        .to_list()
    )


def _zone_of(layout: TextLayout, sample: pl.Series) -> str:
    """The zone that the file's stamps name; UTC where they name none."""
    found = layout.parse(sample, Want(frozenset(), ("zone",)), Context())["fields.zone"].drop_nulls()
    try:
        return times.check_zone(str(found.mode().sort()[0])) if len(found) else "UTC"
    except OptionError:
        return "UTC"


def _last_stamps(source: Source, layout: TextLayout) -> list[str]:
    tail = streams.tail(source)
    tail_sample = lines.split(tail[tail.find(b"\n") + 1 :] if len(tail) >= streams.HEAD else tail, Counter())
    return _stamps_of(layout, tail_sample.tail(SAMPLE_LINES))


def _anchored(
    clock: times.Clock, stamp: times.Stamp, source: Source, layout: TextLayout, first: list[str]
) -> times.Clock:
    """Years (or days) that the stamps leave out, from the first and the last of them."""
    last = _last_stamps(source, layout) or first
    fitting = [text for text in first if stamp.compiled.fullmatch(text)]
    ending = [text for text in last if stamp.compiled.fullmatch(text)]
    return clock.anchored(stamp, fitting[0], ending[-1]) if fitting and ending else clock


def _inner(layout: Layout, sample: pl.Series, context: Context) -> TextLayout | None:
    """The header that messages carry inside their record: taken when most messages have it."""
    frame = layout.parse(sample.head(200), Want(frozenset({"message"})), context)
    messages = frame["message"].drop_nulls()
    if messages.str.contains(MAY_HAVE_INNER).sum() <= _SOME * len(messages):
        return None
    best, most = None, 0.0
    for inner in sorted(TEXT.values(), key=lambda one: -one.rank):
        if inner.name in _WEAK | {"time"} or inner.name.startswith("access"):
            continue
        if most > 0.8:  # no other can be better by enough
            break
        share = inner.fits(messages).mean()
        if isinstance(share, float) and share > max(_SOME, most + 0.2):
            best, most = inner, share
    if best is None or not best.timed:
        return best
    shape = stamps.shape_of(_stamps_of(best, messages))
    return best if shape is None else replace(best, shape=shape)


def _describe(
    source: Source, sample: pl.Series, layout: Layout | None, counts: Counter[str], context: Context
) -> Sniffed:
    continued = sample.str.contains(CONTINUATION)
    if layout is None:
        return Sniffed(source.shown, PLAIN, 1.0)
    want = Want(frozenset({"fields"}))
    frame = layout.parse(sample.head(500), want, context)
    own = frame["placed"] | (frame["mark"] > 0) if "mark" in frame.columns else frame["placed"]
    events = own | ~continued.head(500)
    confidence = int(own.sum()) / max(1, int(events.sum()))
    others = [name for name, _ in counts.most_common() if name != layout.name]
    return Sniffed(
        source.shown,
        layout.name,
        round(confidence, 4),
        runner_up=others[0] if others else None,
        fields=field_kinds(frame["fields"]),
        encoding=_encoding_of(source),
        stamp=context.stamp.name if context.stamp else None,
    )


def _encoding_of(source: Source) -> str:
    stream = streams.Stream(source)
    try:
        return streams.Utf8(stream).encoding
    finally:
        stream.close()

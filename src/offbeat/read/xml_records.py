"""XML: one element a record, over one line, over several, or many on one line.

So log4j (XMLLayout, XmlLayout), java.util.logging (XMLFormatter), Windows' Event Viewer and ``wevtutil``, .NET's
service traces and Oracle's ``log.xml`` write. Prefixes of namespaces are left out; attributes and elements are fields,
an element inside another one with the other's name before it; one that only names a value
(``<Data Name="IpAddress">``) is a field of that name. Windows events have the names that they have as JSON. Records are
parsed one by one and from their own beginning on, so no document type, and with it no entity, is ever declared.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Final

import polars as pl

from offbeat.read import levels
from offbeat.read.json_records import windows_event
from offbeat.read.layout import HEADER, JOINED, Context, Records, Want
from offbeat.read.names import Record
from offbeat.read.records import MAX_FIELDS, to_frame
from offbeat.read.windows_events import said

#: What a file of XML begins with, and a line with the priority of syslog does not.
_BEGINS: Final = re.compile(r"\s*<[A-Za-z_?!]")
_NAME: Final = r"[A-Za-z_][\w:.-]*"
_TOKEN: Final = re.compile(
    r"<!--.*?-->|<!\[CDATA\[.*?\]\]>|<[?!][^>]*>|</(?P<end>[A-Za-z_][\w:.-]*)\s*>"
    rf"|<(?P<tag>{_NAME})(?P<more>(?:\s+{_NAME}\s*=\s*(?:\"[^\"]*\"|'[^']*'))*)\s*(?P<closed>/?)>",
    re.DOTALL,
)
_TIMED: Final = re.compile(r"(?i)time|date|millis|instant")
#: Lines between records: nothing but tags and declarations.
_BETWEEN: Final = re.compile(r"\s*(?:<[^<>]*>\s*)*(?:<[?!][^<>]*)?$")
_STRAY: Final = re.compile(r"&(?!(?:amp|lt|gt|quot|apos|#[0-9]+|#x[0-9A-Fa-f]+);)")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_MOST_TOKENS: Final = 5_000
_MOST_LINES: Final = 100_000
_MOST_TEXT: Final = 4096
#: Names that only Oracle's log.xml gives.
_RENAMED: Final = {"txt": "message", "comp_id": "component"}
#: Elements whose text goes on where the message ends.
_GOES_ON: Final = ("throwable", "exception.message", "Exception.Message")


@dataclass
class _Element:
    """One element of a record."""

    name: str
    attributes: dict[str, str]
    children: list[_Element] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.parts).strip()


class XmlRecords(Records):
    """One element a record."""

    name = "xml"
    example = '<log4j:event logger="shop.Orders" timestamp="1675010529486" level="INFO" thread="main">'
    rank = 9

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Where a record begins."""
        return lines.str.contains(rf"^\s*<{re.escape(context.tag)}(?:[\s/>]|$)")

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether each line is part of a record, or stands between records."""
        if lines.is_empty() or not (tag := tag_of(lines)):
            return pl.repeat(False, len(lines), dtype=pl.Boolean, eager=True)
        frame = self.parse(lines, Want(frozenset()), Context(tag=tag))
        return frame["placed"].any() & (frame["placed"] | (frame["mark"] > 0))

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`; the lines of a record behind its first are marked as joined."""
        texts = lines.to_list()
        records: list[Record | None] = [None] * len(texts)
        marks = [0] * len(texts)
        row = 0
        for begin, end in _spans(texts, context.tag or "?"):
            for between in range(row, begin):
                marks[between] = HEADER if _between(texts[between]) else 0
            row = begin
            if (record := record_of("\n".join(texts[begin:end]), context.tag)) is not None:
                records[begin] = record
                marks[begin + 1 : end] = [JOINED] * (end - begin - 1)
                row = end
        for between in range(row, len(texts)):
            marks[between] = HEADER if _between(texts[between]) else 0
        return to_frame(records, want, context).with_columns(pl.Series("mark", marks, dtype=pl.UInt8))


def _between(text: str) -> bool:
    return bool(text.strip()) and _BETWEEN.match(text) is not None


def maybe(line: str) -> bool:
    """Whether a file that begins with this line may be one of XML."""
    return _BEGINS.match(line) is not None


def tag_of(sample: pl.Series) -> str:
    """The element that is a record: the one of which there are several beside one another; empty where there is none.

    That is the outermost one, or, where that one encloses the whole file, the one right within it.
    """
    text = "\n".join(sample.to_list()).lstrip() if len(sample) and maybe(sample[0]) else ""
    if _TOKEN.match(text) is None:
        return ""
    depth, outer, inner = 0, Counter[str](), Counter[str]()
    names: list[str] = []  # of what the first element says of itself
    nests = False
    for token in _tokens(text):
        if token["end"]:
            depth = max(0, depth - 1)
            continue
        tag, attributes = token["tag"], token["more"]
        outer[tag] += depth == 0
        inner[tag] += depth == 1
        nests = nests or depth > 1 or (depth == 1 and bool(attributes))
        if depth < 2 and outer.total() == 1:
            names += [*re.findall(rf"({_NAME})\s*=", attributes if depth == 0 else ""), *([tag] if depth else [])]
        depth += not token["closed"]
    if not outer:
        return ""
    first, many = outer.most_common(1)[0]
    timed = any(_TIMED.search(name) for name in names if not name.startswith("xmlns"))
    if many > 1 or timed or not inner or not nests:
        return first
    within, count = inner.most_common(1)[0]
    return within if count > 1 or len(inner) == 1 else first


def _tokens(text: str) -> Iterator[re.Match[str]]:
    """The tags of a text, so far as they are well formed."""
    seen = 0
    for token in _TOKEN.finditer(text):
        if token["tag"] or token["end"]:
            seen += 1
            yield token
        if seen > _MOST_TOKENS:
            return


def apart(lines: pl.Series, tag: str) -> tuple[pl.Series, pl.Series] | None:
    """Put each record that begins within a line on a line of its own.

    Args:
        lines: String, shape (n,).
        tag: the element that is a record.

    Returns:
        As :func:`offbeat.read.unfold.unfold`.
    """
    begins = rf"<{re.escape(tag)}(?:[\s/>]|$)"
    rows = lines.str.contains(rf"\S\s*{begins}").arg_true()
    if rows.is_empty():
        return None
    at = {int(row): re.split(rf"(?={begins})", lines[row]) for row in rows}
    texts, places = [], []
    for row, line in enumerate(lines.to_list()):
        pieces = [piece for piece in at[row] if piece.strip()] if row in at else [line]
        if len(pieces) > 1 and _between(pieces[0]) and f"</{tag}>" not in pieces[0]:
            del pieces[0]  # what encloses all records
        texts += pieces
        places += [row] * len(pieces)
    return pl.Series(lines.name, texts, dtype=pl.String), pl.Series("row", places, dtype=pl.UInt32)


def _spans(texts: Sequence[str], tag: str) -> Iterator[tuple[int, int]]:
    """First line of each record and one past its last."""
    begins = re.compile(rf"\s*<{re.escape(tag)}(?:[\s/>]|$)")
    ends, closed = f"</{tag}>", re.compile(rf"\s*<{re.escape(tag)}(?:\s[^<>]*)?/>")
    starts = [row for row, text in enumerate(texts) if "<" in text and begins.match(text)]
    for begin, after in pairwise([*starts, len(texts)]):
        if closed.match(texts[begin]):
            yield begin, begin + 1
            continue
        for row in range(begin, min(after, begin + _MOST_LINES)):
            if ends in texts[row] or (
                texts[row].rstrip().endswith("/>") and closed.match("\n".join(texts[begin : row + 1]))
            ):
                yield begin, row + 1
                break


def record_of(text: str, tag: str) -> Record | None:
    """The names and values of one record; None where it is not well formed even without what XML may not hold."""
    end = text.rfind(f"</{tag}>")
    text = text[: end + len(tag) + 3] if end >= 0 else text[: text.rfind("/>") + 2]
    text = text.strip()
    top = _parsed(text) or _parsed(_STRAY.sub("&amp;", _CONTROL.sub("�", text)))
    if top is None:
        return None
    if _is_windows(top):
        return _windows(top)
    flat: dict[str, Any] = {}
    _flatten(top, flat)
    flat = {_RENAMED.get(name, name): value for name, value in flat.items()}
    if "millis" in flat and "date" in flat:  # the date of java.util.logging names no zone, the milliseconds need none
        flat["timestamp"] = flat.pop("millis")
    if str(flat.get("level", "")).isdigit() and "type" in flat and _is_level(flat["type"]):
        flat["level"] = flat.pop("type")  # Oracle's number says how important it is, not how bad
    for name in _GOES_ON:
        message = next((key for key in ("message", "Message") if key in flat), None)
        if name in flat and message is not None:
            flat[message] = f"{flat[message]}\n{flat.pop(name)}"
    return flat or None


def _is_level(text: str) -> bool:
    return bool(levels.from_names(pl.Series([text], dtype=pl.String))[0])


def _parsed(text: str) -> _Element | None:
    """The first element of a text."""
    from xml.parsers import expat

    root: _Element | None = None
    open_: list[_Element] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal root
        own = {_local(key): value for key, value in attributes.items() if not key.startswith("xmlns")}
        element = _Element(_local(name), own)
        if open_:
            open_[-1].children.append(element)
        root = root or element
        open_.append(element)

    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_.pop()
    parser.CharacterDataHandler = lambda data: open_[-1].parts.append(data)
    try:
        parser.Parse(text, True)
    except expat.ExpatError:
        return None
    return root


def _local(name: str) -> str:
    return name.rpartition(":")[2]


def _flatten(top: _Element, flat: dict[str, Any]) -> None:
    """Attributes and elements under their names; what is there several times is joined by line ends."""
    stack: list[tuple[str, _Element]] = [("", top)]
    while stack and len(flat) < MAX_FIELDS:
        path, element = stack.pop()
        named = _named_value(element) if path else None
        if named is not None:
            name, value = named
            _put(flat, name if name not in flat else f"{path}.{name}", value)
            continue
        for key, value in element.attributes.items():
            _put(flat, f"{path}.{key}" if path else key, value)
        if element.text:
            _put(flat, path or "message", element.text)
        prefix = f"{path}." if path else ""
        stack += [(prefix + child.name, child) for child in reversed(element.children)]


def _put(flat: dict[str, Any], name: str, value: str) -> None:
    flat[name] = value if name not in flat else f"{flat[name]}\n{value}"[:_MOST_TEXT]


def _named_value(element: _Element) -> tuple[str, str] | None:
    """Name and value of an element that does nothing but name a value."""
    attributes = {key.lower(): value for key, value in element.attributes.items()}
    name = attributes.get("name", attributes.get("key"))
    if name is None:
        return None
    if len(element.children) == 1 and element.children[0].name.lower() == "value":
        return name, element.children[0].text
    if element.children or len(attributes) > 2:
        return None
    return name, attributes.get("value", element.text)


def _is_windows(top: _Element) -> bool:
    system = next((child for child in top.children if child.name == "System"), None)
    return system is not None and any(child.name == "EventID" for child in system.children)


def _windows(top: _Element) -> Record:
    """A Windows event by the names that it has as JSON, and its words where it was saved with them."""
    event: dict[str, Any] = {}
    more: dict[str, Any] = {}
    for part in top.children:
        if part.name == "System":
            event["System"] = {child.name: _with_attributes(child) for child in part.children}
        elif part.name == "EventData":
            event["EventData"] = _event_data(part)
        elif part.name == "UserData":
            event["UserData"] = {child.name: _leaves(child) for child in part.children}
        elif part.name == "RenderingInfo":
            more |= {name: text for name, text in _leaves(part).items() if name == "Message" and text}
        else:
            _flatten(part, more)
    flat = {**windows_event(event), **more}
    if "Message" not in flat and (words := said(flat, event.get("EventData", {}))):
        flat = {"Message": words, **flat}
    return flat


def _with_attributes(element: _Element) -> Any:
    text: Any = int(element.text) if re.fullmatch("[0-9]{1,9}", element.text) else element.text or None
    if not element.attributes:
        return text
    return {"#attributes": element.attributes, **({} if text is None else {"#text": text})}


def _event_data(part: _Element) -> dict[str, Any]:
    """Named values by name; those without a name stand together."""
    found: dict[str, Any] = {}
    for child in part.children:
        _put(found, child.attributes.get("Name") or child.name, child.text)
    return found


def _leaves(element: _Element) -> dict[str, str]:
    return {child.name: child.text for child in element.children}

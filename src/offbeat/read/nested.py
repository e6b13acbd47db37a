"""Records within lines of another format: what an application writes as JSON, as a runtime or a shipper hands it on.

Containers' lines (CRI, Docker), syslog, ``kubectl logs --timestamps`` and Compose put a header of their own before the
application's record, or the whole record as text into one of theirs. Such a line becomes the record itself, with what
the header says beside what the record says, before any layout sees it; so a level, a trace and a message are found as
in a log of nothing but records. Lines of a stack trace lose the runtime's header, and join the event that they belong
to. Every line stays one line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import polars as pl

from offbeat.read import access
from offbeat.read.cri import CRI
from offbeat.read.json_records import is_docker, is_piece, load_all
from offbeat.read.layout import CONTINUATION, TextLayout
from offbeat.read.named_values import Logfmt
from offbeat.read.names import HEADER_LEVEL, HEADER_SOURCE, HEADER_TIME, NAMES, Record, roles_of
from offbeat.read.records import POD_HASHES, request_of, synthesise

#: Least share of a sample's lines with a record inside, beyond which all lines are looked at.
_ENOUGH: Final = 0.02
_RECORD: Final = r'^\{\s*".*\}$'
#: Lines that may have a record behind a header, or be a container's.
WITHIN: Final = r'^[^{]+\{\s*"|^\S+ std(?:out|err) '
#: A record as the text of a value.
_QUOTED: Final = r'":\s?"\{(?:\\n)?\s*\\"'
#: What containers write with a time that names its zone, so that the runtime's is not missed.
_BARE: Final = (*access.LAYOUTS, Logfmt())
_INNER: Final = tuple(name for name in NAMES["message"] if "." not in name)

#: Names that ``docker compose logs``, ``kubectl logs --prefix``, stern and pm2 put before each line.
NAMED: Final = TextLayout(
    "named",
    r"(?:[0-9]+\|)?\[?(?:pod/)?(?P<source>[A-Za-z0-9][\w.-]*)(?:/[\w.-]+)?\]?(?: [a-z0-9][a-z0-9-]*)?(?: *\|)? +"
    r"(?:(?P<time>{iso}) +)?",
    'api-1    | {"level":"info","msg":"order 17 accepted"}',
)

#: Where a node keeps containers' logs: ``containers/POD_NAMESPACE_CONTAINER-ID.log``, ``pods/NAMESPACE_POD_UID/…``.
_POD_FILE: Final = re.compile(
    r"(?:^|/)(?:(?P<pod>[a-z0-9][a-z0-9.-]*)_[a-z0-9-]+_[a-z0-9-]+-[0-9a-f]{64}\.log"
    r"|[a-z0-9-]+_(?P<owner>[a-z0-9][a-z0-9.-]*)_[0-9a-f]{8}-[0-9a-f-]{27}/[a-z0-9-]+/[0-9]+\.log)"
)


@dataclass(frozen=True)
class Wrapper:
    """What records stand in: a layout's header, or (None) a value of another record."""

    header: TextLayout | None = None


def writer_of(path: str) -> str | None:
    """The deployment, or other owner, of the pod whose log the file is by its path; None where it is no such file."""
    found = _POD_FILE.search(path)
    return re.sub(POD_HASHES, "", found["pod"] or found["owner"]) if found else None


def wrapper_of(sample: pl.Series, layout: TextLayout | None = None) -> Wrapper | None:
    """Find what the records of a sample stand in.

    Args:
        sample: lines, String, shape (n,).
        layout: the format found for them; None before that.

    Returns:
        What they stand in, None where there are none inside anything.
    """
    if layout is not None:
        wrapped = layout is CRI or _records_behind(sample, layout).sum() > _ENOUGH * len(sample)
        return Wrapper(layout) if wrapped else None
    if _maybe_inside(sample).any() and not (unwrap(sample, Wrapper()) == sample).all():
        return Wrapper()
    behind = sample.str.contains(r'^[^{"]{1,160}\{\s*"')
    if behind.sum() > 0.5 * len(sample) and _records_behind(sample, NAMED).sum() > 0.5 * len(sample):
        return Wrapper(NAMED)
    return None


def unwrap(lines: pl.Series, wrapper: Wrapper) -> pl.Series:
    """Put what an application wrote in the place of its line, where it is more than plain text.

    Args:
        lines: String, shape (n,).
        wrapper: what records stand in.

    Returns:
        String, shape (n,).
    """
    lines = lines.clone()  # scatter writes where it stands
    header = wrapper.header
    if header is None:
        rows = _maybe_inside(lines).arg_true()
        if rows.is_empty():
            return lines
        texts = lines.gather(rows).to_list()
        records = load_all(texts)
        inner = pl.Series([_inside(text, one) for text, one in zip(texts, records, strict=True)], dtype=pl.String)
        docker = pl.Series([_docker(one) for one in records], dtype=pl.String)
        bare = _by_itself(docker)
        return lines.scatter(rows, pl.select(pl.when(bare).then(docker).otherwise(inner)).to_series())
    rows = _records_behind(lines, header).arg_true()
    if len(rows):
        lines = lines.scatter(rows, _beside(lines.gather(rows), header))
    if header is CRI:
        _, rest = _parts(lines, CRI)
        bare = (_by_itself(rest) & lines.str.contains(r"^\S+ std(?:out|err) F")).arg_true()
        lines = lines.scatter(bare, rest.gather(bare)) if len(bare) else lines
    return lines


def _maybe_inside(lines: pl.Series) -> pl.Series:
    return lines.str.contains(rf'{_QUOTED}|"log":\s?"')


def _by_itself(texts: pl.Series) -> pl.Series:
    """Whether a container's text says all that its runtime's header does, or goes on with the event before."""
    goes_on = texts.str.contains(CONTINUATION).fill_null(False)
    for layout in _BARE:
        goes_on = goes_on | layout.fits(texts).fill_null(False)
    return goes_on


def _parts(lines: pl.Series, header: TextLayout) -> tuple[pl.DataFrame, pl.Series]:
    """The groups of each line's header, and what follows it; null where there is none."""
    groups = header.header(lines)
    rest = pl.DataFrame({"line": lines, "head": groups["head"]}).select(
        pl.col("line").str.slice(pl.col("head").str.len_chars())
    )
    return groups, rest.to_series()


def _records_behind(lines: pl.Series, header: TextLayout) -> pl.Series:
    """Whether each line is a header and a whole record: Boolean, shape (n,)."""
    nothing = pl.repeat(False, len(lines), dtype=pl.Boolean, eager=True)
    maybe = (lines.str.contains(r'.\{\s*"') & lines.str.contains(r"\}\s*$")).arg_true()
    if maybe.is_empty():
        return nothing
    _, rest = _parts(lines.gather(maybe), header)
    rest = rest.str.strip_chars()
    found = rest.str.contains(_RECORD).fill_null(False)
    whole = [bool(record) for record in load_all(rest.filter(found).to_list())]
    return nothing.scatter(maybe.filter(found).filter(pl.Series(whole, dtype=pl.Boolean)), True)


def _beside(lines: pl.Series, header: TextLayout) -> pl.Series:
    """Records with what stands in the header before them, under names of its own."""
    groups, rest = _parts(lines, header)
    said = {"time": HEADER_TIME, "source": HEADER_SOURCE}
    if header.scale is None and header.derive is None:
        said["level"] = HEADER_LEVEL
    named = [pl.col(group).alias(name) for group, name in said.items() if group in groups.columns]
    if not named:
        return rest.str.strip_chars()
    heads = groups.select(pl.struct(named).struct.json_encode()).to_series()
    both = pl.DataFrame({"head": heads.str.head(-1), "rest": rest.str.strip_chars().str.slice(1)})
    return both.select(pl.concat_str("head", pl.lit(","), "rest")).to_series()


def _inside(text: str, record: Any) -> str:
    """The record that stands in a value of a record, with what stands beside it; else the line itself."""
    if not isinstance(record, dict):
        return text
    for name in _INNER:
        value = record.get(name)
        if isinstance(value, str) and value:
            inner = _load(value) if value.lstrip()[:1] == "{" else None
            return _written(_merged(record, name, inner)) or text if inner else text
    return text


def _written(record: Record) -> str | None:
    """A record as JSON; None where it is nested more deeply than can be written, though it can be read."""
    try:
        return orjson.dumps(record).decode()
    except TypeError:
        return None


def _docker(record: Any) -> str | None:
    """The one line of text that Docker keeps in a record; None where it is no such, or a piece of a line."""
    if not isinstance(record, dict) or not is_docker(record) or is_piece(record):
        return None
    line = str(record["log"]).rstrip("\r\n")
    return None if "\n" in line else line


def _load(text: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _merged(outer: Record, name: str, inner: Mapping[str, Any]) -> dict[str, Any]:
    """Both records as one; where both say something, the inner one is right."""
    both = {**{key: value for key, value in outer.items() if key != name}, **inner}
    if not roles_of(inner)["message"] and request_of(inner) is None:
        both["message"] = synthesise(inner)
    return both

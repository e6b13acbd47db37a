"""All formats by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import polars as pl

from offbeat.read.cmtrace import CmTrace
from offbeat.read.cri import CRI
from offbeat.read.formats import TEXT
from offbeat.read.json_records import JsonDocuments, JsonLines
from offbeat.read.named_values import JournalExport, Logfmt, Pairs, Table
from offbeat.read.paragraphs import Paragraphs
from offbeat.read.xml_records import XmlRecords

if TYPE_CHECKING:
    from collections.abc import Mapping

    from offbeat.read.layout import Context, Want


class Layout(Protocol):
    """What sniffing and parsing ask of a format; TextLayout says what each member means."""

    @property
    def name(self) -> str:
        """What the user calls it."""

    @property
    def rank(self) -> int:
        """Of two layouts that read a line, the one with the higher rank takes it."""

    @property
    def multiline(self) -> bool:
        """Whether any line that it cannot place belongs to the event before."""

    @property
    def timed(self) -> bool:
        """Whether its lines carry a time."""

    @property
    def sequential(self) -> bool:
        """Whether ``fresh`` can only tell where the first line is known to begin a record."""

    def fresh(self, lines: pl.Series, context: Context) -> pl.Series:
        """Whether no record can be open before each line, whatever stands before them and follows."""

    def fits(self, lines: pl.Series) -> pl.Series:
        """Whether it reads each line."""

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """Lines to columns."""


_ALL: Final[tuple[Layout, ...]] = (
    JsonLines(),
    JsonDocuments(),
    XmlRecords(),
    CmTrace(),
    CRI,
    JournalExport(),
    Logfmt(),
    Pairs(),
    Table(),
    Paragraphs(),
    *TEXT.values(),
)

#: Every format by name; where ranks are equal, the earlier wins.
LAYOUTS: Final[Mapping[str, Layout]] = {layout.name: layout for layout in _ALL}

#: Layouts that may take single lines of a file that is mostly something else.
_WHOLE_FILES: Final = frozenset({"json-documents", "csv", "journal-export", "xml", "paragraphs", "cmtrace"})
BY_LINE: Final = tuple(layout for layout in _ALL if layout.name not in _WHOLE_FILES)

PLAIN: Final = "plain"

#: Names that a user may say instead.
ALIASES: Final[Mapping[str, str]] = {
    "jsonl": "json", "ndjson": "json", "docker": "json", "journald": "json", "suricata": "json", "zeek": "json",
    "evtx": "json-documents", "windows-xml": "xml", "log4j-xml": "xml",
    "combined": "access", "common": "access", "apache": "access", "nginx": "access",
    "syslog-3164": "syslog", "rfc3164": "syslog", "rfc5424": "syslog-5424", "openssh": "syslog", "linux": "syslog",
    "logcat": "android", "glog": "klog", "cbs": "windows-cbs", "windows": "windows-cbs", "k8s": "cri",
    "containerd": "cri", "w3c": "csv", "tsv": "csv", "dmesg": "kernel", "text": PLAIN,
}  # fmt: skip

FORMATS: Final = (*LAYOUTS, PLAIN)

"""The known shapes of time stamps.

Each is a regular expression with one named group a component, and, where the components stand at fixed places, a mask.

Components: ``Y`` year, ``y`` two-digit year, ``m`` month, ``b`` month's name, ``d`` day, ``H M S`` clock, ``f``
fraction, ``p`` AM or PM, ``z`` zone, ``e`` seconds since 1970.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

_MONTH: Final = r"(?P<b>[A-Z][a-z]{2})"
_CLOCK: Final = r"(?P<H>[0-9]{2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})"
_FRACTION: Final = r"(?:[.,](?P<f>[0-9]{1,9}))?"
_ZONE: Final = r"(?P<z>Z| ?(?:UTC|GMT)| ?[+-][0-9]{2}:?[0-9]{2})?"
TAIL: Final = re.compile(r"(?:[.,](?P<f>[0-9]{1,9}))?(?P<z>Z| ?(?:UTC|GMT)| ?[+-][0-9]{2}:?[0-9]{2})?")


def shape_of(stamps: Iterable[str]) -> str | None:
    """One expression without alternatives that fits all of ``stamps``; None where they are of several shapes."""
    shapes = {_generalise(stamp) for stamp in stamps}
    return shapes.pop() if len(shapes) == 1 else None


def _generalise(stamp: str) -> str:
    fraction = re.sub(r"(?<=:[0-9]{2}[.,])[0-9]+", "\0", stamp)
    digits = re.sub(r"[0-9]+", lambda m: f"\1{len(m[0])}\2", fraction)
    months = re.sub(r"[A-Z][a-z]{2}", "\3", digits)
    marks = re.sub(r" {2,}\x011\x02| \x012\x02(?= )", "\4", months, count=1) if "\3" in months else months
    text = re.escape(marks)
    text = text.replace("\0", "[0-9]{1,9}").replace("\3", "[A-Z][a-z]{2}").replace("\4", " +[0-9]{1,2}")
    return re.sub(r"\x01([0-9]+)\x02", r"[0-9]{\1}", text)


@dataclass(frozen=True)
class Stamp:
    """One shape of time stamp.

    Attributes:
        name: how other modules refer to it.
        regex: with the component groups above; valid for Python's re and for Rust's regex.
        mask: components at fixed places, one letter a character, ``?`` for anything; None when widths vary.
        cycle: ``"year"`` when the year is missing, ``"day"`` when the whole date is, else None.
    """

    name: str
    regex: str
    mask: str | None = None
    cycle: str | None = None

    @cached_property
    def bare(self) -> str:
        """The expression without named groups, to be put inside another one."""
        return re.sub(r"\(\?P<\w+>", "(?:", self.regex)

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The expression for single strings."""
        return re.compile(self.regex)


def _stamps(*stamps: Stamp) -> Mapping[str, Stamp]:
    return {stamp.name: stamp for stamp in stamps}


_DATE: Final = r"(?P<Y>[0-9]{4})[-/.](?P<m>[0-9]{2})[-/.](?P<d>[0-9]{2})"

#: In the order in which an unknown stamp is tried: the more particular first.
STAMPS: Final[Mapping[str, Stamp]] = _stamps(
    Stamp("bgl", _DATE + r"-(?P<H>[0-9]{2})\.(?P<M>[0-9]{2})\.(?P<S>[0-9]{2})" + _FRACTION, "YYYY?mm?dd?HH?MM?SS"),
    Stamp("iso", _DATE + "[T _]" + _CLOCK + _FRACTION + _ZONE, "YYYY?mm?dd?HH?MM?SS"),
    Stamp(
        "clf", rf"(?P<d>[0-9]{{2}})/{_MONTH}/(?P<Y>[0-9]{{4}})[: ]{_CLOCK}{_FRACTION}{_ZONE}", "dd?bbb?YYYY?HH?MM?SS"
    ),
    Stamp(
        "ctime",
        rf"[A-Z][a-z]{{2}} {_MONTH} +(?P<d>[0-9]{{1,2}}) {_CLOCK}{_FRACTION}(?: [A-Z]{{3,4}})? (?P<Y>[0-9]{{4}})",
        "????bbb?dd?HH?MM?SS?YYYY",
    ),
    Stamp("syslog-year", rf"{_MONTH} +(?P<d>[0-9]{{1,2}}) (?P<Y>[0-9]{{4}}) {_CLOCK}{_FRACTION}"),
    Stamp("syslog", rf"{_MONTH} +(?P<d>[0-9]{{1,2}}) {_CLOCK}{_FRACTION}", "bbb?dd?HH?MM?SS", "year"),
    Stamp("spark", rf"(?P<y>[0-9]{{2}})/(?P<m>[0-9]{{2}})/(?P<d>[0-9]{{2}}) {_CLOCK}{_FRACTION}", "yy?mm?dd?HH?MM?SS"),
    Stamp(
        "us",
        r"(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})/(?P<Y>[0-9]{4}),? (?P<H>[0-9]{1,2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})"
        + _FRACTION
        + "(?: (?P<p>[AP]M))?",
    ),
    Stamp(
        "day-month",
        rf"(?P<d>[0-9]{{1,2}})[- ]{_MONTH}[- ](?P<Y>[0-9]{{4}})[ T]{_CLOCK}{_FRACTION}{_ZONE}",
        "dd?bbb?YYYY?HH?MM?SS",
    ),
    Stamp(
        "java",
        rf"{_MONTH} (?P<d>[0-9]{{1,2}}), (?P<Y>[0-9]{{4}}),? (?P<H>[0-9]{{1,2}}):(?P<M>[0-9]{{2}}):(?P<S>[0-9]{{2}})"
        "(?: (?P<p>[AP]M))?",
    ),
    Stamp(
        "german",
        rf"(?P<d>[0-9]{{2}})\.(?P<m>[0-9]{{2}})\.(?P<Y>[0-9]{{4}}),? {_CLOCK}{_FRACTION}",
        "dd?mm?YYYY?HH?MM?SS",
    ),
    Stamp(
        "healthapp",
        r"(?P<Y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})-(?P<H>[0-9]{1,2}):(?P<M>[0-9]{1,2}):(?P<S>[0-9]{1,2})"
        r"(?::(?P<ms>[0-9]{1,3}))?",
    ),
    Stamp(
        "compact",
        r"(?P<Y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})[T _-]?(?P<H>[0-9]{2}):?(?P<M>[0-9]{2}):?(?P<S>[0-9]{2})"
        + _FRACTION
        + _ZONE,
    ),
    Stamp(
        "hdfs",
        r"(?P<y>[0-9]{2})(?P<m>[0-9]{2})(?P<d>[0-9]{2}) (?P<H>[0-9]{2})(?P<M>[0-9]{2})(?P<S>[0-9]{2})",
        "yymmdd?HHMMSS",
    ),
    Stamp("mysql", rf"(?P<y>[0-9]{{2}})(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}}) +{_CLOCK}"),
    Stamp("logcat", rf"(?P<m>[0-9]{{2}})-(?P<d>[0-9]{{2}}) {_CLOCK}{_FRACTION}", "mm?dd?HH?MM?SS", "year"),
    Stamp("proxifier", rf"(?P<m>[0-9]{{2}})\.(?P<d>[0-9]{{2}}) {_CLOCK}{_FRACTION}", "mm?dd?HH?MM?SS", "year"),
    Stamp("klog", rf"(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}}) {_CLOCK}{_FRACTION}", "mmdd?HH?MM?SS", "year"),
    Stamp("epoch", r"(?P<e>[0-9]{9,10}(?:\.[0-9]{1,9})?|[0-9]{13}|[0-9]{16}|[0-9]{19})"),
    Stamp("iso-minute", _DATE + r"[T ](?P<H>[0-9]{2}):(?P<M>[0-9]{2})" + _ZONE, "YYYY?mm?dd?HH?MM"),
    Stamp("iso-date", _DATE, "YYYY?mm?dd"),
    Stamp("clock", _CLOCK + _FRACTION, "HH?MM?SS", "day"),
)

#: Any stamp that begins a line, as one expression without named groups.
ANY: Final = "(?:" + "|".join(f"(?:{stamp.bare})" for stamp in STAMPS.values() if stamp.name != "epoch") + ")"


def find_stamp(samples: Iterable[str], candidates: Iterable[Stamp] | None = None) -> Stamp | None:
    """The shape that fits most of ``samples`` in full; None where none fits any."""
    samples = list(samples)
    best, most = None, 0
    for stamp in candidates or STAMPS.values():
        hits = sum(1 for text in samples if stamp.compiled.fullmatch(text))
        if hits > most:
            best, most = stamp, hits
    return best

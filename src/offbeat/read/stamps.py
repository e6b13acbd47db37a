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
#: Names of zones that mean one thing, or in North America what RFC 5322, 4.3 says, in hours east of Greenwich.
ZONES: Final[Mapping[str, float]] = {
    name: hours
    for hours, names in (
        *((-10, "HST"), (-9, "AKST"), (-8, "PST"), (-7, "PDT MST"), (-6, "MDT CST"), (-5, "CDT EST"), (-4, "EDT")),
        *((-3, "BRT"), (0, "Z UTC GMT WET"), (1, "WEST BST CET MET"), (2, "CEST MEST EET SAST"), (3, "EEST MSK")),
        *((8, "HKT SGT AWST"), (9, "JST KST"), (9.5, "ACST"), (10, "AEST"), (11, "AEDT"), (12, "NZST"), (13, "NZDT")),
    )
    for name in names.split()
}
_NAMED_ZONE: Final = (
    r"(?:UTC|GMT|WES?T|BST|CES?T|MES?T|EES?T|SAST|MSK|HKT|SGT|AWST|[JK]ST|ACST|AE[SD]T|NZ[SD]T|BRT|[ECMP][SD]T|AKST"
    r"|HST)"
)
_ZONE: Final = rf"(?P<z>Z| ?{_NAMED_ZONE}\b| ?[+-][0-9]{{2}}:?[0-9]{{2}}|[+-][0-9]{{2}}\b)?"
TAIL: Final = re.compile(r"(?:[.,](?P<f>[0-9]{1,9}))?" + _ZONE)


def shape_of(stamps: Iterable[str]) -> str | None:
    """One expression without alternatives that fits all of ``stamps``; None where they are of several shapes."""
    shapes = {_generalise(stamp) for stamp in stamps}
    return shapes.pop() if len(shapes) == 1 else None


def _generalise(stamp: str) -> str:
    fraction = re.sub(r"(?<=:[0-9]{2}[.,])[0-9]+", "\0", stamp)
    digits = re.sub(r"[0-9]+", lambda m: f"\1{len(m[0])}\2", fraction)
    months = re.sub(r"[A-Z][a-z]{2}|(?<=-)[A-Z]{3}(?=-)", "\3", digits)
    marks = re.sub(r" {2,}\x011\x02| \x012\x02(?= )", "\4", months, count=1) if "\3" in months else months
    text = re.escape(marks)
    text = text.replace("\0", "[0-9]{1,9}").replace("\3", "[A-Z][A-Za-z]{2}").replace("\4", " +[0-9]{1,2}")
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
_WEEKDAY: Final = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_MONTH_NUMBER: Final = r"(?P<m>1[0-2]|0?[1-9])"
_DAY_NUMBER: Final = r"(?P<d>[12][0-9]|3[01]|0?[1-9])"
_HALF: Final = r"(?: ?(?P<p>[AaPp][Mm])\b)?"
_SLASHED: Final = (
    r"[/-](?P<Y>[0-9]{4})(?:,? +(?:-+ )?|[-:]| \| )(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})"
    + _FRACTION
    + _HALF
)

#: In the order in which an unknown stamp is tried: the more particular first.
STAMPS: Final[Mapping[str, Stamp]] = _stamps(
    Stamp(
        "bgl",  # and DB2's, which gives the zone in minutes; Unreal's fraction follows a colon
        _DATE + r"-(?P<H>[0-9]{2})\.(?P<M>[0-9]{2})\.(?P<S>[0-9]{2})(?:[.,:](?P<f>[0-9]{1,9}))?(?P<z>[+-][0-9]{3}\b)?",
        "YYYY?mm?dd?HH?MM?SS",
    ),
    Stamp("iso", _DATE + "(?:[T _:|-]|, ?|  )" + _CLOCK + _FRACTION + _ZONE, "YYYY?mm?dd?HH?MM?SS"),
    Stamp("iso-dash", _DATE + " - " + _CLOCK + _FRACTION, "YYYY?mm?dd???HH?MM?SS"),
    Stamp(
        "iso-loose",
        r"(?P<Y>[0-9]{4})[-/.年](?P<m>[0-9]{1,2})[-/.月](?P<d>[0-9]{1,2})日?[T ](?P<H>[0-9]{1,2}):(?P<M>[0-9]{2}):"
        r"(?P<S>[0-9]{2})" + _FRACTION + _ZONE,
    ),
    Stamp(
        "clf", rf"(?P<d>[0-9]{{2}})/{_MONTH}/(?P<Y>[0-9]{{4}})[: ]{_CLOCK}{_FRACTION}{_ZONE}", "dd?bbb?YYYY?HH?MM?SS"
    ),
    Stamp(
        "ctime-zone",  # Git's and Oracle's
        rf"[A-Z][a-z]{{2}} {_MONTH} +(?P<d>[0-9]{{1,2}}) {_CLOCK} (?P<Y>[0-9]{{4}}) (?P<z>[+-][0-9]{{2}}:?[0-9]{{2}})",
        "????bbb?dd?HH?MM?SS?YYYY",
    ),
    Stamp(
        "ctime",
        rf"[A-Z][a-z]{{2}} {_MONTH} +(?P<d>[0-9]{{1,2}}) {_CLOCK}{_FRACTION}{_ZONE}(?: [A-Z]{{3,5}})?"
        " (?P<Y>[0-9]{4})",
        "????bbb?dd?HH?MM?SS?YYYY",
    ),
    Stamp(
        "weekday-syslog",
        rf"{_WEEKDAY} {_MONTH} +(?P<d>[0-9]{{1,2}}) {_CLOCK}{_FRACTION}(?P<z> {_NAMED_ZONE}\b)?",
        "????bbb?dd?HH?MM?SS",
        "year",
    ),
    Stamp(
        "mail",  # RFC 5322
        rf"{_WEEKDAY}, (?P<d>[0-9]{{1,2}}) {_MONTH} (?P<Y>[0-9]{{4}}) {_CLOCK}{_FRACTION}{_ZONE}",
        "?????dd?bbb?YYYY?HH?MM?SS",
    ),
    Stamp("weekday-iso", rf"{_WEEKDAY} {_DATE}[T ]{_CLOCK}{_FRACTION}{_ZONE}", "????YYYY?mm?dd?HH?MM?SS"),
    Stamp(
        "syslog-year", rf"{_MONTH} +(?P<d>[0-9]{{1,2}}) (?P<Y>[0-9]{{4}}) {_CLOCK}{_FRACTION}(?P<z> {_NAMED_ZONE}\b)?"
    ),
    Stamp("year-syslog", rf"(?P<Y>20[0-9]{{2}}) {_MONTH} +(?P<d>[0-9]{{1,2}}) {_CLOCK}(?:[.,:](?P<f>[0-9]{{1,9}}))?"),
    Stamp("syslog-after", rf"{_MONTH} +(?P<d>[0-9]{{1,2}}) {_CLOCK}{_FRACTION} (?P<Y>20[0-9]{{2}})\b"),
    Stamp("syslog", rf"{_MONTH} +(?P<d>[0-9]{{1,2}}) {_CLOCK}{_FRACTION}", "bbb?dd?HH?MM?SS", "year"),
    Stamp(
        "spark",
        rf"(?P<y>[0-9]{{2}})/(?P<m>0[1-9]|1[0-2])/(?P<d>[0-2][0-9]|3[01]) {_CLOCK}{_FRACTION}",
        "yy?mm?dd?HH?MM?SS",
    ),
    Stamp("us", _MONTH_NUMBER + "[/-]" + _DAY_NUMBER + _SLASHED),
    Stamp("slashed", _DAY_NUMBER + "[/-]" + _MONTH_NUMBER + _SLASHED),
    Stamp(
        "us-short",
        rf"{_MONTH_NUMBER}/{_DAY_NUMBER}/(?P<y>[0-9]{{2}}),? +(?P<H>[0-9]{{1,2}}):(?P<M>[0-9]{{2}}):(?P<S>[0-9]{{2}})"
        rf"(?::(?P<ms>[0-9]{{3}}))?{_HALF}{_ZONE}",
    ),
    Stamp("snort", rf"(?P<m>0[1-9]|1[0-2])/(?P<d>[0-3][0-9])-{_CLOCK}{_FRACTION}", "mm?dd?HH?MM?SS", "year"),
    Stamp(
        "day-month",
        r"(?P<d>[0-9]{1,2})[- ]?(?P<b>[A-Z][a-z]{2}|[A-Z]{3})[- ]?(?P<Y>[0-9]{4})(?:[ T]|::?)"
        rf"{_CLOCK}{_FRACTION}{_ZONE}",
        "dd?bbb?YYYY?HH?MM?SS",
    ),
    Stamp(
        "day-month-clock",
        rf"(?P<d>[0-9]{{1,2}})[- ]{_MONTH} (?P<H>[0-9]{{2}}):(?P<M>[0-9]{{2}})(?::(?P<S>[0-9]{{2}}))?{_FRACTION}",
        cycle="year",
    ),
    Stamp("month-slash", rf"(?P<b>[a-z]{{3}})/(?P<d>[0-9]{{2}}) {_CLOCK}", "bbb?dd?HH?MM?SS", "year"),  # MikroTik's
    Stamp(
        "java",
        rf"(?:{_WEEKDAY}[a-z]*, )?{_MONTH}[a-z]* (?P<d>[0-9]{{1,2}}), (?P<Y>[0-9]{{4}}),? (?:at |@ )?"
        rf"(?P<H>[0-9]{{1,2}}):(?P<M>[0-9]{{2}}):(?P<S>[0-9]{{2}}){_FRACTION}{_HALF}{_ZONE}",
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
        r"(?P<Y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})[T _:-]?(?P<H>[0-9]{2}):?(?P<M>[0-9]{2}):?(?P<S>[0-9]{2})"
        + _FRACTION
        + _ZONE,
    ),
    Stamp(
        "hdfs",
        r"(?P<y>[0-9]{2})(?P<m>[0-9]{2})(?P<d>[0-9]{2}) (?P<H>[0-9]{2})(?P<M>[0-9]{2})(?P<S>[0-9]{2})",
        "yymmdd?HHMMSS",
    ),
    Stamp(
        "mysql",
        r"(?P<y>[0-9]{2})(?P<m>[0-9]{2})(?P<d>[0-9]{2}) +(?P<H>[0-9]{1,2}):(?P<M>[0-9]{2}):(?P<S>[0-9]{2})" + _FRACTION,
    ),
    Stamp("logcat", rf"(?P<m>[0-9]{{2}})-(?P<d>[0-9]{{2}})[ |]{_CLOCK}{_FRACTION}", "mm?dd?HH?MM?SS", "year"),
    Stamp("proxifier", rf"(?P<m>[0-9]{{2}})\.(?P<d>[0-9]{{2}}) {_CLOCK}{_FRACTION}", "mm?dd?HH?MM?SS", "year"),
    Stamp("klog", rf"(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}}) {_CLOCK}{_FRACTION}", "mmdd?HH?MM?SS", "year"),
    Stamp(
        "chromium",
        r"(?P<m>[0-9]{2})(?P<d>[0-9]{2})/(?P<H>[0-9]{2})(?P<M>[0-9]{2})(?P<S>[0-9]{2})\.(?P<f>[0-9]{3,6})",
        cycle="year",
    ),
    Stamp("tai64n", r"@(?P<x>4[0-9a-f]{23})"),
    Stamp("epoch", r"(?P<e>[0-9]{9,10}(?:\.[0-9]{1,9})?|[0-9]{13}(?:\.[0-9]{1,6})?|[0-9]{16}|[0-9]{19})"),
    Stamp("iso-minute", _DATE + r"[T ](?P<H>[0-9]{2}):(?P<M>[0-9]{2})" + _ZONE, "YYYY?mm?dd?HH?MM"),
    Stamp("iso-date", _DATE, "YYYY?mm?dd"),
    Stamp(
        "kitchen",  # Go's name for it
        r"(?P<H>1[0-2]|0?[1-9]):(?P<M>[0-5][0-9])(?::(?P<S>[0-9]{2}))? ?(?P<p>[AaPp][Mm])\b",
        cycle="day",
    ),
    Stamp("clock", _CLOCK + _FRACTION, "HH?MM?SS", "day"),
)

#: Any stamp that begins a line, as one expression without named groups.
ANY: Final = (
    "(?:" + "|".join(f"(?:{stamp.bare})" for stamp in STAMPS.values() if stamp.name not in {"epoch", "tai64n"}) + ")"
)


_DATED: Final = (
    *(
        "bgl",
        "iso",
        "clf",
        "ctime-zone",
        "ctime",
        "mail",
        "weekday-iso",
        "syslog-year",
        "year-syslog",
        "syslog-after",
        "syslog",
        "us",
    ),
    *("slashed", "day-month", "java", "german"),
)
#: A stamp with a date that can be told from anything else wherever in a line it stands.
DATED: Final = (
    "(?:"
    + "|".join(f"(?:{STAMPS[name].bare})" for name in _DATED).replace(
        "(?:[.,](?:[0-9]{1,9}))?",
        r"(?:\.[0-9]{1,9}|,[0-9]{3,6}\b)?",  # a comma may part it from the next value
    )
    + ")"
)


def find_stamp(samples: Iterable[str], candidates: Iterable[Stamp] | None = None) -> Stamp | None:
    """The shape that fits most of ``samples`` in full; None where none fits any."""
    samples = list(samples)
    best, most = None, 0
    for stamp in candidates or STAMPS.values():
        hits = sum(1 for text in samples if stamp.compiled.fullmatch(text))
        if hits > most:
            best, most = stamp, hits
            if hits == len(samples):
                break
    return best


def offset(zone: str) -> float:
    """Seconds that a zone, by name or as ``+hh:mm``, is east of Greenwich."""
    zone = zone.strip()
    if zone in ZONES:
        return 3600.0 * ZONES[zone]
    digits = zone[1:].replace(":", "")
    # Three digits are minutes, as DB2 writes them.
    seconds = int(digits) * 60 if len(digits) == 3 else int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60
    return float(-seconds if zone[0] == "-" else seconds)

"""Level names and numbers of every dialect to OpenTelemetry severity numbers (opentelemetry.io, Logs Data Model)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import polars as pl

from offbeat.read.lines import by_value

TRACE, DEBUG, INFO, NOTICE, WARN, ERROR, CRITICAL, FATAL = 1, 5, 9, 10, 13, 17, 18, 21

#: Names in lower case. Single letters are logcat's, klog's and MongoDB's; "severe" and "fine" java.util.logging's.
NAMES: Final[Mapping[str, int]] = {
    **dict.fromkeys(
        ("trace", "trc", "trce", "verbose", "vrb", "trac", "finest", "finer", "v", "t", "all", "silly"), TRACE
    ),
    **dict.fromkeys(
        ("debug", "dbg", "debu", "fine", "d", "config", "debug1", "d1", "d2", "d3", "d4", "d5", "dbug"), DEBUG
    ),
    **dict.fromkeys(
        ("info", "inf", "information", "informational", "i", "ii", "log", "ok", "hint", "detail", "stdout"), INFO
    ),
    **dict.fromkeys(("system", "success", "statement", "default", "audit", "normal"), INFO),
    **dict.fromkeys(("notice", "note"), NOTICE),
    **dict.fromkeys(("warn", "warning", "wrn", "w", "wa", "ww", "deprecated"), WARN),
    **dict.fromkeys(("error", "err", "erro", "eror", "fail", "failed", "failure", "e", "ee", "severe", "er"), ERROR),
    **dict.fromkeys(("critical", "crit", "crt", "c"), CRITICAL),
    "alert": 19,
    **dict.fromkeys(("fatal", "fata", "panic", "pani", "dpanic", "parse", "f", "ftl", "a", "assert"), FATAL),
    **dict.fromkeys(("emerg", "emergency"), 22),
}

_HEADER_NAMES: Final = (
    "TRACE|DEBUG|INFORMATION|INFO|NOTICE|WARNING|WARN|SEVERE|ERROR|CRITICAL|FATAL|ALERT|EMERGENCY|EMERG|CRIT|ERR|PANIC"
    "|FAILURE|CONFIG|FINEST|FINER|FINE|VERBOSE|LOG|STATEMENT|DETAIL|HINT|TRC|VRB|DBG|INF|WRN|FTL"
    "|trace|debug|information|info|notice|warning|warn|error|critical|fatal|alert|emerg|crit|err|panic"
    "|Trace|Debug|Information|Info|Notice|Warning|Warn|Error|Critical|Fatal|Verbose|Note|System"
)


def _alternatives(words: list[str]) -> str:
    """A group of alternatives without common beginnings, which lets the expression run in one pass."""
    groups: dict[str, list[str]] = {}
    for word in words:
        groups.setdefault(word[:1], []).append(word[1:])
    parts = []
    for letter, rests in groups.items():
        if letter:
            more = _alternatives(rests) if any(rests) else ""
            parts.append(letter + (more + "?" if "" in rests and more else more))
    return parts[0] if len(parts) == 1 and len(words) == 1 else "(?:" + "|".join(parts) + ")"


#: The names that the header of a line is searched for, as an expression.
WORDS: Final = _alternatives(_HEADER_NAMES.split("|"))

#: A level as a header within the message names it: between brackets, bars, colons or commas, or apart from the rest.
SAID: Final = (
    r"^.*?(?:^|[\[(<|:,;) ]) *"
    r"(TRACE|DEBUG|INFO|NOTICE|WARN|WARNING|ERROR|ERR|CRITICAL|CRIT|FATAL|SEVERE|ALERT|EMERG|PANIC|LOG"
    r"|Trace|Debug|Info|Information|Notice|Warn|Warning|Error|Critical|Fatal|Severe"
    r"|trace|debug|info|notice|warn|warning|error|err|critical|crit|fatal|severe|alert|emerg)"
    r"(?: *[\])>|:,;]| {2,}| \[| - )"
)

#: Numeric severities of syslog (RFC 5424, table 2), also journald's PRIORITY and GELF's level.
SYSLOG: Final[Mapping[int, int]] = {0: 22, 1: 19, 2: CRITICAL, 3: ERROR, 4: WARN, 5: NOTICE, 6: INFO, 7: DEBUG}
#: Severities by syslog's priority, which has the facility in it (RFC 5424, section 6.2.1).
PRIORITIES: Final[Mapping[int, int]] = {n: SYSLOG[n % 8] for n in range(192)}
#: Numeric levels of bunyan and pino; Python's logging is one step off, and names the field levelno.
PINO: Final[Mapping[int, int]] = {10: TRACE, 20: DEBUG, 30: INFO, 40: WARN, 50: ERROR, 60: FATAL}
PYTHON: Final[Mapping[int, int]] = {10: DEBUG, 20: INFO, 30: WARN, 40: ERROR, 50: FATAL}
#: Keys whose numbers are on a scale of their own, and the prefix that says so to :func:`from_any`.
KEYS: Final[Mapping[str, str]] = {
    **dict.fromkeys(("severityNumber", "severity_number", "SeverityNumber"), "otel:"),
    "levelno": "python:",
}
#: Windows event levels (winmeta.xml), Azure's as well, by numbers under this name; 0 is "log always".
WINDOWS: Final[Mapping[int, int]] = {0: INFO, 1: FATAL, 2: ERROR, 3: WARN, 4: INFO, 5: TRACE}
WINDOWS_KEY: Final = "Level"
_SCALED: Final = {
    **{f"otel:{n}": n for n in range(1, 25)},
    **{f"python:{n}": level for n, level in PYTHON.items()},
    **{f"windows:{n}": level for n, level in WINDOWS.items()},
}

# A count of zero or a negation is no failure: "0 errors", "no error", "error=0", "failed: 0".
_QUIET: Final = (
    r"(?i)\b(?:0|no|zero|without)\s+(?:\w+\s+)?(?:errors?|warnings?|failures?)\b"
    r"|\b(?:errors?|warnings?|failed|failures?)\s?[=:]\s?(?:0\b|none|null|false)"
)
_SEVERE: Final = r"(?i)\b(?:fatal|panic|emergency|segfault|kernel bug|out of memory|oom-killer)\b"
# Names of packages and files hold such words too ("libgpg-error", "on-error.js"): those joined by dashes do not count.
_ERRORS: Final = r"(?i)(?:^|[^\w./-])(?:errors?|traceback|critical|exception)(?:$|[^\w/-])|\w{3,}(?:exception|error)\b"
_WARNINGS: Final = (
    r"(?i)\b(?:warn|warning|warnings|fail|fails|failed|failure|failures|denied|refused|timed out|invalid)\b"
)
_ANY: Final = (
    r"(?i)fatal|panic|emergency|segfault|bug|out of memory|oom|error|exception|traceback|crit|warn|fail|denied"
)
# What a header within the message says: that of klog, as of Kubernetes' programs in the journal, and a pair of logfmt.
_KLOG: Final = r"^([IWEF])[0-9]{4} [0-9]{2}:[0-9]{2}:[0-9]{2}"
_PAIR: Final = r"\b(?:level|lvl|severity)=\"?([A-Za-z]+)"
_NAMED: Final = rf"(?i)\blevel=|\blvl=|\bseverity=|(?-i:{_KLOG})"
_ANY_TOO: Final = f"{_ANY}|refused|timed out|invalid|{_NAMED.removeprefix('(?i)')}"


def from_names(names: pl.Series) -> pl.Series:
    """Level names to numbers.

    Args:
        names: String, shape (n,), in any case, with or without padding.

    Returns:
        UInt8, shape (n,); 0 where null or unknown.
    """
    return by_value(names, _from_names).fill_null(0)


def _from_names(distinct: pl.Series) -> pl.Series:
    known = [_SCALED.get(name) or NAMES.get(name.strip(" \t[]<>():*").lower(), 0) for name in distinct.to_list()]
    return pl.Series(known, dtype=pl.UInt8)


def from_numbers(numbers: pl.Series, scale: Mapping[int, int]) -> pl.Series:
    """Numeric levels to numbers on ``scale``; 0 where null or unknown."""
    return numbers.cast(pl.Int64, strict=False).replace_strict(dict(scale), default=0, return_dtype=pl.UInt8)


def from_any(texts: pl.Series) -> pl.Series:
    """Levels given by name or by number.

    Args:
        texts: String, shape (n,); numbers are syslog's up to seven, and bunyan's from ten on, unless a prefix of
            :data:`KEYS` says otherwise.

    Returns:
        UInt8, shape (n,); 0 where null or unknown.
    """
    return by_value(texts, _from_any).fill_null(0)


def _from_any(distinct: pl.Series) -> pl.Series:
    numbers = distinct.cast(pl.Float64, strict=False).cast(pl.Int64, strict=False)
    scaled = from_numbers(numbers, {**PINO, **SYSLOG})
    return pl.select(pl.when(numbers.is_null()).then(_from_names(distinct)).otherwise(scaled)).to_series()


def from_said(messages: pl.Series, said: str) -> pl.Series:
    """The level that each message names by the first group of an expression, else what its words say: UInt8."""
    named = from_names(messages.str.extract(said))
    unknown = (named == 0).arg_true()
    return named.scatter(unknown, from_words(messages.gather(unknown))) if len(unknown) else named


def from_words(messages: pl.Series) -> pl.Series:
    """Guess from the words of the message where the format names no level.

    Only words that say by themselves that something went wrong count, and not where the message says that it did not
    ("0 errors"), nor where it names its level (``level=info``, klog's ``I0129``). Anything else stays 0, unknown.

    Args:
        messages: String, shape (n,).

    Returns:
        UInt8, shape (n,): what the message names, else FATAL, ERROR, WARN or 0.
    """
    zero = pl.repeat(0, len(messages), dtype=pl.UInt8, eager=True)
    # One cheap pass finds the few lines worth a closer look.
    rows = messages.str.contains(_ANY_TOO).fill_null(False).arg_true()
    if rows.is_empty():
        return zero
    text = pl.col("text")
    guess = (
        pl.when(text.str.contains(_QUIET))
        .then(0)
        .when(text.str.contains(_SEVERE))
        .then(FATAL)
        .when(text.str.contains(_ERRORS))
        .then(ERROR)
        .when(text.str.contains(_WARNINGS))
        .then(WARN)
        .otherwise(0)
        .cast(pl.UInt8)
    )
    texts = messages.gather(rows)
    levels = pl.DataFrame({"text": texts}).select(guess.alias("level")).to_series()
    named = texts.str.contains(_NAMED).arg_true()
    if len(named):
        said = texts.gather(named)
        told = from_names(said.str.extract(_KLOG).fill_null(said.str.extract(_PAIR)))
        levels = levels.scatter(named.filter(told > 0), told.filter(told > 0))
    return zero.scatter(rows, levels)

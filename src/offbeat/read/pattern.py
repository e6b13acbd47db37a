"""A line format in the user's own words: ``<time> <level> [<thread>] <message>``."""

from __future__ import annotations

import difflib
import re
from typing import Final

from offbeat.errors import OptionError
from offbeat.read.layout import TextLayout
from offbeat.read.layouts import ALIASES, LAYOUTS, PLAIN, Layout

_FIELD: Final = re.compile(r"<([^<>]*)>")
_ROLES: Final = {
    **dict.fromkeys(("time", "timestamp", "date", "datetime", "ts"), "time"),
    **dict.fromkeys(("level", "severity", "lvl", "priority"), "level"),
    **dict.fromkeys(("source", "service", "component", "logger", "program", "app"), "source"),
    **dict.fromkeys(("message", "msg", "content", "text"), "message"),
}


def layout_of(text: str) -> Layout | None:
    """The layout that a name or a pattern stands for; None for plain text.

    Raises:
        OptionError: when it is neither.
    """
    name = ALIASES.get(text.lower(), text.lower())
    if name == PLAIN:
        return None
    if name in LAYOUTS:
        return LAYOUTS[name]
    if "<" in text:
        return compile_pattern(text)
    close = difflib.get_close_matches(name, [*LAYOUTS, *ALIASES, PLAIN], n=1)
    hint = f"did you mean {close[0]}?" if close else "use a name that `offbeat sniff` shows."
    raise OptionError(
        f"there is no format {text!r}", where="--format", hint=f"{hint} A pattern looks like '<time> <level> <message>'"
    )


def compile_pattern(text: str) -> TextLayout:
    """Turn a user's pattern into a layout.

    ``<time>`` is a time stamp of any known shape, ``<level>`` a word, ``<message>`` the rest; ``<_>`` is skipped and
    any other name becomes a field. Spaces stand for one or more.

    Raises:
        OptionError: naming the place that cannot be understood.
    """
    parts = _FIELD.split(text)
    names = parts[1::2]
    seen: set[str] = set()
    regex = ""
    for at, part in enumerate(parts):
        if at % 2 == 0:
            regex += re.sub(r"(?:\\ )+", " +", re.escape(part)).replace("\\-", "-")
            continue
        role = _role(part, seen, text)
        last = at == len(parts) - 2 and not parts[-1]
        regex += _group(role, last=last, unit=parts[at + 1][:1])
    if not names:
        raise OptionError("the pattern names no field", where="--format", hint="try '<time> <level> <message>'")
    if "message" not in seen:
        raise OptionError("the pattern has no <message>", where="--format", hint="end it with <message>")
    ends = parts[-1] == "" and _ROLES.get(names[-1].lower()) == "message"
    pattern = regex + ("" if ends else r"\s*$")
    return TextLayout(text, pattern, "", multiline="time" in seen, rank=9)


def _role(name: str, seen: set[str], text: str) -> str:
    role = _ROLES.get(name.lower(), name)
    if role == "_" or role == "":
        return "_"
    if not re.fullmatch(r"[A-Za-z]\w*", role) or role == "head":
        raise OptionError(f"<{name}> is no name for a field", where="--format", hint="use letters, digits and _")
    if role in seen:
        raise OptionError(f"the pattern names {name!r} twice: {text}", where="--format", hint="use <_> for one of them")
    seen.add(role)
    return role


def _group(role: str, *, last: bool, unit: str) -> str:
    if role == "message" and last:
        return ""  # the rest of the line needs no group
    if role == "time":
        return "(?P<time>{any}|[0-9]{9,10}(?:\\.[0-9]+)?|[0-9]{13})"
    body = "[A-Za-z]+[0-9]?" if role == "level" else ".*" if last else r"\S+?" if unit in {"", " "} else ".*?"
    return f"(?:{body})" if role == "_" else f"(?P<{role}>{body})"

"""Messages to shapes: one vectorised pass that replaces every word holding digits.

A *shape* is the message with each such word written as the single character ``0``. Two kinds of digits stay: the one
that ends a word of letters (``ssh2``, ``SOCKS5``, ``node7``; at most ten variants a word, and often part of a name) and
an access log's status. So a ``0`` with no letter before it always means "masked", whatever the log itself contains.
Logs repeat: millions of lines leave a few thousand shapes, and all that is finer runs on distinct shapes only.
"""

from __future__ import annotations

import re
from typing import Final

import polars as pl

#: A word with digits, and what hangs on to it by ``.``, ``:`` or ``-`` (addresses with ports, decimals, uuids, times).
#: It ends in a word character, so that the full stop or colon of the sentence stays. One lazy-DFA search: no captures,
#: and ASCII throughout: Unicode's word boundary leaves the DFA on the first non-ASCII byte, its classes take five times
#: as long to compile, and in a script without spaces a number would take the whole sentence with it.
_MAC: Final = r"(?-u:\b)[0-9a-fA-F]{2}(?::[0-9a-fA-F]{2}){5,}"
_WORD: Final = (
    _MAC + r"|[0-9A-Za-z_-]*(?:[0-9](?:[.-]?[0-9A-Za-z_]|::?[0-9]|::?[0-9a-fA-F]{1,4}(?-u:\b))+|-[0-9])|(?-u:\b)[0-9]"
)
#: Names of code that hold digits, as in ``IO80211Peer::setMode`` and ``jk2_init()``: they never vary, and tell what
#: happened. A letter that is no hexadecimal digit tells them from addresses (``fe80::d8a5``).
_NAME: Final = r"(?:[g-zG-Z_]\w*\d|[A-Fa-f]\w*(?:[g-zG-Z_]\w*\d|\d\w*[g-zG-Z_]))\w*".replace(
    r"\w", "[0-9A-Za-z_]"
).replace(r"\d", "[0-9]")
_CODE: Final = rf"(?-u:\b){_NAME}(?:(?:::~?[A-Za-z_][0-9A-Za-z_]*)+|::|\(\))|::~?{_NAME}"
_SIGNS: Final = ["::", "()"]
_SEEN: Final = "\x01"
MASK: Final = "0"
#: Finds the masks in a shape: a ``0`` that does not end a word of letters.
MASKED: Final = re.compile(r"(?<![A-Za-z0-9_])0")

#: Ends a shape whose message was longer than the limit.
CUT: Final = " …"

# Access-log messages as `read` writes them: method, path, status. The status is what tells a scanner from a visitor.
METHODS: Final = r"(?:GET|POST|HEAD|PUT|DELETE|OPTIONS|PATCH|TRACE|CONNECT|PROPFIND)"
_REQUEST: Final = rf'^"?{METHODS} '
_STATUS: Final = rf'^("?{METHODS}) (\S+)( HTTP/[\d.]+)?("?) ([1-5]\d\d)\b'


def shapes(messages: pl.Series, line: int = 4096) -> pl.Series:
    """Return the shape of each message; stateless, so safe to run on any cut of the rows in any thread.

    Args:
        messages: String, any length.
        line: characters of a message's first line looked at; the rest is dropped and the shape ends in ``" …"``.

    Returns:
        String of the same length and name. A null message has the empty shape.
    """
    text = messages.fill_null("").alias("m")
    m = pl.col("m")
    lines, longest = text.to_frame().select_seq(
        m.str.contains("\n", literal=True).any().alias("lines"), m.str.len_bytes().max().alias("longest")
    )
    # Of an event of several lines, as one with a stack trace, the first says what happened.
    if lines[0]:
        text = text.str.extract(r"^\n*([^\n]*)", 1)
    if (longest[0] or 0) > line:
        text = text.to_frame().select(pl.when(m.str.len_chars() > line).then(m.str.slice(0, line) + CUT).otherwise(m))[
            "m"
        ]
    found = text.to_frame().select_seq(
        masked=m.str.replace_all(_WORD, MASK),
        requests=m.str.contains(_REQUEST),
        maybe=m.str.contains(_SIGNS[0], literal=True) | m.str.contains(_SIGNS[1], literal=True),
    )
    masked, requests, maybe = found["masked"], found["requests"], found["maybe"].arg_true()
    if len(maybe):
        rows = maybe.filter(text.gather(maybe).str.contains(_CODE))
        masked = masked.scatter(rows, _beside_code(text.gather(rows))) if len(rows) else masked
    if requests.any():
        frame = pl.DataFrame({"text": text, "masked": masked, "request": requests})
        masked = frame.select(
            pl.when("request").then(_request(pl.col("text"), pl.col("masked"))).otherwise("masked")
        ).to_series()
    return masked.alias(messages.name)


def _beside_code(text: pl.Series) -> pl.Series:
    """Mask all but names of code, which a first pass marks and a second one finds again."""
    marked = text.str.replace_all(f"({_CODE})|(?:{_WORD})", "${1}" + _SEEN)
    return marked.str.replace_all(f"({_CODE}){_SEEN}", "${1}").str.replace_all(_SEEN, MASK, literal=True)


def _request(text: pl.Expr, masked: pl.Expr) -> pl.Expr:
    """Mask the path as a whole and keep the status; what follows the status is masked as usual."""
    status = text.str.extract(_STATUS, 5)
    head = text.str.extract(_STATUS, 1)
    quote = text.str.extract(_STATUS, 4)
    tail = text.str.replace(_STATUS, "").str.replace_all(_WORD, MASK)
    return pl.when(status.is_not_null()).then(pl.format("{} /path{} {}{}", head, quote, status, tail)).otherwise(masked)

"""Rows as JSON lines, all at once with Polars."""

from __future__ import annotations

import re
from typing import Final

import numpy as np
import polars as pl

from offbeat.simulate.reword import ANEW, Reworded
from offbeat.simulate.rhythm import START
from offbeat.simulate.shop import DEPLOYER, FIRST_NAMES, GATEWAY, NAMES, NODES, SERVICES, TEMPLATES, WORDS

_SIZES: Final = np.array(list(SERVICES.values()))
_MILLISECONDS: Final = pl.Datetime("ms", "UTC")

_STATIC: Final = pl.DataFrame(
    {
        "template": range(len(TEMPLATES)),
        # what stands in the line between the time and the host
        "head": [f'","level":"{t.level}","service":"{NAMES[t.service]}","host":"' for t in TEMPLATES],
        "status": [t.status for t in TEMPLATES],
        "service": [t.service for t in TEMPLATES],
        "names_user": ["{user}" in t.text for t in TEMPLATES],
    },
    schema_overrides={"template": pl.Int16, "status": pl.Int16, "service": pl.Int16},
)


def _text(column: str) -> pl.Expr:
    return pl.col(column).cast(pl.String)


def _of(words: list[str] | tuple[str, ...], index: pl.Expr) -> pl.Expr:
    """The word at each index."""
    names = pl.Series(list(words))
    return index.replace_strict(pl.int_range(len(words), eager=True), names, return_dtype=pl.String, default="")


_VALUES: Final = {
    "user": _of(FIRST_NAMES, pl.col("user") % len(FIRST_NAMES)) + _text("user"),
    "ip": pl.concat_str(
        [((pl.col("ip") // (1 << shift)) % 256).cast(pl.String) for shift in (24, 16, 8, 0)], separator="."
    ),
    "item": _text("item"),
    "order": _text("order"),
    "count": _text("count"),
    "amount": (pl.col("count") // 100).cast(pl.String) + "." + (pl.col("count") % 100).cast(pl.String).str.zfill(2),
    "word": _of(WORDS, pl.col("item") % len(WORDS)),
    "ms": _text("ms"),
    "mem": _text("mem"),
    "version": "3." + _text("order") + ".0",
    "target": _of(NAMES, pl.col("item")),
}


def _message(text: str) -> pl.Expr:
    """The message of one template, as an expression over ROWS."""
    pieces = re.split(r"\{(\w+)\}", text)
    parts = [pl.lit(piece) if i % 2 == 0 else _VALUES[piece] for i, piece in enumerate(pieces) if i % 2 or piece]
    return pl.concat_str(parts)


_MESSAGES: Final = {code: _message(template.text) for code, template in enumerate(TEMPLATES)}
_ANEW: Final = {code: _message(text) for code, text in ANEW.items()}


def _optional(key: str, column: str, present: pl.Expr) -> pl.Expr:
    return pl.when(present).then(pl.concat_str([pl.lit(f',"{key}":'), _text(column)])).otherwise(pl.lit(""))


def render(rows: pl.DataFrame, reworded: Reworded | None = None) -> bytes:
    """ROWS, in their order, as JSON lines; what a release words anew in its new words.

    No value needs escaping: names, words and templates are ours and hold neither quotes nor control characters.
    """
    rows = rows.with_row_index("at").join(_STATIC, on="template", how="left", maintain_order="left")
    anew = pl.lit(False) if reworded is None else reworded.of(rows)
    messages = [
        part.select("at", message=(_ANEW if new else _MESSAGES)[int(code)])
        for (code, new), part in rows.with_columns(anew=anew).partition_by("template", "anew", as_dict=True).items()
    ]
    traces = rows["trace"].to_numpy().astype(">u8").tobytes().hex()
    hosts = _SIZES[rows["service"].to_numpy()]
    instance = rows["pick"].to_numpy() % hosts
    node = 1 + (rows["service"].to_numpy() * 2 + instance * 3) % NODES
    whole = rows.join(pl.concat(messages), on="at", how="left", maintain_order="left").with_columns(
        pl.Series("trace_id", [traces[i : i + 16] for i in range(0, len(traces), 16)]),
        pl.Series("node", node),
        stamp=(pl.lit(START).cast(_MILLISECONDS) + pl.duration(milliseconds="time")).dt.strftime(
            "%Y-%m-%dT%H:%M:%S%.3fZ"
        ),
    )
    traced = pl.col("trace") != 0
    outside = traced & (pl.col("service") == GATEWAY)
    quote = pl.lit('"')
    line = pl.concat_str(
        pl.lit('{"timestamp":"'),
        "stamp",
        "head",
        pl.lit("node-"),
        _text("node"),
        quote,
        pl.when(traced).then(pl.concat_str([pl.lit(',"trace":"'), "trace_id", quote])).otherwise(pl.lit("")),
        pl.when(pl.col("names_user"))
        .then(pl.concat_str([pl.lit(',"user":"'), _VALUES["user"], quote]))
        .otherwise(pl.lit("")),
        pl.when(outside).then(pl.concat_str([pl.lit(',"client":"'), _VALUES["ip"], quote])).otherwise(pl.lit("")),
        pl.lit(',"message":"'),
        "message",
        quote,
        _optional("status", "status", pl.col("status") > 0),
        _optional("duration_ms", "ms", pl.col("ms") >= 0),
        _optional("cpu", "cpu", pl.col("cpu") >= 0),
        _optional("mem", "mem", (pl.col("mem") >= 0) & (pl.col("service") != DEPLOYER)),
        pl.lit("}\n"),
    )
    return b"".join(text.encode() for text in whole.select(line=line)["line"].to_list())

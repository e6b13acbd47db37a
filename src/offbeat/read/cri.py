"""The lines that container runtimes write on Kubernetes nodes (CRI log format: time, stream, P or F, text)."""

from __future__ import annotations

from typing import Final

import polars as pl

from offbeat.read.layout import PARTIAL, Context, TextLayout, Want


class _Cri(TextLayout):
    """A text layout whose lines may be pieces of an event, and may carry the application's own header."""

    def parse(self, lines: pl.Series, want: Want, context: Context) -> pl.DataFrame:
        """As :meth:`TextLayout.parse`, with the pieces marked."""
        more = Want(want.columns | {"message"}, want.fields) if context.inner else want
        frame = super().parse(lines, more, context)
        partial = frame["placed"] & lines.str.contains(r"^\S+ std(?:out|err) P")
        if context.inner is not None:
            inner = context.inner.parse(frame["message"], Want(want.columns & {"level", "source", "message"}), context)
            frame = frame.with_columns(
                pl.when(inner["placed"]).then(inner[name]).otherwise(pl.col(name)).alias(name)
                for name in ("level", "source", "message")
                if name in want
            )
            frame = frame.drop([] if "message" in want else ["message"])
        if "message" in want and partial.any():  # the end of a piece is not the end of the message
            ends = pl.select(pl.when(partial).then(lines.str.extract(r"([ \t]+)$"))).to_series().fill_null("")
            frame = frame.with_columns(pl.col("message") + ends)
        return frame.with_columns((partial.cast(pl.UInt8) * PARTIAL).alias("mark")) if partial.any() else frame


CRI: Final = _Cri(
    "cri",
    r"(?P<time>{iso}) (?P<stream>stdout|stderr) [FP](?::\S*)? ?",
    "2023-01-29T16:42:09.486123456+01:00 stdout F order 17 accepted",
    rank=8,
)

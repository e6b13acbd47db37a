"""The variable parts of messages as text: what stands between the literals of their template."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import polars as pl

VARIABLE: Final = re.compile(r"<(\*|[a-z_]+)>")
#: White space that a template shows as one space.
RUN: Final = r"\s{2,}|[^\S ]"
#: Literals of a template from which its regular expression would take milliseconds a line.
_MANY: Final = 12


def extract(messages: pl.Series, template: str, *, runs: bool | None = None) -> pl.DataFrame:
    """Read the variable parts of messages.

    Args:
        messages: String, shape (n,), all of one template, without white space around.
        template: the template's text.
        runs: whether a message may hold white space that the template shows as one space; None looks.

    Returns:
        One String column a part, named ``0``, ``1``, …, n rows; null where a message is null or does not fit the text.
    """
    literals = VARIABLE.split(template)[::2]
    if len(literals) == 1:
        return pl.DataFrame(height=len(messages))
    if runs is None:
        runs = bool(messages.str.contains(RUN).any())
    if runs and len(literals) <= _MANY:
        return _by_regex(messages, literals)
    return _by_splitting(messages.str.replace_all(RUN, " ") if runs else messages, literals)


def _by_splitting(texts: pl.Series, literals: Sequence[str]) -> pl.DataFrame:
    """Find each literal behind the one before; leftmost places leave most room, so nothing has to be tried twice."""
    first, *inner, last = literals
    rest = pl.DataFrame({"rest": texts}).with_columns(fits=pl.col("rest").str.starts_with(first))
    rest = rest.with_columns(pl.col("rest").str.strip_prefix(first))
    parts = []
    for number, literal in enumerate(inner):
        if not literal:  # two parts without anything between: the first one takes nothing
            parts.append(texts.clear().extend_constant("", len(texts)).alias(str(number)))
            continue
        pair = rest["rest"].str.splitn(literal, 2).struct.unnest()
        parts.append(pair["field_0"].alias(str(number)))
        rest = rest.with_columns(pair["field_1"].alias("rest"))
    end = rest.select(
        pl.col("rest").str.strip_suffix(last).alias(str(len(inner))),
        (pl.col("fits") & pl.col("rest").str.ends_with(last)).fill_null(False).alias("fits"),
    )
    whole = pl.DataFrame([*parts, end[str(len(inner))]])
    return whole.select(pl.when(end["fits"]).then(pl.all()).name.keep())


def _by_regex(texts: pl.Series, literals: Sequence[str]) -> pl.DataFrame:
    """Match the template as a regular expression in which a space stands for any white space."""
    between = [re.escape(literal).replace(r"\ ", r"\s+") for literal in literals]
    groups = texts.str.extract_groups("(?s)^" + "(.*?)".join(between) + "$").struct.unnest()
    return groups.rename({name: str(i) for i, name in enumerate(groups.columns)})

"""Columns of shapes as numbers: a few hundred distinct shapes stand for the tens of thousands of lines of a block.

So what is looked up by shape is looked up once a block for each distinct one, and a block on its way from thread to
thread holds four bytes a line instead of the text.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat import schema


def pack(shapes: pl.Series) -> pl.Series:
    """Return shapes as ``schema.pack`` packs texts; null as ``""``."""
    return schema.pack(shapes.fill_null(""))


def by_shape(shapes: pl.Series, code: Callable[[str], int]) -> tuple[pl.Series, NDArray[np.uint32], NDArray[np.int64]]:
    """Look up each distinct shape once, in the order in which they first occur.

    Args:
        shapes: as ``pack`` gives them, or some of their rows; or String. Shape (n,).
        code: the code of one shape.

    Returns:
        The code of each row, UInt32, shape (n,); the distinct codes of the shapes that occur, and the rows of each.
    """
    shapes = shapes if isinstance(shapes.dtype, pl.Categorical) else pack(shapes)
    texts, numbers = schema.unpack(shapes)
    index = numbers.to_numpy()
    rows = np.bincount(index, minlength=len(texts))
    # Rows may have been left out since they were packed, and the shapes of these are not met here.
    met = np.flatnonzero(rows)
    codes = np.zeros(len(texts), dtype=np.uint32)
    codes[met] = [code(text) for text in (texts if len(met) == len(texts) else texts.gather(met)).to_list()]
    return pl.Series(shapes.name, codes[index]), codes[met], rows[met]

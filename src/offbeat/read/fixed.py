"""Texts of one width as a matrix of bytes: what stands at a fixed place is read for all of them at once."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

MONTHS: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_CODES: Final = np.array([int.from_bytes(name.encode(), "big") for name in MONTHS], np.int64)
_ORDER: Final = np.argsort(_CODES)

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]


def matrix(texts: pl.Series, width: int) -> Bytes | None:
    """The bytes of texts, shape (width, n); None where one has another length."""
    joined = texts.str.join("").item().encode()
    if len(joined) != width * len(texts):
        return None
    return np.frombuffer(joined, np.uint8).reshape(len(texts), width).T.copy()


def digits(rows: Bytes, *, padded: bool = False) -> Ints | None:
    """The number in each column, shape (n,); ``padded`` with blanks or not. None where one is no number."""
    value = np.zeros(rows.shape[1], np.int64)
    for i, row in enumerate(rows):
        digit = row - 48
        if (digit > 9).any():
            blank = row == 32
            if not padded or i == len(rows) - 1 or ((digit > 9) & ~blank).any():
                return None
            digit = np.where(blank, 0, digit)
        value = value * 10 + digit
    return value


def months(rows: Bytes) -> Ints | None:
    """The month whose name's first letters stand in each column, shape (n,); None where one is no month."""
    low = (rows | 32).astype(np.int64)
    codes = low[0] << 16 | low[1] << 8 | low[2]
    at = np.minimum(np.searchsorted(_CODES[_ORDER], codes), 11)
    return _ORDER[at] + 1 if (_CODES[_ORDER][at] == codes).all() else None

"""Read word vectors in the text format that word2vec, GloVe and fastText share."""

from __future__ import annotations

import gzip
from collections.abc import Generator, Set
from contextlib import closing
from typing import Final

import numpy as np
from numpy.typing import NDArray

from offbeat.errors import OptionError

#: Such files list common words first; so many are kept for templates met later, beside the words already met.
_COMMON: Final = 10_000


def read_vectors(path: str, wanted: Set[str]) -> tuple[tuple[str, ...], NDArray[np.float32]]:
    """Return words in order of the alphabet, and their vectors, float32 of shape (words, dimensions).

    The file has one word a line and its numbers after it, separated by blanks; a first line with the number of words
    and of dimensions may stand before them. Words are taken in lower case; of two that are then equal the first counts.

    Args:
        path: of the file; compressed with gzip where it ends in ``.gz``.
        wanted: words to keep wherever they stand in the file.

    Raises:
        OptionError: the file cannot be read, is not in this format, or holds none of the words wanted.
    """
    found: dict[str, list[str]] = {}
    size = 0
    with closing(_lines(path)) as lines:
        for number, line in lines:
            parts = line.split()
            if number == 1 and len(parts) == 2:
                continue
            size = size or len(parts) - 1
            word = " ".join(parts[: len(parts) - size]).lower()
            if size < 1 or len(parts) <= size:
                raise OptionError(
                    f"has {max(len(parts) - 1, 0)} numbers where {size or 'some'} are expected",
                    where=f"{path}:{number}",
                    hint="one word a line and its numbers, as word2vec, GloVe and fastText write it as text",
                )
            if word not in found and (number <= _COMMON or word in wanted):
                found[word] = parts[-size:]
    if not wanted & found.keys():
        raise OptionError("holds none of the templates' words", where=path, hint="is it of the logs' language?")
    names = tuple(sorted(found))
    try:
        table = np.array([found[name] for name in names], dtype=np.float32)
    except ValueError:
        raise OptionError("has a word vector that is not all numbers", where=path) from None
    if not np.isfinite(table).all():
        raise OptionError("has a word vector that is not all finite numbers", where=path)
    return names, table


def _lines(path: str) -> Generator[tuple[int, str], None, None]:
    """Yield the lines that are not blank, with their numbers."""
    try:
        opener = gzip.open if path.endswith(".gz") else open
        with opener(path, "rt", encoding="utf-8", errors="replace") as text:
            for number, line in enumerate(text, start=1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError) as error:
        raise OptionError(
            f"cannot be read as word vectors: {getattr(error, 'strerror', None) or error}",
            where=path,
            hint="--param vectors=FILE names a text file of word vectors",
        ) from None

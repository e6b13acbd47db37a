"""Templates given by the user, matched on shapes before anything mined."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import polars as pl

from offbeat.errors import OptionError
from offbeat.mine import mask

VARIABLE: Final = re.compile(r"<(?:\*|[a-z_]+)>")
_SAMPLE: Final = "77"  # two digits, so that the mask takes what hangs on to a variable part as it does in a message


class Seed:
    """One template as a glob over shapes: literal parts in order, something between them.

    A glob is matched by finding each part leftmost, so hostile log text costs no more than its length.

    Args:
        text: the template; variable parts as ``<*>`` or ``<name>``. Numbers written out in it match any number.

    Raises:
        OptionError: the template has no word of its own.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        sample = " ".join(VARIABLE.sub(_SAMPLE, text).split())
        shape = mask.shapes(pl.Series([sample]))[0]
        self.parts = mask.MASKED.split(shape)
        if not any(part.strip() for part in self.parts):
            raise OptionError(f"the template {text!r} would match every line", where="seeds", hint="keep a word in it")
        self.weight = sum(map(len, self.parts))

    def matches(self, shape: str) -> bool:
        """Whether the shape, with single spaces, is of this template."""
        first, *rest = self.parts
        if not rest:
            return shape == first
        last = rest.pop()
        if not shape.startswith(first):
            return False
        at = len(first)
        for part in rest:
            at = shape.find(part, at + 1)
            if at < 0:
                return False
            at += len(part)
        return len(shape) - len(last) > at and shape.endswith(last)


class Seeds:
    """Seeds in the order they are tried: the most literal text first.

    Args:
        texts: templates; repeats are dropped.
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._seeds = sorted((Seed(text) for text in dict.fromkeys(texts)), key=lambda s: (-s.weight, s.text))

    @property
    def texts(self) -> list[str]:
        """The templates in the order they are tried."""
        return [seed.text for seed in self._seeds]

    def find(self, shape: str) -> str | None:
        """Return the text of the first seed that matches, or None."""
        if not self._seeds:
            return None
        flat = " ".join(shape.split())
        return next((seed.text for seed in self._seeds if seed.matches(flat)), None)

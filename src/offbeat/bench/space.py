"""Which parameters of a detector are searched, and between which values."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from offbeat.detect import DETECTORS
from offbeat.errors import OptionError

if TYPE_CHECKING:
    import optuna

#: What is not searched: it says how long to try, how much to hold, or where from.
_FIXED: Final = frozenset(
    {"seed", "epochs", "patience", "tokens", "windows", "templates", "candidates", "units", "sequences", "events",
     "longest", "largest"}
)  # fmt: skip
#: Parameters that are shares.
_SHARES: Final = frozenset({"dropout", "confidence", "percentage", "nu", "variance", "normal"})


@dataclass(frozen=True)
class Choice:
    """What a parameter may be: between two numbers, or one of some."""

    low: float = 0.0
    high: float = 0.0
    whole: bool = False
    log: bool = False
    some: tuple[Any, ...] = ()

    def suggest(self, trial: optuna.Trial, name: str) -> Any:
        """Return what a trial tries."""
        if self.some:
            return trial.suggest_categorical(name, self.some)
        if self.whole:
            return trial.suggest_int(name, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def __str__(self) -> str:
        return ", ".join(map(str, self.some)) if self.some else f"{self.low:g}:{self.high:g}"


def known_detector(name: str) -> str:
    """Return the name of a detector; raises OptionError where there is none of that name."""
    if name not in DETECTORS:
        raise OptionError(f"there is no detector {name!r}", where="--detector", hint=f"one of: {', '.join(DETECTORS)}")
    return name


def search_space(detector: str, given: Mapping[str, str]) -> dict[str, Choice]:
    """Return what to search: the parameters named by the user, or every number and switch of the detector.

    A number is searched from a quarter to four times its default (a learning rate from a tenth to ten times, a share
    around where it is), on a logarithmic scale.

    Args:
        detector: its name.
        given: by parameter ``LOW:HIGH`` or ``A,B,C``.

    Raises:
        OptionError: a parameter is unknown or a range is none, or there is nothing to search.
    """
    defaults = DETECTORS[detector]().get_params()
    unknown = [name for name in given if name not in defaults]
    if unknown:
        known = ", ".join(defaults) or "none"
        raise OptionError(f"{detector} has no parameter {unknown[0]!r}", where="--space", hint=f"it has: {known}")
    if given:
        return {name: _given(name, text, defaults[name]) for name, text in given.items()}
    found = {name: _around(name, value) for name, value in defaults.items() if name not in _FIXED}
    space = {name: choice for name, choice in found.items() if choice is not None}
    if not space:
        raise OptionError("has no parameter to search", where=f"--detector {detector}", hint="choose another")
    return space


def _around(name: str, value: Any) -> Choice | None:
    if isinstance(value, bool):
        return Choice(some=(True, False))
    if not isinstance(value, int | float) or value <= 0:
        return None
    if name in _SHARES:
        return Choice(value / 4, 1 - (1 - value) / 4)
    if isinstance(value, int):
        return Choice(max(1, value // 4), value * 4, whole=True, log=True)
    wide = 10 if "rate" in name else 4
    return Choice(value / wide, value * wide, log=True)


def _given(name: str, text: str, default: Any) -> Choice:
    whole = isinstance(default, int) and not isinstance(default, bool)
    kind: Callable[[str], Any] = int if whole else float
    try:
        if ":" in text:
            low, high = (float(part) for part in text.split(":"))
            if not (math.isfinite(low) and math.isfinite(high) and low < high) or (whole and low != int(low)):
                raise ValueError
            return Choice(low, high, whole=whole, log=low > 0 and high / low >= 10)
        words = [part.strip() for part in text.split(",")]
        if isinstance(default, bool):
            return Choice(some=tuple({"true": True, "false": False}[word.lower()] for word in words))
        return Choice(some=tuple(words) if isinstance(default, str) else tuple(kind(word) for word in words))
    except (ValueError, KeyError):
        hint = f"{name}=LOW:HIGH or {name}=A,B,C"
        raise OptionError(f"{text!r} is no range for {name}", where="--space", hint=hint) from None


def flags(detector: str, params: Mapping[str, Any]) -> str:
    """Return parameters as ``fit`` takes them."""

    def written(value: Any) -> str:
        return (
            f"{value:.6g}"
            if isinstance(value, float)
            else str(value).lower()
            if isinstance(value, bool)
            else str(value)
        )

    return " ".join(f"--param {detector}.{name}={written(value)}" for name, value in params.items())


def parse_space(given: list[str] | None) -> dict[str, str]:
    """Read ``--space NAME=RANGE``; raises OptionError where that is none."""
    out = {}
    for item in given or []:
        found = re.fullmatch(r"([\w-]+)=(.+)", item)
        if not found:
            raise OptionError(f"{item!r} is no range", where="--space", hint="as in --space hidden=16:128")
        out[found[1]] = found[2]
    return out

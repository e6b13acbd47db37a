"""Sizes of a network that do not fit, said before anything is learned."""

from __future__ import annotations

from typing import TYPE_CHECKING

from offbeat.errors import OptionError

if TYPE_CHECKING:
    from offbeat.detect.base import Detector


def check_shares(detector: Detector, *names: str) -> None:
    """Raise OptionError where a parameter that is a share of something is not below one."""
    for name in names:
        value = getattr(detector, name)
        if value >= 1:
            raise OptionError(f"{value} cannot be; it must be below one", where=f"--param {detector.name}.{name}")


def check_heads(detector: Detector) -> None:
    """Raise OptionError where ``embedding`` is no multiple of ``heads``."""
    embedding, heads = (getattr(detector, name) for name in ("embedding", "heads"))
    if embedding % heads:
        raise OptionError(
            f"{embedding} cannot be shared out among {heads} heads",
            where=f"--param {detector.name}.embedding",
            hint=f"a multiple of {detector.name}.heads",
        )

"""Hard limits on mining, on by default, and the counters that say how often each was met."""

from __future__ import annotations

from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Limits:
    """What mining may grow to; unbounded pattern stores are what users of other miners report as memory leaks.

    Args:
        templates: distinct templates; beyond it lines fall to the one template ``<*>``.
        tokens: words of a line looked at; what follows is one variable part.
        line: characters of a line looked at.
        shapes: distinct shapes remembered; beyond it a shape is coarsened to its first words and its length.
        overflow: coarse shapes remembered on top of ``shapes``; beyond it lines fall to the one template ``<*>``.
    """

    templates: int = 20_000
    tokens: int = 128
    line: int = 4096
    shapes: int = 200_000
    overflow: int = 20_000


@dataclass
class Counters:
    """How often each limit was met: ``line`` in lines, ``tokens``, ``shapes`` and ``templates`` in distinct shapes."""

    line: int = 0
    tokens: int = 0
    shapes: int = 0
    templates: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name."""
        return asdict(self)

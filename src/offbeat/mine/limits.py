"""Hard limits on mining, on by default, and the counters that say how often each was met."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Final

from offbeat.errors import OptionError

#: Templates from which their spread says something, and the share seen once above which mining goes badly: free text,
#: or values without digits that the tree could not tell from words. Grafana Loki stops learning for the same reason.
ENOUGH_TEMPLATES: Final = 100
BAD_SHARE_ONCE: Final = 0.5


@dataclass(frozen=True)
class Limits:
    """What mining may grow to; unbounded pattern stores are what users of other miners report as memory leaks.

    Args:
        templates: distinct templates; beyond it lines fall to the one template ``<*>``.
        tokens: words of a line looked at; what follows is one variable part.
        line: characters of a line looked at.
        shapes: distinct shapes remembered; beyond it a shape is coarsened to its first two words.
        coarse: coarse shapes remembered on top of ``shapes``; beyond it lines fall to the one shape ``…``.

    Raises:
        OptionError: a limit is less than one.
    """

    templates: int = 20_000
    tokens: int = 128
    line: int = 4096
    shapes: int = 200_000
    coarse: int = 20_000

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value < 1:
                raise OptionError(f"the limit on {name} is {value}", where=f"limits.{name}", hint="use 1 or more")


@dataclass
class Counters:
    """How often each limit was met: ``line`` in lines while learning, the others in distinct shapes."""

    line: int = 0
    tokens: int = 0
    shapes: int = 0
    templates: int = 0

    def as_dict(self) -> dict[str, int]:
        """Return the counters by name."""
        return asdict(self)


def warnings(counters: Counters, templates: int, once: int) -> list[str]:
    """Return a sentence for each sign that mining goes badly.

    Args:
        counters: how often each limit was met.
        templates: templates in all.
        once: templates that one line has.
    """
    out = []
    if counters.templates:
        out.append(f"the limit on templates was met: {counters.templates} shapes share the template <*>")
    if counters.shapes:
        out.append(f"the limit on shapes was met: {counters.shapes} shapes were reduced to their first two words")
    if templates >= ENOUGH_TEMPLATES and once > BAD_SHARE_ONCE * templates:
        out.append(
            f"{once} of {templates} templates were seen once: the text may be free, or need a seed template or a mask"
        )
    return out

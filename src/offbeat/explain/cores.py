"""Where to start from: edits that bring about what a sequence cannot be normal without."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from offbeat.explain.edits import Codes, Edit

#: By template code how many events more, or, below zero, fewer there have to be.
Need = dict[int, int]
Edits = tuple[Edit, ...]


@dataclass(frozen=True)
class Needs:
    """What a sequence cannot be normal without.

    Attributes:
        each: changes of counts to begin with; one of them may be enough.
        at_least: no fewer edits than so many turn the verdict.
    """

    each: Sequence[Need] = ()
    at_least: int = 1


def cores(codes: Codes, needs: Sequence[Need], each: Sequence[Sequence[Edit]]) -> list[Edits]:
    """Return sets of edits that change counts as needed and do no more, each set once.

    Which events are removed, and where some are added, is taken from the differences to near normal sequences; what
    these lack is removed from the end, or the beginning, and added at the end.

    Args:
        codes: the sequence.
        needs: changes of counts, by each of which it may be normal.
        each: differences to near normal sequences.
    """
    out: dict[Edits, None] = {}
    for need in needs:
        for edits in ([], *each):
            for late in (True, False):
                out[_core(codes, need, edits, late=late)] = None
    return [edits for edits in out if edits]


def _core(codes: Codes, need: Need, edits: Sequence[Edit], *, late: bool) -> Edits:
    # By place, and at one place in the order in which the near sequence has them, with what it lacks last.
    chosen: list[tuple[int, int, Edit]] = []
    for template, more in need.items():
        how = "add" if more > 0 else "remove"
        like = [(e.place, i, e) for i, e in enumerate(edits) if e.template == template and e.how == how]
        like = like[::-1] if late and more < 0 else like
        more_like = _again(codes, template, like) if more > 0 else _others(codes, template, like, late=late)
        others = ((e.place, len(edits), e) for e in more_like)
        chosen += [*like[: abs(more)], *(next(others) for _ in range(abs(more) - len(like)))]
    return tuple(edit for *_, edit in sorted(chosen, key=lambda c: c[:2]))


def _others(codes: Codes, template: int, but: Sequence[tuple[int, int, Edit]], *, late: bool) -> Iterator[Edit]:
    """Yield what removes events of a template, from the last on or from the first."""
    gone = {place for place, *_ in but}
    places = [i for i, code in enumerate(codes) if code == template and i not in gone]
    yield from (Edit("remove", i, template) for i in (reversed(places) if late else places))


def _again(codes: Codes, template: int, like: Sequence[tuple[int, int, Edit]]) -> Iterator[Edit]:
    """Yield what adds an event of a template where some are added, or at the end, without end."""
    while True:
        yield like[-1][2] if like else Edit("add", len(codes), template)

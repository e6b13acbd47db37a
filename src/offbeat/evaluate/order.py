"""Does the LSTM earn its keep? Swap two neighbouring events of normal sequences and see which view notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

#: What may be done to a normal sequence, in the words of reports.
ALTERATIONS: Final = ("neighbours swapped", "far swap", "one doubled", "one removed", "cut short")


def _altered(one: list[int], how: str, rng: np.random.Generator) -> list[int] | None:
    """Return a sequence with one alteration, or None where it cannot be made."""
    n = len(one)
    if how == "neighbours swapped":
        places = [j for j in range(n - 1) if one[j] != one[j + 1]]
        if not places:
            return None
        j = places[rng.integers(len(places))]
        return [*one[:j], one[j + 1], one[j], *one[j + 2 :]]
    if how == "far swap":
        pairs = [(a, b) for a in range(n) for b in range(a + max(3, n // 3), n) if one[a] != one[b]]
        if not pairs:
            return None
        a, b = pairs[rng.integers(len(pairs))]
        return [*one[:a], one[b], *one[a + 1 : b], one[a], *one[b + 1 :]]
    j = int(rng.integers(max(n, 1)))
    if how == "one doubled":
        return [*one[: j + 1], *one[j:]] if n else None
    if how == "one removed":
        return [*one[:j], *one[j + 1 :]] if n > 1 else None
    if how == "cut short":
        return one[: rng.integers(1, n)] if n > 3 else None
    raise ValueError(f"{how!r} is no alteration")


def alter(
    sequences: pl.Series, share: float, seed: int, how: str = ALTERATIONS[0]
) -> tuple[pl.Series, NDArray[np.bool_]]:
    """Alter a share of the sequences in one way.

    Args:
        sequences: List(UInt32).
        share: of the sequences, in (0, 1].
        seed: of the choice.
        how: one of ALTERATIONS.

    Returns:
        The sequences with the alterations, and which were altered, shape (n,).
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    lists = sequences.to_list()
    altered = np.zeros(len(lists), dtype=bool)
    wanted = max(1, round(share * len(lists)))
    for i in rng.permutation(len(lists)):
        if altered.sum() >= wanted:
            break
        made = _altered(lists[i], how, rng)
        if made is not None:
            lists[i] = made
            altered[i] = True
    return pl.Series(sequences.name, lists, dtype=pl.List(pl.UInt32)), altered


def recall_at(scores: NDArray[np.float64], altered: NDArray[np.bool_], false_positives: float = 0.02) -> float:
    """Return the share of altered sequences that score above the given quantile of the untouched ones."""
    line = np.quantile(scores[~altered], 1 - false_positives)
    return float((scores[altered] > line).mean())


def swap_check(
    held: pl.Series, scorers: Mapping[str, Callable[[pl.DataFrame], pl.Series]], seed: int, most: int = 2000
) -> dict[str, float] | None:
    """Return, by view, the recall of swapped neighbours at 2 % false positives on sequences held out of training.

    Returns None where there are too few sequences with anything to swap.
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    chosen = held.gather(np.sort(rng.permutation(len(held))[:most]))
    swapped, altered = alter(chosen, 0.2, seed)
    if altered.sum() < 10 or (~altered).sum() < 50:
        return None
    frame = pl.DataFrame({"templates": swapped})
    return {view: recall_at(score(frame).to_numpy(), altered) for view, score in scorers.items()}

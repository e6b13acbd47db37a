"""Does the LSTM earn its keep? Swap two neighbouring events of normal sequences and see which view notices."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray


def swap_neighbours(sequences: pl.Series, share: float, seed: int) -> tuple[pl.Series, NDArray[np.bool_]]:
    """Swap two neighbouring, different events in a share of the sequences.

    Args:
        sequences: List(UInt32).
        share: of the sequences, in (0, 1].
        seed: of the choice.

    Returns:
        The sequences with the swaps, and which were altered, shape (n,).
    """
    rng = np.random.Generator(np.random.PCG64(seed))
    lists = sequences.to_list()
    altered = np.zeros(len(lists), dtype=bool)
    wanted = max(1, round(share * len(lists)))
    for i in rng.permutation(len(lists)):
        if altered.sum() >= wanted:
            break
        one = lists[i]
        places = [j for j in range(len(one) - 1) if one[j] != one[j + 1]]
        if places:
            j = places[rng.integers(len(places))]
            lists[i] = [*one[:j], one[j + 1], one[j], *one[j + 2 :]]
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
    swapped, altered = swap_neighbours(chosen, 0.2, seed)
    if altered.sum() < 10 or (~altered).sum() < 50:
        return None
    frame = pl.DataFrame({"templates": swapped})
    return {view: recall_at(score(frame).to_numpy(), altered) for view, score in scorers.items()}

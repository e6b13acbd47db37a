"""Are the LSTM's explanations true? Integrated gradients on T1-clean and T3-clean, on what a user would ask about.

    python benchmarks/faithfulness.py [DIRECTORY] [PROTOCOL …]

For the 100 distinct units of the test part with the highest scores: how much the score falls when the events with the
largest attributions are deleted, against as many events drawn at random (20 draws) and against deleting those that
occlusion names; whether attributions of a network with random weights differ from the trained one's (the sanity check
of Adebayo et al., NeurIPS 2018), beside how far two trainings agree; whether the attributions add up to the score; and
the CPU time an explanation takes. Two minutes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.stats import spearmanr

from offbeat.bench.splits import get_split
from offbeat.detect import LSTM
from offbeat.detect.attribution import Attribution, integrated_gradients
from offbeat.detect.nets.next_event import NextEvent
from offbeat.detect.nets.to_onnx import next_event_graph
from offbeat.detect.nets.trainer import seeded
from offbeat.explain.edits import occlude

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
SAMPLE, DRAWS, DELETED, TOKENS = 100, 20, (1, 3), 400_000

Floats = NDArray[np.float64]
Codes = list[int]


def main() -> None:
    """Measure each protocol and print one table."""
    protocols = [a for a in sys.argv[1:] if a.startswith("T")] or ["T1-clean", "T3-clean"]
    folder = next((a for a in sys.argv[1:] if not a.startswith("T")), str(DATA))
    tables = [measure(name, folder) for name in protocols]
    print(f"\n| {'':61} | {' | '.join(f'{p:>9}' for p in protocols)} |")
    print(f"|---|{'---:|' * len(protocols)}")
    for label in tables[0]:
        print(f"| {label:61} | {' | '.join(f'{t[label]:>9}' for t in tables)} |")


def measure(protocol: str, folder: str) -> dict[str, str]:
    """Return the figures of one protocol, ready to print."""
    train, test = coded(protocol, folder)
    started = time.perf_counter()
    lstm, other = (LSTM(seed=seed, tokens=TOKENS).fit(train) for seed in (0, 1))
    print(f"{protocol}: two networks trained in {time.perf_counter() - started:.0f} s", file=sys.stderr)
    units = strangest(lstm, test)
    found, times = explained(lstm, units)
    occluded = [occlude(codes, lambda some: scores(lstm, some)) for codes in units]
    base = scores(lstm, units)
    table = {
        "units explained": f"{len(units)}",
        "events a unit, median": f"{np.median([len(u) for u in units]):.0f}",
        "score, median": f"{np.median(base):.2f}",
    }
    rng = np.random.default_rng(0)
    ways: dict[str, Sequence[Floats]] = {
        "integrated gradients": [a.values for a in found],
        "its part as context alone": [a.context for a in found],
        "occlusion": occluded,
    }
    for k in DELETED:
        one = "1 event" if k == 1 else f"{k} events"
        long = [i for i, u in enumerate(units) if len(u) > k]
        chance = np.mean([fall(lstm, units, base, long, k, lambda i: rng.random(len(units[i]))) for _ in range(DRAWS)])
        table[f"{one} deleted: score falls by, at random"] = f"{chance:.2f}"
        for name, values in ways.items():
            drop = fall(lstm, units, base, long, k, values.__getitem__)
            ratio = f"{drop / chance:.1f}" if chance > 0 else "no limit"
            table[f"{one} deleted: … by {name}"] = f"{drop:.2f}"
            table[f"{one} deleted: … times random, {name}"] = ratio
    for label, network in (("a network of random weights", untrained(lstm)), ("another training", other)):
        own, same = explained(network, units)[0], explained(network, units, found)[0]
        table |= agreement(label, found, own, same)
    table["error of the sum, largest, % of the score"] = f"{100 * max(a.delta for a in found):.1g}"
    table["steps, largest"] = f"{max(a.steps for a in found)}"
    table["ms of CPU an explanation, median"] = f"{1000 * np.median(times):.0f}"
    table["ms of CPU an explanation, largest"] = f"{1000 * max(times):.0f}"
    return table


def coded(protocol: str, folder: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the protocol's parts with template codes; what occurs only in the test part has codes beyond training."""
    split = get_split(protocol, folder)
    names = [part["templates"].explode().cast(pl.String).drop_nulls() for part in (split.train, split.test)]
    known = pl.concat(names).unique(maintain_order=True)
    codes = pl.Series(range(len(known)), dtype=pl.UInt32)
    turned = pl.element().cast(pl.String).replace_strict(known, codes)
    train, test = (
        part.select(pl.col("templates").list.eval(turned, parallel=False)) for part in (split.train, split.test)
    )
    return train, test


def strangest(lstm: LSTM, test: pl.DataFrame) -> list[Codes]:
    """Return the distinct units with the highest scores."""
    scored = test.with_columns(score=lstm.anomaly_score(test)).unique("templates", maintain_order=True)
    found: list[Codes] = scored.sort("score", descending=True, maintain_order=True)["templates"][:SAMPLE].to_list()
    return found


def explained(
    lstm: LSTM, units: list[Codes], same: list[Attribution] | None = None
) -> tuple[list[Attribution], list[float]]:
    """Return attributions and the seconds of CPU each took; with ``same``, of the same runs of events as those."""
    found, times = [], []
    for i, codes in enumerate(units):
        started = time.process_time()
        found.append(integrated_gradients(lstm, codes, last=same[i].last if same else None))
        times.append(time.process_time() - started)
    return found, times


def untrained(lstm: LSTM) -> LSTM:
    """Return the detector with a network of random weights, as training begins with."""
    with seeded(7):
        net = NextEvent(lstm.vocabulary_, lstm.embedding, lstm.hidden)
    state = lstm.state()
    state.onnx["network"] = next_event_graph(net)
    return LSTM(**lstm.get_params()).restore(state)


def scores(lstm: LSTM, units: Sequence[Codes]) -> Floats:
    """Return the score of each sequence."""
    frame = pl.DataFrame({"templates": pl.Series(units, dtype=pl.List(pl.UInt32))})
    return np.asarray(lstm.anomaly_score(frame).to_numpy())


def fall(
    lstm: LSTM, units: list[Codes], base: Floats, which: list[int], k: int, values: Callable[[int], Floats]
) -> float:
    """Return the mean fall of the score when the ``k`` events with the largest values are deleted."""
    cut = []
    for i in which:
        gone = set(np.argsort(-values(i), kind="stable")[:k].tolist())
        cut.append([c for at, c in enumerate(units[i]) if at not in gone])
    return float((base[which] - scores(lstm, cut)).mean())


def agreement(label: str, found: list[Attribution], own: list[Attribution], same: list[Attribution]) -> dict[str, str]:
    """Return how like another network's explanations are: of the run it finds worst itself, and of the same run."""
    top = np.mean([a.values.argmax() == b.values.argmax() for a, b in zip(found, own, strict=True)])
    return {
        f"{label}: the same event first": f"{100 * top:.0f} %",
        f"{label}: rank correlation": correlation(found, own, lambda a: a.values),
        f"{label}: … of the same run": correlation(found, same, lambda a: a.values),
        f"{label}: … its context alone": correlation(found, same, lambda a: a.context[: a.last]),
    }


def correlation(ours: list[Attribution], theirs: list[Attribution], part: Callable[[Attribution], Floats]) -> str:
    """Return the mean of the units' rank correlations (Spearman's); those without one are left out."""
    pairs = [(part(a), part(b)) for a, b in zip(ours, theirs, strict=True)]
    each = [spearmanr(a, b).statistic for a, b in pairs if len(a) > 2 and np.ptp(a) > 0 and np.ptp(b) > 0]
    return f"{np.mean(each):.2f}" if each else "-"


if __name__ == "__main__":
    main()

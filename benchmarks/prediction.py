"""How fast networks predict: all of T2's test sessions, against DeepLog's public loop of one window a call.

    python benchmarks/prediction.py [DIRECTORY]

The loop is that of the implementations of DeepLog on GitHub (``LogKeyModel_predict.py``): a PyTorch LSTM of 2×64 in
eager mode, window 10, one window and one call an event, the candidates by ``argsort``; here on a sample of windows, for
all would take half an hour. Ours score all sessions, from a frame to a number each: ``deeplog`` is of the same size and
window, ``lstm`` the default. Weights do not matter for speed, so both are trained for one pass. One thread everywhere,
Polars' too; peers run in turn, and the median ratio of three rounds is printed, by wall time and by CPU time.

``distinct alone`` leaves out what repetition saves: each distinct session once, its events against the loop's.
"""

from __future__ import annotations

import os

os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "POLARS_MAX_THREADS"), "1")

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import torch
from torch import nn

from offbeat.bench.splits import get_split
from offbeat.detect import DETECTORS
from offbeat.pipeline import Pipeline
from offbeat.rules import RuleSet

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
ROUNDS, WINDOWS = 3, 4_000
WINDOW, TOP, HIDDEN, LAYERS = 10, 9, 64, 2
#: One short pass: the figures are about speed alone.
SHORT = {"deeplog": {"epochs": 1, "windows": 20_000}, "lstm": {"epochs": 1, "tokens": 20_000}}


class KeyModel(nn.Module):
    """The network of the public implementations: a key is one number, states start from zero at each call."""

    def __init__(self, keys: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(1, HIDDEN, LAYERS, batch_first=True)
        self.fc = nn.Linear(HIDDEN, keys)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return a score of each key, shape (batch, keys), for windows of shape (batch, window, 1)."""
        h0 = torch.zeros(LAYERS, x.size(0), HIDDEN)
        c0 = torch.zeros(LAYERS, x.size(0), HIDDEN)
        out, _ = self.lstm(x, (h0, c0))
        found: torch.Tensor = self.fc(out[:, -1, :])
        return found


def loop(model: KeyModel, sessions: list[list[int]], limit: int) -> int:
    """Judge windows one by one until there were ``limit``; returns how many that were."""
    done = 0
    with torch.no_grad():
        for line in sessions:
            for i in range(len(line) - WINDOW):
                window = torch.tensor(line[i : i + WINDOW], dtype=torch.float).view(-1, WINDOW, 1)
                label = torch.tensor(line[i + WINDOW]).view(-1)
                predicted = torch.argsort(model(window), 1)[0][-TOP:]
                _ = label in predicted
                done += 1
            if done >= limit:
                break
    return done


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that it takes, by the wall's clock and of the CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def coded(folder: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return T2's parts with templates as codes."""
    split = get_split("T2", folder)
    both = pl.concat([split.train["templates"], split.test["templates"]])
    names = pl.Enum(both.explode(empty_as_null=False).unique().sort().cast(pl.String))
    as_codes = pl.col("templates").cast(pl.List(pl.String)).list.eval(pl.element().cast(names).to_physical())
    as_codes = as_codes.cast(pl.List(pl.UInt32))
    return split.train.with_columns(as_codes), split.test.with_columns(as_codes)


def main() -> None:
    """Measure in turn and print one table."""
    torch.set_num_threads(1)
    train, test = coded(sys.argv[1] if len(sys.argv) > 1 else str(DATA))
    once = test.unique("templates", maintain_order=True)
    keys = 1 + max(frame["templates"].explode(empty_as_null=False).max() for frame in (train, test))
    model = KeyModel(keys).eval()
    rng = np.random.default_rng(0)
    sample = test["templates"].gather(rng.permutation(test.height)).to_list()
    detectors = {name: DETECTORS[name](**params).fit(train) for name, params in SHORT.items()}
    frames = {"": test, ", distinct alone": once}
    loop(model, sample, 200)
    rows: dict[str, list[tuple[float, float, float, float]]] = {}
    for _ in range(ROUNDS):
        windows = 0

        def judge() -> None:
            nonlocal windows
            windows = loop(model, sample, WINDOWS)

        peer = [seconds / windows for seconds in timed(judge)]
        for name, detector in detectors.items():
            for what, frame in frames.items():
                events = int(frame["templates"].list.len().sum())
                wall, cpu = timed(lambda d=detector, f=frame: d.anomaly_score(f))
                rows.setdefault(name + what, []).append((wall, cpu, peer[0] * events / wall, peer[1] * events / cpu))
        print(f"loop: {1 / peer[0]:,.0f} windows a second, {1e6 * peer[1]:.0f} µs of CPU each", file=sys.stderr)
    pipeline = Pipeline(detectors=("lstm",), params=SHORT["lstm"], clean=True, rules=RuleSet())
    pipeline.folds = 1
    pipeline.fit(train.drop("label"))
    whole = [timed(lambda: pipeline.score(test.drop("label"))) for _ in range(ROUNDS)]
    print(f"{test.height:,} sessions ({once.height:,} distinct), {int(test['templates'].list.len().sum()):,} events")
    print("| | s | CPU s | events/s, times the loop's | by CPU time |\n|---|---:|---:|---:|---:|")
    for name, found in rows.items():
        wall, cpu, ratio, by_cpu = (statistics.median(column) for column in zip(*found, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} | {ratio:,.0f} | {by_cpu:,.0f} |")
    wall, cpu = (statistics.median(column) for column in zip(*whole, strict=True))
    print(f"| lstm, `Pipeline.score`: ids in, scores, p-values and verdicts out | {wall:.2f} | {cpu:.2f} | | |")


if __name__ == "__main__":
    main()

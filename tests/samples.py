"""Small logs and sequences that many tests share, made from seeds; nothing is read from outside."""

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import polars as pl

#: Parameters that make a network learn in a moment; which detector has which does not matter.
QUICK = {"epochs": 12, "hidden": 16, "embedding": 8}
#: The same for networks that have further layers; a pipeline takes only parameters that its views have.
SMALL = QUICK | {"top": 8, "layers": 1, "batch": 16, "learning_rate": 0.01}

_USUAL = (
    ("INFO", "received order {key} with {n} items"),
    ("INFO", "checked stock for {key} in {n} ms"),
    ("INFO", "charged card for {key}: {n} cents"),
    ("INFO", "shipped {key} from store {n}"),
)
_ODD = ("ERROR", "payment gateway refused {key} after {n} tries")


def shop_log(sessions: int = 60, odd: tuple[int, ...] = (41,), seed: int = 0) -> list[str]:
    """Return the lines of interleaved sessions of four events; an odd one is refused instead of charged and shipped."""
    rng = random.Random(seed)
    start = datetime(2026, 3, 1, 8, tzinfo=UTC)
    events = []
    for number in range(sessions):
        steps = (*_USUAL[:2], _ODD) if number in odd else _USUAL
        if number not in odd and rng.random() < 0.2:
            steps = (*steps[:2], steps[1], *steps[2:])
        for step, (level, text) in enumerate(steps):
            time = start + timedelta(seconds=20 * number + 7 * step, milliseconds=rng.randrange(1000))
            events.append((time, level, text.format(key=f"order-{1000 + number}", n=rng.randrange(1, 900))))
    events.sort()
    return [f"{time:%Y-%m-%d %H:%M:%S},{time.microsecond // 1000:03} {level} {text}" for time, level, text in events]


def sequences(n: int = 120, seed: int = 0) -> pl.DataFrame:
    """Return ``n`` sequences of template codes: three usual kinds, with a template repeated or rare now and then."""
    rng = random.Random(seed)
    kinds = ([0, 1, 2, 3, 4], [0, 1, 2, 5, 4], [0, 6, 7, 6, 7, 4])
    lists = []
    for _ in range(n):
        one = list(rng.choice(kinds))
        if rng.random() < 0.2:
            one.insert(3, one[2])
        if rng.random() < 0.03:
            one.append(8)
        lists.append(one)
    return frame(lists)


def labels(X: pl.DataFrame) -> pl.Series:
    """Return labels for what :func:`sequences` makes: a sequence is anomalous if it repeats an event, or holds 8."""
    odd = [8 in one or any(a == b for a, b in pairwise(one)) for one in X["templates"].to_list()]
    return pl.Series("label", odd, dtype=pl.Boolean)


def frame(lists: list[list[int]], weight: list[float] | None = None) -> pl.DataFrame:
    """Return what a detector reads: template codes, and weights where given.

    Every list of times, levels, numbers and sources that a view may need goes with them and follows from the codes
    alone, so that equal sequences are equal in all of them.
    """
    start = datetime(2026, 3, 1, tzinfo=UTC)
    gaps = [[sum(1 + code % 5 for code in one[: i + 1]) for i in range(len(one))] for one in lists]
    columns = {
        "templates": pl.Series(lists, dtype=pl.List(pl.UInt32)),
        "timestamps": pl.Series(
            [[start + timedelta(seconds=s) for s in one] for one in gaps], dtype=pl.List(pl.Datetime("us", "UTC"))
        ),
        "levels": pl.Series([[17 if code == 8 else 9 for code in one] for one in lists], dtype=pl.List(pl.UInt8)),
        "values": pl.Series(
            [[float(one[: i + 1].count(code)) for i, code in enumerate(one)] for one in lists],
            dtype=pl.List(pl.Float64),
        ),
        "sources": pl.Series([[code % 3 for code in one] for one in lists], dtype=pl.List(pl.UInt32)),
    }
    return pl.DataFrame(columns | ({} if weight is None else {"weight": pl.Series(weight, dtype=pl.Float64)}))

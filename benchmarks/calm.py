"""False alarms on logs in which nothing is wrong, and the faults that are found in the same logs: docs/detection.md.

    python benchmarks/calm.py DATA OUT [--own FOLDER] [--part tune|held|all] [--faults] [--only NAME] [--most LINES]

Each log is judged by itself (``detect FILE``), and its second half by a model of the first (``fit``, ``detect -m``).
Counted are findings of all severities, and of MEDIUM and above. With ``--faults`` one fault is put into each log: a
line of a session dropped, doubled, or swapped with the next; sixty equal lines; a stretch of silence; an error never
seen; a number two hundred times as large. It is found where a finding is about it, and the rank is that finding's. OUT
gets a JSON line a log; what is there is not measured again.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from calm_logs import Log, all_logs

from offbeat import Lines, Pipeline
from offbeat.decide.incidents import SEVERITIES
from offbeat.errors import NotEnoughDataError
from offbeat.finding import Finding
from offbeat.learn import DEFAULT
from offbeat.run import Run

FAULTS = ("drop", "double", "swap", "burst", "silence", "error", "slow")
ERROR = "lost connection to storage node 7 after 3 retries: broken pipe"
#: What a log is judged by.
JUDGED = {"itself": "itself", "later": "its first half"}
#: A number with a unit or a decimal point.
NUMBER = re.compile(r"(?<![\w.:])(\d+\.\d+|\d+(?= ?(?:ms|bytes|rows|s\b)))|(?<=[=\" ])(\d{2,6})(?=[\s\"%]|$)")


def pipeline(lstm: bool) -> Pipeline:
    """Return an unfitted pipeline, as the command line has it."""
    return Pipeline(detectors=DEFAULT if lstm else [view for view in DEFAULT if view != "lstm"])


def faulty(log: Log, lines: list[str], kind: str, seed: int) -> tuple[list[str], set[int]] | None:
    """Put a fault into the last two fifths of a log: its lines, and 1-based numbers of those it is about."""
    rng = random.Random(f"{log.name} {kind} {seed}")
    n, low = len(lines), int(len(lines) * 0.6)
    if kind in ("drop", "double", "swap"):
        if not log.key:
            return None
        places: dict[str, list[int]] = {}
        for i, line in enumerate(lines):
            if found := re.search(log.key, line):
                places.setdefault(found[1], []).append(i)
        whole = [at for at in places.values() if len(at) >= 4 and at[0] >= low and at[-1] < n - n // 20]
        if not whole:
            return None
        at = rng.choice(whole)
        j = rng.randrange(1, len(at) - 1)
        # What is swapped or dropped must be another statement than its neighbour.
        shapes = [re.sub(r"\d+", "0", re.sub(log.head, "", lines[i])) for i in at]
        others = [k for k in range(1, len(at) - 1) if shapes[k] != shapes[k + 1] and shapes[k] != shapes[k - 1]]
        j = rng.choice(others) if others else j
        made = list(lines)
        if kind == "swap":
            a, b = at[j], at[j + 1]
            made[a], made[b] = lines[b], lines[a]
            return made, {i + 1 for i in at}
        made[at[j] : at[j] + 1] = [] if kind == "drop" else [lines[at[j]]] * 2
        step = -1 if kind == "drop" else 1
        return made, {i + 1 + (step if i > at[j] else 0) for i in at if i != at[j] or kind != "drop"}
    i = rng.randrange(low, n - n // 20 - 1)
    if kind == "burst":
        return [*lines[:i], *[lines[i]] * 60, *lines[i:]], set(range(i + 1, i + 62))
    if kind == "silence":
        gone = max(n // 25, 5)
        return [*lines[:i], *lines[i + gone :]], {i, i + 1}
    head = re.match(log.head, lines[i])
    if kind == "error":
        if head is None or head.end() == len(lines[i]):
            return None
        up = re.sub(r"\b(INFO|DEBUG|info|debug|LOG)\b", lambda m: "ERROR" if m[0].isupper() else "error", head[0])
        tail = '"}' if lines[i].endswith('"}') else '"' if head[0].endswith('"') else ""
        return [*lines[:i], lines[i], up + ERROR + tail, *lines[i + 1 :]], {i + 2}
    for j in range(i, n):
        head = re.match(log.head, lines[j])
        found = NUMBER.search(lines[j], head.end() if head else 0)
        if found:
            slow = found[0] if float(found[0]) == 0 else f"{float(found[0]) * 200:.{2 if '.' in found[0] else 0}f}"
            return [*lines[:j], lines[j][: found.start()] + slow + lines[j][found.end() :], *lines[j + 1 :]], {j + 1}
    return None


def rank_of(run: Run, found: Sequence[Finding], about: set[int]) -> int | None:
    """Return the 1-based rank of the first finding about some lines, None where there is none."""
    place = dict(run.kept.select("unit", "rows").rows())
    for rank, one in enumerate(found, 1):
        rows = {row & (2**40 - 1) for unit in one.members for row in place.get(unit, ())}
        if rows & about or any(line.line in about for line in one.lines):
            return rank
    return None


def counted(found: Sequence[Finding], units: int) -> dict[str, Any]:
    """Return how many findings there are, and of what kinds."""
    alarms = [one for one in found if one.severity != SEVERITIES[0]]
    kinds = Counter(f"{one.kind}{'' if one.severity == SEVERITIES[0] else ' ' + one.severity.upper()}" for one in found)
    rules = sum(bool(one.rules) for one in found)
    return {"units": units, "findings": len(found), "alarms": len(alarms), "rules": rules, "kinds": dict(kinds)}


def measured(
    log: Log, lstm: bool, faults: bool, modes: Sequence[str] = ("itself", "later")
) -> Iterator[dict[str, Any]]:
    """Yield what came of one log, in both modes, and of each fault in it."""
    lines = log.make()
    logs: list[tuple[str, list[str], set[int]]] = [("", lines, set())]
    if faults:
        logs = [(kind, *made) for kind in FAULTS if (made := faulty(log, lines, kind, 0)) is not None]
    half, model = len(lines) // 2, None
    for kind, text, about in logs:
        base = {"log": log.name, "held_out": log.held_out, "lines": len(text), "fault": kind}
        for mode in modes:
            begun = time.process_time()
            try:
                if mode == "itself":
                    run = pipeline(lstm).fit(Lines(text)).cross_score()
                else:
                    model = model or pipeline(lstm).fit(Lines(lines[:half]))
                    run, about = model.score(Lines(text[half:])), {i - half for i in about}
            except NotEnoughDataError as error:
                yield base | {"mode": mode, "refused": str(error)}
                continue
            found = run.find()
            row = base | {"mode": mode, **counted(found, run.scores.height), "unit": run.unit,
                          "flagged": int(run.scores["is_anomaly"].sum()), "drift": run.drift is not None,
                          "seconds": round(time.process_time() - begun, 2)}  # fmt: skip
            if kind:
                row["rank"] = rank_of(run, found, about)
            else:
                row["reasons"] = [f"{one.severity} {one.kind}: {one.reason[:160]}" for one in found[:12]]
            yield row


def table(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the lines of a table in Markdown."""
    out = [
        "| logs | judged by | logs with alarms | alarms | findings | units | alarms / 1,000 | findings / 1,000 |",
        "|" + "---|" * 8,
    ]
    parts = {"chosen by": [r for r in rows if not r["held_out"]], "held out": [r for r in rows if r["held_out"]]}
    for name, some in parts.items():
        for mode in ("itself", "later"):
            mine = [r for r in some if not r["fault"] and r["mode"] == mode and "units" in r]
            if not mine:
                continue
            units, alarms, found = (sum(r[k] for r in mine) for k in ("units", "alarms", "findings"))
            noisy = f"{sum(r['alarms'] > 0 for r in mine)} of {len(mine)}"
            cells = [name, JUDGED[mode], noisy, str(alarms), str(found), f"{units:,}"]
            cells += [f"{1000 * alarms / units:.2f}", f"{1000 * found / units:.2f}"]
            out.append("| " + " | ".join(cells) + " |")
    broken = [r for r in rows if r["fault"] and "rank" in r]
    if broken:
        out += [
            "",
            "| logs | judged by | " + " | ".join(FAULTS) + " | all | mean rank |",
            "|" + "---|" * (len(FAULTS) + 4),
        ]
        for name, held in (("chosen by", False), ("held out", True)):
            for mode in ("itself", "later"):
                mine = [r for r in broken if r["held_out"] == held and r["mode"] == mode]
                if mine:
                    each = [[r["rank"] for r in mine if r["fault"] == kind] for kind in FAULTS]
                    ranks = [r["rank"] for r in mine if r["rank"]]
                    cells = [
                        f"{sum(x is not None for x in one)} of {len(one)}" for one in (*each, [r["rank"] for r in mine])
                    ]
                    out.append(
                        f"| {name} | {JUDGED[mode]} | "
                        + " | ".join(cells)
                        + f" | {sum(ranks) / max(len(ranks), 1):.1f} |"
                    )
    return out


def main() -> None:
    """Measure what is asked for, and print the tables of all that is in OUT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--own", type=Path)
    parser.add_argument("--part", choices=("tune", "held", "all"), default="all")
    parser.add_argument("--faults", action="store_true")
    parser.add_argument("--lstm", action="store_true")
    parser.add_argument("--modes", default="itself,later")
    parser.add_argument("--only", default="")
    parser.add_argument("--most", type=int, default=10**9, help="logs of at most so many lines")
    options = parser.parse_args()
    have = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.is_file() else []
    done = {(row["log"], bool(row["fault"])) for row in have}
    for log in all_logs(options.data, options.own):
        if options.part != "all" and log.held_out != (options.part == "held"):
            continue
        if (log.name, options.faults) in done or not re.search(options.only, log.name) or size_of(log) > options.most:
            continue
        rows = list(measured(log, options.lstm, options.faults, options.modes.split(",")))
        with options.out.open("a") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
        have += rows
        for row in rows:
            if not row["fault"] and not row["held_out"]:
                print(row["log"], row["mode"], row.get("kinds", row.get("refused")), row.get("seconds"), flush=True)
    print("\n".join(table([row for row in have if re.search(options.only, row["log"])])))


def size_of(log: Log) -> int:
    """Return about how many lines a log has, by its name."""
    number = re.search(r"\.(\d+)", log.name)
    return int(number[1]) if number else 0


if __name__ == "__main__":
    main()

"""What the page of a benchmark says, in plain values that its template lays out."""

from __future__ import annotations

from typing import Any

import numpy as np
from markupsafe import Markup

from offbeat.bench.analysis import Group
from offbeat.bench.markdown import INTERVAL, NOTES, change_sentences, group_pieces, intro, record_sentences
from offbeat.bench.report import Detail, Report
from offbeat.bench.summary import figure
from offbeat.evaluate.metrics import pr_curve, roc_curve
from offbeat.html import bench_charts
from offbeat.html.svg import percent, tag
from offbeat.series import thinned

#: Figures of the table: head, column, digits, and what it says.
_COLUMNS = (
    ("AP", "ap", 3, "average precision"), ("own F1", "f1", 3, "F1 at the threshold chosen without the test's labels"),
    ("P", "precision", 3, "precision"), ("R", "recall", 3, "recall"), ("FPR", "fpr", 4, "false positive rate"),
    ("at half", "f1_half", 3, "F1 with half as many flagged"),
    ("at twice", "f1_twice", 3, "F1 with twice as many flagged"),
    ("best F1", "best_f1", 3, "the best over all thresholds: an upper bound"), ("AUC", "auc", 3, "area under ROC"),
    ("MCC", "mcc", 3, "Matthews correlation"), ("alerts", "alerts_per_1000", 1, "per 1,000 units"),
    ("delay", "delay_units", 1, "units from an incident's begin to its first alarm"),
    ("swaps", "swapped", 2, "share of swapped neighbours noticed at 2 % false alarms"),
    ("fit s", "fit_seconds", 1, "seconds"), ("score s", "score_seconds", 2, "seconds"), ("MB", "peak_mb", 0, "memory"),
)  # fmt: skip


def context(report: Report) -> dict[str, Any]:
    """Return everything the template shows."""
    drawn = report.details[: bench_charts.LINES]
    return {
        "title": report.about["name"],
        "intro": " ".join(intro(report.about)),
        "date": report.about["date"],
        "unit": report.about["unit"],
        "verdict": report.keep.sentences[0],
        "heads": [(head, words) for head, _, _, words in _COLUMNS],
        "rows": _rows(report),
        "failed": report.failed,
        "notes": NOTES.replace("*", ""),
        "drawn": [detail.name for detail in drawn],
        "precision_recall": _precision_recall(report, drawn),
        "roc": _roc(report, drawn),
        "altered": _altered(report, [detail.name for detail in drawn]),
        "change": change_sentences(report.change),
        "moved": [(text, f"{a:.2%}", f"{b:.2%}") for text, a, b in report.change.moved],
        "advice": report.advice,
        "details": [_detail(report, detail, i == 0) for i, detail in enumerate(report.details)],
        "record": record_sentences(report.about),
        "params": [(name, ", ".join(f"{k}={v}" for k, v in p.items())) for name, p in report.about["params"].items()],
        "keep": _keep(report),
    }  # fmt: skip


def _rows(report: Report) -> list[dict[str, Any]]:
    """Return the rows of the table: all units, with AP and F1 of distinct sequences beside."""
    rows = report.summary.to_dicts()
    once = {r["detector"]: r for r in rows if r["counted"] == "distinct"}
    out = []
    for r in rows:
        if r["counted"] != "all" or not r["seeds"]:
            continue
        beside = once.get(r["detector"], {})
        spread = f"{figure(r['ap_min'])} – {figure(r['ap_max'])}" if r["seeds"] > 1 else ""
        out.append({
            "name": r["detector"],
            "cells": [figure(r.get(column), digits) for _, column, digits, _ in _COLUMNS],
            "spread": spread,
            "distinct": [figure(beside.get(column)) for column in ("ap", "f1")],
        })  # fmt: skip
    return out


def _precision_recall(report: Report, drawn: list[Detail]) -> Markup:
    named = []
    for detail in drawn:
        found = pr_curve(report.label, detail.score, report.weight)
        # Steps begin at recall 0 with the first precision.
        x, y = np.append(0.0, found.recall), np.append(found.precision[0], found.precision)
        point = (detail.figures["recall"] or 0.0, detail.figures["precision"] or 0.0)
        named.append((detail.name, *thinned(x, y), point))
    return bench_charts.curves(named, "Precision-recall curves", ("recall", "precision"), steps=True)


def _roc(report: Report, drawn: list[Detail]) -> Markup:
    named = []
    for detail in drawn:
        found = roc_curve(report.label, detail.score, report.weight)
        point = (detail.figures["fpr"] or 0.0, detail.figures["recall"] or 0.0)
        named.append((detail.name, *thinned(found.fpr, found.tpr), point))
    return bench_charts.curves(named, "ROC curves", ("false positive rate", "true positive rate"), steps=False)


def _altered(report: Report, names: list[str]) -> list[tuple[str, Markup]]:
    """Return a plot for each way in which lines were altered."""
    out = []
    for (how,), rows in report.altered.group_by("perturbed", maintain_order=True):
        named = []
        for name in names:
            mine = rows.filter(rows["detector"] == name).sort("share")
            named.append((name, mine["share"].to_numpy(), mine["f1"].to_numpy()))
        out.append((str(how), bench_charts.against_share(named, f"F1 against the share of {how} lines")))
    return out


def _detail(report: Report, detail: Detail, first: bool) -> dict[str, Any]:
    row = detail.figures
    threshold = float(row["threshold"]) if row["threshold"] is not None else float("inf")
    return {
        "name": detail.name,
        "open": first,
        "says": f"own F1 {figure(row['f1'])}, AP {figure(row['ap'])}",
        "scores": bench_charts.scores(detail.score, report.label, report.weight, threshold, f"Scores of {detail.name}"),
        "confusion": [[f"{n:,.0f}" for n in line] for line in detail.confusion],
        "missed": _groups(detail.missed[0]),
        "more_missed": detail.missed[1],
        "false": _groups(detail.false[0]),
        "more_false": detail.false[1],
        "advice": detail.advice,
    }


def _groups(groups: list[Group]) -> list[dict[str, Any]]:
    return [{"units": f"{g.units:,.0f}", "example": g.example, "phrases": group_pieces(g)} for g in groups]


def _keep(report: Report) -> dict[str, Any]:
    keep = report.keep
    return {
        "sentences": keep.sentences,
        "rows": [(role, name, figure(ap), figure(f1), figure(swaps, 2)) for role, name, ap, f1, swaps in keep.rows],
        "differences": [
            (f"{d.better} − {d.than}", f"{d.ap:+.3f}", f"{d.low:+.3f} to {d.high:+.3f}",
             f"{d.seeds[0]:+.3f} to {d.seeds[1]:+.3f}" if d.seeds else "one seed", f"{d.f1:+.3f}",
             _interval(d.low, d.high, d.ap))
            for d in keep.differences
        ],
        "interval": INTERVAL,
    }  # fmt: skip


def _interval(low: float, high: float, mean: float) -> Markup:
    """Return an interval drawn between -1 and 1, with none in the middle."""
    at = [percent((value + 1) / 2) for value in (low, high, mean)]
    class_ = "certain" if low > 0 or high < 0 else "open"
    parts = [
        tag("line", x1=0, x2="100%", y1=8, y2=8, class_="gridline"),
        tag("line", x1="50%", x2="50%", y1=1, y2=15, class_="axis"),
        tag("line", x1=at[0], x2=at[1], y1=8, y2=8, class_=f"interval {class_}"),
        tag("circle", cx=at[2], cy=8, r=4, class_=f"mean {class_}"),
    ]
    return tag("svg", *parts, width="100%", height=16, aria_hidden="true")

"""What the reports of a benchmark say: the errors, the difference between parts, and whether the LSTM is worth it."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from offbeat import bench
from offbeat.bench.analysis import Shapes, advice_on, advice_on_data, change
from offbeat.bench.compare import earns_its_keep
from offbeat.bench.output import about_run
from offbeat.bench.report import gather
from offbeat.evaluate.metrics import measure
from offbeat.evaluate.protocols import Split
from offbeat.html import render_bench

HOSTILE = "<script>pwned=1</script> | `x` \u202egnp {{ 7 * 7 }}"


def split(drifted: bool = False) -> Split:
    """Return 200 sessions in each part: some without their end, some with a new line, some just longer."""
    rng = np.random.Generator(np.random.PCG64(3))
    rows = []
    for i in range(400):
        steps = ["open the door", "look around", "close the door"]
        if rng.random() < 0.5:
            steps.insert(2, "look around")
        label = i >= 200 and i % 20 == 0
        if label:
            steps = steps[:-1] if i % 40 else [*steps, HOSTILE]
        if drifted and i >= 200:
            steps = [*steps[:2], "the new release says hello", *steps[2:]]
        rows.append({"key": f"s{i}", "templates": steps, "label": label})
    units = pl.DataFrame(rows)
    return Split("doors", units[:200], units[200:], False, "session")


def measured(folder: Path, names: str, one: Split):
    """Return the report of detectors measured on a split."""
    tasks = bench.make_tasks(bench.known_detectors(names), [0])
    results = bench.run_tasks(one, tasks, folder)
    return gather(one, results, bench.collect(results), about_run(one, results))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """The report of two detectors that learn in a moment, of which one fails."""
    return measured(tmp_path_factory.mktemp("parts"), "presence,length,timing", split())


def test_alike_errors_are_told_together():
    """Sessions that lack their end are one group, which names what they lack; those with a new line another."""
    one = split()
    which = one.test["label"].to_numpy()
    groups, left_out = Shapes(one).groups(which, np.ones(200))
    assert left_out == 0
    assert [(g.units, [t for t, _ in g.has], [t for t, _ in g.lacks]) for g in groups] == [
        (5.0, [HOSTILE], []),
        (5.0, [], ["close the door"]),
    ]


def test_parts_that_are_alike_and_parts_that_are_not():
    """A new line in every session is told as a change, with its share; without it the parts are alike."""
    same, other = change(split()), change(split(drifted=True))
    assert same.psi < 0.1
    assert other.psi > 0.25
    assert other.unseen_units == (1.0, 1.0)
    assert other.moved[0][0] == "the new release says hello"
    assert same.anomalous == (0.0, 0.05)
    assert not advice_on_data(same, known=False)
    assert "never saw" in advice_on_data(other, known=False)[0]


def test_weights_count_where_parts_are_compared():
    """Rows that stand for many units move the shares accordingly."""
    one = split()
    heavy = one.test.with_columns(weight=pl.when("label").then(0.0).otherwise(1.0))
    found = change(Split("x", one.train, heavy, False, "session"))
    assert found.anomalous[1] == 0.0
    assert found.psi < change(one).psi


def test_advice_says_which_way_to_move_a_threshold():
    """Too few alarms: lower it; too many: raise it; none where it is right."""
    figures = {"f1": 0.2, "best_f1": 0.9, "auc": 0.9, "stated_share": 0.04}
    found = change(split())
    assert "lower its threshold" in advice_on(figures | {"alerts_per_1000": 4.0}, found)[0]
    assert "raise its threshold" in advice_on(figures | {"alerts_per_1000": 100.0}, found)[0]
    assert "too little was learned from" in " ".join(advice_on(figures | {"alerts_per_1000": 300.0}, found))
    assert advice_on(figures | {"f1": 0.9, "alerts_per_1000": 50.0}, found) == []


def test_the_page_is_self_contained_and_text_stays_text(report):
    """Nothing is fetched or run, what a log says is shown as it is, and the last section is about the LSTM."""
    html = render_bench(report)
    assert "<script" not in html
    assert "7 * 7" in html
    assert "\u202e" not in html
    assert not re.search(r"""(src|href)=["'](?!#)""", html)
    assert html.count("<details") == html.count("</details>")
    assert re.findall(r'<section id="(\w+)"', html)[-1] == "keep"
    assert "timing</b> has no figures: no view is left to learn (timing: no timestamps)" in html
    assert html == render_bench(report)


def test_the_markdown_ends_with_the_answer(report):
    """Figures, errors, and the question about the LSTM last; a table's cells cannot be broken by a template."""
    from offbeat.bench.markdown import markdown

    text = markdown(report)
    assert text.rindex("## ") == text.index("## Does the LSTM earn its keep?")
    assert "Not measured: it takes offbeat and offbeat-without-lstm" in text
    assert "| presence | all |" in text
    assert all(line.count("|") - line.count("\\|") == 20 for line in text.splitlines() if line.startswith("| length |"))


def test_the_lstm_is_judged_by_an_interval(tmp_path):
    """Where all views are clearly better with it the answer is yes, the other way round no, else open."""
    one = split()
    label = one.test["label"].to_numpy()
    good = label + np.linspace(0, 0.1, 200)
    poor = np.where(np.arange(200) % 3 == 0, 1.0, 0.0) + np.linspace(0, 0.1, 200)

    def answer(scores: dict[str, list[np.ndarray]]) -> str:
        results = []
        for name, seeds in scores.items():
            for seed, score in enumerate(seeds):
                file = tmp_path / f"{name}-{seed}-{len(list(tmp_path.iterdir()))}.parquet"
                pl.DataFrame({"score": score}).write_parquet(file)
                row = {"counted": "all", "swapped": 0.5} | measure(label, score, score > 1).as_dict()
                results.append(bench.Result(bench.Task(name, seed), [row], None, file))
        summary = bench.summarise(bench.collect(results))
        return " ".join(earns_its_keep(one, results, summary).sentences)

    assert answer({"presence": [poor], "lstm": [good], bench.WHOLE: [good], bench.WITHOUT: [poor]}).startswith("Yes,")
    assert "it is better than the best simple detector, presence" in answer({"presence": [poor], "lstm": [good]})
    assert answer({bench.WHOLE: [poor, poor], bench.WITHOUT: [good]}).startswith("No,")
    assert answer({bench.WHOLE: [good, good], bench.WITHOUT: [good]}).startswith("Not that this test part could show")


def test_a_mean_over_seeds_has_its_spread():
    """Five seeds are one row, with the least and the largest; a detector that failed has its reason."""
    rows = [
        {"detector": "lstm", "seed": s, "status": "ok", "counted": "all", "f1": s / 10, "ap": 0.5} for s in range(5)
    ]
    rows.append({"detector": "x", "seed": 0, "status": "failed", "counted": "all", "reason": "no luck"})
    summary = bench.summarise(bench.as_frame(rows))
    assert summary.filter(pl.col("detector") == "lstm").select("f1", "f1_min", "f1_max", "seeds").row(0) == (
        pytest.approx(0.2), 0.0, 0.4, 5,
    )  # fmt: skip
    assert "| x | failed: no luck |" in "\n".join(bench.table(summary))

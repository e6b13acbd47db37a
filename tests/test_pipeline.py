"""From whatever the user has to findings: the same on paths, lines, frames and ids, before and after saving."""

import gzip
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import numpy as np
import orjson
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from samples import QUICK, sequences, shop_log

from offbeat import Budget, Lines, Pipeline, bundle, read_labels
from offbeat.errors import InputError, ModelError
from offbeat.group import sessions
from offbeat.read import blocks
from offbeat.schema import SCORES, SEQUENCES

FAST = ("presence", "count")
#: What a view or the whole says of a unit.
SAID = ["presence", "count", "score", "p_value", "is_anomaly"]


def fitted(data, **options) -> Pipeline:
    """Return a pipeline of the fast views, fitted."""
    return Pipeline(**({"detectors": FAST} | options)).fit(data)


def findings(run) -> bytes:
    """Return a run's findings as --json prints them."""
    return b"\n".join(orjson.dumps(one.as_dict()) for one in run.find())


def ids(frame: pl.DataFrame) -> list[list[str]]:
    """Return sequences as lists of names, one of them odd."""
    names = [[f"E{code}" for code in one] for one in frame["templates"].to_list()]
    return [*names, ["E0", "E1", "panic"]]


@pytest.fixture(scope="module")
def whole():
    """A pipeline of all default views, learned quickly from the small shop."""
    return Pipeline(params=QUICK).fit(Lines(shop_log()))


@pytest.fixture(scope="module")
def expected():
    """Scores of the small shop by the fast views, learned from the same."""
    return fitted(Lines(shop_log())).score(Lines(shop_log())).scores


def test_the_odd_session_is_found(whole):
    """Out of sixty sessions the one that was refused is found, alone, with its lines and reason."""
    found = whole.cross_score().find()
    assert [one.session for one in found] == ["order-1041"]
    (one,) = found
    assert "payment gateway refused" in one.reason
    assert [line.text for line in one.lines if line.mark == "worst"] == [
        line for line in shop_log() if "refused" in line
    ]
    assert one.units == 1
    assert 0 < one.p_value < 0.05
    assert one.start < one.end


def test_every_kind_of_log_gives_the_same_scores(shop_file, expected, tmp_path):
    """A path as text or object, a list of one, a folder, gzip, and lines as they are: the same units and scores."""
    packed = tmp_path / "packed" / "shop.log.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress(shop_file.read_bytes()))
    for data in (str(shop_file), shop_file, [shop_file], [str(shop_file)], packed.parent, packed, shop_log()):
        found = fitted(data).score(data).scores
        assert_frame_equal(found.drop("file"), expected.drop("file"))


def test_frames_of_events_give_the_same_scores(expected):
    """A Polars frame, lazy or not, and a pandas frame with the parts of the lines give the same verdicts."""
    rows = [line.split(" ", 3) for line in shop_log()]
    frame = pl.DataFrame(
        {
            "timestamp": [f"{r[0]}T{r[1].replace(',', '.')}Z" for r in rows],
            "level": [r[2] for r in rows],
            "message": [r[3] for r in rows],
        }
    ).with_columns(pl.col("timestamp").str.to_datetime(time_unit="us", time_zone="UTC"))
    for data in (frame, frame.lazy(), pd.DataFrame(frame.to_dict(as_series=False))):
        run = fitted(data).score(data)
        assert_frame_equal(run.scores.drop("file"), expected.drop("file"))
        (one,) = run.find()
        assert [line.text for line in one.lines if line.mark == "worst"] == [r[3] for r in rows if "refused" in r[3]]


def test_lists_of_ids_are_sequences_already():
    """Ids as text, numbers, tuples or arrays, or as a column of lists, give the same scores; the odd one is found."""
    lists = ids(sequences())
    number = {name: i for i, name in enumerate(dict.fromkeys(x for one in lists for x in one))}
    numbers = [[number[x] for x in one] for one in lists]
    column = pl.DataFrame({"templates": lists})
    kinds = (lists, [tuple(x) for x in lists], numbers, [np.array(x) for x in numbers], column, column.lazy())
    runs = [fitted(data).score(data) for data in kinds]
    for run in runs[1:]:
        assert_frame_equal(run.scores, runs[0].scores)
    assert runs[0].scores["score"].arg_max() == 120
    assert "panic" in runs[0].find()[0].reason


def test_ids_keep_their_keys_times_and_weights():
    """Optional columns of a frame of ids go into the scores; a weight counts as so many units."""
    lists = ids(sequences())
    start = pl.Series([pd.Timestamp("2026-01-01", tz="UTC") + timedelta(minutes=i) for i in range(len(lists))])
    frame = pl.DataFrame(
        {"templates": lists, "key": [f"k{i}" for i in range(len(lists))], "start": start, "end": start}
    )
    run = fitted(frame).score(frame)
    assert run.scores["key"].to_list() == frame["key"].to_list()
    assert run.scores["start"].to_list() == start.to_list()
    weighted = frame.with_columns(weight=pl.lit(3))
    assert fitted(weighted).summary["weight"] == 3 * len(lists)
    nameless = frame.with_columns(key=pl.when(pl.col("key") == "k120").then(None).otherwise("key"))
    assert fitted(nameless).score(nameless).find()[0].session == "120"


def test_scores_have_their_columns(expected):
    """One row a session: what SEQUENCES and SCORES declare, and one column a view."""
    wanted = dict(SEQUENCES) | dict(SCORES) | dict.fromkeys(FAST, pl.Float64()) | {"file": pl.String()}
    wanted.pop("templates")
    assert dict(expected.schema) == wanted
    assert expected.height == 60
    assert expected.select(*FAST, "score", "p_value").to_numpy().min() >= 0
    assert np.isfinite(expected.select(*FAST, "score").to_numpy()).all()
    assert ((expected["p_value"] > 0) & (expected["p_value"] <= 1)).all()


def test_saving_changes_nothing(whole, tmp_path):
    """A loaded model gives byte-identical scores and findings, on what it learned from and on another log."""
    whole.save(tmp_path / "model")
    loaded = Pipeline.load(tmp_path / "model")
    other = Lines(shop_log(80, odd=(3, 50), seed=9))
    for data in (Lines(shop_log()), other):
        one, two = whole.score(data), loaded.score(data)
        assert_frame_equal(one.scores, two.scores, check_exact=True)
        assert findings(one) == findings(two)
    assert loaded.summary == whole.summary
    assert loaded.grouping == whole.grouping
    assert loaded.hash


def test_a_saved_model_of_ids(tmp_path):
    """A model of ids knows its names after loading; names never seen are new."""
    lists = ids(sequences())
    made = fitted(lists)
    made.save(tmp_path / "model")
    asked = [*lists[:30], ["E0", "never seen"]]
    one, two = made.score(asked), Pipeline.load(tmp_path / "model").score(asked)
    assert_frame_equal(one.scores, two.scores, check_exact=True)
    assert findings(one) == findings(two)
    assert "“never seen” was never seen in training" in two.find()[0].reason


def test_scoring_changes_no_later_score(tmp_path):
    """A log with new templates in between changes no score of another, also when the model is saved after it."""
    made = fitted(Lines(shop_log()))
    first = made.score(Lines(shop_log()))
    other = Lines([line.replace("shipped", "teleported") for line in shop_log()])
    strange = made.score(other)
    assert_frame_equal(made.score(Lines(shop_log())).scores, first.scores, check_exact=True)
    made.save(tmp_path / "after")
    loaded = Pipeline.load(tmp_path / "after")
    assert_frame_equal(loaded.score(Lines(shop_log())).scores, first.scores, check_exact=True)
    assert_frame_equal(loaded.score(other).scores, strange.scores, check_exact=True)


@pytest.mark.parametrize(("table", "column", "value"), [("count-counts", 0, "x"), ("catalog-shapes", -1, None)])
def test_contents_that_no_offbeat_wrote(shop_file, tmp_path, table, column, value):
    """A model whose tables are whole and hold something else, as a crafted one may, is refused in a sentence."""
    fitted(shop_file).save(tmp_path / "model")
    values, frames, others, _ = bundle.read(tmp_path / "model")
    frames[table] = frames[table].with_columns(pl.lit(value).alias(frames[table].columns[column]))
    bundle.write(tmp_path / "model", values, frames, others)
    with pytest.raises(ModelError, match="holds something else"):
        Pipeline.load(tmp_path / "model")


def test_saving_twice_gives_the_same_bytes(whole, tmp_path):
    """A model learned again from the same lines with the same seed is byte-identical, file by file."""
    whole.save(tmp_path / "one")
    Pipeline(params=QUICK).fit(Lines(shop_log())).save(tmp_path / "two")
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes(), file.name


@pytest.mark.slow
def test_another_process_finds_the_same(shop_file):
    """The same input and seed give byte-identical findings in processes with different hash seeds."""
    program = f"""
import orjson
from offbeat import Pipeline
run = Pipeline(params={QUICK!r}).fit({str(shop_file)!r}).cross_score()
for one in run.find(): print(orjson.dumps(one.as_dict()).decode())
print(run.scores.write_json())
"""
    said = [
        subprocess.run(
            [sys.executable, "-c", program], capture_output=True, check=True, env={"PYTHONHASHSEED": seed, "PATH": ""}
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert b"order-1041" in said[0]


def test_new_templates_are_said_and_strange():
    """What a model never saw is the strangest thing in the log, and counted in the summary."""
    log = shop_log(odd=())
    log[100] = log[100].split(" INFO ")[0] + " ERROR disk failure on order-1020 unit 7"
    run = fitted(Lines(shop_log(odd=()))).score(Lines(log))
    assert run.summary["new_templates"] == 1
    assert run.find()[0].kind == "new pattern"
    assert run.find()[0].session == "order-1020"


def test_known_anomalies_are_left_out(tmp_path):
    """With labels the odd session is not learned from: its template is new afterwards."""
    labels = tmp_path / "labels.csv"
    labels.write_text("key,label\norder-1041,1\norder-1003,0\n")
    made = Pipeline(detectors=FAST).fit(Lines(shop_log()), read_labels(labels))
    assert made.summary["known_anomalies"] == 1
    assert made.summary["units"] == 59
    assert made.score(Lines(shop_log())).find()[0].kind == "new pattern"
    odd = next(i for i, line in enumerate(shop_log(), 1) if "refused" in line)
    labels.write_text(f"line,label\n{odd},1\n")
    by_line = Pipeline(detectors=FAST).fit(Lines(shop_log()), read_labels(labels))
    assert by_line.summary["known_anomalies"] == 1


def test_labels_of_another_log_are_refused(tmp_path):
    """Labels whose keys are no unit's say so, with examples of both."""
    labels = tmp_path / "labels.csv"
    labels.write_text("key,label\nblk_1,1\n")
    made = fitted(Lines(shop_log()))
    for use in (
        lambda k: Pipeline(detectors=FAST).fit(Lines(shop_log()), k),
        lambda k: made.score(Lines(shop_log()), k),
    ):
        with pytest.raises(InputError, match=r"blk_1.*order-1000"):
            use(read_labels(labels))


def test_labels_add_columns_and_decide_nothing(tmp_path):
    """Scoring with labels gives the same scores, plus what is needed to compare."""
    labels = tmp_path / "labels.csv"
    labels.write_text("key,label\norder-1041,anomaly\n")
    made = fitted(Lines(shop_log()))
    plain, compared = (made.score(Lines(shop_log()), k).scores for k in (None, read_labels(labels)))
    assert_frame_equal(compared.drop("label", "sequence"), plain)
    assert compared.filter("label")["key"].to_list() == ["order-1041"]


def test_labels_fit_windows_that_come_out_even(tmp_path):
    """Windows that leave no rest at the end are labelled like others."""
    labels = tmp_path / "labels.csv"
    labels.write_text("key,label\nwindow 3,1\n")
    log = Lines(shop_log()[:240])
    run = fitted(log, window=10).score(log, read_labels(labels))
    assert run.scores.filter("label")["key"].to_list() == ["window 3"]


def test_windows_by_count_and_by_time():
    """Asked for windows, units are windows in input order; the last partial one is kept and open."""
    run = fitted(Lines(shop_log()), window=10).cross_score()
    assert run.scores["events"].to_list() == [10] * 24 + [9]
    assert run.scores["open_at_end"].to_list() == [False] * 24 + [True]
    assert (run.unit, run.windows) == ("window", True)
    timed = fitted(Lines(shop_log()), window="30s").cross_score()
    assert timed.scores["events"].sum() == 249
    assert timed.scores["key"][0] == "window 2026-03-01T08:00:00Z"


def test_windows_within_keys():
    """With a key as well, each key has windows of its own."""
    run = fitted(Lines(shop_log()), window=2, session_by=r"order-\d+").cross_score()
    assert run.scores["key"].str.starts_with("order-").all()
    assert run.scores["events"].max() == 2
    assert not run.windows


@pytest.mark.parametrize(("lines", "window"), [(1_500, 10), (60_000, 100)])
def test_without_a_key_there_are_windows(lines, window):
    """A log without an identifier is cut into windows, smaller ones where it is short, and the reason is said."""
    made = fitted(Lines([f"tick {i} of the clock, all is well with it today" for i in range(lines)]))
    assert made.grouping is not None
    assert made.grouping.window == window
    assert f"windows of {window} lines" in made.grouping.reason


def test_how_the_log_is_split_into_files_does_not_matter(tmp_path):
    """A log as one file or as three gives the same sessions and scores."""
    lines = shop_log()
    for i, part in enumerate((lines[:80], lines[80:81], lines[81:])):
        (tmp_path / f"part{i}.log").write_text("\n".join(part) + "\n")
    names = [str(tmp_path / f"part{i}.log") for i in range(3)]
    one = fitted(Lines(lines), session_by=r"order-\d+").cross_score().scores.drop("file", "first_line", "last_line")
    several = fitted(names, session_by=r"order-\d+").cross_score().scores.drop("file", "first_line", "last_line")
    assert_frame_equal(one, several)


@pytest.mark.parametrize("window", [None, "10", "30s"])
def test_how_the_input_is_cut_does_not_matter(shop_file, monkeypatch, window):
    """Read in blocks of a few lines and with sessions closed early, scores and findings are the same."""
    how = {"session_by": r"order-\d+"} if window is None else {"window": window}
    made = fitted(shop_file, **how)
    assert made.grouping is not None
    whole = made.score(shop_file)
    expected = findings(whole.with_budget(Budget(50, "1000")))
    monkeypatch.setattr(blocks, "SIZE", 1500)
    monkeypatch.setattr(blocks, "_FIRST", 700)
    monkeypatch.setattr(sessions, "_FLUSH_EVENTS", 20)
    if window is None:
        made.grouping = replace(made.grouping, idle=60_000_000)
    cut = made.score(shop_file)
    # A session closed early is no longer open at the end of the input; nothing else may differ.
    one, other = (run.scores.drop("open_at_end").sort("key") for run in (whole, cut))
    assert_frame_equal(one, other, check_exact=True)
    again = fitted(shop_file, **how).score(shop_file)
    assert_frame_equal(again.scores, whole.scores, check_exact=True)
    assert findings(cut.with_budget(Budget(50, "1000"))) == expected


def test_personal_data_are_masked_before_anything_sees_them(tmp_path):
    """With a mask key no address is in findings or model, from lines and from frames alike."""
    log = [line + " for ann@example.com from 10.1.2.3" for line in shop_log()]
    for data in (Lines(log), pl.DataFrame({"message": log})):
        made = fitted(data, mask_key=b"key")
        made.save(tmp_path / "model")
        shown = findings(made.cross_score())
        assert b"order-1041" in shown
        assert b"ann@example.com" not in shown
        assert b"10.1.2.3" not in shown
        assert not any(b"ann@example.com" in file.read_bytes() for file in (tmp_path / "model").iterdir())
        with pytest.raises(ModelError, match="masked"):
            Pipeline.load(tmp_path / "model")
        with pytest.raises(ModelError, match="another key"):
            Pipeline.load(tmp_path / "model", mask_key=b"other")
        assert findings(Pipeline.load(tmp_path / "model", mask_key=b"key").score(data))
        fitted(data).save(tmp_path / "plain")
        with pytest.raises(ModelError, match="not masked"):
            Pipeline.load(tmp_path / "plain", mask_key=b"key")

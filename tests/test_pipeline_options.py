"""What a pipeline refuses, and in which words; and what its options do."""

import importlib.util
from pathlib import Path

import polars as pl
import pytest
from samples import sequences, shop_log

from offbeat import Lines, OffbeatError, Pipeline
from offbeat.errors import InputError, NotEnoughDataError, OptionError
from offbeat.intake import Options

FAST = ("presence", "count")


def fitted(data, **options) -> Pipeline:
    """Return a pipeline of the fast views, fitted."""
    return Pipeline(**({"detectors": FAST} | options)).fit(data)


def ids(frame: pl.DataFrame) -> list[list[str]]:
    """Return sequences as lists of names, one of them odd."""
    names = [[f"E{code}" for code in one] for one in frame["templates"].to_list()]
    return [*names, ["E0", "E1", "panic"]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"detectors": ("presence", "magic")}, "no detector 'magic'"),
        ({"detectors": ()}, "names no detector"),
        ({"params": {"magic": 1}}, "no detector in use has a parameter 'magic'"),
        ({"params": {"lstm.magic": 1}}, "no detector in use has a parameter"),
        ({"detectors": FAST, "params": {"lstm.hidden": 1}}, "no detector in use has a parameter"),
        ({"params": {"hidden": "wide"}}, "'wide' is no whole number"),
        ({"params": {"hidden": "2.5"}}, "'2.5' is no whole number"),
        ({"params": {"epochs": "1e999"}}, "is no whole number"),
        ({"params": {"hidden": 0}}, "must be above zero"),
        ({"params": {"presence.smoothing": "nan"}}, "must be above zero"),
        ({"threshold": "top"}, "is no threshold"),
    ],
    ids=str,
)
def test_wrong_options_are_said_before_anything_is_read(options, message):
    """A name or value that cannot be is refused when the pipeline is made."""
    with pytest.raises(OptionError, match=message):
        Pipeline(**options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"session_by": "("}, "neither a field nor a regular expression"),
        ({"session_by": r"nothing-\d+"}, "no line carries the key"),
        ({"window": "wide"}, "is no window"),
        ({"idle": "100"}, "no stretch of time"),
        ({"tz": "Mars/Olympus"}, "Mars/Olympus"),
    ],
    ids=str,
)
def test_options_that_do_not_fit_the_log_are_said(options, message):
    """What only the log can show to be wrong is one of the user's errors as well."""
    with pytest.raises(OptionError, match=message):
        fitted(Lines(shop_log()), **options)


def test_windows_by_time_need_times():
    """Without times it is said why there are no windows by time."""
    with pytest.raises(OptionError, match="--window: windows by time need times"):
        fitted(Lines([f"tick {i}" for i in range(300)]), window="5m")


def test_parameters_reach_their_detectors():
    """By name alone for every detector that has it, or with the detector's name for one; text takes its type."""
    made = Pipeline(detectors=("presence", "count"), params={"smoothing": "0.25", "count.largest": "4"})
    views = made.fit(Lines(shop_log())).fitted.views
    assert views["presence"].get_params() == {"smoothing": 0.25}
    assert views["count"].get_params() == {"smoothing": 0.25, "largest": 4}


def test_a_loaded_model_learns_again_with_its_parameters(tmp_path):
    """Fitting a loaded pipeline uses the detectors and parameters that were saved."""
    fitted(Lines(shop_log()), params={"largest": 3}).save(tmp_path / "model")
    again = Pipeline.load(tmp_path / "model").fit(Lines(shop_log()))
    assert list(again.fitted.views) == list(FAST)
    assert again.fitted.views["count"].get_params()["largest"] == 3


def test_a_flag_that_contradicts_a_model_is_refused():
    """What a model remembers may be repeated, not changed."""
    learned = Options(format="json", window="10")
    assert learned.joined(Options()) is learned
    assert learned.joined(Options(format="json", window="10")) is learned
    for other, words in (
        (Options(window="20"), "learned with --window 10"),
        (Options(session_by="trace"), "learned without --session-by"),
        (Options(dedupe=True), "learned without --dedupe"),
        (Options(tz="UTC"), "learned without --tz"),
    ):
        with pytest.raises(OptionError, match=words):
            learned.joined(other)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (None, "NoneType is no input"),
        (17, "int is no input"),
        ([], "nothing to read"),
        (pl.DataFrame({"message": []}, schema={"message": pl.String}), "no events"),
        (pl.DataFrame({"number": [1]}), "no column holds the message"),
        (pl.DataFrame({"templates": [1, 2]}), "not lists of ids"),
        (pl.DataFrame({"templates": []}, schema={"templates": pl.List(pl.String)}), "no sequence"),
        ("no/such/file.log", "no such file"),
    ],
    ids=str,
)
def test_what_is_no_input_is_said(data, message):
    """Whatever is handed in, the answer is one of the user's errors."""
    with pytest.raises((InputError, NotEnoughDataError), match=message):
        fitted(data)


def test_too_little_says_how_much_is_enough():
    """With nineteen units nothing is learned, and twenty are named; with twenty it is."""
    with pytest.raises(NotEnoughDataError, match=r"19 .* at least 20"):
        fitted([["a", "b"]] * 19)
    assert fitted([["a", "b"]] * 20).summary["units"] == 20


def test_ids_and_logs_are_not_mixed():
    """A model of logs is not asked about ids, nor the other way round; nothing is asked before learning."""
    with pytest.raises(OffbeatError, match="the other way round"):
        fitted(Lines(shop_log())).score([["a"]])
    with pytest.raises(OffbeatError, match="the other way round"):
        fitted([["a", "b"]] * 30).score(Lines(shop_log()))
    for early in (lambda p: p.score([["a"]]), lambda p: p.cross_score(), lambda p: p.save("model")):
        with pytest.raises(OffbeatError, match="call fit"):
            early(Pipeline())
    assert not Path("model").exists()


def test_lines_longer_than_a_file_name_are_lines():
    """A list of long lines, or of lines with NUL, is not taken for file names."""
    assert fitted([line + " x" * 300 for line in shop_log()]).summary["units"] == 60
    assert fitted([line + "\0" for line in shop_log()]).summary["units"] == 60


def test_alike_sessions_raise_no_alarm():
    """A log of one kind of session, or of two common kinds, is calm; the odd one out in a later log is not."""
    assert fitted([["a", "b", "c"]] * 60).cross_score().find() == []
    assert fitted([["a", "b"]] * 60 + [["a", "c"]] * 40).cross_score().find() == []
    (one,) = fitted([["a", "b", "c"]] * 60).score([["a", "b", "c"]] * 5 + [["a", "x"]]).find()
    assert one.session == "5"
    assert "inf" not in one.severity_reason


@pytest.mark.parametrize("threshold", [None, "knee", "sigma:3", "quantile:0.99"])
@pytest.mark.parametrize("clean", [False, True])
def test_every_threshold_can_be_asked_for(threshold, clean):
    """Each rule, with and without training declared clean, flags few and states its share."""
    made = fitted(ids(sequences(300)), threshold=threshold, clean=clean)
    share = made.fitted.decision.alert_share
    assert share == pytest.approx(made.cross_score().alert_share)
    assert 0 <= share <= 0.06


def test_without_pytorch_the_lstm_is_left_out_and_named(monkeypatch):
    """A light installation learns all but the LSTM, and says what would bring it; asked for alone, it is an error."""
    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else real(name))
    made = Pipeline().fit(Lines(shop_log()))
    assert "lstm" not in made.fitted.views
    assert "offbeat[train]" in made.summary["absent"]["lstm"]
    assert made.cross_score().scores.height
    with pytest.raises(OptionError, match="no view is left"):
        Pipeline(detectors=["lstm"]).fit(Lines(shop_log()))

"""The feature table: what its columns hold, and what is left out."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from samples import frame, sequences

from offbeat.detect import Ragged
from offbeat.detect.features import (
    KEYWORDS,
    READS,
    EventTable,
    event_table,
    keywords,
    number_fields,
    numbers_of_events,
)
from offbeat.intake import Intake, Options, Sources, learn_units

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


def units(templates, **lists):
    """Return sequences with further lists."""
    kinds = {"timestamps": pl.Datetime("us", "UTC"), "levels": pl.UInt8}
    columns = {"templates": pl.Series(templates, dtype=pl.List(pl.UInt32))}
    columns |= {k: pl.Series(v, dtype=pl.List(kinds.get(k, pl.Float64))) for k, v in lists.items()}
    return Ragged.of(pl.DataFrame(columns), lists)


def test_templates_alone_make_a_table():
    """With nothing but templates there is a column each, one for the unseen, one for ends, and the running count."""
    data = Ragged.of(sequences())
    table, columns = event_table(data)
    assert [c.group for c in columns] == ["template"] * (len(np.unique(data.ids)) + 1) + ["end", "count"]
    assert table.shape == (len(data.ids), len(columns))
    assert table.dtype == np.float32
    assert (table[:, :-3].sum(axis=1) == 1).all()
    own = {code: set(table[data.ids == code, :-3].argmax(axis=1)) for code in np.unique(data.ids)}
    assert sorted(x for one in own.values() for x in one) == list(range(len(own)))


def test_numbers_are_what_they_are_called():
    """Counts run within the unit, gaps are logarithms of seconds, numbers go to the column that the text names."""
    times = [[START, START + timedelta(seconds=2), START + timedelta(seconds=2)], [START + timedelta(hours=1)]]
    texts = ["took <*> ms", "exit code <*>", "heap at <*> percent", "saw <*> items"]
    data = units([[3, 3, 0], [1]], timestamps=times, levels=[[9, 0, 17], [9]], values=[[7.0, None, 12.0], [2.0]])
    found = numbers_of_events(data, texts)
    np.testing.assert_allclose(found["count"], np.log1p([1, 2, 1, 1]))
    np.testing.assert_allclose(found["gap"], [np.nan, np.log(2.001), np.log(0.001), np.nan])
    np.testing.assert_array_equal(found["level"], [9, np.nan, 17, 9])
    np.testing.assert_allclose(found["response time"], [np.nan, np.nan, np.arcsinh(12), np.nan])
    np.testing.assert_allclose(found["error code"], [np.nan, np.nan, np.nan, np.arcsinh(2)])
    np.testing.assert_allclose(found["number"], [np.arcsinh(7), np.nan, np.nan, np.nan])
    assert np.isnan(found["resource use"]).all()


def test_lists_of_codes_and_uses_have_columns_of_their_own():
    """Where error codes and use of resources come as lists, they need no text."""
    data = units([[0, 0, 1]], codes=[[200.0, 500.0, None]], usages=[[None, None, 43.0]])
    found = numbers_of_events(data)
    np.testing.assert_allclose(found["error code"], [np.arcsinh(200), np.arcsinh(500), np.nan])
    np.testing.assert_allclose(found["resource use"], [np.nan, np.nan, np.arcsinh(43)])


def test_fields_of_codes_and_uses_are_known_by_their_names():
    """Fields that hold numbers and are called like a code or a use of resources are found, the main number aside."""
    kinds = dict.fromkeys(("duration_ms", "http.status_code", "cpu", "mem_percent", "postcode", "user"), "number")
    assert number_fields(kinds, "duration_ms") == {"code": ["http.status_code"], "usage": ["cpu", "mem_percent"]}
    assert number_fields(kinds, "cpu")["usage"] == ["mem_percent"]
    assert number_fields({"status": "text"}, None) == {}


def test_units_of_a_log_carry_codes_and_uses(tmp_path):
    """Status codes and use of resources of a JSON log reach the table, the first that an event has."""
    line = '{{"time":"2026-03-01T06:00:{:02d}Z","level":"INFO","message":"{}",{}}}'
    some = [('"status":200,"duration_ms":7', "answered"), ('"cpu":40', "busy"), ('"mem":12,"cpu":3', "busy")]
    path = tmp_path / "app.jsonl"
    path.write_text("\n".join(line.format(i, text, fields) for i, (fields, text) in enumerate(some * 8)))
    intake = Intake(str(path), Options(window="3"))
    units, catalog = learn_units(intake, intake.grouping(), Sources())
    assert units["codes"][0].to_list() == [200, None, None]
    assert units["usages"][0].to_list()[1] == 40
    assert units["usages"][0].to_list()[2] in (3, 12)
    _, columns = event_table(Ragged.of(units, READS), catalog.texts)
    assert {"error code", "resource use"} <= {c.group for c in columns}


def test_the_clock_is_a_circle():
    """Six in the morning is a quarter of the way round."""
    table, columns = event_table(units([[0]], timestamps=[[START]]))
    at = {c.name: table[0, i] for i, c in enumerate(columns)}
    assert at["time of day sin"] == pytest.approx(1, abs=1e-6)
    assert at["time of day cos"] == pytest.approx(0, abs=1e-6)


def test_numbers_are_standardised_by_template():
    """Each template's own numbers have mean 0; one far off is cut; a template with none of its own uses all."""
    rng = np.random.default_rng(0)
    lists = [[0, 1]] * 400
    values = [[float(rng.normal(100, 5)), float(rng.normal(1e6, 1e5))] for _ in lists]
    data = units(lists, values=values)
    made = EventTable.learn(data)
    column = [c.name for c in made.columns].index("number")
    usual = made.rows(data)[:, column]
    for code in (0, 1):
        assert abs(usual[data.ids == code].mean()) < 0.1
        assert 0.3 < usual[data.ids == code].std() < 1.1
    far = made.rows(units([[0, 1, 0]], values=[[1e9, 1e6, -1e9]]))[:, column]
    assert far[[0, 2]].tolist() == [10, -10]
    assert abs(far[1]) < 1


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("java.io.IOException: Connection refused", {"error", "refusal"}),
        ("Failed password for <*> from <*>", {"failure", "access"}),
        ("request timed out after <*> ms", {"timeout"}),
        ("PacketResponder <*> for block <*> terminating", set()),
        ("order <*> paid", {"transaction"}),
        ("no terrors here, all formidable", set()),
        ("out of memory: killed process <*>", {"failure", "resource"}),
    ],
)
def test_keywords_are_whole_words(text, found):
    """Keywords are told by whole words of the text, identifiers split at their humps."""
    held = keywords([text])[0]
    assert {name for name, here in zip(KEYWORDS, held, strict=True) if here} == found


def test_keywords_stand_in_the_table():
    """With texts the table has a column a keyword, also for a template met after learning."""
    data = Ragged.from_lists([[0, 1], [0]])
    made = EventTable.learn(data, ["all well", "login failed"])
    at = [c.name for c in made.columns].index("keyword error")
    names = ["all well", "login failed", "fatal error"]
    rows = made.rows(Ragged.from_lists([[0, 1, 2]]), names)[:, at : at + len(KEYWORDS)]
    assert [set(np.array(list(KEYWORDS))[row > 0]) for row in rows] == [set(), {"failure", "access"}, {"error"}]


def test_templates_beyond_the_most_frequent_share_columns():
    """The table stays narrow however many templates there are; those never seen are marked."""
    data = Ragged.from_lists([[code] * (1 + (code < 64)) for code in range(500)])
    made = EventTable.learn(data)
    assert len(made.columns) == 64 + 16 + 3
    rows = made.rows(Ragged.from_lists([[0, 300, 9999]]))
    names = [c.name for c in made.columns]
    assert rows[0, :64].sum() == 1
    assert rows[1, 64:80].sum() == 1
    assert rows[2, :80].sum() == 0
    assert rows[2, names.index("unseen")] == 10


def test_a_restored_table_makes_the_same_rows():
    """Columns and scales survive being frames; what is absent at scoring is 0."""
    X = sequences(50)
    data = Ragged.of(X, [c for c in READS if c in X.columns])
    made = EventTable.learn(data)
    back = EventTable.restore(made.frames())
    assert back.columns == made.columns
    assert np.array_equal(back.rows(data), made.rows(data))
    bare = back.rows(Ragged.of(X))
    assert (bare[:, [c.group in ("gap", "level", "number", "time of day") for c in made.columns]] == 0).all()
    assert made.rows(Ragged.of(frame([[]]))).shape == (0, len(made.columns))

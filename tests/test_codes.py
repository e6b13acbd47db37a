"""Sequences of ids with further lists: what views read beside templates comes in through Python too."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from offbeat import Pipeline
from offbeat.codes import Ids, Sources, as_lists
from offbeat.errors import InputError
from offbeat.intake import Intake, Options

START = datetime(2026, 3, 1, tzinfo=UTC)


def sessions(slow: int | None = None, n: int = 60) -> pl.DataFrame:
    """Return sessions of four events a second or so apart; in one the third event comes an hour late."""
    rows = []
    for i in range(n):
        late = 3600 if i == slow else 0
        at = [START + timedelta(seconds=60 * i + s + 0.01 * (i % 7)) for s in (0, 1, 2 + late, 3 + late)]
        rows.append(
            {
                "key": f"s{i}",
                "start": at[0],
                "templates": ["open door", "read sign", "walk in", "shut door"],
                "timestamps": at,
                "levels": [9, 9, 9, 13],
                "sources": ["a", "b", "b", "a"],
                "values": [None, 1.0, 2.0, 3.0],
            }
        )
    return pl.DataFrame(rows, schema_overrides={"levels": pl.List(pl.UInt8)})


def test_further_lists_reach_the_views_that_read_them():
    """A session whose pauses are odd is found by the view of pauses, though its ids are like all others."""
    pipeline = Pipeline(detectors=["presence", "timing"]).fit(sessions())
    scores = pipeline.score(sessions(slow=41)).scores
    assert pipeline.fitted.absent == {}
    assert scores["key"][scores["timing"].arg_max()] == "s41"


def test_lists_keep_their_places_and_sources_become_codes():
    """Levels and numbers come through as they were; sources are numbered from 1 in the order they are met."""
    ids, sources = Ids(), Sources()
    made = Intake(sessions(n=3), Options()).sequences(ids, sources)
    assert made["sources"].to_list() == [[1, 2, 2, 1]] * 3
    assert sources.names == [None, "a", "b"]
    assert made["levels"].to_list()[0] == [9, 9, 9, 13]
    assert made["values"].to_list()[1] == [None, 1.0, 2.0, 3.0]
    assert made["start"].to_list()[2] == START + timedelta(minutes=2, milliseconds=20)


def test_a_list_of_another_length_is_refused():
    """The mistake is named with its row and both lengths."""
    frame = sessions(n=3).with_columns(values=pl.Series([[1.0] * 4, [1.0] * 3, [1.0] * 4]))
    with pytest.raises(InputError, match=r"column 'values': has 3 entries in row 2, whose sequence has 4"):
        Intake(frame, Options()).sequences(Ids())


def test_texts_handed_in_as_ids_are_known_to_detectors():
    """Ids of several words are texts and given to detectors as such; mere names are not."""
    assert Pipeline(detectors=["presence"]).fit(sessions()).fitted.views["presence"].texts[0] == "open door"
    names = pl.DataFrame({"templates": [["E1", "E2"]] * 30})
    assert not Pipeline(detectors=["presence"]).fit(names).fitted.views["presence"].texts


def test_cutting_into_lists_keeps_empty_ones():
    """What was exploded comes back, with its empty lists."""
    made = as_lists(pl.Series([1, 2, 3], dtype=pl.UInt32), np.array([0, 2, 0, 1]))
    assert made.to_list() == [[], [1, 2], [], [3]]

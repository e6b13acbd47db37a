"""Views whose score is the largest over templates: what a template's count says of every sequence with that count."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import frame, labels, sequences

from offbeat.detect import DETECTORS, Length, Ragged
from offbeat.detect.parts import ByTemplate
from offbeat.detect.vectors import ByVector

FITTED = [made().fit(sequences()) for made in DETECTORS.values() if issubclass(made, ByTemplate)]


@pytest.mark.parametrize("view", FITTED, ids=lambda view: view.name)
@settings(max_examples=60, deadline=None)
@given(one=st.lists(st.integers(0, 12), max_size=30))
def test_no_sequence_scores_less_than_one_of_its_counts(view, one):
    """Whatever else a sequence holds, it scores at least what each of its counts gives alone, nought included."""
    every = np.arange(13)
    alone = view.of_counts(every, np.bincount(one, minlength=13).astype(np.int64))
    assert view.anomaly_score(frame([one]))[0] >= alone.max() - 1e-9


OF_COUNTS = [made for made in DETECTORS.values() if issubclass(made, ByTemplate | ByVector | Length)]


@pytest.mark.parametrize("made", OF_COUNTS, ids=lambda made: made.name)
def test_views_of_counts_know_no_order(made):
    """What is worked out for counts holds for every order of their events, for what is usual and what is not."""
    X = sequences()
    view = made().fit(X, labels(X) if made.supervised else None)
    lists = [*X["templates"].to_list(), [9, 1, 1, 0, 9]]
    mixed = [random.Random(i).sample(one, len(one)) for i, one in enumerate(lists)]
    np.testing.assert_allclose(view.anomaly_score(frame(lists)), view.anomaly_score(frame(mixed)))


def test_the_largest_count_makes_the_score():
    """Presence and counts give no more than their worst template does, so that nothing less is said than can be."""
    for view in FITTED:
        if view.name == "new-template":
            continue  # it adds up what is new
        for one in ([0, 1, 2, 3, 4], [0, 1, 1, 1], [9, 9, 0]):
            size = Ragged.of(sequences()).size + 2
            alone = view.of_counts(np.arange(size), np.bincount(one, minlength=size).astype(np.int64))
            assert view.anomaly_score(frame([one]))[0] == pytest.approx(alone.max())

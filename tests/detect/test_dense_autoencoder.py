"""The dense autoencoder: vectors of counts and features, ONNX as torch, and what it notices."""

import numpy as np
import polars as pl
import pytest
import torch
from samples import frame

from offbeat.detect import Autoencoder
from offbeat.detect.nets.dense import DenseAutoencoder, dense_graph
from offbeat.detect.neural import open_network

KINDS = [[0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5, 1, 2], [0, 6, 6, 5]]


def bare(lists):
    """Return sequences with nothing but templates."""
    return pl.DataFrame({"templates": pl.Series(lists, dtype=pl.List(pl.UInt32))})


@pytest.fixture(scope="module")
def learned():
    """A dense autoencoder that has read three kinds of sequences."""
    rng = np.random.default_rng(0)
    return Autoencoder(learning_rate=1e-2, batch=8).fit(bare([KINDS[i] for i in rng.integers(0, 3, 300)]))


def test_onnx_says_what_torch_says():
    """Squared errors are the torch network's."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = DenseAutoencoder(5, 7, 2)
    vectors = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    ours = open_network(dense_graph(net, 5)).run(["error"], {"vectors": vectors})[0]
    with torch.no_grad():
        expected = (net(torch.tensor(vectors)) - torch.tensor(vectors)) ** 2
    np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)


def test_mixes_that_do_not_go_together_are_noticed(learned):
    """Missing, repeated, new, and templates of two kinds together score above all that is usual; order is not seen."""
    usual = learned.anomaly_score(bare(KINDS))
    odd = [[0, 1, 2, 4, 5], [0, 1, 2, 3, 3, 3, 3, 4, 5], [0, 1, 2, 3, 77, 4, 5], [0, 1, 2, 3, 4, 5, 6, 6]]
    assert learned.anomaly_score(bare(odd)).min() > 3 * usual.max()
    found = learned.evidence(bare(odd[:3]))
    assert found["kind"].to_list() == ["missing event", "count", "new pattern"]
    assert found["template"].to_list() == [3, 3, 77]
    one, other = learned.anomaly_score(bare([KINDS[0], KINDS[0][::-1]]))
    assert one == other
    assert usual.max() <= learned.quantile_ * 1.01
    assert learned.threshold_ == pytest.approx(learned.mean_ + 3 * learned.sd_)


def test_numbers_and_pauses_of_events_count():
    """Where there are numbers and times, the event that is furthest out is named with what is usual."""
    rng = np.random.default_rng(0)
    made = frame([[0, 1, 2, 3]] * 150)
    values = [[None, 50.0 + float(x), None, None] for x in rng.normal(0, 2, 150)]
    X = made.with_columns(values=pl.Series(values, dtype=pl.List(pl.Float64)))
    learned = Autoencoder(epochs=60, batch=16, learning_rate=1e-2).fit(X)
    times = pl.col("timestamps").list
    later = times.tail(2).list.eval(pl.element().dt.offset_by("1h"))
    late = X[:1].with_columns(timestamps=pl.concat_list(times.head(2), later))
    large = X[:1].with_columns(values=pl.Series([[None, 9000.0, None, None]], dtype=pl.List(pl.Float64)))
    odd = pl.concat([late, large])
    assert learned.anomaly_score(odd).min() > 2 * learned.anomaly_score(X).max()
    found = learned.evidence(odd)
    assert found["kind"].to_list() == ["latency", "value"]
    assert found["event"].to_list() == [2, 1]
    assert found["seen"].to_list() == pytest.approx([3603, 9000], rel=0.01)
    assert found["usual"].to_list() == pytest.approx([3, 50], rel=0.1)


def test_many_units_are_scored_in_parts(learned):
    """More units than are laid out at once score as each does alone."""
    rng = np.random.default_rng(1)
    lists = [rng.integers(0, 7, rng.integers(1, 9)).tolist() for _ in range(9000)]
    scores = learned.anomaly_score(bare(lists)).to_numpy()
    some = [0, 4095, 4096, 8999]
    np.testing.assert_allclose(scores[some], learned.anomaly_score(bare([lists[i] for i in some])), rtol=1e-4)

"""Autoencoders over the feature table: ONNX as torch, chunks and padding, and what they notice."""

import numpy as np
import polars as pl
import pytest
import torch
from samples import frame, sequences

from offbeat.detect import CNNAutoencoder, LSTMAutoencoder, Ragged
from offbeat.detect.nets import reconstruct
from offbeat.detect.neural import open_network
from offbeat.detect.reconstruction import CHUNK, Framed, weighted_quantiles

USUAL = [0, 1, 2, 3, 4, 5, 6, 7]
NETS = [lambda: reconstruct.LSTMAutoencoder(5, 6, 3), lambda: reconstruct.CNNAutoencoder(5, 6, 3, 5)]


def bare(lists):
    """Return sequences with nothing but templates."""
    return pl.DataFrame({"templates": pl.Series(lists, dtype=pl.List(pl.UInt32))})


@pytest.fixture(scope="module", params=[LSTMAutoencoder, CNNAutoencoder], ids=lambda kind: kind.__name__)
def learned(request):
    """Each autoencoder, having read a few kinds of sequences."""
    rng = np.random.default_rng(0)
    kinds = [USUAL, [0, 1, 3, 2, 4, 5, 6, 7], [0, 1, 2, 3, 4, 8, 6, 7]]
    lists = [kinds[i] for i in rng.integers(0, 3, 200)]
    return request.param(epochs=100, hidden=24, batch=8, learning_rate=1e-2).fit(bare(lists))


@pytest.mark.parametrize("net", NETS, ids=["lstm", "cnn"])
@pytest.mark.parametrize("time", [1, 2, 7, 8])
def test_onnx_says_what_torch_says(net, time):
    """Squared errors are the torch network's, for pieces of any length, and padding changes nothing."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = net().eval()
        for weight in made.parameters():
            torch.nn.init.normal_(weight, std=0.4)
    rng = np.random.default_rng(0)
    lengths = np.array([time, max(time - 1, 1), max(time // 2, 1)], np.int32)
    table = rng.normal(size=(3, time, 5)).astype(np.float32)
    table[np.arange(time) >= lengths[:, None]] = 0
    session = open_network(reconstruct.reconstruction_graph(made, 5))
    ours = session.run(["error"], {"table": table, "lengths": lengths})[0]
    with torch.no_grad():
        for i, n in enumerate(lengths):
            alone = torch.tensor(table[i : i + 1, :n])
            expected = (made(alone, torch.tensor([n])) - alone) ** 2
            np.testing.assert_allclose(ours[i, :n], expected[0].numpy(), rtol=1e-5, atol=1e-5)


def test_units_are_framed_and_cut():
    """Each unit ends with a row that says so; no chunk holds more than CHUNK events, and only the last an end."""
    lists = [[1], [], [0] * CHUNK, [1] * (CHUNK + 1), [0] * (3 * CHUNK + 7)]
    made = LSTMAutoencoder(epochs=3, hidden=8, batch=16).fit(bare(lists))
    framed = Framed.of(Ragged.of(bare(lists)), made.table_, ())
    assert len(framed.table) == sum(len(one) + 1 for one in lists)
    ends = np.flatnonzero(framed.table[:, made.table_.end])
    assert ends.tolist() == framed.ends.tolist()
    assert framed.unit[framed.ends].tolist() == [0, 1, 2, 3, 4]
    assert framed.owner.tolist() == [0, 1, 2, 3, 3, 4, 4, 4, 4]
    assert framed.chunks.lengths.tolist() == [2, 1, CHUNK + 1, CHUNK, 2, CHUNK, CHUNK, CHUNK, 8]
    assert np.isfinite(made.anomaly_score(bare(lists)).to_numpy()).all()


def test_what_does_not_fit_is_named(learned):
    """Swapped events, one too many, and an end too soon score more than all that is usual, and are found."""
    usual = learned.anomaly_score(bare([USUAL, [0, 1, 3, 2, 4, 5, 6, 7]])).max()
    odd = [[0, 1, 2, 3, 4, 6, 5, 7], [0, 1, 2, 3, 4, 5, 5, 6, 7], USUAL[:5]]
    scores = learned.anomaly_score(bare(odd)).to_list()
    assert min(scores) > 1.5 * usual
    found = learned.evidence(bare([*odd, [0, 1, 77, 3, 4, 5, 6, 7]]))
    assert found["kind"].to_list() == ["misfit", "misfit", "end", "misfit"]
    assert found["event"][0] in (4, 5, 6, 7)
    assert found["event"][1] in (5, 6, 7)
    assert (found["event"][2], found["event"][3]) == (4, 2)
    assert found["share"].max() < 0.05


def test_scores_per_event(learned):
    """Each event has a distance; that of a template never seen is the largest."""
    lists = [USUAL, [0, 1, 77, 3, 4, 5, 6, 7], []]
    scores = learned.event_scores(bare(lists)).to_list()
    assert [len(one) for one in scores] == [8, 8, 0]
    assert int(np.argmax(scores[1])) == 2
    assert max(scores[1]) > 10 * max(scores[0])


def test_thresholds_come_from_the_errors_in_validation(learned):
    """Both thresholds follow from the kept distribution, and usual units lie below."""
    assert learned.threshold_ == pytest.approx(learned.mean_ + 3 * learned.sd_)
    kept = dict(learned.errors_.iter_rows())
    assert learned.quantile_ == kept[0.99]
    assert list(kept.values()) == sorted(kept.values())
    assert kept[0.0] <= learned.mean_ <= kept[1.0]
    usual = learned.anomaly_score(bare([USUAL]))[0]
    assert usual <= learned.threshold_ < learned.anomaly_score(bare([[7, 6, 5, 4, 3]]))[0]
    shares = learned.share_as_bad(np.array([0.0, kept[0.5], kept[1.0], kept[1.0] * 2]))
    assert shares[0] == 1
    assert shares[-1] == 0
    assert (np.diff(shares) <= 0).all()


def test_more_than_templates_is_read_where_it_is():
    """An event that comes late, and a number out of range, are named as what they are."""
    rng = np.random.default_rng(0)
    lists = [[0, 1, 2, 3]] * 150
    made = frame(lists)
    values = [[None, 50.0 + float(x), None, None] for x in rng.normal(0, 2, 150)]
    X = made.with_columns(values=pl.Series(values, dtype=pl.List(pl.Float64)))
    learned = LSTMAutoencoder(epochs=60, hidden=16, batch=16, learning_rate=1e-2).fit(X)
    assert set(learned.reads_) == {"timestamps", "levels", "values"}
    times = pl.col("timestamps").list
    later = times.tail(2).list.eval(pl.element().dt.offset_by("1h"))
    late = X[:1].with_columns(timestamps=pl.concat_list(times.head(2), later))
    large = X[:1].with_columns(values=pl.Series([[None, 9000.0, None, None]], dtype=pl.List(pl.Float64)))
    usual = learned.anomaly_score(X[:20]).max()
    found = learned.evidence(pl.concat([late, large]))
    assert learned.anomaly_score(pl.concat([late, large])).min() > 2 * usual
    assert found["kind"].to_list() == ["latency", "value"]
    assert found["event"].to_list() == [2, 1]
    assert found["seen"].to_list() == pytest.approx([3603, 9000], rel=0.01)
    assert found["usual"].to_list() == pytest.approx([3, 50], rel=0.1)


def test_templates_alone_are_scored_once_each():
    """Where there are templates alone nothing else is read, and the feature table has nothing else."""
    made = LSTMAutoencoder(epochs=3, hidden=8, batch=16).fit(bare(sequences(40)["templates"].to_list()))
    assert made.reads_ == ()
    assert {c.group for c in made.table_.columns} == {"template", "end", "count"}


def test_weighted_quantiles():
    """A value that stands for many counts as many."""
    values, weight = np.array([3.0, 1.0, 2.0]), np.array([1.0, 8.0, 1.0])
    assert weighted_quantiles(values, weight, np.array([0.0, 0.5, 0.8, 0.85, 0.95, 1.0])).tolist() == [1, 1, 1, 2, 3, 3]

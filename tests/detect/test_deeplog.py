"""DeepLog: candidates for the next event, intervals for the next number."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from samples import SMALL, frame, sequences

from offbeat.detect import DeepLog, Ragged
from offbeat.detect.histories import distinct_rows, histories
from offbeat.detect.nets.key_model import KeyModel, key_graph
from offbeat.detect.nets.value_model import ValueModel, value_graph
from offbeat.detect.neural import open_network
from offbeat.detect.padded import PAD

USUAL = [0, 1, 2, 3, 4, 5, 6, 7]


def bare(lists):
    """Return sequences with nothing but templates."""
    return pl.DataFrame({"templates": pl.Series(lists, dtype=pl.List(pl.UInt32))})


@pytest.fixture(scope="module")
def learned():
    """DeepLog that has read one sequence again and again, with one candidate."""
    return DeepLog(window=4, top=1, hidden=24, embedding=8, epochs=60, batch=32).fit(bare([USUAL] * 90))


def test_histories_hold_what_came_before():
    """Each event and each end finds its own history, filled up at the start; weights are counted."""
    lists = [[3, 1, 4], [], [1], [3, 1, 4], [5, 9, 2, 6, 5]]
    data = Ragged.of(bare(lists).with_columns(weight=pl.Series([1.0, 2.0, 3.0, 4.0, 5.0])))
    known = histories(data, data.ids + 2, 3)
    pairs = [(one[:i], [*one, None][i]) for one in lists for i in range(len(one))]
    pairs += [(one, None) for one in lists]
    for at, (before, following) in zip(known.index, pairs, strict=True):
        wanted = [PAD] * 3 + [x + 2 for x in before]
        assert known.before[at].tolist() == wanted[-3:]
        assert known.next[at] == (PAD if following is None else following + 2)
    assert len(known) == len({(tuple(b[-3:]) if len(b) >= 3 else (len(b), *b), f) for b, f in pairs})
    assert known.weight.sum() == (data.weight * (data.lengths + 1)).sum()


def test_distinct_rows_come_in_order():
    """The first of each distinct row is named in order of arrival."""
    table = np.array([[2, 1], [300, 0], [2, 1], [0, 300], [300, 0]], dtype=np.int16)
    first, index = distinct_rows(table)
    assert first.tolist() == [0, 1, 3]
    assert index.tolist() == [0, 1, 0, 2, 1]


def test_the_key_model_in_onnx_says_what_torch_says():
    """Ln p, rank and the whole distribution are those of the torch network."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = KeyModel(7, 4, 5, 2)
        for weight in net.parameters():
            torch.nn.init.normal_(weight, std=0.7)
    rng = np.random.default_rng(0)
    before, following = rng.integers(0, 7, (50, 4)), rng.integers(0, 7, 50)
    log_p, rank, every = open_network(key_graph(net, 4)).run(
        ["log_p", "rank", "all"], {"before": before, "next": following}
    )
    with torch.no_grad():
        expected = torch.log_softmax(net(torch.tensor(before)), dim=1).numpy()
    np.testing.assert_allclose(every, expected, atol=1e-5)
    own = expected[np.arange(50), following]
    np.testing.assert_allclose(log_p, own, atol=1e-5)
    assert rank.tolist() == (expected > own[:, None]).sum(axis=1).tolist()


def test_the_value_model_in_onnx_says_what_torch_says():
    """Every template's own LSTM predicts what it does in torch, and what torch's LSTM of these weights does."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = ValueModel(3, 5)
    rng = np.random.default_rng(0)
    template, before = rng.integers(0, 3, 40), rng.normal(size=(40, 6)).astype(np.float32)
    ours = open_network(value_graph(net, 6)).run(["value"], {"template": template, "before": before})[0]
    with torch.no_grad():
        expected = net(torch.tensor(template), torch.tensor(before))
        np.testing.assert_allclose(ours, expected.numpy(), atol=1e-5)
        layer = torch.nn.LSTM(1, 5, batch_first=True)
        layer.weight_ih_l0.copy_(net.weight[1, :, :1])
        layer.weight_hh_l0.copy_(net.weight[1, :, 1:])
        layer.bias_ih_l0.copy_(net.bias[1])
        layer.bias_hh_l0.zero_()
        state = layer(torch.tensor(before[template == 1])[:, :, None])[0][:, -1]
        np.testing.assert_allclose(ours[template == 1], state @ net.out[1] + net.offset[1], atol=1e-5)


def test_above_top_is_the_papers_rule(learned):
    """A sequence scores above ``top`` exactly if an event, or its end, is not among the candidates."""
    for codes in (USUAL, [0, 1, 2, 4, 3, 5, 6, 7], [0, 1, 2, 3], USUAL[:6], [*USUAL, 0, 1], USUAL[1:]):
        missed = len(codes) <= 4
        for place in range(len(codes) + 1):
            actual = [*codes, None][place]
            candidates = [code for code, _ in learned.expected(codes, place, k=1)]
            missed |= actual not in candidates
        assert (learned.anomaly_score(bare([codes]))[0] > learned.top) == missed, codes


def test_it_notices_order_and_names_the_event(learned):
    """Neighbours swapped are named; a template never seen scores most and is named as new."""
    found = learned.evidence(bare([[0, 1, 2, 4, 3, 5, 6, 7], [0, 1, 99, 3, 4, 5, 6, 7]]))
    assert found["kind"].to_list() == ["order", "new pattern"]
    # Either of the two that were swapped.
    assert found["event"][0] in (3, 4)
    assert found["event"][1] == 2
    usual, swapped, new = learned.anomaly_score(bare([USUAL, [0, 1, 2, 4, 3, 5, 6, 7], [0, 1, 99, 3, 4, 5, 6, 7]]))
    assert usual < learned.top < swapped < new
    scores = learned.event_scores(bare([USUAL, [0, 1, 99, 3, 4, 5], []])).to_list()
    assert [len(one) for one in scores] == [8, 6, 0]
    assert max(scores[1]) == scores[1][2] == new


def test_an_end_before_its_time_is_noticed(learned):
    """What ends in the middle is stranger than what does not, and its end is named."""
    whole, cut = learned.anomaly_score(bare([USUAL, USUAL[:6]]))
    assert whole < learned.top < cut
    assert learned.evidence(bare([USUAL[:6]])).row(0, named=True)["kind"] == "end"
    # Fewer events than a window, and than any sequence learned from.
    assert learned.anomaly_score(bare([[0, 1, 2]]))[0] > learned.top


def numbers(values, lists):
    """Return sequences with numbers."""
    return bare(lists).with_columns(values=pl.Series(values, dtype=pl.List(pl.Float64)))


def test_numbers_are_predicted_from_those_before():
    """A number that continues its unit's series passes; one that does not is named, though it is a usual number."""
    rng = np.random.default_rng(0)
    lists = [[0, 1, 0, 1, 0, 1, 0, 1]] * 60
    levels = [rng.choice([10.0, 90.0]) + rng.normal(0, 0.5, 4) for _ in lists]
    values = [[x for level in one for x in (None, float(level))] for one in levels]
    made = DeepLog(epochs=60, hidden=16, embedding=8, batch=32, top=3).fit(numbers(values, lists))
    steady = [None, 90.0, None, 90.3, None, 89.8, None, 90.1]
    jumps = [None, 90.0, None, 90.3, None, 10.0, None, 90.1]
    far = [None, 90.0, None, 90.3, None, 5000.0, None, 90.1]
    scores = made.anomaly_score(numbers([steady, jumps, far], lists[:3])).to_list()
    assert scores[0] < made.top < scores[1] < scores[2]
    row = made.evidence(numbers([steady, jumps, far], lists[:3])).row(1, named=True)
    assert (row["kind"], row["event"], row["template"], row["seen"]) == ("value", 5, 1, 10.0)
    assert row["share"] < 0.01
    # Without numbers the templates are judged alone.
    assert made.anomaly_score(bare(lists[:1]))[0] < made.top


def test_numbers_are_left_out_where_there_are_none():
    """A column without any number, or with few, is no column."""
    one = DeepLog(**SMALL).fit(sequences(60).drop("values"))
    assert one.reads_ == ()
    assert list(one.networks_) == ["network"]
    two = DeepLog(**SMALL).fit(sequences(60).with_columns(values=pl.col("values").list.eval(pl.lit(None, pl.Float64))))
    assert two.reads_ == ()
    assert one.networks_ == two.networks_
    few = DeepLog(**SMALL).fit(sequences(4))
    assert list(few.networks_) == ["network"]
    assert math.isfinite(few.anomaly_score(frame([[0, 1]]))[0])

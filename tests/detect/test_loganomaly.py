"""LogAnomaly: two LSTMs side by side, and templates read by what they mean."""

import numpy as np
import polars as pl
import pytest
import torch

from offbeat.detect import LogAnomaly
from offbeat.detect.nets.key_model import PairModel, key_graph
from offbeat.detect.neural import open_network

USUAL = [0, 1, 2, 3, 4, 5, 6, 7]
TEXTS = [
    "connection from <*> opened",
    "user <*> authenticated",
    "reading file <*>",
    "sending block <*> to <*>",
    "checksum of <*> verified",
    "replica <*> stored",
    "transfer finished in <*> ms",
    "connection to <*> closed",
]
QUICK = {"epochs": 40, "hidden": 16, "embedding": 8, "dimensions": 8, "batch": 16, "window": 4}


def bare(lists):
    """Return sequences with nothing but templates."""
    return pl.DataFrame({"templates": pl.Series(lists, dtype=pl.List(pl.UInt32))})


@pytest.fixture(scope="module")
def learned():
    """LogAnomaly that has read one sequence of templates with texts again and again."""
    made = LogAnomaly(**QUICK, top=1)
    made.texts = TEXTS
    return made.fit(bare([USUAL] * 90))


def test_onnx_says_what_torch_says():
    """Ln p, rank and the whole distribution are those of the torch network, counts included."""
    rng = np.random.default_rng(0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = PairModel(rng.normal(size=(7, 3)).astype(np.float32), 4, 5, 2)
        for weight in net.parameters():
            if weight.requires_grad:
                torch.nn.init.normal_(weight, std=0.5)
    before, following = rng.integers(0, 7, (50, 4)), rng.integers(0, 7, 50)
    session = open_network(key_graph(net, 4))
    log_p, rank, every = session.run(["log_p", "rank", "all"], {"before": before, "next": following})
    with torch.no_grad():
        expected = torch.log_softmax(net(torch.tensor(before)), dim=1).numpy()
    np.testing.assert_allclose(every, expected, atol=1e-5)
    own = expected[np.arange(50), following]
    np.testing.assert_allclose(log_p, own, atol=1e-5)
    assert rank.tolist() == (expected > own[:, None]).sum(axis=1).tolist()


def test_vectors_of_templates_stay_as_they_are():
    """Training changes every weight but the templates' vectors."""
    vectors = np.eye(4, 3, dtype=np.float32)
    net = PairModel(vectors, 2, 3, 1)
    assert [name for name, weight in net.named_parameters() if not weight.requires_grad] == ["vectors.weight"]
    assert np.array_equal(net.vectors.weight.numpy(), vectors)


def test_another_wording_is_read_as_the_one_it_means(learned):
    """A template whose words changed a little passes; one that says something else does not."""
    learned.texts = [*TEXTS, "the checksum of <*> is verified", "kernel panic: attempted to kill init"]
    usual, reworded, strange = learned.anomaly_score(
        bare([USUAL, [0, 1, 2, 3, 8, 5, 6, 7], [0, 1, 2, 3, 9, 5, 6, 7]])
    ).to_list()
    learned.texts = TEXTS
    assert reworded == usual < learned.top < strange


def test_without_its_text_a_new_template_is_strange(learned):
    """A new template that nothing is known of is never a candidate, and is named."""
    odd = bare([[0, 1, 2, 3, 99, 5, 6, 7]])
    assert learned.anomaly_score(odd)[0] > learned.top + 40
    assert learned.evidence(odd).row(0, named=True)["kind"] == "new pattern"
    assert learned.evidence(odd)["event"][0] == 4


def test_it_notices_order_and_count(learned):
    """Swapped neighbours and an event too many are found; what is expected instead is told."""
    odd = bare([[0, 1, 2, 4, 3, 5, 6, 7], [0, 1, 2, 3, 4, 4, 5, 6, 7]])
    assert learned.anomaly_score(bare([USUAL]))[0] < learned.top
    assert (learned.anomaly_score(odd) > learned.top).all()
    place = learned.event_scores(odd).list.eval(pl.element() > learned.top).list.arg_max().to_list()
    assert place == [3, 5]
    assert learned.expected([0, 1, 2], 3, k=1)[0][0] == 3

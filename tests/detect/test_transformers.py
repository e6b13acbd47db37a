"""Networks that attend to both sides of an event: what they find odd, and what ONNX makes of torch."""

import numpy as np
import pytest
import torch
from samples import frame

from offbeat.detect import LogBERT, Logsy, Ragged
from offbeat.detect.auxiliary import Auxiliary, as_tokens, read_lines
from offbeat.detect.nets import logbert, logsy
from offbeat.detect.nets.trainer import seeded
from offbeat.detect.padded import Vocabulary
from offbeat.errors import OptionError

QUICK = {"embedding": 16, "hidden": 32, "layers": 1, "batch": 16, "learning_rate": 0.01, "epochs": 30}
USUAL = [[0, 1, 2, 3, 4], [0, 1, 2, 5, 4], [0, 1, 2, 2, 3, 4]]
ODD = [[0, 2, 1, 3, 4], [4, 1, 2, 3, 0], [0, 4, 2, 3, 1]]
TOKENS = np.array([[2, 3, 4, 5, 3, 2], [4, 4, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0]])


@pytest.fixture(scope="module")
def bert():
    """LogBERT, having learned the usual sequences."""
    return LogBERT(**QUICK, candidates=2).fit(frame(USUAL * 20))


def test_what_is_out_of_place_scores_higher(bert):
    """The usual events in another order are stranger than any usual sequence."""
    scores = bert.anomaly_score(frame(USUAL + ODD)).to_numpy()
    assert scores[len(USUAL) :].min() > scores[: len(USUAL)].max() + 1


def test_misses_are_the_papers_rule(bert):
    """No usual event is a miss, swapped ones are, and one that training did not hold always is."""
    misses = bert.misses(frame([*USUAL, [0, 2, 1, 3, 4], [0, 1, 2, 77, 3, 4]])).to_list()
    assert misses[:3] == [0, 0, 0]
    assert misses[3] >= 1
    assert misses[4] >= 1


def test_the_event_out_of_place_is_named(bert):
    """Evidence is the event least expected there, with its probability; one never seen comes first."""
    swapped, new = bert.evidence(frame([[0, 1, 2, 0, 4], [0, 1, 77, 3, 4]])).rows(named=True)
    assert (swapped["kind"], swapped["event"], swapped["template"]) == ("order", 3, 0)
    assert swapped["share"] < 0.2
    assert (new["kind"], new["event"], new["template"], new["share"]) == ("new pattern", 2, 77, 0)


def test_what_was_expected_is_known(bert):
    """In a place between known neighbours the events that stood there are the most likely ones."""
    best = bert.expected([0, 1, 2, 9, 4], 3)
    assert {code for code, _ in best[:2]} == {3, 5}
    assert 0.5 < sum(p for _, p in best) <= 1 + 1e-6


def test_each_event_has_its_score(bert):
    """There is a surprise an event; the largest of them is in the score."""
    X = frame([[0, 1, 2, 0, 4], [0, 77]])
    scores, whole = bert.event_scores(X), bert.anomaly_score(X)
    assert [len(one) for one in scores] == [5, 2]
    assert all(max(one) <= score + 1e-9 for one, score in zip(scores, whole, strict=True))


@pytest.fixture(scope="module")
def sphere():
    """Logsy, having learned the usual sequences."""
    return Logsy(**QUICK).fit(frame(USUAL * 20))


def test_what_is_unlike_the_rest_lies_further_out(sphere):
    """Usual events far from their places, or too few of them, lie further from the centre than any usual sequence."""
    scores = sphere.anomaly_score(frame([*USUAL, *ODD[1:], [0, 1], [7, 7, 7]])).to_numpy()
    assert scores[len(USUAL) :].min() > scores[: len(USUAL)].max()
    assert scores[: len(USUAL)].max() < np.log(2), "more probably normal than not"


def test_events_without_which_it_would_be_normal(sphere):
    """An event's score is by how much the distance falls without it, and the one that was put in has the largest."""
    (parts,) = sphere.event_scores(frame([[0, 1, 2, 3, 0, 4]]))
    whole, without = sphere.anomaly_score(frame([[0, 1, 2, 3, 0, 4], [0, 1, 2, 3, 4]]))
    assert whole > without
    assert len(parts) == 6
    assert sphere.evidence(frame([[0, 1, 77, 4]])).row(0, named=True)["kind"] == "new pattern"


def test_logs_of_another_system_are_the_other_class(tmp_path):
    """With an auxiliary log a template of its words is strange, and one of the user's own words is less so."""
    texts = ["open file <*>", "read block <*>", "sync block <*>", "write block <*>", "close file <*>", "flush file <*>"]
    path = tmp_path / "other.log"
    path.write_text("\n".join(["12:00 kernel: usb device failure", "12:01 sshd: invalid user root"] * 40))
    made = Logsy(**QUICK, auxiliary=str(path))
    made.texts = [*texts, "usb failure of device <*>", "read file block <*>"]
    made.fit(frame(USUAL * 20))
    usual, other, reworded = made.anomaly_score(frame([[0, 1, 2, 3, 4], [0, 1, 2, 6, 4], [0, 7, 2, 3, 4]]))
    assert usual < reworded < other


def test_an_auxiliary_log_that_is_of_no_use_is_said(tmp_path):
    """A file that is absent or without words, and a file where templates have no words, are the user's mistakes."""
    with pytest.raises(OptionError, match="only ids are known"):
        Logsy(auxiliary="x").fit(frame(USUAL))
    with pytest.raises(OptionError, match="cannot be read"):
        read_lines(str(tmp_path / "none.log"))
    (tmp_path / "numbers.log").write_text("1 2 3\n")
    with pytest.raises(OptionError, match="no line with words"):
        read_lines(str(tmp_path / "numbers.log"))


def test_made_sequences_are_none_of_the_users():
    """Whatever is altered, by chance it may come back to a usual sequence; such ones are not given out."""
    data = Ragged.from_lists([[2, 2], [2, 2, 2], [2], [], [2, 3]])
    made = Auxiliary(data, known=as_tokens(2, 2), strangers=as_tokens(5, 10), other=np.zeros(0, dtype=np.int64))
    usual = {(2, 2), (2, 2, 2), (2,), (), (2, 3)}
    rng = np.random.default_rng(0)
    found = [tuple(one.tolist()) for _ in range(200) for one in made.make(np.arange(5), rng)]
    assert not usual & set(found)
    assert len(set(found)) > 50


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"mask": 1.0}, "mask.*below one"),
        ({"dropout": 2.0}, "dropout.*below one"),
        ({"heads": 7}, "embedding.*7 heads"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(params, says):
    """Parameters that no network can be made of are refused with their name."""
    with pytest.raises(OptionError, match=says):
        LogBERT(**params).fit(frame(USUAL))
    params.pop("mask", None)
    if params:
        with pytest.raises(OptionError, match=says):
            Logsy(**params).fit(frame(USUAL))


def test_the_masked_encoder_is_the_same_in_onnx():
    """ONNX Runtime gives torch's log-probabilities, ranks and distances to 1e-5, whatever the padding."""
    plan = logbert.Plan(embedding=8, hidden=16, heads=2, layers=2, dropout=0.1, mask=0.2, alpha=0.1, batch=8)
    with seeded(0):
        net = logbert.MaskedEncoder(6, 10, plan).eval()
        net.centre += torch.rand(8)
    made = LogBERT()
    made.networks_, made.vocabulary_ = {"network": logbert.to_onnx(net)}, Vocabulary(np.arange(4))
    read = np.concatenate([np.full((3, 1), net.first), TOKENS], axis=1)
    with torch.no_grad():
        logits, whole = net(torch.from_numpy(read))
    expected = torch.log_softmax(logits, dim=2).numpy()
    log_p, rank, distance = made._run(["log_p", "rank", "distance"], {"read": read, "actual": TOKENS})
    picked = np.take_along_axis(expected, TOKENS[:, :, None], axis=2)
    inside = TOKENS > 0
    np.testing.assert_allclose(log_p[inside], picked[:, :, 0][inside], atol=1e-5)
    assert (rank[inside] == (expected > picked).sum(axis=2)[inside]).all()
    np.testing.assert_allclose(distance, ((whole - net.centre) ** 2).sum(dim=1).numpy(), atol=1e-5)


def test_the_sphere_is_the_same_in_onnx():
    """ONNX Runtime gives torch's squared distances to 1e-5, whatever the padding."""
    plan = logsy.Plan(embedding=8, hidden=16, heads=2, layers=2, dropout=0.1, batch=8)
    table = np.random.default_rng(0).standard_normal((6, 5)).astype(np.float32)
    with seeded(0):
        net = logsy.SphereEncoder(table, 10, plan).eval()
    made = Logsy()
    made.networks_ = {"network": logsy.to_onnx(net)}
    with torch.no_grad():
        expected = net(torch.from_numpy(TOKENS)).numpy()
    (squared,) = made._run(["squared"], {"vectors": table[TOKENS], "inside": TOKENS > 0})
    np.testing.assert_allclose(squared, expected, rtol=1e-5, atol=1e-5)

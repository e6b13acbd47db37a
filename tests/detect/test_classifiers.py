"""Networks that learn from labels: what they tell apart, what they make of an event, and what ONNX makes of torch."""

import numpy as np
import polars as pl
import pytest
import torch
from samples import frame

from offbeat.detect import CNN, DETECTORS, LogRobust, LSTMClassifier, Ragged
from offbeat.detect.classifier import Classifier
from offbeat.detect.meaning import Meaning
from offbeat.detect.nets import cnn, logrobust, lstm_classifier
from offbeat.detect.nets.trainer import seeded
from offbeat.detect.occlusion import occlusion
from offbeat.detect.padded import PAD, UNKNOWN, Vocabulary, cut, groups, pad
from offbeat.errors import OptionError

QUICK = {"embedding": 8, "hidden": 16, "batch": 16, "epochs": 30, "learning_rate": 0.01}
#: Normal sequences end in 3; anomalous ones hold the same events, but 2 before 1.
NORMAL = [[0, 1, 2, 3], [0, 0, 1, 2, 3], [0, 1, 2, 2, 3], [0, 1, 2, 1, 2, 3]]
ANOMALOUS = [[0, 2, 1, 3], [0, 0, 2, 1, 3], [0, 2, 1, 1, 3]]
CLASSIFIERS = [kind for kind in DETECTORS.values() if issubclass(kind, Classifier)]


def taught(kind, **params):
    """Return a classifier that has learned the order of 1 and 2 from a few sequences."""
    known = kind().get_params()
    X = frame((NORMAL * 10) + ANOMALOUS * 2)
    y = pl.Series([False] * (len(NORMAL) * 10) + [True] * (len(ANOMALOUS) * 2))
    return kind(**({k: v for k, v in QUICK.items() if k in known} | params)).fit(X, y)


@pytest.fixture(scope="module", params=CLASSIFIERS, ids=lambda kind: kind.name)
def fitted(request):
    """Each classifier, having learned."""
    return taught(request.param)


def test_order_is_learned_from_labels(fitted):
    """The same events in the labelled order score above zero, in the usual one below, though anomalies are rare."""
    scores = fitted.anomaly_score(frame([*NORMAL, *ANOMALOUS])).to_numpy()
    assert scores[: len(NORMAL)].max() < 0 < scores[len(NORMAL) :].min()


def test_the_event_that_is_to_blame_is_named(fitted):
    """Evidence names an event of the swapped pair or the one after it, with the share of anomalies among its units."""
    row = fitted.evidence(frame([[0, 0, 2, 1, 3]])).row(0, named=True)
    assert row["kind"] == "labelled"
    assert row["event"] in (1, 2, 3, 4)
    assert row["share"] == pytest.approx(6 / 46)


def test_an_unknown_event_is_named_and_scores_like_an_anomaly(fitted):
    """A template that training did not hold counts as much as the median anomaly, more of them more."""
    one, two = fitted.anomaly_score(frame([[0, 1, 2, 77, 3], [0, 1, 77, 2, 78, 3]]))
    assert one >= np.median(fitted.anomaly_score(frame(ANOMALOUS)).to_numpy()) - 1e-5
    assert two > one
    row = fitted.evidence(frame([[0, 1, 2, 77, 3]])).row(0, named=True)
    assert (row["kind"], row["event"], row["template"]) == ("new pattern", 3, 77)


def test_events_share_the_score(fitted):
    """There is a score an event; those cut out of the middle have none."""
    (scores,) = fitted.event_scores(frame([[0, 1, 2, 3]]))
    assert len(scores) == 4
    middle = fitted.longest // 2 + 2
    (long,) = fitted.event_scores(frame([[0, *[1, 2] * fitted.longest, 3]]))
    assert long[middle] == 0
    assert any(long)


def test_occlusion_is_scoring_again_without_the_event():
    """What occlusion gives at once is what scoring without each event gives one by one, long sequences cut."""
    data = Ragged.from_lists([[3, 1, 4, 1, 5], [], [9], [2, 6, 5, 3, 5, 8, 9], [1] * 3])

    def score(asked):
        return np.array(
            [
                float(np.dot(asked.ids[a:b], 1.5 ** np.arange(b - a)))
                for a, b in zip(asked.offsets[:-1], asked.offsets[1:], strict=True)
            ]
        )

    found = occlusion(data, 6, score)
    one_by_one = []
    for i in range(len(data)):
        one = data.take(np.array([i]))
        kept, at = cut(one, 6)
        falls = np.zeros(len(one.ids))
        for j, place in enumerate(at):
            less = Ragged.from_lists([np.delete(kept.ids, j).tolist()])
            falls[place] = score(kept)[0] - score(less)[0]
        one_by_one.extend(falls)
    np.testing.assert_allclose(found, one_by_one, atol=1e-9)


@pytest.mark.parametrize("kind", CLASSIFIERS, ids=lambda kind: kind.name)
def test_leaving_everything_out_is_refused(kind):
    """A dropout of one or more leaves nothing to learn from."""
    with pytest.raises(OptionError, match=r"1\.5 cannot be; it must be below one"):
        taught(kind, dropout=1.5)


def test_a_checkpoint_is_taken_up(tmp_path):
    """A training that was cut short and taken up again gives the scores of one that was not."""
    X = frame([*NORMAL, *ANOMALOUS])
    whole = taught(CNN, epochs=6).anomaly_score(X)
    taught(CNN, epochs=3, checkpoint=str(tmp_path))
    assert taught(CNN, epochs=6, checkpoint=str(tmp_path)).anomaly_score(X).to_list() == whole.to_list()


TOKENS = np.array([[2, 3, 4, 5, 3, 2], [4, 4, 2, 0, 0, 0], [0, 0, 0, 0, 0, 0]])
LENGTHS = np.array([6, 3, 1])


def log_odds(made, tokens):
    """Return what ONNX Runtime makes of sequences of LENGTHS whose codes are their tokens."""
    inside = np.arange(tokens.shape[1]) < LENGTHS[:, None]
    return made._run(["log_odds"], {**made._inputs(tokens, inside, tokens), "lengths": LENGTHS})[0]


def test_the_stacked_lstm_is_the_same_in_onnx():
    """ONNX Runtime gives torch's log-odds to 1e-5."""
    with seeded(0):
        net = lstm_classifier.StackedLSTM(6, 8, 16, 8, 0.2).eval()
    made = LSTMClassifier()
    made.networks_ = {"network": net.to_onnx()}
    with torch.no_grad():
        expected = net(torch.from_numpy(TOKENS), torch.from_numpy(LENGTHS)).numpy()
    odds = log_odds(made, TOKENS)
    np.testing.assert_allclose(odds, expected, atol=1e-5)


def test_the_convolutions_are_the_same_in_onnx():
    """ONNX Runtime gives torch's log-odds to 1e-5."""
    with seeded(0):
        net = cnn.TextCNN(6, 8, 16, (3, 4, 5), 0.5).eval()
    tokens = np.pad(TOKENS, ((0, 0), (0, 4)))
    made = CNN(hidden=16)
    made.networks_ = {"network": net.to_onnx()}
    with torch.no_grad():
        expected = net(torch.from_numpy(tokens), torch.from_numpy(LENGTHS)).numpy()
    odds = log_odds(made, tokens)
    np.testing.assert_allclose(odds, expected, atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
def test_the_attention_is_the_same_in_onnx(layers):
    """ONNX Runtime gives torch's log-odds to 1e-5, whatever the padding."""
    meaning = Meaning.learn(Ragged.from_lists([[2, 3, 4, 5], [4, 4, 2]]))
    table = meaning.of_codes(np.arange(6))
    with seeded(0):
        net = logrobust.AttentionLSTM(table, 8, layers, 0.2).eval()
    made = LogRobust()
    made.networks_, made.meaning_ = {"network": net.to_onnx()}, meaning
    with torch.no_grad():
        expected = net(torch.from_numpy(TOKENS), torch.from_numpy(LENGTHS)).numpy()
    odds = log_odds(made, TOKENS)
    np.testing.assert_allclose(odds, expected, atol=1e-5)


def test_a_reworded_template_is_judged_by_its_text():
    """A template that training did not hold counts as what it resembles; one of strange words counts as unknown."""
    texts = ["open file <*>", "read block <*>", "disk failure on <*>", "close file <*>"]
    X = frame([[0, 1, 3]] * 20 + [[0, 1, 1, 3]] * 10 + [[0, 2, 3]] * 5 + [[0, 1, 2, 3]] * 5)
    made = LogRobust(**QUICK)
    made.texts = [*texts, "reading of block <*>", "disk has a failure <*>", "qqq zzz"]
    made.fit(X, pl.Series([False] * 30 + [True] * 10))
    usual, failed, reworded, worse, strange = made.anomaly_score(
        frame([[0, 1, 3], [0, 2, 3], [0, 4, 3], [0, 5, 3], [0, 6, 3]])
    )
    assert usual < 0 < failed
    assert reworded < 0 < worse
    assert strange == pytest.approx(made.floor_)
    assert made.evidence(frame([[0, 5, 3]])).row(0, named=True)["kind"] in ("new pattern", "labelled")


def test_long_sequences_keep_their_head_and_tail():
    """Of a sequence longer than allowed the first and last events are kept, and their places known."""
    data = Ragged.from_lists([[1, 2, 3, 4, 5, 6, 7], [8, 9], [], [1, 2, 3, 4, 5]])
    kept, at = cut(data, 5)
    assert [kept.ids[a:b].tolist() for a, b in zip(kept.offsets[:-1], kept.offsets[1:], strict=True)] == [
        *([1, 2, 3, 6, 7], [8, 9], [], [1, 2, 3, 4, 5]),
    ]
    assert (data.ids[at] == kept.ids).all()


@pytest.mark.parametrize("rng", [None, np.random.default_rng(0)], ids=["fixed", "random"])
def test_groups_hold_everything_once(rng):
    """Groups partition the sequences, keep to their limits, and hold like lengths."""
    lengths = np.array([5, 1, 9, 5, 2, 2, 30, 1])
    found = list(groups(lengths, rows=3, events=12, rng=rng))
    assert sorted(np.concatenate(found).tolist()) == list(range(8))
    assert all(len(g) == 1 or (len(g) <= 3 and lengths[g].max() * len(g) <= 12) for g in found)


def test_tokens_and_padding():
    """Templates that training did not hold are one token; an empty sequence is one column of padding."""
    data = Ragged.from_lists([[7, 3], []])
    vocabulary = Vocabulary.of(data)
    assert vocabulary.tokens(np.array([3, 7, 5, 99])).tolist() == [2, 3, UNKNOWN, UNKNOWN]
    tokens, inside = pad(data, vocabulary.tokens(data.ids), np.array([1, 0]), room=1)
    assert tokens.tolist() == [[PAD, PAD, PAD], [3, 2, PAD]]
    assert inside.sum(axis=1).tolist() == [0, 2]

"""The LSTM: what it learns, and that scoring in ONNX Runtime is what PyTorch says."""

import numpy as np
import pytest
import torch
from samples import QUICK, frame, sequences

from offbeat.detect import LSTM, Ragged
from offbeat.detect.lstm import END, FIRST, START, UNKNOWN
from offbeat.detect.nets import next_event
from offbeat.detect.nets.to_onnx import next_event_graph

CYCLE = [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def learned():
    """An LSTM that has read a cyclic language: any stretch of 0 1 2 3 4 5 0 1 …, from 0 on."""
    lists = [[CYCLE[j % 6] for j in range(length)] for length in (6, 12, 18) for _ in range(40)]
    return LSTM(hidden=24, embedding=8, epochs=40, learning_rate=1e-2).fit(frame(lists))


def network(detector: LSTM, seed: int = 3) -> next_event.NextEvent:
    """Give the detector a network of known weights, and return it."""
    torch.manual_seed(seed)
    net = next_event.NextEvent(detector.vocabulary_, detector.embedding, detector.hidden)
    for weight in net.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    detector.onnx_, detector._session = next_event_graph(net), None
    return net


def torch_log_p(net: next_event.NextEvent, codes: list[int], vocabulary: int) -> np.ndarray:
    """Return ln p of each event and of the end, in one pass of the network."""
    tokens = [c + FIRST if c + FIRST < vocabulary else UNKNOWN for c in codes]
    with torch.no_grad():
        all_ = torch.log_softmax(net(torch.tensor([[START, *tokens]])), dim=2)[0]
    return all_[torch.arange(len(tokens) + 1), torch.tensor([*tokens, END])].numpy()


@pytest.fixture
def random_net():
    """A detector with a random network, whose log-probabilities vary widely."""
    detector = LSTM(**QUICK | {"epochs": 1}).fit(sequences(40))
    return detector, network(detector)


def test_special_tokens_agree():
    """Training and scoring number the special tokens alike; scoring may not import training to ask."""
    names = ("END", "START", "UNKNOWN", "FIRST")
    assert [getattr(next_event, n) for n in names] == [END, START, UNKNOWN, FIRST]


def test_onnx_says_what_torch_says(random_net):
    """The ONNX graph gives the network's own log-probabilities, of every event and of the end."""
    detector, net = random_net
    lists = [*sequences(300, seed=5)["templates"].to_list(), [], [3], [99, 0, 1], [0, 99]]
    data = Ragged.from_lists(lists)
    of_event, _, of_end = detector.log_p(data)
    for i, one in enumerate(lists):
        expected = torch_log_p(net, one, detector.vocabulary_)
        np.testing.assert_allclose(of_event[data.offsets[i] : data.offsets[i + 1]], expected[:-1], atol=1e-4)
        np.testing.assert_allclose(of_end[i], expected[-1], atol=1e-4)


def test_state_is_carried_over_a_long_sequence(random_net):
    """A sequence of 2,000 events, read in steps, gives what one pass gives; short ones beside it are not disturbed."""
    detector, net = random_net
    rng = np.random.default_rng(0)
    long, short = rng.integers(0, 9, 2000).tolist(), [0, 1, 2]
    of_event, _, of_end = detector.log_p(Ragged.from_lists([short, long]))
    expected = torch_log_p(net, long, detector.vocabulary_)
    np.testing.assert_allclose(of_event[3:], expected[:-1], atol=1e-3)
    assert of_end[1] == pytest.approx(expected[-1], abs=1e-3)
    np.testing.assert_allclose(of_event[:3], torch_log_p(net, short, detector.vocabulary_)[:-1], atol=1e-4)


@pytest.mark.parametrize("length", [510, 511, 512, 513, 1024])
def test_no_event_is_lost_where_steps_meet(random_net, length):
    """Lengths about the size of a step give a log-probability for each event and the end."""
    detector, net = random_net
    codes = [i % 9 for i in range(length)]
    of_event, _, of_end = detector.log_p(Ragged.from_lists([codes]))
    expected = torch_log_p(net, codes, detector.vocabulary_)
    np.testing.assert_allclose(np.append(of_event, of_end), expected, atol=1e-3)


def test_it_learns_a_cycle_and_notices_a_swap(learned):
    """Every event of the cycle is expected; two swapped neighbours are not, and the place is named."""
    usual, swapped, skipped = learned.anomaly_score(
        frame([CYCLE * 2, [0, 1, 3, 2, 4, 5, *CYCLE], [0, 1, 2, 4, 5, *CYCLE]])
    )
    assert usual < 0.7
    assert swapped > usual + 2
    assert skipped > usual + 2
    evidence = learned.evidence(frame([[0, 1, 3, 2, 4, 5, *CYCLE]])).row(0, named=True)
    assert evidence["kind"] == "order"
    assert evidence["event"] in (2, 3, 4)


def test_it_says_what_it_expected(learned):
    """The most likely next event is the cycle's; at a place where a sequence may end, the end is named as None."""
    best = learned.expected([0, 1, 3, 2], 2)
    assert best[0][0] == 2
    assert best[0][1] > 0.8
    assert [p for _, p in best] == sorted((p for _, p in best), reverse=True)
    assert None in [code for code, _ in learned.expected(CYCLE, 6)]
    assert learned.expected([77, 1], 1)


def test_the_end_is_learned_but_scored_apart(learned):
    """What ends early has an improbable end, and no higher score for it."""
    data = Ragged.from_lists([CYCLE * 2, CYCLE[:3]])
    of_event, of_best, of_end = learned.log_p(data)
    assert of_end[0] > -3
    assert of_end[1] < -3
    whole, cut = learned.anomaly_score(frame([CYCLE * 2, CYCLE[:3]]))
    regret = (of_best - of_event)[data.offsets[1] :]
    assert cut == pytest.approx(max(regret[0], regret[:2].sum(), regret.sum()), abs=1e-6)
    assert cut <= whole + 0.1


def test_training_reports_and_stops():
    """Progress is told for each pass; losses go down; training stops at the limit of passes."""
    told = []
    detector = LSTM(**QUICK)
    detector.progress = lambda *what: told.append(what)
    detector.fit(sequences())
    assert [now for now, _, _ in told] == list(range(1, len(told) + 1))
    assert {most for _, most, _ in told} == {QUICK["epochs"]}
    assert len(detector.history_) == len(told) <= QUICK["epochs"]
    assert detector.history_[-1][0] < detector.history_[0][0]


def test_the_best_network_is_kept():
    """The network kept has the best validation loss, though the passes after it were worse."""
    # One distinct sequence: what is held back is the same as what is learned from, so the loss can be worked out.
    detector = LSTM(**QUICK | {"epochs": 3, "learning_rate": 1.0}).fit(frame([[0, 1, 2, 0, 2, 1, 1, 0]], [100.0]))
    losses = [valid for _, valid in detector.history_]
    of_event, _, of_end = detector.log_p(Ragged.from_lists([[0, 1, 2, 0, 2, 1, 1, 0]]))
    kept = -(of_event.sum() + of_end[0]) / 9
    assert max(losses) > min(losses) + 0.01
    assert losses[-1] > min(losses)
    assert kept == pytest.approx(min(losses), abs=1e-3)


def test_another_seed_is_another_network():
    """The seed matters, and torch's own generator is left as it was."""
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one, other = (LSTM(**QUICK | {"epochs": 2}, seed=s).fit(sequences()).onnx_ for s in (0, 1))
    assert one != other
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_same_seed_gives_the_same_bytes():
    """The network's bytes depend on sequences, parameters and seed alone."""
    one, other = (LSTM(**QUICK | {"epochs": 2}, seed=5).fit(sequences()).onnx_ for _ in range(2))
    assert one == other


def test_a_long_sequence_is_learned_from():
    """A sequence longer than a chunk is cut into chunks and learned from."""
    detector = LSTM(**QUICK | {"epochs": 30, "hidden": 24}).fit(frame([CYCLE * 150]))
    assert detector.history_[-1][0] < 1.0


def test_chunks_hold_every_event_once():
    """Cut in chunks, each event and the end are to be predicted once, each after the token before it."""
    rng = np.random.default_rng(1)
    lists = [rng.integers(0, 9, n).tolist() for n in (0, 1, 7, 8, 9, 30)]
    data = Ragged.from_lists(lists)
    pieces = next_event.chunks(data.ids, data.offsets, np.arange(6.0), 8)
    for i, one in enumerate(lists):
        mine = [p for p in pieces if p.weight == i]
        tokens = [START, *[c + FIRST for c in one], END]
        assert np.concatenate([p.predict for p in mine]).tolist() == tokens[1:]
        assert np.concatenate([p.read for p in mine]).tolist() == tokens[:-1]
        assert max(len(p.read) for p in mine) <= 8


def test_batches_hold_every_piece_once():
    """Grouping pieces loses none, in order or shuffled."""
    data = Ragged.of(sequences(50))
    pieces = next_event.chunks(data.ids, data.offsets, np.ones(50), 256)
    for rng in (None, np.random.default_rng(0)):
        groups = list(next_event.batches(pieces, 64, rng))
        assert sorted(id(p) for g in groups for p in g) == sorted(id(p) for p in pieces)
        assert all(len(g) * max(len(p.read) for p in g) <= 64 for g in groups)

"""Looking inside the LSTM without torch: its weights, states and gates, and what its units react to."""

import subprocess
import sys

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from samples import QUICK, frame, sequences

from offbeat.detect import LSTM, Ragged
from offbeat.detect.activations import activations, profile
from offbeat.detect.lstm import FIRST, START, UNKNOWN
from offbeat.detect.lstm_weights import read_weights
from offbeat.detect.nets.next_event import NextEvent
from offbeat.detect.nets.to_onnx import next_event_graph
from offbeat.errors import ModelError

CODES = [0, 1, 2, 99, 5, 4, 4]


@pytest.fixture(scope="module")
def lstm():
    """An LSTM that has learned a little."""
    return LSTM(**QUICK).fit(sequences())


def test_the_weights_are_those_of_the_network():
    """Every weight of a network comes back from its ONNX form, in torch's order of gates."""
    torch.manual_seed(0)
    net = NextEvent(11, 5, 7)
    found = read_weights(next_event_graph(net))
    expected = {
        "embed": net.embed.weight,
        "input": net.lstm.weight_ih_l0,
        "recurrent": net.lstm.weight_hh_l0,
        "input_bias": net.lstm.bias_ih_l0,
        "recurrent_bias": net.lstm.bias_hh_l0,
        "out": net.out.weight,
        "out_bias": net.out.bias,
    }
    for name, weight in expected.items():
        np.testing.assert_array_equal(getattr(found, name), weight.detach().numpy(), err_msg=name)
    assert found.hidden == 7


def test_our_reader_agrees_with_onnx(lstm):
    """The arrays read are among the initialisers that the onnx library reads from the same bytes."""
    stored = [numpy_helper.to_array(t) for t in onnx.load_from_string(lstm.onnx_).graph.initializer]
    weights = read_weights(lstm.onnx_)
    for one in (weights.embed, weights.out.T, weights.out_bias):
        assert any(one.shape == other.shape and np.array_equal(one, other) for other in stored)


@pytest.mark.parametrize("damage", [lambda b: b[: len(b) // 2], lambda b: b"", lambda b: b"\xff" * 40, lambda b: b[9:]])
def test_another_network_is_refused(lstm, damage):
    """Bytes that are no such network are one clear error."""
    with pytest.raises(ModelError, match="another network"):
        read_weights(damage(lstm.onnx_))


def test_states_and_gates_are_torchs(lstm):
    """States are those of torch's LSTM after each event, and the gates those of its cell, worked out by hand."""
    found, w = activations(lstm, CODES), read_weights(lstm.onnx_)
    layer = torch.nn.LSTM(w.embed.shape[1], w.hidden)
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    for name, value in zip(names, (w.input, w.recurrent, w.input_bias, w.recurrent_bias), strict=True):
        getattr(layer, name).data = torch.tensor(value)
    read = [START, *[c + FIRST if c + FIRST < lstm.vocabulary_ else UNKNOWN for c in CODES]]
    with torch.no_grad():
        hidden = layer(torch.tensor(w.embed[read])[:, None])[0][:, 0]
        z = torch.tensor(w.embed[read[1:]]) @ layer.weight_ih_l0.T + layer.bias_ih_l0
        gates = torch.sigmoid(z + hidden[:-1] @ layer.weight_hh_l0.T + layer.bias_hh_l0).numpy()
    np.testing.assert_allclose(found.hidden, hidden[1:].numpy(), atol=1e-5)
    i, f, _, o = np.split(gates, 4, axis=1)
    for mine, expected in ((found.input, i), (found.forget, f), (found.output, o)):
        np.testing.assert_allclose(mine, expected, atol=1e-5)
    np.testing.assert_allclose(found.output * np.tanh(found.cell), found.hidden, atol=1e-12)


def test_states_give_the_scores_probabilities(lstm):
    """The state after an event, put through the last layer, gives what scoring says of the next event."""
    found, w = activations(lstm, CODES), read_weights(lstm.onnx_)
    logits = found.hidden[:-1] @ w.out.T + w.out_bias
    log_p = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    of_event, of_best, _ = lstm.log_p(Ragged.from_lists([CODES]))
    np.testing.assert_allclose(log_p.max(axis=1), of_best[1:], atol=1e-4)
    told = [c + FIRST if c + FIRST < lstm.vocabulary_ else UNKNOWN for c in CODES[1:]]
    np.testing.assert_allclose(log_p[np.arange(len(told)), told], of_event[1:], atol=1e-4)


def test_no_event_has_no_activations(lstm):
    """An empty sequence gives arrays of no rows."""
    assert activations(lstm, []).hidden.shape == (0, QUICK["hidden"])


def test_a_profile_is_the_mean_of_the_activations(lstm):
    """Means, usual state and counts are those of the states of all sequences, each by its weight."""
    lists, weight = [[0, 1, 2, 3, 4], [0, 6, 7, 6, 7, 4], [], [0, 1, 2, 3, 4], [3]], [1.0, 2.0, 1.0, 3.0, 0.5]
    found = profile(lstm, Ragged.of(frame(lists, weight)), k=3, least=1.0)
    states = np.concatenate([activations(lstm, one).hidden for one in lists])
    codes, mass = np.concatenate(lists).astype(int), np.repeat(weight, [len(one) for one in lists])
    assert found["unit"].to_list() == sorted([*range(QUICK["hidden"])] * 3)
    for row in found.iter_rows(named=True):
        here = codes == row["template"]
        state = states[:, row["unit"]]
        assert row["mean"] == pytest.approx(np.average(state[here], weights=mass[here]))
        assert row["usual"] == pytest.approx(np.average(state, weights=mass))
        assert row["count"] == pytest.approx(mass[here].sum())
    gaps = (found["mean"] - found["usual"]).abs().to_numpy().reshape(-1, 3)
    assert (np.diff(gaps, axis=1) <= 0).all()


def test_a_profile_leaves_out_what_is_rare_or_unknown(lstm):
    """Templates below the least count have no row, nor have those that were not learned."""
    data = Ragged.of(frame([[0, 1, 99]] * 6 + [[0, 8]]))
    assert set(profile(lstm, data)["template"]) == {0, 1}
    assert profile(lstm, data, least=100.0).is_empty()
    assert profile(lstm, Ragged.from_lists([])).is_empty()


def test_looking_inside_needs_no_torch(lstm, tmp_path):
    """Neither torch nor onnx is loaded to compute activations from the network's bytes."""
    (tmp_path / "network.onnx").write_bytes(lstm.onnx_)
    code = (
        "import sys; from pathlib import Path; from offbeat.detect import LSTM;"
        "from offbeat.detect.activations import activations; l = LSTM();"
        f"l.onnx_, l.vocabulary_ = Path('network.onnx').read_bytes(), {lstm.vocabulary_};"
        "assert activations(l, [0, 1]).hidden.shape[0] == 2;"
        "assert not {'torch', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=300)


def test_training_keeps_what_explanations_need(lstm):
    """How often each template occurs and what each unit reacts to are of training, saved, and restored."""
    data = Ragged.of(sequences())
    np.testing.assert_array_equal(lstm.frequency_, np.bincount(data.ids))
    assert lstm.units_.equals(profile(lstm, data))
    again = LSTM(**QUICK).restore(lstm.state())
    np.testing.assert_array_equal(again.frequency_, lstm.frequency_)
    assert again.units_.equals(lstm.units_)


def test_only_some_of_a_large_training_is_profiled(monkeypatch):
    """The heaviest sequences are profiled, up to a number of events; the last of them is cut there."""
    monkeypatch.setattr("offbeat.detect.lstm._PROFILED", 3)
    made = LSTM(**QUICK | {"epochs": 1}).fit(frame([[0, 1], [2, 3, 4, 5], [6]], [5.0, 6.0, 7.0]))
    assert set(made.units_["template"]) == {2, 3, 6}
    whole = profile(made, Ragged.of(frame([[6], [2, 3]], [7.0, 6.0])))
    assert made.units_.equals(whole)

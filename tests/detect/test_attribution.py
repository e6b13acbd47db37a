"""Integrated gradients over the LSTM's events: complete, exact where that can be worked out, and in the right place."""

import subprocess
import sys

import numpy as np
import onnxruntime as ort
import pytest
import torch
from samples import QUICK, frame, sequences

from offbeat.detect import LSTM, attribution
from offbeat.detect.attribution import CONTEXT, TOLERANCE, baseline, integrated_gradients
from offbeat.detect.lstm import FIRST, START, UNKNOWN
from offbeat.detect.lstm_weights import read_weights
from offbeat.detect.nets.attribution import by_captum, rebuild
from offbeat.errors import OptionError

CYCLE = [0, 1, 2, 3, 4, 5]


@pytest.fixture(scope="module")
def cycle():
    """An LSTM that has read a cyclic language."""
    lists = [[CYCLE[j % 6] for j in range(length)] for length in (6, 12, 18) for _ in range(40)]
    return LSTM(hidden=24, embedding=8, epochs=40, learning_rate=1e-2).fit(frame(lists))


@pytest.fixture(scope="module")
def lstm():
    """An LSTM that has learned a little of sequences that vary."""
    return LSTM(**QUICK).fit(sequences())


def test_the_module_rebuilt_is_the_network_stored(lstm):
    """The torch module gives the log-probabilities that ONNX Runtime gives, to 1e-5."""
    read = np.array([[START, 3, 4, UNKNOWN, 9, 3, 5]]).T
    state = np.zeros((1, 1, lstm.hidden), np.float32)
    stored = ort.InferenceSession(lstm.onnx_).run(["all"], {"read": read, "predict": read, "h0": state, "c0": state})[0]
    ours = torch.log_softmax(rebuild(read_weights(lstm.onnx_))(torch.tensor(read.T)), dim=2)[0].numpy()
    np.testing.assert_allclose(ours, stored[:, 0], atol=1e-5)


CASES = [[0, 1, 3, 2, 4], [0, 6, 7, 6, 7, 4], [0], [8], [99, 0, 99], [0, 1, 2, 5, 4] * 40]


@pytest.mark.parametrize("codes", CASES, ids=lambda codes: f"{len(codes)} events")
@pytest.mark.parametrize("frequency", [None, [1.0]], ids=["average", "one"])
def test_attributions_add_up_to_the_score(lstm, codes, frequency):
    """Whatever the baseline, the attributions of all events sum to the detector's own score, to 1 %."""
    found = integrated_gradients(lstm, codes, frequency)
    score = lstm.anomaly_score(frame([codes]))[0]
    assert found.score == pytest.approx(score, abs=1e-4)
    assert found.values.sum() == pytest.approx(score, rel=TOLERANCE, abs=1e-6)
    assert found.delta <= TOLERANCE
    assert found.values.shape == found.context.shape == (len(codes),)
    inside = np.zeros(len(codes), dtype=bool)
    inside[found.first : found.last + 1] = True
    assert found.last - found.first < lstm.span
    assert not found.seen[~inside].any()
    assert not found.context[found.last :].any()


def test_the_swapped_events_are_named(cycle):
    """Two neighbours swapped: the largest attributions are of the two and of the events beside them."""
    codes = [*CYCLE, 0, 1, 3, 2, 4, 5]
    top = np.argsort(-integrated_gradients(cycle, codes).values)[:3]
    assert set(top) <= {7, 8, 9, 10}
    assert top[0] in (8, 9)


def test_what_is_missing_is_told_by_context(cycle):
    """An event that comes right after the wrong one: the event itself counts as seen, the one before as context."""
    found = integrated_gradients(cycle, [0, 1, 2, 4, 5])
    assert int(found.seen.argmax()) == 3
    assert found.context[2] > 0.05 * found.score


@pytest.mark.parametrize("codes", CASES, ids=lambda codes: f"{len(codes)} events")
@pytest.mark.parametrize("starts", [True, False], ids=["starts tell", "starts do not"])
def test_captum_says_the_same(lstm, codes, starts, monkeypatch):
    """Captum, with PyTorch's gradients, gives the attributions worked out here, to rounding."""
    monkeypatch.setattr(lstm, "starts_", starts)
    ours, theirs = integrated_gradients(lstm, codes), integrated_gradients(lstm, codes, integral=by_captum)
    assert ours.steps == theirs.steps
    np.testing.assert_allclose(ours.seen, theirs.seen, atol=1e-10)
    np.testing.assert_allclose(ours.context, theirs.context, atol=1e-10)
    assert ours.score == pytest.approx(lstm.anomaly_score(frame([codes]))[0], abs=1e-4)


def test_pieces_are_halved_until_complete(lstm, monkeypatch):
    """One step is not enough, so more are taken and said; and never more than the most."""
    codes = [0, 6, 7, 6, 7, 4]
    monkeypatch.setattr(attribution, "TOLERANCE", 1e-6)
    found = integrated_gradients(lstm, codes, steps=1)
    assert found.steps > 1
    assert found.delta <= 1e-6
    monkeypatch.setattr(attribution, "TOLERANCE", -1.0)
    monkeypatch.setattr(attribution, "_MOST_STEPS", 4)
    assert integrated_gradients(lstm, codes, steps=2).steps == 4
    assert integrated_gradients(lstm, codes, steps=3).steps == 3


def test_pieces_are_only_halved_where_the_network_changes_its_mind(cycle, monkeypatch):
    """A path that is hard somewhere takes fewer points in pieces than as a whole, and both give the same, as Captum."""
    codes = [*CYCLE * 8, 0, 1, 3, 2, 4, 5]
    monkeypatch.setattr(attribution, "TOLERANCE", 1e-7)
    whole = integrated_gradients(cycle, codes, steps=512)
    pieces = integrated_gradients(cycle, codes, steps=8)
    assert 8 < pieces.steps < 512
    np.testing.assert_allclose(pieces.values, whole.values, atol=1e-5 * whole.score)
    np.testing.assert_allclose(pieces.values, integrated_gradients(cycle, codes, steps=8, integral=by_captum).values)


def test_integrals_are_those_of_a_plain_sum(lstm):
    """The integral is that of a Riemann sum written out here, with finite differences for gradients."""
    codes, net = [0, 2, 1], rebuild(read_weights(lstm.onnx_))
    found = integrated_gradients(lstm, codes, last=2)
    read = torch.tensor([[START, *[c + FIRST for c in codes[:2]]]])
    own = net.embed(read)
    base = own.clone()
    base[:, 1:] = torch.tensor(baseline(read_weights(lstm.onnx_), lstm.frequency_))
    seen = torch.tensor([c + FIRST for c in codes])
    best = net.out(net.lstm(own)[0])[0].argmax(dim=1)

    def gaps(x):
        logits = net.out(net.lstm(x)[0])[0]
        return logits[torch.arange(3), best] - logits[torch.arange(3), seen]

    context, run, n, h = np.zeros(3), np.zeros(3), 200, 1e-5
    for a in (np.arange(n) + 0.5) / n:
        here = base + a * (own - base)
        run += gaps(here).numpy() / n
        for t in (1, 2):
            step = torch.zeros_like(own)
            step[:, t] = (own - base)[:, t] * h
            context[t] += a * float((gaps(here + step) - gaps(here - step)).sum()) / (2 * h) / n
    np.testing.assert_allclose(found.seen, run, atol=1e-4)
    np.testing.assert_allclose(found.context[:2], context[1:], atol=1e-4)


def test_a_long_session_is_read_but_not_all_attributed(lstm):
    """Events far before the run are part of the state; they get nothing, and the rest still adds up."""
    codes = [0, 1, 2, 3, 4] * 120
    found = integrated_gradients(lstm, codes, last=len(codes) - 1)
    far = found.first - CONTEXT
    assert far > 0
    assert not found.values[:far].any()
    assert found.values[far]
    assert found.delta <= TOLERANCE


def test_another_run_can_be_asked_for(lstm):
    """Naming the last event explains the run that ends there."""
    found = integrated_gradients(lstm, [0, 6, 7, 6, 7, 4], last=1)
    assert (found.first, found.last) == (0, 1)
    assert found.values.sum() == pytest.approx(found.score, rel=TOLERANCE)


def test_no_event_no_attribution(lstm):
    """An empty sequence has a score of 0 and nothing to attribute."""
    found = integrated_gradients(lstm, [])
    assert (found.values.shape, found.score, found.last) == ((0,), 0.0, -1)


def test_baselines(lstm):
    """The baseline is the average embedding by frequency."""
    weights = read_weights(lstm.onnx_)
    expected = (weights.embed[FIRST] + 3 * weights.embed[FIRST + 1]) / 4
    np.testing.assert_allclose(baseline(weights, np.array([1.0, 3.0])), expected, rtol=1e-6)
    for wrong in (np.ones(99), np.zeros(3), np.ones((2, 2))):
        with pytest.raises(OptionError, match="one count a template"):
            baseline(weights, wrong)


def test_mistakes_are_named(lstm, monkeypatch):
    """Places that are not there, numbers of steps that cannot be, and a missing Captum are one clear sentence."""
    with pytest.raises(OptionError, match="no event 3 in a sequence of 3"):
        integrated_gradients(lstm, [0, 1, 2], last=3)
    with pytest.raises(OptionError, match="above zero"):
        integrated_gradients(lstm, [0, 1], steps=0)
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(OptionError, match="needs captum"):
        integrated_gradients(lstm, [0, 1], integral=by_captum)


def test_neither_torch_nor_captum_is_needed(lstm):
    """Attribution is NumPy on the weights of the model."""
    code = (
        "import sys; from offbeat.detect import LSTM; from offbeat.detect import attribution; import offbeat.inside;"
        "print([m for m in ('torch', 'captum', 'sklearn', 'scipy') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"

"""Graphs built from torch layers say in ONNX Runtime what the layers say in torch."""

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from offbeat.detect.nets.graph import Graph
from offbeat.detect.neural import open_network
from offbeat.errors import ModelError

RNG = np.random.default_rng(0)


def drawn(*shape):
    """Return random numbers, float32."""
    return RNG.normal(size=shape).astype(np.float32)


def made(layer):
    """Return the layer with known weights that are not small, in eval mode."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        for weight in layer.parameters():
            nn.init.normal_(weight, std=0.4)
    return layer.eval()


def run(build, **inputs):
    """Build a graph with inputs of these arrays' types and any shapes, and run it."""
    g = Graph("test")
    names = [g.input(k, v.dtype, [f"{k}{i}" for i in range(v.ndim)]) for k, v in inputs.items()]
    value = build(g, *names)
    g.output("out", value, np.float32, [f"o{i}" for i in range(3)])
    data = g.to_bytes()
    return open_network(data).run(["out"], inputs)[0]


def close(ours, theirs):
    """Assert equality up to rounding."""
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
def test_lstm(layers, both, batch_first):
    """Stacked and bidirectional LSTMs, in either layout."""
    layer, x = made(nn.LSTM(3, 5, layers, bidirectional=both, batch_first=batch_first)), drawn(4, 6, 3)
    close(run(lambda g, x: g.lstm(x, layer), x=x), layer(torch.tensor(x))[0])


def test_bidirectional_lstm_of_padded_sequences():
    """With lengths given, padding does not reach a bidirectional LSTM's states."""
    layer, x = made(nn.LSTM(3, 5, 2, bidirectional=True, batch_first=True)), drawn(3, 6, 3)
    lengths = np.array([6, 2, 4], np.int32)
    packed = nn.utils.rnn.pack_padded_sequence(
        torch.tensor(x), torch.tensor(lengths), batch_first=True, enforce_sorted=False
    )
    expected = nn.utils.rnn.pad_packed_sequence(layer(packed)[0], batch_first=True)[0]
    close(run(lambda g, x, n: g.lstm(x, layer, n), x=x, n=lengths), expected)


def test_the_state_of_an_lstm_is_carried():
    """A layer run in two stretches, its state carried, gives what one run gives."""
    layer, x = made(nn.LSTM(3, 5)), drawn(8, 2, 3)

    def build(g, head, tail):
        _, h, c = g.lstm_layer(head, layer)
        return g.lstm_layer(tail, layer, h0=h, c0=c)[0]

    close(run(build, head=x[:3], tail=x[3:]), layer(torch.tensor(x))[0][3:])


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv1d(3, 4, 5, padding=2),
        nn.Conv1d(3, 4, 3, stride=2, padding=1, bias=False),
        nn.ConvTranspose1d(3, 4, 3, stride=2, padding=1, output_padding=1),
    ],
)
def test_conv(layer):
    """Convolutions with padding and strides, there and back."""
    layer, x = made(layer), drawn(2, 3, 8)
    close(run(lambda g, x: g.conv(x, layer), x=x), layer(torch.tensor(x)))


def test_conv_over_two_dimensions():
    """A filter as wide as the embedding, as in a CNN over sequences."""
    layer, x = made(nn.Conv2d(1, 4, (3, 6))), drawn(2, 1, 8, 6)
    close(run(lambda g, x: g.reshape(g.conv(x, layer), 0, 0, -1), x=x), layer(torch.tensor(x))[..., 0])


def test_embedding_and_dense():
    """Codes looked up and mapped by a linear layer, with and without a bias."""
    embed, layer = made(nn.Embedding(7, 4)), made(nn.Linear(4, 3, bias=False))
    out, codes = made(nn.Linear(3, 2)), RNG.integers(0, 7, (3, 5))
    expected = torch.tanh(out(torch.sigmoid(layer(embed(torch.tensor(codes))))))
    close(run(lambda g, c: g.tanh(g.dense(g.sigmoid(g.dense(g.embed(c, embed), layer)), out)), c=codes), expected)


@pytest.mark.parametrize("log", [False, True])
def test_softmax(log):
    """Probabilities and their logarithms."""
    x = drawn(2, 3, 4)
    expected = (torch.log_softmax if log else torch.softmax)(torch.tensor(x), dim=-1)
    close(run(lambda g, x: g.softmax(x, log=log), x=x), expected)


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("norm_first", [False, True])
def test_encoder_layer(activation, norm_first):
    """A transformer's encoder layer, with padding that nothing attends to."""
    layer = made(
        nn.TransformerEncoderLayer(
            8, 2, 16, activation=activation, norm_first=norm_first, batch_first=True, dropout=0.0
        )
    )
    x, padded = drawn(3, 5, 8), np.zeros((3, 5), dtype=bool)
    padded[1, 3:] = padded[2, 1:] = True
    # Torch's fast path of eval mode zeroes padded places; these have no meaning in either.
    expected = layer(torch.tensor(x), src_key_padding_mask=torch.tensor(padded)).detach().numpy()
    ours = run(lambda g, x, p: g.encoder_layer(x, layer, p), x=x, p=padded)
    np.testing.assert_allclose(ours[~padded], expected[~padded], atol=1e-5)


def test_attention_of_nothing_is_finite():
    """A row that is all padding gives numbers."""
    layer = made(nn.MultiheadAttention(8, 2, batch_first=True))
    x = drawn(2, 5, 8)
    padded = np.array([[True] * 5, [False] * 5])
    ours = run(lambda g, x, p: g.attention(x, layer, p), x=x, p=padded)
    assert np.isfinite(ours).all()
    y = torch.tensor(x[1:])
    np.testing.assert_allclose(ours[1:], layer(y, y, y)[0].detach().numpy(), atol=1e-5)


def test_bytes_depend_on_weights_alone():
    """The same layers give the same bytes; equal constants are held once."""
    layer = made(nn.Linear(3, 3))

    def build():
        g = Graph("same")
        x = g.input("x", np.float32, ["n", 3])
        g.output("y", g.relu(g.dense(g.dense(x, layer), layer)), np.float32, ["n", 3])
        return g.to_bytes()

    one = build()
    assert one == build()
    assert one.count(layer.weight.detach().T.contiguous().numpy().tobytes()) == 1


def test_a_crafted_network_is_refused_in_a_sentence(tmp_path, capfd):
    """What is no network, or takes its weights from a file elsewhere, is an error of the model, and no more is said."""
    weights = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4], data_location=1)
    for key, value in (("location", str(tmp_path / "secret")), ("length", "16")):
        entry = weights.external_data.add()
        entry.key, entry.value = key, value
    (tmp_path / "secret").write_bytes(b"A" * 16)
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [4])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["w"], ["y"])], "g", [], [out], [weights])
    elsewhere = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=9)
    for network in (b"", b"nonsense", elsewhere.SerializeToString()):
        with pytest.raises(ModelError, match="cannot be run"):
            open_network(network)
    assert capfd.readouterr().err == ""

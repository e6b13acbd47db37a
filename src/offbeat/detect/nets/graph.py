"""Build ONNX graphs node by node from torch layers, so that a model's bytes depend on its weights alone.

::

    g = Graph("name")
    x = g.input("codes", np.int64, ["batch", "time"])
    h = g.lstm(g.embed(x, net.embed), net.lstm, batch_first=True)
    g.output("p", g.sigmoid(g.dense(h, net.out)), np.float32, ["batch", "time", 1])
    data = g.to_bytes()

Every method takes and returns names of values. Layers are those of ``torch.nn`` in ``eval`` mode: dropout is left out.
``torch.onnx.export`` is not used, for it needs onnxscript and its graphs change with its version.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import DTypeLike, NDArray
from onnx import helper, numpy_helper
from torch import nn

#: Operators as of ONNX 1.13 (``LayerNormalization`` is older), read by every ONNX Runtime since 1.14.
OPSET, IR = 18, 9


class Graph:
    """An ONNX graph in the making."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._nodes: list[Any] = []
        self._inputs: list[Any] = []
        self._outputs: list[Any] = []
        self._tensors: dict[str, Any] = {}
        self._count = 0

    def input(self, name: str, dtype: DTypeLike, shape: Sequence[int | str]) -> str:
        """Declare an input; a dimension that varies is given by name."""
        self._inputs.append(helper.make_tensor_value_info(name, _dtype(dtype), list(shape)))
        return name

    def output(self, name: str, value: str, dtype: DTypeLike, shape: Sequence[int | str]) -> str:
        """Declare that a value is an output under a name."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, _dtype(dtype), list(shape)))
        return name

    def constant(self, value: Any, dtype: DTypeLike | None = None) -> str:
        """Add an array, a tensor, or plain numbers."""
        array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else np.asarray(value, dtype=dtype)
        # An ONNX model says the order of bytes, not of memory.
        made = numpy_helper.from_array(np.ascontiguousarray(array).reshape(array.shape))
        for name, tensor in self._tensors.items():
            if tensor.data_type == made.data_type and tensor.dims == made.dims and tensor.raw_data == made.raw_data:
                return name
        made.name = f"/constant{len(self._tensors)}"
        self._tensors[made.name] = made
        return str(made.name)

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output."""
        return self.ops(kind, 1, *inputs, **attributes)[0]

    def ops(self, kind: str, outputs: int, *inputs: str, **attributes: Any) -> list[str]:
        """Add a node with several outputs; an input that is not given is an empty name."""
        self._count += 1
        # The slash keeps our names apart from those of inputs and outputs.
        names = [f"/{kind.lower()}{self._count}" + (f"_{i}" if i else "") for i in range(outputs)]
        self._nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def to_bytes(self) -> bytes:
        """Return the serialised model, checked."""
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, list(self._tensors.values()))
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())

    def relu(self, x: str) -> str:
        """Apply max(x, 0)."""
        return self.op("Relu", x)

    def sigmoid(self, x: str) -> str:
        """Apply the logistic function."""
        return self.op("Sigmoid", x)

    def tanh(self, x: str) -> str:
        """Apply the hyperbolic tangent."""
        return self.op("Tanh", x)

    def gelu(self, x: str) -> str:
        """Apply x Φ(x), exactly as torch's default."""
        phi = self.op("Erf", self.op("Mul", x, self.constant(1 / math.sqrt(2), np.float32)))
        half = self.op("Mul", x, self.constant(0.5, np.float32))
        return self.op("Mul", half, self.op("Add", phi, self.constant(1.0, np.float32)))

    def softmax(self, x: str, axis: int = -1, log: bool = False) -> str:
        """Apply softmax over an axis, or its logarithm."""
        return self.op("LogSoftmax" if log else "Softmax", x, axis=axis)

    def transpose(self, x: str, *order: int) -> str:
        """Permute all dimensions."""
        return self.op("Transpose", x, perm=list(order))

    def reshape(self, x: str, *shape: int) -> str:
        """Give another shape; 0 keeps a dimension, -1 takes what is left."""
        return self.op("Reshape", x, self.constant(shape, np.int64))

    def embed(self, codes: str, layer: nn.Embedding) -> str:
        """Look codes up: any shape to that shape with one more dimension."""
        return self.op("Gather", self.constant(layer.weight), codes)

    def dense(self, x: str, layer: nn.Linear) -> str:
        """Apply a linear layer to the last dimension."""
        return self._affine(x, layer.weight, layer.bias)

    def _affine(self, x: str, weight: torch.Tensor, bias: torch.Tensor | None) -> str:
        y = self.op("MatMul", x, self.constant(weight.T))
        return y if bias is None else self.op("Add", y, self.constant(bias))

    def layer_norm(self, x: str, layer: nn.LayerNorm) -> str:
        """Normalise the last dimension."""
        return self.op(
            "LayerNormalization", x, self.constant(layer.weight), self.constant(layer.bias), axis=-1, epsilon=layer.eps
        )

    def conv(self, x: str, layer: nn.Conv1d | nn.Conv2d | nn.ConvTranspose1d) -> str:
        """Convolve (batch, channels, …) with zero padding given in numbers."""
        turned = isinstance(layer, nn.ConvTranspose1d)
        assert not isinstance(layer.padding, str)  # noqa: S101 - our own networks pad by numbers
        inputs = [x, self.constant(layer.weight), *([self.constant(layer.bias)] if layer.bias is not None else [])]
        more = {"output_padding": list(layer.output_padding)} if turned else {}
        return self.op(
            "ConvTranspose" if turned else "Conv",
            *inputs,
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=[*layer.padding, *layer.padding],
            dilations=list(layer.dilation),
            group=layer.groups,
            **more,
        )

    def lstm(self, x: str, layer: nn.LSTM, lengths: str = "") -> str:
        """Run a (stacked, bidirectional) LSTM from a zero state; returns the states of its top layer.

        Takes (batch, time, features) where the layer is ``batch_first``, else (time, batch, features), and returns the
        like, with twice the features where it is bidirectional. ``lengths`` int32 (batch,) are needed only where a
        bidirectional one reads padded sequences; torch's counterpart is a packed sequence.
        """
        y = self.transpose(x, 1, 0, 2) if layer.batch_first else x
        for number in range(layer.num_layers):
            y = self.lstm_layer(y, layer, number, lengths)[0]
        return self.transpose(y, 1, 0, 2) if layer.batch_first else y

    def lstm_layer(
        self, x: str, layer: nn.LSTM, number: int = 0, lengths: str = "", h0: str = "", c0: str = ""
    ) -> tuple[str, str, str]:
        """Run one layer of an LSTM over (time, batch, features), with its state carried if given.

        Returns the outputs (time, batch, directions * hidden) and the last states ``h`` and ``c``, each (directions,
        batch, hidden), as ``h0`` and ``c0`` have to be.
        """
        ways = ["", "_reverse"] if layer.bidirectional else [""]
        w, r, b = ([] for _ in range(3))
        for way in ways:
            weights = {
                k: getattr(layer, f"{k}_l{number}{way}").detach().cpu().numpy() for k in ("weight_ih", "weight_hh")
            }
            w.append(_gates(weights["weight_ih"]))
            r.append(_gates(weights["weight_hh"]))
            biases = [getattr(layer, f"{k}_l{number}{way}").detach().cpu().numpy() for k in ("bias_ih", "bias_hh")]
            b.append(np.concatenate([_gates(one) for one in biases]))
        inputs = [x, *(self.constant(np.stack(one)) for one in (w, r, b)), lengths, h0, c0]
        while not inputs[-1]:
            inputs.pop()
        direction = "bidirectional" if layer.bidirectional else "forward"
        y, h, c = self.ops("LSTM", 3, *inputs, hidden_size=layer.hidden_size, direction=direction)
        # ONNX keeps the directions apart: (time, directions, batch, hidden).
        if not layer.bidirectional:
            return self.op("Squeeze", y, self.constant([1], np.int64)), h, c
        return self.reshape(self.transpose(y, 0, 2, 1, 3), 0, 0, -1), h, c

    def attention(self, x: str, layer: nn.MultiheadAttention, padded: str = "") -> str:
        """Let each place of (batch, time, features) attend to all of its row (self-attention, Vaswani et al., 2017).

        Args:
            x: the value.
            layer: its embedding size is that of ``x``.
            padded: bool (batch, time), true where nothing may be attended to; torch's ``key_padding_mask``.
        """
        heads, size = layer.num_heads, layer.embed_dim
        rows = self._affine(x, layer.in_proj_weight, layer.in_proj_bias)
        three = self.transpose(self.reshape(rows, 0, 0, 3, heads, size // heads), 2, 0, 3, 1, 4)
        query, key, value = (self.op("Gather", three, self.constant(i, np.int64), axis=0) for i in range(3))
        query = self.op("Mul", query, self.constant(1 / math.sqrt(size // heads), np.float32))
        scores = self.op("MatMul", query, self.transpose(key, 0, 1, 3, 2))
        if padded:
            wide = self.op("Unsqueeze", padded, self.constant([1, 2], np.int64))
            # Not minus infinity: a row of nothing but padding has to stay a number.
            scores = self.op("Where", wide, self.constant(-1e9, np.float32), scores)
        mixed = self.op("MatMul", self.softmax(scores), value)
        joined = self.reshape(self.transpose(mixed, 0, 2, 1, 3), 0, 0, size)
        return self.dense(joined, layer.out_proj)

    def encoder_layer(self, x: str, layer: nn.TransformerEncoderLayer, padded: str = "") -> str:
        """Run a transformer's encoder layer over (batch, time, features), with relu or gelu, norm first or last."""

        def attend(y: str) -> str:
            return self.attention(y, layer.self_attn, padded)

        def feed(y: str) -> str:
            inner = self.dense(y, layer.linear1)
            gelu = layer.activation is nn.functional.gelu
            return self.dense(self.gelu(inner) if gelu else self.relu(inner), layer.linear2)

        for part, norm in ((attend, layer.norm1), (feed, layer.norm2)):
            if layer.norm_first:
                x = self.op("Add", x, part(self.layer_norm(x, norm)))
            else:
                x = self.layer_norm(self.op("Add", x, part(x)), norm)
        return x


def _dtype(dtype: DTypeLike) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def _gates(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder torch's gates (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    i, f, g, o = np.split(weight, 4)
    return np.concatenate([i, o, f, g])

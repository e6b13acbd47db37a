"""The LSTM's weights, read from the ONNX bytes it scores with: no torch and no onnx, so every installation can look.

ONNX files are Protocol Buffers; of their wire format [1] only what our own graphs hold is read.

[1] https://protobuf.dev/programming-guides/encoding/ and https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offbeat.errors import ModelError

Floats32 = NDArray[np.float32]

#: Field numbers of onnx.proto.
_MODEL_GRAPH, _GRAPH_NODE, _GRAPH_TENSOR = 7, 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND = 1, 2, 4
_TENSOR_DIMS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_RAW = 1, 2, 8, 9
_FLOAT = 1


@dataclass(frozen=True)
class Weights:
    """What the network of ``detect.lstm`` holds; gates are in torch's order: input, forget, cell, output.

    Attributes:
        embed: of each token, float32 (vocabulary, embedding).
        input, recurrent: of the gates, (4 * hidden, embedding) and (4 * hidden, hidden).
        input_bias, recurrent_bias: of the gates, (4 * hidden,).
        out, out_bias: of the logits, (vocabulary, hidden) and (vocabulary,).
    """

    embed: Floats32
    input: Floats32
    recurrent: Floats32
    input_bias: Floats32
    recurrent_bias: Floats32
    out: Floats32
    out_bias: Floats32

    @property
    def hidden(self) -> int:
        """Number of hidden units."""
        return int(self.recurrent.shape[1])


def read_weights(network: bytes) -> Weights:
    """Return the weights of a graph that ``nets.to_onnx.next_event_graph`` wrote; raises ModelError for any other."""
    try:
        graph = next(value for number, value in _fields(memoryview(network)) if number == _MODEL_GRAPH)
        parts = list(_fields(_bytes(graph)))
        tensors = dict(_tensor(_bytes(value)) for number, value in parts if number == _GRAPH_TENSOR)
        nodes = [_node(_bytes(value)) for number, value in parts if number == _GRAPH_NODE]
        # Names of tensors say nothing, and equal ones are stored once: each is found by the node that reads it.
        embed = next(inputs for kind, inputs, _ in nodes if kind == "Gather")
        lstm = next(inputs for kind, inputs, _ in nodes if kind == "LSTM")
        dense = next((inputs, outputs) for kind, inputs, outputs in nodes if kind == "MatMul")
        bias = next(inputs for kind, inputs, _ in nodes if kind == "Add" and inputs[0] == dense[1][0])
        both = tensors[lstm[3]][0]
        half = len(both) // 2
        return Weights(
            embed=tensors[embed[0]],
            input=_gates(tensors[lstm[1]][0]),
            recurrent=_gates(tensors[lstm[2]][0]),
            input_bias=_gates(both[:half]),
            recurrent_bias=_gates(both[half:]),
            out=np.ascontiguousarray(tensors[dense[0][1]].T),
            out_bias=tensors[bias[1]],
        )
    except (StopIteration, KeyError, IndexError, ValueError, TypeError) as error:
        raise ModelError("holds another network than an LSTM over events", where="lstm-network.onnx") from error


def _gates(weight: Floats32) -> Floats32:
    """Reorder ONNX's gates (input, output, forget, cell) to torch's (input, forget, cell, output)."""
    i, o, f, g = np.split(weight, 4)
    return np.concatenate([i, f, g, o])


def _tensor(data: memoryview) -> tuple[str, Floats32]:
    """Return a tensor's name and values; of another type than float32 an empty array, for no weight is."""
    name, raw, dims, kind = "", memoryview(b""), list[int](), 0
    for number, value in _fields(data):
        if number == _TENSOR_NAME:
            name = bytes(_bytes(value)).decode()
        elif number == _TENSOR_RAW:
            raw = _bytes(value)
        elif number == _TENSOR_TYPE:
            kind = _number(value)
        elif number == _TENSOR_DIMS:
            dims.append(_number(value))
    if kind != _FLOAT:
        return name, np.empty(0, np.float32)
    return name, np.frombuffer(raw, "<f4").astype(np.float32).reshape(dims)


def _node(data: memoryview) -> tuple[str, list[str], list[str]]:
    """Return a node's operator and the names of its inputs and outputs."""
    kind, inputs, outputs = "", list[str](), list[str]()
    for number, value in _fields(data):
        if number == _NODE_KIND:
            kind = bytes(_bytes(value)).decode()
        elif number in (_NODE_INPUT, _NODE_OUTPUT):
            (inputs if number == _NODE_INPUT else outputs).append(bytes(_bytes(value)).decode())
    return kind, inputs, outputs


def _fields(data: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield the number and value of each field of a message: an integer, or bytes; ValueError for anything else."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        if key & 7 == 0:
            value, at = _varint(data, at)
            yield key >> 3, value
        elif key & 7 == 2:
            size, at = _varint(data, at)
            if at + size > len(data):
                raise ValueError("cut off")
            yield key >> 3, data[at : at + size]
            at += size
        elif key & 7 in (1, 5):
            at += 8 if key & 7 == 1 else 4
        else:
            raise ValueError("no such wire type")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return the integer at a place, seven bits a byte, lowest first, and the place after it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise TypeError("an integer where bytes should be")
    return value


def _number(value: int | memoryview) -> int:
    if not isinstance(value, int):
        raise TypeError("bytes where an integer should be")
    return value

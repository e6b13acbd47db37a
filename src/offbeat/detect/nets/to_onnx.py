"""Write a trained next-event network as an ONNX graph that scores sequences.

The graph is built node by node, so that its bytes depend on the weights alone and its inputs are what scoring needs:
tokens in, the log-probability of each following token out, and the LSTM's state both ways.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from offbeat.detect.nets.next_event import NextEvent


def _gates(weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Reorder torch's gates (input, forget, cell, output) to ONNX's (input, output, forget, cell)."""
    i, f, g, o = np.split(weight, 4)
    return np.concatenate([i, o, f, g])


def next_event_graph(net: NextEvent) -> bytes:
    """Return the serialised model.

    Inputs: ``read`` int64 (time, batch), ``predict`` int64 (time, batch), ``h0`` and ``c0`` float32 (1, batch, hidden).
    Outputs, computed only where asked: ``log_p`` float32 (time, batch) of the token to predict, ``best`` float32 (time,
    batch) of the most probable one, ``all`` float32
    (time, batch, vocabulary), the log-probability of every token, and the states ``h`` and ``c``.
    """
    w = {k: v.detach().numpy() for k, v in net.state_dict().items()}
    hidden = net.lstm.hidden_size
    bias = np.concatenate([_gates(w["lstm.bias_ih_l0"]), _gates(w["lstm.bias_hh_l0"])])
    constants = {
        "embed": w["embed.weight"],
        "W": _gates(w["lstm.weight_ih_l0"])[None],
        "R": _gates(w["lstm.weight_hh_l0"])[None],
        "B": bias[None],
        "out_w": w["out.weight"].T.copy(),
        "out_b": w["out.bias"],
        "axis1": np.array([1], dtype=np.int64),
        "axis2": np.array([2], dtype=np.int64),
    }
    nodes = [
        helper.make_node("Gather", ["embed", "read"], ["x"]),
        helper.make_node("LSTM", ["x", "W", "R", "B", "", "h0", "c0"], ["y4", "h", "c"], hidden_size=hidden),
        helper.make_node("Squeeze", ["y4", "axis1"], ["y"]),
        helper.make_node("MatMul", ["y", "out_w"], ["z0"]),
        helper.make_node("Add", ["z0", "out_b"], ["z"]),
        helper.make_node("LogSoftmax", ["z"], ["all"], axis=2),
        helper.make_node("Unsqueeze", ["predict", "axis2"], ["index"]),
        helper.make_node("GatherElements", ["all", "index"], ["picked"], axis=2),
        helper.make_node("Squeeze", ["picked", "axis2"], ["log_p"]),
        helper.make_node("ReduceMax", ["all", "axis2"], ["best"], keepdims=0),
    ]
    ints = [helper.make_tensor_value_info(n, TensorProto.INT64, ["time", "batch"]) for n in ("read", "predict")]
    states = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "batch", hidden]) for n in ("h0", "c0")]
    outs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["time", "batch"]) for n in ("log_p", "best")]
    outs += [helper.make_tensor_value_info("all", TensorProto.FLOAT, ["time", "batch", len(w["out.bias"])])]
    outs += [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "batch", hidden]) for n in ("h", "c")]
    tensors = [numpy_helper.from_array(np.ascontiguousarray(v), k) for k, v in constants.items()]
    graph = helper.make_graph(nodes, "next-event", ints + states, outs, tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())

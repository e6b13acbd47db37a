"""Write a trained next-event network as an ONNX graph that scores sequences: tokens in, ln p out."""

from __future__ import annotations

import numpy as np

from offbeat.detect.nets.graph import Graph
from offbeat.detect.nets.next_event import NextEvent


def next_event_graph(net: NextEvent) -> bytes:
    """Return the serialised model.

    Inputs: ``read`` int64 (time, batch), ``predict`` int64 (time, batch), ``h0`` and ``c0`` float32 (1, batch, hidden).
    Outputs, computed only where asked: ``log_p`` float32 (time, batch) of the token to predict, ``best`` float32 (time,
    batch) of the most probable one, ``all`` float32 (time, batch, vocabulary), the log-probability of every token, and
    the states ``h`` and ``c``.
    """
    g = Graph("next-event")
    read, predict = (g.input(n, np.int64, ["time", "batch"]) for n in ("read", "predict"))
    h0, c0 = (g.input(n, np.float32, [1, "batch", net.lstm.hidden_size]) for n in ("h0", "c0"))
    # Time comes first here, whatever the layer's layout in training.
    y, h, c = g.lstm_layer(g.embed(read, net.embed), net.lstm, h0=h0, c0=c0)
    every = g.softmax(g.dense(y, net.out), axis=2, log=True)
    axis = g.constant([2], np.int64)
    picked = g.op("GatherElements", every, g.op("Unsqueeze", predict, axis), axis=2)
    g.output("log_p", g.op("Squeeze", picked, axis), np.float32, ["time", "batch"])
    g.output("best", g.op("ReduceMax", every, axis, keepdims=0), np.float32, ["time", "batch"])
    g.output("all", every, np.float32, ["time", "batch", net.out.out_features])
    for name, state in (("h", h), ("c", c)):
        g.output(name, state, np.float32, [1, "batch", net.lstm.hidden_size])
    return g.to_bytes()

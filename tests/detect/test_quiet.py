"""Scoring keeps to itself: the library that runs the networks tells nobody of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import onnx

SCORE = """
import sys, numpy as np
from offbeat.detect.neural import open_network
session = open_network(open(sys.argv[1], "rb").read())
print(session.run(None, {"x": np.ones(3, np.float32)})[0].sum())
"""


def test_scoring_leaves_nothing_at_home(tmp_path: Path) -> None:
    """ONNX Runtime's telemetry keeps a device id and a database in the user's home, and must not be on."""
    one = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [3])
    other = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [3])
    graph = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "same", [one], [other])
    network = tmp_path / "network.onnx"
    network.write_bytes(
        onnx.helper.make_model(
            graph, ir_version=8, opset_imports=[onnx.helper.make_opsetid("", 17)]
        ).SerializeToString()
    )
    home = tmp_path / "home"
    home.mkdir()
    # Its telemetry is off where a build server is recognised, as in these tests it may be.
    hidden = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "GITLAB_CI", "JENKINS_URL", "ORT_DISABLE_TELEMETRY")
    kept = {k: v for k, v in os.environ.items() if k not in hidden and not k.startswith("XDG_")}
    done = subprocess.run(
        [sys.executable, "-c", SCORE, str(network)], env=kept | {"HOME": str(home)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["3.0"]
    assert not list(home.rglob("*"))

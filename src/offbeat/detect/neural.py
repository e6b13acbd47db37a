"""What detectors share that score with a network: trained in PyTorch, scored in ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from offbeat.detect.base import Detector, State
from offbeat.errors import ModelError

if TYPE_CHECKING:
    from offbeat.detect.nets.trainer import Limits


def open_network(network: bytes) -> Any:
    """Return an ONNX Runtime session of a serialised model, on one thread of the CPU.

    ONNX Runtime of PyPI (1.29 and later, on Linux too) tells its maker of each session unless told not to: it is told
    not to, before it is loaded, unless the user's environment says otherwise.

    Raises:
        ModelError: it is no network, or one that names what lies outside of the model.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    import onnxruntime as ort

    options = ort.SessionOptions()
    # Two threads on two busy cores were measured 40 times slower than one.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    # Its arena keeps the most that any batch needed, and made nothing faster.
    options.enable_cpu_mem_arena = False
    options.log_severity_level = 4  # what fails is raised; of warnings users can make nothing
    try:
        return ort.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no class in common that is public
        why = " ".join(str(error).split())[:200]
        raise ModelError(f"holds a network that cannot be run: {why}", where="model", hint="learn it again") from None


class Neural(Detector):
    """A detector that scores with networks: holds them as ONNX, runs them, saves them.

    ``_fit`` sets ``networks_`` (ONNX bytes by name) and ``history_`` (training and validation loss of each pass). What
    else a detector learns goes into ``_learned`` and is taken back by ``_take``.
    """

    trains_with: ClassVar[tuple[str, ...]] = ("torch", "onnx")
    #: Told of each pass of training: the pass, the most there can be, the validation loss.
    progress: Callable[[int, int, float], None] | None = None

    epochs: int
    patience: int
    learning_rate: float
    seed: int
    checkpoint: str

    networks_: dict[str, bytes]
    history_: list[tuple[float, float]]

    def _limits(self, work: int, plateau: int = 1) -> Limits:
        """Return the limits of training, see ``nets.trainer.Limits``, from the parameters that all networks have."""
        from offbeat.detect.nets.trainer import Limits

        return Limits(self.epochs, self.patience, self.learning_rate, plateau=plateau, work=work, seed=self.seed)

    def _run(self, outputs: Sequence[str], inputs: Mapping[str, NDArray[Any]], name: str = "network") -> list[Any]:
        """Run a network; returns the named outputs as arrays."""
        opened: dict[str, tuple[bytes, Any]] = self.__dict__.setdefault("_opened", {})
        network = self.networks_[name]
        if name not in opened or opened[name][0] is not network:
            opened[name] = network, open_network(network)
        found = opened[name][1].run(list(outputs), dict(inputs))
        return [np.asarray(one) for one in found]

    def _learned(self) -> State:
        """Return what scoring needs beside the networks."""
        return State()

    def _take(self, state: State) -> None:
        """Take back what ``_learned`` returned."""

    def state(self) -> State:
        """Return the networks as ONNX, the losses of their training, and what else was learned."""
        learned = self._learned()
        losses = pl.DataFrame(self.history_, schema={"training": pl.Float64, "validation": pl.Float64}, orient="row")
        values = learned.values | {"sequences_seen": self.sequences_seen_}
        if self.reads:
            values["reads"] = list(self.reads_)
        return State(values, learned.frames | {"losses": losses}, dict(self.networks_))

    def restore(self, state: State) -> Self:
        """Take up a saved state; needs neither torch nor onnx."""
        self._restored(state.values)
        self.history_ = state.frames["losses"].rows()
        self.networks_ = dict(state.onnx)
        self._take(state)
        return self

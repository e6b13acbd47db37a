"""Where a training stands, as a file: written after each pass, taken up after an interrupt.

An ``.npz`` archive of plain arrays and one JSON text, read with ``allow_pickle=False``: nothing in it can be executed.
"""

from __future__ import annotations

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from offbeat.errors import OptionError

if TYPE_CHECKING:
    from offbeat.detect.nets.trainer import Batches, Limits, Standing

    Schedule = torch.optim.lr_scheduler.ReduceLROnPlateau

#: Of the schedule, what changes as it goes.
_SCHEDULE = ("best", "cooldown_counter", "num_bad_epochs", "last_epoch")
_WHERE = "--param checkpoint"
#: What reading a file raises that is no checkpoint of this training, or not a whole one.
_DAMAGED = (
    *(OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError, RecursionError),
    *(zipfile.BadZipFile, zlib.error),
)


@dataclass(frozen=True)
class Checkpoint:
    """One training's file."""

    path: Path

    @classmethod
    def open(cls, folder: str, net: nn.Module, parts: Iterable[Batches], limits: Limits) -> Self:
        """Return the checkpoint of a training: its name follows from the network, the data and the limits.

        The most passes there may be is left out, so that a training that has ended can be taken further.

        Raises:
            OptionError: the folder cannot be made.
        """
        digest = hashlib.blake2s()
        for name, value in net.state_dict().items():
            digest.update(name.encode() + value.cpu().numpy().tobytes())
        for part in parts:
            for batch in part(None):
                for array in batch.arrays:
                    digest.update(f"{array.shape}{array.dtype}".encode() + np.ascontiguousarray(array).tobytes())
        kept = {k: v for k, v in asdict(limits).items() if k != "epochs"}
        digest.update(json.dumps(kept, sort_keys=True).encode())
        try:
            Path(folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OptionError(
                f"cannot hold checkpoints: {error.strerror}", where=_WHERE, hint="name a folder"
            ) from None
        return cls(Path(folder) / f"{digest.hexdigest()[:24]}.npz")

    def write(
        self,
        net: nn.Module,
        best: Mapping[str, torch.Tensor],
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        now: Standing,
        rng: np.random.Generator,
    ) -> None:
        """Write everything the next pass depends on, in one step.

        Raises:
            OptionError: the file cannot be written.
        """
        arrays = {f"net.{k}": v.cpu().numpy() for k, v in net.state_dict().items()}
        arrays |= {f"best.{k}": v.cpu().numpy() for k, v in best.items()}
        adam = optimiser.state_dict()
        for i, values in adam["state"].items():
            arrays |= {f"adam.{i}.{k}": v.cpu().numpy() for k, v in values.items()}
        arrays["torch"] = torch.get_rng_state().numpy()
        if torch.cuda.is_available():
            arrays["cuda"] = torch.cuda.get_rng_state().numpy()
        plain = {
            "standing": asdict(now),
            "rate": adam["param_groups"][0]["lr"],
            "schedule": {k: getattr(schedule, k) for k in _SCHEDULE},
            "rng": rng.bit_generator.state,
        }
        arrays["plain"] = np.frombuffer(json.dumps(plain).encode(), dtype=np.uint8)
        # Of its own process: two trainings of the same network on the same data may share the folder.
        beside = self.path.with_suffix(f".{os.getpid()}.part")
        try:
            with beside.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            beside.replace(self.path)
        except OSError as error:
            raise OptionError(f"cannot be written: {error.strerror}", where=str(self.path)) from None
        finally:
            beside.unlink(missing_ok=True)

    def restore(
        self,
        net: nn.Module,
        best: dict[str, torch.Tensor],
        optimiser: torch.optim.Optimizer,
        schedule: Schedule,
        now: Standing,
        rng: np.random.Generator,
    ) -> dict[str, torch.Tensor]:
        """Take up what was written, if anything was; returns the best weights so far.

        Raises:
            OptionError: the file is damaged.
        """
        if not self.path.exists():
            return best
        try:
            # Opened here, for numpy leaves a damaged file open.
            with self.path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                arrays: dict[str, NDArray[Any]] = dict(archive)
            return _taken_up(arrays, net, best, optimiser, schedule, now, rng)
        except _DAMAGED as error:
            why = " ".join(str(error).split())[:200]
            raise OptionError(
                f"cannot be read as a checkpoint: {why}", where=str(self.path), hint="delete it"
            ) from None


def _taken_up(
    arrays: Mapping[str, NDArray[Any]],
    net: nn.Module,
    best: Mapping[str, torch.Tensor],
    optimiser: torch.optim.Optimizer,
    schedule: Schedule,
    now: Standing,
    rng: np.random.Generator,
) -> dict[str, torch.Tensor]:
    """Give a training what its file holds; returns the best weights so far."""
    plain = json.loads(arrays["plain"].tobytes())
    net.load_state_dict(_part(arrays, "net."))
    # Only the state and the rate are saved: the rest of the groups follows from the limits.
    groups = optimiser.state_dict()["param_groups"]
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in _part(arrays, "adam.").items():
        i, _, key = name.partition(".")
        state.setdefault(int(i), {})[key] = value
    groups[0]["lr"] = plain["rate"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
    for key in _SCHEDULE:
        setattr(schedule, key, plain["schedule"][key])
    now.best, now.since, now.spent = (plain["standing"][k] for k in ("best", "since", "spent"))
    now.history = [(learned, valid) for learned, valid in plain["standing"]["history"]]
    rng.bit_generator.state = plain["rng"]
    torch.set_rng_state(torch.from_numpy(arrays["torch"]))
    if "cuda" in arrays and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.from_numpy(arrays["cuda"]))
    return {k: v.to(best[k].device) for k, v in _part(arrays, "best.").items()}


def _part(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, torch.Tensor]:
    """Return the arrays whose names begin with ``prefix``, without it, as tensors."""
    return {k.removeprefix(prefix): torch.from_numpy(v) for k, v in arrays.items() if k.startswith(prefix)}

"""The trainer: what it learns, when it stops, and that an interrupted training ends where it would have."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from samples import QUICK, sequences
from torch import nn

from offbeat.detect import LSTM
from offbeat.detect.nets.trainer import Batch, Limits, hold_back, seeded, train
from offbeat.errors import OptionError

LIMITS = Limits(epochs=8, patience=8, learning_rate=0.01, seed=4)


class Net(nn.Module):
    """A small network with dropout, so that torch's randomness matters, and a buffer that training changes."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)[:, 0]


def squared(net, x, y):
    """Return the summed squared error."""
    return ((net(x) - y) ** 2).sum()


def points(n=96, seed=0):
    """Return inputs and what a network should make of them."""
    x = np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)
    return x, (x[:, 0] - 2 * x[:, 1]).astype(np.float32)


def maker(x, y, size=16):
    """Return a maker of batches."""

    def batches(rng):
        order = rng.permutation(len(x)) if rng else np.arange(len(x))
        for at in range(0, len(x), size):
            part = order[at : at + size]
            yield Batch((x[part], y[part]), float(len(part)), len(part))

    return batches


def run(limits=LIMITS, progress=None, checkpoint=""):
    """Train a network on the points; returns it and its history."""
    with seeded(limits.seed):
        net = Net()
    rng = np.random.Generator(np.random.PCG64(limits.seed))
    history = train(net, maker(*points()), maker(*points(40, 1)), squared, limits, rng, progress, checkpoint)
    return net, history


def same(one, other):
    """Return whether two networks have exactly the same weights and buffers."""
    return all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_it_learns_and_repeats():
    """The loss falls; the same seed gives the same weights, another seed others; torch's generator is left alone."""
    before = torch.random.get_rng_state()
    (one, history), (two, again), (other, _) = run(), run(), run(replace(LIMITS, seed=5))
    assert history[-1][1] < history[0][1]
    assert history == again
    assert same(one, two)
    assert not same(one, other)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not one.training


@pytest.mark.parametrize("passes", [1, 3, 7])
def test_an_interrupted_training_ends_where_it_would_have(tmp_path, passes):
    """Stopped after any pass and begun anew with its checkpoint, training gives exactly the same weights."""

    def stop(now, most, loss):
        if now == passes:
            raise KeyboardInterrupt

    whole, history = run()
    with pytest.raises(KeyboardInterrupt):
        run(progress=stop, checkpoint=str(tmp_path / "kept"))
    told = []
    resumed, other = run(progress=lambda *what: told.append(what[0]), checkpoint=str(tmp_path / "kept"))
    assert told == list(range(passes + 1, 9))
    assert other == history
    assert same(whole, resumed)


def test_a_finished_training_is_not_repeated_but_can_be_taken_further(tmp_path):
    """With the same folder nothing is learned again; with more passes allowed it goes on."""
    first, history = run(checkpoint=str(tmp_path))
    told = []
    again, other = run(progress=lambda *what: told.append(what), checkpoint=str(tmp_path))
    assert (told, other, same(first, again)) == ([], history, True)
    further, longer = run(replace(LIMITS, epochs=12), checkpoint=str(tmp_path))
    assert longer[: len(history)] == history
    assert same(further, run(replace(LIMITS, epochs=12))[0])


def test_trainings_share_a_folder(tmp_path):
    """Another seed, or other data, has a file of its own; none is executable, and nothing half-written stays."""
    run(checkpoint=str(tmp_path))
    run(replace(LIMITS, seed=9), checkpoint=str(tmp_path))
    files = sorted(tmp_path.iterdir())
    assert [f.suffix for f in files] == [".npz", ".npz"]
    with np.load(files[0], allow_pickle=False) as archive:
        assert all(archive[name].dtype != object for name in archive.files)


def test_a_damaged_checkpoint_is_refused(tmp_path):
    """A checkpoint that cannot be read is named, and what to do."""
    run(checkpoint=str(tmp_path))
    path = next(tmp_path.iterdir())
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(OptionError, match="cannot be read as a checkpoint") as caught:
        run(checkpoint=str(tmp_path))
    assert path.name in caught.value.where
    (tmp_path / "file").write_text("")
    with pytest.raises(OptionError, match="cannot hold checkpoints"):
        run(checkpoint=str(tmp_path / "file"))


@pytest.mark.parametrize("name", ["plain", "net.", "torch"])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, name):
    """A whole archive that lacks a part, or whose part has another shape, is damaged, too."""
    run(checkpoint=str(tmp_path))
    path = next(tmp_path.iterdir())
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    one = next(key for key in arrays if key.startswith(name))
    for changed in ({k: v for k, v in arrays.items() if k != one}, arrays | {one: np.arange(3)}):
        np.savez(path, **changed)
        with pytest.raises(OptionError, match="cannot be read as a checkpoint"):
            run(replace(LIMITS, epochs=12), checkpoint=str(tmp_path))


def test_an_interrupted_checkpoint_leaves_nothing_half_written(tmp_path, monkeypatch):
    """Stopped while a checkpoint is written, the one before stays, and nothing else."""
    run(checkpoint=str(tmp_path))
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def stop(file, **_):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez", stop)
    with pytest.raises(KeyboardInterrupt):
        run(replace(LIMITS, epochs=12), checkpoint=str(tmp_path))
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_it_stops_when_it_gets_no_better():
    """Without a better validation loss it stops after the patience, and keeps the best weights."""
    limits = replace(LIMITS, epochs=50, patience=3, least=1e9)
    net, history = run(limits)
    assert len(history) == 1 + 3
    assert same(net, run(replace(limits, epochs=1))[0])


def test_the_budget_of_work_ends_it():
    """No more is learned from than the budget allows, and a pass takes a twelfth of it."""
    _, history = run(replace(LIMITS, epochs=50, patience=50, work=12 * 32))
    assert len(history) == 12


def test_units_held_back_keep_their_share():
    """A sequence that stands for many is split in proportion; nothing is lost."""
    weight = np.array([1000.0, 1.0, 1.0, 500.0])
    learn, check = hold_back(weight, 0.2, np.random.default_rng(0))
    np.testing.assert_allclose(learn + check, weight / weight.mean())
    assert check[0] / (learn[0] + check[0]) == pytest.approx(0.2, abs=0.05)


def test_a_detector_resumes(tmp_path):
    """The LSTM, interrupted and fitted again with its checkpoints, is byte for byte what it would have been."""
    params = QUICK | {"epochs": 4}
    whole = LSTM(**params).fit(sequences(40))

    def stop(now, most, loss):
        if now == 2:
            raise KeyboardInterrupt

    cut = LSTM(**params, checkpoint=str(tmp_path))
    cut.progress = stop
    with pytest.raises(KeyboardInterrupt):
        cut.fit(sequences(40))
    assert LSTM(**params, checkpoint=str(tmp_path)).fit(sequences(40)).onnx_ == whole.onnx_

"""What starts must start fast: heavy libraries wait until something needs them."""

import subprocess
import sys
from pathlib import Path

import pytest

#: Libraries that no look at a log, no help and no scoring may load.
HEAVY = ("torch", "onnx", "sklearn", "pandas", "pyarrow", "matplotlib", "scipy", "jinja2", "pydantic")

_RUN = """
import sys
import offbeat
light = {"polars", "numpy", "onnxruntime", "rich"} & set(sys.modules)
assert not light, f"import offbeat loaded {light}"
from offbeat.cli import main
sys.argv = ["offbeat", *sys.argv[1:]]
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
print("LOADED", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def loaded(folder: Path, *arguments: str) -> set[str]:
    """Return the top-level modules that a command loads."""
    done = subprocess.run(
        [sys.executable, "-c", _RUN, *arguments], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.rsplit("LOADED", 1)[1].split())


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a log and a model with an LSTM."""
    from samples import QUICK, shop_log

    from offbeat import Lines, Pipeline

    folder = tmp_path_factory.mktemp("startup")
    (folder / "shop.log").write_text("\n".join(shop_log()) + "\n", encoding="utf-8")
    Pipeline(params=QUICK).fit(Lines(shop_log())).save(folder / "model")
    return folder


@pytest.mark.parametrize("arguments", [["--help"], ["detect", "--help"], ["bench", "--help"]], ids=" ".join)
def test_help_loads_nothing_heavy(tmp_path: Path, arguments: list[str]):
    """Help waits for no library of the stage rooms, not even Polars."""
    assert not loaded(tmp_path, *arguments) & {*HEAVY, "polars", "numpy", "onnxruntime"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["parse", "shop.log", "--json"],
        ["parse", "shop.log", "--columns", "timestamp,template_id", "--json"],
        ["patterns", "shop.log"],
        ["sniff", "shop.log"],
        ["compare", "shop.log", "shop.log"],
        ["detect", "shop.log", "-m", "model"],
        ["detect", "shop.log", "-m", "model", "--json", "--scores", "scores.parquet", "-o", "run"],
        ["detectors"],
    ],
    ids=lambda arguments: " ".join(arguments[:1] + [a for a in arguments if a.startswith("-")]),
)
def test_looking_and_scoring_load_no_learning_library(work: Path, arguments: list[str]):
    """What looks at a log or scores it with a saved model needs the core's libraries only."""
    assert not loaded(work, *arguments) & set(HEAVY)


def test_public_names_are_all_there():
    """Every name that the package promises can be had, and nothing else can."""
    import offbeat

    assert all(getattr(offbeat, name) is not None for name in offbeat.__all__)
    assert set(offbeat.__all__) <= set(dir(offbeat))
    with pytest.raises(AttributeError, match="no attribute 'Pipelines'"):
        _ = offbeat.Pipelines


def test_explaining_a_finding_loads_nothing_heavy(work: Path):
    """Why a finding is one, gradients included, is worked out with what the run holds, though its log changed."""
    from samples import QUICK

    from offbeat import Pipeline
    from offbeat.detection import write_run

    usual = [["open", "read", "close"] if i % 10 < 7 else ["open", "write", "close"] for i in range(600)]
    after = [one[:2] if i % 5 < 2 else list(one) for i, one in enumerate(usual[:300])]
    after[200] = ["open", "read", "audit", "audit", "write", "audit"]
    views = ["presence", "count", "isolation-forest", "lstm"]
    made = Pipeline(detectors=views, params=QUICK).fit(usual)
    run = made.score(after)
    found = run.find()
    assert run.habits is not None
    write_run(run, found, work / "changed", made)
    for one in found[:2]:
        assert not loaded(work, "explain", "changed", one.id) & {*HEAVY, "captum"}


def test_one_command_is_made_as_among_all():
    """The word that names a command makes this one alone, as it is among all; another word makes all of them."""
    from offbeat.cli import _command

    everything = _command()
    for name, command in everything.commands.items():
        alone = _command([name])
        assert list(alone.commands) == [name]
        assert [p.opts for p in alone.commands[name].params] == [p.opts for p in command.params]
        assert set(getattr(alone.commands[name], "commands", ())) == set(getattr(command, "commands", ()))
    for word in ("--help", "detct", ""):
        assert set(_command([word]).commands) == set(everything.commands)


def test_the_package_runs_as_a_program(tmp_path: Path):
    """``python -m offbeat`` is the command, with its exit codes and its words."""
    done = subprocess.run(
        [sys.executable, "-m", "offbeat", "detect", "nowhere.log"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.startswith("offbeat: nowhere.log")

"""The wheel is whole, and what it installs runs outside the checkout."""

import email
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "offbeat"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built without the network."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", folder, ROOT]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    (made,) = folder.glob("offbeat-*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the wheel installs, and nothing else."""
    target = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", target, wheel]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return target


def run(installed: Path, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a folder, with the dependencies of this environment."""
    env = {**os.environ, "PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(installed / "bin" / "offbeat"), *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300)


def test_every_file_of_the_package_is_in(wheel: Path):
    """Modules, the mark of typing, templates and styles: what is in the checkout is in the wheel."""
    files = {p.relative_to(PACKAGE.parent).as_posix() for p in PACKAGE.rglob("*") if p.is_file()}
    files = {name for name in files if "__pycache__" not in name}
    assert {"offbeat/py.typed", "offbeat/cli/__init__.py"} <= files
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == files


def test_metadata_says_what_users_need(wheel: Path):
    """The license file is in, the extras are there, and the core does not ask for PyTorch."""
    archive = zipfile.ZipFile(wheel)
    info = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
    assert info.replace("METADATA", "licenses/LICENSE") in archive.namelist()
    metadata = email.message_from_bytes(archive.read(info))
    assert {"train", "pandas", "plot", "all"} <= set(metadata.get_all("Provides-Extra", []))
    core = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert core
    assert not [line for line in core if line.startswith(("torch", "onnx>", "scikit", "pandas", "matplotlib"))]


def test_installed_command_helps_detects_and_loads_itself(installed: Path, shop_file: Path, tmp_path: Path):
    """Help, then a detection that learns, saves and reports, all from the installed files."""
    shown = run(installed, tmp_path, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "detect" in shown.stdout
    quick = ["--param", "epochs=12", "--param", "hidden=16", "--param", "embedding=8"]
    fitted = run(installed, tmp_path, "fit", str(shop_file), "-o", "model", *quick)
    assert fitted.returncode == 0, fitted.stderr
    found = run(installed, tmp_path, "detect", str(shop_file), "-m", "model", "--html", "report.html")
    assert found.returncode == 0, found.stderr
    assert "payment gateway refused" in found.stdout
    assert "</html>" in (tmp_path / "report.html").read_text(encoding="utf-8")
    code = "import offbeat, pathlib; print(pathlib.Path(offbeat.__file__).parent)"
    env = {**os.environ, "PYTHONPATH": str(installed)}
    where = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert where.stdout.strip() == str(installed / "offbeat")

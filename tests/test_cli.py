"""The command line: exit codes, what stands on stdout and stderr, and what is left behind."""

import gzip
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import orjson
import polars as pl
import pytest
from samples import shop_log

from offbeat import Lines, Pipeline, bundle
from offbeat.cli import main

CASES = tomllib.loads((Path(__file__).parent / "golden" / "cli" / "bad_input.toml").read_text(encoding="utf-8"))["case"]
FAST = "--detector presence,count"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A folder with a good log, bad inputs of every kind, and models good and bad."""
    folder = tmp_path_factory.mktemp("prepared")
    text = "\n".join(shop_log()) + "\n"
    (folder / "shop.log").write_text(text)
    (folder / "tiny.log").write_text("\n".join(shop_log()[:8]) + "\n")
    (folder / "empty.log").write_text("")
    (folder / "binary.log").write_bytes(bytes(range(256)) * 40)
    (folder / "timeless.log").write_text("".join(f"tick {i} of the clock\n" for i in range(300)))
    (folder / "cut.log.gz").write_bytes(gzip.compress(text.encode())[:2000])
    (folder / "labels.csv").write_text("key,label\norder-1041,1\n")
    (folder / "others.csv").write_text("key,label\nblk_1,1\n")
    (folder / "foreign").mkdir()
    (folder / "foreign" / "precious.txt").write_text("keep")
    Pipeline(detectors=("presence", "count")).fit(Lines(shop_log())).save(folder / "model")
    for name in ("changed", "missing", "future"):
        shutil.copytree(folder / "model", folder / name)
    table = folder / "changed" / "presence-templates.parquet"
    data = bytearray(table.read_bytes())
    data[len(data) // 2] ^= 1
    table.write_bytes(data)
    (folder / "missing" / "presence-templates.parquet").unlink()
    body = orjson.loads((folder / "future" / "model.json").read_bytes())
    (folder / "future" / "model.json").write_bytes(orjson.dumps(body | {"version": 99}))
    bundle.write(folder / "run", {}, {}, {}, what=bundle.RUN)
    return folder


@pytest.fixture
def folder(prepared, tmp_path, monkeypatch) -> Path:
    """A copy of it, as the working folder."""
    shutil.copytree(prepared, tmp_path / "work")
    monkeypatch.chdir(tmp_path / "work")
    monkeypatch.delenv("OFFBEAT_MASK_KEY", raising=False)
    return tmp_path / "work"


@pytest.fixture
def offbeat(folder, monkeypatch, capfdbinary):
    """A function that runs a command line in this process; returns exit code, stdout and stderr."""

    def run(command: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["offbeat", *shlex.split(command)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfdbinary.readouterr()
        return int(end.value.code or 0), out.decode(), err.decode()

    return run


def everything(folder: Path) -> dict[str, bytes]:
    """Return all files below a folder, hidden ones too, with their bytes."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("case", CASES, ids=[case["command"] for case in CASES])
def test_bad_input(case, offbeat, folder):
    """One clear sentence on stderr, exit code 2, nothing on stdout, and every file as it was."""
    before = everything(folder)
    code, out, err = offbeat(case["command"].replace("\\", "\\\\"))
    assert code == case.get("code", 2), err
    assert out == case.get("output", "")
    if "error" in case:
        assert err == case["error"], case["why"]
    elif "error_starts" in case:
        assert err.startswith(case["error_starts"]), case["why"]
        assert err.count("\n") == 1
    else:
        assert case["error_contains"] in err, case["why"]
    assert "Traceback" not in err
    assert everything(folder) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_file_without_permission(offbeat, folder):
    """What may not be read is said in one sentence."""
    (folder / "shop.log").chmod(0)
    code, out, err = offbeat("detect shop.log")
    assert (code, out) == (2, "")
    assert err.startswith("offbeat: shop.log: ")
    assert "ermission" in err


def test_a_file_that_may_not_be_opened(offbeat, monkeypatch):
    """The same for root, whom the system does not refuse."""
    original = Path.open

    def refuse(self, *args, **kwargs):
        if self.name == "shop.log":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Path, "open", refuse)
    code, out, err = offbeat("detect shop.log")
    assert (code, out) == (2, "")
    assert "ermission" in err


def test_a_truncated_archive_is_read_as_far_as_it_goes(offbeat):
    """Detection shows what the readable part holds, says that the archive is cut, and exits with 2."""
    code, out, err = offbeat(f"detect cut.log.gz {FAST}")
    assert code == 2
    assert "lines" in out
    assert err == "offbeat: the gzip archive cut.log.gz is cut off at byte 2,000\n"


def test_fit_then_detect(offbeat, folder):
    """A model is written, used, and the odd session shown; messages go to stderr, results to stdout."""
    code, out, err = offbeat(f"fit shop.log -o new {FAST}")
    assert (code, out) == (0, "")
    assert "60 units" in err
    assert "next: offbeat detect FILES -m new" in err
    code, out, err = offbeat("detect shop.log -m new")
    assert (code, err) == (0, "")
    assert "order-1041" in out
    assert "payment gateway refused" in out
    assert not [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_a_model_is_replaced(offbeat, folder):
    """Fitting to where a model is replaces it."""
    before = (folder / "model" / "model.json").read_bytes()
    assert offbeat(f"fit shop.log -o model --window 10 {FAST}")[0] == 0
    assert (folder / "model" / "model.json").read_bytes() != before
    assert offbeat("detect shop.log -m model --window 10")[0] == 0


def test_json_is_lines_and_complete(offbeat):
    """--json prints one object a finding, all of them unless a limit is given, and nothing else on stdout."""
    code, out, err = offbeat(f"detect shop.log {FAST} --json --budget 100/1000")
    assert (code, err) == (0, "")
    found = [json.loads(line) for line in out.splitlines()]
    assert sum(one["units"] for one in found) == 6
    limited = offbeat(f"detect shop.log {FAST} --json --budget 100/1000 --limit 1")[1]
    assert limited == out.splitlines(keepends=True)[0]
    assert offbeat(f"detect shop.log {FAST} --json --limit 0")[1] == ""


def test_the_same_twice(offbeat):
    """The same command gives the same bytes."""
    command = f"detect shop.log {FAST} --json --budget 100/1000 --seed 5"
    assert offbeat(command) == offbeat(command)


def test_scores_and_run(offbeat, folder):
    """--scores writes a row a unit, -o a folder that holds the run; both replace what they wrote before."""
    for _ in range(2):
        assert offbeat("detect shop.log -m model --scores out/scores.parquet -o out/run")[0] == 0
    scores = pl.read_parquet(folder / "out" / "scores.parquet")
    assert scores.height == 60
    contract = "key start end file first_line last_line events open_at_end score p_value is_anomaly presence count"
    assert set(contract.split()) <= set(scores.columns)
    assert scores.filter("is_anomaly")["key"].to_list() == ["order-1041"]
    assert scores["file"].unique().to_list() == ["shop.log"]
    values, frames, others, _ = bundle.read(folder / "out" / "run", what=bundle.RUN)
    assert frames["scores"].equals(scores)
    assert json.loads(others["findings.jsonl"].splitlines()[0])["session"] == "order-1041"
    assert values["unit"] == "session"
    assert {p.name for p in (folder / "out").iterdir()} == {"scores.parquet", "run"}


LEVELS = ["low", "medium", "high", "critical"]


@pytest.mark.parametrize("level", LEVELS)
def test_fail_on(offbeat, level):
    """Exit code 3 where a finding is as severe as asked or more; the report is printed all the same."""
    severity = json.loads(offbeat("detect shop.log -m model --json")[1])["severity"]
    assert severity in LEVELS[:3], "the log has to leave a level that is not met"
    code, out, _ = offbeat(f"detect shop.log -m model --fail-on {level}")
    assert code == (3 if LEVELS.index(severity) >= LEVELS.index(level) else 0)
    assert "order-1041" in out


def test_fail_on_counts_what_a_limit_hides(offbeat):
    """A limit is for the eye; a finding that is not shown fails all the same."""
    assert offbeat("detect shop.log -m model --limit 0 --fail-on low")[0] == 3


def test_nothing_to_report(offbeat):
    """Outside the time of the odd session nothing is found, and that is said; the exit code is 0."""
    code, out, _ = offbeat("detect shop.log -m model --until 2026-03-01T08:05:00Z --fail-on low")
    assert code == 0
    assert "Nothing is off the beat" in out
    assert offbeat("detect shop.log -m model --until 2026-03-01T08:05:00Z --json") == (0, "", "")


def test_labels_are_left_out_and_compared(offbeat):
    """Fit --labels says how many were left out; evaluate prints metrics, as lines or as JSON."""
    assert "left out 1 units" in offbeat(f"fit shop.log -o new --labels labels.csv {FAST}")[2]
    code, out, _ = offbeat("evaluate new shop.log --labels labels.csv --json")
    assert code == 0
    assert json.loads(out)["recall"] == 1.0
    assert "recall" in offbeat("evaluate new shop.log --labels labels.csv")[1]


def test_masked_models_need_the_key(offbeat, monkeypatch):
    """With --mask the key comes from the environment; a masked model is not used without it."""
    monkeypatch.setenv("OFFBEAT_MASK_KEY", "secret")
    assert offbeat(f"fit shop.log -o new --mask {FAST}")[0] == 0
    code, _, err = offbeat("detect shop.log -m new")
    assert (code, err) == (2, "offbeat: new: was learned from masked text (give --mask)\n")
    assert offbeat("detect shop.log -m new --mask")[0] == 0


HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp [red]alarm[/red] [link=http://x]y[/link] \x9b31m :smile: \x00\x08"


def test_hostile_log_text_is_only_text(offbeat, folder):
    """Escapes, bidirectional marks, markup and NUL in a log are visible text, in report and errors."""
    log = [line.replace("payment gateway", f"payment {HOSTILE} gateway") for line in shop_log()]
    (folder / "bad\x1b[31m.log").write_text("\n".join(log) + "\n", encoding="utf-8", newline="")
    code, out, err = offbeat(f"detect 'bad\x1b[31m.log' {FAST}")
    assert (code, err) == (0, "")
    for bad in "\x1b\x07\u202e\x9b\x00\x08":
        assert bad not in out
    assert "[red]alarm[/red]" in out
    assert ":smile:" in out
    assert "\\x1b" in out
    code, _, err = offbeat("detect 'gone\x1b[31m\u202e.log'")
    assert code == 2
    assert "\x1b" not in err
    assert "\u202e" not in err
    found = json.loads(offbeat(f"detect 'bad\x1b[31m.log' {FAST} --json")[1])
    assert "\x1b]0;owned" in next(line["text"] for line in found["lines"] if line["mark"] == "worst")


def test_detectors_are_listed(offbeat):
    """One row a detector by its name, plain or as JSON."""
    plain, as_json = offbeat("detectors")[1], offbeat("detectors --json")[1]
    names = [json.loads(line)["name"] for line in as_json.splitlines()]
    assert {"presence", "count", "lstm"} <= set(names)
    assert [line.split("\t")[0].split()[0] for line in plain.splitlines() if line.split()[0] in names] == names


@pytest.mark.parametrize("command", ["--help", "-h", "fit --help", "detect -h", "evaluate --help", "detectors --help"])
def test_help(offbeat, command):
    """Help is printed with exit code 0."""
    code, out, _ = offbeat(command)
    assert code == 0
    assert "Usage" in out
    flags = [line for line in out.splitlines() if "--json" in line or "--clean" in line]
    assert not any("<" in line for line in flags)


def shell(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess:
    """Run a shell command with ``offbeat`` meaning this interpreter's."""
    here = shlex.quote(sys.executable)
    script = f"set -o pipefail; offbeat() {{ {here} -c 'from offbeat.cli import main; main()' \"$@\"; }}; {command}"
    return subprocess.run(
        ["bash", "-c", script], cwd=folder, capture_output=True, text=True, env=os.environ | environment, timeout=120
    )


def test_a_reader_that_goes_away_is_no_error(folder):
    """Piped into head, both the report and JSON end quietly with exit code 0."""
    for more in ("", "--json"):
        done = shell(folder, f"offbeat detect shop.log -m model --budget 500/1000 {more} | head -n 1")
        assert done.returncode == 0
        assert done.stderr == ""
        assert done.stdout.count("\n") == 1


def test_stdin_is_read(folder):
    """A dash is standard input, plain or compressed, for learning and scoring without a model in between."""
    plain = shell(folder, f"cat shop.log | offbeat detect - {FAST} --json")
    packed = shell(folder, f"gzip -c shop.log | offbeat detect - {FAST} --json")
    assert plain.returncode == packed.returncode == 0, plain.stderr
    assert plain.stdout == packed.stdout
    assert json.loads(plain.stdout)["session"] == "order-1041"


def test_a_terminal_that_knows_few_characters(folder):
    """Where stdout cannot encode a character, a mark stands in its place."""
    done = shell(folder, "offbeat detect shop.log -m model", PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert "order-1041" in done.stdout


@pytest.mark.parametrize(("what", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)])
def test_what_was_read_from_stdin_goes_whatever_stops_us(tmp_path, what, code):
    """Stopped while standard input is read, by whom or by a terminal that is closed, no copy of it is left."""
    command = [sys.executable, "-c", "from offbeat.cli import main; main()", "parse", "-"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)}
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b"secret\n" * 300_000)
        process.stdin.flush()
        while not list(tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(what)
        _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert b"Traceback" not in err
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_an_interrupted_fit_leaves_nothing(folder):
    """Interrupted while learning, the exit code is 130 and neither model nor temporary files are left."""
    before = everything(folder)
    command = [sys.executable, "-c", "from offbeat.cli import main; main()"]
    arguments = ["fit", "shop.log", "-o", "new", "--param", "lstm.epochs=100000", "--param", "lstm.patience=100000"]
    limits = ["--param", "lstm.tokens=1000000000"]
    with subprocess.Popen([*command, *arguments, *limits], cwd=folder, stderr=subprocess.PIPE) as process:
        try:
            process.communicate(timeout=6)
            pytest.fail("learning ended before it could be interrupted")
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert everything(folder) == before

"""Files that are meant to do harm do none, and each gets a one-line reason.

They are opened by ``benchmarks/guarded.py`` in a process of its own, in which Python's audit hook
stops and counts every program started, module imported, code executed, class unpickled and file
written, and which may take 1 GiB more than it had.
"""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MEMORY = 1024**3  # bytes
SECONDS = 30.0  # for the slowest file, on a busy machine


def _module(name: str):
    """Return a module of benchmarks/."""
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_module("hostile_pickles")
hostile_files = _module("hostile_files")
HOSTILE = hostile_files.HOSTILE
FORMATS = (
    "torch", "torch-legacy", "nvidia-pickle", "tf-pickle", "pickle-0", "pickle-2", "pickle-5",
    "safetensors", "npz", "npz-packed", "keras-h5",
)  # fmt: skip
PARTS = range(5, 100, 5)  # per cent


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory, valid_files) -> dict[str, dict]:
    """Write all files, open them in one guarded process, and return what came of each."""
    folder = tmp_path_factory.mktemp("hostile")
    hostile_files.write_hostile_files(folder)
    for name, path in valid_files.items():
        data = path.read_bytes()
        (folder / f"valid-{name}{path.suffix}").write_bytes(data)
        for part in PARTS:
            cut = data[: len(data) * part // 100]
            (folder / f"cut-{name}-{part}{path.suffix}").write_bytes(cut)
    before = sorted(path.name for path in folder.iterdir())
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "guarded.py"), *before],
        check=False,
        capture_output=True,
        text=True,
        cwd=folder,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{lines[-1:]}: {done.stderr[-2000:]}"
    # no canary, no prior, no part of one
    assert sorted(path.name for path in folder.iterdir()) == before
    return {line["file"]: line for line in lines if "file" in line}


def check_refused(verdict: dict, reason: str) -> None:
    assert verdict["outcome"] == "refused", verdict
    message = verdict["message"]
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 500
    assert message.startswith("Got ")
    assert "; wanted " in message
    assert any(part in message for part in reason.split("|")), message
    assert verdict["seconds"] < SECONDS
    assert verdict["peak"] < MEMORY


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_does_nothing_and_gets_its_reason(name, verdicts):
    """Law: nothing runs, nothing is written, memory stays under 1 GiB, the reason is one line."""
    if name.endswith(".h5"):
        pytest.importorskip("h5py")
    check_refused(verdicts[name], HOSTILE[name][0])


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("name", FORMATS)
def test_a_truncated_file_is_refused(name, part, verdicts, valid_files):
    """Law: at every 5 % of every format's length."""
    if name not in valid_files:
        pytest.importorskip("h5py")
    check_refused(verdicts[f"cut-{name}-{part}{valid_files[name].suffix}"], "wanted")


def test_whole_files_pass_the_same_guard(verdicts, valid_files):
    """Law: the guard stops harm, not reading."""
    for name, path in valid_files.items():
        verdict = verdicts[f"valid-{name}{path.suffix}"]
        assert verdict["outcome"] in ("unknown", "drawn"), verdict


def test_the_guard_notices_what_runs(tmp_path):
    """Law: a test that could not fail shows nothing: a reader that obeys trips the wire."""
    canary = tmp_path / "canary"
    (tmp_path / "evil.pkl").write_bytes(HOSTILE["os-system-4.pkl"][1](str(canary)))
    program = f"""
import sys
sys.path.insert(0, {str(BENCHMARKS)!r})
import pickle
from pathlib import Path
import guarded
guarded.import_steps = lambda path, **_: [pickle.loads(path.read_bytes())]
print(guarded.try_file(Path(sys.argv[1]), guarded.Tripwire())["outcome"])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "evil.pkl")],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "tripped"
    assert not canary.exists()


@pytest.mark.skipif(os.name != "posix", reason="the harm is done with touch")
@pytest.mark.parametrize(
    "name",
    [
        *(f"os-system-{protocol}.pkl" for protocol in range(6)),
        *("subprocess.pkl", "popen.pkl", "exec.pkl", "eval.pkl", "open.pkl"),
        *("instance.pkl", "object.pkl", "named-posix-system.pkl", "named-numpy-f2py.os.system.pkl"),
        *("in-torch.pt", "in-legacy.pt"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_the_files_are_live(name, tmp_path):
    """Law: in a program that obeys, they do what they are meant to: here, write a file."""
    canary, path = tmp_path / "canary", tmp_path / name
    path.write_bytes(HOSTILE[name][1](str(canary)))
    if name.endswith(".pt"):
        torch.load(path, weights_only=False)
    else:
        done = pickle.loads(path.read_bytes())
        if name == "popen.pkl":
            done.wait()
    assert canary.exists()

"""Check a wheel that is installed alone, in an environment of its own.

``make wheel-check`` builds the wheel, makes the environment and calls this. By hand, with the
environment's Python, from any folder::

    python -I check_wheel.py napari_mganprior-0.1.0-py3-none-any.whl [options of `demo`]

It needs a display, or xvfb-run. Every check is made, also after one has failed; the exit code is
the number of those that failed.
"""

import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

PLUGIN = "napari-mganprior"
LARGEST_PRIOR = 12_000_000  # bytes
WANTED = (
    "napari.yaml",
    "py.typed",
    "priors/histology.safetensors",
    "priors/histology.md",
    "priors/nuclei.safetensors",
    "priors/nuclei.md",
    "samples/nuclei_bubble.png",
    "samples/nuclei_bubble_mask.png",
    "samples/nuclei_scratch.png",
    "samples/nuclei_scratch_mask.png",
)


def program(*arguments: str) -> str:
    """Run the installed program outside the source tree and return what it printed."""
    script = Path(sys.executable).with_name(PLUGIN)  # pip puts it beside the interpreter
    return run(str(script), *arguments)


def run(*command: str) -> str:
    """Run a command in an empty folder; its output is shown when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise AssertionError(f"exit code {done.returncode}: {done.stderr.strip()[-2000:]}")
    return done.stdout


def check_contents(wheel: Path) -> str:
    """Look into the wheel: what belongs there is there, and nothing of the workshop."""
    with zipfile.ZipFile(wheel) as archive:
        sizes = {item.filename: item.file_size for item in archive.infolist()}
    missing = [name for name in WANTED if f"napari_mganprior/{name}" not in sizes]
    assert not missing, f"not in the wheel: {', '.join(missing)}"
    tops = {name.partition("/")[0] for name in sizes}
    stray = [top for top in tops if top != "napari_mganprior" and not top.endswith(".dist-info")]
    assert not stray, f"does not belong there: {', '.join(stray)}"
    priors = {name: size for name, size in sizes.items() if name.endswith(".safetensors")}
    large = [f"{name}: {size} bytes" for name, size in priors.items() if size > LARGEST_PRIOR]
    assert not large, f"larger than {LARGEST_PRIOR} bytes: {', '.join(large)}"
    return f"{len(sizes)} files, {len(priors)} priors of {sum(priors.values()) / 1e6:.2f} MB"


def check_origin() -> str:
    """Import the package: it is the installed one."""
    import napari_mganprior

    place = Path(napari_mganprior.__file__)
    assert place.is_relative_to(sys.prefix), f"imported from {place}, not from {sys.prefix}"
    return f"{napari_mganprior.__version__} with torch {version('torch')}"


def check_manifest() -> str:
    """Let npe2 find the manifest by the package's name and import all it names."""
    return run(sys.executable, "-I", "-m", "npe2", "validate", "--imports", PLUGIN).strip()


def check_version() -> str:
    """Start the program."""
    said = program("--version").strip()
    assert said == f"{PLUGIN} {version(PLUGIN)}", said
    return said


def check_priors() -> str:
    """List the priors: one comes with the wheel."""
    listed = program("priors", "list")
    bundled = [line for line in listed.splitlines() if line.split()[1:2] == ["bundled"]]
    assert bundled, f"no bundled prior:\n{listed}"
    return bundled[0]


def check_widget() -> str:
    """Open the sample and the widget: Run can be pressed, and torch was not needed."""
    import napari

    viewer = napari.Viewer(show=False)
    try:
        viewer.open_sample(PLUGIN, "nuclei_bubble")
        _, widget = viewer.window.add_plugin_dock_widget(PLUGIN, "Inpaint")
        fault = widget.check()
        assert not fault, fault
        assert widget.panel.run_button.isEnabled()
        assert "torch" not in sys.modules, "opening the widget imported torch"
    finally:
        viewer.close()
    return f"napari {napari.__version__}, Run is enabled"


def check_demo(options: list[str]) -> str:
    """Restore both samples."""
    said = program("demo", "-o", "demo", "--quiet", *options)
    assert said.count(PLUGIN) == 2, said
    return "\n" + said


def main(wheel: Path, options: list[str]) -> int:
    """Make every check and print one line for each."""
    checks: list[Callable[[], str]] = [
        lambda: check_contents(wheel),
        check_origin,
        check_manifest,
        check_version,
        check_priors,
        check_widget,
        lambda: check_demo(options),
    ]
    names = ("contents", "origin", "manifest", "version", "priors", "widget", "demo")
    failed = 0
    for name, check in zip(names, checks, strict=True):
        try:
            print(f"ok    {name}: {check()}", flush=True)
        except Exception as error:  # noqa: BLE001  the others are worth knowing, too
            failed += 1
            print(f"FAIL  {name}: {type(error).__name__}: {error}", flush=True)
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.2f} MB, {failed} checks failed")
    return failed


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))

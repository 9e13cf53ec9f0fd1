"""Files damaged at random; ten minutes of it are `make fuzz-imports`."""

import subprocess
import sys
from pathlib import Path

FUZZ = Path(__file__).parents[2] / "benchmarks" / "fuzz_imports.py"


def test_damaged_files_neither_run_nor_crash():
    """Law: for three seconds, whatever the damage, nothing runs and every reason is one line."""
    done = subprocess.run(
        [sys.executable, str(FUZZ), "--seconds", "3", "--seed", "1"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " 0 findings" in done.stdout
    assert " refused" in done.stdout

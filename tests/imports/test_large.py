"""PGGAN of 1024 px in the published layout: time and memory of an import and of a search."""

import json
import subprocess
import sys

import pytest
import torch

from napari_mganprior.arrays import seeded

WIDTHS = (512, 512, 512, 512, 256, 128, 64, 32, 16)
GIB = 1024**3

IMPORT = """
import json, resource, sys, time
from pathlib import Path
from napari_mganprior.imports import import_prior
start = time.perf_counter()
entry = import_prior(Path(sys.argv[1]), name="large", folder=Path(sys.argv[2]))
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "generator": entry.card.generator,
}))
"""

SEARCH = """
import json, resource, sys, time
from pathlib import Path
import torch
from napari_mganprior.arrays import seeded
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.loop import invert
from napari_mganprior.operators import Denoising
generator = load_prior(Path(sys.argv[1])).generator
config = InversionConfig(
    layer=6, n_codes=20, n_restarts=1, n_candidates=1, n_steps=1, held_out=0, precision="float32"
)
y = torch.zeros(1, 3, 1024, 1024)
start = time.perf_counter()
(step,) = invert(generator, Denoising(), y, config, rng=seeded(0))
print(json.dumps({
    "seconds": time.perf_counter() - start,
    "bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    "shape": list(step.image.shape),
    "cut": list(generator.feature_shape(6)),
    "loss": step.loss,
}))
"""


def measured(script, *arguments):
    """Run a script in an interpreter of its own, whose peak memory is its alone."""
    done = subprocess.run(
        [sys.executable, "-c", script, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_published_network_of_1024_px_fits(tmp_path):
    """Law: imported within 30 s and 2 GiB; a step at cut 6 with 20 codes within 24 GiB."""
    pytest.importorskip("resource", reason="measures memory as Unix does")
    rng, tensors = seeded(0), {"lod": torch.zeros(())}

    def layer(name, *shape):
        tensors[f"{name}.conv.weight"] = torch.randn(shape, generator=rng)
        tensors[f"{name}.wscale.bias"] = torch.zeros(shape[0])

    layer("layer0", 512, 512, 4, 4)
    for i in range(1, 2 * len(WIDTHS)):
        layer(f"layer{i}", WIDTHS[i // 2], WIDTHS[(i - 1) // 2], 3, 3)
    for k, width in enumerate(WIDTHS):
        layer(f"output{k}", 3, width, 1, 1)
    torch.save({"generator_smooth": tensors}, tmp_path / "large.pth")
    tensors.clear()

    made = measured(IMPORT, tmp_path / "large.pth", tmp_path)
    assert made["generator"]["resolution"] == 1024
    assert made["generator"]["widths"] == list(WIDTHS)
    assert made["seconds"] < 30
    assert made["bytes"] < 2 * GIB

    step = measured(SEARCH, tmp_path / "large.safetensors")
    assert step["shape"] == [1, 1, 3, 1024, 1024]
    assert step["cut"] == [512, 16, 16]
    assert step["loss"] > 0
    assert step["bytes"] < 24 * GIB

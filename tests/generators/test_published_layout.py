"""Weights in the published PGGAN key layout draw the same pictures here."""

from pathlib import Path

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.generators.pggan import PGGANGenerator

PROTOTYPE = Path(__file__).parents[3] / "shared" / "priors" / "pggan_nuclei64_generator.pth"


@pytest.mark.skipif(not PROTOTYPE.exists(), reason="needs ../shared/priors")
def test_the_prototype_draws_nuclei():
    """Renaming the keys is all it takes: order of operations and scale conventions agree."""
    raw = torch.load(PROTOTYPE, map_location="cpu", weights_only=True)["generator_smooth"]
    names = {"conv.weight": "weight", "wscale.bias": "bias"}
    renamed = {}
    for key, value in raw.items():
        module, _, rest = key.partition(".")
        if module.startswith("layer"):
            renamed[f"blocks.{module.removeprefix('layer')}.{names[rest]}"] = value
        elif module == "output4":
            renamed[f"to_image.{names[rest]}"] = value
    generator = PGGANGenerator(
        resolution=64, widths=(192, 192, 96, 48, 24), code_dim=128, image_channels=1
    )
    generator.load_state_dict(renamed)
    with torch.no_grad():
        images = generator(generator.sample_codes(64, rng=seeded(1)))
    assert (images.abs() > 1.25).float().mean() < 0.01  # nearly all within [-1, 1]
    assert images.min() < -0.9
    assert images.max() > 0.9
    # dark ground, bright nuclei
    assert -1.0 < images.median() < -0.8
    assert 0.02 < (images > 0).float().mean() < 0.2
    # smooth: neighbours resemble each other, which a wrong scale or order destroys
    steps = (images[..., 1:] - images[..., :-1]).square().mean()
    assert steps < 0.05 * images.var()

"""Other people's checkpoints, from file to inversion; they lie beside the repository."""

import json
import os
from pathlib import Path

import pytest
import torch
from skimage.data import astronaut
from skimage.transform import resize

from napari_mganprior.arrays import seeded
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.imports import import_prior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.inversion.loop import invert
from napari_mganprior.operators import Denoising

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("SHARED", ROOT.parent / "shared")) / "checkpoints"
FILES = {
    "dcgan-celeba32": SHARED / "dcgan-celeba32" / "generator.pt",
    "dcgan-anime64": SHARED / "dcgan-anime64" / "generator.h5",
}

pytestmark = pytest.mark.skipif(
    not all(path.exists() for path in FILES.values()), reason="needs ../shared/checkpoints"
)


@pytest.fixture(scope="module", params=FILES)
def prior(request, tmp_path_factory):
    """Return a prior that was imported with its worked example."""
    if FILES[request.param].suffix == ".h5":
        pytest.importorskip("h5py")
    description = json.loads(
        (ROOT / "examples" / "architectures" / f"{request.param}.json").read_text()
    )
    entry = import_prior(
        FILES[request.param],
        name=request.param,
        architecture="described",
        options={"description": description},
        folder=tmp_path_factory.mktemp("priors"),
    )
    return load_prior(entry.path)


def test_the_samples_are_pictures(prior):
    """Law: samples fill the range, are smooth and differ. (They were looked at: they are faces.)"""
    generator = prior.generator
    x = generator(generator.sample_codes(64, rng=seeded(1)))
    assert x.min() < -0.9
    assert x.max() > 0.9
    assert x.abs().max() <= 1
    steps = (x[..., 1:] - x[..., :-1]).square().mean()
    assert steps < 0.25 * x.var()
    assert x.std(dim=0).mean() > 0.2


def faces(side: int) -> torch.Tensor:
    """Cut four views of a real face, which the generators never saw, (4, 3, side, side)."""
    image = astronaut() / 255
    whole = image[0:200, 130:330]
    cuts = (whole, whole[:, ::-1], image[20:180, 150:310], image[40:170, 165:295])
    small = [resize(cut, (side, side), anti_aliasing=True) for cut in cuts]
    return torch.stack([torch.from_numpy(s).float().permute(2, 0, 1) * 2 - 1 for s in small])


@pytest.mark.slow
def test_more_codes_explain_more(prior):
    """Law: 4 codes gain 2 dB over 1, 16 gain 2 dB over 4, for every face.

    Known of the drawn faces cut at 16x16 pixels, with 400 steps of Adam: 17-20, 21-23, 24-26 dB.
    """
    generator = prior.generator
    y = faces(generator.resolution)
    psnr = {}
    for n_codes in (1, 4, 16):
        config = InversionConfig(
            layer=3, n_codes=n_codes, n_restarts=1, n_steps=150, held_out=0, patience=150
        )
        for step in invert(generator, Denoising(), y, config, rng=seeded(0)):
            last = step
        error = (last.image[:, 0] - y).square().mean(dim=(1, 2, 3))
        psnr[n_codes] = 10 * torch.log10(4 / error)
    assert (psnr[1] > 16).all()
    assert (psnr[4] > psnr[1] + 2).all()
    assert (psnr[16] > psnr[4] + 2).all()
    if prior.card.name == "dcgan-anime64":
        assert generator.feature_shape(3) == (64, 16, 16)
        assert psnr[1].mean() > 17
        assert psnr[4].mean() > 21
        assert psnr[16].mean() > 24

"""Restoring with a style generator: its codes are kept, gone on from, and refused where unfit."""

from dataclasses import replace

import numpy as np
import pytest

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import SettingsError
from napari_mganprior.generators.checkpoint import LoadedPrior, PriorCard, load_prior, save_prior
from napari_mganprior.generators.stylegan2 import StyleGAN2Generator
from napari_mganprior.restore import Inpainting


@pytest.fixture(scope="module")
def style_prior(tmp_path_factory) -> LoadedPrior:
    generator = StyleGAN2Generator(
        resolution=32, widths=(12, 12, 8, 8), code_dim=10, mapping=(12,), image_channels=1
    )
    generator.initialise(seeded(0))
    card = PriorCard(
        name="style",
        architecture="stylegan2",
        generator=generator.spec(),
        discriminator={},
        domain="random drawings, for tests",
    )
    path = tmp_path_factory.mktemp("style") / "style.safetensors"
    save_prior(path, card, generator, None)
    return load_prior(path)


def finished(*args, **keywords):
    run = Inpainting(*args, device="cpu", **keywords)
    for _ in run:
        pass
    return run.result()


@pytest.mark.parametrize(
    "changes", [{}, {"code_space": "w+", "optimise_noise": True}], ids=["z", "w+ and noise"]
)
def test_a_continued_run_begins_where_the_first_ended(scene, holes, style_prior, quick, changes):
    """Law: what is kept of a run is all that is needed to go on, styles and noise as well."""
    config = replace(quick, **changes)
    first = finished(scene, holes, style_prior, config=config)
    second = finished(scene, holes, style_prior, config=config, start=first)
    n = config.n_steps
    for window in (0, 1):
        ended, begun = first.history[n * (window + 1) - 1], second.history[n * window]
        assert abs(begun - ended) <= 1e-5 * ended
    for codes in first.codes:
        assert codes.code_space == config.code_space
        assert codes.beta is not None
        assert codes.beta.shape == (2, 2, style_prior.generator.n_mixed(codes.layer))
        assert (codes.noise is not None) == config.optimise_noise


def test_codes_of_another_space_are_left_alone(scene, holes, style_prior, quick):
    first = finished(scene, holes, style_prior, config=quick)
    for changes in ({"code_space": "w"}, {"optimise_noise": True}):
        other = replace(quick, **changes)
        alone = finished(scene, holes, style_prior, config=other)
        linked = finished(scene, holes, style_prior, config=other, start=first)
        assert alone.history == linked.history


def test_the_same_seed_restores_the_same_pixels(scene, holes, style_prior, quick):
    first, second, other = (
        finished(scene, holes, style_prior, config=quick, seed=seed).image for seed in (3, 3, 4)
    )
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_settings_for_style_generators_are_refused_for_others(scene, holes, tiny_prior, quick):
    with pytest.raises(SettingsError, match=r"Got the code space 'w\+' .*'pggan'"):
        Inpainting(scene, holes, tiny_prior, config=replace(quick, code_space="w+"))
    with pytest.raises(SettingsError, match="Got optimise_noise for the prior 'tiny'"):
        Inpainting(scene, holes, tiny_prior, config=replace(quick, optimise_noise=True))

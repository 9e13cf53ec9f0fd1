"""What every layout is tested for."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImportRefused
from napari_mganprior.generators.base import SplitGenerator
from napari_mganprior.generators.biggan import BigGANDeepGenerator, BigGANGenerator
from napari_mganprior.generators.checkpoint import PriorCard, load_prior, save_prior
from napari_mganprior.generators.dcgan import DCGANGenerator
from napari_mganprior.generators.described import DescribedGenerator
from napari_mganprior.generators.pggan import PGGANDiscriminator, PGGANGenerator
from napari_mganprior.imports.base import Converted, Foreign
from napari_mganprior.inversion.codes import Codes, compose

CLASSES: dict[str, type[SplitGenerator]] = {
    made.architecture: made
    for made in (
        BigGANDeepGenerator,
        BigGANGenerator,
        DCGANGenerator,
        DescribedGenerator,
        PGGANGenerator,
    )
}


class Drawn:
    """Tensors of a foreign file, drawn from a seed under their names there."""

    def __init__(self, seed: int) -> None:
        self.rng, self.tensors = seeded(seed), {}

    def __call__(self, name: str, *shape: int, mean: float = 0.0, spread: float = 1.0) -> Tensor:
        value = torch.randn(shape, generator=self.rng) * spread + mean
        self.tensors[name] = value
        return value

    def positive(self, name: str, *shape: int) -> Tensor:
        self.tensors[name] = value = torch.rand(shape, generator=self.rng) + 0.5
        return value


@pytest.fixture
def drawn() -> Callable[[int], Drawn]:
    return Drawn


@pytest.fixture
def built(tmp_path) -> Callable[[Converted], tuple[SplitGenerator, nn.Module | None]]:
    """Return a function that takes an import the whole way: built, saved, opened again."""

    def build(made: Converted) -> tuple[SplitGenerator, nn.Module | None]:
        generator = CLASSES[made.architecture](**made.generator)
        generator.load_state_dict(made.state)
        assert generator.spec() == made.generator
        assert (generator.resolution, generator.image_channels) == (
            made.resolution,
            made.image_channels,
        )
        discriminator = None
        if made.discriminator is not None:
            discriminator = PGGANDiscriminator(**made.discriminator)
            discriminator.load_state_dict(made.discriminator_state)
        card = PriorCard(
            name="imported",
            architecture=made.architecture,
            generator=made.generator,
            discriminator=made.discriminator or {},
            domain="noise",
        )
        path = tmp_path / "imported.safetensors"
        save_prior(path, card, generator, discriminator, dtype=torch.float32)
        prior = load_prior(path)
        return prior.generator, prior.discriminator

    return build


@pytest.fixture
def obeys_the_split_law() -> Callable[[SplitGenerator, Tensor], None]:
    """Law: tail(head(z, k), k) == G(z) at every cut; a code composed with weight 1 is the code."""

    def check(generator: SplitGenerator, z: Tensor) -> None:
        # composing brings codes to their length
        z = z * (generator.code_radius / torch.linalg.vector_norm(z, dim=1, keepdim=True))
        whole = generator(z)
        side = generator.resolution
        assert whole.shape == (len(z), generator.image_channels, side, side)
        for layer in range(generator.n_layers + 1):
            features = generator.head(z, layer)
            assert tuple(features.map.shape[1:]) == generator.feature_shape(layer)
            assert (generator.tail(features, layer) - whole).abs().max() <= 1e-5
            styles = 0 if features.styles is None else features.styles.shape[1]
            assert styles == generator.n_mixed(layer)
            for end in range(layer, generator.n_layers + 1):  # also in two pieces above the cut
                there = generator.tail(generator.between(features, layer, end), end)
                assert (there - whole).abs().max() <= 1e-5
            alpha = torch.ones(len(z), 1, generator.feature_shape(layer)[0])
            composed = compose(generator, Codes(z[:, None], alpha), layer)
            assert (composed - whole).abs().max() <= 1e-4
            # several codes matter, and each for itself
            pair = Codes(z.reshape(-1, 2, z.shape[1]), alpha.reshape(-1, 2, alpha.shape[2]) / 2)
            mixed = compose(generator, pair, layer)
            assert mixed.shape[0] == len(z) // 2
            assert (mixed - whole[::2]).abs().max() > 1e-4

    return check


@pytest.fixture
def names_keys() -> Callable[..., None]:
    """Law: a missing, an extra and a misshapen tensor are refused by their names."""

    def check(
        adapter: Any,
        tensors: Mapping[str, Tensor],
        key: str,
        *,
        prefix: str = "",
        options: Mapping[str, Any] | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        def convert(changed: Mapping[str, Tensor]) -> Converted:
            foreign = Foreign("torch", dict(changed), dict(meta or {}), "their.pth")
            return adapter.convert(foreign, options or {})

        convert(tensors)
        shape = tuple(tensors[f"{prefix}{key}"].shape)
        with pytest.raises(ImportRefused, match="missing: ") as missing:
            convert({k: v for k, v in tensors.items() if k != f"{prefix}{key}"})
        assert f"missing: {key} {shape}" in str(missing.value)
        assert "their.pth" in str(missing.value)
        with pytest.raises(ImportRefused, match="unexpected: ") as extra:
            convert({**tensors, f"{prefix}left.0.over": torch.zeros(2, 3)})
        assert "unexpected: left.0.over (2, 3)" in str(extra.value)
        with pytest.raises(ImportRefused, match="of another shape: ") as misshapen:
            convert({**tensors, f"{prefix}{key}": torch.zeros(*shape, 2)})
        assert f"of another shape: {key} {(*shape, 2)} for {shape}" in str(misshapen.value)

    return check

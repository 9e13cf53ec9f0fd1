"""The DCGAN example's layout: built from its description, drawn with torch's modules."""

import pytest
import torch
from torch import nn

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import ImportRefused, PriorError
from napari_mganprior.generators.dcgan import DCGANGenerator
from napari_mganprior.imports.adapters import ADAPTERS
from napari_mganprior.imports.adapters.dcgan import DCGANAdapter
from napari_mganprior.imports.base import Foreign

CODE, WIDTHS = 6, (12, 8, 5)


def example(channels=3, *, bias=False):
    """Draw the example's network for 4 * 2^3 px, with statistics that are not trivial."""
    layers = []
    for index, (before, width) in enumerate(zip((CODE, *WIDTHS), WIDTHS, strict=False)):
        stride, padding = (1, 0) if index == 0 else (2, 1)
        conv = nn.ConvTranspose2d(before, width, 4, stride, padding, bias=bias)
        layers += [conv, nn.BatchNorm2d(width), nn.ReLU(True)]
    layers += [nn.ConvTranspose2d(WIDTHS[-1], channels, 4, 2, 1, bias=bias), nn.Tanh()]
    net = nn.Module()
    net.main = nn.Sequential(*layers)
    rng = seeded(0)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if value.is_floating_point():
                value.normal_(generator=rng)
                value.mul_(0.3 if value.ndim == 4 else 1.0)
            if name.endswith("running_var"):
                value.abs_().add_(0.1)
    return net.eval().requires_grad_(False)


def codes(n=4):
    return torch.randn(n, CODE, generator=seeded(5))


@pytest.mark.parametrize("prefix", ["", "netG.", "module.", "state_dict.G."])
@pytest.mark.parametrize("bias", [False, True])
def test_the_example_draws_the_same(built, obeys_the_split_law, prefix, bias):
    net = example(bias=bias)
    foreign = Foreign("torch", {f"{prefix}{k}": v.float() for k, v in net.state_dict().items()})
    assert [a.name for a in ADAPTERS if a.recognise(foreign)] == ["dcgan"]
    made = DCGANAdapter().convert(foreign, {})
    assert made.generator == {"widths": list(WIDTHS), "code_dim": CODE, "image_channels": 3}
    generator, _ = built(made)
    wanted = net.main(codes()[:, :, None, None])
    assert (generator(codes()) - wanted).abs().max() <= 1e-5
    obeys_the_split_law(generator, codes())


@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels_draw_the_same(built, channels):
    net = example(channels)
    generator, _ = built(DCGANAdapter().convert(Foreign("torch", net.state_dict()), {}))
    assert (generator(codes()) - net.main(codes()[:, :, None, None])).abs().max() <= 1e-5


def test_the_generator_is_found_beside_a_discriminator(built):
    net = example()
    critic = {
        "netD.main.0.weight": torch.zeros(8, 3, 4, 4),
        "netD.main.2.weight": torch.zeros(16, 8, 4, 4),
        "netD.main.5.weight": torch.zeros(1, 16, 4, 4),
    }
    tensors = {f"netG.{k}": v for k, v in net.state_dict().items()}
    made = DCGANAdapter().convert(Foreign("torch", {**critic, **tensors}), {})
    assert "3 tensors of other networks left out" in made.note
    generator, _ = built(made)
    assert (generator(codes()) - net.main(codes()[:, :, None, None])).abs().max() <= 1e-5


@pytest.mark.parametrize("key", ["main.1.running_mean", "main.4.weight"])
def test_keys_are_named(key):
    tensors = {k: v.float() for k, v in example().state_dict().items()}
    short, whole = key.removeprefix("main."), tensors[key]
    for change, message in (
        ({k: v for k, v in tensors.items() if k != key}, f"missing: {short} {tuple(whole.shape)}"),
        ({**tensors, "main.3.extra": torch.zeros(2)}, "unexpected: 3.extra (2,)"),
        ({**tensors, key: torch.zeros(7)}, f"of another shape: {short} (7,) for"),
    ):
        with pytest.raises(ImportRefused, match=r"their\.pt as a DCGAN generator") as caught:
            DCGANAdapter().convert(Foreign("torch", change, source="their.pt"), {})
        assert message in str(caught.value)


def test_other_files_are_refused():
    foreign = Foreign("torch", {"main.0.weight": torch.zeros(3, 2, 4, 4)}, source="their.pt")
    assert not DCGANAdapter().recognise(foreign)
    with pytest.raises(ImportRefused, match="without a chain of transposed 4x4 convolutions"):
        DCGANAdapter().convert(foreign, {})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"widths": []}, r"channel widths \(\) for a DCGAN"),
        ({"widths": [4, 0]}, r"channel widths \(4, 0\)"),
        ({"widths": [1] * 13}, "wanted 1 to 12 positive"),
        ({"image_channels": 5}, "5 image channels; wanted 1 to 4"),
    ],
)
def test_impossible_networks_are_refused(change, message):
    with pytest.raises(PriorError, match=message):
        DCGANGenerator(**{"widths": [4, 4], "code_dim": 3, "image_channels": 1, **change})


def test_cuts_that_do_not_exist_are_refused():
    made = DCGANGenerator(widths=[4, 4], code_dim=3, image_channels=1)
    for layer in (-1, 3):
        with pytest.raises(PriorError, match=f"Got cut {layer}; this generator has cuts 0 to 2"):
            made.head(torch.zeros(1, 3), layer)

"""VGG16 and LPIPS in plain layers, on small random networks in torchvision's layout."""

import pytest
import torch
import torch.nn.functional as F  # noqa: N812

from napari_mganprior.arrays import seeded
from napari_mganprior.errors import PriorError
from napari_mganprior.inversion.losses import FeatureDistance
from napari_mganprior.inversion.perceptual import (
    LPIPS,
    LPIPS_TAPS,
    VGG16,
    unit_distance,
)

# torchvision's numbers, written out: convolutions and halvings of its `features`
LAYERS = (0, 2, "M", 5, 7, "M", 10, 12, 14, "M", 17, 19, 21, "M", 24, 26, 28)
WIDTHS = (4, 4, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8)


def vgg_weights():
    rng, weights, width = seeded(3), {}, 3
    numbers = [number for number in LAYERS if number != "M"]
    for number, wide in zip(numbers, WIDTHS, strict=True):
        shape = (wide, width, 3, 3)
        weights[f"features.{number}.weight"] = torch.randn(shape, generator=rng) / (3 * width**0.5)
        weights[f"features.{number}.bias"] = 0.1 * torch.randn(wide, generator=rng)
        width = wide
    weights["classifier.0.weight"] = torch.zeros(2, 2)
    return weights


def linear_weights():
    rng = seeded(4)
    return {
        f"lin{i}.model.1.weight": torch.rand((1, w, 1, 1), generator=rng)
        for i, w in enumerate((4, 5, 6, 7, 8))
    }


def by_hand(weights, x, stop):
    """Go through the layers as torchvision's `features` does; returns before and after ReLU."""
    mean = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None]
    deviation = torch.tensor([0.229, 0.224, 0.225])[None, :, None, None]
    h = ((x + 1) / 2 - mean) / deviation
    for number in LAYERS:
        if number == "M":
            h = F.max_pool2d(h, 2, 2)
            continue
        weight, bias = (weights[f"features.{number}.{part}"] for part in ("weight", "bias"))
        before = F.conv2d(h, weight, bias, padding=1)
        h = F.relu(before)
        if number == stop:
            return before, h
    raise AssertionError(stop)


def pictures(n=2, channels=3, side=40, seed=0):
    return torch.rand((n, channels, side, side), generator=seeded(seed)) * 2 - 1


def test_its_maps_are_those_of_torchvision_s_layers():
    """Law: relu3_3 is features[15], conv4_3 features[21]: 1/4 and 1/8 of the size."""
    weights, x = vgg_weights(), pictures()
    relu3_3, conv4_3 = VGG16(weights).features(x, 2)
    assert relu3_3.shape == (2, 6, 10, 10)
    assert conv4_3.shape == (2, 7, 5, 5)
    torch.testing.assert_close(relu3_3, by_hand(weights, x, 14)[1])
    torch.testing.assert_close(conv4_3, by_hand(weights, x, 21)[0])
    assert (conv4_3 < 0).any()
    assert (relu3_3 >= 0).all()


def test_grey_is_repeated_and_small_pictures_enlarged():
    network = VGG16(vgg_weights())
    grey = pictures(channels=1, side=8)
    large = grey.repeat_interleave(4, -1).repeat_interleave(4, -2).repeat(1, 3, 1, 1)
    for got, wanted in zip(network.features(grey), network.features(large), strict=True):
        torch.testing.assert_close(got, wanted)
    with pytest.raises(PriorError, match="Got pictures of 2 channels for VGG16"):
        network.features(pictures(channels=2))


def test_no_weight_wants_a_gradient_and_the_file_s_own_are_left_alone():
    weights = vgg_weights()
    network = VGG16(weights)
    assert not any(p.requires_grad for p in network.parameters())
    before = network.features(pictures())[0]
    weights["features.0.weight"].zero_()
    torch.testing.assert_close(network.features(pictures())[0], before)


@pytest.mark.parametrize(
    ("key", "change", "words"),
    [
        ("features.5.weight", None, r"Got weights without features\.5\.weight"),
        ("features.5.weight", torch.zeros(5, 9, 3, 3), r"of shape \(5, 9, 3, 3\); wanted \('n', 4"),
        ("features.5.weight", torch.zeros(5, 4, 5, 5), "wanted"),
        ("features.5.weight", torch.zeros(0, 4, 3, 3), "wanted"),
        ("features.7.bias", torch.zeros(4), r"Got the weight features\.7\.bias of shape \(4,\)"),
        ("features.0.bias", torch.full((4,), float("nan")), "with NaN or infinity"),
    ],
)
def test_weights_of_another_layout_are_refused(key, change, words):
    weights = vgg_weights()
    if change is None:
        del weights[key]
    else:
        weights[key] = change
    with pytest.raises(PriorError, match=words):
        VGG16(weights)


def test_weights_that_are_not_needed_may_be_missing():
    weights = {k: v for k, v in vgg_weights().items() if int(k.split(".")[1]) <= 21}
    VGG16(weights)
    with pytest.raises(PriorError, match=r"without features\.24\.weight"):
        VGG16(weights, LPIPS_TAPS)


def test_it_serves_a_search_as_a_discriminator_does():
    """Law: 0 for the target itself, more the further away; samples can be left out."""
    target, weight = pictures(3), torch.ones(3, 1, 40, 40)
    distance = FeatureDistance(VGG16(vgg_weights()), target, weight)
    assert torch.equal(distance(target), torch.zeros(3))
    noise = pictures(3, seed=1)
    near, far = distance(target + 0.05 * noise), distance(target + 0.5 * noise)
    assert (near > 0).all()
    assert (near < far).all()
    distance.keep(torch.tensor([2, 0]))
    torch.testing.assert_close(distance((target + 0.5 * noise)[[2, 0]]), far[[2, 0]])


def test_lpips_is_the_weighted_distance_of_unit_maps():
    """Law: against the formula of Zhang et al., equation 1, written out."""
    weights, linear = vgg_weights(), linear_weights()
    a, b = pictures(), pictures(seed=1)
    network = LPIPS(weights, linear)

    def maps(x):
        shift = torch.tensor([-0.030, -0.088, -0.188])[None, :, None, None]
        scale = torch.tensor([0.458, 0.448, 0.450])[None, :, None, None]
        # undo the other normalisation, which `by_hand` puts on
        h = (x - shift) / scale
        mean = torch.tensor([0.485, 0.456, 0.406])[None, :, None, None]
        deviation = torch.tensor([0.229, 0.224, 0.225])[None, :, None, None]
        plain = (h * deviation + mean) * 2 - 1
        return [by_hand(weights, plain, number)[1] for number in (2, 7, 14, 21, 28)]

    wanted = torch.zeros(2)
    for i, (one, other) in enumerate(zip(maps(a), maps(b), strict=True)):
        difference = F.normalize(one, dim=1, eps=1e-10) - F.normalize(other, dim=1, eps=1e-10)
        each = (linear[f"lin{i}.model.1.weight"] * difference**2).sum(dim=1)
        wanted += each.mean(dim=(1, 2))
    torch.testing.assert_close(network(a, b), wanted, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(network(a, b), network(b, a))
    assert torch.equal(network(a, a), torch.zeros(2))


def test_lpips_weights_of_another_network_are_refused():
    linear = linear_weights()
    linear["lin2.model.1.weight"] = torch.zeros(1, 9, 1, 1)
    with pytest.raises(PriorError, match=r"Got the weight lin2\.model\.1\.weight of shape"):
        LPIPS(vgg_weights(), linear)


def test_unit_maps_do_not_mind_brightness():
    a = [pictures(channels=4)]
    assert float(unit_distance(a, [3 * a[0]]).max()) < 1e-9
    assert float(unit_distance(a, [-a[0]]).mean()) == pytest.approx(4.0, abs=1e-4)

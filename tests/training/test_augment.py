"""Adaptive discriminator augmentation: what changes, how often, and who decides it."""

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.training import augment as module
from napari_mganprior.training.augment import AugmentControl, augment


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(64, 2, 16, 16, generator=seeded(0)) * 2 - 1


def only(monkeypatch, *kinds: int) -> None:
    """Let nothing happen but some kinds of change, those to every image."""
    real = torch.rand

    def rand(*size, **more):
        drawn = real(*size, **more)
        if size[1:] == (8,):
            drawn = torch.ones_like(drawn)
            drawn[:, list(kinds)] = 0
        return drawn

    monkeypatch.setattr(module.torch, "rand", rand)


def test_without_strength_nothing_happens_and_nothing_is_drawn(images):
    rng = seeded(1)
    before = rng.get_state()
    assert augment(images, 0.0, rng) is images
    assert torch.equal(rng.get_state(), before)


def test_the_randomness_is_the_callers(images):
    first, again, other = (augment(images, 0.5, seeded(s)) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("kinds", [(0,), (2,), (0, 2)])
def test_quarter_turns_and_mirrorings_lose_no_pixel(monkeypatch, images, kinds):
    """Law: each changed image is one of the eight symmetries of the original, all occur."""
    only(monkeypatch, *kinds)
    found = set()
    for before, after in zip(images, augment(images, 0.5, seeded(1)), strict=True):
        views = [torch.rot90(f, k, (1, 2)) for f in (before, before.flip(2)) for k in range(4)]
        fits = [n for n, view in enumerate(views) if torch.allclose(view, after, atol=1e-4)]
        assert len(fits) == 1
        found.update(fits)
    assert found == {(0,): {0, 1, 2, 3}, (2,): {0, 4}, (0, 2): set(range(8))}[kinds]


def test_shifts_are_by_whole_pixels_and_at_most_an_eighth(monkeypatch, images):
    only(monkeypatch, 4)
    shifts = set()
    for before, after in zip(images, augment(images, 0.5, seeded(1)), strict=True):
        inner = after[:, 4:12, 4:12]
        fits = [
            (y, x)
            for y in range(-3, 4)
            for x in range(-3, 4)
            if torch.allclose(before[:, 4 + y : 12 + y, 4 + x : 12 + x], inner, atol=1e-4)
        ]
        assert len(fits) == 1
        shifts.update(fits)
    assert {y for y, _ in shifts} == {x for _, x in shifts} == {-2, -1, 0, 1, 2}


def test_a_turn_by_any_angle_keeps_a_disc_and_moves_a_corner(monkeypatch):
    only(monkeypatch, 1)
    y, x = torch.meshgrid(torch.arange(32) - 15.5, torch.arange(32) - 15.5, indexing="ij")
    radius = torch.hypot(y, x)
    discs = (8 - radius).clamp(-1, 1).expand(16, 1, 32, 32)
    assert (augment(discs, 0.5, seeded(1)) - discs).abs().max() < 0.3
    bars = (2 - y.abs()).clamp(-1, 1).expand(16, 1, 32, 32)
    turned = augment(bars, 0.5, seeded(1))
    assert (turned - bars).abs().mean(dim=(1, 2, 3)).median() > 0.1
    inside = radius < 15
    assert turned[..., inside].mean() == pytest.approx(float(bars[0, 0][inside].mean()), abs=0.02)


def test_scales_scatter_around_one(monkeypatch):
    only(monkeypatch, 3)
    y, x = torch.meshgrid(torch.arange(64) - 31.5, torch.arange(64) - 31.5, indexing="ij")
    disc = (torch.hypot(y, x) < 16).float().expand(500, 1, 64, 64)
    areas = augment(disc, 0.5, seeded(1)).sum(dim=(1, 2, 3)) / disc[0].sum()
    scales = areas.sqrt().log2()
    assert scales.mean() == pytest.approx(0.0, abs=0.03)
    assert scales.std() == pytest.approx(0.2, abs=0.02)


def test_holes_are_half_as_wide_as_the_image_and_inside_or_cut_off(monkeypatch, images):
    only(monkeypatch, 7)
    ones = torch.ones(500, 1, 32, 32)
    changed = augment(ones, 0.5, seeded(1))
    assert set(changed.unique().tolist()) == {0.0, 1.0}
    areas = (changed == 0).float().mean(dim=(1, 2, 3))
    assert areas.max() == pytest.approx(0.25)
    assert areas.min() >= 0.25 / 4 - 0.02  # the centre is inside
    kept = augment(images, 0.5, seeded(1))
    assert torch.allclose(kept[kept != 0], images[kept != 0], atol=1e-4)


def test_brightness_and_contrast_are_one_line_an_image(monkeypatch, images):
    only(monkeypatch, 5, 6)
    changed = augment(images, 0.5, seeded(1)).flatten(1)
    before = images.flatten(1)
    gains, biases = [], []
    for x, y in zip(before, changed, strict=True):
        gain = (y.max() - y.min()) / (x.max() - x.min())
        bias = y.mean() - gain * x.mean()
        assert torch.allclose(gain * x + bias, y, atol=1e-3)
        gains.append(gain.log2())
        biases.append(bias)
    assert torch.stack(gains).std() == pytest.approx(0.5, rel=0.3)
    assert torch.stack(biases).std() == pytest.approx(0.2, rel=0.3)


@pytest.mark.parametrize("strength", [0.1, 0.5])
def test_the_strength_is_the_probability_of_each_change(monkeypatch, strength):
    """Law: an image stays as it is with (1 - p)^8, as far as changes show at all."""
    images = torch.rand(3000, 1, 8, 8, generator=seeded(0))
    same = (augment(images, strength, seeded(1)) - images).abs().amax(dim=(1, 2, 3)) < 1e-3
    # turns by 0, mirrorings that come out as none, shifts by 0 and holes show nothing as well
    quiet = 1 - strength
    expected = quiet**4 * (1 - strength * 3 / 4) * (1 - strength / 2) * (1 - strength * 8 / 9)
    expected *= quiet
    assert float(same.float().mean()) == pytest.approx(expected, abs=0.03)


def test_a_gradient_flows_and_holes_stop_it(images):
    leaf = images.clone().requires_grad_(True)
    augment(leaf, 0.5, seeded(1)).square().sum().backward()
    assert leaf.grad.isfinite().all()
    assert (leaf.grad.flatten(1).abs().sum(dim=1) > 0).all()


def test_in_bfloat16_the_geometry_stays_exact(monkeypatch, images):
    only(monkeypatch, 0)
    wanted = augment(images, 0.5, seeded(1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = augment(images, 0.5, seeded(1))
    assert got.dtype == torch.float32
    assert torch.equal(got, wanted)


def test_overfitting_raises_the_strength_to_its_limit_and_its_absence_lowers_it():
    control = AugmentControl()
    for _ in range(8):
        control.watch(1.0, 16, 0.6)
    assert control.overfit == 1.0
    assert control.strength == pytest.approx(8 * 16 / 50_000)
    for _ in range(3200):
        control.watch(0.9, 16, 0.6)
    assert control.strength == 0.8
    for _ in range(8):
        control.watch(0.2, 16, 0.6)
    assert control.overfit == pytest.approx(0.2)
    assert control.strength < 0.8
    for _ in range(4000):
        control.watch(-1.0, 16, 0.6)
    assert control.strength == 0.0


def test_the_signal_is_averaged_between_corrections_and_kept():
    """Law: a controller taken up in the middle goes on as if nothing had been."""
    straight, first = AugmentControl(), AugmentControl()
    signs = [1.0, 0.0, 1.0, 1.0, 0.5, 1.0, 1.0, 1.0]
    for sign in signs[:5]:
        first.watch(sign, 16, 0.6)
    assert first.overfit is None
    second = AugmentControl(**first.to_dict())
    for sign in signs[5:]:
        second.watch(sign, 16, 0.6)
    for sign in signs:
        straight.watch(sign, 16, 0.6)
    assert second == straight
    assert straight.overfit == pytest.approx(6.5 / 8)

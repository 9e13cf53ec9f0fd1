"""Laws of restoring a real image, and every bad input with its message."""

import json

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import napari_mganprior
from napari_mganprior.arrays import correlation_length
from napari_mganprior.errors import (
    ComputeError,
    DeviceError,
    ImageError,
    MaskError,
    MGANPriorError,
    OutOfMemoryError,
    PriorError,
    SettingsError,
)
from napari_mganprior.generators.checkpoint import LoadedPrior
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.restore import Inpainting, Restoration, inpaint, search

CONFIG = InversionConfig(
    layer=2, fine_layer=3, n_codes=2, n_restarts=2, n_candidates=1, n_steps=3, precision="float32"
)


def _image(shape: tuple[int, ...] = (40, 50), dtype: str = "uint8") -> NDArray[np.generic]:
    rows, columns = np.indices(shape[:2])
    scene = 0.5 + 0.4 * np.sin(rows / 5) * np.cos(columns / 7)
    scene = scene + np.random.default_rng(0).normal(0, 0.02, scene.shape)
    if len(shape) == 3:
        scene = np.stack([scene, 1 - scene, scene**2], axis=-1)
    scene = np.clip(scene, 0, 1)
    return (scene * {"uint8": 255, "uint16": 4000, "int16": 900}.get(dtype, 1)).astype(dtype)


def _mask(shape: tuple[int, ...] = (40, 50)) -> NDArray[np.bool_]:
    mask = np.zeros(shape[:2], bool)
    mask[5:11, 4:12] = True
    mask[-6:-2, -9:-3] = True
    return mask


def _restored(
    image: NDArray[np.generic], prior: LoadedPrior, **keywords: object
) -> tuple[Inpainting, Restoration]:
    settings: dict[str, object] = {"config": CONFIG, "device": "cpu"}
    run = Inpainting(image, _mask(image.shape), prior, **{**settings, **keywords})  # type: ignore[arg-type]
    for _ in run:
        pass
    return run, run.result()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float16", "float32", "float64"])
def test_measured_pixels_come_back_bit_identical(dtype: str, tiny_prior: LoadedPrior) -> None:
    image, mask = _image(dtype=dtype), _mask()
    _, result = _restored(image, tiny_prior)
    assert result.image.dtype == image.dtype
    assert result.image.shape == image.shape
    assert result.image[~mask].tobytes() == image[~mask].tobytes()
    assert (result.image[mask] != image[mask]).any()
    assert result.image.min() >= image[~mask].min()
    assert result.image.max() <= image[~mask].max()


@pytest.mark.parametrize("shape", [(16, 16), (17, 90), (16, 40, 3), (33, 16, 3), (80, 64)])
def test_any_size_from_16_px_grey_or_rgb(
    shape: tuple[int, ...], tiny_prior: LoadedPrior, tiny_rgb_prior: LoadedPrior
) -> None:
    image = _image(shape)
    _, result = _restored(image, tiny_rgb_prior if len(shape) == 3 else tiny_prior)
    mask = _mask(shape)
    assert result.image.shape == shape
    assert np.array_equal(result.image[~mask], image[~mask])
    assert np.array_equal(result.invented, mask)


@pytest.mark.parametrize("zoom", [0.5, 2.0, None])
def test_zoom_leaves_measured_pixels_alone(zoom: float | None, tiny_prior: LoadedPrior) -> None:
    image = _image()
    _, result = _restored(image, tiny_prior, zoom=zoom)
    assert np.array_equal(result.image[~_mask()], image[~_mask()])
    assert np.array_equal(result.invented, _mask())


def test_negative_values_are_restored_in_their_own_range(tiny_prior: LoadedPrior) -> None:
    image = _image(dtype="float32") * 200 - 1000
    _, result = _restored(image, tiny_prior)
    assert result.image.max() < -700


def test_what_is_darker_than_the_percentiles_stays_so(tiny_prior: LoadedPrior) -> None:
    """A thin hole in the darkest structure is filled as dark as that; a hot pixel counts little."""
    image = np.random.default_rng(0).uniform(100, 200, (40, 50))
    image[20:23, 20:26] = 60.0  # fewer pixels than the lower percentile cuts off
    mask = np.zeros(image.shape, bool)
    mask[21, 22:24] = True
    hot = image.copy()
    hot[5, 5] = 1e6
    for given in (image, hot):
        run = Inpainting(given, mask, tiny_prior, config=CONFIG, device="cpu")
        for _ in run:
            pass
        assert run.result().image[mask].mean() < 85


def test_nan_under_the_damage_is_filled(tiny_prior: LoadedPrior) -> None:
    image = _image(dtype="float32")
    image[_mask()] = np.nan
    _, result = _restored(image, tiny_prior)
    assert np.isfinite(result.image).all()


def test_what_stands_under_the_damage_does_not_matter(tiny_prior: LoadedPrior) -> None:
    image = _image()
    spoilt = np.where(_mask(), 255, image).astype(np.uint8)
    assert np.array_equal(
        _restored(image, tiny_prior)[1].image, _restored(spoilt, tiny_prior)[1].image
    )


def test_the_same_seed_gives_the_same_bits(tiny_prior: LoadedPrior) -> None:
    first, second, other = (
        _restored(_image(dtype="float32"), tiny_prior, seed=seed)[1].image for seed in (3, 3, 4)
    )
    assert first.tobytes() == second.tobytes()
    assert first.tobytes() != other.tobytes()


def test_a_run_can_be_iterated_again_with_the_same_result(tiny_prior: LoadedPrior) -> None:
    run, once = _restored(_image(), tiny_prior)
    for _ in run:
        pass
    assert np.array_equal(run.result().image, once.image)
    assert run.result().history == once.history


def test_uncertainty_lives_where_pixels_are_invented(tiny_prior: LoadedPrior) -> None:
    _, result = _restored(_image(), tiny_prior)
    assert result.uncertainty.dtype == np.float32
    assert (result.uncertainty[_mask()] > 0).any()
    assert not result.uncertainty[~_mask()].any()


def test_stopping_early_keeps_what_is_there_and_marks_only_that(tiny_prior: LoadedPrior) -> None:
    image = _image()
    run = Inpainting(image, _mask(), tiny_prior, config=CONFIG, device="cpu")
    assert run.n_windows == 2
    step = next(iter(run))
    assert (step.index, step.window, step.n_windows, step.n_steps) == (1, 1, 2, 6)
    result = run.result()
    assert result.invented.any()
    assert (result.invented <= _mask()).all()
    assert not np.array_equal(result.invented, _mask())
    assert np.array_equal(result.image[~result.invented], image[~result.invented])
    shown = run.preview()
    assert not np.array_equal(shown, image)
    assert np.array_equal(shown[~result.invented], image[~result.invented])


def test_no_result_before_the_first_step(tiny_prior: LoadedPrior) -> None:
    run = Inpainting(_image(), _mask(), tiny_prior, config=CONFIG, device="cpu")
    with pytest.raises(ComputeError, match="Got no step to keep"):
        run.result()
    assert np.array_equal(run.preview(), _image())


def test_the_recipe_is_json_and_says_how_to_repeat_the_run(tiny_prior: LoadedPrior) -> None:
    _, result = _restored(_image(), tiny_prior, seed=5)
    recipe = json.loads(json.dumps(result.recipe))
    assert recipe["task"] == "inpaint"
    assert recipe["prior"] == {"name": "tiny", "sha256": tiny_prior.sha256}
    assert InversionConfig.from_dict(recipe["config"]) == CONFIG
    assert (recipe["seed"], recipe["zoom"], recipe["device"]) == (5, 1.0, "cpu")
    assert recipe["mask"]["damaged_pixels"] == int(_mask().sum())
    assert recipe["versions"]["torch"] == str(torch.__version__)


def test_the_inputs_are_not_changed_and_may_change_later(tiny_prior: LoadedPrior) -> None:
    image, mask = _image(), _mask()
    run = Inpainting(image, mask, tiny_prior, config=CONFIG, device="cpu")
    image[:], mask[:] = 0, False
    for _ in run:
        pass
    assert np.array_equal(run.result().image[~_mask()], _image()[~_mask()])


def test_zoom_is_estimated_from_how_coarse_the_image_is(tiny_prior: LoadedPrior) -> None:
    image, mask = _image((120, 120)), _mask((120, 120))
    length = correlation_length(image, mask)
    coarse = {"p10": 2 * length, "p90": 3 * length}
    tiny_prior.card.training["image_correlation_length"] = coarse
    try:
        run = Inpainting(image, mask, tiny_prior, config=CONFIG, device="cpu", zoom=None)
    finally:
        del tiny_prior.card.training["image_correlation_length"]
    assert run.zoom == pytest.approx(2, rel=1e-6)


def test_the_public_function_restores(tiny_prior_path, tiny_prior: LoadedPrior) -> None:
    image = _image((32, 32))
    result = inpaint(image, _mask((32, 32)), prior=tiny_prior_path, quality="fast", device="cpu")
    assert napari_mganprior.inpaint is inpaint
    assert result.dtype == image.dtype
    assert np.array_equal(result[~_mask((32, 32))], image[~_mask((32, 32))])


def _spoilt(value: float, dtype: type = np.float64) -> np.ndarray:
    image = _image().astype(dtype)
    image[0, 0] = value
    return image


BAD = {
    "mask of another shape": (
        {"mask": np.ones((3, 3), bool)},
        MaskError,
        r"mask of shape \(3, 3\) for an image of shape \(40, 50\)",
    ),
    "empty mask": ({"mask": np.zeros((40, 50), bool)}, MaskError, "Got an empty mask"),
    "mask covering everything": (
        {"mask": np.ones((40, 50), bool)},
        MaskError,
        "leaves 0 of 2000 pixels",
    ),
    "mask of floats": ({"mask": np.ones((40, 50))}, MaskError, "mask of type float64"),
    "stack": ({"image": np.zeros((40, 50, 7))}, ImageError, r"shape \(40, 50, 7\)"),
    "alpha": ({"image": np.zeros((40, 50, 4))}, ImageError, "Drop the alpha channel"),
    "NaN": ({"image": np.full((40, 50), np.nan)}, ImageError, "values that are NaN or infinite"),
    "no data": (
        {"image": _spoilt(1e20)},
        ImageError,
        r"Got 1 extreme values, up to 1e\+20 outside the mask .* mark those pixels as damage",
    ),
    "far from the others": (
        {"image": _spoilt(-1e15)},
        ImageError,
        r"Got 1 extreme values, up to -1e\+15 .* wanted at most 1e\+30, and 1e\+12 times the span",
    ),
    "far from the others, whole numbers": (
        {"image": _spoilt(-(2**63), np.int64)},
        ImageError,
        r"Got 1 extreme values, up to -9.223e\+18",
    ),
    "too large": (
        {"image": np.full((40, 50), 1e31)},
        ImageError,
        r"Got \d+ extreme values, up to 1e\+31 outside the mask; wanted at most",
    ),
    "constant": ({"image": np.full((40, 50), 7)}, ImageError, "Got a constant image .* is 7"),
    "complex": ({"image": np.zeros((40, 50), complex)}, ImageError, "image of type complex128"),
    "bool": ({"image": np.zeros((40, 50), bool)}, ImageError, "image of type bool"),
    "RGB for a grey prior": (
        {"image": _image((40, 50, 3))},
        PriorError,
        "Got an RGB image for the prior 'tiny', which draws grey",
    ),
    "no such quality": ({"quality": "superb"}, SettingsError, "Got the quality 'superb'"),
    "no such device": ({"device": "toaster"}, DeviceError, "Got device 'toaster'; wanted auto"),
    "no such CUDA": ({"device": "cuda:77"}, DeviceError, "not available here"),
    "seed": ({"seed": -1}, SettingsError, "Got seed -1; wanted a whole number"),
    "zoom": ({"zoom": 100.0}, SettingsError, "Got a zoom of 100.0; wanted 0.125 to 8.0"),
    "cut": ({"config": InversionConfig(layer=20)}, SettingsError, "Got layer 20 .* cuts 0 to 8"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_input_is_refused_at_the_door(case: str, tiny_prior: LoadedPrior) -> None:
    changes, error, match = BAD[case]
    keywords = {"image": _image(), "mask": _mask(), "device": "cpu", **changes}
    with pytest.raises(error, match=match):
        Inpainting(keywords.pop("image"), keywords.pop("mask"), tiny_prior, **keywords)


def test_one_pixel_is_too_small(tiny_prior: LoadedPrior) -> None:
    with pytest.raises(MGANPriorError, match=r"undamaged pixels|at least 16x16"):
        Inpainting(np.zeros((1, 1)), np.ones((1, 1), bool), tiny_prior)
    mask = np.zeros((15, 90), bool)
    mask[3, 3] = True
    with pytest.raises(ImageError, match="Got an image of 15x90 pixels"):
        Inpainting(_image((15, 90)), mask, tiny_prior)


def test_a_grey_image_is_refused_by_an_rgb_prior(tiny_rgb_prior: LoadedPrior) -> None:
    with pytest.raises(
        PriorError, match="Got a grey image for the prior 'tinyrgb', which draws RGB"
    ):
        Inpainting(_image(), _mask(), tiny_rgb_prior)


@pytest.mark.parametrize(
    ("raised", "wanted", "match"),
    [
        (RuntimeError("mat1 and mat2 disagree"), ComputeError, "mat1 and mat2 disagree"),
        (torch.OutOfMemoryError("CUDA out of memory"), OutOfMemoryError, "too little memory"),
        (MemoryError(), OutOfMemoryError, "too little memory"),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
            OutOfMemoryError,
            "wanted",
        ),
    ],
)
def test_failures_inside_torch_get_a_name(
    raised: Exception,
    wanted: type[Exception],
    match: str,
    tiny_prior: LoadedPrior,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise raised

    monkeypatch.setattr(search, "invert", fail)
    run = Inpainting(_image(), _mask(), tiny_prior, config=CONFIG, device="cpu")
    with pytest.raises(wanted, match=match):
        next(iter(run))
    assert not issubclass(wanted, RuntimeError)


@pytest.mark.parametrize("dtype", ["uint64", "int64", "uint32", "int8"])
def test_saturated_whole_numbers_stay_within_their_type(
    dtype: str, tiny_prior: LoadedPrior
) -> None:
    """Law: what is invented lies within what was measured, up to the rounding of a float."""
    info = np.iinfo(dtype)
    image = np.full((40, 50), info.max, dtype)
    image[::3, ::3] = info.max // 2
    _, result = _restored(image, tiny_prior)
    low, high = int(image[~_mask()].min()), int(image[~_mask()].max())
    inside = [int(value) for value in result.image[_mask()]]
    slack = high // 2**50
    assert min(inside) >= low - slack
    assert max(inside) <= high

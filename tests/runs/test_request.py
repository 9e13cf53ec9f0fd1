"""What a run is asked to do."""

import pickle

import numpy as np
import pytest

from napari_mganprior.errors import SettingsError
from napari_mganprior.inversion.config import InversionConfig
from napari_mganprior.runs import RunRequest
from napari_mganprior.runs.opening import open_task

IMAGE = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
MASK = np.zeros((40, 40), bool)
MASK[5:9, 5:9] = True


def ask(**more):
    return RunRequest(**{"image": IMAGE, "mask": MASK, "prior": "tiny", **more})


@pytest.fixture(autouse=True)
def own_priors(prior_folder, monkeypatch):
    monkeypatch.setenv("NAPARI_MGANPRIOR_PRIORS", str(prior_folder))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"precision": "int8"}, "precision 'int8'; wanted one of auto, float32, bfloat16"),
        ({"planes": "all"}, "planes 'all'; wanted one of one, slices, channels"),
        ({"feather": 1}, "feather = 1 with grow = 0"),
        ({"region": (4, 4, 4, 4)}, "wanted 0 <= top < bottom"),
    ],
)
def test_settings_out_of_range_are_refused(wrong, message):
    with pytest.raises(SettingsError, match=message):
        ask(**wrong)


def test_smaller_takes_less_until_nothing_is_left():
    """Law: every step down has fewer restarts, or as many with fewer codes; it comes to an end."""
    request, seen = ask(quality="best"), []
    while request is not None:
        config = request.settings()
        seen.append((config.n_restarts, config.n_codes))
        request = request.smaller()
    assert seen == [(8, 20), (4, 20), (2, 20), (1, 20), (1, 10), (1, 5), (1, 3), (1, 2), (1, 1)]
    own = ask(config=InversionConfig(n_restarts=1, n_codes=1))
    assert own.smaller() is None


def test_a_request_can_be_sent_to_another_process():
    request = pickle.loads(pickle.dumps(ask(config=InversionConfig(), region=(0, 0, 9, 9))))
    assert np.array_equal(request.image, IMAGE)
    assert request.region == (0, 0, 9, 9)


@pytest.mark.parametrize("planes", ["one", "slices", "channels"])
def test_a_request_becomes_a_task_with_its_settings(planes):
    image = IMAGE if planes == "one" else np.stack([IMAGE, IMAGE])
    request = ask(
        image=image, planes=planes, quality="fast", seed=4, device="cpu", precision="float32",
        grow=1, feather=1, shrink=1,
    )  # fmt: skip
    task = open_task(request)
    for _ in task:
        break
    recipe = task.result().recipe
    assert (recipe["seed"], recipe["quality"], recipe["device"]) == (4, "fast", "cpu")
    assert recipe["config"]["n_restarts"] == 1
    assert recipe["config"]["precision"] == "float32"
    assert recipe["damage"] == {"grow": 1, "feather": 1, "region": None}
    assert recipe.get("planes", {}).get("linked") == {"slices": True, "channels": False}.get(planes)


def test_a_lazy_array_is_not_read():
    class Lazy:
        shape, dtype = (2, 40, 40), np.dtype("uint8")

        def __array__(self, *args, **keywords):
            raise AssertionError("nobody may read this in the window's thread")

    lazy = Lazy()
    assert ask(image=lazy, planes="slices").image is lazy

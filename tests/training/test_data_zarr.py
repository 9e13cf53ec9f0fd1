"""OME-Zarr, versions 0.4 and 0.5."""

import sys

import numpy as np
import pytest

from napari_mganprior.errors import TrainingError
from napari_mganprior.training.ome_zarr import is_zarr, zarr_pictures
from napari_mganprior.training.pictures import UnusableImageError, whole
from napari_mganprior.training.sources import open_sources

zarr = pytest.importorskip("zarr")

DATA = np.random.default_rng(0).integers(0, 60_000, (4, 2, 40, 48)).astype(np.uint16)


def write(path, version: str, data=DATA, axes: str = "tcyx") -> None:
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    image(group, version, data, axes)


def image(group, version: str, data, axes: str) -> None:
    for level, step in ((0, 1), (1, 2)):
        part = data[..., ::step, ::step]
        group.create_array(str(level), data=part, chunks=(1,) * (part.ndim - 2) + (16, 16))
    kinds = {"t": "time", "c": "channel"}
    described = {
        "version": version,
        "axes": [{"name": a, "type": kinds.get(a, "space")} for a in axes],
        "datasets": [{"path": "0"}, {"path": "1"}],
    }
    if version == "0.5":
        group.attrs["ome"] = {"version": "0.5", "multiscales": [described]}
    else:
        group.attrs["multiscales"] = [described]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_the_largest_level_is_read_by_its_axes(tmp_path, version):
    write(tmp_path / "a.zarr", version)
    assert is_zarr(tmp_path / "a.zarr")
    with pytest.raises(TrainingError, match="Got 2 channels in a"):
        zarr_pictures(tmp_path / "a.zarr", "a", None)
    found = zarr_pictures(tmp_path / "a.zarr", "a", (1,))
    assert [p.key for p in found] == [f"a[{i}]" for i in range(4)]
    assert np.array_equal([p.read(whole(p)) for p in found], DATA[:, 1])
    assert np.array_equal(found[2].read((slice(3, 7), slice(20, 30))), DATA[2, 1, 3:7, 20:30])
    both = zarr_pictures(tmp_path / "a.zarr", "a", (0, 1))
    assert np.array_equal(both[0].read(whole(both[0])), np.moveaxis(DATA[0], 0, -1))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_plates_and_labels(tmp_path, version):
    """Law: every field of a plate is an image, and labels are none."""
    root = zarr.open_group(tmp_path / "p.zarr", mode="w", zarr_format=3 if version == "0.5" else 2)
    for well in ("A/1", "B/2"):
        for place in ("0", "1"):
            field = root.create_group(f"{well}/{place}")
            image(field, version, DATA[:, 0], "zyx")
            image(field.create_group("labels/cells"), version, DATA[:, 0], "zyx")
    found = zarr_pictures(tmp_path / "p.zarr", "p", None)
    assert len(found) == 4 * 4
    assert {p.key.partition("[")[0] for p in found} == {"p/A/1/0", "p/A/1/1", "p/B/2/0", "p/B/2/1"}


def test_in_a_folder_and_as_a_plain_array(tmp_path):
    write(tmp_path / "in" / "a.ome.zarr", "0.5", DATA[:, 0], "zyx")
    zarr.create_array(tmp_path / "in" / "b.zarr", data=np.stack([*DATA[:, 1]] * 2))
    found = open_sources([tmp_path / "in"], 16, hold_out=0)
    assert found.train.n_images == 4 + 8
    assert open_sources([tmp_path / "in" / "b.zarr"], 16, hold_out=0).train.n_images == 8


def test_damaged_and_empty_folders_are_unusable(tmp_path):
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(UnusableImageError, match="without images"):
        zarr_pictures(tmp_path / "empty.zarr", "empty", None)
    write(tmp_path / "a.zarr", "0.5")
    (tmp_path / "a.zarr" / "zarr.json").write_text("{")
    with pytest.raises(UnusableImageError, match="could not be read"):
        zarr_pictures(tmp_path / "a.zarr", "a", None)
    write(tmp_path / "b.zarr", "0.5", DATA[:, 0], "zyx")
    for chunk in (tmp_path / "b.zarr" / "0" / "c").rglob("*"):
        if chunk.is_file():
            chunk.write_bytes(b"damaged")
    with pytest.raises(TrainingError, match=r"Got 0 usable images .* out of 4"):
        open_sources([tmp_path / "b.zarr"], 16)


def test_without_the_package_somebody_is_told_what_to_install(tmp_path, monkeypatch):
    write(tmp_path / "a.zarr", "0.5")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(TrainingError, match=r"zarr is not installed.*napari-mganprior\[zarr\]"):
        open_sources([tmp_path / "a.zarr"], 16)

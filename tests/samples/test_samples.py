"""The sample images are what their README says."""

import numpy as np
import pytest

from napari_mganprior.errors import SettingsError
from napari_mganprior.samples import SAMPLES, load_sample


@pytest.mark.parametrize("name", SAMPLES)
def test_only_the_masked_pixels_are_damaged(name):
    """Law: outside the mask the damaged image is the truth; inside it is saturated."""
    sample = load_sample(name)
    assert sample.truth.shape == sample.damaged.shape == sample.mask.shape == (256, 256)
    assert sample.truth.dtype == sample.damaged.dtype == np.uint8
    assert sample.mask.dtype == bool
    np.testing.assert_array_equal(sample.damaged[~sample.mask], sample.truth[~sample.mask])
    assert (sample.damaged[sample.mask] == 255).all()
    assert 0.01 < sample.mask.mean() < 0.1
    assert sample.truth[sample.mask].std() > 10  # something worth restoring is under it


def test_bubbles_and_scratches_have_the_sizes_asked_for():
    """Bubbles are 12 to 24 px across; scratches are 3 px wide."""
    from scipy.ndimage import distance_transform_edt, find_objects, label

    bubbles, n = label(load_sample("nuclei_bubble").mask)
    assert n == 7
    for rows, columns in find_objects(bubbles):
        assert 11 <= rows.stop - rows.start <= 24
        assert 11 <= columns.stop - columns.start <= 24
    depth = distance_transform_edt(load_sample("nuclei_scratch").mask)
    assert np.median(depth[depth > 0]) <= 2
    assert 2 <= np.quantile(depth[depth > 0], 0.9) <= 3


def test_an_unknown_sample_is_named():
    with pytest.raises(SettingsError, match=r"'cat'; wanted one of: nuclei_scratch, nuclei_bubble"):
        load_sample("cat")

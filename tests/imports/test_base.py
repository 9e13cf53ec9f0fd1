"""What readers and adapters have in common."""

import pytest
import torch

from napari_mganprior.errors import PriorError
from napari_mganprior.imports.base import Foreign, ImportRefused, check_shapes


def test_every_wrong_key_is_named_with_its_shape():
    """Law: what is missing, unexpected and misshapen is told apart, key by key."""
    found = {"a": torch.zeros(2), "b": torch.zeros(3, 4), "c": torch.zeros(1)}
    with pytest.raises(ImportRefused) as refused:
        check_shapes(
            found, {"a": (2,), "b": (4, 3), "d": (5, 6)}, source="x.pth", network="a network"
        )
    message = str(refused.value)
    assert message.startswith("Got x.pth as a network with keys missing: d (5, 6); ")
    assert "unexpected: c (1,); " in message
    assert "of another shape: b (3, 4) for (4, 3); wanted exactly" in message
    assert "a (2,)" not in message
    assert isinstance(refused.value, PriorError)


def test_keys_that_fit_pass():
    check_shapes({"a": torch.zeros(2)}, {"a": (2,)}, source="x", network="n")


def test_a_long_list_of_keys_is_cut_short():
    wanted = {f"k{i:02}": (1,) for i in range(20)}
    with pytest.raises(ImportRefused, match=r"k05 \(1,\) and 14 more; wanted"):
        check_shapes({}, wanted, source="x", network="n")


def test_the_part_of_a_file_is_found_by_its_prefix():
    """Law: a prefix ends at a dot, so that "g" does not stand for "g_ema"."""
    foreign = Foreign("torch", {"g.a": torch.zeros(1), "g_ema.a": torch.ones(1)})
    assert list(foreign.under("g")) == ["a"]
    assert foreign.under("g_ema")["a"] == 1
    assert foreign.under("x") == {}

"""The script examples/import_a_generator.py."""

import importlib.util
import json
from pathlib import Path

import pytest
import torch

from napari_mganprior.arrays import seeded
from napari_mganprior.generators.checkpoint import load_prior
from napari_mganprior.generators.registry import forget_generator

SCRIPT = Path(__file__).parents[1] / "examples" / "import_a_generator.py"


@pytest.fixture
def script():
    spec = importlib.util.spec_from_file_location("import_a_generator", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    forget_generator("mine")


def test_a_network_of_ones_own_restores(script, capsys):
    assert script.main([]) == 0
    printed = capsys.readouterr().out
    assert (
        "registered:mine: 32 px, cuts [(16, 1, 1), (32, 4, 4), (16, 8, 8), (8, 16, 16)]" in printed
    )
    assert "pixels filled" in printed


def test_a_file_is_imported_with_a_description(script, tmp_path, capsys):
    """Law: the prior it writes draws what the network in the file draws."""
    network = script.build()
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    ups = [(32, 1, 0, "relu"), (16, 2, 1, "relu"), (8, 2, 1, "relu"), (1, 2, 1, "tanh")]
    description = {
        "code": {"length": 16},
        "image": {"channels": 1, "size": 32},
        "layers": [
            {
                "kind": "convtranspose",
                "filters": filters,
                "kernel": 4,
                "stride": stride,
                "padding": padding,
                "activation": activation,
                "tensors": str(2 * i),
            }
            for i, (filters, stride, padding, activation) in enumerate(ups)
        ],
    }
    (tmp_path / "theirs.json").write_text(json.dumps(description))
    arguments = [str(tmp_path / "theirs.pt"), "--name", "toy", "--folder", str(tmp_path)]
    assert script.main([*arguments, "--architecture", str(tmp_path / "theirs.json")]) == 0
    printed = capsys.readouterr().out
    assert "cut 3: (8, 16, 16)" in printed
    generator = load_prior(tmp_path / "toy.safetensors").generator
    z = generator.sample_codes(2, rng=seeded(0))
    with torch.no_grad():
        assert (generator(z) - network(z[:, :, None, None])).abs().max() <= 1e-5
    # a second time it is refused, and the layout is recognised without a description
    assert script.main(arguments) == 1
    assert "exists already" in capsys.readouterr().err
    assert script.main([*arguments, "--overwrite"]) == 0
    assert "dcgan" in capsys.readouterr().out

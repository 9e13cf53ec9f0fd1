"""The contract of imports: what a reader finds in a foreign file, what an adapter makes of it.

A reader knows a file format and no network; an adapter knows a network and no file format.
Between them stands `Foreign`: tensors by name, and facts found beside them. No reader runs code
from a file.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from torch import Tensor

from napari_mganprior.errors import ImportRefused

__all__ = [
    "Adapter",
    "Converted",
    "Foreign",
    "ImportRefused",
    "Kind",
    "Limits",
    "check_shapes",
]

Kind = Literal[
    "torch",
    "torch-legacy",
    "nvidia-pickle",
    "tf-pickle",
    "pickle",
    "safetensors",
    "keras-h5",
    "npz",
]

_NAMED = 6  # keys that a message names of each sort


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What a file may ask of this machine before it is refused.

    Attributes
    ----------
    file_bytes : int
        Size of the file.
    tensor_bytes : int
        All tensors together, as float32.
    members : int
        Files in a zip archive, groups and arrays in an HDF5 file.
    tensors : int
        Tensors in the file.
    depth : int
        Nesting of tables in tables.
    entries : int
        Tables, lists, numbers and texts around the tensors, counted wherever they are referred to.
    ratio : float
        Unpacked bytes to packed bytes of what is compressed; weights stay below 2.
    opcodes : int
        Instructions of a pickle.
    """

    file_bytes: int = 4 * 1024**3
    tensor_bytes: int = 8 * 1024**3
    members: int = 20_000
    tensors: int = 20_000
    depth: int = 64
    entries: int = 200_000
    ratio: float = 20.0
    opcodes: int = 2_000_000


@dataclass(frozen=True)
class Foreign:
    """What was found in somebody else's file.

    Attributes
    ----------
    kind : str
        The format: ``"torch"`` (zip), ``"torch-legacy"`` (before torch 1.6), ``"nvidia-pickle"``,
        ``"tf-pickle"``, ``"pickle"`` (any other), ``"safetensors"``, ``"keras-h5"``, ``"npz"``.
    tensors : dict
        float32 tensors on the CPU by name. Names of nested tables are joined with dots:
        ``"generator_smooth.layer0.conv.weight"``, ``"g_ema.convs.0.conv.weight"``,
        ``"G_ema.synthesis.b4.conv1.weight"``. Entries of a list have their number as name.
        TensorFlow's own names keep their slashes: ``"Gs.4x4/Conv/weight"``, and with components
        ``"Gs.synthesis.4x4/Const/const"``. Keras: the path in the file without
        ``model_weights``, joined with dots: ``"conv2d.conv2d.kernel:0"``. Layouts of axes are the
        file's own: no reader transposes.
    meta : dict
        JSON-like facts found beside them: numbers, strings, lists and tables that hold no tensor
        stand under their dotted names too, as ``"g_ema_args.size"``. Besides:

        ``"modules"`` (pickles of networks)
            A table of the networks by dotted name (``"G_ema"``, ``"G_ema.synthesis"``, ``"Gs"``),
            each ``{"class": "Generator", "attributes": {"z_dim": 512, ..}}`` with the plain
            attributes of a torch module (``init_args`` and ``init_kwargs`` among them), or for
            TensorFlow ``static_kwargs``, ``build_func_name``, ``name`` and ``version``.
        ``"config"``
            Of a ``config.json`` beside the file (or ``NAME-config.json`` beside
            ``NAME-pytorch_model.bin``).
        ``"model_config"``, ``"layer_names"`` (Keras)
            The model's own JSON; the layers' names in order.
        ``"metadata"`` (safetensors)
            The header's strings.
    source : str
        Name of the file, for messages.
    """

    kind: Kind
    tensors: dict[str, Tensor]
    meta: dict[str, Any] = field(default_factory=dict)
    source: str = "the file"

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors whose names begin with ``prefix`` and a dot, without those."""
        start = f"{prefix}."
        return {
            name.removeprefix(start): value
            for name, value in self.tensors.items()
            if name.startswith(start)
        }


@dataclass(frozen=True, kw_only=True)
class Converted:
    """A foreign network in our own terms.

    Attributes
    ----------
    architecture : str
        As in a prior's card: ``"pggan"``, ``"stylegan2"``, ..
    generator : dict
        Keywords that build our generator.
    state : dict
        Its ``state_dict``; every key and shape is checked once more when it is built.
    discriminator, discriminator_state : dict or None
        The same of the discriminator; None where there is none, or ours has another form.
    value_range : tuple of float
        Range of the generator's images; they are (-1, 1) unless stated.
    image_channels : int
        1 or 3.
    resolution : int
        Height and width of the images in pixels.
    note : str
        What a person should know: what was left out, what was assumed. One line.
    """

    architecture: str
    generator: dict[str, Any]
    state: dict[str, Tensor]
    discriminator: dict[str, Any] | None = None
    discriminator_state: dict[str, Tensor] | None = None
    value_range: tuple[float, float] = (-1.0, 1.0)
    image_channels: int
    resolution: int
    note: str = ""


class Adapter(Protocol):
    """Knows one published layout.

    Attributes
    ----------
    name : str
        How a user asks for it (``--architecture NAME``).
    """

    name: str

    def recognise(self, foreign: Foreign) -> bool:
        """Tell from names, shapes and facts whether this is the layout; costs nothing."""
        ...

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Turn the tensors into ours.

        Parameters
        ----------
        foreign : Foreign
            What a reader found.
        options : mapping
            What the user asked for, each absent where nothing was: ``"class"`` (int, a class of a
            conditional generator), ``"truncation"`` (float, 0 .. 1), ``"description"`` (dict, the
            content of an architecture file; only the adapter ``"described"`` gets one).

        Raises
        ------
        ImportRefused
            Naming every key that is missing, unexpected or of another shape; `check_shapes`.
        """
        ...


def check_shapes(
    found: Mapping[str, Tensor], wanted: Mapping[str, tuple[int, ...]], *, source: str, network: str
) -> None:
    """Compare names and shapes, key by key.

    Parameters
    ----------
    found : mapping
        Tensors by name.
    wanted : mapping
        Shapes by name.
    source : str
        Name of the file, for the message.
    network : str
        What the tensors were taken for, for the message: ``"a PGGAN generator"``.

    Raises
    ------
    ImportRefused
        Naming what is missing, unexpected, or misshapen.
    """
    missing = [f"{key} {wanted[key]}" for key in sorted(wanted.keys() - found.keys())]
    unexpected = [
        f"{key} {tuple(found[key].shape)}" for key in sorted(found.keys() - wanted.keys())
    ]
    misshapen = [
        f"{key} {tuple(found[key].shape)} for {tuple(wanted[key])}"
        for key in sorted(wanted.keys() & found.keys())
        if tuple(found[key].shape) != tuple(wanted[key])
    ]
    faults = [
        f"{label}: {_listed(keys)}"
        for label, keys in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", misshapen),
        )
        if keys
    ]
    if faults:
        raise ImportRefused(
            f"Got {source} as {network} with keys {'; '.join(faults)}; wanted exactly the keys of "
            "that network. Choose another --architecture, or ask the file's author for the "
            "whole checkpoint."
        )


def _listed(keys: Iterable[str]) -> str:
    keys = list(keys)
    more = f" and {len(keys) - _NAMED} more" if len(keys) > _NAMED else ""
    return ", ".join(keys[:_NAMED]) + more

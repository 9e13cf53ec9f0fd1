"""Generators that no adapter knows by name, described by an architecture file.

An architecture file is a JSON table. It lists the layers from the code to the image and names
the tensors of each. ``docs/architecture-files.md`` explains it with two worked examples, which
lie in ``examples/architectures``.

=============== =================================================================================
entry           meaning
=============== =================================================================================
``code``        ``length`` (numbers in a code), ``distribution`` (``"normal"``: N(0, 1), or
                ``"uniform"``: even in -1 .. 1; default normal), ``normalise`` (true where the
                network brings codes to mean square 1 itself; default false)
``image``       ``channels`` (1 .. 4), ``size`` (height and width in pixels), ``range`` (the last
                layer's values for black and white; default [-1, 1])
``order``       ``"torch"`` or ``"keras"``: axes of kernels, and the order of numbers in
                ``reshape`` and ``flatten`` (default torch)
``layers``      the layers, from the code to the image
``ignore``      beginnings of names of tensors that belong to other networks of the file
``comment``     anything; not read
=============== =================================================================================

A layer is a table with ``kind`` and

=================== =============================================================================
kind                entries
=================== =============================================================================
``dense``           ``units``, and those of layers with weights
``conv``            ``filters``, ``kernel`` (side in pixels), ``stride`` (default 1), ``padding``
                    (pixels, ``[before, after]``, or ``"same"`` as in Keras; default 0), and
                    those of layers with weights
``convtranspose``   the same, and ``output_padding`` (default 0). ``padding`` is cut off the
                    result; ``"same"`` makes the size grow by exactly the stride, and cuts an odd
                    row off the end
``upsample``        ``factor`` (default 2), ``mode`` (``"nearest"``, default, or ``"bilinear"``)
``reshape``         ``shape``: [channels, height, width], in this order whatever ``order`` says
``flatten``         none
with weights        ``tensors``; ``bias`` (default true); ``norm``; ``activation`` (``"linear"``,
                    default, ``"relu"``, ``"leaky"``, ``"elu"``, ``"tanh"``, ``"sigmoid"``);
                    ``slope`` of leaky (default 0.2)
=================== =============================================================================

``tensors`` is what the names of the layer's tensors begin with: ``"net.3"`` stands for
``net.3.weight`` and ``net.3.bias`` (torch) or ``net.3.kernel`` and ``net.3.bias`` (Keras). A
table ``{"weight": NAME, "bias": NAME}`` names them one by one. The end of a name will do where
only one tensor's name ends so.

``norm`` is batch normalisation with stored statistics: ``{"tensors": .., "eps": 1e-5, "place":
"before"}``; ``place`` is before (default) or after the activation. Its ``tensors`` stand for
``weight``, ``bias``, ``running_mean``, ``running_var`` (torch) or ``gamma``, ``beta``,
``moving_mean``, ``moving_variance`` (Keras); a table with the names ``weight``, ``bias``,
``mean``, ``variance`` may leave out weight (1) and bias (0).
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.described import DescribedGenerator
from napari_mganprior.imports.base import Converted, Foreign, ImportRefused, check_shapes

__all__ = ["DescribedAdapter"]

_WITH_WEIGHTS = ("dense", "conv", "convtranspose")
_NAMES = {  # of a tensor in a file, by what it is
    "torch": {
        "weight": "weight",
        "bias": "bias",
        "scale": "weight",
        "offset": "bias",
        "mean": "running_mean",
        "variance": "running_var",
    },
    "keras": {
        "weight": "kernel",
        "bias": "bias",
        "scale": "gamma",
        "offset": "beta",
        "mean": "moving_mean",
        "variance": "moving_variance",
    },
}
# where our axes lie in a Keras kernel: (H, W, in, out), transposed (H, W, out, in), dense (in, out)
_FROM_KERAS = {"conv": (3, 2, 0, 1), "convtranspose": (3, 2, 0, 1), "dense": (1, 0)}
_TOP = {"code", "image", "order", "layers", "ignore", "comment"}
_CODE = {"length", "distribution", "normalise"}
_IMAGE = {"channels", "size", "range"}
_NORM = {"tensors", "eps", "place"}


class DescribedAdapter:
    """Builds the chain of layers that an architecture file describes."""

    name = "described"

    def recognise(self, foreign: Foreign) -> bool:
        """Return False: nothing is described by itself."""
        return False

    def convert(self, foreign: Foreign, options: Mapping[str, Any]) -> Converted:
        """Take the tensors that the description names; see `Adapter`."""
        if "description" not in options:
            raise ImportRefused(
                f"Got {foreign.source} to be imported as described, without a description; wanted "
                "an architecture file (JSON). Write one as docs/architecture-files.md shows."
            )
        description = _table(options["description"], "the architecture file", _TOP)
        order = description.get("order", "torch")
        if order not in _NAMES:
            raise ImportRefused(
                f"Got order {order!r} in the architecture file; wanted torch or keras. Correct it."
            )
        generator, names, eps = _read(description, order)
        try:
            with torch.device("meta"):
                network = DescribedGenerator(**generator)
        except (PriorError, TypeError, ValueError, RuntimeError) as error:
            raise ImportRefused(
                f"Got an architecture file for {foreign.source} that makes no network: {error}"
            ) from error
        shapes = {key: tuple(value.shape) for key, value in network.state_dict().items()}
        found, ignored = _collect(foreign, names, _texts(description.get("ignore", [])))
        check_shapes(
            found,
            _wanted(names, shapes, generator["layers"], order),
            source=foreign.source,
            network="the described generator",
        )
        state = _state(names, found, generator["layers"], order, eps)
        note = f"{len(ignored)} tensors of other networks left out" if ignored else ""
        return Converted(
            architecture="described",
            generator=network.spec(),
            state=state,
            image_channels=network.image_channels,
            resolution=network.resolution,
            note=note,
        )


Names = dict[tuple[int, str], str]  # (layer, what) -> the name the description gives the tensor


def _read(description: Mapping[str, Any], order: str) -> tuple[dict[str, Any], Names, list[float]]:
    """Split a description: keywords of the network, names of tensors, eps of every layer."""
    code = _table(description.get("code"), "code", _CODE)
    image = _table(description.get("image"), "image", _IMAGE)
    raw = description.get("layers")
    if not isinstance(raw, list) or not 1 <= len(raw) <= 1000:
        raise ImportRefused(
            "Got an architecture file without layers; wanted a list of 1 to 1000 tables. Add them."
        )
    layers, names, eps = [], {}, []
    for index, given in enumerate(raw):
        layer = dict(_table(given, f"layer {index}", None))
        prefix, norm = layer.pop("tensors", None), layer.pop("norm", None)
        eps.append(1e-5)
        if norm is not None:
            norm = _table(norm, f"norm of layer {index}", _NORM)
            layer["norm"] = norm.get("place", "before")
            eps[-1] = _number(norm.get("eps", 1e-5), f"eps of layer {index}")
            for what, name in _norm_names(norm.get("tensors"), order, index).items():
                names[index, what] = name
        if layer.get("kind") in _WITH_WEIGHTS:
            wanted = ("weight", "bias") if layer.get("bias", True) else ("weight",)
            for what in wanted:
                names[index, what] = _name(prefix, what, _NAMES[order][what], index)
        layers.append(layer)
    generator = {
        "code_dim": code.get("length"),
        "distribution": code.get("distribution", "normal"),
        "normalise": bool(code.get("normalise", False)),
        "image_channels": image.get("channels"),
        "resolution": image.get("size"),
        "image_range": image.get("range", [-1.0, 1.0]),
        "channels_last": order == "keras",
        "layers": layers,
    }
    return generator, names, eps


def _name(given: Any, what: str, ending: str, index: int) -> str:
    if isinstance(given, str) and given:
        return f"{given}.{ending}"
    if isinstance(given, Mapping) and isinstance(given.get(what), str):
        return str(given[what])
    raise ImportRefused(
        f"Got layer {index} of the architecture file without the name of its {what}; wanted "
        "'tensors', the beginning of the names or a table of them. Add it."
    )


def _norm_names(given: Any, order: str, index: int) -> dict[str, str]:
    if isinstance(given, Mapping):  # weight and bias may be left out there
        there = {"scale": "weight", "offset": "bias", "mean": "mean", "variance": "variance"}
        wanted = [what for what in there if what in ("mean", "variance") or there[what] in given]
        return {what: _name(given, there[what], "", index) for what in wanted}
    ends = _NAMES[order]
    return {w: _name(given, w, ends[w], index) for w in ("scale", "offset", "mean", "variance")}


def _collect(
    foreign: Foreign, names: Names, ignore: tuple[str, ...]
) -> tuple[dict[str, Tensor], list[str]]:
    """Find every named tensor; return those by described name with the rest, and what is ignored.

    Whatever is left over keeps its own name, so that it is reported as unexpected.
    """
    plain = {key.removesuffix(":0"): key for key in foreign.tensors}
    found, used = {}, set()
    for name in names.values():
        short = name.removesuffix(":0")
        keys = [key for key in plain if key == short] or [
            key for key in plain if key.endswith(f".{short}")
        ]
        if len(keys) > 1:
            raise ImportRefused(
                f"Got the name {name!r} in the architecture file, with which {len(keys)} tensors "
                f"of {foreign.source} end ({', '.join(sorted(keys)[:3])}); wanted one. Give a "
                "longer name."
            )
        if keys:
            found[name] = foreign.tensors[plain[keys[0]]]
            used.add(keys[0])
    ignored = []
    for key in sorted(plain.keys() - used):
        if key.startswith(ignore) or key.endswith("num_batches_tracked"):
            ignored.append(key)
        else:
            found[key] = foreign.tensors[plain[key]]
    return found, [key for key in ignored if not key.endswith("num_batches_tracked")]


def _wanted(
    names: Names, shapes: Mapping[str, tuple[int, ...]], layers: list[dict[str, Any]], order: str
) -> dict[str, tuple[int, ...]]:
    """Return the shape that every named tensor must have in the file."""
    wanted = {}
    for (index, what), name in names.items():
        if what == "weight":
            shape = shapes[f"layers.{index}.weight"]
            if order == "keras":
                axes = _FROM_KERAS[layers[index]["kind"]]
                there = [0] * len(axes)
                for ours, axis in enumerate(axes):
                    there[axis] = shape[ours]
                shape = tuple(there)
        elif what == "bias":
            shape = shapes[f"layers.{index}.bias"]
        else:
            shape = shapes[f"layers.{index}.scale"]
        wanted[name] = shape
    return wanted


def _state(
    names: Names,
    found: Mapping[str, Tensor],
    layers: list[dict[str, Any]],
    order: str,
    eps: list[float],
) -> dict[str, Tensor]:
    """Turn axes into torch's and stored statistics into scale and shift."""
    state = {}
    for (index, what), name in names.items():
        value = found[name]
        if what == "weight":
            if order == "keras":
                value = value.permute(*_FROM_KERAS[layers[index]["kind"]]).contiguous()
            state[f"layers.{index}.weight"] = value
        elif what == "bias":
            state[f"layers.{index}.bias"] = value
        elif what == "variance":
            parts = {w: found[n].double() for (i, w), n in names.items() if i == index}
            scale = parts.get("scale", torch.ones(())) / (parts["variance"] + eps[index]).sqrt()
            shift = parts.get("offset", torch.zeros(())) - parts["mean"] * scale
            state[f"layers.{index}.scale"] = scale.float()
            state[f"layers.{index}.shift"] = shift.float()
    return state


def _table(raw: Any, place: str, known: set[str] | None) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        raise ImportRefused(
            f"Got {type(raw).__name__} for {place}; wanted a table. Correct the architecture file."
        )
    unknown = sorted(map(str, raw.keys() - known)) if known is not None else []
    if unknown:
        raise ImportRefused(
            f"Got unknown entries {unknown} in {place}; wanted only {sorted(known or ())}. Remove "
            "or correct them."
        )
    return raw


def _number(raw: Any, place: str) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or not 0 <= raw < 1:
        raise ImportRefused(f"Got {raw!r} for {place}; wanted a number from 0 up. Correct it.")
    return float(raw)


def _texts(raw: Any) -> tuple[str, ...]:
    if not isinstance(raw, list) or not all(isinstance(text, str) and text for text in raw):
        raise ImportRefused(
            f"Got ignore = {raw!r}; wanted a list of beginnings of names. Correct it."
        )
    return tuple(raw)

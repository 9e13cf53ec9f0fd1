"""Any feed-forward network, split at submodules that are named."""

from collections.abc import Sequence
from math import isqrt, prod
from typing import Any

import torch
from torch import Tensor, fx, nn

from napari_mganprior.errors import PriorError
from napari_mganprior.generators.base import Features, SplitGenerator

__all__ = ["ChainGenerator", "split_module"]

_ADVICE = "Name other cut points, or write a subclass of SplitGenerator."
_ALIKE = 1e-4  # of a range of 2


class _Tracer(fx.Tracer):
    """Records what a network does, without looking into its cut points."""

    def __init__(self, cut_points: Sequence[str]) -> None:
        super().__init__()
        self._cut_points = set(cut_points)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return module_qualified_name in self._cut_points or bool(
            super().is_leaf_module(m, module_qualified_name)
        )


class ChainGenerator(SplitGenerator):
    """A network that `split_module` took apart; cut k lies behind cut point k - 1.

    Parameters
    ----------
    module : nn.Module
        The network, in evaluation mode.
    parts : sequence of nn.Module
        What it does up to the first cut point, from each to the next, and to the image.
    code_shape : tuple of int
        Shape of one code as the network takes it.
    value_range : tuple of float
        Values of the network's images that become -1 and 1.
    code_radius : float or None
        Length of its codes; None is sqrt(D), the length of N(0, 1) codes.
    """

    architecture = "registered"

    def __init__(
        self,
        module: nn.Module,
        parts: Sequence[nn.Module],
        *,
        code_shape: tuple[int, ...],
        value_range: tuple[float, float],
        code_radius: float | None,
    ) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.code_shape, self.value_range = code_shape, value_range
        self.code_dim = prod(code_shape)
        self._radius = code_radius
        self.n_layers = len(parts) - 1
        self._shapes: list[tuple[int, ...]] = []
        z = torch.randn(2, self.code_dim, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            x = z.reshape(2, *code_shape)
            wanted = module(x)
            for part in self.parts:
                self._shapes.append(tuple(x.shape[1:]))
                x = part(x)
            _check_shapes(self._shapes[1:], tuple(x.shape))
            if not (x - wanted).abs().max() <= _ALIKE:
                raise PriorError(
                    "Got a network that draws another image in one piece than in parts; wanted the "
                    f"same. It may draw at random or remember earlier images. {_ADVICE}"
                )
        self.image_channels, self.resolution = int(x.shape[1]), int(x.shape[2])

    @property
    def code_radius(self) -> float:
        """Length of a code."""
        return float(self.code_dim**0.5 if self._radius is None else self._radius)

    def spec(self) -> dict[str, Any]:
        """Return what is known; such a network can only be built by its own code."""
        return {
            "code_shape": list(self.code_shape),
            "value_range": list(self.value_range),
            "code_radius": self._radius,
        }

    def feature_shape(self, layer: int) -> tuple[int, int, int]:
        """Return (C_l, H_l, W_l); codes and vectors are (n, 1, 1)."""
        self._check_layer(layer)
        if layer == 0:
            return self.code_dim, 1, 1
        shape = self._shapes[layer]
        return (shape[0], 1, 1) if len(shape) == 1 else (shape[0], shape[1], shape[2])

    def head(self, z: Tensor, layer: int) -> Features:
        """Run the parts below a cut on codes (B, D)."""
        self._check_layer(layer)
        x = z if layer == 0 else z.reshape(-1, *self.code_shape)
        for part in self.parts[:layer]:
            x = part(x)
        return Features(x.reshape(-1, *self.feature_shape(layer)))

    def between(self, features: Features, begin: int, end: int) -> Features:
        """Run the parts between two cuts."""
        self._check_layer(begin)
        self._check_layer(end)
        if begin == end:
            return features
        x = features.map.contiguous().reshape(-1, *self._shapes[begin])
        for part in self.parts[begin:end]:
            x = part(x)
        return Features(x.reshape(-1, *self.feature_shape(end)))

    def tail(self, features: Features, layer: int) -> Tensor:
        """Run the parts above a cut."""
        self._check_layer(layer)
        # the network may take maps apart in memory, so that their order there matters
        x = features.map.contiguous().reshape(-1, *self._shapes[layer])
        for part in self.parts[layer:]:
            x = part(x)
        low, high = self.value_range
        return x if (low, high) == (-1.0, 1.0) else (x - low) * (2 / (high - low)) - 1

    def _check_layer(self, layer: int) -> None:
        if not 0 <= layer <= self.n_layers:
            raise PriorError(
                f"Got cut {layer}; this generator has cuts 0 to {self.n_layers}. "
                "Choose one of those."
            )


def split_module(
    module: nn.Module,
    cut_points: Sequence[str],
    *,
    code_shape: int | Sequence[int],
    value_range: tuple[float, float] = (-1.0, 1.0),
    code_radius: float | None = None,
) -> ChainGenerator:
    """Split a feed-forward network behind some of its submodules.

    The network is recorded once (`torch.fx`) and taken apart where the named submodules end, so
    what stands between them (activations, reshapes) stays where it is. It is frozen and set to
    evaluation mode.

    Parameters
    ----------
    module : nn.Module
        Draws images (B, 1 .. 4, R, R) from codes, its only input.
    cut_points : sequence of str
        Names of submodules, as `nn.Module.named_modules` calls them, in the order in which they
        run. Nothing from before a cut point but its result may be used behind it. At least one.
    code_shape : int or sequence of int
        Shape of one code as the network takes it: 100, or (100, 1, 1).
    value_range : tuple of float
        Values of the network's images that become -1 and 1.
    code_radius : float, optional
        Length of its codes; sqrt(D), the length of N(0, 1) codes, if left out. Codes even in
        -1 .. 1 have sqrt(D / 3).

    Returns
    -------
    ChainGenerator
        Obeys the split law at every cut.

    Raises
    ------
    PriorError
        If the network cannot be recorded or split there, or draws no such images.

    Examples
    --------
    >>> layers = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 16), nn.Unflatten(1, (1, 4, 4))
    >>> net = nn.Sequential(*layers)
    >>> generator = split_module(net, ["1"], code_shape=3)
    >>> generator.feature_shape(1), generator.resolution
    ((4, 1, 1), 4)
    """
    shape: tuple[Any, ...] = (code_shape,) if isinstance(code_shape, int) else tuple(code_shape)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise PriorError(
            f"Got codes of shape {code_shape!r}; wanted a positive number or several. Correct it."
        )
    low, high = value_range
    if not low < high or (code_radius is not None and not code_radius > 0):
        raise PriorError(
            f"Got the value range {value_range} and the code radius {code_radius}; wanted two "
            "rising numbers and a positive one. Correct them."
        )
    names = dict(module.named_modules())
    unknown = [name for name in cut_points if not name or name not in names]
    if unknown or not cut_points:
        raise PriorError(
            f"Got the cut points {list(cut_points)}, of which {unknown} are no submodules; wanted "
            "at least one name of module.named_modules(). Correct them."
        )
    module.eval().requires_grad_(False)
    try:
        graph = _Tracer(cut_points).trace(module)
        parts = _parts(module, graph, cut_points)
        return ChainGenerator(
            module,
            parts,
            code_shape=shape,
            value_range=(float(low), float(high)),
            code_radius=code_radius,
        )
    except PriorError:
        raise
    # whatever a network of somebody else's may raise when it meets stand-ins for tensors
    except (RuntimeError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise PriorError(
            f"Got a {type(module).__name__} that cannot be recorded or run ({error}); wanted a "
            f"feed-forward network whose course does not depend on its input. {_ADVICE}"
        ) from error


def _parts(module: nn.Module, graph: fx.Graph, cut_points: Sequence[str]) -> list[nn.Module]:
    """Cut a recorded network behind the cut points."""
    nodes = list(graph.nodes)
    inputs = [node for node in nodes if node.op == "placeholder"]
    if len(inputs) != 1:
        raise PriorError(
            f"Got a network with {len(inputs)} inputs; wanted codes alone. Wrap it into a module "
            "that fixes the others."
        )
    ends: list[int] = []
    for name in cut_points:
        calls = [i for i, n in enumerate(nodes) if n.op == "call_module" and n.target == name]
        if len(calls) != 1 or (ends and calls[0] <= ends[-1]):
            raise PriorError(
                f"Got the cut point {name!r}, which runs {len(calls)} times or before the one in "
                "front of it; wanted cut points that run once each, in this order. Correct them."
            )
        ends.append(calls[0])
    begins = [nodes.index(inputs[0]), *ends]
    parts: list[nn.Module] = []
    for number, begin in enumerate(begins):
        end = ends[number] if number < len(ends) else len(nodes) - 1
        parts.append(fx.GraphModule(module, _part(nodes, begin, end)))
    return parts


def _part(nodes: list[fx.Node], begin: int, end: int) -> fx.Graph:
    """Copy what lies between two nodes, the first of which becomes the input."""
    graph = fx.Graph()
    known = {nodes[begin]: graph.placeholder("x")}

    def copied(node: fx.Node) -> fx.Node:
        if node in known:
            return known[node]
        if node.op == "get_attr":  # a weight used as it is
            known[node] = graph.node_copy(node)
            return known[node]
        raise PriorError(
            f"Got a network in which the result of {node.name!r} is used behind a later cut point; "
            f"wanted nothing but the cut point's result there. {_ADVICE}"
        )

    for node in nodes[begin + 1 : end + 1]:
        if node.op == "output":
            result = node.args[0]
            if not isinstance(result, fx.Node):
                raise PriorError(
                    f"Got a network that returns {type(result).__name__}; wanted images alone. "
                    "Wrap it into a module that returns the images."
                )
            graph.output(copied(result))
            return graph
        if node.op != "get_attr":
            known[node] = graph.node_copy(node, copied)
    graph.output(copied(nodes[end]))
    return graph


def _check_shapes(cuts: Sequence[tuple[int, ...]], image: tuple[int, ...]) -> None:
    for shape in cuts:
        if len(shape) not in (1, 3):
            size = prod(shape)
            root = isqrt(size)
            hint = f" (they have {root} x {root} numbers)" if root * root == size else ""
            raise PriorError(
                f"Got features of shape {shape}{hint} at a cut point; wanted vectors (C,) or maps "
                f"(C, H, W). {_ADVICE}"
            )
    if len(image) != 4 or image[1] not in (1, 2, 3, 4) or image[2] != image[3]:
        raise PriorError(
            f"Got images of shape {image}; wanted (B, 1 to 4 channels, R, R). Choose another "
            "network."
        )

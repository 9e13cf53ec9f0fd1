"""Generators from Python: registered by scripts, or by other packages as entry points.

Such a generator is a prior by the name ``registered:NAME`` wherever a prior's name is asked for.
It lives in the interpreter that registered it. Runs in a process of their own see only those
that are entry points of the group ``napari_mganprior.generators``: each names a function without
arguments that returns a `SplitGenerator`, such as `split_module` makes. In ``setup.cfg``::

    [options.entry_points]
    napari_mganprior.generators =
        leaves = my_package.priors:make_leaves

This file imports no torch, so that names can be listed quickly.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_mganprior.errors import MGANPriorError, PriorError

if TYPE_CHECKING:
    from napari_mganprior.generators.base import SplitGenerator

__all__ = [
    "ENTRY_POINTS",
    "PREFIX",
    "Registration",
    "forget_generator",
    "register_generator",
    "registered_name",
    "registered_names",
    "registration",
]

PREFIX = "registered:"
ENTRY_POINTS = "napari_mganprior.generators"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Registration:
    """A generator that can be built when it is needed.

    Attributes
    ----------
    name : str
        Without the prefix.
    builder : callable
        Returns a `SplitGenerator`, or a network for `split_module`.
    cut_points : sequence of str
        Where to split a network; empty for a `SplitGenerator`.
    settings : dict
        Keywords of `split_module`.
    domain, licence : str
        As on a prior's card.
    """

    name: str
    builder: Callable[[], Any]
    cut_points: tuple[str, ...] = ()
    settings: dict[str, Any]
    domain: str
    licence: str

    def build(self) -> "SplitGenerator":
        """Build the generator, frozen and in evaluation mode.

        Raises
        ------
        PriorError
            If the builder fails or returns something else.
        """
        from napari_mganprior.generators.base import SplitGenerator
        from napari_mganprior.generators.chain import split_module

        try:
            made = self.builder()
        except MGANPriorError:
            raise
        except Exception as error:  # it is somebody else's code
            raise PriorError(
                f"Got {type(error).__name__} ({error}) from the builder of {PREFIX}{self.name}; "
                "wanted a generator. Correct the builder."
            ) from error
        if self.cut_points:
            made = split_module(made, self.cut_points, **self.settings)
        if not isinstance(made, SplitGenerator):
            raise PriorError(
                f"Got a {type(made).__name__} from the builder of {PREFIX}{self.name}; wanted a "
                "SplitGenerator. Give cut_points to register_generator, or return what "
                "split_module makes."
            )
        made.eval().requires_grad_(False)
        return made


_registered: dict[str, Registration] = {}


def register_generator(
    name: Any,
    builder: Callable[[], Any],
    *,
    cut_points: Sequence[str] = (),
    code_shape: int | Sequence[int] | None = None,
    value_range: tuple[float, float] = (-1.0, 1.0),
    code_radius: float | None = None,
    domain: str = "",
    licence: str = "",
    overwrite: bool = False,
) -> str:
    """Make a generator of your own a prior by the name ``registered:NAME``.

    Parameters
    ----------
    name : str
        Letters, digits, dots, dashes and underscores, 100 at most.
    builder : callable
        Called without arguments whenever the prior is opened. Returns a `SplitGenerator`, or
        with ``cut_points`` any `nn.Module` that draws images from codes.
    cut_points : sequence of str
        Names of submodules behind which the network can be cut, in the order in which they run;
        see `split_module`.
    code_shape : int or sequence of int
        Shape of one code as the network takes it; needed with ``cut_points``.
    value_range : tuple of float
        Values of the network's images that become -1 and 1; only with ``cut_points``.
    code_radius : float, optional
        Length of its codes, sqrt(D) if left out; only with ``cut_points``.
    domain : str
        What the images show, in words.
    licence : str
        Under which the weights may be used.
    overwrite : bool
        Whether a generator registered by that name is replaced.

    Returns
    -------
    str
        How to ask for the prior: ``registered:NAME``.

    Raises
    ------
    PriorError
        If the name is no good or taken, or the keywords do not go together.

    Examples
    --------
    >>> from torch import nn
    >>> def build():
    ...     return nn.Sequential(nn.Linear(3, 8), nn.Linear(8, 16), nn.Unflatten(1, (1, 4, 4)))
    >>> register_generator("toy", build, cut_points=["0"], code_shape=3)
    'registered:toy'
    >>> forget_generator("toy")
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise PriorError(
            f"Got the name {name!r} for a generator; wanted letters, digits, dots, dashes and "
            "underscores, 100 at most. Choose another."
        )
    if not callable(builder):
        raise PriorError(
            f"Got a {type(builder).__name__} as the builder of {name!r}; wanted a function that "
            "returns the generator. Write lambda: generator."
        )
    if name in _registered and not overwrite:
        raise PriorError(
            f"Got the name {name!r} for a generator, which is registered already; wanted a new "
            "name. Choose another, or pass overwrite=True."
        )
    if isinstance(cut_points, str) or bool(cut_points) != (code_shape is not None):
        raise PriorError(
            f"Got cut_points {cut_points!r} and code_shape {code_shape!r} for {name!r}; wanted a "
            "list of names and a shape, or neither. Give both for a network to be split."
        )
    if not cut_points and (tuple(value_range) != (-1.0, 1.0) or code_radius is not None):
        raise PriorError(
            f"Got a value range or code radius for {name!r} without cut_points; wanted them for a "
            "network to be split alone. Let the SplitGenerator itself draw in [-1, 1]."
        )
    _registered[name] = Registration(
        name=name,
        builder=builder,
        cut_points=tuple(cut_points),
        settings={
            "code_shape": code_shape,
            "value_range": tuple(value_range),
            "code_radius": code_radius,
        },
        domain=domain,
        licence=licence,
    )
    return f"{PREFIX}{name}"


def forget_generator(name: str) -> None:
    """Take a generator's registration back, if there is one; entry points stay."""
    _registered.pop(name, None)


def registered_names() -> tuple[str, ...]:
    """Return the names of all, with the prefix; nothing is built or imported."""
    found = {point.name for point in entry_points(group=ENTRY_POINTS)}
    names = {*_registered, *(name for name in found if _NAME.fullmatch(name))}
    return tuple(f"{PREFIX}{name}" for name in sorted(names))


def registered_name(name_or_path: str | Path) -> str | None:
    """Return the name behind ``registered:``, or None if this is something else."""
    text = str(name_or_path)
    return text.removeprefix(PREFIX) if text.startswith(PREFIX) else None


def registration(name: str) -> Registration:
    """Return a registration; scripts go before entry points.

    Raises
    ------
    PriorError
        If there is none, or its entry point cannot be loaded.
    """
    if name in _registered:
        return _registered[name]
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            try:
                builder = point.load()
            except Exception as error:  # it is somebody else's code
                raise PriorError(
                    f"Got {type(error).__name__} ({error}) from {point.value}, the entry point of "
                    f"{PREFIX}{name}; wanted a function. Correct or uninstall that package."
                ) from error
            return Registration(name=name, builder=builder, settings={}, domain="", licence="")
    known = ", ".join(registered_names()) or "none"
    raise PriorError(
        f"Got the prior {PREFIX + name!r}, which nobody registered in this process; wanted one of: "
        f"{known}. Call register_generator first, or make it an entry point of {ENTRY_POINTS}, "
        "which runs in a process of their own see, too."
    )

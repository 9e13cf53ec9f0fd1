"""What one run is asked to do: plain data, taken once, sharing nothing with the window."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.damage import DamageConfig
from napari_mganprior.errors import SettingsError
from napari_mganprior.inversion.config import (
    PRECISIONS,
    InversionConfig,
    overridden,
    preset,
)
from napari_mganprior.runs.tasks import PICKS, PLANES, find_task

if TYPE_CHECKING:
    from napari_mganprior.restore.result import Restoration

__all__ = ["RunRequest"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class RunRequest:
    """One run of one task, as asked for.

    The arrays are copied here, so that what the user paints or deletes during the run cannot
    reach it. Make it in the thread that owns the layers.

    Attributes
    ----------
    image : array
        (H, W) or (H, W, 3), in the user's own dtype and range; (P, H, W) or (P, H, W, 3) for
        several planes. What is neither numpy nor a list (a dask array, which nobody can write
        to) stays as it is, and is read in the run's thread.
    mask : ndarray or None
        (H, W) or (P, H, W), bool; True is damage, as it was marked. None for tasks without.
    prior : str
        A prior's name or the path of its file.
    task : str
        Which task it is, as `TASKS` names it.
    options : mapping
        What the task is told, as its description lists it; copied.
    quality : str
        Name of a preset: "fast", "balanced" or "best".
    seed : int
        0 or more.
    device : str
        "auto", "cpu", "cuda", "cuda:1" or "mps".
    zoom : float or None
        Pixel-size factor; None estimates it.
    precision : str
        "auto", "float32" or "bfloat16".
    config : InversionConfig or None
        Settings in place of the quality's.
    overrides : mapping
        Single settings in place of the quality's, by the names they have in `InversionConfig`;
        copied.
    shrink : int
        So many times the settings are made smaller.
    grow, feather : int
        As in `DamageConfig`.
    region : tuple of int or None
        As in `DamageConfig`.
    planes : str
        "one" image, several "slices" that resemble their neighbours, or "channels" that do not.
    preview_interval : float or None
        Shortest time between two previews in seconds; None makes none.
    history : bool
        Keep pictures of the iterations.
    start : Restoration or None
        Go on from this result.
    pick : str
        "average" of the searches, or the "best" of them.

    Raises
    ------
    SettingsError
        If a setting is out of its range.
    """

    image: Any
    prior: str
    mask: NDArray[np.bool_] | None = None
    task: str = "inpaint"
    options: Mapping[str, Any] = field(default_factory=dict)
    quality: str = "balanced"
    seed: int = 0
    device: str = "auto"
    zoom: float | None = 1.0
    precision: str = "auto"
    config: InversionConfig | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    shrink: int = 0
    grow: int = 0
    feather: int = 0
    region: tuple[int, int, int, int] | None = None
    planes: str = "one"
    preview_interval: float | None = None
    history: bool = False
    start: "Restoration | None" = None
    pick: str = "average"

    def __post_init__(self) -> None:
        """Copy the arrays and check the settings."""
        if self.preview_interval is not None and not self.preview_interval > 0:
            raise SettingsError(
                f"Got a preview interval of {self.preview_interval} s; wanted more than 0, or "
                "None for no preview."
            )
        if self.seed < 0:
            raise SettingsError(f"Got seed {self.seed}; wanted 0 or more. Choose another seed.")
        for name, choices in (("precision", PRECISIONS), ("planes", PLANES), ("pick", PICKS)):
            if getattr(self, name) not in choices:
                raise SettingsError(
                    f"Got {name} {getattr(self, name)!r}; wanted one of {', '.join(choices)}. "
                    f"Choose {choices[0]}."
                )
        _ = self.damage, self.settings()
        object.__setattr__(self, "options", find_task(self.task).told(self.options))
        object.__setattr__(self, "overrides", dict(self.overrides))
        if isinstance(self.image, (np.ndarray, list, tuple)):
            object.__setattr__(self, "image", np.array(self.image))
        if self.mask is not None:
            object.__setattr__(self, "mask", np.array(self.mask, dtype=bool))

    @property
    def damage(self) -> DamageConfig:
        """What becomes of the mask."""
        return DamageConfig(grow=self.grow, feather=self.feather, region=self.region)

    def smaller(self) -> "RunRequest | None":
        """Ask for the same with less memory, see `InversionConfig.smaller`.

        Returns
        -------
        RunRequest or None
            None where nothing smaller is left.
        """
        following = replace(self, shrink=self.shrink + 1)
        return None if following.settings() == self.settings() else following

    def settings(self) -> InversionConfig:
        """Return the settings of the search, as they are for filling holes.

        Which cut is taken depends on the prior, and other tasks take more evaluations.
        """
        config = preset(self.quality) if self.config is None else self.config
        config = overridden(config, self.overrides)
        for _ in range(self.shrink):
            config = config.smaller()
        return config

    def shrunk(self) -> dict[str, Any]:
        """Return the overrides, with what takes less memory among them."""
        if not self.shrink:
            return dict(self.overrides)
        small, large = self.settings(), replace(self, shrink=0).settings()
        less = {
            name: getattr(small, name)
            for name in ("n_restarts", "n_codes")
            if getattr(small, name) != getattr(large, name)
        }
        return {**self.overrides, **less}

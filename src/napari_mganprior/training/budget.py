"""From minutes to crops: a time budget, kept by measuring how fast this machine is."""

from napari_mganprior.errors import SettingsError
from napari_mganprior.training.state import TrainingState

__all__ = ["TimeBudget", "check_minutes"]

_WARM_UP = 3  # steps that are slower than the rest
_MEASURED = 10.0  # seconds, or this share of the budget:
_SHARE = 0.05
_CORRECTED = 0.25  # share of the budget after which the rate includes saving and measuring
_TOO_FEW = 5_000  # crops after which samples are still nothing but spots
_ENOUGH = 100_000  # crops after which samples of 64 px convince


def check_minutes(minutes: float | None) -> None:
    """Check a time to train.

    Raises
    ------
    SettingsError
        If it is no positive number.
    """
    if minutes is not None and not 0 < minutes < float("inf"):
        raise SettingsError(
            f"Got a time budget of {minutes} minutes; wanted a positive number. Give 30, say."
        )


class TimeBudget:
    """Keeps a run within its minutes.

    The rate is measured in the first seconds, corrected once after a quarter of the time, and
    then the number of crops stays, so that a run taken up again is the same run.

    Parameters
    ----------
    state : TrainingState
        The run; one that was planned for the same minutes keeps its plan.
    minutes : float or None
        The budget over all sittings; None is that of the run, if it has one.

    Raises
    ------
    SettingsError
        If the minutes are no positive number.
    """

    def __init__(self, state: TrainingState, minutes: float | None) -> None:
        check_minutes(minutes)
        if minutes is not None and state.minutes != minutes:
            state.minutes, state.planned = float(minutes), 0
            left = 60 * minutes - state.seconds
            # far enough to measure; the first steps put a better number in its place
            enough = max(state.config.n_images, state.images_seen + 64 * state.step_images)
            state.n_images = enough if left > 0 else state.images_seen
        self._n_steps, self._images, self._seconds = 0, 0, 0.0

    def spent(self, state: TrainingState, seconds: float) -> str:
        """Take in a step that took so many seconds, and plan; return what a person should know."""
        state.seconds += seconds
        self._n_steps += 1
        if self._n_steps > _WARM_UP:
            self._images += state.step_images
            self._seconds += seconds
        notice = ""
        if state.minutes is not None and state.planned < 2:
            if self._images:
                notice = self._plan(state, 60 * state.minutes)
            plan = state.ranks.from_first((state.n_images, state.planned, notice))
            state.n_images, state.planned, notice = plan
        return notice

    def _plan(self, state: TrainingState, budget: float) -> str:
        enough = _SHARE * budget
        if state.planned == 0:
            enough = min(_MEASURED, enough)
        measured = self._seconds >= enough  # of this sitting: the last may have been elsewhere
        corrects = state.planned == 1 and state.seconds >= _CORRECTED * budget and measured
        if state.planned == 1 and not corrects:
            return ""
        rate = self._images / max(self._seconds, 1e-9)
        left = max(0.0, budget - state.seconds)
        n_steps = round(rate * left / state.step_images)
        state.n_images = state.images_seen + n_steps * state.step_images
        if not measured:
            return ""
        state.planned += 1
        if state.planned > 1 or state.n_images >= _TOO_FEW:
            return ""
        return (
            f"Got a time budget of {budget / 60:.3g} minutes, in which this machine sees about "
            f"{state.n_images:,} crops ({rate:.3g} a second, measured); wanted at least "
            f"{_TOO_FEW:,} to learn anything, and {_ENOUGH:,} to convince. Give about "
            f"{_ENOUGH / rate / 60:.0f} minutes, or choose a smaller resolution."
        )

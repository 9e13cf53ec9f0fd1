"""Speed, time and memory of a run, in words."""

from napari_mganprior.runs import Progress

__all__ = ["Pace", "tell_duration", "tell_memory"]


class Pace:
    """Steps a second within the window under way; between windows the index jumps."""

    def __init__(self) -> None:
        self._window = 0
        self._since: tuple[int, float] = (0, 0.0)
        self._told = ""

    def tell(self, progress: Progress) -> str:
        """Take in the news and say how fast the run is; the last word where that is unknown."""
        if progress.window != self._window:
            self._window, self._since = progress.window, (progress.index, progress.elapsed)
        steps, seconds = progress.index - self._since[0], progress.elapsed - self._since[1]
        if steps > 0 and seconds > 0:
            self._told = f"{steps / seconds:.3g} steps a second"
        return self._told


def tell_memory() -> str:
    """Say how much memory napari takes; nothing where that is unknown."""
    try:  # comes with napari today, but is not promised
        import psutil
    except ImportError:
        return ""
    return f"napari takes {psutil.Process().memory_info().rss / 2**30:.1f} GiB"


def tell_duration(seconds: float) -> str:
    """Write seconds for people.

    Examples
    --------
    >>> tell_duration(4.2), tell_duration(75), tell_duration(7300)
    ('4 s', '1 min 15 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

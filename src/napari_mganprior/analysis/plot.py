"""The plot of a layer study as SVG text: no plotting library is needed to write or to show it."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from napari_mganprior.analysis.outcome import Study

__all__ = ["line_plot", "study_plot"]

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#8c8c00", "#7f7f7f")
"""Okabe and Ito's, told apart by people who see few colours, in place of yellow and black."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 112, 26, 40


def study_plot(study: Study, *, width: int = 520, height: int = 280, ink: str = "#202020") -> str:
    """Draw score against cut, one line a number of codes.

    Parameters
    ----------
    study : Study
        With one row or more.
    width, height : int
        In pixels.
    ink : str
        Colour of axes and words.

    Returns
    -------
    str
        An SVG document.
    """
    scores = study.grid()
    lines = {
        f"{n} code{'s' if n > 1 else ''}": scores[:, number] for number, n in enumerate(study.codes)
    }
    return line_plot(
        study.cuts,
        lines,
        title=f"{study.recipe.get('config', {}).get('task', 'study')}",
        across="cut (composing layer)",
        up=study.score_name,
        width=width,
        height=height,
        ink=ink,
    )


def line_plot(
    x: Sequence[int],
    lines: dict[str, NDArray[np.float64]],
    *,
    title: str,
    across: str,
    up: str,
    width: int = 520,
    height: int = 280,
    ink: str = "#202020",
) -> str:
    """Draw lines over the same whole numbers; NaN leaves a gap.

    Parameters
    ----------
    x : sequence of int
        Where the values stand.
    lines : dict
        Values under the name of each line.
    title, across, up : str
        Words above, below and beside the plot.
    width, height : int
        In pixels.
    ink : str
        Colour of axes and words.

    Returns
    -------
    str
        An SVG document.
    """
    known = np.concatenate([values[np.isfinite(values)] for values in lines.values()])
    ticks = _ticks(float(known.min()), float(known.max())) if known.size else [0.0, 1.0]
    low, high = ticks[0], ticks[-1]
    first, last = min(x), max(x)
    inner = (width - _LEFT - _RIGHT, height - _TOP - _BOTTOM)

    def place(at: float, value: float) -> tuple[float, float]:
        share = (at - first) / (last - first) if last > first else 0.5
        return (
            round(_LEFT + share * inner[0], 1),
            round(_TOP + (high - value) / (high - low) * inner[1], 1),
        )

    parts = [_text(width / 2, 16, title, ink, size=12)]
    for value in ticks:
        y = place(first, value)[1]
        parts.append(
            f'<line x1="{_LEFT}" y1="{y}" x2="{width - _RIGHT}" y2="{y}" stroke="{ink}" '
            'stroke-opacity="0.18"/>'
        )
        parts.append(_text(_LEFT - 6, y + 4, f"{value:g}", ink, anchor="end"))
    parts += [_text(place(at, low)[0], height - _BOTTOM + 16, str(at), ink) for at in x]
    parts.append(_text(_LEFT + inner[0] / 2, height - 8, across, ink))
    middle = _TOP + inner[1] / 2
    turned = f' transform="rotate(-90 14 {middle})"'
    parts.append(_text(14, middle, up, ink, extra=turned))
    for number, (name, values) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = [place(at, v) for at, v in zip(x, values, strict=True) if np.isfinite(v)]
        if len(points) > 1:
            path = " ".join(f"{px},{py}" for px, py in points)
            parts.append(
                f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            )
        parts += [f'<circle cx="{px}" cy="{py}" r="3" fill="{colour}"/>' for px, py in points]
        y = _TOP + 8 + 16 * number
        parts.append(f'<circle cx="{width - _RIGHT + 12}" cy="{y}" r="4" fill="{colour}"/>')
        parts.append(_text(width - _RIGHT + 21, y + 4, name, ink, anchor="start"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif">{"".join(parts)}</svg>\n'
    )


def _text(
    x: float,
    y: float,
    words: str,
    ink: str,
    *,
    anchor: str = "middle",
    size: int = 11,
    extra: str = "",
) -> str:
    return (
        f'<text x="{x}" y="{y}" fill="{ink}" font-size="{size}" text-anchor="{anchor}"{extra}>'
        f"{escape(words)}</text>"
    )


def _ticks(low: float, high: float) -> list[float]:
    """Choose round numbers from below the lowest to above the highest value."""
    if high - low < 1e-6:
        low, high = low - 0.5, high + 0.5
    rough = (high - low) / 4
    power = 10 ** np.floor(np.log10(rough))
    step = next(power * n for n in (1, 2, 5, 10) if power * n >= rough)
    below, above = int(np.floor(low / step)), int(np.ceil(high / step))
    return [float(round(n * step, 9)) for n in range(below, above + 1)]

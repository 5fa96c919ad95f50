"""Charts of a reader study as PNG: tables, intervals, the unanimity curve, limits of agreement.

Drawn with matplotlib's own defaults and fonts, whatever the user's settings are, and without a
date, so that the same figures give the same bytes.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from pathology.agreement import BlandAltman
from pathology.agreement.panel_study import CurvePoint
from pathology.types import AnyArray

__all__ = ["Interval", "draw_curve", "draw_intervals", "draw_limits", "draw_table"]

_DPI: Final = 160
_WIDTH: Final = 7.2
_PROGRAM: Final = "#1f5a8c"
_READER: Final = "#b5651d"
_MUTED: Final = "#68707a"
_RULE: Final = "#d6dae0"
#: Colours and markers of the series of a chart, so that they stay apart in grey as well.
_SERIES: Final = ((_PROGRAM, "o"), (_READER, "D"), (_MUTED, "s"))
#: Points from which a scatter is drawn faintly.
_MANY: Final = 400


@dataclass(frozen=True, kw_only=True)
class Interval:
    """Hold one row of a chart of intervals.

    Parameters
    ----------
    label
        What it is.
    value, low, high
        Shares, 0 to 1; None where unknown.
    note
        Such as ``102/186``.
    series
        Number of its colour.
    """

    label: str
    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""
    series: int = 0


def _figure(height: float, width: float = _WIDTH) -> Figure:
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        # A name in a script that the font lacks is drawn as boxes; the tables have it in full.
        warnings.filterwarnings("ignore", message="Glyph .* missing")
        figure.savefig(stream, format="png", metadata={"Software": None})
    return stream.getvalue()


def _settings() -> Any:
    # The defaults that matplotlib ships, without the backend, and its own font.
    own = {key: mpl.rcParamsDefault[key] for key in mpl.rcParamsDefault if "backend" not in key}
    own.update({"font.family": "DejaVu Sans", "font.size": 9.0, "axes.spines.top": False})
    # Names come from outside: a dollar sign in one is no formula.
    own.update({"axes.spines.right": False, "axes.edgecolor": _MUTED, "text.parse_math": False})
    return mpl.rc_context(own)


def draw_table(
    table: Sequence[Sequence[int]], labels: Sequence[str], *, rows: str, columns: str
) -> bytes:
    """Draw a table of two readings: counts, shaded by their share of the row.

    Parameters
    ----------
    table
        k × k slides.
    labels
        Names of the k categories.
    rows, columns
        Names of the two readings.

    Returns
    -------
    bytes
        PNG.
    """
    counts = np.asarray(table)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    with _settings():
        figure = _figure(0.62 * len(labels) + 1.0, 5.4)
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
        for row in range(len(labels)):
            for column in range(len(labels)):
                text = f"{counts[row, column]:,}"
                if counts[row].sum():
                    text += f"\n{100 * share[row, column]:.0f} %"
                dark = share[row, column] > 0.6
                axes.text(
                    column,
                    row,
                    text,
                    ha="center",
                    va="center",
                    color="white" if dark else "black",
                    fontweight="bold" if row == column else "normal",
                )
        axes.set_xticks(range(len(labels)), labels)
        axes.set_yticks(range(len(labels)), labels)
        axes.xaxis.tick_top()
        axes.xaxis.set_label_position("top")
        axes.set_xlabel(columns)
        axes.set_ylabel(rows)
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
        return _png(figure)


def draw_intervals(
    rows: Sequence[Interval], *, axis: str, series: Sequence[str] = (), start: float = 0.0
) -> bytes:
    """Draw values with their intervals, one below the other.

    Parameters
    ----------
    rows
        From top to bottom. Neighbours with the same label share a line.
    axis
        What the axis shows; shares are drawn as per cent.
    series
        Names of the series, for a legend.
    start
        Lower end of the axis, a share.

    Returns
    -------
    bytes
        PNG.
    """
    places, ticks = _places(rows)
    with _settings():
        figure = _figure(0.27 * (len(rows) + len(ticks) * 0.15) + (1.1 if series else 0.8))
        axes = figure.subplots()
        for row, place in zip(rows, places, strict=True):
            _draw_interval(axes, row, place)
        axes.set_yticks(list(ticks.values()), list(ticks))
        axes.set_ylim(places[-1] + 0.7 if places else 1, -0.7)
        axes.set_xlim(100 * start, 100)
        axes.set_xlabel(axis)
        axes.grid(axis="x", color=_RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        if series:
            _draw_legend(figure, series)
        return _png(figure)


def _places(rows: Sequence[Interval]) -> tuple[list[float], dict[str, float]]:
    """Return the place of each row, and of the middle of each label."""
    places: list[float] = []
    of_label: dict[str, list[float]] = {}
    place = -1.0
    for number, row in enumerate(rows):
        same = number > 0 and rows[number - 1].label == row.label
        place += 0.55 if same else 1.0
        places.append(place)
        of_label.setdefault(row.label, []).append(place)
    return places, {label: sum(found) / len(found) for label, found in of_label.items()}


def _draw_interval(axes: Any, row: Interval, place: float) -> None:
    colour, marker = _SERIES[row.series]
    edge = axes.get_yaxis_transform()
    axes.text(1.01, place, row.note, transform=edge, va="center", fontsize=8, color=_MUTED)
    if row.value is None:
        axes.text(0.01, place, "no slide", transform=edge, va="center", fontsize=8, color=_MUTED)
        return
    if row.low is not None and row.high is not None:
        axes.plot([100 * row.low, 100 * row.high], [place, place], color=colour, linewidth=1.6)
    axes.plot([100 * row.value], [place], marker, color=colour, markersize=5)


def _draw_legend(figure: Figure, series: Sequence[str]) -> None:
    handles = [
        Line2D([], [], color=colour, marker=marker, markersize=5, linewidth=1.6, label=name)
        for name, (colour, marker) in zip(series, _SERIES, strict=False)
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=len(series), frameon=False)


def draw_curve(
    curves: Sequence[tuple[str, Sequence[CurvePoint]]],
) -> bytes:
    """Draw the share of slides on which all readers agree, against their number.

    Parameters
    ----------
    curves
        Name and points of each curve.

    Returns
    -------
    bytes
        PNG.
    """
    with _settings():
        figure = _figure(3.1)
        axes = figure.subplots()
        most = 2
        for (name, points), (colour, marker) in zip(curves, _SERIES, strict=False):
            x = [point.readers for point in points]
            axes.fill_between(
                x,
                [100 * point.low for point in points],
                [100 * point.high for point in points],
                color=colour,
                alpha=0.15,
                linewidth=0,
            )
            shares = [100 * point.share for point in points]
            axes.plot(x, shares, color=colour, marker=marker, markersize=4, label=name)
            most = max(most, *x)
        axes.set_ylim(0, 100)
        axes.set_xlim(1.8, most + 0.2)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("readers")
        axes.set_ylabel("slides on which all agree, %")
        axes.grid(color=_RULE, linewidth=0.6)
        axes.set_axisbelow(True)
        if len(curves) > 1:
            axes.legend(frameon=False)
        return _png(figure)


def draw_limits(first: AnyArray, second: AnyArray, limits: BlandAltman, *, unit: str) -> bytes:
    """Draw differences of two measurements against their means (Bland and Altman).

    Parameters
    ----------
    first, second
        (n,) float: the program's numbers and the readers'.
    limits
        Bias and limits of agreement.
    unit
        Name of what was measured.

    Returns
    -------
    bytes
        PNG.
    """
    with _settings():
        figure = _figure(3.4)
        axes = figure.subplots()
        many = len(first) > _MANY
        axes.plot(
            (first + second) / 2,
            first - second,
            "o",
            color=_PROGRAM,
            markersize=2 if many else 4,
            alpha=0.25 if many else 0.7,
            markeredgewidth=0,
        )
        lines = (("bias", limits.bias, "-"), ("lower limit", limits.lower, "--"))
        for name, estimate, style in (*lines, ("upper limit", limits.upper, "--")):
            if estimate.value is None:
                continue
            axes.axhline(estimate.value, color=_READER, linestyle=style, linewidth=1.2)
            if estimate.low is not None and estimate.high is not None:
                axes.axhspan(estimate.low, estimate.high, color=_READER, alpha=0.12, linewidth=0)
            axes.text(
                1.01,
                estimate.value,
                f"{name}\n{estimate.value:.2f}",
                transform=axes.get_yaxis_transform(),
                va="center",
                fontsize=8,
                color=_READER,
            )
        axes.axhline(0, color=_MUTED, linewidth=0.6)
        axes.set_xlabel(f"mean of program and readers, {unit}")
        axes.set_ylabel("program minus readers")
        return _png(figure)

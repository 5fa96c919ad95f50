"""Drawings of a cohort study as SVG: the flow, survival curves, sliding windows.

SVG stays sharp in print and holds its words as text. The drawings are made of numbers and escaped
texts alone, so the same study gives the same bytes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from markupsafe import Markup, escape

from pathology.cohort.comparing import Comparison, number_text, p_text
from pathology.cohort.flow import Flow, FlowStep
from pathology.cohort.studying import CutoffStudy
from pathology.cohort.survival import Curve
from pathology.report.palette import INK, MUTED, css
from pathology.types import AnyArray

__all__ = ["draw_flow", "draw_survival", "draw_windows"]

#: Turns a month or a share into a place on the drawing.
_Scale = Callable[[float], float]
#: Treatment and control: blue and orange differ for all kinds of colour vision, and in grey.
_ARM_COLOURS: Final = ("#14507f", "#c8691c")
_INK: Final = css(INK)
_MUTED: Final = css(MUTED)
_RULE: Final = "#d6dae0"
_WASH: Final = "#f4f6f9"
#: A white rim keeps words readable where a line runs behind them.
_RIM: Final = 'paint-order="stroke" stroke="#ffffff" stroke-width="5" stroke-linejoin="round"'
#: Reasons beside a step before the rest is summed up.
_MOST_REASONS: Final = 8


def _text(
    x: float, y: float, words: object, *, anchor: str = "start", size: int = 13, look: str = ""
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f"{look or f'fill={chr(34)}{_INK}{chr(34)}'}>{escape(str(words))}</text>"
    )


def _line(
    x1: float, y1: float, x2: float, y2: float, *, colour: str = _MUTED, extra: str = ""
) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" {extra}/>'
    )


def _box(x: float, y: float, width: float, height: float, *, fill: str = _WASH) -> str:
    return (
        f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="4" '
        f'fill="{fill}" stroke="{_MUTED}"/>'
    )


def _svg(width: int, height: float, title: str, parts: Sequence[str]) -> Markup:
    # Every text among the parts went through escape above.
    return Markup(  # noqa: S704
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" '
        f'role="img" aria-label="{escape(title)}" width="100%" '
        f'font-family="DejaVu Sans, Segoe UI, Helvetica, Arial, sans-serif">'
        f"{''.join(parts)}</svg>"
    )


def draw_flow(flow: Flow) -> Markup:
    """Draw the way from screened to randomised, with what was left out beside each step.

    Parameters
    ----------
    flow
        The counts.

    Returns
    -------
    markupsafe.Markup
        An ``svg`` element.
    """
    left, width, side = 20, 250, 330
    parts = [_box(left, 10, width, 44), _text(left + 12, 38, f"Screened: {flow.screened}", size=15)]
    y = 54.0
    middle = left + width / 2
    for step in flow.steps:
        lines = _side_lines(step)
        tall = max(36.0, 18.0 * len(lines) + 16)
        parts.append(_line(middle, y, middle, y + tall + 20))
        if lines:
            parts.append(_line(middle, y + 10 + tall / 2, side, y + 10 + tall / 2))
            parts.append(_box(side, y + 10, 420, tall, fill="#ffffff"))
            parts += [
                _text(side + 12, y + 28 + 18 * k, words, size=12) for k, words in enumerate(lines)
            ]
        y += tall + 20
        words = f"{step.name}: {step.n_out}" + ("" if step.checked else " (not checked)")
        parts += [_box(left, y, width, 44), _text(left + 12, y + 28, words, size=15)]
        y += 44
    for k, (arm, n) in enumerate(flow.arms):
        place = left + k * 270
        centre = place + width / 2
        parts.append(_line(middle, y, middle, y + 12))
        parts.append(_line(middle, y + 12, centre, y + 12))
        parts.append(_line(centre, y + 12, centre, y + 26))
        parts += [_box(place, y + 26, width, 44), _text(place + 12, y + 54, f"{arm}: {n}", size=15)]
    wide = max(770, left + 270 * len(flow.arms) + 10)
    return _svg(wide, y + (80 if flow.arms else 10), "Flow of patients", parts)


def _side_lines(step: FlowStep) -> list[str]:
    lost = step.n_in - step.n_out
    lines = [f"Left out: {lost}"] if lost else []
    lines += [f"  {n}  {why}" for why, n in step.left_out[:_MOST_REASONS]]
    rest = step.left_out[_MOST_REASONS:]
    if rest:
        lines.append(f"  {sum(n for _, n in rest)}  for {len(rest)} other reasons (see the table)")
    lines += [f"Randomised despite: {n}  {why}" for why, n in step.deviations[:_MOST_REASONS]]
    return lines


def draw_survival(found: Comparison) -> Markup:
    """Draw two Kaplan-Meier curves with their censored patients and the numbers at risk.

    Parameters
    ----------
    found
        The comparison.

    Returns
    -------
    markupsafe.Markup
        An ``svg`` element.
    """
    x0, x1, y0, y1 = 150.0, 750.0, 30.0, 300.0
    longest = float(max(found.ticks[-1], found.patients.times.months.max(), 1e-9))

    def across(month: float) -> float:
        return x0 + (x1 - x0) * month / longest

    def down(share: float) -> float:
        return y1 - (y1 - y0) * share

    parts = _share_axis(x0, x1, down)
    for tick in found.ticks:
        parts.append(_line(across(tick), y1, across(tick), y1 + 5))
        parts.append(_text(across(tick), y1 + 20, f"{tick:g}", anchor="middle", size=12))
    parts.append(_text((x0 + x1) / 2, y1 + 38, "Months since randomisation", anchor="middle"))
    times = found.patients.times
    for k, (arm, curve) in enumerate(zip(found.arms.both, found.curves, strict=True)):
        colour = _ARM_COLOURS[k]
        last = float(times.months[times.treated == (k == 0)].max())
        parts.append(_steps(curve.months, curve.survival, last, across, down, colour))
        censored = times.months[(times.treated == (k == 0)) & ~times.event]
        for month in np.unique(censored):
            share = float(curve.survival[np.searchsorted(curve.months, month, "right") - 1])
            x, y = across(float(month)), down(share)
            parts.append(_line(x, y - 4, x, y + 4, colour=colour))
        median = f"{arm}: {_median_words(curve)}"
        look = f'fill="{colour}" font-weight="bold" {_RIM}'
        parts.append(_text(x1, y0 + 4 + 18 * k, median, anchor="end", size=12, look=look))
    parts.append(_text(x1, y0 + 42, _effect_words(found), anchor="end", size=12, look=_RIM))
    parts += _risk_rows(found, across, y1 + 66)
    return _svg(780, y1 + 112, found.title, parts)


def _share_axis(x0: float, x1: float, down: _Scale) -> list[str]:
    parts = []
    for tenth in range(0, 11, 2):
        y = down(tenth / 10)
        parts.append(_line(x0, y, x1, y, colour=_RULE))
        parts.append(_text(x0 - 8, y + 4, f"{10 * tenth} %", anchor="end", size=12))
    return parts


def _steps(
    months: AnyArray,
    survival: AnyArray,
    last: float,
    across: _Scale,
    down: _Scale,
    colour: str,
) -> str:
    path = [f"M{across(0.0):.1f} {down(1.0):.1f}"]
    for month, share in zip(months, survival, strict=True):
        path.append(f"H{across(float(month)):.1f}V{down(float(share)):.1f}")
    path.append(f"H{across(last):.1f}")
    return f'<path d="{"".join(path)}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _median_words(curve: Curve) -> str:
    lower, upper = number_text(curve.median_lower), number_text(curve.median_upper)
    if curve.median is None:
        return f"median not reached (from {lower} months)"
    return f"median {curve.median:.1f} months ({lower} to {upper})"


def _effect_words(found: Comparison) -> str:
    effect = found.cox.effects.get("treatment")
    words = f"log-rank p {p_text(found.test.p) or 'not defined'}"
    if effect is None:
        return words
    return f"Hazard ratio {effect.ratio:.2f} ({effect.lower:.2f} to {effect.upper:.2f}), {words}"


def _risk_rows(found: Comparison, across: _Scale, y: float) -> list[str]:
    parts = [_text(10, y - 16, "At risk", size=12, look=f'fill="{_MUTED}"')]
    for k, arm in enumerate(found.arms.both):
        look = f'fill="{_ARM_COLOURS[k]}"'
        name = arm if len(arm) <= 15 else f"{arm[:14]}…"
        parts.append(_text(10, y + 18 * k, name, size=12, look=look))
        parts += [
            _text(across(float(tick)), y + 18 * k, n, anchor="middle", size=12, look=look)
            for tick, n in zip(found.ticks, found.risk[k], strict=True)
        ]
    return parts


def draw_windows(study: CutoffStudy) -> Markup:
    """Draw the hazard ratio of treatment along the biomarker, with the overall one.

    Parameters
    ----------
    study
        The cut-off study.

    Returns
    -------
    markupsafe.Markup
        An ``svg`` element; says so where no window has an estimate.
    """
    x0, x1, y0, y1 = 90.0, 750.0, 20.0, 290.0
    title = f"Hazard ratio of treatment along {study.marker}"
    drawn = [(one, one.effect) for one in study.windows if one.effect is not None]
    if not drawn:
        return _svg(780, 60, title, [_text(20, 35, "No window gives an estimate.")])
    low, high = drawn[0][0].median, drawn[-1][0].median
    values = [bound for _, e in drawn for bound in (e.lower, e.upper)]
    bottom = math.log(max(min([*values, 0.5]), 0.05))
    top = math.log(min(max([*values, 2.0]), 20.0))

    def across(value: float) -> float:
        share = (value - low) / (high - low) if high > low else 0.5
        return x0 + 14 + (x1 - x0 - 28) * share

    def down(ratio: float) -> float:
        place = (min(max(math.log(ratio), bottom), top) - bottom) / (top - bottom)
        return y1 - (y1 - y0) * place

    parts = []
    for ratio in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0):
        if bottom - 1e-9 <= math.log(ratio) <= top + 1e-9:
            colour = _INK if ratio == 1 else _RULE
            parts.append(_line(x0, down(ratio), x1, down(ratio), colour=colour))
            parts.append(_text(x0 - 8, down(ratio) + 4, f"{ratio:g}", anchor="end", size=12))
    if study.overall is not None:
        y = down(study.overall.ratio)
        dashes = 'stroke-dasharray="6 4"'
        parts.append(_line(x0, y, x1, y, colour=_ARM_COLOURS[1], extra=dashes))
    for one, effect in drawn:
        x = across(one.median)
        parts.append(_line(x, down(effect.lower), x, down(effect.upper), colour=_ARM_COLOURS[0]))
        parts.append(
            f'<circle cx="{x:.1f}" cy="{down(effect.ratio):.1f}" r="4" fill="{_ARM_COLOURS[0]}"/>'
        )
    if study.overall is not None:
        look = f'fill="{_ARM_COLOURS[1]}" {_RIM}'
        y = down(study.overall.ratio) - 6
        parts.append(_text(x1, y, "all evaluable", anchor="end", size=12, look=look))
    parts += [
        _text(across(float(value)), y1 + 20, f"{value:.4g}", anchor="middle", size=12)
        for value in np.linspace(low, high, 5 if high > low else 1)
    ]
    parts.append(
        _text((x0 + x1) / 2, y1 + 40, f"{study.marker}, median of the window", anchor="middle")
    )
    parts.append(_text(14, y0 + 2, "Ratio", size=12))
    return _svg(780, y1 + 54, title, parts)

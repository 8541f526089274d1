"""The reliability diagram of a checkpoint as a small SVG: what it states against what was measured."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import log10

_WIDTH, _HEIGHT, _EDGE = 330, 320, 52
_BLUE, _RED, _GREEN, _GREY = "#0072B2", "#D55E00", "#009E73", "#555555"
_LEAST, _MOST = 1e-4, 0.2
"""Ends of the axes of risks."""

Series = Sequence[tuple[float, float, float, float]]
"""Stated risk, measured risk, and the ends of its 95 % interval."""


def reliability_svg(risks: Mapping[str, Series], bins: Sequence[tuple[float, float]] = ()) -> str:
    """Draw stated risks against measured ones; where there are bins, predicted probabilities against frequencies too.

    Parameters
    ----------
    risks
        By family of feeders.
    bins
        Mean predicted probability that a switch is closed, and share of closed ones.
    """
    panels = [_risk_panel(risks)] if not bins else [_probability_panel(bins), _risk_panel(risks)]
    width = _WIDTH * len(panels)
    height = _HEIGHT + 16 * len(risks)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
        *(f'<g transform="translate({_WIDTH * k} 0)">{panel}</g>' for k, panel in enumerate(panels)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _probability_panel(bins: Sequence[tuple[float, float]]) -> str:
    place = _axes(lambda share: share)
    ticks = [(share, f"{share:g}") for share in (0.0, 0.25, 0.5, 0.75, 1.0)]
    drawn = _frame("Probability that a switch is closed", "predicted", "how often it was", ticks, place)
    points = [place(p, share) for p, share in bins]
    drawn.append(f'<polyline points="{" ".join(f"{x},{y}" for x, y in points)}" fill="none" stroke="{_BLUE}"/>')
    drawn += [f'<circle cx="{x}" cy="{y}" r="3.5" fill="{_BLUE}"/>' for x, y in points]
    return "".join(drawn)


def _risk_panel(risks: Mapping[str, Series]) -> str:
    span = log10(_MOST / _LEAST)
    place = _axes(lambda risk: log10(min(max(risk, _LEAST), _MOST) / _LEAST) / span)
    ticks = [(risk, f"{100 * risk:g} %") for risk in (0.0001, 0.001, 0.01, 0.1)]
    drawn = _frame("Risk of any wrong fixing", "stated", "measured, with 95 % interval", ticks, place)
    for k, (name, series) in enumerate(risks.items()):
        colour = (_BLUE, _RED, _GREEN, _GREY)[k % 4]
        for stated, measured, low, high in series:
            x, y = place(stated, measured)
            x = round(x + 5 * (k - (len(risks) - 1) / 2), 1)
            top, bottom = place(stated, high)[1], place(stated, low)[1]
            drawn.append(f'<line x1="{x}" y1="{top}" x2="{x}" y2="{bottom}" stroke="{colour}"/>')
            drawn.append(f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>')
        y = _HEIGHT + 4 + 16 * k
        drawn.append(f'<circle cx="{_EDGE}" cy="{y}" r="3.5" fill="{colour}"/>')
        drawn.append(f'<text x="{_EDGE + 10}" y="{y + 4}">{name}</text>')
    return "".join(drawn)


def _axes(share: Callable[[float], float]) -> Callable[[float, float], tuple[float, float]]:
    """Place of a pair of values [px], by the share of an axis that a value takes."""

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = _WIDTH - _EDGE - 14, _HEIGHT - 2 * _EDGE
        return round(_EDGE + across * share(x), 1), round(_HEIGHT - _EDGE - up * share(y), 1)

    return place


def _frame(
    title: str,
    below: str,
    beside: str,
    ticks: Sequence[tuple[float, str]],
    place: Callable[[float, float], tuple[float, float]],
) -> list[str]:
    """Axes with ticks, the diagonal on which both agree, and what it all means."""
    lowest = ticks[0][0]
    left, bottom = place(lowest, lowest)
    right, top = place(1.0, 1.0)
    middle = (top + bottom) / 2
    drawn = [
        f'<text x="{left}" y="20" font-weight="bold">{title}</text>',
        f'<rect x="{left}" y="{top}" width="{right - left}" height="{bottom - top}" fill="none" stroke="#cccccc"/>',
        f'<line x1="{left}" y1="{bottom}" x2="{right}" y2="{top}" stroke="{_GREY}" stroke-dasharray="4 3"/>',
        f'<text x="{(left + right) / 2}" y="{bottom + 34}" text-anchor="middle">{below}</text>',
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">{beside}</text>',
    ]
    for value, text in ticks:
        x, y = place(value, value)
        drawn.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle" fill="#555555">{text}</text>')
        drawn.append(f'<text x="{left - 5}" y="{y + 4}" text-anchor="end" fill="#555555">{text}</text>')
    return drawn

"""What answers say of the file behind them: differences to its own tool, and what that tool makes of the answer."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType

from learnopt.report.kit.numbers import escaped, finite, number, percent
from learnopt.report.kit.terminal import Paragraph
from learnopt.studies.inspection.reconcile import Origin, SourceCheck
from learnopt.wording import counted

EQUIVALENT = "the balanced equivalent of this feeder"
"""What proofs speak of where the file is unbalanced."""
OF_EQUIVALENT = f"figures and proofs are those of {EQUIVALENT}, but where phases are named: the file is unbalanced."
"""On top of every answer that is not in phases."""
AS_HERE = 1e-6
"""Relative difference of the losses that two power flows have by their tolerances."""


def origin_to_dict(origin: Origin) -> dict[str, Any]:
    """Keys ``warnings``, ``balanced_equivalent`` and ``source_tool`` (null without a tool) of ``--json``."""
    source = None
    if origin.source is not None:
        source = _figures(origin.source) | {
            "scenarios": [{"scenario": one.scenario, **_figures(one)} for one in origin.source.scenarios]
        }
    return {"warnings": list(origin.warnings), "balanced_equivalent": origin.equivalent, "source_tool": source}


def _figures(found: SourceCheck) -> dict[str, Any]:
    """What the tool says, of all scenarios or of one."""
    names = ("name", "loss_kw", "min_voltage_pu", "max_loading", "difference", "reason")
    values = {name: getattr(found, name) for name in names}
    return {k: finite(v) if isinstance(v, float) else v for k, v in values.items()}


def on_top(origin: Origin) -> tuple[str, ...]:
    """What stands above an answer: that it is about the balanced equivalent, and differences to the source tool."""
    return (OF_EQUIVALENT, *origin.warnings) if origin.equivalent else origin.warnings


def in_source(origin: Origin) -> str | None:
    """The answer in the user's own model, in a sentence; None where it was not asked."""
    found = origin.source
    if found is None:
        return None
    if found.loss_kw is None:
        return f"In your own model ({found.name}{_several(found)}) this answer was not confirmed: {found.reason}."
    parts = [f"In your own model ({found.name}{_several(found)}): {number(found.loss_kw, 5)} kW lost"]
    if found.difference is not None:
        side = "above" if found.difference > 0 else "below"
        share = f"{percent(abs(found.difference))} {side} ours"
        parts.append("as here" if abs(found.difference) < AS_HERE else share)
    apart = [one for one in found.scenarios if one.difference is not None and abs(one.difference) >= AS_HERE]
    if apart:
        most = max(apart, key=lambda one: abs(one.difference or 0.0))
        where = "above" if (most.difference or 0.0) > 0 else "below"
        parts.append(f"farthest in scenario {most.scenario!r}, {percent(abs(most.difference or 0.0))} {where}")
    if found.min_voltage_pu is not None:
        parts.append(f"lowest voltage {found.min_voltage_pu:.4f} pu")
    if found.max_loading is not None:
        parts.append(f"highest loading {100 * found.max_loading:.0f} %")
    reason = f" Not set there: {found.reason}." if found.reason else ""
    return ", ".join(parts) + "." + reason


def _several(found: SourceCheck) -> str:
    return f", {counted(len(found.scenarios), 'scenario')}" if found.scenarios else ""


def with_origin(origin: Origin, body: RenderableType) -> RenderableType:
    """What the terminal shows of an answer: warnings on top, the answer in the user's own model below."""
    last = in_source(origin)
    return Group(
        *(Paragraph(f"Warning: {warning}", "bold yellow") for warning in on_top(origin)),
        body,
        *([] if last is None else [Paragraph(last)]),
    )


def warnings_html(origin: Origin) -> str:
    """Warnings for the top of a page, and the answer in the user's own model."""
    warned = "".join(f"<p><strong>Warning:</strong> {escaped(warning)}</p>" for warning in on_top(origin))
    last = in_source(origin)
    found = "" if last is None else f"<p>{escaped(last)}</p>"
    kind = "verdict none" if on_top(origin) else "verdict"
    return f'<section class="{kind}"><h2>Your own model</h2>{warned}{found}</section>' if warned or found else ""

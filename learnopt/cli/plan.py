"""``learnopt plan``: the group of planning commands."""

from __future__ import annotations

import typer

from learnopt.cli.plan_conductors import conductors
from learnopt.cli.plan_phases import phases
from learnopt.cli.plan_substations import substations

plan_app = typer.Typer(
    help="Planning: substations and routes, conductors, phases.", no_args_is_help=True, add_completion=False
)
plan_app.command()(substations)
plan_app.command()(conductors)
plan_app.command()(phases)

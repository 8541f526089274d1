"""``learnopt promote``: which version of a model is in use."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from learnopt.cli.options import NOT_FOUND, JsonOption, StoreOption, stdout
from learnopt.errors import DataError
from learnopt.io.places import place_of
from learnopt.report.kit.terminal import Listing, Paragraph


def promote(
    data: Annotated[str, typer.Option(metavar="DIR_OR_URL", help="Labelled dataset that decides.")],
    challenger: Annotated[
        str, typer.Option(metavar="VERSION", help="Version or alias of the model that wants the place; the newest.")
    ] = "latest",
    alias: Annotated[str, typer.Option(metavar="NAME", help="Alias of the version in use.")] = "champion",
    model: Annotated[str, typer.Option(metavar="NAME", help="Name of the model in the registry.")] = "learnopt",
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Let the alias champion name another version of a model, if that is better and keeps the risk it states.

    Exit code 0: the alias names the challenger now (or did before); 1: it stays where it is.
    """
    from learnopt.learned.acceptance import accept
    from learnopt.tracking.registry import LATEST, find_version, folder_of, move_alias
    from learnopt.tracking.store import Store

    if alias == LATEST or alias.isdigit():
        raise DataError("options", [f"--alias {alias} names a version: give a name, such as champion"])
    place, folder = Store.of(store), place_of(data)
    if not place.exists:
        raise DataError(f"MLflow store {place.shown}", ["there is none: train first, or give another one with --store"])
    new, old = find_version(place, model, challenger), find_version(place, model, alias)
    if new is None:
        raise DataError(f"MLflow store {place.shown}", [f"has no model {model!r} with version or alias {challenger!r}"])
    if old is not None and old.number == new.number:
        if json_output:
            typer.echo(json.dumps({"alias": alias, "version": new.number, "moved": False, "reasons": []}))
        else:
            stdout.print(Paragraph(f"{model}@{alias} is version {new.number} already."))
        return
    found = accept(folder_of(place, new), None if old is None else folder_of(place, old), folder)
    if found.accepted:
        move_alias(
            place,
            new,
            alias,
            {
                f"{alias}.because": " ".join(found.reasons)[:5000],
                f"{alias}.measured_on": f"{folder.name}: {found.sentence}",
                f"{alias}.after_version": "none" if old is None else old.number,
            },
        )
    if json_output:
        answer = {
            "alias": alias,
            "version": new.number if found.accepted else old and old.number,
            "moved": found.accepted,
            "reasons": found.reasons,
            "measured_on": found.sentence,
            "challenger": {"version": new.number, **found.challenger.as_dict()},
            "champion": None
            if old is None or found.champion is None
            else {"version": old.number, **found.champion.as_dict()},
        }
        typer.echo(json.dumps(answer))
    else:
        columns = [(f"version {new.number}, challenger", found.challenger)]
        if old is not None and found.champion is not None:
            columns.append((f"version {old.number}, {alias}", found.champion))
        head = ("model", "exact tree %", "branches right %", "mean regret %", "max regret %", "no power flow")
        stdout.print(
            Listing(
                head,
                [
                    (
                        name,
                        f"{100 * m.tree_rate:.1f}",
                        f"{100 * m.branch_accuracy:.1f}",
                        f"{m.mean_regret_percent:.3f}",
                        f"{m.max_regret_percent:.2f}",
                        str(m.n_not_converged),
                    )
                    for name, m in columns
                ],
                range(1, 6),
            )
        )
        rows = [
            (
                name,
                f"{100 * alpha:g}",
                f"{100 * row.coverage:.1f}",
                f"{100 * row.failure_rate:.2f} [{100 * row.failure_low:.2f}, {100 * row.failure_high:.2f}]",
            )
            for name, m in columns
            for alpha, row in m.fixing.items()
            if row.tau is not None
        ]
        if rows:
            stdout.print(Listing(("model", "risk %", "fixed %", "instances with a wrong fixing %"), rows, range(1, 4)))
        stdout.print(Paragraph(f"Measured on {found.sentence}."))
        for reason in found.reasons:
            stdout.print(Paragraph(reason))
        now = f"is version {new.number} now" if found.accepted else "stays"
        stdout.print(Paragraph(f"{model}@{alias} {now if old is not None or found.accepted else 'is not set'}."))
    if not found.accepted:
        raise typer.Exit(NOT_FOUND)

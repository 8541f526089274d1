"""``learnopt sweep``: several seeds, and settings that Optuna proposes, as nested runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from learnopt.cli.options import JsonOption, StoreOption, said, stderr, stdout
from learnopt.cli.tracked import data_input, log_card, told_of, version_tags
from learnopt.errors import DataError
from learnopt.io.places import place_of
from learnopt.report.kit.terminal import Listing, Paragraph

if TYPE_CHECKING:
    from learnopt.learned.sweep import Record, Trial
    from learnopt.learned.training import TrainingOutcome
    from learnopt.learning.config import TrainingConfig


def sweep(
    config: Annotated[Path, typer.Option(metavar="FILE.toml", help="How to train (see training/configs).")],
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of the checkpoints; a sweep goes on where it was.")],
    data: Annotated[
        str | None, typer.Option(metavar="DIR_OR_URL", help="Labelled dataset, instead of the file's.")
    ] = None,
    vary: Annotated[
        list[str] | None,
        typer.Option(metavar="SETTING=LOW..HIGH", help="Setting to vary, or SETTING=A,B to choose from; repeatable."),
    ] = None,
    trials: Annotated[int, typer.Option(min=1, help="Sets of settings to try.")] = 10,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each, with seeds in a row.")] = 1,
    store: StoreOption = None,
    json_output: JsonOption = False,
) -> None:
    """Train with several seeds and settings, each a run of MLflow below one of the whole; the best is registered.

    Without --vary the configuration is trained as it is, once per seed. Trials compare by their mean validation loss.
    """
    from learnopt.learned.sweep import Record, Setting
    from learnopt.learned.sweep import sweep as run_sweep
    from learnopt.learning.checkpoint import load_card
    from learnopt.learning.config import TrainingConfig
    from learnopt.learning.figures import loss_figure, reliability_figure
    from learnopt.tracking import track_run

    wanted = TrainingConfig.load(config)
    named = (wanted.data,) if isinstance(wanted.data, str) else wanted.data
    folders = [place_of(folder) for folder in ([data] if data else named) if folder]
    if not folders:
        raise DataError(str(config), ["no data folder: set data in the file or give the option"])
    settings = [Setting.parse(text) for text in vary or ()]
    inputs = [data_input(folder) for folder in folders]
    told = f"{', '.join(vary) if vary else 'the configuration as it is'}; {seeds} seeds per trial."
    done: list[Trial] = []
    with track_run(store, "learnopt", f"sweep {wanted.name}", told) as parent:
        parent.log_parameters({**wanted.as_dict(), "vary": ", ".join(vary or ()), "seeds": seeds})
        parent.log_datasets(inputs)

        @contextmanager
        def recording(chosen: TrainingConfig) -> Iterator[Record]:
            said(f"Training {chosen.name}")
            with track_run(parent.store, "learnopt", chosen.name, f"Part of a sweep: {told}", parent.run_id) as run:
                run.log_parameters(chosen.as_dict())
                run.log_datasets(inputs)

                def recorded(outcome: TrainingOutcome, folder: Path) -> None:
                    log_card(run, outcome.card)
                    run.log_figure(loss_figure(outcome.history), "loss")
                    run.log_figure(reliability_figure(outcome.reliability), "reliability")
                    run.log_checkpoint(folder)

                yield Record({"logger": run.lightning_logger()}, recorded)

        for trial in run_sweep(wanted, folders, out, recording, settings, trials if settings else 1, seeds):
            done.append(trial)
            parent.log_metrics({"validation_loss": trial.loss}, "trial.", trial.number)
        best = min(done, key=lambda each: each.loss)
        parent.log_metrics({"best_validation_loss": best.loss})
        parent.log_tags({"best": best.best.as_posix().removeprefix(f"{out.as_posix()}/")})
        rows = [[t.number, json.dumps(t.settings), t.loss, t.spread, *t.losses] for t in done]
        columns = ["trial", "settings", "mean", "spread", *(f"seed {k}" for k in range(seeds))]
        parent.log_table(columns, rows, "trials.json")
        parent.log_checkpoint(best.best)
        parent.log_model(best.best, version_tags(inputs), description=told_of(load_card(best.best)))
    if json_output:
        answer = {"best": str(best.best), "run_id": parent.run_id, "trials": [_plain(each) for each in done]}
        typer.echo(json.dumps(answer))
        return
    head = ("trial", "settings", "validation loss", "spread", "exact tree %")
    table = [
        (
            f"{each.number}{' *' if each is best else ''}",
            ", ".join(f"{key} {_short(value)}" for key, value in each.settings.items()) or "as given",
            f"{each.loss:.4f}",
            f"{each.spread:.4f}" if seeds > 1 else "-",
            f"{100 * sum(each.exact) / len(each.exact):.1f}",
        )
        for each in done
    ]
    stdout.print(Listing(head, table, range(2, 5)))
    stdout.print(Paragraph(f"* least validation loss; its best checkpoint, {best.best}, is the newest version."))
    stderr.print(f"Look at the runs: {parent.view_command}", highlight=False, markup=False, soft_wrap=True)


def _plain(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "settings": trial.settings,
        "validation_loss": trial.loss,
        "spread": trial.spread,
        "losses": list(trial.losses),
        "exact_tree": list(trial.exact),
        "checkpoints": [str(folder) for folder in trial.folders],
    }


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)

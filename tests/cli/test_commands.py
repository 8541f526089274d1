"""The other commands: cases, check, draw, generate, label, train, evaluate."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from invocation import invoke

import learnopt
from learnopt.io import case_names
from learnopt.learning.checkpoint import load_checkpoint

CapSys = pytest.CaptureFixture[str]

COMMANDS = ("cases", "example", "solve", "check", "draw", "generate", "label", "train", "evaluate")

FIELD_CASES = Path(__file__).parents[1] / "data" / "field_cases"

DATASET = """
seed = 5
n_feeders = 3
scenarios_per_feeder = 1
shard_size = 2

[feeder]
buses = [10, 12]
substations = [1, 1]
loops = [2, 2]
"""

TRAINING = """
name = "from the command line"
epochs = 2
test_share = 0.2

[model]
hidden = 8
layers = 1
"""


def test_runs_as_a_module() -> None:
    """``python -m learnopt`` is the command, for where scripts are not on the path."""
    done = subprocess.run([sys.executable, "-m", "learnopt", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == learnopt.__version__


def test_version_and_help(capsys: CapSys) -> None:
    """Both end with exit code 0; help of the program names every command, each command has its own."""
    assert invoke(capsys, "--version").out.strip() == learnopt.__version__
    shown = invoke(capsys, "--help")
    assert shown.code == 0
    assert all(command in shown.out for command in COMMANDS)
    for command in COMMANDS:
        assert invoke(capsys, command, "--help").code == 0


def test_no_arguments_show_help(capsys: CapSys) -> None:
    """And nothing else: no empty error."""
    outcome = invoke(capsys)
    assert outcome.code == 2
    assert "Usage" in outcome.out + outcome.err
    assert "Error" not in outcome.err


def test_cases(capsys: CapSys) -> None:
    """One object with every named case, its size and source; the table shows the names in full."""
    answer = invoke(capsys, "cases", "--json").json
    assert [c["name"] for c in answer["cases"]] == case_names()
    assert {"case16", "case33", "case69", "case70", "case119", "case136", "case533"} == set(case_names())
    assert all(c["source"] and c["branches"] >= c["buses"] - 1 for c in answer["cases"])
    table = invoke(capsys, "cases")
    assert table.code == 0
    assert all(name in table.out for name in case_names())


def test_check_of_the_published_optimum(capsys: CapSys) -> None:
    """Loss, voltages by bus and operations of a given configuration."""
    outcome = invoke(capsys, "check", "case33", "--open", "7, 9,14,32,37", "--json")
    answer = outcome.json
    assert outcome.code == 0
    assert answer["loss_kw"] == pytest.approx(139.551, abs=1e-3)
    assert answer["open_branches"] == [7, 9, 14, 32, 37]
    assert (answer["radial"], answer["converged"], answer["violations"]) == (True, True, [])
    assert answer["operations"] == 8
    assert (answer["min_voltage_pu"], answer["min_voltage_bus"]) == (pytest.approx(0.93782, abs=1e-5), 32)
    assert len(answer["voltages_pu"]) == 33


def test_check_of_the_normal_configuration(capsys: CapSys) -> None:
    """Without ``--open``; violated limits are listed and do not change the exit code."""
    answer = invoke(capsys, "check", "case33", "--vmin", "0.95", "--json")
    assert answer.code == 0
    assert answer.json["operations"] == 0
    assert any("bus 18: voltage 0.91" in v for v in answer.json["violations"])
    assert "below 0.95 pu" in invoke(capsys, "check", "case33", "--vmin", "0.95").out


def test_check_tells_a_second_power_flow(capsys: CapSys) -> None:
    """Strong generation: the loss is that of the normal solution, and that there is another one is said."""
    case = FIELD_CASES / "h_dg_two_solutions.json"
    ask = ("check", case, "--scenario", case.with_suffix(".scenario.json"), "--open", "e1,e4")
    answer = invoke(capsys, *ask, "--json").json
    assert answer["loss_kw"] == pytest.approx(171.58, abs=0.005)
    assert "More than one power flow exists" in answer["note"]
    assert "More than one power flow exists" in invoke(capsys, *ask).out
    assert invoke(capsys, "check", "case33", "--json").json["note"] == ""


@pytest.mark.parametrize(
    ("ids", "said", "loss_kw"),
    [("7,9", "loops close", 123.84), ("1,7,9,14,32,37", "no path", None), ("", "loops close", 123.29)],
)
def test_check_of_a_configuration_that_is_not_radial(
    capsys: CapSys, ids: str, said: str, loss_kw: float | None
) -> None:
    """Exit code 1 and the fault named by id; a loss where every bus is fed."""
    outcome = invoke(capsys, "check", "case33", "--open", ids, "--json")
    assert outcome.code == 1
    assert not outcome.json["radial"]
    assert outcome.json["loss_kw"] == (None if loss_kw is None else pytest.approx(loss_kw, abs=0.01))
    assert said in " ".join(outcome.json["violations"])
    assert invoke(capsys, "check", "case33", "--open", ids).code == 1


def test_check_does_not_feed_through_an_outage(capsys: CapSys, tmp_path: Path) -> None:
    """A branch out of service counts as open, whatever ``--open`` says: buses behind it are unfed."""
    path = tmp_path / "s.json"
    path.write_text('{"out_of_service": [6]}')
    for extra in ([], ["--open", "33,34,35,36,37"]):
        outcome = invoke(capsys, "check", "case33", "--scenario", path, *extra, "--json")
        assert outcome.code == 1
        assert 6 in outcome.json["open_branches"]
        assert "no path to a substation" in outcome.json["violations"][0]
    fed = invoke(capsys, "check", "case33", "--scenario", path, "--open", "34,35,36,37", "--json")
    assert fed.code == 0
    assert fed.json["operations"] == 1


@pytest.mark.parametrize("ending", ["png", "svg", "pdf", "html"])
def test_draw_writes_every_format(capsys: CapSys, tmp_path: Path, ending: str) -> None:
    """Also into a name with brackets, and stdout stays empty."""
    path = tmp_path / f"a [b].{ending}"
    outcome = invoke(capsys, "draw", "case33", "--open", "7,9,14,32,37", "--out", path)
    assert (outcome.code, outcome.out) == (0, "")
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF", "html": b"<!DOC"}[ending]
    assert path.read_bytes().startswith(start)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--out", "x.bmp"],
        ["--out", "x"],
        ["--out", "missing/x.png"],
        ["--out", "x.png", "--open", "7"],
        ["--out", "x.png", "--open", "7,9,14,32,a"],
    ],
)
def test_draw_refuses(capsys: CapSys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    """Unknown formats, missing folders, configurations that are not radial: exit code 2 and no file."""
    monkeypatch.chdir(tmp_path)
    outcome = invoke(capsys, "draw", "case33", *arguments)
    assert outcome.code == 2
    assert outcome.err.startswith("Error: ")
    assert list(tmp_path.iterdir()) == []


def test_generate_is_reproducible_and_resumes(capsys: CapSys, tmp_path: Path) -> None:
    """Same file, same bytes; a second run changes nothing; another file in the same folder is refused."""
    config = tmp_path / "data.toml"
    config.write_text(DATASET)
    first = invoke(capsys, "generate", "--config", config, "--out", tmp_path / "a", "--json")
    assert first.json == {"directory": str(tmp_path / "a"), "instances": 3, "shards": 2}
    assert invoke(capsys, "generate", "--config", config, "--out", tmp_path / "b").code == 0
    files = sorted(p.name for p in (tmp_path / "a").iterdir())
    assert "manifest.json" in files
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert invoke(capsys, "generate", "--config", config, "--out", tmp_path / "a", "--json").json == first.json
    config.write_text(DATASET.replace("seed = 5", "seed = 6"))
    other = invoke(capsys, "generate", "--config", config, "--out", tmp_path / "a", "--json")
    assert other.code == 2
    assert "seed" in other.json["errors"][0]


def test_label_of_a_finished_dataset(capsys: CapSys, labelled_dataset: Path, tmp_path: Path) -> None:
    """Statistics on stdout, in both forms, without solving anything again."""
    copy = tmp_path / "d"
    shutil.copytree(labelled_dataset, copy)
    answer = invoke(capsys, "label", copy, "--workers", "1", "--json").json
    assert answer["directory"] == str(copy)
    assert answer["labels"]["labelled"] == 60
    assert answer["labels"]["status"] == {"optimal": 60}
    assert "labelled: 60" in invoke(capsys, "label", copy).out


def test_train_writes_a_tracked_checkpoint(capsys: CapSys, labelled_dataset: Path, tmp_path: Path) -> None:
    """A checkpoint that loads, a run in the store, its metrics in the answer; options win over the file."""
    config = tmp_path / "train.toml"
    config.write_text(TRAINING.replace("epochs", 'data = "nowhere"\ncheckpoint = "nowhere"\nepochs'))
    outcome = invoke(
        capsys, "train", "--config", config, "--data", labelled_dataset, "--out", tmp_path / "c",
        "--store", tmp_path / "runs", "--json",
    )  # fmt: skip
    answer = outcome.json
    assert outcome.code == 0
    assert answer["checkpoint"] == str(tmp_path / "c")
    assert answer["metrics"]["test"]["n"] == 12
    assert load_checkpoint(tmp_path / "c").name == "from the command line"
    assert (tmp_path / "runs" / "mlflow.db").is_file()
    assert list((tmp_path / "runs").rglob(f"{answer['run_id']}/artifacts/checkpoint/model.safetensors"))


def test_evaluate(capsys: CapSys, other_dataset: Path, tiny_checkpoint: Path) -> None:
    """One object by method, all on the same instances; the table names every method, a line what was measured on."""
    arguments = "evaluate", "--checkpoint", tiny_checkpoint, "--data", other_dataset
    found = invoke(capsys, *arguments, "--json").json
    answer = found["methods"]
    assert "none of which the checkpoint has learned from" in found["measured_on"]
    assert {row["n"] for row in answer.values()} == {30}
    assert {"model", "branch exchange", "gradient boosting", "present configuration"} <= answer.keys()
    assert answer["model"]["fixing"].keys() == {"0.001", "0.01", "0.05", "0.1"}
    alone = invoke(capsys, *arguments, "--no-baselines")
    assert alone.code == 0
    assert "60 instances" in alone.out
    assert "step by" in alone.out


def test_errors_of_datasets_and_checkpoints(capsys: CapSys, tmp_path: Path, labelled_dataset: Path) -> None:
    """Missing folders and files: exit code 2 and advice, as text and as JSON."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("x")
    (tmp_path / "train.toml").write_text(TRAINING)
    (tmp_path / "data.toml").write_text(DATASET)
    (tmp_path / "wrong.toml").write_text("epochs = 0\npatience = 0\n")
    config = tmp_path / "train.toml"
    bad = [
        (["generate", "--config", tmp_path / "no.toml", "--out", tmp_path / "d"], "no.toml"),
        (["generate", "--config", tmp_path / "empty", "--out", tmp_path / "d"], "directory"),
        (["generate", "--config", config, "--out", tmp_path / "d"], "name"),
        (["generate", "--config", tmp_path / "data.toml", "--out", tmp_path / "file"], "file"),
        (["generate", "--config", tmp_path / "data.toml"], "--out"),
        (["label", tmp_path / "empty"], "learnopt generate"),
        (["label", tmp_path / "file"], "file"),
        (["label", labelled_dataset, "--engine", "magic"], "magic"),
        (["label", labelled_dataset, "--workers", "-1"], "workers"),
        (["label", labelled_dataset, "--time-limit", "0"], "time_limit"),
        (["train", "--config", tmp_path / "no.toml"], "no.toml"),
        (["train", "--config", tmp_path / "empty"], "empty"),
        (["train", "--config", tmp_path / "wrong.toml"], "patience = 0"),
        (["train", "--config", config], "data folder"),
        (["train", "--config", config, "--data", tmp_path / "empty", "--out", tmp_path / "c",
          "--store", tmp_path / "runs"], "learnopt generate"),
        (["evaluate", "--data", tmp_path / "empty", "--checkpoint", tmp_path / "empty"], "learnopt train"),
        (["solve", "case16", "--engine", "learned", "--checkpoint", tmp_path / "empty"], "learnopt train"),
        (["solve", "case16", "--engine", "learned", "--checkpoint", tmp_path / "file"], "learnopt train"),
    ]  # fmt: skip
    for arguments, said in bad:
        outcome = invoke(capsys, *arguments, "--json")
        assert outcome.code == 2, arguments
        assert outcome.json.keys() == {"errors"}
        assert said in " ".join(outcome.json["errors"]), arguments
        assert invoke(capsys, *arguments).out == "", arguments


def test_damaged_checkpoints(capsys: CapSys, tmp_path: Path, tiny_checkpoint: Path) -> None:
    """Cut weights, a card of another schema, a card that is no card: exit code 2 each."""
    card = json.loads((tiny_checkpoint / "card.json").read_text())
    damages = {
        "weights": lambda d: (d / "model.safetensors").write_bytes(b"short"),
        "gone": lambda d: (d / "model.safetensors").unlink(),
        "schema": lambda d: (d / "card.json").write_text(
            json.dumps({**card, "feature_schema": {**card["feature_schema"], "version": 999}})
        ),
        "list": lambda d: (d / "card.json").write_text("[]"),
        "text": lambda d: (d / "card.json").write_bytes(b"\xff\xfe"),
        "keys": lambda d: (d / "card.json").write_text(json.dumps({**card, "architecture": {"kind": "cnn"}})),
    }
    for name, damage in damages.items():
        folder = tmp_path / name
        shutil.copytree(tiny_checkpoint, folder)
        damage(folder)
        outcome = invoke(capsys, "solve", "case16", "--engine", "learned", "--checkpoint", folder, "--json")
        assert outcome.code == 2, name
        assert len(outcome.json["errors"]) == 1, name


@pytest.mark.parametrize("what", ["profile", "loading"])
def test_draw_profile_and_loading(capsys: CapSys, tmp_path: Path, what: str):
    """One state alone is the present one, two are before and after; HTML is for diagrams."""
    one, two = tmp_path / "one.svg", tmp_path / "two.svg"
    assert invoke(capsys, "draw", "case33", "--what", what, "--out", one).code == 0
    assert invoke(capsys, "draw", "case33", "--what", what, "--open", "7,9,14,32,37", "--out", two).code == 0
    assert one.read_bytes() != two.read_bytes()
    assert invoke(capsys, "draw", "case33", "--what", what, "--out", tmp_path / "a.html").code == 2


def test_example_writes_files_and_says_what_they_are(capsys: CapSys, tmp_path: Path) -> None:
    """One line per file that was written; a second time they are refused."""
    told = invoke(capsys, "example", str(tmp_path / "sample"))
    assert told.code == 0
    written = sorted(path.name for path in (tmp_path / "sample").iterdir())
    assert len(written) == 6
    assert all(name in told.out for name in written)
    assert invoke(capsys, "example", str(tmp_path / "sample")).code == 2
    listed = json.loads(invoke(capsys, "example", str(tmp_path / "other"), "--json").out)["files"]
    assert sorted(listed) == written

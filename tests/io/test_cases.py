"""Named cases: the files are the published ones and give the published losses."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from learnopt.errors import DataError
from learnopt.io import case_index, case_names, data_root, load, load_case, resources
from learnopt.network import Limits, ReconfigurationProblem
from learnopt.physics import evaluate, power_flow

NAMES = ["case16", "case33", "case69", "case70", "case119", "case136", "case533"]
CASES = data_root("cases")
RAW = {name: json.loads((CASES / f"{name}.json").read_text(encoding="utf-8")) for name in NAMES}
RESULTS = [(name, k) for name in NAMES for k in range(len(RAW[name]["reference_results"]))]


def test_names():
    """The index lists the seven cases of the command line, smallest first, and every file of the folder."""
    assert case_names() == NAMES
    assert {p.name for p in data_root("cases").glob("*.json")} == {"index.json", *(f"{n}.json" for n in NAMES)}


@pytest.mark.parametrize("name", NAMES)
def test_index_agrees_with_the_file(name):
    """Checksum, counts, title and provenance of the index are those of the file."""
    entry = case_index()[name]
    path = data_root("cases") / entry["file"]
    network = load_case(name)
    assert hashlib.sha256(path.read_bytes()).hexdigest() == entry["sha256"]
    assert (network.n_bus, network.n_branch, network.n_loops) == (entry["buses"], entry["branches"], entry["loops"])
    assert network.name == name
    for key in ("title", "source", "licence"):
        assert entry[key] == RAW[name][key] != ""
    assert entry["doi"] == RAW[name].get("doi")


@pytest.mark.parametrize(
    ("name", "k"), RESULTS, ids=[f"{n}-{RAW[n]['reference_results'][k]['label']}" for n, k in RESULTS]
)
def test_published_losses(name, k):
    """Loss and lowest voltage of every reference result, by the judge and by the sweep, to all printed digits."""
    network, result = load_case(name), RAW[name]["reference_results"][k]
    problem = ReconfigurationProblem.of(network, limits=Limits(), charging=False)
    configuration = network.configuration(result["open_branches"])
    evaluation = evaluate(problem, configuration)
    assert evaluation.feasible
    assert evaluation.loss_kw == pytest.approx(result["computed_loss_kw"], abs=1e-4)
    assert evaluation.min_voltage_pu == pytest.approx(result["computed_vmin_pu"], abs=1e-6)
    assert network.bus_ids[int(np.argmin(evaluation.vm))] == result["computed_vmin_bus"]
    assert evaluation.current_a.max() == pytest.approx(result["computed_max_current_a"], abs=6e-3)
    swept = power_flow(problem, configuration)
    assert 1e3 * swept.loss == pytest.approx(evaluation.loss_kw, rel=1e-8)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "case533"])
@pytest.mark.parametrize("label", ["base", "best known"])
def test_published_values(name, label):
    """What the papers print for the base and the best configuration; they round or truncate the last digit."""
    (result,) = [r for r in RAW[name]["reference_results"] if r["label"].startswith(label)]
    network = load_case(name)
    evaluation = evaluate(
        ReconfigurationProblem.of(network, limits=Limits(), charging=False),
        network.configuration(result["open_branches"]),
    )
    published = result["published_loss_kw"]
    digits = len(f"{published}".split(".")[1])
    tolerance = {"case69": 0.02, "case119": 0.05}.get(name, 1.01 * 10**-digits)  # 98.59 and 869.7 are from other codes
    assert evaluation.loss_kw == pytest.approx(published, abs=tolerance)
    if result["published_vmin_pu"] is not None:
        assert evaluation.min_voltage_pu == pytest.approx(result["published_vmin_pu"], abs=6e-5)


def test_base_is_the_normal_configuration():
    """The first reference result of every case opens exactly the normally open branches."""
    for name in NAMES:
        network = load_case(name)
        assert network.open_ids(network.normal_configuration) == RAW[name]["reference_results"][0]["open_branches"]


def test_ratings_and_limits():
    """case533 and case69 carry ratings, case533 voltage limits; no other case invents any."""
    for name in NAMES:
        network = load_case(name)
        rated = np.isfinite(network.i_max)
        assert rated.all() if name in ("case69", "case533") else not rated.any()
        low, high = (0.95, 1.05) if name == "case533" else (0.0, np.inf)
        assert (network.vm_min == low).all()
        assert (network.vm_max == high).all()
    assert not load_case("case533").switchable.all()


def test_load_finds_cases_and_files(tmp_path: Path):
    """One entry for names and paths; the ending may be written in capitals."""
    copied = tmp_path / "mine.JSON"
    copied.write_bytes((data_root("cases") / "case33.json").read_bytes())
    assert load("case33").n_branch == load(copied).n_branch == load(str(copied)).n_branch == 37


def test_load_says_what_it_knows(tmp_path: Path):
    """Unknown names, folders and formats are data errors that list named cases and formats."""
    (tmp_path / "feeder.xlsx").write_text("")
    for source, message in (
        ("case34", "there is no such file and no named case"),
        (tmp_path / "absent.json", "there is no such file"),
        (tmp_path, "is a folder without tables"),
        (tmp_path / "feeder.xlsx", "the file format '.xlsx' is not known"),
    ):
        with pytest.raises(DataError, match=r"case533 and files ending in .*\.json.*\.m") as error:
            load(source)
        assert message in str(error.value)
    with pytest.raises(DataError, match="case16, case33"):
        load_case("case34")


def test_resources_of_a_wheel(tmp_path: Path, monkeypatch):
    """Outside of a checkout the cases are read from inside the package; without them the advice is to install again."""
    package = tmp_path / "site-packages" / "learnopt"
    monkeypatch.setattr(resources, "__file__", str(package / "io" / "resources.py"))
    with pytest.raises(DataError, match="install learnopt again"):
        load_case("case33")
    (package / "_data").mkdir(parents=True)
    shutil.copytree(CASES, package / "_data" / "cases")
    assert data_root("cases") == package / "_data" / "cases"
    assert load_case("case33").n_branch == 37

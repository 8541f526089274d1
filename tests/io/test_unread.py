"""Keys of case files that nobody reads."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from learnopt.errors import DataError
from learnopt.io import load, network_to_dict
from learnopt.io.sources import load_with_source


def test_keys_are_named(tmp_path: Path) -> None:
    """Keys of one's own change nothing, and a note names them by their place."""
    case = network_to_dict(load("case16"))
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    assert load_with_source(path).notes == ()
    case["project"] = "west"
    case["buses"][2]["zone"] = 4
    case["branches"][0]["conductor"] = {"name": "ACSR"}
    case["substation_data"]["1"]["owner"] = "x"
    path.write_text(json.dumps(case), encoding="utf-8")
    (note,) = load_with_source(path).notes
    assert note == ("keys that are not read: project; buses: zone; branches: conductor; substation_data: owner")


@pytest.mark.parametrize(
    ("part", "key", "said"),
    [
        ("branches", "swichable", "branches: 'swichable' is not a key; 'switchable' is"),
        ("branches", "Normally_Open", "branches: 'Normally_Open' is not a key; 'normally_open' is"),
        ("buses", "p_kW", "buses: 'p_kW' is not a key; 'p_kw' is"),
        (None, "substation", "'substation' is not a key; 'substations' is"),
        ("branches", "in_service", "branches: 'in_service' is not a key, but would change the network"),
        ("branches", "rate_kA", "branches: 'rate_kA' is not a key, but would change the network"),
        ("buses", "p_mw", "buses: 'p_mw' is not a key"),
        ("buses", "vm_min", "buses: 'vm_min' is not a key, but would change the network"),
    ],
)
def test_slips_of_the_pen(tmp_path: Path, part: str | None, key: str, said: str) -> None:
    """A misspelt key would silently be the default."""
    case = network_to_dict(load("case16"))
    (case[part][3] if part else case)[key] = 1
    path = tmp_path / "case.json"
    path.write_text(json.dumps(case), encoding="utf-8")
    with pytest.raises(DataError) as error:
        load(path)
    assert said in str(error.value)

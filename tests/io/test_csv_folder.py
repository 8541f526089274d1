"""Folders of CSV tables: what is written reads back, what spreadsheets do is understood, what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from learnopt.errors import DataError, UnsupportedError
from learnopt.io import load, network_from_dict, network_to_dict, write_csv_folder
from learnopt.io.sources import load_with_source

TABLES = {
    "buses": ["id,kv,p_kw,q_kvar", "1,10,,", "2,10,100,40", "B3,10,200,80"],
    "branches": ["id,from,to,r_ohm,x_ohm,normally_open", "a,1,2,0.5,0.4,", "b,2,B3,0.5,0.4,no", "c,B3,1,0.5,0.4,true"],
    "substations": ["bus,v_pu", "1,1.02"],
}


def folder(tmp_path: Path, **changes: list[str] | None) -> Path:
    path = tmp_path / "my feeder"
    path.mkdir()
    for table, lines in (TABLES | changes).items():
        if lines is not None:
            (path / f"{table}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("name", ["case16", "case69", "case70", "case533", "pandapower:mv_oberrhein"])
def test_round_trip(tmp_path: Path, name: str):
    """Ratings, limits, names, places, transformers, controls: the folder reads back as the same case."""
    network = load(name)
    write_csv_folder(network, tmp_path / "out")
    assert network_to_dict(load(tmp_path / "out")) == network_to_dict(network)
    with pytest.raises(DataError, match="exists already"):
        write_csv_folder(network, tmp_path / "out")


def test_defaults(tmp_path: Path):
    """Empty cells and absent columns take the defaults of the case file; the folder names the case."""
    network = load(folder(tmp_path))
    assert (network.name, network.base.v_base, network.bus_ids) == ("my feeder", 10.0, (1, 2, "B3"))
    assert network.normally_open.tolist() == [False, False, True]
    assert network.switchable.all()
    assert network.substation_vm.tolist() == [1.02]


def test_spreadsheets(tmp_path: Path):
    """Semicolons with decimal commas, a byte order mark, blank lines, columns of one's own, loads in a table."""
    path = folder(
        tmp_path,
        buses=["id;kv;p_kw;remark", "1;10;;slack, here", "2;10;99,5;", ";;;", "B3;10;200;"],
        loads=["bus,name,p_kw", "2,mill,0.5", "B3,pump,10", "B3,school,20"],
    )
    (path / "branches.csv").write_text("\ufeff" + "\n".join(TABLES["branches"]), encoding="utf-8")
    network = load(path)
    assert network.p_load * network.base.kw == pytest.approx([0, 100, 230])


@pytest.mark.parametrize(
    "new", ["001", "99", "1.5", "-3", "'9", "'", " 7", "7 ", "a,b", "a;b", "two\nlines", '"q"', 1.5]
)
def test_ids_keep_their_type(tmp_path: Path, new: str | float):
    """Text that looks like a number, or that a table would change, stays the text it is, wherever an id occurs."""
    case = network_to_dict(load("case70"))
    assert case["taps"]
    assert case["generators"]
    old_bus, old_branch = case["generators"][0]["bus"], case["taps"][0]["branch"]
    case["branches"] = [
        record | {end: new if record[end] == old_bus else record[end] for end in ("from", "to")}
        for record in case["branches"]
    ]
    for table, key, old in (
        ("buses", "id", old_bus),
        ("capacitors", "bus", old_bus),
        ("generators", "bus", old_bus),
        ("branches", "id", old_branch),
        ("taps", "branch", old_branch),
    ):
        case[table] = [record | {key: new} if record[key] == old else record for record in case[table]]
    case["title"] = " 'quoted' "
    network = network_from_dict(case, "test")
    write_csv_folder(network, tmp_path / "out")
    back = load(tmp_path / "out")
    assert network_to_dict(back) == network_to_dict(network)
    assert [type(i) for i in back.bus_ids] == [type(i) for i in network.bus_ids]
    assert new in back.bus_ids
    assert new in back.branch_ids


def test_apostrophe_makes_text(tmp_path: Path):
    """By hand: the text 2 is not the number 2, in every column of ids; a bus of either kind is found by the other."""
    path = folder(tmp_path, buses=["id,kv", "1,10", "'2,10", "B3,10"])
    network = load(path)
    assert network.bus_ids == (1, "2", "B3")
    assert network.to_bus[0] == 1


BROKEN = {
    "table missing": ({"substations": None}, "substations.csv is missing"),
    "column missing": ({"branches": ["id,from,to,r_ohm", "a,1,2,0.5"]}, "branches.csv: column 'x_ohm' is missing"),
    "column misspelt": ({"buses": ["id,kv,p_kW", "1,10,5"]}, "'p_kW' is not a column; 'p_kw' is"),
    "column twice": ({"buses": ["id,kv,kv", "1,10,10"]}, "column 'kv' is there twice"),
    "not a number": (
        {"buses": ["id,kv,p_kw", "1,10,", "2,10,ten", "B3,10,"]},
        "buses.csv, line 3: p_kw = 'ten' is not a number",
    ),
    "decimal comma": ({"buses": ["id,kv", "1,10,5"]}, "line 2: 3 cells, the header has 2"),
    "not a state": (
        {"branches": ["id,from,to,r_ohm,x_ohm,normally_open", "a,1,2,1,1,maybe"]},
        "'maybe' is not true or false",
    ),
    "cell missing": ({"branches": ["id,from,to,r_ohm,x_ohm", "a,1,2,,1"]}, "line 2: r_ohm is missing"),
    "quotes": ({"buses": ["id,kv", '1,"10']}, "not a CSV table"),
    "no level": ({"buses": ["id", "1", "2", "B3"]}, "no nominal voltage"),
    "two cases": ({"case": ["name,base_kv", "a,10", "b,10"]}, "case.csv must have one row"),
    "load at no bus": ({"loads": ["bus,p_kw", "77,1"]}, "loads.csv: bus 77 is not in buses.csv"),
    "branch to no bus": ({"branches": ["id,from,to,r_ohm,x_ohm", "a,1,9,1,1"]}, "branch 'a': to = 9 is not a bus"),
    "bus twice": ({"buses": ["id,kv", "1,10", "2,10", "2,10", "B3,10"]}, "bus id '2' occurs 2 times"),
    "infinite": ({"buses": ["id,kv,p_kw", "1,10,", "2,10,inf", "B3,10,"]}, "p_kw = inf must be a finite number"),
    "empty table": ({"buses": [""]}, "column 'id' is missing"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_tables(tmp_path: Path, name: str):
    """Table, line and value of what is wrong."""
    changes, said = BROKEN[name]
    with pytest.raises(DataError) as error:
        load(folder(tmp_path, **changes))
    assert said in str(error.value)


def test_bytes_that_are_no_text(tmp_path: Path):
    """A spreadsheet saved as something else is a data error that names the table."""
    path = folder(tmp_path)
    (path / "buses.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(DataError, match=r"buses\.csv: not UTF-8"):
        load(path)


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    """Tables and columns of one's own are in the notes; a table of switches would have no effect and is refused."""
    folder = tmp_path / "case"
    write_csv_folder(load("case16"), folder)
    assert load_with_source(folder).notes == ()
    buses = folder / "buses.csv"
    lines = buses.read_text(encoding="utf-8").splitlines()
    buses.write_text("\n".join(f"{line},{'zone' if k == 0 else 'west'}" for k, line in enumerate(lines)), "utf-8")
    (folder / "owners.csv").write_text("id,owner\n1,x\n", encoding="utf-8")
    assert load_with_source(folder).notes == ("not read: owners.csv; zone of buses.csv",)
    (folder / "switches.csv").write_text("branch,closed\n1,0\n", encoding="utf-8")
    with pytest.raises(UnsupportedError, match=r"switches\.csv is no table of a case"):
        load(folder)


def test_a_line_without_end(tmp_path: Path) -> None:
    """Millions of cells in one line are refused before they are split."""
    folder = tmp_path / "case"
    write_csv_folder(load("case16"), folder)
    (folder / "buses.csv").write_text("id" + "," * 2**21 + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"buses\.csv: a line has 2097154 characters"):
        load(folder)

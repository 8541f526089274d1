"""Load profiles: every layout gives the same loads, and what is repaired is said."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from learnopt.errors import DataError
from learnopt.io import load, read_profiles
from learnopt.io.profiles.clock import read_times
from learnopt.network import Network, ReconfigurationProblem
from learnopt.physics import evaluate

HOURS = [f"2016-06-01 {h:02d}:00" for h in range(4)]


@pytest.fixture(scope="module")
def case33() -> Network:
    """The 33-bus system: bus 2 draws 100 kW and 60 kvar, bus 3 90 kW and 40 kvar."""
    return load("case33")


def written(tmp_path: Path, lines: list[str], name: str = "p.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def wide_csv(tmp_path: Path) -> Path:
    rows = [f"{t},{h},{2 * h},{100 + h}" for h, t in enumerate(HOURS)]
    return written(tmp_path, ["time,2.p_kw,2.q_kvar,p_kw 3", *rows])


def semicolon_csv(tmp_path: Path) -> Path:
    """As spreadsheets of many countries write it: semicolons, decimal commas, day first."""
    rows = [f"01.06.2016 {h:02d}:00;0,00{h};0,00{2 * h};0,{100 + h}" for h in range(4)]
    return written(tmp_path, ["Time;2_p_mw;2_q_mvar;3.p_mw", *rows])


def long_csv(tmp_path: Path) -> Path:
    rows = [
        f"{t},{bus},{p},{q}"
        for h, t in enumerate(HOURS)
        for bus, p, q in ((2, h, 2 * h), (3, 100 + h, (100 + h) * 4 / 9))
    ]
    return written(tmp_path, ["time,bus,p_kw,q_kvar", *rows])


def parquet(tmp_path: Path) -> Path:
    h = np.arange(4.0)
    table = pa.table(
        {
            "timestamp": pa.array(np.array(HOURS, dtype="datetime64[s]")),
            "2.p_kw": h,
            "2.q_kvar": 2 * h,
            "3.pu": (100 + h) / 90,
        }
    )
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(table, path)
    return path


@pytest.mark.parametrize("writer", [wide_csv, semicolon_csv, long_csv, parquet])
def test_layouts_agree(tmp_path: Path, case33: Network, writer):
    """The same loads from wide and long tables, CSV and Parquet, kW, MW and per unit; other buses keep their load."""
    profiles = read_profiles(writer(tmp_path), case33)
    kw = case33.base.kw
    assert profiles.times.tolist() == np.array(HOURS, dtype="datetime64[s]").tolist()
    assert profiles.p[:, 1] * kw == pytest.approx([0, 1, 2, 3])
    assert profiles.q[:, 1] * kw == pytest.approx([0, 2, 4, 6])
    assert profiles.p[:, 2] * kw == pytest.approx([100, 101, 102, 103])
    assert profiles.q[:, 2] == pytest.approx(profiles.p[:, 2] * 4 / 9), "power factor of the case"
    assert (profiles.p[:, 3:] == case33.p_load[3:]).all()
    assert any("30 buses" in note for note in profiles.notes)


def test_scaling_column_and_scenarios(tmp_path: Path, case33: Network):
    """One factor multiplies all loads; the scenarios of a set are the rows, and the judge takes them."""
    path = written(tmp_path, ["time,scale", *(f"{t},{1 + h}" for h, t in enumerate(HOURS[:2]))])
    profiles = read_profiles(path, case33)
    assert profiles.scenario(1).p_load == pytest.approx(2 * case33.p_load)
    weighted = profiles.scenario_set([0, 1], np.array([3.0, 1.0]))
    assert weighted.mean.q_load == pytest.approx(1.25 * case33.q_load)
    problem = ReconfigurationProblem.of(case33, profiles.scenario_set([0]))
    assert evaluate(problem, case33.normal_configuration).loss_kw == pytest.approx(202.677, abs=1e-2)


def scaled(tmp_path: Path, case33: Network, stamps: list[str], values: list[object] | None = None):
    rows = [f"{t},{k if values is None else values[k]}" for k, t in enumerate(stamps)]
    profiles = read_profiles(written(tmp_path, ["time,scale", *rows]), case33)
    return profiles, profiles.p[:, 1] / case33.p_load[1], " ".join(profiles.notes)


QUARTERS = ("00", "15", "30", "45")


def test_clocks_put_back(tmp_path: Path, case33: Network):
    """The hour that occurs twice is two hours in standard time, in the order of the file."""
    stamps = [f"2016-10-30 {h:02d}:{m}" for h in (1, 2, 2, 3) for m in QUARTERS]
    profiles, values, notes = scaled(tmp_path, case33, stamps)
    assert values == pytest.approx(np.arange(16))
    assert (np.diff(profiles.times) == np.timedelta64(900, "s")).all()
    assert str(profiles.times[0]) == "2016-10-30T00:00:00"
    assert "put back" in notes
    assert "standard" in notes


def test_clocks_put_forward_and_back(tmp_path: Path, case33: Network):
    """Over a summer both changes are seen and every step is one hour."""
    day = np.timedelta64(3600, "s")
    utc = np.arange(np.datetime64("2016-03-26T12:00:00"), np.datetime64("2016-11-02T12:00:00"), day)
    summer = (utc >= np.datetime64("2016-03-27T01:00:00")) & (utc < np.datetime64("2016-10-30T01:00:00"))
    local = utc + day * (1 + summer)
    profiles, values, notes = scaled(tmp_path, case33, [str(t) for t in local])
    assert (profiles.times == utc + day).all()
    assert values == pytest.approx(np.arange(len(utc)))
    assert "put forward" in notes
    assert "put back" in notes


def test_offsets_become_utc(tmp_path: Path, case33: Network):
    """Times with offsets are instants: a clock change leaves no trace."""
    stamps = ["2016-10-30T02:00+02:00", "2016-10-30T02:00+01:00", "2016-10-30T03:00+01:00"]
    profiles, values, notes = scaled(tmp_path, case33, stamps)
    assert values == pytest.approx([0, 1, 2])
    assert str(profiles.times[0]) == "2016-10-30T00:00:00"
    assert "UTC" in notes


@pytest.mark.parametrize(
    ("stamps", "values", "expected", "said"),
    [
        (HOURS, [1, "", 3, 4], [1, 2, 3, 4], "1 missing value in 1 column ('scale')"),
        (HOURS[:2] + HOURS[3:], [1, 2, 4], [1, 2, 3, 4], "1 time is missing"),
        ([HOURS[0], HOURS[1], HOURS[1], HOURS[2]], [1, 1, 3, 3], [1, 2, 3], "averaged"),
        ([HOURS[1], HOURS[0], HOURS[2]], [2, 1, 3], [1, 2, 3], "sorted"),
        ([*HOURS, "2016-06-03 00:00"], [1, 2, 3, 4, 5], [1, 2, 3, 4, 5], "1 gap of more than 3 hours"),
        (["2016-10-30 02:00", "2016-10-30 03:00", "2016-10-31 02:00"], [1, 2, 3], [1, 2, 3], "1 gap"),
    ],
    ids=["missing value", "missing row", "duplicate", "order", "gap", "no clock change"],
)
def test_repairs(tmp_path: Path, case33: Network, stamps, values, expected, said):
    """Whatever is repaired is in the notes."""
    _, found, notes = scaled(tmp_path, case33, stamps, values)
    assert found == pytest.approx(expected)
    assert said in notes


BROKEN = {
    "no time": (["hour,2.p_kw", "1,2"], "no time column"),
    "not a time": (["time,2.p_kw", "noon,2"], "time 'noon' is not a time"),
    "American time": (["time,2.p_kw", "1/2/2016 10:00,2"], "write 2016-12-31"),
    "mixed offsets": (["time,scale", "2016-01-01T00:00Z,1", "2016-01-01T01:00,1"], "some have none"),
    "unknown bus": (["time,99.p_kw", f"{HOURS[0]},1"], "column '99.p_kw' fits no bus of network 'case33'"),
    "unknown unit": (["time,2.p_hp", f"{HOURS[0]},1"], "'2.p_hp' fits no bus"),
    "text": (["time,2.p_kw", f"{HOURS[0]},12", f"{HOURS[1]},twelve"], "row 2: 'twelve' is not a number"),
    "infinite": (["time,2.p_kw", f"{HOURS[0]},inf"], "inf must be a finite number"),
    "no rows": (["time,2.p_kw"], "no rows"),
    "no columns": (["time", HOURS[0]], "no column of values"),
    "twice": (["time,2.p_kw,2.p_kw", f"{HOURS[0]},1,2"], "occurs more than once"),
    "same quantity": (["time,2.p_kw,2.p_mw", f"{HOURS[0]},1,2"], "give the same quantity"),
    "unit unsaid": (["time,2", f"{HOURS[0]},0.8"], "say the unit, .p_kw or .pu"),
    "scale and bus": (["time,scale,2.p_kw", f"{HOURS[0]},1,5"], "cannot stand beside"),
    "pu and kW": (["time,2.pu,2.p_kw", f"{HOURS[0]},1,50"], "keep one"),
    "ragged": (["time,2.p_kw", f"{HOURS[0]},1,5"], "not a table"),
    "mostly missing": (
        ["time,2.p_kw", *(f"{t}," for t in HOURS[1:]), f"{HOURS[0]},1"],
        "75% of the values are missing",
    ),
    "long with unknown column": (["time,bus,kwh", f"{HOURS[0]},2,1"], "column 'kwh' is not known"),
    "long without bus": (["time,bus,p_kw", f"{HOURS[0]},,1"], "row 1: the bus is missing"),
    "long with unknown bus": (["time,bus,p_kw", f"{HOURS[0]},99,1"], "'99.p_kw' fits no bus"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_profiles(tmp_path: Path, case33: Network, name: str):
    """A table that does not say exactly which loads it means is refused, in words."""
    lines, said = BROKEN[name]
    with pytest.raises(DataError) as error:
        read_profiles(written(tmp_path, lines), case33)
    assert said in str(error.value)


def test_odd_columns_of_parquet(case33: Network, tmp_path: Path) -> None:
    """Numbers as text or decimals are numbers, and so are whole numbers beyond 2^53; lists are none."""
    path = tmp_path / "p.parquet"
    times = ["2026-01-05T00:00", "2026-01-05T01:00"]
    for cells in (["1.5", "2.5"], [Decimal("1.5"), Decimal("2.5")], [2**60 + 1, 1]):
        pyarrow.parquet.write_table(pa.table({"time": times, "2.p_kw": cells}), path)
        found = read_profiles(path, case33).p[:, 1] * case33.base.kw
        assert found == pytest.approx([float(cell) for cell in cells])
    pyarrow.parquet.write_table(pa.table({"time": times, "2.p_kw": [[1], [2]]}), path)
    with pytest.raises(DataError, match=r"row 1: \[1\] is not a number"):
        read_profiles(path, case33)


def test_parquet_with_a_damaged_name(case33: Network, tmp_path: Path) -> None:
    """The name of a column that is no text is refused as a table that cannot be read."""
    path = tmp_path / "p.parquet"
    pyarrow.parquet.write_table(pa.table({"time": [0], "2.p_kw": [1.0]}), path)
    path.write_bytes(path.read_bytes().replace(b"2.p_kw", b"\xd1.p_kw"))
    with pytest.raises(DataError, match="not a table that can be read"):
        read_profiles(path, case33)


@pytest.mark.parametrize("content", [b"", b"PAR1 not parquet", b"\xff\xfe\x00time"])
@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_files_that_are_no_tables(tmp_path: Path, case33: Network, name: str, content: bytes):
    """Bytes of any kind end in a data error."""
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=name):
        read_profiles(path, case33)
    with pytest.raises(DataError, match="cannot be read"):
        read_profiles(tmp_path / f"absent{path.suffix}", case33)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"time,2.p_kw\n2016-01-01 00:00," + b"9" * 400 + b"\n", "must be a finite number"),
        (b"time,2.p_kw\n2016-01-01 00:00,1e300\n", "must be a finite number of at most 1e20"),
        (b"time,2.p_kw\n2016-01-01 00:00,\xff\n", "not a table that can be read"),
        (b"time," + b"a" * 2**24 + b"\n", "its first line is longer than 16 MiB"),
        (b"", "cannot be read|not a table|no time column"),
    ],
    ids=["400 digits", "1e300", "not UTF-8", "line", "empty"],
)
def test_limits_of_a_file(tmp_path: Path, case33: Network, text: bytes, said: str) -> None:
    """What cannot be held is refused with its place."""
    path = tmp_path / "p.csv"
    path.write_bytes(text)
    with pytest.raises(DataError, match=said):
        read_profiles(path, case33)


def test_series_that_would_fill_the_memory(tmp_path: Path, case33: Network) -> None:
    """A long table in which every row has a time and a bus of its own; seconds between gaps of hours."""
    path = tmp_path / "p.csv"
    rows = "".join(f"20{k // 8760:02d}-01-01 00:00:{k % 60:02d},{k},1\n" for k in range(20_000))
    path.write_text("time,bus,p_kw\n" + rows, encoding="utf-8")
    with pytest.raises(DataError, match=r"numbers \(times by columns\)|fits no bus"):
        read_profiles(path, case33)
    start = np.datetime64("2016-01-01T00:00:00")
    steps = np.cumsum(np.tile([1, 1, 3 * 3600], 20_000))
    lines = "\n".join(f"{start + np.timedelta64(int(s), 's')},1" for s in steps)
    path.write_text(f"time,scale\n{lines}\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"numbers \(times by columns\)"):
        read_profiles(path, case33)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("2024-05-01 24:00", "2024-05-02T00:00:00"),
        ("2024-05-01T24:00:00", "2024-05-02T00:00:00"),
        ("2024-12-31T24:00:00.000", "2025-01-01T00:00:00"),
        ("2024-02-28T24", "2024-02-29T00:00:00"),
        ("20240501T240000", "2024-05-02T00:00:00"),
        ("2024-05-01T24:00Z", "2024-05-02T00:00:00"),
        ("2024-05-01 24:00+02:00", "2024-05-01T22:00:00"),
        ("31.12.2016 24:00", "2017-01-01T00:00:00"),
        ("1.5.2024 24:00:00", "2024-05-02T00:00:00"),
    ],
)
def test_day_that_ends_at_24(text: str, read: str) -> None:
    """24:00 of ISO 8601 is midnight of the next day, in every way of writing a time."""
    assert read_times([text], "p")[0].tolist() == [np.datetime64(read, "s").item()]


@pytest.mark.parametrize(
    "text",
    ["2024-05-01 24:30", "2024-05-01 24:00:01", "2024-05-01 25:00", "1.5.2024 24:01", "9999-12-31 24:00", "24:00"],
)
def test_later_than_24_is_no_time(text: str) -> None:
    """Nothing is later than 24:00 on its day, and 24:00 alone has no day."""
    with pytest.raises(DataError, match="is not a time"):
        read_times([text], "p")


def test_profile_of_hour_ending_times(case33: Network) -> None:
    """A day whose last hour ends at 24:00: 24 even steps, the last of them midnight, nothing repaired."""
    profiles = read_profiles(Path(__file__).parents[1] / "data" / "field_cases" / "t_hour24.csv", case33)
    assert len(profiles) == 24
    assert set(np.diff(profiles.times)) == {np.timedelta64(1, "h")}
    assert profiles.times[-1] == np.datetime64("2024-05-02T00:00:00")
    assert profiles.scenario(23).p_load.sum() == pytest.approx(0.98 * case33.p_load.sum())
    assert not any("order" in note or "more than once" in note for note in profiles.notes)


def test_instants_beyond_the_calendar(tmp_path: Path, case33: Network) -> None:
    """Damaged bytes of a Parquet file are instants in some far year."""
    path = tmp_path / "p.parquet"
    times = pa.array([2**50, 0], pa.timestamp("ms"))
    pyarrow.parquet.write_table(pa.table({"time": times, "scale": [1.0, 1.0]}), path)
    with pytest.raises(DataError, match="outside of the years 1 to 9999"):
        read_profiles(path, case33)

"""Load situations of a network from whatever holds them: profiles over time, or a file of scenarios."""

from __future__ import annotations

from pathlib import Path

from learnopt.io.profiles.reader import profiles_of_table
from learnopt.io.profiles.series import Profiles
from learnopt.io.scenario_json import read_scenarios_json
from learnopt.network import Network, Scenario, Situations

PROFILE_ENDINGS = (".csv", ".parquet", ".dss")


def read_profiles(path: str | Path, network: Network) -> Profiles:
    """Load profiles of a network from a CSV or Parquet file, a SimBench grid (``simbench:CODE``) or a ``.dss`` file.

    Buses that the file does not name keep the load of the case. Where only the active power of a bus is given, its
    reactive power follows at the power factor of the case.

    Raises
    ------
    DataError
        With every violation at once: unreadable times or numbers, unknown columns or buses, columns without a unit.
    """
    if str(path).startswith("simbench:"):
        from learnopt.io.pandapower.simbench import simbench_profiles

        return simbench_profiles(str(path).removeprefix("simbench:"), network)
    if Path(path).suffix.lower() == ".dss":
        from learnopt.io.opendss.profiles import opendss_profiles

        times, p, q, notes = opendss_profiles(Path(path), network)
        return Profiles.net(times, p, q, tuple(notes), network.n_branch)
    return profiles_of_table(Path(path), network)


def read_scenarios(path: Path, network: Network) -> tuple[Scenario | Situations, tuple[str, ...]]:
    """What a scenario file (JSON) or load profiles (CSV, Parquet) describe, and the notes of reading it."""
    if path.suffix.lower() in PROFILE_ENDINGS:
        profiles = read_profiles(path, network)
        return profiles.scenario_set() if len(profiles) > 1 else profiles.scenario(0), profiles.notes
    return read_scenarios_json(path, network), ()

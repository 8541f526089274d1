"""Readers and writers: one entry, :func:`load`, for named cases, files of every format and grids of other packages."""

from __future__ import annotations

from learnopt.io.case_json import network_from_dict, network_to_dict, read_case_json
from learnopt.io.cases import case_index, case_names, load_case
from learnopt.io.csv_folder import read_csv_folder, write_csv_folder
from learnopt.io.profiles.series import Profiles
from learnopt.io.resources import data_root
from learnopt.io.scenario_json import read_scenario_json, scenario_to_dict
from learnopt.io.situations import read_profiles, read_scenarios
from learnopt.io.source import Loaded, SourceState, SourceTool
from learnopt.io.sources import READERS, load, load_with_notes, load_with_source, loaded_network, read_source

__all__ = [
    "READERS",
    "Loaded",
    "Profiles",
    "SourceState",
    "SourceTool",
    "case_index",
    "case_names",
    "data_root",
    "load",
    "load_case",
    "load_with_notes",
    "load_with_source",
    "loaded_network",
    "network_from_dict",
    "network_to_dict",
    "read_case_json",
    "read_csv_folder",
    "read_profiles",
    "read_scenario_json",
    "read_scenarios",
    "read_source",
    "scenario_to_dict",
    "write_csv_folder",
]

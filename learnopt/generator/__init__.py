"""Synthetic feeders and random scenarios: pure functions of parameters and a random generator."""

from learnopt.generator.config import config_from_table
from learnopt.generator.controls import ControlsConfig, random_controls
from learnopt.generator.feeders import FeederConfig, random_feeder
from learnopt.generator.phases import PhaseConfig, split_phases
from learnopt.generator.scenarios import ScenarioConfig, load_areas, random_scenario

__all__ = [
    "ControlsConfig",
    "FeederConfig",
    "PhaseConfig",
    "ScenarioConfig",
    "config_from_table",
    "load_areas",
    "random_controls",
    "random_feeder",
    "random_scenario",
    "split_phases",
]

"""Loads, generators, storages, wards and shunts of a pandapower net as powers and admittances of its buses."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any

import numpy as np

from learnopt.errors import UnsupportedError
from learnopt.io.pandapower.tables import Element, Tables


class Injections:
    """Powers of each bus of the net [MW, Mvar]: ``p``, ``q`` drawn, net of the generation ``p_gen``, ``q_gen``.

    Shunts ``shunt_p``, ``shunt_q`` are at 1 pu; ``held`` names what the net has as controllable, and stays as it is.

    Parameters
    ----------
    notes, explained
        What is assumed is added to the first, what makes pandapower's own power flow another one to the second as well.

    Raises
    ------
    UnsupportedError
        For shunts with a table of steps.
    """

    def __init__(self, tables: Tables, notes: list[str], explained: list[str]) -> None:
        self.p: defaultdict[Any, float] = defaultdict(float)
        self.q: defaultdict[Any, float] = defaultdict(float)
        self.p_gen: defaultdict[Any, float] = defaultdict(float)
        self.q_gen: defaultdict[Any, float] = defaultdict(float)
        self.shunt_p: defaultdict[Any, float] = defaultdict(float)
        self.shunt_q: defaultdict[Any, float] = defaultdict(float)
        self.unequal: list[str] = []
        """Sentences on loads and generators whose phases differ: the balanced network has their sum."""
        self.held: list[str] = []
        self._bus = tables["bus"]
        for kind, sign in (("load", 1.0), ("sgen", -1.0), ("storage", 1.0)):
            element = tables[kind]
            scale = sign * element.numbers("scaling", 1.0)
            p, q = element.numbers("p_mw", 0.0) * scale, element.numbers("q_mvar", 0.0) * scale
            constant = np.zeros((len(element), 2))
            if kind == "load":
                constant = self._voltage_dependent(element, notes, explained)
            self._hold(element)
            self._add(element, p * (1 - constant[:, 0]), q * (1 - constant[:, 1]), sign < 0)
            self._add_shunt(element, p * constant[:, 0], q * constant[:, 1])
        for kind, sign in (("asymmetric_load", 1.0), ("asymmetric_sgen", -1.0)):
            element = tables[kind]
            scale = sign * element.numbers("scaling", 1.0)
            p = np.array([element.numbers(f"p_{phase}_mw", 0.0) for phase in "abc"])
            q = np.array([element.numbers(f"q_{phase}_mvar", 0.0) for phase in "abc"])
            self._add(element, p.sum(axis=0) * scale, q.sum(axis=0) * scale, sign < 0)
            apart = (np.ptp(p + 1j * q, axis=0) != 0) & element.flags("in_service", True) & (scale != 0)
            if apart.any():
                named = ", ".join(str(element.index[k]) for k in np.flatnonzero(apart)[:5])
                more = f" and {apart.sum() - 5} more" if apart.sum() > 5 else ""
                self.unequal.append(
                    f"imbalance: the phases of {kind} {named}{more} differ, their sum is what counts in the balanced "
                    "network"
                )
            self._hold(element)
        ward = tables["ward"]
        self._add(ward, ward.numbers("ps_mw", 0.0), ward.numbers("qs_mvar", 0.0))
        self._add_shunt(ward, ward.numbers("pz_mw", 0.0), ward.numbers("qz_mvar", 0.0))
        shunt = tables["shunt"]
        step, rated = shunt.numbers("step", 1.0), shunt.numbers("vn_kv", math.nan, empty=True)
        nominal = dict(zip(self._bus.index, self._bus.numbers("vn_kv", math.nan), strict=True))
        at = np.array([nominal.get(b, math.nan) for b in shunt.references("bus", self._bus)], dtype=float)
        factor = step * np.where(np.isfinite(rated), at / rated, 1.0) ** 2
        if shunt.flags("step_dependency_table", False, empty=True).any():
            raise UnsupportedError(f"{tables.subject}: shunts with a step table are not modelled: give p_mw and q_mvar")
        self._add_shunt(shunt, shunt.numbers("p_mw", 0.0) * factor, shunt.numbers("q_mvar", 0.0) * factor)

    def _voltage_dependent(self, load: Element, notes: list[str], explained: list[str]) -> np.ndarray:
        """Share of p and q that is drawn as an impedance, shape (n_load, 2)."""
        shares = np.zeros((len(load), 2))
        currents = False
        for column, power in enumerate("pq"):
            impedance, current = (
                load.numbers(f"const_{kind}_percent", 0.0, low=0.0)
                + load.numbers(f"const_{kind}_{power}_percent", 0.0, low=0.0)
                for kind in "zi"
            )
            load.bad.extend(
                f"load {load.index[k]}: its shares of constant impedance and current add up to "
                f"{impedance[k] + current[k]:g} % of {power}, more than 100"
                for k in np.flatnonzero(impedance + current > 100 * (1 + 1e-9)).tolist()
            )
            shares[:, column] = (impedance + current / 2) / 100
            currents |= bool(current.any())
        if shares.any():
            notes.append("the constant-impedance share of loads is a shunt at their bus and does not follow profiles")
            explained.append(
                "pandapower applies the mean of the loads' voltage-dependent shares to all that stands at their bus, "
                "here each load has its own"
            )
        if currents:
            explained.append(
                "constant-current loads are half power, half impedance: the same within 0.2 % from 0.95 to 1.05 pu"
            )
            notes.append(explained[-1])
        return shares

    def _hold(self, element: Element) -> None:
        """Note what is controllable by its name."""
        active = element.flags("controllable", False, empty=True) & element.flags("in_service", True)
        called = zip(active.tolist(), element.names(), element.texts("name"), strict=True)
        self.held += [f"{name} ({identity})" if name else identity for on, identity, name in called if on]

    def _add(self, element: Element, p: np.ndarray, q: np.ndarray, feeds: bool = False) -> None:
        self._collect(element, ((self.p, p), (self.q, q)))
        if feeds:
            self._collect(element, ((self.p_gen, -p), (self.q_gen, -q)))

    def _add_shunt(self, element: Element, p: np.ndarray, q: np.ndarray) -> None:
        self._collect(element, ((self.shunt_p, p), (self.shunt_q, q)))

    def _collect(self, element: Element, parts: tuple[tuple[dict[Any, float], np.ndarray], ...]) -> None:
        on = element.flags("in_service", True)
        for k, index in enumerate(element.references("bus", self._bus)):
            if on[k]:
                for total, values in parts:
                    total[index] += float(values[k])

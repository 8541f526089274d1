"""The tool that a pandapower net comes from: its own power flow of the user's tables, in any state."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np

from learnopt.io.pandapower.cells import Cell, changed_cells
from learnopt.io.pandapower.tables import MODELLED, UNLIMITED_KA, Tables
from learnopt.io.source import SourceState
from learnopt.network import Configuration, Network, Scenario, Settings
from learnopt.network.unbalanced import PhaseCircuit

_INJECTING = ("load", "sgen", "storage", "asymmetric_load", "asymmetric_sgen", "ward", "shunt")
"""Elements that a scenario replaces."""
_SIGNS = {"load": 1, "asymmetric_load": 1, "storage": 1, "ward": 1, "sgen": -1, "asymmetric_sgen": -1}
"""Whether the powers of an element are drawn or injected."""
_DEFAULTS = (
    dict.fromkeys(("scaling", "parallel", "df", "step", "vm_pu", "slack_weight"), 1.0)
    | dict.fromkeys(("p_mw", "q_mvar", "ps_mw", "qs_mvar", "pz_mw", "qz_mvar", "va_degree", "z_ohm"), 0.0)
    | dict.fromkeys(("g_us_per_km", "c_nf_per_km", "pfe_kw", "i0_percent"), 0.0)
    | dict.fromkeys(("shift_degree", "shift_mv_degree", "shift_lv_degree"), 0.0)
    | dict.fromkeys((f"const_{kind}_{power}_percent" for kind in "zi" for power in "pq"), 0.0)
    | {"in_service": True, "closed": True}
)
"""What the reader takes a column for that a file leaves out."""
_BRANCHES = ("line", "trafo", "trafo3w")
_P_FROM, _P_TO = 13, 15
"""Columns of pandapower's internal branch table: active power into both ends."""
_ISOLATED = 4
_VM = ("vm_a_pu", "vm_b_pu", "vm_c_pu")
_ROUNDING_MW = 1e-12


class PandapowerTool:
    """A net in pandapower.

    The net is made from the tables that the file holds, so that nothing else that a file may name is imported; what
    changes no power flow (results, costs, profiles, controllers) is left behind.

    Parameters
    ----------
    tables
        Of the net.
    bus_of
        Id of the bus of the network that stands for each bus of the net.
    """

    name = "pandapower"

    def __init__(self, tables: Tables, bus_of: Mapping[Any, Any]) -> None:
        self._tables = tables
        self._bus_of = {str(bus): str(standing) for bus, standing in bus_of.items()}

    def circuit(
        self, network: Network, scenario: Scenario | None = None
    ) -> AbstractContextManager[PhaseCircuit] | None:
        """The net in all its phases, in OpenDSS: pandapower is what its power flow is compared with.

        None where the net was read as a balanced one.
        """
        if network.phases is None:
            return None
        from learnopt.io.opendss.exported import ExportedTool

        return ExportedTool(network).circuit(network, scenario)

    def state(
        self,
        network: Network,
        configuration: Configuration,
        settings: Settings | None = None,
        scenario: Scenario | None = None,
    ) -> SourceState:
        """``runpp(trafo_model="t")`` of a copy of the net in this state; ``runpp_3ph`` where it was read with phases.

        A scenario's loads stand for those of the file, as constant power at the buses of the network, beside the shunts
        that the network has. Of phases they are the difference to those of the file, in equal parts.
        """
        try:
            import pandapower
        except ImportError:
            return SourceState.failed(self.name, "pandapower is not installed: pip install 'learnopt[pandapower]'")
        with _quiet():
            try:
                net = net_of_tables(self._tables)
                out = None if scenario is None else scenario.out_of_service
                closed = configuration.closed if out is None else configuration.closed & ~out
                cells = changed_cells(self._tables, network, Configuration(closed), settings, out)
                for kind, changes in cells.items():
                    _set(net[kind], changes)
                if network.phases is not None:
                    _all_as_loads(net)
                    if scenario is not None:
                        self._add_difference(net, network, scenario)
                    pandapower.runpp_3ph(net, tolerance_mva=1e-9, max_iteration=100, numba=False)
                    return self._result_of_phases(net, network, scenario)
                if scenario is not None:
                    self._load(net, network, scenario)
                pandapower.runpp(
                    net,
                    trafo_model="t",
                    trafo_loading="current",
                    calculate_voltage_angles=True,
                    max_iteration=100,
                    tolerance_mva=1e-9,
                    numba=False,
                    enforce_q_lims=False,
                    run_control=False,
                )
            except pandapower.LoadflowNotConverged:
                return SourceState.failed(self.name, "its power flow does not converge")
            except Exception as error:  # whatever somebody else's library raises for a net
                reason = f"{type(error).__name__}: {error}".splitlines()[0]
                return SourceState.failed(self.name, f"it cannot compute this net ({reason})")
        return self._result(net, network)

    def _load(self, net: Any, network: Network, scenario: Scenario) -> None:
        """Replace what stands at the buses by the loads of a scenario and the shunts of the network."""
        import pandapower

        bare = pandapower.create_empty_network()
        for kind in _INJECTING:
            net[kind] = bare[kind]
        index_of = {self._bus_of[str(bus)]: bus for bus in reversed(net.bus.index) if str(bus) in self._bus_of}
        mega = network.base.kw / 1e3
        for k, bus_id in enumerate(network.bus_ids):
            bus = index_of.get(str(bus_id))
            if bus is None:
                continue
            for create, p, q in (
                (pandapower.create_load, scenario.p_load[k], scenario.q_load[k]),
                (pandapower.create_sgen, scenario.p_gen[k], scenario.q_gen[k]),
            ):
                if p or q:
                    create(net, bus, mega * p, mega * q)
            if network.g_shunt[k] or network.b_shunt[k]:
                pandapower.create_shunt(net, bus, -mega * network.b_shunt[k], mega * network.g_shunt[k])

    def _add_difference(self, net: Any, network: Network, scenario: Scenario) -> None:
        """Balanced loads for what a scenario adds to the loads of the network, or takes away."""
        import pandapower

        index_of = {self._bus_of[str(bus)]: bus for bus in reversed(net.bus.index) if str(bus) in self._bus_of}
        mega = network.base.kw / 1e3
        more_p, more_q = mega * (scenario.p - network.p_load), mega * (scenario.q - network.q_load)
        for k in np.flatnonzero((np.abs(more_p) > _ROUNDING_MW) | (np.abs(more_q) > _ROUNDING_MW)).tolist():
            pandapower.create_load(net, index_of[str(network.bus_ids[k])], float(more_p[k]), float(more_q[k]))

    def _result_of_phases(self, net: Any, network: Network, scenario: Scenario | None) -> SourceState:
        """The solution of all phases in the ids of the network; the lowest phase of each bus."""
        ends = {"line": ("from", "to"), "trafo": ("hv", "lv")}
        loss, loading = 0.0, []
        for kind, (start, end) in ends.items():
            table = net[f"res_{kind}_3ph"]
            columns = [f"p_{phase}_{side}_mw" for phase in "abc" for side in (start, end)]
            loss += 1e3 * float(np.nansum(table[columns].to_numpy(float)))
            loading += [v / 100 for v in table["loading_percent"].tolist() if np.isfinite(v) and v > 0]
        vm: dict[str, float] = {}
        for bus, values in zip(net.res_bus_3ph.index, net.res_bus_3ph[list(_VM)].to_numpy(float), strict=True):
            standing = self._bus_of.get(str(bus))
            if standing is not None and np.isfinite(values).all():
                vm[standing] = min(vm.get(standing, np.inf), float(values.min()))
        heads = {str(network.bus_ids[k]): 0.0 for k in network.substations}
        grid = net.res_ext_grid_3ph
        drawn = 1e3 * grid[["p_a_mw", "p_b_mw", "p_c_mw"]].to_numpy(float).sum(axis=1)
        for bus, power in zip(net.ext_grid.loc[grid.index, "bus"], drawn.tolist(), strict=True):
            if (standing := self._bus_of.get(str(bus))) in heads:
                heads[str(standing)] += power
        kw = network.base.kw
        generation = kw * float(network.p_fed.sum() if scenario is None else scenario.p_gen.sum())
        load = float(drawn.sum()) - loss + generation
        return SourceState(self.name, True, load, generation, loss, vm, max(loading, default=None), heads)

    def _result(self, net: Any, network: Network) -> SourceState:
        """The solution in the ids of the network."""
        solved = net._ppc
        fed = solved["bus"][:, 1].real != _ISOLATED
        branch = solved["branch"].real
        on = fed[branch[:, 0].astype(int)] & fed[branch[:, 1].astype(int)]
        loss = 1e3 * float(np.nansum((branch[:, _P_FROM] + branch[:, _P_TO])[on]))
        load = generation = 0.0
        for kind, sign in _SIGNS.items():
            drawn = 1e3 * sign * np.nan_to_num(net[f"res_{kind}"]["p_mw"].to_numpy(float))
            load += float(drawn[drawn > 0].sum())
            generation -= float(drawn[drawn < 0].sum())
        vm: dict[str, float] = {}
        for bus, value in net.res_bus["vm_pu"].items():
            standing = self._bus_of.get(str(bus))
            if standing is not None and np.isfinite(value):
                vm[standing] = min(vm.get(standing, np.inf), float(value))
        rated = [net[f"res_{kind}"]["loading_percent"].to_numpy(float) / 100 for kind in _BRANCHES]
        if "max_i_ka" in net.line:
            rated[0] = rated[0][net.line["max_i_ka"].to_numpy(float) < UNLIMITED_KA]
        loading = np.concatenate(rated)
        loading = loading[np.isfinite(loading)]
        heads = {str(network.bus_ids[k]): 0.0 for k in network.substations}
        for kind in ("ext_grid", "gen"):
            powers = zip(net[kind]["bus"], net[f"res_{kind}"]["p_mw"], strict=True)
            for bus, power in powers:
                standing = self._bus_of.get(str(bus))
                if standing in heads and np.isfinite(power):
                    heads[standing] += 1e3 * float(power)
        return SourceState(
            self.name, True, load, generation, loss, vm, float(loading.max()) if len(loading) else None, heads
        )


def _all_as_loads(net: Any) -> None:
    """What ``runpp_3ph`` passes over in silence, in a form that it reads: types other than its two, storages, wards."""
    import pandapower

    for kind in ("load", "sgen", "asymmetric_load", "asymmetric_sgen"):
        if len(net[kind]):
            net[kind]["type"] = net[kind]["type"].where(net[kind]["type"] == "delta", "wye")
    for kind, p, q in (("storage", "p_mw", "q_mvar"), ("ward", "ps_mw", "qs_mvar")):
        for _, row in net[kind].iterrows():
            scale = row.get("scaling", 1.0)
            pandapower.create_load(net, row["bus"], scale * row[p], scale * row[q], in_service=bool(row["in_service"]))


def net_of_tables(tables: Tables) -> Any:
    """A pandapower net with the elements of the tables, in the form of the pandapower installed."""
    import pandapower
    import pandas as pd

    net = pandapower.create_empty_network(f_hz=tables.f_hz)
    for kind in MODELLED:
        element = tables[kind]
        if not len(element):
            continue
        frame = pd.DataFrame({c: list(cells) for c, cells in element.columns.items()}, index=list(element.index))
        empty = net[kind]
        for column in frame.columns:
            kept = empty[column].dtype.kind if column in empty else "O"
            if kept == "b":
                frame[column] = frame[column].fillna(False).astype(bool)
            elif kept in "iuf":
                frame[column] = pd.to_numeric(frame[column])
                if not frame[column].isna().any():
                    frame[column] = frame[column].astype(empty[column].dtype)
        for column in {"name", "type"} & set(empty) - set(frame):
            frame[column] = None
        net[kind] = frame
    version = tables.extras.get("version")
    if isinstance(version, str):
        net["version"] = version
        net["format_version"] = tables.extras.get("format_version", version)
        pandapower.convert_format(net)
    bare = pandapower.create_empty_network()
    for kind in MODELLED:
        for column in set(bare[kind]) - set(net[kind]):
            if column in _DEFAULTS:
                net[kind][column] = _DEFAULTS[column]
    return net


def _set(frame: Any, cells: list[Cell]) -> None:
    """Change cells of a table."""
    row_of = {str(index): index for index in frame.index}
    for cell in cells:
        if cell.column not in frame:
            frame[cell.column] = True  # of in_service and closed, the flags that a net may leave out
        frame.loc[row_of[cell.index], cell.column] = cell.value


@contextmanager
def _quiet() -> Iterator[None]:
    """Its warnings are no business of the terminal."""
    logger = logging.getLogger("pandapower")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)

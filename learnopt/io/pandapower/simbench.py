"""SimBench grids by their code, with their year of profiles (Meinecke et al. 2020, doi:10.3390/en13123290)."""

from __future__ import annotations

from typing import Any

import numpy as np

from learnopt.errors import DataError, UnsupportedError
from learnopt.io.pandapower.reader import PandapowerCase, network_from_pandapower
from learnopt.io.profiles.clock import read_times, regular_series
from learnopt.io.profiles.series import Profiles
from learnopt.network import Network
from learnopt.wording import suggestion

_PARTS = (("load", "load", 1.0), ("sgen", "renewables", -1.0), ("storage", "storage", 1.0))
"""Element, table of profiles, sign of consumption."""


def simbench_net(code: str) -> Any:
    """The pandapower net of a code.

    Raises
    ------
    UnsupportedError
        If simbench is not installed.
    DataError
        If there is no such code.
    """
    try:
        import simbench
    except ImportError:
        raise UnsupportedError(
            f"simbench:{code} needs simbench, which is not installed: pip install 'learnopt[simbench]'"
        ) from None
    known = simbench.collect_all_simbench_codes()
    if code not in known:
        near = suggestion(code, known) or "; one is 1-MV-urban--0-sw"
        raise DataError(f"simbench:{code}", [f"there is no such SimBench code{near}"])
    return simbench.get_simbench_net(code)


def simbench_case(code: str) -> PandapowerCase:
    """A SimBench grid, for instance ``1-MV-urban--0-sw``; errors as in :func:`simbench_profiles`."""
    return network_from_pandapower(simbench_net(code), f"simbench:{code}")


def simbench_profiles(code: str, network: Network) -> Profiles:
    """The year of a SimBench grid, every quarter of an hour in standard time.

    Each load, generator and storage follows the profile that its row names; one without a profile keeps its power.

    Raises
    ------
    UnsupportedError
        If simbench is not installed.
    DataError
        If there is no such code, or if the network is another one.
    """
    net = simbench_net(code)
    case = network_from_pandapower(net, f"simbench:{code}")
    if case.network.bus_ids != network.bus_ids:
        raise DataError(f"simbench:{code}", [f"network {network.name!r} is not this grid: its buses differ"])
    notes = []
    times, _ = read_times(net.profiles["load"]["time"].astype(str).tolist(), f"simbench:{code}")
    p = np.zeros((len(times), network.n_bus))
    q, p_fed, q_fed = np.zeros_like(p), np.zeros_like(p), np.zeros_like(p)
    for kind, table, sign in _PARTS:
        profiles = net.profiles.get(table)
        constant = 0
        for row in net[kind].itertuples():
            bus = case.bus_of.get(row.bus)
            if bus is None or not row.in_service:
                continue
            k = network.bus_index[str(bus)]
            scale = sign * row.scaling / network.base.s_base
            of_p, of_q = _factors(profiles, row.profile)
            constant += of_p is None
            own_p = scale * row.p_mw * (1.0 if of_p is None else of_p)
            own_q = scale * row.q_mvar * (1.0 if of_q is None else of_q)
            p[:, k] += own_p
            q[:, k] += own_q
            if kind == "sgen":
                p_fed[:, k] -= own_p
                q_fed[:, k] -= own_q
        if constant:
            notes.append(f"{constant} {kind}s have no profile and keep their power")
    units = ("p_kw", "q_kvar", "gen_kw", "gen_kvar")
    columns = [f"{bus}.{unit}" for unit in units for bus in network.bus_ids]
    stacked = np.hstack([p, q, p_fed, q_fed])
    times, values, repairs = regular_series(times, stacked, columns, True, f"simbench:{code}")
    p, q, p_fed, q_fed = (part.copy() for part in np.split(values, len(units), axis=1))
    return Profiles(times, p, q, p_fed, q_fed, (*repairs, *notes), network.n_branch)


def _factors(profiles: Any, name: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Factors of active and reactive power over time; None where the tables have no such profile."""
    if profiles is None or not isinstance(name, str) or not len(profiles):
        return None, None
    for of_p, of_q in ((f"{name}_pload", f"{name}_qload"), (name, name)):
        if of_p in profiles:
            reactive = profiles[of_q].to_numpy(float) if of_q in profiles else None
            return profiles[of_p].to_numpy(float), reactive
    return None, None

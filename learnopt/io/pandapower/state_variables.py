"""State variables (SV) of CGMES profiles beside pandapower's power flow of the converted net."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from learnopt.io.pandapower.reader import PandapowerCase
from learnopt.network import Configuration
from learnopt.wording import counted

_SAME = 1e-3
"""Difference of voltages up to which a stored state is that of the net [pu]."""


def state_variables_note(files: Iterable[Path], net: Any, case: PandapowerCase) -> str | None:
    """A sentence on how far the stored voltages are from pandapower's power flow; None where the files store none.

    Parameters
    ----------
    files
        Profiles.
    net, case
        What the converter made of them, and what was read from that.
    """
    stored = _stored_voltages(files)
    if not stored:
        return None
    tool, network = case.loaded.source, case.network
    assert tool is not None
    state = tool.state(network, Configuration(~network.normally_open))
    if not state.converged:
        return f"state variables (SV) of {counted(len(stored), 'node')} not compared: pandapower: {state.reason}"
    worst, where, compared = 0.0, "", 0
    for index, row in net.bus.iterrows():
        node = row.get("cim_topnode")
        node = row.get("origin_id") if not isinstance(node, str) else node
        standing = case.bus_of.get(index)
        kilovolt, found = stored.get(str(node)), state.vm.get(str(standing))
        if kilovolt is None or found is None or not row["vn_kv"] > 0:
            continue
        compared += 1
        difference = abs(kilovolt / row["vn_kv"] - found)
        if difference > worst:
            worst, where = float(difference), str(row["name"])
    if not compared:
        return f"state variables (SV) of {len(stored)} nodes belong to no bus that was read: give the TP profile too"
    text = f"state variables (SV) of {compared} buses differ from pandapower's power flow by at most {worst:.2g} pu"
    if worst > _SAME:
        text += f", at {where}: the stored state is not that of this network (other loads, taps or switches)"
    return text


def _stored_voltages(files: Iterable[Path]) -> dict[str, float]:
    """Voltage magnitude [kV] by id of the topological node."""
    from lxml import etree

    found: dict[str, float] = {}
    for file in files:
        try:
            for _, element in etree.iterparse(str(file), events=("end",), resolve_entities=False, no_network=True):
                if etree.QName(element).localname != "SvVoltage":
                    continue
                parts = {etree.QName(part).localname: part for part in element if isinstance(part.tag, str)}
                node, value = parts.get("SvVoltage.TopologicalNode"), parts.get("SvVoltage.v")
                if node is None or value is None:
                    continue
                kilovolt = _number(value.text)
                reference = next((v for k, v in node.attrib.items() if k.endswith("resource")), "")
                if kilovolt > 0:
                    found[reference.rpartition("#")[2]] = kilovolt
                element.clear()
        except etree.XMLSyntaxError:
            continue  # said by the converter
    return found


def _number(text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        return math.nan
    return value if np.isfinite(value) else math.nan

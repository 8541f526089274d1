"""A ring of three lines in CGMES 2.4.15 (node-breaker), written by hand: the smallest grid with a decision."""

from __future__ import annotations

import zipfile
from pathlib import Path

RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
CIM = "http://iec.ch/TC57/2013/CIM-schema-cim16#"
MD = "http://iec.ch/TC57/61970-552/ModelDescription/1#"
PROFILES = {
    "EQ": ("EquipmentCore/3/1", "EquipmentOperation/3/1"),
    "SSH": ("SteadyStateHypothesis/1/1",),
}
LINES = {"L1": ("A", "B"), "L2": ("B2", "C"), "L3": ("C2", "A2")}
"""Lines of 1 + 0.8j ohm between connectivity nodes."""
BREAKERS = {"Q1": ("B", "B2", False), "Q2": ("C", "C2", True), "Q3": ("A", "A2", False)}
"""Breakers between nodes, and whether they are open."""
LOADS = {"D1": ("B", 1.2, 0.3), "D2": ("C", 0.8, 0.2)}
"""Consumers at nodes [MW, Mvar]."""


def _document(profile: str, body: list[str]) -> str:
    header = "".join(f"<md:Model.profile>http://entsoe.eu/CIM/{part}</md:Model.profile>" for part in PROFILES[profile])
    return (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<rdf:RDF xmlns:rdf="{RDF}" xmlns:cim="{CIM}" xmlns:md="{MD}">\n'
        f'<md:FullModel rdf:about="urn:uuid:{profile}">{header}</md:FullModel>\n' + "\n".join(body) + "\n</rdf:RDF>\n"
    )


def _object(kind: str, name: str, about: bool = False, **values: object) -> str:
    """One object; values that begin with ``#`` are references, keys are ``Class__attribute``."""
    cells = ""
    for key, value in values.items():
        tag = "cim:" + key.replace("__", ".")
        text = str(value)
        cells += f'<{tag} rdf:resource="{text}"/>' if text.startswith(("#", "http")) else f"<{tag}>{text}</{tag}>"
    identity = f'rdf:about="#_{name}"' if about else f'rdf:ID="_{name}"'
    return f"<cim:{kind} {identity}>{cells}</cim:{kind}>"


def equipment() -> list[str]:
    """Objects of the EQ profile."""
    body = [
        _object("BaseVoltage", "BV", BaseVoltage__nominalVoltage=10, IdentifiedObject__name="10"),
        _object("GeographicalRegion", "GR", IdentifiedObject__name="region"),
        _object("SubGeographicalRegion", "SR", IdentifiedObject__name="part", SubGeographicalRegion__Region="#_GR"),
        _object("Substation", "S", IdentifiedObject__name="station", Substation__Region="#_SR"),
        _object(
            "VoltageLevel",
            "VL",
            IdentifiedObject__name="10 kV",
            VoltageLevel__BaseVoltage="#_BV",
            VoltageLevel__Substation="#_S",
        ),
        _object("OperationalLimitType", "PATL", IdentifiedObject__name="PATL"),
    ]
    nodes = sorted({end for ends in LINES.values() for end in ends})
    for node in nodes:
        body.append(
            _object(
                "ConnectivityNode", node, IdentifiedObject__name=f"node {node}",
                ConnectivityNode__ConnectivityNodeContainer="#_VL",
            )
        )  # fmt: skip

    def terminals(name: str, *ends: str) -> None:
        for number, node in enumerate(ends, 1):
            body.append(
                _object(
                    "Terminal", f"{name}T{number}", IdentifiedObject__name=f"{name} {number}",
                    Terminal__ConductingEquipment=f"#_{name}", Terminal__ConnectivityNode=f"#_{node}",
                    ACDCTerminal__sequenceNumber=number,
                )
            )  # fmt: skip

    for name, ends in LINES.items():
        body.append(
            _object(
                "ACLineSegment", name, IdentifiedObject__name=f"cable {name}", Conductor__length=2,
                ACLineSegment__r=1.0, ACLineSegment__x=0.8, ACLineSegment__bch=0, ACLineSegment__gch=0,
                ACLineSegment__r0=1, ACLineSegment__x0=1, ACLineSegment__b0ch=0, ACLineSegment__g0ch=0,
                ACLineSegment__shortCircuitEndTemperature=80,
                ConductingEquipment__BaseVoltage="#_BV", Equipment__EquipmentContainer="#_VL",
            )
        )  # fmt: skip
        terminals(name, *ends)
        body.append(_object("OperationalLimitSet", f"{name}S", OperationalLimitSet__Terminal=f"#_{name}T1"))
        body.append(
            _object(
                "CurrentLimit", f"{name}C", CurrentLimit__value=200,
                OperationalLimit__OperationalLimitSet=f"#_{name}S", OperationalLimit__OperationalLimitType="#_PATL",
            )
        )  # fmt: skip
    for name, (start, end, _) in BREAKERS.items():
        body.append(
            _object(
                "Breaker", name, IdentifiedObject__name=f"breaker {name}", Switch__ratedCurrent=400,
                Switch__normalOpen="false", Switch__retained="true", Equipment__EquipmentContainer="#_VL",
            )
        )  # fmt: skip
        terminals(name, start, end)
    for name, (node, _, _) in LOADS.items():
        body.append(_object("EnergyConsumer", name, IdentifiedObject__name=name, Equipment__EquipmentContainer="#_VL"))
        terminals(name, node)
    body.append(
        _object(
            "ExternalNetworkInjection", "NET", IdentifiedObject__name="grid", Equipment__EquipmentContainer="#_VL",
            RegulatingCondEq__RegulatingControl="#_RC", ExternalNetworkInjection__governorSCD=0,
            ExternalNetworkInjection__minP=-100, ExternalNetworkInjection__maxP=100,
            ExternalNetworkInjection__minQ=-100, ExternalNetworkInjection__maxQ=100,
        )
    )  # fmt: skip
    terminals("NET", "A")
    body.append(
        _object(
            "RegulatingControl", "RC", IdentifiedObject__name="voltage", RegulatingControl__Terminal="#_NETT1",
            RegulatingControl__mode=f"{CIM}RegulatingControlModeKind.voltage",
        )
    )  # fmt: skip
    return body


def state() -> list[str]:
    """Objects of the SSH profile."""
    body = [
        _object(
            "ExternalNetworkInjection", "NET", about=True, ExternalNetworkInjection__p=-2,
            ExternalNetworkInjection__q=-0.5, ExternalNetworkInjection__referencePriority=1,
            RegulatingCondEq__controlEnabled="true",
        ),
        _object(
            "RegulatingControl", "RC", about=True, RegulatingControl__targetValue=10.2,
            RegulatingControl__enabled="true", RegulatingControl__discrete="false",
        ),
    ]  # fmt: skip
    for name, (_, p, q) in LOADS.items():
        body.append(_object("EnergyConsumer", name, about=True, EnergyConsumer__p=p, EnergyConsumer__q=q))
    for name, (_, _, is_open) in BREAKERS.items():
        body.append(_object("Breaker", name, about=True, Switch__open=str(is_open).lower()))
    ends = dict.fromkeys((*LINES, *BREAKERS), 2) | dict.fromkeys((*LOADS, "NET"), 1)
    for name, count in ends.items():
        for number in range(1, count + 1):
            body.append(_object("Terminal", f"{name}T{number}", about=True, ACDCTerminal__connected="true"))
    return body


def write_cgmes(folder: Path, profiles: tuple[str, ...] = ("EQ", "SSH"), without: str = "") -> Path:
    """Write the profiles as XML files into a folder; lines that contain ``without`` are left out."""
    folder.mkdir(parents=True, exist_ok=True)
    for profile in profiles:
        body = equipment() if profile == "EQ" else state()
        kept = [line for line in body if not without or without not in line]
        (folder / f"ring_{profile}.xml").write_text(_document(profile, kept), encoding="utf-8")
    return folder


def zipped(folder: Path) -> Path:
    """The folder as one zip file beside it."""
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return path

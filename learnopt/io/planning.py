"""Planning files: sites, demands, routes, prices and stages (schema in ``datasets/README.md``)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from learnopt.errors import DataError
from learnopt.io.case_json import describe_validation_error, read_json
from learnopt.io.controls_json import FileId, Number
from learnopt.io.resources import data_root
from learnopt.io.violations import Rule, Violations, at_least_zero, positive, refused_keys
from learnopt.network.costs import annual_factor, discount
from learnopt.network.expansion import (
    ExpansionProblem,
    LineType,
    LossTangent,
    Route,
    Site,
    Stage,
    SubstationSize,
)
from learnopt.wording import suggestion


class _Record(BaseModel):
    """A misspelt price would be a price of zero, so unknown keys are refused; ``notes`` are for people."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    notes: Any = None


class SizeRecord(_Record):
    """A substation that can be bought."""

    name: StrictStr
    capacity_mva: Number
    fixed_cost: Number
    variable_cost_per_mva: Number = 0.0
    loss_cost_per_mva2: Number = 0.0
    transformers: StrictInt = 1


class LineRecord(_Record):
    """A line that can be built."""

    name: StrictStr
    capacity_mva: Number
    fixed_cost_per_km: Number
    variable_cost_per_mva_km: Number = 0.0
    loss_cost_per_mva2_km: Number = 0.0
    r_ohm_per_km: Number = 0.0
    x_ohm_per_km: Number = 0.0


class NodeRecord(_Record):
    """A place on the map."""

    id: FileId
    x_km: Number = 0.0
    y_km: Number = 0.0


class SiteRecord(NodeRecord):
    """A place for a substation."""

    sizes: list[StrictStr] | None = None
    exits: StrictInt | None = None


class DemandRecord(NodeRecord):
    """A place with demand; 0 is a place where routes meet."""

    mva: Number = 0.0


class RouteRecord(_Record):
    """A way for a line; its length is that of the map where none is given."""

    id: FileId
    from_: FileId = Field(alias="from")
    to: FileId
    length_km: Number | None = None
    line_types: list[StrictStr] | None = None


class StageRecord(_Record):
    """A period; demands that it does not list keep their own."""

    name: StrictStr
    start_year: Number = 0.0
    years: Number
    growth: Number = 1.0
    demands: dict[str, Number] = {}


class LossTangentRecord(_Record):
    """Linear loss of a line in use [MW]."""

    fixed_mw: Number
    per_mva: Number


class VoltageRecord(_Record):
    """Voltage limits of the AC check."""

    vmin_pu: Number | None = None
    vmax_pu: Number | None = None


class PlanningRecord(_Record):
    """A whole planning file."""

    name: StrictStr
    title: StrictStr = ""
    source: StrictStr = ""
    currency: StrictStr = "money"
    base_kv: Number
    power_factor: Annotated[float, Field(strict=True)] = 1.0
    substation_sizes: list[SizeRecord]
    sites: list[SiteRecord]
    demands: list[DemandRecord]
    line_types: list[LineRecord]
    routes: list[RouteRecord]
    max_substations: StrictInt | None = None
    max_exits: StrictInt | None = None
    loss_limit_percent: Number | None = None
    loss_tangent: LossTangentRecord | None = None
    radial: StrictBool = False
    n_minus_1: StrictBool = False
    emergency_loading: Number = 1.0
    voltage_limits: VoltageRecord = VoltageRecord()
    interest_percent: Number = 0.0
    stages: list[StageRecord] = []


def load_planning(source: str | Path) -> ExpansionProblem:
    """The problem of a planning sample that travels with learnopt (``turkay``), or of a planning file.

    Raises
    ------
    DataError
        If there is no such sample or file, or with every violation of the file.
    """
    folder = data_root("planning")
    names = sorted(path.stem for path in folder.glob("*.json"))
    path = folder / f"{source}.json" if str(source) in names else Path(source)
    if not path.is_file():
        known = f"the samples are {', '.join(names)}; a file is JSON as datasets/README.md says"
        near = suggestion(source, names)
        raise DataError(str(source), [f"there is no such planning file and no sample of that name{near}; {known}"])
    return planning_from_dict(read_json(path), str(source))


def planning_from_dict(raw: Any, subject: str) -> ExpansionProblem:
    """Build a problem from a parsed planning file.

    Raises
    ------
    DataError
        With every violation at once.
    """
    try:
        record = PlanningRecord.model_validate(raw)
    except ValidationError as error:
        hints = refused_keys(raw, sorted(PlanningRecord.model_fields))
        raise DataError(subject, [*describe_validation_error(error, raw), *hints]) from None
    return _Reader(record, Violations(subject)).problem()


_LINE = {
    "capacity_mva": positive("MVA"),
    "r_ohm_per_km": at_least_zero("ohm/km"),
    "x_ohm_per_km": at_least_zero("ohm/km"),
}
_NODE = {"x_km": Rule(" [km]"), "y_km": Rule(" [km]")}
_STAGE = {"years": positive("years"), "start_year": at_least_zero("years"), "growth": at_least_zero("per unit")}
_GENERAL = {
    "base_kv": positive("kV line-to-line"),
    "loss_limit_percent": at_least_zero("percent"),
    "interest_percent": at_least_zero("percent"),
    "emergency_loading": Rule(" >= 1 [per unit]", 1.0),
}
_VOLTAGE = {"vmin_pu": positive("pu"), "vmax_pu": positive("pu")}


class _Reader:
    """Checks the meaning of a record, collects every violation, then builds the problem."""

    def __init__(self, record: PlanningRecord, wrong: Violations) -> None:
        self.record, self.wrong = record, wrong
        self.nodes: list[NodeRecord] = [*record.sites, *record.demands]
        self.coordinates = np.array([(node.x_km, node.y_km) for node in self.nodes]).reshape(-1, 2)
        self.sizes, self.lines = [s.name for s in record.substation_sizes], [k.name for k in record.line_types]

    def chosen(self, names: list[str] | None, known: list[str], what: str, kind: str) -> tuple[int, ...]:
        """Indices of names; all where none are listed."""
        if names is None:
            return tuple(range(len(known)))
        self.wrong.require(bool(names), f"{what}: its list of {kind}s is empty; leave it out to allow all")
        for name in names:
            self.wrong.require(name in known, f"{what}: there is no {kind} {name!r}, there are {', '.join(known)}")
        return tuple(sorted({known.index(name) for name in names if name in known}))

    def problem(self) -> ExpansionProblem:
        """The problem, where nothing is wrong."""
        r = self.record
        self._general()
        self._equipment()
        sites = self._sites()
        for node in self.nodes:
            self.wrong.numbers(node, f"node {node.id!r}", _NODE)
        for demand in r.demands:
            self.wrong.numbers(demand, f"demand {demand.id!r}", {"mva": at_least_zero("MVA")})
        routes, stages = self._routes(), self._stages()
        self.wrong.stop()
        tangent = r.loss_tangent
        return ExpansionProblem(
            name=r.name,
            title=r.title,
            source=r.source,
            currency=r.currency,
            kv=r.base_kv,
            power_factor=r.power_factor,
            sizes=tuple(
                SubstationSize(
                    s.name, s.capacity_mva, s.fixed_cost, s.variable_cost_per_mva, s.loss_cost_per_mva2, s.transformers
                )
                for s in r.substation_sizes
            ),
            sites=sites,
            demand_ids=tuple(d.id for d in r.demands),
            coordinates=self.coordinates,
            line_types=tuple(
                LineType(
                    k.name,
                    k.capacity_mva,
                    k.fixed_cost_per_km,
                    k.variable_cost_per_mva_km,
                    k.loss_cost_per_mva2_km,
                    k.r_ohm_per_km,
                    k.x_ohm_per_km,
                )
                for k in r.line_types
            ),
            routes=routes,
            stages=stages,
            max_substations=len(sites) if r.max_substations is None else r.max_substations,
            loss_limit_percent=r.loss_limit_percent,
            loss_tangent=None if tangent is None else LossTangent(tangent.fixed_mw, tangent.per_mva),
            radial=r.radial,
            n_minus_1=r.n_minus_1,
            emergency_loading=r.emergency_loading,
            vm_min=r.voltage_limits.vmin_pu,
            vm_max=r.voltage_limits.vmax_pu,
        )

    def _general(self) -> None:
        r, wrong = self.record, self.wrong
        wrong.numbers(r, "", _GENERAL)
        wrong.require(0 < r.power_factor <= 1, f"power_factor = {r.power_factor} must be > 0 and <= 1")
        for what in ("substation_sizes", "sites", "demands", "line_types", "routes"):
            wrong.require(bool(getattr(r, what)), f"{what} is empty: give at least one")
        for what in ("max_substations", "max_exits"):
            most = getattr(r, what)
            wrong.require(most is None or most >= 1, f"{what} = {most} must be at least 1")
        wrong.numbers(r.voltage_limits, "voltage_limits", _VOLTAGE)
        low, high = r.voltage_limits.vmin_pu, r.voltage_limits.vmax_pu
        if low is not None and high is not None and low > high:
            wrong.add(f"voltage_limits: vmin_pu = {low} exceeds vmax_pu = {high}")
        tangent = r.loss_tangent
        if tangent is not None and not (math.isfinite(tangent.fixed_mw) and math.isfinite(tangent.per_mva)):
            wrong.add(f"loss_tangent = {tangent.fixed_mw}, {tangent.per_mva} must be finite numbers [MW, MW/MVA]")

    def _equipment(self) -> None:
        """Substations and lines that can be bought, and ids of all."""
        r, wrong = self.record, self.wrong
        wrong.unique("substation size", self.sizes)
        wrong.unique("line type", self.lines)
        wrong.unique("node", (node.id for node in self.nodes))
        wrong.unique("route", (route.id for route in r.routes))
        price = at_least_zero(r.currency)
        size_rules = {"capacity_mva": positive("MVA"), "fixed_cost": price, "variable_cost_per_mva": price}
        line_prices = ("fixed_cost_per_km", "variable_cost_per_mva_km", "loss_cost_per_mva2_km")
        for size in r.substation_sizes:
            what = f"substation size {size.name!r}"
            wrong.numbers(size, what, size_rules | {"loss_cost_per_mva2": price})
            wrong.require(size.transformers >= 1, f"{what}: transformers = {size.transformers} must be at least 1")
        for line in r.line_types:
            wrong.numbers(line, f"line type {line.name!r}", _LINE | dict.fromkeys(line_prices, price))

    def _sites(self) -> tuple[Site, ...]:
        r = self.record
        most = r.max_exits if r.max_exits is not None else len(r.routes)
        sites = []
        for site in r.sites:
            what, exits = f"site {site.id!r}", most if site.exits is None else site.exits
            self.wrong.require(exits >= 0, f"{what}: exits = {exits} must be >= 0")
            sites.append(Site(site.id, self.chosen(site.sizes, self.sizes, what, "substation size"), exits))
        return tuple(sites)

    def _routes(self) -> tuple[Route, ...]:
        wrong, node = self.wrong, {str(n.id): k for k, n in enumerate(self.nodes)}
        routes = []
        for route in self.record.routes:
            what = f"route {route.id!r}"
            for end in (route.from_, route.to):
                wrong.known(end, node, f"{what}:", "is neither a site nor a demand")
            types = self.chosen(route.line_types, self.lines, what, "line type")
            wrong.number(route.length_km, f"{what}: length_km", positive("km"))
            a, b = node.get(str(route.from_)), node.get(str(route.to))
            if a is None or b is None:
                continue
            if a == b:
                wrong.add(f"{what}: from and to are both {route.to!r}")
                continue
            length = route.length_km
            if length is None:
                length = float(np.hypot(*(self.coordinates[a] - self.coordinates[b])))
                wrong.require(length > 0, f"{what}: give length_km, its ends have one place on the map")
            routes.append(Route(route.id, (a, b), length, types))
        return tuple(routes)

    def _stages(self) -> tuple[Stage, ...]:
        r, wrong = self.record, self.wrong
        own = np.array([d.mva for d in r.demands])
        if not r.stages:
            return (Stage("all years", own),)
        wrong.unique("stage", (stage.name for stage in r.stages))
        index = {str(d.id): k for k, d in enumerate(r.demands)}
        interest = r.interest_percent / 100 if math.isfinite(r.interest_percent) and r.interest_percent >= 0 else 0.0
        stages, end = [], 0.0
        for stage in r.stages:
            what = f"stage {stage.name!r}"
            wrong.numbers(stage, what, _STAGE)
            if stage.start_year < end:
                wrong.add(f"{what}: start_year = {stage.start_year:g} lies before the end of the stage before, {end:g}")
            end = stage.start_year + stage.years
            demand = own * stage.growth
            for key, mva in stage.demands.items():
                wrong.number(mva, f"{what}: demand {key!r}", at_least_zero("MVA"))
                wrong.known(key, index, f"{what}:", "is not a demand")
                if key in index:
                    demand[index[key]] = mva
            if math.isfinite(end):
                paid = discount(interest, stage.start_year)
                stages.append(Stage(stage.name, demand, paid, paid * annual_factor(interest, stage.years)))
        return tuple(stages)

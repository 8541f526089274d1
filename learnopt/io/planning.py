"""Planning files: sites, demands, routes, prices and stages (schema in ``datasets/README.md``)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, StrictStr, ValidationError

from learnopt.errors import DataError
from learnopt.io.case_json import FileId, Number, describe_validation_error, read_json
from learnopt.io.resources import data_root
from learnopt.network import Id
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
        raise DataError(str(source), [f"there is no such planning file and no sample of that name; {known}"])
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
        sentences = describe_validation_error(error, raw)
        known = sorted(PlanningRecord.model_fields)
        for key in raw if isinstance(raw, dict) else ():
            close = get_close_matches(key, known, n=1) if key not in known else []
            sentences += [f"{key!r} looks like {close[0]!r}"] if close else []
        raise DataError(subject, sentences) from None
    return _Reader(record, subject).problem()


class _Reader:
    """Checks the meaning of a record, collects every violation, then builds the problem."""

    def __init__(self, record: PlanningRecord, subject: str) -> None:
        self.record, self.subject = record, subject
        self.bad: list[str] = []

    def number(self, value: float | None, what: str, unit: str, above: float | None = None) -> None:
        """A finite number >= 0, or > ``above``."""
        if value is None:
            return
        if not math.isfinite(value) or (value < 0 if above is None else value <= above):
            wanted = ">= 0" if above is None else f"> {above:g}"
            self.bad.append(f"{what} = {value} must be a finite number {wanted} [{unit}]")

    def unique(self, what: str, ids: Iterable[Id]) -> None:
        counts = Counter(str(i) for i in ids)
        self.bad += [f"{what} {key!r} occurs {n} times: ids must be unique" for key, n in counts.items() if n > 1]

    def chosen(self, names: list[str] | None, known: list[str], what: str, kind: str) -> tuple[int, ...]:
        """Indices of names; all where none are listed."""
        if names is None:
            return tuple(range(len(known)))
        if not names:
            self.bad.append(f"{what}: its list of {kind}s is empty; leave it out to allow all")
        self.bad += [
            f"{what}: there is no {kind} {name!r}, there are {', '.join(known)}" for name in names if name not in known
        ]
        return tuple(sorted({known.index(name) for name in names if name in known}))

    def problem(self) -> ExpansionProblem:
        r = self.record
        self._general()
        sizes, lines = [s.name for s in r.substation_sizes], [k.name for k in r.line_types]
        self.unique("substation size", sizes)
        self.unique("line type", lines)
        self.unique("node", [*(s.id for s in r.sites), *(d.id for d in r.demands)])
        self.unique("route", [route.id for route in r.routes])
        for size in r.substation_sizes:
            what = f"substation size {size.name!r}"
            self.number(size.capacity_mva, f"{what}: capacity_mva", "MVA", 0.0)
            for key in ("fixed_cost", "variable_cost_per_mva", "loss_cost_per_mva2"):
                self.number(getattr(size, key), f"{what}: {key}", r.currency)
            if size.transformers < 1:
                self.bad.append(f"{what}: transformers = {size.transformers} must be at least 1")
        for line in r.line_types:
            what = f"line type {line.name!r}"
            self.number(line.capacity_mva, f"{what}: capacity_mva", "MVA", 0.0)
            for key in ("fixed_cost_per_km", "variable_cost_per_mva_km", "loss_cost_per_mva2_km"):
                self.number(getattr(line, key), f"{what}: {key}", r.currency)
            self.number(line.r_ohm_per_km, f"{what}: r_ohm_per_km", "ohm/km")
            self.number(line.x_ohm_per_km, f"{what}: x_ohm_per_km", "ohm/km")
        most = r.max_exits if r.max_exits is not None else len(r.routes)
        sites = []
        for site in r.sites:
            exits = most if site.exits is None else site.exits
            if exits < 0:
                self.bad.append(f"site {site.id!r}: exits = {exits} must be >= 0")
            sites.append(Site(site.id, self.chosen(site.sizes, sizes, f"site {site.id!r}", "substation size"), exits))
        nodes: list[NodeRecord] = [*r.sites, *r.demands]
        for node in nodes:
            for key in ("x_km", "y_km"):
                if not math.isfinite(getattr(node, key)):
                    self.bad.append(f"node {node.id!r}: {key} = {getattr(node, key)} must be a finite number [km]")
        for demand in r.demands:
            self.number(demand.mva, f"demand {demand.id!r}: mva", "MVA")
        coordinates = np.array([(node.x_km, node.y_km) for node in nodes]).reshape(-1, 2)
        routes = self._routes(coordinates, lines)
        stages = self._stages()
        if self.bad:
            raise DataError(self.subject, self.bad)
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
            sites=tuple(sites),
            demand_ids=tuple(d.id for d in r.demands),
            coordinates=coordinates,
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
            loss_tangent=None
            if r.loss_tangent is None
            else LossTangent(r.loss_tangent.fixed_mw, r.loss_tangent.per_mva),
            radial=r.radial,
            n_minus_1=r.n_minus_1,
            emergency_loading=r.emergency_loading,
            vm_min=r.voltage_limits.vmin_pu,
            vm_max=r.voltage_limits.vmax_pu,
        )

    def _general(self) -> None:
        r = self.record
        self.number(r.base_kv, "base_kv", "kV line-to-line", 0.0)
        if not 0 < r.power_factor <= 1:
            self.bad.append(f"power_factor = {r.power_factor} must be > 0 and <= 1")
        for what, entries in (
            ("substation_sizes", r.substation_sizes),
            ("sites", r.sites),
            ("demands", r.demands),
            ("line_types", r.line_types),
            ("routes", r.routes),
        ):
            if not entries:
                self.bad.append(f"{what} is empty: give at least one")
        if r.max_substations is not None and r.max_substations < 1:
            self.bad.append(f"max_substations = {r.max_substations} must be at least 1")
        if r.max_exits is not None and r.max_exits < 1:
            self.bad.append(f"max_exits = {r.max_exits} must be at least 1")
        self.number(r.loss_limit_percent, "loss_limit_percent", "percent")
        self.number(r.interest_percent, "interest_percent", "percent")
        if not (math.isfinite(r.emergency_loading) and r.emergency_loading >= 1):
            self.bad.append(f"emergency_loading = {r.emergency_loading} must be a finite number >= 1 [per unit]")
        low, high = r.voltage_limits.vmin_pu, r.voltage_limits.vmax_pu
        self.number(low, "voltage_limits: vmin_pu", "pu", 0.0)
        self.number(high, "voltage_limits: vmax_pu", "pu", 0.0)
        if low is not None and high is not None and low > high:
            self.bad.append(f"voltage_limits: vmin_pu = {low} exceeds vmax_pu = {high}")
        tangent = r.loss_tangent
        if tangent is not None and not (math.isfinite(tangent.fixed_mw) and math.isfinite(tangent.per_mva)):
            self.bad.append(f"loss_tangent = {tangent.fixed_mw}, {tangent.per_mva} must be finite numbers [MW, MW/MVA]")

    def _routes(self, coordinates: np.ndarray, lines: list[str]) -> tuple[Route, ...]:
        r = self.record
        node = {str(i): k for k, i in enumerate([*(s.id for s in r.sites), *(d.id for d in r.demands)])}
        routes = []
        for route in r.routes:
            what = f"route {route.id!r}"
            unknown = [end for end in (route.from_, route.to) if str(end) not in node]
            self.bad += [f"{what}: {end!r} is neither a site nor a demand" for end in unknown]
            types = self.chosen(route.line_types, lines, what, "line type")
            self.number(route.length_km, f"{what}: length_km", "km", 0.0)
            if unknown:
                continue
            a, b = node[str(route.from_)], node[str(route.to)]
            if a == b:
                self.bad.append(f"{what}: from and to are both {route.to!r}")
                continue
            length = route.length_km
            if length is None:
                length = float(np.hypot(*(coordinates[a] - coordinates[b])))
                if not length > 0:
                    self.bad.append(f"{what}: give length_km, its ends have one place on the map")
            routes.append(Route(route.id, (a, b), length, types))
        return tuple(routes)

    def _stages(self) -> tuple[Stage, ...]:
        r = self.record
        own = np.array([d.mva for d in r.demands])
        if not r.stages:
            return (Stage("all years", own),)
        self.unique("stage", [stage.name for stage in r.stages])
        index = {str(d.id): k for k, d in enumerate(r.demands)}
        interest = r.interest_percent / 100 if math.isfinite(r.interest_percent) and r.interest_percent >= 0 else 0.0
        stages, end = [], 0.0
        for stage in r.stages:
            what = f"stage {stage.name!r}"
            self.number(stage.years, f"{what}: years", "years", 0.0)
            self.number(stage.start_year, f"{what}: start_year", "years")
            self.number(stage.growth, f"{what}: growth", "per unit")
            if stage.start_year < end:
                self.bad.append(
                    f"{what}: start_year = {stage.start_year:g} lies before the end of the stage before, {end:g}"
                )
            end = stage.start_year + stage.years
            demand = own * stage.growth
            for key, mva in stage.demands.items():
                self.number(mva, f"{what}: demand {key!r}", "MVA")
                if key not in index:
                    self.bad.append(f"{what}: {key!r} is not a demand")
                else:
                    demand[index[key]] = mva
            if math.isfinite(end):
                paid = discount(interest, stage.start_year)
                stages.append(Stage(stage.name, demand, paid, paid * annual_factor(interest, stage.years)))
        return tuple(stages)

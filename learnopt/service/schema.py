"""What the interface takes and gives, as types: the server answers with them, the client returns them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from learnopt.service.people import Role
from learnopt.service.settings import Settings


class Given(BaseModel):
    """What is sent: nothing but the fields that are known."""

    model_config = ConfigDict(extra="forbid")


class NewFeeder(Given):
    """A feeder to watch: a named case, or the content of a JSON case file."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    case: Annotated[str, Field(min_length=1, max_length=80)] | None = None
    content: dict[str, Any] | None = None
    settings: Settings = Settings()


class Measurements(Given):
    """A batch: ``{"point": "bus:7:p_kw", "value": 200.0, "time": "2026-01-31T12:00:00Z", "quality": "good"}``."""

    measurements: Annotated[list[Any], Field(max_length=20_000)]


class Reason(Given):
    """Why."""

    reason: Annotated[str, Field(min_length=1, max_length=500)]


class FaultTold(Given):
    """Where something is out of order (``branch:ID`` or ``bus:ID``), or no longer is."""

    place: Annotated[str, Field(min_length=1, max_length=180)]
    there: bool = True


class NewUser(Given):
    """A person."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    password: Annotated[str, Field(min_length=1, max_length=200)]
    role: Role


class NewToken(Given):
    """A program."""

    name: Annotated[str, Field(min_length=1, max_length=80)]
    role: Role


class TokenKey(BaseModel):
    """A token: its key is told here and never again."""

    name: str
    role: Role
    key: str


class TakenView(BaseModel):
    """What became of a batch: taken, older than what stands (or flagged bad, or of the future), wrong and why."""

    taken: int
    old: int
    refused: list[str]


class StepView(BaseModel):
    """One operation."""

    number: int
    branch: str
    action: str
    told: str
    released: datetime | None
    confirmed: datetime | None
    confirmed_by: str | None


class ProposalView(BaseModel):
    """A proposal and where it stands."""

    id: int
    feeder: str
    state: str
    created: datetime
    measured: datetime
    changed: datetime
    input_hash: str
    why: str
    saving_kwh: float | None
    saving_least_kwh: float | None
    saving_most_kwh: float | None
    cost_kwh: float
    at_most_kwh: float | None
    certificate: str
    hours: int
    saving_money: float | None
    needed: int
    approvals: list[str]
    step: int | None
    held: str
    reason: str
    steps: list[StepView]
    back: list[StepView]
    picture: dict[str, Any]
    now: dict[str, Any]
    proposed: dict[str, Any] | None
    restoration: dict[str, Any] | None
    """Of a plan for load in the dark: how much of it, and what is out of order; None where it is about losses."""


class AlarmView(BaseModel):
    """Something to look at."""

    id: int
    feeder: str
    kind: str
    told: str
    raised: datetime
    cleared: datetime | None
    seen_by: str | None


class CycleView(BaseModel):
    """One look at a feeder."""

    id: int
    feeder: str
    time: datetime
    verdict: str
    reason: str
    input_hash: str
    loss_kw: float | None
    load_kw: float
    lowest_pu: float | None
    lowest_bus: str | None
    max_loading: float | None
    violations: list[str]
    unfit: list[str]
    measured: float
    allotted: float
    oldest_s: float | None
    open: list[str]
    seconds: float


class FeederView(BaseModel):
    """A feeder as it stands."""

    name: str
    settings: Settings
    cycle: CycleView | None
    proposal: ProposalView | None
    alarms: list[AlarmView]
    faults: list[list[str]]
    """[point, quality] of what is out of order; of doubtful quality it is supposed, and nobody has located it."""
    saved_kwh: float
    """Against the normal state of the case, as estimated in every cycle."""


class AuditLine(BaseModel):
    """One line of the audit trail."""

    number: int
    time: str
    who: str
    what: str
    detail: dict[str, Any]
    hash: str


class ChainView(BaseModel):
    """What was found of the audit trail."""

    lines: int
    last: str
    broken_at: int | None

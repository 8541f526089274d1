"""How a feeder is watched: what can be set, and the bounds of it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from learnopt.errors import DataError
from learnopt.service.review import Mode
from learnopt.studies.operation.advice import Policy
from learnopt.studies.operation.forecast import forecast_of
from learnopt.studies.operation.picture import Trust

Seconds = Annotated[float, Field(gt=0, le=86400)]
Amount = Annotated[float, Field(ge=0, le=1e6)]


class Guard(BaseModel):
    """What an automatic approval must keep to; whatever is beyond is for people."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most_operations: Annotated[int, Field(ge=1, le=100)] = 4
    least_saving_kwh: Amount = 10.0
    devices: tuple[str, ...] = ()
    """Ids of the branches that it may operate; none as long as nobody lists them."""


class Settings(BaseModel):
    """How a feeder is watched."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode = Mode.ADVISORY
    four_eyes: bool = False
    """Two people approve."""
    cycle_s: Seconds = 300.0
    """Time between two cycles; a switch that changes by itself, or a measurement that jumps, does not wait for it."""
    jump: Annotated[float, Field(gt=0, le=10)] | None = 0.1
    """Change of a measured power from one message to the next, relative to the load, that is an event; None = never."""
    forecast: Annotated[str, Field(min_length=1, max_length=80)] = "seasonal"
    """seasonal, persistence, or what an installed package offers as an entry point of ``learnopt.forecasts``."""
    valid_s: Seconds = 900.0
    """A proposal expires so long after the last measurements that ask for it."""
    deadline_s: Seconds = 30.0
    """A cycle that takes longer is given up, with an alarm."""
    hours: Annotated[int, Field(ge=1, le=48)] = 4
    """Hours that a change must hold."""
    operation_cost_kwh: Amount = 5.0
    least_saving_kwh: Amount = 5.0
    hold_off_s: Annotated[float, Field(ge=0, le=7 * 86400)] = 3600.0
    most_per_device: Annotated[int, Field(ge=1, le=1000)] = 2
    most_operations: Annotated[int, Field(ge=1, le=1000)] | None = None
    least_observed: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Share of the load that must be known, or nothing is proposed."""
    fresh_s: Seconds = 900.0
    """A measurement as old as this stands as it is."""
    price_per_mwh: Annotated[float, Field(ge=0, le=1e6)] = 80.0
    guard: Guard = Guard()

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Settings:
        if self.four_eyes and self.mode is Mode.AUTOMATIC:
            raise ValueError("four_eyes asks for two people, mode automatic for none: choose one of them")
        return self

    @field_validator("forecast")
    @classmethod
    def _installed(cls, name: str) -> str:
        try:
            forecast_of(name)
        except DataError as error:
            raise ValueError(error.violations[0]) from None
        return name

    @property
    def policy(self) -> Policy:
        """As advice is asked for; the search ends by its nodes, so that the same question has the same answer."""
        return Policy(
            hours=self.hours,
            operation_cost_kwh=self.operation_cost_kwh,
            least_saving_kwh=self.least_saving_kwh,
            hold_off_s=self.hold_off_s,
            most_per_device=self.most_per_device,
            most_operations=self.most_operations,
            trust=Trust(fresh_s=self.fresh_s, least_observed=self.least_observed),
        )

    @property
    def needed(self) -> int:
        """Approvals that a proposal takes."""
        return 2 if self.four_eyes else 1


def settings_of(raw: Any) -> Settings:
    """Settings of a JSON object.

    Raises
    ------
    DataError
        With everything that is wrong in it.
    """
    try:
        return Settings.model_validate(raw)
    except ValidationError as error:
        bad = [f"{'.'.join(map(str, one['loc'])) or 'settings'}: {one['msg']}" for one in error.errors()]
        raise DataError("settings", bad) from None

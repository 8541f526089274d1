"""What is out of order on a feeder, in the database: told by telemetry or a person, or supposed after a trip.

A switch that opens by itself and leaves load in the dark makes people ask where the fault is. Until somebody tells, it
is *supposed* at the branch of that switch: a point of the quantity ``fault`` with doubtful quality. It keeps everybody
from closing there, is over when the switch closes again (automatic reclosing), and gives way to a place that is told.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from learnopt.network import Bools, Network
from learnopt.service import alarms, standing
from learnopt.service.audit import record
from learnopt.service.database import LatestValue
from learnopt.studies.operation.faults import dark_parts, fault_of, parts_of_fault
from learnopt.studies.operation.measurements import Point, Quality, Quantity, point_of

SUPPOSED = "learnopt"
"""Source of a fault that nobody has told."""


def standing_faults(session: Session, feeder: str) -> dict[str, LatestValue]:
    """Rows of what is out of order, by their points."""
    found = select(LatestValue).where(
        LatestValue.feeder == feeder, LatestValue.point.endswith(f":{Quantity.FAULT.value}"), LatestValue.value == 1
    )
    return {one.point: one for one in session.scalars(found.order_by(LatestValue.point))}


def after_moves(session: Session, feeder: str, network: Network, moved: Mapping[int, bool], now: datetime) -> None:
    """Suppose a fault where a switch has opened by itself and load is in the dark; forget one that has closed again.

    Parameters
    ----------
    moved
        Branches that no step asked to move, and whether they are closed now.
    """
    closed = _closed(session, feeder, network)
    for e, is_closed in moved.items():
        row = session.get(LatestValue, (feeder, Point("branch", e, Quantity.FAULT).text(network)))
        if is_closed and row is not None and row.value == 1 and row.source == SUPPOSED:
            _over(session, feeder, row, now, "its switch has closed again")
    parts = dark_parts(network, closed)
    known = parts_of_fault(network, closed, fault_of(_points(session, feeder, network)))
    for e in (e for e, is_closed in moved.items() if not is_closed):
        at = int(parts[network.from_bus[e]]), int(parts[network.to_bus[e]])
        dark = [part for part in at if part >= 0 and part not in known]
        if len(dark) != 1 or at[0] == at[1]:  # it parts nobody from a supply, or the fault is told already
            continue
        load = (parts == dark[0]) & ((network.p_load != 0) | (network.q_load != 0))
        if load.any():
            point = Point("branch", e, Quantity.FAULT).text(network)
            seen = session.get_one(LatestValue, (feeder, Point("branch", e, Quantity.CLOSED).text(network))).time
            told = {"value": 1.0, "time": seen, "quality": Quality.DOUBTFUL.value, "source": SUPPOSED}
            session.merge(LatestValue(feeder=feeder, point=point, **told))
            record(session, SUPPOSED, "fault supposed", feeder=feeder, point=point)
            what = f"branch {network.branch_ids[e]} has opened by itself: load is in the dark, the fault is not located"
            alarms.alarm(session, feeder, "trip", what, now)


def after_told(session: Session, feeder: str, network: Network, source: str, now: datetime) -> None:
    """A fault that was told takes the place of those that were supposed for the same part of the feeder."""
    rows = standing_faults(session, feeder)
    record(session, source, "faults told", feeder=feeder, points=[f"{p} ({r.quality})" for p, r in rows.items()])
    closed = _closed(session, feeder, network)
    told = fault_of(point_of(p, network) for p, row in rows.items() if row.source != SUPPOSED)
    known = parts_of_fault(network, closed, told)
    parts = dark_parts(network, closed)
    for point, row in rows.items():
        e = point_of(point, network).place
        if row.source == SUPPOSED and {int(parts[network.from_bus[e]]), int(parts[network.to_bus[e]])} & known:
            _over(session, feeder, row, now, "the fault is located elsewhere")
    if all(row.source != SUPPOSED for row in standing_faults(session, feeder).values()):
        alarms.clear(session, feeder, "trip", now)


def _over(session: Session, feeder: str, row: LatestValue, now: datetime, why: str) -> None:
    row.value, row.time = 0.0, max(now, row.time)
    record(session, SUPPOSED, "fault over", feeder=feeder, point=row.point, why=why)
    session.flush()
    alarms.clear(session, feeder, "trip", now)


def _points(session: Session, feeder: str, network: Network) -> list[Point]:
    return [point_of(point, network) for point in standing_faults(session, feeder)]


def _closed(session: Session, feeder: str, network: Network) -> Bools:
    """Switches as they were last seen, and as in the normal state where they were not."""
    session.flush()
    closed: Bools = network.normal_configuration.closed.copy()
    for branch, one in standing.switches(session, feeder, Quantity.CLOSED).items():
        closed[network.branch_index[branch]] = one.value == 1
    return np.asarray(closed)

"""The web application around a room."""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, RedirectResponse
from sqlalchemy import func, select
from sqlalchemy.exc import DataError as InputError
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.staticfiles import StaticFiles

from learnopt._version import __version__
from learnopt.errors import LearnoptError
from learnopt.service import pages, rest
from learnopt.service.access import RoomHere, Viewer
from learnopt.service.database import Alarm, Cycle, Feeder
from learnopt.service.gate import Gate, Limiter
from learnopt.service.proposals import AbsentError
from learnopt.service.review import RefusedError
from learnopt.service.room import Room
from learnopt.service.worker import WorkerError

STUCK_S = 120.0
"""A room whose loop has not looked for so long is not ready."""


def application(room: Room, *, tls: bool = False, demo: str = "", rate: float = 200.0) -> FastAPI:
    """The application; whoever runs it starts and stops the room.

    Parameters
    ----------
    tls
        It is reached over TLS, by itself or by a proxy.
    demo
        A sentence that every page shows.
    rate
        Requests a second of one person or program, five times as many at once.
    """
    stopping = threading.Event()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        stopping.set()

    app = FastAPI(
        title="learnopt control room",
        version=__version__,
        description="Measurements in, proposals out, reviewed by people. Nothing here writes to a plant.",
        openapi_url="/api/openapi.json",
        docs_url=None,  # it would load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.room, app.state.stopping, app.state.demo, app.state.tls = room, stopping, demo, tls
    app.state.limits = Limiter(20.0, 100.0), Limiter(rate, 5 * rate)
    app.state.logins = Limiter(0.1, 5.0), Limiter(1.0, 30.0)  # of one name, from one address
    app.include_router(rest.router)
    app.include_router(pages.router)
    _add_health(app, room)
    _add_errors(app)
    app.mount("/static", StaticFiles(directory=str(files("learnopt.service").joinpath("static"))))
    app.add_middleware(Gate, metrics=room.metrics, tls=tls)
    return app


def _add_health(app: FastAPI, room: Room) -> None:
    @app.get("/health", tags=["operation"])
    def health() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok", "version": __version__}

    @app.get("/ready", tags=["operation"], responses={503: {"description": "Not ready"}})
    def ready(response: Response) -> dict[str, str]:
        """The database answers, and the loop of the cycles goes round."""
        try:
            with room.database.read() as session:
                session.scalar(select(func.count()).select_from(Feeder))
        except SQLAlchemyError:
            response.status_code = 503
            return {"status": "the database does not answer"}
        if not room.running or (room.started and time.monotonic() - room.ticked > STUCK_S):
            response.status_code = 503
            return {"status": "the cycles stand still"}
        return {"status": "ok"}

    @app.get("/metrics", tags=["operation"], response_class=PlainTextResponse)
    def metrics(here: RoomHere, who: Viewer) -> PlainTextResponse:
        """Figures for Prometheus."""
        with here.database.read() as session:
            counted = select(Alarm.feeder, func.count()).where(Alarm.cleared.is_(None)).group_by(Alarm.feeder)
            alarms = dict(session.execute(counted).tuples().all())
            for name in session.scalars(select(Feeder.name)):
                here.metrics.set("learnopt_alarms", alarms.get(name, 0), feeder=name)
            saved = select(Cycle.feeder, func.sum(Cycle.saved_kwh)).group_by(Cycle.feeder)
            for name, kwh in session.execute(saved):
                here.metrics.set("learnopt_saved_kwh", kwh, feeder=name)
        here.metrics.set("learnopt_pages", here.bulletin.readers)
        return PlainTextResponse(here.metrics.text(), media_type="text/plain; version=0.0.4")


def _add_errors(app: FastAPI) -> None:
    """Sentences, and never a traceback."""

    @app.exception_handler(LearnoptError)
    def _(request: Request, error: LearnoptError) -> JSONResponse:
        known = ((AbsentError, 404), (RefusedError, 409), (WorkerError, 503))
        status = next((code for kind, code in known if isinstance(error, kind)), 422)
        return rest.problem(status, error.messages)

    @app.exception_handler(RequestValidationError)
    def _(request: Request, error: RequestValidationError) -> JSONResponse:
        return rest.problem(422, [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()[:50]])

    @app.exception_handler(AnyHTTPException)
    def _(request: Request, error: HTTPException) -> JSONResponse:
        return rest.problem(error.status_code, [str(error.detail)], dict(error.headers or {}))

    @app.exception_handler(InputError)
    def _(request: Request, error: InputError) -> JSONResponse:
        return rest.problem(422, ["the database cannot hold a value that was given"])

    @app.exception_handler(SQLAlchemyError)
    def _(request: Request, error: SQLAlchemyError) -> JSONResponse:
        return rest.problem(503, ["the database does not answer; try again"], {"Retry-After": "5"})

    @app.exception_handler(pages.LoginNeeded)
    def _(request: Request, error: pages.LoginNeeded) -> RedirectResponse:
        return RedirectResponse("/login", 303)

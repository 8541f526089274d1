"""The pages, made here whole: they work without a network beyond this server, and mostly without scripts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from importlib.resources import files
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Form, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse, StreamingResponse
from fastapi.templating import Jinja2Templates
from sqlalchemy import select

from learnopt.errors import LearnoptError
from learnopt.report.kit.numbers import number
from learnopt.service import audit, memory, people, proposals, views
from learnopt.service.access import COOKIE, RoomHere, Viewer, address, check_csrf, check_own_form, known
from learnopt.service.database import Alarm, Cycle, Feeder, Proposal
from learnopt.service.people import Identity, Role
from learnopt.service.rest import Name, Number, refuse
from learnopt.service.room import Room

router = APIRouter(include_in_schema=False)
HERE = files("learnopt.service")
templates = Jinja2Templates(str(HERE.joinpath("templates")))
_ALIVE_S = 20.0
"""A stream of news says at least so often that it is alive."""
_LISTED = 200

_MOST = "no radial state within the limits saves more than {most} in these hours, its operations taken off."
PROOFS = {
    "ac": f"Proven with the AC power flow: {_MOST}",
    "model": f"Proven in a relaxed model of the network: {_MOST}",
    "none": "Not proven: a better state may exist. The figures of this one are those of the AC power flow.",
}
STATES = {
    "draft": "Draft",
    "proposed": "Waits for approval",
    "approved": "Approved, not begun",
    "executing": "Being carried out",
    "returning": "On the way back",
    "done": "Done",
    "rejected": "Rejected",
    "aborted": "Aborted, back at the start",
    "expired": "Expired",
}


def _when(time: datetime | None) -> str:
    return "" if time is None else time.strftime("%Y-%m-%d %H:%M:%S UTC")


def _figure(value: float | None, unit: str = "") -> str:
    return "–" if value is None else f"{number(value)}\u00a0{unit}".rstrip("\u00a0")


def _range(least: float | None, most: float | None, unit: str) -> str:
    """From one to another, "" where people would read the same number twice."""
    if least is None or most is None or number(least) == number(most):
        return ""
    return f"{_figure(least)} to {_figure(most, unit)}"


templates.env.filters |= {"when": _when, "figure": _figure}
templates.env.globals |= {"PROOFS": PROOFS, "STATES": STATES, "span": _range}


class LoginNeeded(Exception):  # noqa: N818 - not an error: the answer is the login page
    """A page was asked for by nobody in particular."""


def reader(who: Annotated[Identity | None, Depends(known)]) -> Identity:
    """Somebody who may look."""
    if who is None:
        raise LoginNeeded
    if not who.may(Role.VIEWER):
        raise HTTPException(403, "this token may not look at pages")
    return who


Reader = Annotated[Identity, Depends(reader)]


def _page(request: Request, name: str, who: Identity | None, status: int = 200, **shown: Any) -> HTMLResponse:
    room: Room = request.app.state.room
    common = {
        "who": who,
        "now": room.clock.now(),
        "operator": who is not None and who.may(Role.OPERATOR),
        "demo": request.app.state.demo,
    }
    return templates.TemplateResponse(request, name, common | shown, status)


@router.get("/login")
def login_page(request: Request) -> HTMLResponse:
    """Name and password."""
    return _page(request, "login.html", None, wrong=False)


@router.post("/login")
def log_in(
    request: Request,
    room: RoomHere,
    name: Annotated[str, Form(max_length=80)],
    password: Annotated[str, Form(max_length=200)],
) -> Response:
    """Begin a session. Guessing is slow: a few tries for every name and every address."""
    check_own_form(request)
    named, placed = request.app.state.logins
    if max(named.wait_s(name), placed.wait_s(address(request))) > 0:
        return _page(request, "login.html", None, 429, wrong="Too many tries. Wait a minute.")
    key = people.log_in(room.database, name, password)
    if key is None:
        room.metrics.add("learnopt_refused_logins_total")
        return _page(request, "login.html", None, 401, wrong="Name or password is wrong.")
    answer = RedirectResponse("/", 303)
    lasts = int(people.SESSION.total_seconds())
    answer.set_cookie(COOKIE, key, lasts, httponly=True, samesite="strict", secure=request.app.state.tls)
    return answer


@router.post("/logout")
def log_out(request: Request, room: RoomHere, who: Reader, csrf: Annotated[str, Form(max_length=200)] = "") -> Response:
    """End the session."""
    check_csrf(who, csrf)
    people.log_out(room.database, request.cookies.get(COOKIE, ""))
    answer = RedirectResponse("/login", 303)
    answer.delete_cookie(COOKIE)
    return answer


@router.get("/")
def home(request: Request, room: RoomHere, who: Reader) -> HTMLResponse:
    """All feeders."""
    return _page(request, "home.html", who, **_home(room))


@router.get("/live")
def home_live(request: Request, room: RoomHere, who: Reader) -> HTMLResponse:
    """The part of it that changes."""
    return _page(request, "_home.html", who, **_home(room))


def _home(room: Room) -> dict[str, Any]:
    with room.database.read() as session:
        found = [views.feeder_view(session, one) for one in session.scalars(select(Feeder).order_by(Feeder.name))]
    return {"feeders": found}


@router.get("/feeders/{name}")
def feeder(request: Request, room: RoomHere, who: Reader, name: str) -> HTMLResponse:
    """A feeder: figures, proposal, alarms, diagram, history."""
    return _page(request, "feeder.html", who, **_feeder(room, name))


@router.get("/feeders/{name}/live")
def feeder_live(request: Request, room: RoomHere, who: Reader, name: str) -> HTMLResponse:
    """The part of it that changes."""
    return _page(request, "_feeder.html", who, **_feeder(room, name))


def _feeder(room: Room, name: str) -> dict[str, Any]:
    with room.database.read() as session:
        found = views.feeder_view(session, memory.feeder_of(session, name))
        ended = select(Proposal).where(Proposal.feeder == name).order_by(Proposal.id.desc()).limit(10)
        history = [views.proposal_view(session, one) for one in session.scalars(ended)]
    return {"feeder": found, "proposal": found.proposal, "history": history}


@router.get("/feeders/{name}/diagram")
def diagram(room: RoomHere, who: Reader, name: str) -> HTMLResponse:
    """The one-line diagram of the last cycle, beside the proposed state where there is one."""
    with room.database.read() as session:
        memory.feeder_of(session, name)
        last = views.last_cycle(session, name)
        active = proposals.open_proposal(session, name)
        if last is None:
            return HTMLResponse("<p>No cycle yet.</p>")
        waiting = active is not None and active.state in ("proposed", "approved")
        shown = session.get_one(Cycle, active.cycle) if active is not None and waiting else last
        return HTMLResponse(room.picture(session, shown, waiting))


@router.get("/proposals/{number}")
def proposal(request: Request, room: RoomHere, who: Reader, number: Number) -> HTMLResponse:
    """A proposal for itself."""
    return _page(request, "proposal.html", who, **_proposal(room, number))


@router.get("/proposals/{number}/live")
def proposal_live(request: Request, room: RoomHere, who: Reader, number: Number) -> HTMLResponse:
    """The part of it that changes."""
    return _page(request, "_proposal.html", who, **_proposal(room, number))


def _proposal(room: Room, number: int) -> dict[str, Any]:
    with room.database.read() as session:
        return {"proposal": views.proposal_view(session, proposals.proposal_of(session, number))}


@router.get("/audit")
def trail(request: Request, room: RoomHere, who: Reader) -> HTMLResponse:
    """The last lines of the audit trail, and whether the chain is whole."""
    with room.database.read() as session:
        found = room.chain.verify(session)
        lines = [audit.line_of(one) for one in audit.entries(session, max(found.lines - _LISTED, 0))]
    return _page(request, "audit.html", who, found=found, lines=lines[::-1])


@router.get("/alarms")
def alarms(request: Request, room: RoomHere, who: Reader) -> HTMLResponse:
    """Alarms of all feeders, also those that are over."""
    with room.database.read() as session:
        found = views.alarm_views(session.scalars(select(Alarm).order_by(Alarm.id.desc()).limit(_LISTED)))
    return _page(request, "alarms.html", who, alarms=found)


@router.get("/drawing/{name}")
def drawing(name: str) -> Response:
    """Script and style of the diagrams, those of the reports."""
    kinds = {"sheet.js": "text/javascript", "report.css": "text/css"}
    if name not in kinds:
        raise HTTPException(404, "there is no such file")
    text = files("learnopt.report.kit").joinpath(name).read_text(encoding="utf-8")
    return Response(text, media_type=kinds[name], headers={"cache-control": "max-age=3600"})


Word = Annotated[str, Form(max_length=200)]


def _act(request: Request, who: Identity, csrf: str, back: str, act: Callable[[], object]) -> Response:
    """Do what a button asks for, and show the page again; what was refused is said on a page of its own."""
    if not who.may(Role.OPERATOR):
        raise HTTPException(403, f"{who.name} is {who.role.value}; this takes the role operator")
    check_csrf(who, csrf)
    try:
        act()
    except LearnoptError as error:
        return _page(request, "refused.html", who, 409, sentences=error.messages, back=back)
    return RedirectResponse(back, 303)


@router.post("/proposals/{number}/{what}")
def decide(
    request: Request,
    room: RoomHere,
    who: Reader,
    number: Number,
    what: str,
    csrf: Word = "",
    reason: Annotated[str, Form(max_length=500)] = "",
    step: Annotated[int, Form()] = 0,
) -> Response:
    """Buttons of a proposal."""
    acts: dict[str, Callable[[], object]] = {
        "approve": lambda: room.approve(number, who.name),
        "reject": lambda: room.reject(number, who.name, reason),
        "begin": lambda: refuse(room.begin(number, who.name)),
        "confirm": lambda: room.confirm(number, step, who.name),
        "abort": lambda: room.abort(number, who.name, reason),
        "leave": lambda: room.leave(number, who.name, reason),
    }
    if what not in acts:
        raise HTTPException(404, "there is no such button")
    return _act(request, who, csrf, f"/proposals/{number}", acts[what])


@router.post("/feeders/{name}/fault")
def tell_fault(
    request: Request, room: RoomHere, who: Reader, name: Name, place: Word = "", there: Word = "", csrf: Word = ""
) -> Response:
    """Somebody says where a fault is, or that it is repaired."""
    return _act(
        request, who, csrf, f"/feeders/{name}", lambda: room.tell_fault(name, place.strip(), there == "yes", who.name)
    )


@router.post("/alarms/{number}/acknowledge")
def acknowledge(request: Request, room: RoomHere, who: Reader, number: Number, csrf: Word = "") -> Response:
    """An alarm was seen."""
    return _act(request, who, csrf, "/alarms", lambda: room.acknowledge(number, who.name))


@router.get("/events")
async def events(request: Request, room: RoomHere, who: Viewer) -> StreamingResponse:
    """News as server-sent events: the name of a feeder where something has changed."""

    async def stream() -> AsyncIterator[str]:
        yield "retry: 2000\n\n"
        with room.bulletin.reading() as news:
            while not request.app.state.stopping.is_set() and not await request.is_disconnected():
                try:
                    name = await asyncio.wait_for(news.get(), min(_ALIVE_S, 1.0))
                    yield f"data: {name}\n\n"
                except TimeoutError:
                    yield ": alive\n\n"

    return StreamingResponse(stream(), media_type="text/event-stream", headers={"x-accel-buffering": "no"})

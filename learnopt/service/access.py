"""Who asks, and whether they may: every route depends on one of these."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request

from learnopt.service.gate import Limiter
from learnopt.service.people import Identity, Role, of_session, of_token
from learnopt.service.room import Room

COOKIE = "learnopt_session"
SAFE = ("GET", "HEAD", "OPTIONS")
CSRF_HEADER = "x-csrf-token"


def room_of(request: Request) -> Room:
    """The room that this application serves."""
    room: Room = request.app.state.room
    return room


RoomHere = Annotated[Room, Depends(room_of)]


def known(request: Request) -> Identity | None:
    """Who asks: by the key of a program, or by the session of a browser; None where neither is valid.

    Raises
    ------
    HTTPException
        429 where they ask too much.
    """
    room, found = room_of(request), None
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        found = of_token(room.database, key.strip())
        if found is None:
            room.metrics.add("learnopt_refused_logins_total")
    elif cookie := request.cookies.get(COOKIE):
        found = of_session(room.database, cookie)
    limits: tuple[Limiter, Limiter] = request.app.state.limits
    wait = limits[0].wait_s(address(request)) if found is None else limits[1].wait_s(found.name)
    if wait > 0:
        raise HTTPException(429, "too many requests", {"Retry-After": str(int(wait) + 1)})
    return found


def address(request: Request) -> str:
    """Where a request comes from."""
    return request.client.host if request.client else "nowhere"


def needs(role: Role) -> Callable[..., Any]:
    """Somebody with this role; a change that comes from a browser bears the word that only our own pages know."""

    def allowed(request: Request, who: Annotated[Identity | None, Depends(known)]) -> Identity:
        if who is None:
            raise HTTPException(401, "log in, or send a token", {"WWW-Authenticate": "Bearer"})
        if not who.may(role):
            raise HTTPException(403, f"{who.name} is {who.role.value}; this takes the role {role.value}")
        if request.method not in SAFE and who.csrf is not None:
            check_csrf(who, request.headers.get(CSRF_HEADER, ""))
        return who

    return allowed


def check_csrf(who: Identity, given: str) -> None:
    """Refuse what another site makes a browser send.

    Raises
    ------
    HTTPException
        403 where the word is missing or wrong.
    """
    if who.csrf is None or not hmac.compare_digest(who.csrf.encode(), given.encode()):
        raise HTTPException(403, "this did not come from a page of the service: load the page again")


Source = Annotated[Identity, Depends(needs(Role.SOURCE))]
Viewer = Annotated[Identity, Depends(needs(Role.VIEWER))]
Operator = Annotated[Identity, Depends(needs(Role.OPERATOR))]
Admin = Annotated[Identity, Depends(needs(Role.ADMIN))]


def check_own_form(request: Request) -> None:
    """A form without a session yet, as the one to log in, comes from a page of this service.

    Browsers say where a request comes from (Fetch Metadata, W3C), whatever name a proxy gives the service; other
    programs say nothing.

    Raises
    ------
    HTTPException
        403 where another site has sent it.
    """
    if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        raise HTTPException(403, "this form was sent by another site: open the page of the service itself")

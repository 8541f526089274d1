"""The interface from outside: who may do what, what is refused, and what every answer carries."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from control_room import Made, make
from fastapi.testclient import TestClient

from learnopt.service import people
from learnopt.service.app import application
from learnopt.service.gate import LARGEST, Limiter
from learnopt.service.people import Role

PASSWORD = "correct horse battery"


class Served:
    """A room behind its application, and a key for each role."""

    def __init__(self, made: Made) -> None:
        self.made = made
        self.app = application(made.room)
        self.app.state.logins = Limiter(100.0, 100.0), Limiter(100.0, 100.0)
        self.keys = {}
        with made.room.database.write() as session:
            for role in Role:
                self.keys[role] = people.add_token(session, f"program-{role}", role, "console")
            people.add_user(session, "anna", PASSWORD, Role.OPERATOR, "console")

    def client(self, role: Role | None = None) -> TestClient:
        """A program of this role, or nobody."""
        headers = {} if role is None else {"Authorization": f"Bearer {self.keys[role]}"}
        return TestClient(self.app, headers=headers, raise_server_exceptions=False)

    def browser(self, name: str = "anna") -> TestClient:
        """Somebody who has logged in."""
        client = self.client()
        assert client.post("/login", data={"name": name, "password": PASSWORD}).url.path == "/"
        return client


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = make(tmp_path_factory.mktemp("rest"), cycle_s=3600)
    made.measured(5)
    yield Served(made)
    made.room.database.close()


def routes(served: Served) -> list[tuple[str, str]]:
    """Every route of the interface, with a number or a name where it takes one."""
    found = []
    for path, methods in served.app.openapi()["paths"].items():
        for method in methods:
            found.append((method, path.replace("{name}", "case33").replace("{number}", "1").replace("{step}", "1")))
    return found


def test_nobody_gets_anything(served: Served) -> None:
    """No route but health answers without a key, with a wrong one, or with that of nobody; pages ask to log in."""
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Cookie": "learnopt_session=wrong"}):
        client = TestClient(served.app, headers=headers)
        for method, path in routes(served):
            status = client.request(method, path).status_code
            assert status == (200 if path in ("/health", "/ready") else 401), (method, path)
        for page in ("/", "/live", "/feeders/case33", "/feeders/case33/diagram", "/proposals/1", "/audit", "/alarms"):
            answer = client.get(page, follow_redirects=False)
            assert (answer.status_code, answer.headers["location"]) == (303, "/login"), page
        assert client.post("/proposals/1/approve", follow_redirects=False).status_code == 303
    assert served.made.state(1) == "proposed"


def test_roles(served: Served) -> None:
    """What each may not do is refused before anything is looked at."""
    least = {"users": Role.ADMIN, "tokens": Role.ADMIN, "measurements": Role.SOURCE}
    for method, path in routes(served):
        if path in ("/health", "/ready"):
            continue
        parts = path.split("/")
        last = parts[-1] if len(parts) > 4 else parts[min(2, len(parts) - 1)]
        needed = least.get(last, Role.OPERATOR if method == "post" else Role.VIEWER)
        if (path == "/api/feeders" and method == "post") or method == "patch":
            needed = Role.ADMIN
        for role in Role:
            may = people.Identity("x", role).may(needed)
            if not may:
                answer = served.client(role).request(method, path, json={})
                assert answer.status_code == 403, (method, path, role, answer.text)
    assert served.made.state(1) == "proposed"


def test_pages_carry_the_word_that_changes_need(served: Served) -> None:
    """Without it, or with that of another session, nothing happens; with it the button works once."""
    browser, other = served.browser(), served.browser()
    page = browser.get("/proposals/1").text
    csrf = page.split('name="csrf" value="')[1].split('"')[0]
    theirs = other.get("/proposals/1").text.split('name="csrf" value="')[1].split('"')[0]
    assert csrf != theirs
    for word in ("", "wrong", theirs):
        assert browser.post("/proposals/1/approve", data={"csrf": word}).status_code == 403
        assert browser.post("/api/proposals/1/approve", headers={"x-csrf-token": word}).status_code == 403
    assert served.made.state(1) == "proposed"
    assert browser.post("/proposals/1/frobnicate", data={"csrf": csrf}).status_code == 404
    refused = browser.post("/proposals/1/begin", data={"csrf": csrf})
    assert refused.status_code == 409
    assert "would have to be approved" in refused.text
    browser.post("/logout", data={"csrf": csrf})
    assert browser.get("/", follow_redirects=False).status_code == 303


def test_what_every_answer_carries(served: Served) -> None:
    """Also refusals, redirects and files."""
    client = served.client()
    for path in ("/", "/login", "/api/feeders", "/nowhere", "/static/room.js", "/static/../app.py", "/health"):
        headers = client.get(path, follow_redirects=False).headers
        assert "script-src 'self';" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers
    cookie = client.post("/login", data={"name": "anna", "password": PASSWORD}, follow_redirects=False).headers
    assert "HttpOnly" in cookie["set-cookie"]
    assert "SameSite=strict" in cookie["set-cookie"]
    pages = [served.browser().get(page).text for page in ("/", "/feeders/case33", "/proposals/1", "/audit")]
    assert not any(word in page for page in pages for word in ("http://", "https://", "onclick", "<script>"))


def test_another_site_logs_nobody_in(served: Served) -> None:
    """Its form could put a person into a session that is not theirs; browsers tell where a form comes from."""
    form = {"name": "anna", "password": PASSWORD}
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 303), ("none", 303)):
        headers = {"Sec-Fetch-Site": site}
        answer = served.client().post("/login", data=form, headers=headers, follow_redirects=False)
        assert (answer.status_code, "set-cookie" in answer.headers) == (status, status == 303), site


def test_guessing_is_slow(served: Served) -> None:
    """A few tries, then a wait; whether the name exists is not told."""
    app = application(served.made.room)
    client = TestClient(app)
    told = set()
    for name in ("anna", "nobody"):
        answer = client.post("/login", data={"name": name, "password": "guess"})
        told.add((answer.status_code, "wrong" in answer.text))
    assert told == {(401, True)}
    statuses = [client.post("/login", data={"name": "anna", "password": "guess"}).status_code for _ in range(6)]
    assert statuses[-1] == 429
    assert client.post("/login", data={"name": "anna", "password": PASSWORD}).status_code == 429


def test_a_limiter_gives_what_it_promises() -> None:
    """So many at once, so many a second, for each key apart."""
    now = [0.0]
    limiter = Limiter(rate=2.0, burst=3.0, clock=lambda: now[0])
    assert [limiter.wait_s("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    assert limiter.wait_s("b") == 0.0
    now[0] = 0.5
    assert [limiter.wait_s("a") for _ in range(2)] == [0.0, 0.5]
    now[0] = 100.0
    assert [limiter.wait_s("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]


def test_too_much_is_refused(served: Served) -> None:
    """By the declared length, and by what comes where none is declared."""
    client = served.client(Role.SOURCE)
    path = "/api/feeders/case33/measurements"
    assert client.post(path, content=b"x" * (LARGEST + 1)).status_code == 413

    def parts() -> Iterator[bytes]:
        for _ in range(20):
            yield b"x" * (LARGEST // 10)

    assert client.post(path, content=parts()).status_code == 413
    assert client.post(path, json={"measurements": [1] * 20_001}).status_code == 422


def test_measurements_come_in(served: Served) -> None:
    """The right ones are taken, the wrong ones told, late ones change nothing."""
    client, time = served.client(Role.SOURCE), served.made.clock.on(seconds=1).isoformat()
    good = {"point": "bus:7:p_kw", "value": 201.0, "time": time}
    batch = [good, {**good, "point": "bus:99:p_kw"}, {**good, "value": 1e99}, {**good, "time": "2020-01-01T00:00:00Z"}]
    answer = client.post("/api/feeders/case33/measurements", json={"measurements": batch})
    assert answer.status_code == 207
    assert (answer.json()["taken"], answer.json()["old"]) == (1, 1)
    assert ["'99'" in one for one in answer.json()["refused"]] == [True, False]
    again = client.post("/api/feeders/case33/measurements", json={"measurements": [good]})
    assert (again.status_code, again.json()["old"]) == (200, 1)
    assert client.post("/api/feeders/nowhere/measurements", json={"measurements": []}).status_code == 404


def test_a_feeder_is_added_by_its_content(served: Served) -> None:
    """Its file is checked; paths of files here are none of its names."""
    client = served.client(Role.ADMIN)
    case = json.loads((Path(__file__).parents[2] / "datasets/cases/case33.json").read_text(encoding="utf-8"))
    made = client.post("/api/feeders", json={"name": "uploaded", "content": case, "settings": {"mode": "study"}})
    assert made.status_code == 201, made.text
    assert client.post("/api/feeders", json={"name": "uploaded", "content": case}).status_code == 409
    del case["buses"]
    bad = client.post("/api/feeders", json={"name": "bad", "content": case})
    assert (bad.status_code, "buses" in bad.text) == (422, True)
    for name in ("/etc/passwd", "../case33", "simbench:x"):
        assert client.post("/api/feeders", json={"name": "bad", "case": name}).status_code == 409
    assert client.patch("/api/feeders/uploaded", json={"cycle_s": -1}).status_code == 422
    assert client.patch("/api/feeders/uploaded", json={"frobnicate": 1}).status_code == 422
    changed = client.patch("/api/feeders/uploaded", json={"mode": "advisory", "cycle_s": 86400}).json()
    assert changed["settings"]["mode"] == "advisory"


def test_people_and_tokens(served: Served) -> None:
    """Added, removed, refused; hashes only in the database; sessions of the removed end."""
    admin = served.client(Role.ADMIN)
    new = {"name": "ben", "password": PASSWORD, "role": "viewer"}
    assert admin.post("/api/users", json=new).status_code == 204
    browser = served.browser("ben")
    assert browser.get("/").status_code == 200
    assert browser.get("/proposals/1").text.count("<button") == 1  # log out
    csrf = browser.get("/").text.split('name="csrf" value="')[1].split('"')[0]
    assert browser.post("/proposals/1/approve", data={"csrf": csrf}).status_code == 403
    assert admin.delete("/api/users/ben").status_code == 204
    assert browser.get("/", follow_redirects=False).status_code == 303
    for wrong in ({"name": "automatic"}, {"password": "short"}, {"role": "source"}, {"role": "god"}, {"name": "a b"}):
        assert admin.post("/api/users", json={**new, **wrong}).status_code == 422
    made = admin.post("/api/tokens", json={"name": "meter", "role": "source"}).json()
    program = TestClient(served.app, headers={"Authorization": f"Bearer {made['key']}"})
    assert program.post("/api/feeders/case33/measurements", json={"measurements": []}).status_code == 200
    assert program.get("/api/feeders").status_code == 403
    assert admin.delete("/api/tokens/meter").status_code == 204
    assert program.post("/api/feeders/case33/measurements", json={"measurements": []}).status_code == 401
    with served.made.room.database.engine.connect() as connection:
        dump = "".join(str(row) for row in connection.connection.dbapi_connection.iterdump())  # type: ignore[union-attr]
    assert PASSWORD not in dump
    assert made["key"] not in dump


def test_any_input_is_answered(served: Served) -> None:
    """Bodies and numbers of every kind on every route: never a 500, and the chain stays whole."""
    draw = random.Random(3)
    client = served.client(Role.ADMIN)
    values: list[Any] = [None, True, -1, 0, 2**40, 1e300, "", "x" * 3000, "\x00", [], {}, [[]], {"reason": 1}, "2026"]
    keys = ["reason", "name", "case", "content", "settings", "measurements", "password", "role", "mode", "guard"]
    for method, path in routes(served):
        if "abort" in path or "reject" in path:
            continue
        deep = client.request(method, path, content=b"[" * 900 + b"]" * 900)
        assert deep.status_code < 500, (method, path, deep.text)
        for _ in range(6):
            body = draw.choice([{k: draw.choice(values) for k in draw.sample(keys, 3)}, draw.choice(values)])
            odd = path.replace("/1", f"/{draw.choice(['1', '0', '-1', '99999999999', 'x', '%00'])}")
            odd = odd.replace("case33", draw.choice(["case33", "%00", "..%2f..", "x" * 500]))
            answer = client.request(method, odd, json=body)
            assert answer.status_code < 500, (method, odd, body, answer.text)
    nested: Any = 1
    for _ in range(900):
        nested = [nested]
    for odd in ({"measurements": [nested]}, {"measurements": [{"point": nested}]}):
        answer = client.post("/api/feeders/case33/measurements", content=str(odd).replace("'", '"'))
        assert answer.status_code < 500, answer.text
    browser = served.browser()
    for page in ("/proposals/99999999999999999999", "/proposals/x/live", "/feeders/%00", "/drawing/%2e%2e"):
        assert browser.get(page).status_code in (404, 422)
    assert client.get("/api/audit/verify").json()["broken_at"] is None
    assert served.made.state(1) in ("proposed", "approved", "executing")


def test_openapi_metrics_and_trail(served: Served) -> None:
    """Documented, counted, exported."""
    viewer = served.client(Role.VIEWER)
    spec = viewer.get("/api/openapi.json").json()
    for path, methods in spec["paths"].items():
        for method, one in methods.items():
            assert one["description"], (method, path)
    metrics = viewer.get("/metrics").text
    assert 'learnopt_cycles_total{feeder="case33",verdict="propose"} 1' in metrics
    assert 'learnopt_cycle_seconds_bucket{le="+Inf"} 1' in metrics
    lines = [json.loads(line) for line in viewer.get("/api/audit/export").text.splitlines()]
    assert [one["number"] for one in lines] == list(range(1, len(lines) + 1))
    assert viewer.get("/api/audit?after=2&most=3").json() == lines[2:5]
    assert viewer.get("/api/audit/verify").json()["last"] == lines[-1]["hash"]
    assert viewer.get("/ready").json()["status"] == "ok"

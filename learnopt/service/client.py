"""The interface from Python: what the service answers, as types; nothing but the standard library to ask it.

.. code-block:: python

    room = Client("http://127.0.0.1:8000", token="learnopt_...")
    room.send("riverbend", [{"point": "bus:N3:p_kw", "value": 310.0, "time": "2026-01-31T12:00:00Z"}])
    for proposal in room.proposals(feeder="riverbend", state="proposed"):
        room.approve(proposal.id)
"""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter

from learnopt.errors import LearnoptError
from learnopt.service.schema import (
    AlarmView,
    AuditLine,
    ChainView,
    CycleView,
    FeederView,
    ProposalView,
    TakenView,
    TokenKey,
)

_View = TypeVar("_View", bound=BaseModel)


class AnswerError(LearnoptError):
    """The service refused, or did not answer; ``status`` is that of HTTP, 0 where there was no answer."""

    def __init__(self, reason: str, status: int = 0) -> None:
        self.status = status
        super().__init__(reason)


class Client:
    """One service, asked by one program or person.

    Parameters
    ----------
    url
        For instance ``http://127.0.0.1:8000``.
    token
        Key of a program (``learnopt service token NAME --role operator``).
    timeout_s
        Longest wait for an answer.
    """

    def __init__(self, url: str, token: str, timeout_s: float = 60.0) -> None:
        if not url.startswith(("http://", "https://")):
            raise AnswerError(f"{url!r} must begin with http:// or https://")
        self._url, self._token, self._timeout = url.rstrip("/"), token, timeout_s

    def _ask(self, method: str, path: str, body: Any = None, **query: Any) -> Any:
        given = {key: value for key, value in query.items() if value is not None}
        address = f"{self._url}/api{path}" + (f"?{urllib.parse.urlencode(given)}" if given else "")
        request = urllib.request.Request(address, method=method, headers={"Authorization": f"Bearer {self._token}"})
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=self._timeout) as answer:
                content = answer.read()
        except urllib.error.HTTPError as error:
            raise AnswerError(_told(error), error.code) from None
        except OSError as error:
            raise AnswerError(f"{self._url} does not answer: {error}") from None
        return json.loads(content) if content else None

    def feeders(self) -> list[FeederView]:
        """All feeders as they stand."""
        return _all(FeederView, self._ask("GET", "/feeders"))

    def feeder(self, name: str) -> FeederView:
        """A feeder: its last cycle, its open proposal, its alarms."""
        return FeederView.model_validate(self._ask("GET", f"/feeders/{_quoted(name)}"))

    def add_feeder(
        self, name: str, case: str | None = None, content: dict[str, Any] | None = None, **settings: Any
    ) -> FeederView:
        """Watch a feeder: a named case, or the content of a JSON case file."""
        body = {"name": name, "case": case, "content": content, "settings": settings}
        return FeederView.model_validate(self._ask("POST", "/feeders", body))

    def change_settings(self, name: str, **settings: Any) -> FeederView:
        """Set some of its settings."""
        return FeederView.model_validate(self._ask("PATCH", f"/feeders/{_quoted(name)}", settings))

    def send(self, feeder: str, measurements: Sequence[dict[str, Any]]) -> TakenView:
        """Measurements, as :func:`~learnopt.studies.operation.measurements.measurement_of` reads them."""
        body = {"measurements": list(measurements)}
        return TakenView.model_validate(self._ask("POST", f"/feeders/{_quoted(feeder)}/measurements", body))

    def tell_fault(self, feeder: str, place: str, there: bool = True) -> FeederView:
        """Say where something is out of order (``branch:ID``, ``bus:ID``), or that it no longer is."""
        body = {"place": place, "there": there}
        return FeederView.model_validate(self._ask("POST", f"/feeders/{_quoted(feeder)}/fault", body))

    def cycles(self, feeder: str, most: int = 100) -> list[CycleView]:
        """The last cycles, the newest first."""
        return _all(CycleView, self._ask("GET", f"/feeders/{_quoted(feeder)}/cycles", most=most))

    def proposals(self, feeder: str | None = None, state: str | None = None, most: int = 100) -> list[ProposalView]:
        """Proposals, the newest first."""
        return _all(ProposalView, self._ask("GET", "/proposals", feeder=feeder, state=state, most=most))

    def proposal(self, number: int) -> ProposalView:
        """One of them."""
        return ProposalView.model_validate(self._ask("GET", f"/proposals/{number}"))

    def _decide(self, number: int, what: str, body: Any = None) -> ProposalView:
        return ProposalView.model_validate(self._ask("POST", f"/proposals/{number}/{what}", body))

    def approve(self, number: int) -> ProposalView:
        """Agree to it."""
        return self._decide(number, "approve")

    def reject(self, number: int, reason: str) -> ProposalView:
        """Say no, and why."""
        return self._decide(number, "reject", {"reason": reason})

    def begin(self, number: int) -> ProposalView:
        """Release the first step, after its check."""
        return self._decide(number, "begin")

    def confirm(self, number: int, step: int) -> ProposalView:
        """The released step was carried out."""
        return self._decide(number, f"steps/{step}/confirm")

    def abort(self, number: int, reason: str) -> ProposalView:
        """Stop, and go back."""
        return self._decide(number, "abort", {"reason": reason})

    def leave(self, number: int, reason: str) -> ProposalView:
        """End it as it stands, where it is held back."""
        return self._decide(number, "leave", {"reason": reason})

    def alarms(self, standing: bool = True) -> list[AlarmView]:
        """Alarms that stand, or all."""
        return _all(AlarmView, self._ask("GET", "/alarms", standing=str(standing).lower()))

    def acknowledge(self, number: int) -> None:
        """An alarm was seen."""
        self._ask("POST", f"/alarms/{number}/acknowledge")

    def audit(self, after: int = 0, most: int = 100) -> list[AuditLine]:
        """Lines of the audit trail in their order, beginning after a number."""
        return _all(AuditLine, self._ask("GET", "/audit", after=after, most=most))

    def verify(self) -> ChainView:
        """Whether the chain is whole."""
        return ChainView.model_validate(self._ask("GET", "/audit/verify"))

    def add_user(self, name: str, password: str, role: str) -> None:
        """A person."""
        self._ask("POST", "/users", {"name": name, "password": password, "role": role})

    def remove_user(self, name: str) -> None:
        """Somebody may not log in any more."""
        self._ask("DELETE", f"/users/{_quoted(name)}")

    def add_token(self, name: str, role: str) -> TokenKey:
        """A key for a program."""
        return TokenKey.model_validate(self._ask("POST", "/tokens", {"name": name, "role": role}))

    def remove_token(self, name: str) -> None:
        """A key does not open any more."""
        self._ask("DELETE", f"/tokens/{_quoted(name)}")


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")


def _all(kind: type[_View], raw: Any) -> list[_View]:
    return TypeAdapter(list[kind]).validate_python(raw)  # type: ignore[valid-type]


def _told(error: urllib.error.HTTPError) -> str:
    try:
        return "; ".join(json.loads(error.read())["errors"])
    except (ValueError, KeyError, TypeError):
        return f"status {error.code}"

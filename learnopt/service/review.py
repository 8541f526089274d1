"""The review of a proposal as a state machine: pure, so that every way through it can be tried.

.. code-block:: text

    draft ─propose─► proposed ─approve (once, or twice by two)─► approved ─release─► executing ─confirm (last)─► done
                    │                               │                     │
                    ├─── reject ─► rejected ◄───────┤                     └─abort─► returning ─confirm (last)─► aborted
                    └─ expire (drafts, too) ─► expired ◄┘

What is executing or returning can also be left as it stands (aborted): where a trip has made both ways impossible.

One step is released at a time, and the next one only when it is confirmed. A step that was released when a proposal is
aborted may have been carried out: the way back begins with undoing it. What has been released never expires.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from learnopt.errors import LearnoptError


class Mode(StrEnum):
    """What becomes of advice on a feeder."""

    STUDY = "study"
    """Drafts, to look at."""
    ADVISORY = "advisory"
    """Proposals, for people to approve."""
    AUTOMATIC = "automatic"
    """Proposals within the guard rails approve themselves; the others are for people."""


class State(StrEnum):
    """Where a proposal stands."""

    DRAFT = "draft"
    PROPOSED = "proposed"
    APPROVED = "approved"
    EXECUTING = "executing"
    RETURNING = "returning"
    DONE = "done"
    REJECTED = "rejected"
    ABORTED = "aborted"
    EXPIRED = "expired"


OPEN = (State.PROPOSED, State.APPROVED, State.EXECUTING, State.RETURNING)
"""States in which a proposal occupies its feeder."""
ENDED = (State.DONE, State.REJECTED, State.ABORTED, State.EXPIRED)
UNDER_WAY = (State.EXECUTING, State.RETURNING)


class RefusedError(LearnoptError):
    """What was asked for is not possible as things stand; the message says how they stand."""


@dataclass(frozen=True)
class Review:
    """A proposal under review.

    Parameters
    ----------
    length
        Steps of the way that is being gone: there, or back.
    confirmed
        How many of them are confirmed.
    released
        The next one is released and not confirmed yet.
    needed
        Approvals by different people that it takes.
    approvals
        By whom.
    """

    state: State
    length: int
    confirmed: int = 0
    released: bool = False
    needed: int = 1
    approvals: tuple[str, ...] = ()

    @property
    def step(self) -> int | None:
        """Number of the released step, from 1."""
        return self.confirmed + 1 if self.released else None

    def propose(self) -> Review:
        """A draft is put to people."""
        self._must_be(State.DRAFT)
        return replace(self, state=State.PROPOSED)

    def approve(self, by: str) -> Review:
        """One more agrees.

        Raises
        ------
        RefusedError
            If it is not up for approval, or the same person has approved it.
        """
        self._must_be(State.PROPOSED)
        if by in self.approvals:
            raise RefusedError(f"{by} has approved this proposal; it takes another person as well")
        approvals = (*self.approvals, by)
        state = State.APPROVED if len(approvals) >= self.needed else State.PROPOSED
        return replace(self, state=state, approvals=approvals)

    def reject(self) -> Review:
        """Somebody says no; possible until the first step is released."""
        self._must_be(State.PROPOSED, State.APPROVED)
        return replace(self, state=State.REJECTED)

    def expire(self) -> Review:
        """It is no longer what the measurements ask for; possible until the first step is released."""
        self._must_be(State.DRAFT, State.PROPOSED, State.APPROVED)
        return replace(self, state=State.EXPIRED)

    def release(self) -> Review:
        """The next step may be carried out."""
        self._must_be(State.APPROVED, *UNDER_WAY)
        if self.released:
            raise RefusedError(f"step {self.step} is released and not confirmed yet")
        state = State.EXECUTING if self.state is State.APPROVED else self.state
        return replace(self, state=state, released=True)

    def confirm(self, step: int) -> Review:
        """The released step was carried out.

        Raises
        ------
        RefusedError
            If another step is released, or none.
        """
        self._must_be(*UNDER_WAY)
        if step != self.step:
            what = "no step is released" if self.step is None else f"step {self.step} is the one that is released"
            raise RefusedError(f"step {step} cannot be confirmed: {what}")
        state = self.state
        if step == self.length:
            state = State.DONE if state is State.EXECUTING else State.ABORTED
        return replace(self, state=state, confirmed=step, released=False)

    def abort(self) -> Review:
        """Stop, and go back over every step that was, or may have been, carried out."""
        self._must_be(State.EXECUTING)
        back = self.confirmed + self.released
        return replace(self, state=State.RETURNING, length=back, confirmed=0, released=False)

    def leave(self) -> Review:
        """End where it stands, without a way back; what was released and is not confirmed may have been carried out."""
        self._must_be(*UNDER_WAY)
        return replace(self, state=State.ABORTED, released=False)

    def _must_be(self, *states: State) -> None:
        if self.state not in states:
            raise RefusedError(f"the proposal is {self.state.value}; it would have to be {' or '.join(states)}")

"""The review as a state machine: no way through it skips an approval, loses one, or carries a step out twice."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learnopt.service.review import ENDED, UNDER_WAY, RefusedError, Review, State

EVENTS = (
    "propose",
    "approve anna",
    "approve ben",
    "reject",
    "expire",
    "release",
    "confirm 1",
    "confirm 2",
    "abort",
    "leave",
)
LEGAL = {
    State.DRAFT: {State.PROPOSED, State.EXPIRED},
    State.PROPOSED: {State.APPROVED, State.REJECTED, State.EXPIRED},
    State.APPROVED: {State.EXECUTING, State.REJECTED, State.EXPIRED},
    State.EXECUTING: {State.DONE, State.RETURNING, State.ABORTED},
    State.RETURNING: {State.ABORTED},
}


def after(review: Review, event: str) -> Review | None:
    """The next state; None where the event is refused."""
    name, _, argument = event.partition(" ")
    try:
        if name == "approve":
            return review.approve(argument)
        return review.confirm(int(argument)) if name == "confirm" else getattr(review, name)()  # type: ignore[no-any-return]
    except RefusedError:
        return None


@given(st.lists(st.sampled_from(EVENTS), max_size=40), st.integers(1, 2), st.integers(1, 2))
def test_any_sequence_of_events(events: list[str], needed: int, length: int) -> None:
    """Only legal transitions; approvals are kept; each step is released once and confirmed once after it."""
    review = Review(State.DRAFT, length, needed=needed)
    seen, log = [review], []
    for event in events:
        if (found := after(review, event)) is None:
            continue
        log.append((review.state, event, review))
        review = found
        seen.append(review)
    for before, now in pairwise(seen):
        assert now.state is before.state or now.state in LEGAL[before.state]
        assert now.approvals[: len(before.approvals)] == before.approvals
    assert len(set(review.approvals)) == len(review.approvals)
    there = [event for state, event, _ in log if state in (State.APPROVED, State.EXECUTING) and event != "reject"]
    assert len(review.approvals) >= needed or not [e for e in there if e == "release"]
    for way in ((State.APPROVED, State.EXECUTING), (State.RETURNING,)):
        released = [one.confirmed + 1 for state, event, one in log if state in way and event == "release"]
        confirmed = [int(event[-1]) for state, event, _ in log if state in way and event.startswith("confirm")]
        assert released == list(range(1, len(released) + 1))
        assert confirmed == released[: len(confirmed)]
        assert len(released) - len(confirmed) in (0, 1)
    if review.state is State.DONE:
        assert review.confirmed == length
    if review.state in (State.REJECTED, State.EXPIRED):
        assert not any(event == "release" for _, event, _ in log)


def test_every_state_with_every_event() -> None:
    """All reachable reviews of up to two steps: ends are ends, and from every other state some event leads on."""
    start = [Review(State.DRAFT, n, needed=k) for n, k in product((1, 2), (1, 2))]
    known, queue = set(start), list(start)
    while queue:
        review = queue.pop()
        following = {found for event in EVENTS if (found := after(review, event)) is not None}
        assert bool(following) != (review.state in ENDED)
        if review.released:
            assert review.state in UNDER_WAY
        queue += following - known
        known |= following
    assert {one.state for one in known} == set(State)


def test_the_way_back_undoes_a_step_that_may_have_been_carried_out() -> None:
    """Released counts as carried out: nobody knows otherwise."""
    review = Review(State.APPROVED, 4).release().confirm(1).release()
    back = review.abort()
    assert (back.state, back.length, back.step) == (State.RETURNING, 2, None)
    assert back.release().confirm(1).release().confirm(2).state is State.ABORTED
    with pytest.raises(RefusedError, match="no step is released"):
        back.confirm(1)


def test_four_eyes() -> None:
    """The same person does not count twice."""
    review = Review(State.PROPOSED, 2, needed=2).approve("anna")
    assert review.state is State.PROPOSED
    with pytest.raises(RefusedError, match="another person"):
        review.approve("anna")
    assert review.approve("ben").state is State.APPROVED

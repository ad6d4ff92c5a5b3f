"""What a contest of challengers goes on from after a restart, and what it tells."""

from datetime import datetime

import msgspec

from fraudstream.core.comparison import Comparison, DayPair, Verdict
from fraudstream.core.decoding import decoder_of
from fraudstream.core.model_design import STANDARD
from fraudstream.core.registry import Demote, Promote
from fraudstream.core.snapshot import Snapshot, encode_snapshot


class ContestState(msgspec.Struct, omit_defaults=True):
    """What a contest goes on from, apart from challengers and awaited scores.

    ``offset``: of the last training example heard. ``classified``: of the last classification scored of each
    partition; ``handover``: of the last answer of the learner taken. ``serving``: name of the serving model;
    ``since``: its first version, only its own scores are compared; ``before``: who served before, the last
    one last; ``replaced``: the one it was promoted over, empty where it came otherwise; ``taken_back``: who
    a person has gone back from, by a demotion or a rollback. ``clock``: newest time a label came at, in
    seconds since 1970; ``settled``: newest day whose labels are taken to be complete. ``days``: comparisons
    by challenger and day; ``began``: day each began on, which is not a whole one. ``asked``: id of the
    guard's command that waits for its answer. ``trust``: the accounts of label sources when it was stored.
    """

    offset: int = -1
    classified: dict[int, int] = {}
    handover: int = -1
    serving: str = STANDARD
    since: int = 1
    before: list[str] = []
    replaced: str = ""
    taken_back: list[str] = []
    clock: float = float("-inf")
    settled: int = -1
    days: dict[str, dict[int, DayPair]] = {}
    began: dict[str, int] = {}
    asked: str = ""
    trust: bytes = b""


def ask(state: ContestState, snapshot: Snapshot, days: int, now: datetime) -> Promote | Demote:
    """Return the guard's command to go on with a challenger, and wait for the answer to it.

    It takes the serving model back if that was promoted over this one, and promotes it otherwise. ``days``:
    for how long the challenger was better.
    """
    name = snapshot.design.name
    kind = Demote if name == state.replaced else Promote
    state.asked = f"guard-{name}-{state.offset}"
    return kind(
        id=state.asked,
        model=name,
        by="guard",
        reason=f"better than {state.serving} for {days} days",
        sent_at=now,
        training_offset=snapshot.training_offset,
        since=state.since,
        snapshot=encode_snapshot(snapshot),
    )


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How a challenger stands at the end of a settled day."""

    challenger: str
    serving: str
    day: datetime
    told_at: datetime
    comparison: Comparison
    verdict: Verdict


class Kept(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One challenger between two lives of its worker.

    ``offset``: of the last training example it has seen. ``behind``: whether it still learns older examples
    and takes no part yet. ``snapshot``: what the learner can go on with, encoded; without it ``refusal`` says
    why not. ``restorable``: whether the challenger itself goes on from it; otherwise it learns its examples
    again.
    """

    name: str
    declared: str
    offset: int
    behind: bool = False
    restorable: bool = False
    snapshot: bytes | None = None
    refusal: str | None = None


_encode = msgspec.msgpack.Encoder().encode
encode_report = msgspec.json.Encoder().encode
"""Return a report as JSON."""


def encode_contest(state: ContestState | Kept) -> bytes:
    """Return the state of a contest, or of one challenger, as bytes."""
    return _encode(state)


decode_contest = decoder_of(msgspec.msgpack.Decoder(ContestState).decode, "the state of a contest")
"""Return the state of a contest of these bytes; others are an ``InvalidMessage``."""


decode_kept = decoder_of(msgspec.msgpack.Decoder(Kept).decode, "the state of a challenger")
"""Return the state of one challenger of these bytes; others are an ``InvalidMessage``."""

"""What challengers go on from, as their worker publishes it and commands read it."""

import logging
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from fraudstream.challenger_file import Declared
from fraudstream.core.challengers import KeyedChallenger
from fraudstream.core.contest import Contest
from fraudstream.core.contest_state import ContestState, Kept, decode_contest, decode_kept, encode_contest
from fraudstream.core.snapshot import Snapshot, decode_snapshot
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidSnapshot
from fraudstream.topics import Topics

log = logging.getLogger(__name__)

CONTEST_KEY: Final = b"contest"
_CHALLENGER, _SCORES = "challenger/", "scores/"


class StoredContest(NamedTuple):
    """Everything stored: the contest's state if there is one, challengers by name, scores by piece."""

    state: ContestState | None
    challengers: dict[str, Kept]
    scores: dict[str, bytes]


async def read_stored(reader: LogReader, topics: Topics) -> StoredContest:
    """Read the newest state of everything.

    Raises
    ------
    InvalidMessage
        What is stored is no such state.
    """
    name = topics.challenger_states.name
    rows: dict[str, bytes] = {}
    bounds = await reader.bounds(name, 0)
    async for record in reader.read(name, 0, bounds.low, bounds.end):
        if record.key is None:
            continue
        key = record.key.decode()
        rows.pop(key, None)  # the newest last: scores are given back in the order they were stored
        if record.value is not None:
            rows[key] = record.value
    contest = rows.get(CONTEST_KEY.decode())
    return StoredContest(
        state=None if contest is None else decode_contest(contest),
        challengers=_within(rows, _CHALLENGER, decode_kept),
        scores=_within(rows, _SCORES, bytes),
    )


def _within(rows: dict[str, bytes], prefix: str, decode: Any) -> dict[str, Any]:
    return {key.removeprefix(prefix): decode(value) for key, value in rows.items() if key.startswith(prefix)}


def restore_contest(
    contest: Contest, stored: StoredContest, declared: Mapping[str, Declared], serving: Snapshot | None
) -> None:
    """Put a new contest where the stored one was; challengers declared otherwise than then begin anew."""
    if stored.state is not None:
        contest.restore(stored.state)
    for key, piece in stored.scores.items():
        contest.awaited.restore(key, piece)
    for kept in stored.challengers.values():
        if kept.restorable and kept.snapshot is not None and _is_wanted(kept, contest, declared):
            try:
                contest.join(KeyedChallenger.of(decode_snapshot(kept.snapshot), kept.declared))
            except InvalidSnapshot as exc:  # keys have changed their meaning since
                extra = {"challenger": kept.name, "reason": str(exc)}
                log.error("state of a challenger refused, it begins anew", extra=extra)  # noqa: TRY400
                contest.forget(kept.name)
    for one in declared.values():
        if one.name in contest.challengers or one.name == contest.state.serving:
            continue
        known = stored.challengers.get(one.name)
        if known is None or known.declared != one.text:
            contest.forget(one.name)
        if one.start == "serving" and serving is not None:
            contest.join(KeyedChallenger.beginning_with(serving, one.design(), one.text))
        else:
            contest.join(one.make())


def _is_wanted(kept: Kept, contest: Contest, declared: Mapping[str, Declared]) -> bool:
    found = declared.get(kept.name)
    return kept.name in contest.state.before if found is None else found.text == kept.declared


def state_rows(
    contest: Contest, kept: Mapping[str, Kept], stored: Collection[str]
) -> Iterator[tuple[bytes, bytes | None]]:
    """Yield what is to be stored of challengers and scores, None for what is gone since.

    ``stored``: names of the challengers stored now.
    """
    for name in sorted({*kept, *stored}):
        row = kept.get(name)
        yield (_CHALLENGER + name).encode(), None if row is None else encode_contest(row)
    for piece, value in contest.awaited.changed():
        yield (_SCORES + piece).encode(), value

"""``fraudstream model`` and ``explain``: what they print, and what they refuse before asking anybody."""

from datetime import UTC, datetime
from typing import Any

import pytest
from click.testing import CliRunner

from fraudstream.cli import cli
from fraudstream.commands.model_table import command_text, difference_text, entries_table, entry_text
from fraudstream.core.learning import Learner
from fraudstream.core.model_difference import difference
from fraudstream.core.registry import (
    Demote,
    Entry,
    LeftOut,
    ModelCommand,
    Promote,
    RecentQuality,
    Refusal,
    Relearn,
    Rollback,
)
from fraudstream.errors import InvalidInput

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def entry(**changes: Any) -> Entry:
    fields: dict[str, Any] = {
        "version": 12,
        "parent": 11,
        "lineage": 0,
        "base": 10,
        "kept_at": 4,
        "training_offset": 4_321,
        "learned": 4_300,
        "created_at": NOON,
        "code": "0.1.0+4be1c7d2",
        "recent": RecentQuality(4_000, 0.0123, 0.02, 0.025),
    }
    return Entry(**{**fields, **changes})


ASKED: dict[str, Any] = {"id": "c", "by": "ann@desk", "reason": "poison", "sent_at": NOON}


def rollback(version: int) -> Rollback:
    return Rollback(**ASKED, version=version)


def test_versions_are_listed_with_what_was_asked_for_and_what_was_refused() -> None:
    asked = rollback(7)
    text = entries_table(
        [
            entry(base=12),
            entry(version=13, command=asked),
            Refusal(version=13, command=rollback(99), reason="there is none", created_at=NOON),
        ]
    )
    *table, rolled, refused = [" ".join(line.split()) for line in text.splitlines()]
    assert "12 11 4,321 4,300 2026-03-01 12:00:00 0.0123 0.80 whole 0.1.0+4be1c7d2" in table
    assert "13 11 4,321 4,300 2026-03-01 12:00:00 0.0123 0.80 0.1.0+4be1c7d2" in table
    assert rolled == "version 13: rollback to 7 (ann@desk: poison)"
    assert refused == "refused: rollback to 99 (ann@desk: poison): there is none"
    assert entries_table([]) == "no model version was published yet"


def test_one_version_is_shown_with_what_was_left_out() -> None:
    text = entry_text(entry(), [LeftOut(99, 200), LeftOut(9, 300, ("shop-7",))])
    assert (
        "left out:        examples from offset 100 to 200; examples of shop-7 from offset 10 to 300" in text
    )
    assert "rebuilt from version 10, kept whole, when it is needed" in text
    assert "fraud rate predicted 2.0000%, found 2.5000%" in text


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (rollback(7), "rollback to 7 (ann@desk: poison)"),
        (
            Relearn(**ASKED, until=500, since=20, without=("shop-7", "customer")),
            "relearn until 500 without shop-7, customer since 20 (ann@desk: poison)",
        ),
        (Promote(**ASKED, model="slow", training_offset=5, since=1), "promote slow (ann@desk: poison)"),
        (
            Demote(**ASKED, model="standard", training_offset=5, since=1),
            "go back to standard (ann@desk: poison)",
        ),
    ],
)
def test_a_command_is_told_in_one_line(asked: ModelCommand, told: str) -> None:
    assert command_text(asked) == told


def test_a_difference_is_told_and_so_is_none() -> None:
    before, after = Learner(), Learner()
    after.take((10, 400), True, 0.0, (1.0, 1.0), "m1")
    text = difference_text(3, 4, difference(before, after))
    assert "from version 3 to 4: +1 examples learned, +1 labels counted, +1 frauds among them" in text
    assert "the risk of 1 terminals differs" in text
    assert "amount_fine" in text
    assert "alike, to the last bit" in difference_text(3, 3, difference(before, before))


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["explain"], "name at least one position"),
        (["model", "relearn", "--reason", "x"], "name --until or --without"),
    ],
)
def test_what_cannot_be_meant_is_refused_at_once(arguments: list[str], fault: str) -> None:
    done = CliRunner().invoke(cli, arguments, obj={})
    assert isinstance(done.exception, InvalidInput)
    assert fault in str(done.exception)


@pytest.mark.parametrize("position", ["1-2", "1-2-x", "1-2-3-4", ""])
def test_a_position_has_three_numbers(position: str) -> None:
    done = CliRunner().invoke(cli, ["explain", position], obj={})
    assert done.exit_code == 2
    assert "epoch-partition-offset" in done.output


def test_a_rollback_needs_a_reason() -> None:
    done = CliRunner().invoke(cli, ["model", "rollback", "7"], obj={})
    assert done.exit_code == 2
    assert "--reason" in done.output

"""Going back in time on real services: versions kept, rolled back, relearned, decisions computed again."""

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from fraudstream.core.registry import Entry, Refusal, Relearn
from tests.model_rounds import (
    POISONER,
    PlainHistory,
    Rounds,
    assert_same_state,
    entries,
    explained,
    newest,
    registry,
    served_risks,
    snapshots,
)
from tests.stack import Stack

ROUND = 120
BEFORE, BETWEEN, AFTER = 11, 2, 2


def position(document: dict[str, Any]) -> str:
    source = document["source"]
    return f"{source['epoch']}-{source['partition']}-{source['offset']}"


def commanded(stack: Stack) -> Entry:
    """Return the newest version that a command led to; others may have followed it already."""
    return [entry for entry in entries(stack) if entry.command is not None][-1]


def check_versions(stack: Stack, rounds: Rounds) -> None:
    """Every published version is the state that its examples lead to, and workers have its risks."""
    plain, published = PlainHistory(stack), snapshots(stack)
    for entry in entries(stack):
        assert_same_state(published[entry.version], plain.learner(entry.version))
    last = plain.learner(newest(stack).version)
    rows = {terminal_id: list(risk.to_row()) for terminal_id, risk in last.risks.items()}
    assert served_risks(stack) == rows
    assert rounds.labelled == rounds.examples(stack.records("training-examples"))


@pytest.mark.timeout(600)
def test_decisions_of_ten_versions_come_out_equal_before_between_and_after_a_rollback_and_a_relearning(
    stack: Callable[..., Stack],
) -> None:
    installation = stack(KEEP_MODEL_EXAMPLES=400, KEEP_MODEL_INTERVAL="0s", PARTITIONS=2)
    installation.start("scoring")
    installation.start("sinks")
    learning = installation.start("learning")
    rounds = Rounds(installation, ROUND)
    rounds.play(BEFORE)
    target = entries(installation)[len(entries(installation)) // 2]
    print(installation.run("model", "rollback", str(target.version), "--reason", "a try").stdout)
    rolled = commanded(installation)
    assert (rolled.parent, rolled.learned) == (target.version, target.learned)
    assert rolled.training_offset == newest(installation).training_offset
    check_versions(installation, rounds)

    time.sleep(0.5)
    rounds.play(BETWEEN)
    learning.kill()
    learning.wait()
    learning = installation.start("learning")
    print(installation.run("model", "relearn", "--without", POISONER, "--reason", "poison").stdout)
    relearned = commanded(installation)
    assert isinstance(relearned.command, Relearn)
    assert relearned.command.without == (POISONER,)
    assert relearned.learned == rounds.labelled - len(range(0, rounds.labelled, 3))
    time.sleep(0.5)
    learning.kill()
    learning.wait()
    installation.start("learning")
    rounds.play(AFTER)
    check_versions(installation, rounds)

    documents = installation.archived("source", "score", "model_version")
    started = time.monotonic()
    told = explained(installation, [position(one) for one in documents])
    seconds = time.monotonic() - started
    versions = Counter(one["model_version"] for one in told)
    parts = {
        "before": sum(versions[v] for v in versions if 0 < v < rolled.version),
        "between": sum(versions[v] for v in versions if rolled.version <= v < relearned.version),
        "after": sum(versions[v] for v in versions if v >= relearned.version),
    }
    print(f"{len(told)} decisions of {len(versions)} versions in {seconds:.1f} s, {parts}")
    print(installation.run("model", "list").stdout)
    print(installation.run("explain", told[-1]["position"]).stdout)
    assert [one["differences"] for one in told if not one["equal"]] == []
    assert {one["position"]: one["score"] for one in told} == {
        position(one): one["score"] for one in documents
    }
    assert len(told) >= 1_000
    assert len(versions) >= 10
    assert min(parts.values()) >= ROUND


def test_a_command_that_cannot_be_obeyed_is_refused_with_its_reason_and_changes_nothing(
    stack: Callable[..., Stack],
) -> None:
    installation = stack(PARTITIONS=1)
    for role in ("scoring", "sinks", "learning"):
        installation.start(role)
    rounds = Rounds(installation, 20)
    rounds.play(1)
    version = newest(installation).version
    done = installation.run("model", "rollback", "777", "--reason", "a slip", check=False)
    assert done.returncode == 1
    assert f"there is no model version 777 in the registry: the newest is {version}" in done.stderr
    refused = [one for one in registry(installation) if isinstance(one, Refusal)]
    assert [one.command.reason for one in refused] == ["a slip"]
    assert newest(installation).version == version
    shown = json.loads(installation.run("model", "show", str(version), "--json").stdout)
    assert (shown["version"], shown["left_out"]) == (version, [])
    rounds.play(1)
    assert newest(installation).version > version

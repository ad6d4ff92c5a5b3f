"""A challenger promoted on real services while the learner is killed, and the way back before it."""

import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fraudstream.core.contest_state import Kept, decode_kept
from fraudstream.core.handover import decode_handover
from fraudstream.core.model_design import STANDARD, ModelDesign
from fraudstream.core.registry import Demote, Promote, encode_command
from fraudstream.core.snapshot import decode_snapshot
from tests.model_building import NOON
from tests.model_rounds import (
    PlainHistory,
    Rounds,
    assert_same_state,
    entries,
    explained,
    newest,
    served_risks,
    snapshots,
)
from tests.stack import Stack, wait_until

SLOW = ModelDesign("slow", alpha=0.1, without=("spikes",))
FILE = """
[[challenger]]
name = "slow"
alpha = 0.1
without = ["spikes"]
"""
ROUND = 120
#: Seconds from the learner's taking a command to its end; a promotion takes a few hundredths of one.
DELAYS = (0.0, 0.015, 0.04)


def kept(stack: Stack, name: str) -> Kept | None:
    """Return what a challenger has been stored as last."""
    key = f"challenger/{name}".encode()
    values = [record.value() for record in stack.records("challenger-states") if record.key() == key]
    return decode_kept(values[-1]) if values and values[-1] is not None else None


def has_learned_all(stack: Stack, name: str) -> bool:
    found = kept(stack, name)
    last = stack.records("training-examples")[-1].offset()
    return found is not None and not found.behind and found.offset == last


def tell(stack: Stack, kind: type[Promote | Demote], name: str, number: int) -> str:
    """Send a command as the command line does, and return its id; the command line would return too late."""
    found = kept(stack, name)
    assert found is not None
    assert found.snapshot is not None
    command = kind(
        id=f"command-{number}",
        by="ann",
        reason="a try",
        sent_at=NOON,
        model=name,
        training_offset=found.offset,
        since=max(1, entries(stack)[-1].lineage),
        snapshot=found.snapshot,
    )
    stack.send("model-commands", encode_command(command), key=command.id, partition=0)
    stack.flush()
    return command.id


def kill_when_taken(stack: Stack, learning: "subprocess.Popen[bytes]", command: str, delay: float) -> bool:
    """Kill the learner so long after it took a command; return whether the command was not done by then."""
    deadline = time.monotonic() + 60
    while command not in stack.log_of(learning):
        assert time.monotonic() < deadline, "the learner has not taken the command"
        time.sleep(0.001)
    time.sleep(delay)
    learning.kill()
    learning.wait()
    return not obeyed(stack, command)


def obeyed(stack: Stack, name: str) -> int:
    return sum(one.command is not None and one.command.id == name for one in entries(stack))


def position(document: dict[str, Any]) -> str:
    source = document["source"]
    return f"{source['epoch']}-{source['partition']}-{source['offset']}"


@pytest.mark.adversity
@pytest.mark.timeout(600)
def test_decisions_before_during_and_after_a_promotion_come_out_equal_though_the_learner_is_killed_in_it(
    stack: Callable[..., Stack], tmp_path: Path
) -> None:
    file = tmp_path / "challengers.toml"
    file.write_text(FILE)
    installation = stack(
        PARTITIONS=2, CHALLENGERS=file, KEEP_MODEL_EXAMPLES=400, KEEP_MODEL_INTERVAL="0s", LABEL_WAIT="1h"
    )
    for role in ("scoring", "sinks", "challenging"):
        installation.start(role)
    learning = installation.start("learning")
    rounds = Rounds(installation, ROUND)
    rounds.play(5)
    before = newest(installation)
    began = before.version
    unfinished = 0
    for number, delay in enumerate(DELAYS):
        kind, name = (Promote, "slow") if number % 2 == 0 else (Demote, STANDARD)
        wait_until(lambda name=name: has_learned_all(installation, name), f"{name} has learned it all")  # type: ignore[misc]
        command = tell(installation, kind, name, number)
        unfinished += kill_when_taken(installation, learning, command, delay)
        rounds.send()
        learning = installation.start("learning")
        wait_until(lambda command=command: obeyed(installation, command) == 1, f"{command} is obeyed")  # type: ignore[misc]
        rounds.label()
        rounds.play(1)
    print(f"{len(DELAYS)} kills, {unfinished} of them before the command was done")
    assert unfinished, "no kill came in the middle: shorten the delays"
    assert newest(installation).design == SLOW

    print(installation.run("model", "rollback", str(began), "--reason", "a try").stdout)
    rolled = [one for one in entries(installation) if one.command is not None][-1]
    assert (rolled.parent, rolled.design, rolled.learned) == (began, STANDARD, before.learned)
    time.sleep(0.5)
    rounds.play(2)
    wait_until(lambda: has_learned_all(installation, "slow"), "slow goes on as a challenger")
    print(installation.run("challenger", "list").stdout)

    plain, published = PlainHistory(installation, {"slow": SLOW}), snapshots(installation)
    for entry in entries(installation):
        assert_same_state(published[entry.version], plain.learner(entry.version))
    last = plain.learner(newest(installation).version)
    assert served_risks(installation) == {name: list(risk.to_row()) for name, risk in last.risks.items()}
    told = [decode_handover(record.value()) for record in installation.records("model-handovers")]
    assert [(one.command, one.former, one.serving) for one in told] == [
        ("promote", STANDARD, "slow"),
        ("demote", "slow", STANDARD),
        ("promote", STANDARD, "slow"),
        ("rollback", "slow", STANDARD),
    ]
    for one in told:
        assert (
            decode_snapshot(one.former_snapshot).weights
            == plain.learner(one.version - 1).state(one.at).weights
        ), "what served before is handed over as it was"

    check_decisions(installation, began, rolled.version)


def check_decisions(stack: Stack, began: int, rolled: int) -> None:
    """Every decision comes out equal, those of each part of the history among them."""
    documents = stack.archived("source", "score", "model_version")
    explanations = explained(stack, [position(one) for one in documents])
    designs = {entry.version: entry.design for entry in entries(stack)}
    parts = Counter(_part(one["model_version"], began, rolled, designs) for one in explanations)
    versions = len({one["model_version"] for one in explanations})
    differ = sum(not one["equal"] for one in explanations)
    print(f"{len(explanations)} decisions of {versions} versions, {dict(parts)}: {differ} differ")
    print(stack.run("model", "list", "--limit", "30").stdout)
    assert [one["differences"] for one in explanations if not one["equal"]] == []
    assert {one["position"]: one["score"] for one in explanations} == {
        position(one): one["score"] for one in documents
    }
    assert min(parts[name] for name in ("before", "during, slow", "during, standard", "after")) >= ROUND


def _part(version: int, began: int, rolled: int, designs: dict[int, str]) -> str:
    if version == 0:
        return "by the prior"
    if version <= began:
        return "before"
    return "after" if version >= rolled else f"during, {designs[version]}"

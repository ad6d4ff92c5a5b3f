"""The learner is killed while it goes back in time: what it was told is done once, and done whole."""

import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from fraudstream.core.registry import ModelCommand, Relearn, Rollback, encode_command
from tests.model_building import NOON
from tests.model_rounds import (
    POISONER,
    PlainHistory,
    Rounds,
    assert_same_state,
    entries,
    newest,
    served_risks,
    snapshots,
)
from tests.stack import Stack, wait_until

pytestmark = pytest.mark.adversity

#: Seconds from the learner's taking a command to its end. Obeying one takes about a quarter of a second.
DELAYS = (0.0, 0.02, 0.05, 0.1, 0.2)


def tell(stack: Stack, number: int) -> str:
    """Send a command, each second one a relearning, and return its id."""
    name = f"command-{number}"
    asked: dict[str, Any] = {"id": name, "by": "ann", "reason": "a test", "sent_at": NOON}
    command: ModelCommand = Relearn(**asked, without=(POISONER,))
    if number % 2 == 0:
        command = Rollback(**asked, version=entries(stack)[1].version)
    stack.send("model-commands", encode_command(command), key=name, partition=0)
    stack.flush()
    return name


def obeyed(stack: Stack, name: str) -> int:
    return sum(one.command is not None and one.command.id == name for one in entries(stack))


@pytest.mark.timeout(600)
def test_a_learner_killed_in_the_middle_of_going_back_does_it_once_and_goes_on_from_there(
    stack: Callable[..., Stack],
) -> None:
    # Nothing is committed in between: what a kill makes come again is all of it.
    installation = stack(PARTITIONS=1, COMMIT_INTERVAL_SECONDS=60)
    installation.start("scoring")
    installation.start("sinks")
    learning = installation.start("learning")
    rounds = Rounds(installation, 100)
    rounds.play(4)
    before = 0
    for number, delay in enumerate(DELAYS):
        name = tell(installation, number)
        taken = f"{name}"
        wait_until(lambda log=learning, text=taken: text in installation.log_of(log), "it is taken", 60)  # type: ignore[misc]
        time.sleep(delay)
        learning.kill()
        learning.wait()
        done = obeyed(installation, name)
        before += not done
        rounds.send()
        learning = restarted(installation, name)
        rounds.label()
    print(f"{len(DELAYS)} kills, {before} of them before the command was done")
    assert before, "no kill came in the middle: shorten the delays"
    plain, published = PlainHistory(installation), snapshots(installation)
    for entry in entries(installation):
        assert_same_state(published[entry.version], plain.learner(entry.version))
    last = plain.learner(newest(installation).version)
    rows = {terminal_id: list(risk.to_row()) for terminal_id, risk in last.risks.items()}
    assert served_risks(installation) == rows
    assert [obeyed(installation, f"command-{number}") for number in range(len(DELAYS))] == [1] * len(DELAYS)


def restarted(stack: Stack, name: str) -> "subprocess.Popen[bytes]":
    learning = stack.start("learning")
    wait_until(lambda: obeyed(stack, name) == 1, f"{name} is obeyed", 60)
    return learning

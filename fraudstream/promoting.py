"""Another model in the place of the serving one, at the same place in the training log."""

from collections.abc import AsyncIterator, Callable
from typing import Protocol

from fraudstream.core.challengers import Challenger, KeyedChallenger, catching_up
from fraudstream.core.learning import REMEMBERED_LABELS, Learner
from fraudstream.core.learning_outcomes import Limits
from fraudstream.core.messages import TrainingExample
from fraudstream.core.registry import Demote, Promote
from fraudstream.core.snapshot import decode_snapshot
from fraudstream.errors import InvalidInput


class ExampleLog(Protocol):
    """The training log, as :class:`~fraudstream.rebuilding.ModelRebuilder` reads it."""

    def examples(self, start: int, end: int) -> AsyncIterator[tuple[int, TrainingExample]]:
        """Yield the training examples from one offset to before another, others given their turn."""
        ...

    async def require(self, start: int) -> None:
        """Refuse with ``InvalidInput`` when the log does not reach back to an offset any more."""
        ...


async def teach(log: ExampleLog, challenger: Challenger, goal: Callable[[], int], limits: Limits) -> None:
    """Teach a challenger every example from behind its last one up to ``goal()``, in the order of the log.

    The goal may move meanwhile: when this returns, nothing lies between. Older examples are read too, as far
    back as the learner remembers labels, so that those are passed over which it passed over. May be
    cancelled at any moment: the challenger then has learned up to its offset. ``limits`` are the learner's.
    """
    hearing = catching_up(challenger, limits)
    at = max(0, challenger.offset + 1 - REMEMBERED_LABELS)
    while challenger.offset < (end := goal()):
        async for offset, example in log.examples(at, end + 1):
            if offset <= challenger.offset:
                hearing.remember(example, offset)
            else:
                hearing.learn(example, offset)
                challenger.offset = offset
        challenger.offset = max(challenger.offset, end)
        at = end + 1


async def promoted(log: ExampleLog, command: Promote | Demote, present: Learner, lineage: int) -> Learner:
    """Return a learner that goes on with the model a command brings, at the place of the present one.

    Weights and constants are the model's, taught what it has not learned yet; what labels have taught about
    looks and terminals is the present learner's. The present one is not changed, and not to be used again
    once the other is. ``lineage`` is the version of the last command obeyed.

    Raises
    ------
    InvalidInput
        Another command was obeyed since this one was given. The model serves already, has come to another
        place than the command says or one that is not in the training log, or examples are gone that it has
        not learned.
    InvalidSnapshot
        Its state is none.
    """
    if command.since < lineage:
        fault = f"another command came first: version {lineage} has begun to serve since this one was given"
        raise InvalidInput(fault)
    found = decode_snapshot(command.snapshot)
    name, offset, here = found.design.name, found.training_offset, present.training_offset
    if (name, offset) != (command.model, command.training_offset):
        fault = (
            f"expected the state of {command.model} at training offset {command.training_offset}, got that of"
            f" {name} at {offset}"
        )
        raise InvalidInput(fault)
    if name == present.design.name:
        fault = f"{name} serves already"
        raise InvalidInput(fault)
    if offset > here:
        fault = f"{name} has learned up to training offset {offset}, the training log ends at {here}"
        raise InvalidInput(fault)
    await log.require(offset + 1)
    challenger = KeyedChallenger.of(found)
    await teach(log, challenger, lambda: here, present.limits)
    return present.with_model(challenger.snapshot())

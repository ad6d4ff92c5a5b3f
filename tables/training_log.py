"""The log of training examples, as a model that is behind reads it."""

import asyncio
from collections.abc import Callable

from fraudstream.core.challengers import Challenger, Hearing, catching_up
from fraudstream.core.codec import decode_training_example
from fraudstream.core.learning import REMEMBERED_LABELS
from fraudstream.delivery.logs import LogReader
from fraudstream.errors import InvalidMessage

#: Examples learned before others of this loop go on.
TURN_EXAMPLES = 200


async def catch_up(reader: LogReader, topic: str, challenger: Challenger, goal: Callable[[], int]) -> None:
    """Teach a challenger every example from behind its last one up to ``goal()``, in the order of the log.

    The goal may move meanwhile: when this returns, nothing lies between. Older examples are read too, as far
    back as the learner remembers labels, so that those are passed over which it passed over. May be
    cancelled at any moment: the challenger then has learned up to its offset.
    """
    hearing = catching_up(challenger)
    at = max(0, challenger.offset + 1 - REMEMBERED_LABELS)
    while challenger.offset < (end := goal()):
        number = 0
        async for record in reader.read(topic, 0, at, end + 1):
            try:
                example = decode_training_example(record.value)
            except InvalidMessage:
                continue  # it went to the dead letters when it was new
            if record.offset <= challenger.offset:
                hearing.remember(example)
            else:
                hearing.learn(example, record.offset)
                challenger.offset = record.offset
            number += 1
            if number % TURN_EXAMPLES == 0:
                await asyncio.sleep(0)
        challenger.offset = max(challenger.offset, end)
        at = end + 1


async def hear_again(reader: LogReader, topic: str, hearing: Hearing, heard: int) -> None:
    """Remember the labels heard up to an offset, so that none is learned or compared twice."""
    hearing.training_offset = heard
    async for record in reader.read(topic, 0, max(0, heard + 1 - REMEMBERED_LABELS), heard + 1):
        try:
            hearing.remember(decode_training_example(record.value))
        except InvalidMessage:
            continue  # it went to the dead letters when it was new

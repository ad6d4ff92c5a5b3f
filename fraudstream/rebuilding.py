"""Making any version of the model again, bit for bit: from the nearest one kept whole, by learning on."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

from fraudstream.core.codec import decode_training_example
from fraudstream.core.kept_model import HEAD, KeptModel, decode_kept
from fraudstream.core.learning import REMEMBERED_LABELS, Learner
from fraudstream.core.messages import TrainingExample
from fraudstream.core.model_design import ModelDesign
from fraudstream.core.registry import Demote, Entry, LeftOut, ModelCommand, Promote, Rollback, Standing
from fraudstream.core.relearning import Relearning
from fraudstream.errors import InvalidInput, InvalidMessage, InvalidSnapshot
from fraudstream.promoting import promoted
from fraudstream.registry import Logs, ModelRegistry
from fraudstream.topics import Topics

TURN_EXAMPLES = 500
"""Examples learned before others of this loop go on: about five milliseconds."""

FETCHED_PARTS = 4
"""Records of a kept model read at once: each can be a megabyte."""


class NewState(NamedTuple):
    """What a command leads to: a learner at the present end of the training log, and where it comes from."""

    learner: Learner
    left_out: tuple[LeftOut, ...]
    parent: int


class ModelRebuilder:
    """Learns again what was learned before.

    Parameters
    ----------
    topics
        Of the installation.
    logs
        Reads them.
    """

    def __init__(self, topics: Topics, logs: Logs) -> None:
        self._registry = ModelRegistry(topics, logs)
        self._kept = topics.kept_models.name
        self._examples_topic = topics.training_examples.name
        self._logs = logs

    async def load(self, entry: Entry) -> tuple[Learner, tuple[LeftOut, ...]]:
        """Return a learner as it stood at the base of a version, and what is left out of its lineage.

        Raises
        ------
        InvalidSnapshot
            The kept model is damaged, or not there any more.
        """
        kept = await self._load_kept(entry)
        if kept is None:
            return Learner(limits=entry.limits), ()
        learner = Learner.restore(kept.snapshot, kept.risks, limits=entry.limits)
        await self.remember_labels(learner, kept.left_out)
        return learner, kept.left_out

    async def left_out(self, entry: Entry) -> tuple[LeftOut, ...]:
        """Return what a version has not learned though its offset is above; raises as :meth:`load` does."""
        kept = await self._load_kept(entry)
        return () if kept is None else kept.left_out

    async def _load_kept(self, entry: Entry) -> KeptModel | None:
        if entry.kept_at < 0:
            return None
        records: list[tuple[bytes | None, bytes | None]] = []
        at, end = entry.kept_at, (await self._logs.bounds(self._kept, 0)).end
        while at < end and not any(key == HEAD for key, _ in records):
            async for record in self._logs.read(self._kept, 0, at, at + FETCHED_PARTS):
                if records or record.offset == entry.kept_at:  # else its first records are gone
                    records.append((record.key, record.value))
            at += FETCHED_PARTS
        kept = decode_kept(records)
        if kept.snapshot.version != entry.base:
            fault = f"expected the kept model {entry.base}, got {kept.snapshot.version}"
            raise InvalidSnapshot(fault)
        return kept

    async def remember_labels(self, learner: Learner, left_out: tuple[LeftOut, ...]) -> None:
        """Give a learner made from a snapshot the labels it would still know by heart."""
        end = learner.training_offset + 1
        async for offset, example in self.examples(max(0, end - REMEMBERED_LABELS), end):
            is_left_out = any(part.covers(offset, example) for part in left_out)
            learner.remember(example, offset, left_out=is_left_out)

    async def examples(self, start: int, end: int) -> AsyncIterator[tuple[int, TrainingExample]]:
        """Yield the training examples from one offset to before another; dead letters are passed over."""
        number = 0
        async for record in self._logs.read(self._examples_topic, 0, start, end):
            try:
                yield record.offset, decode_training_example(record.value)
            except InvalidMessage:
                continue  # it went to the dead letters when it was new
            number += 1
            if number % TURN_EXAMPLES == 0:
                await asyncio.sleep(0)

    async def require(self, start: int) -> None:
        """Refuse with ``InvalidInput`` when the training log does not reach back to an offset any more."""
        low = (await self._logs.bounds(self._examples_topic, 0)).low
        if low > start:
            fault = f"training examples from offset {start} on are needed, the log begins at {low}"
            raise InvalidInput(fault)

    async def replay(self, learner: Learner, left_out: tuple[LeftOut, ...], until: int) -> None:
        """Let a learner take the examples up to an offset, passing over those that are left out.

        Raises
        ------
        InvalidInput
            Some of them are not in the training log any more.
        """
        start = learner.training_offset + 1
        if start > until:
            return
        await self.require(start)
        relearning = Relearning(learner, left_out)
        async for offset, example in self.examples(start, until + 1):
            relearning.take(example, offset)

    async def rebuild(self, entry: Entry) -> tuple[Learner, tuple[LeftOut, ...]]:
        """Return a learner as it stood at a version, and what is left out of that version.

        Raises
        ------
        InvalidInput
            Training examples it needs are gone, or it comes out otherwise than it was published.
        InvalidSnapshot
            Its base is damaged, or not there any more.
        """
        learner, left_out = await self.load(entry)
        await self._advance(learner, left_out, entry)
        return learner, left_out

    async def _advance(self, learner: Learner, left_out: tuple[LeftOut, ...], entry: Entry) -> None:
        await self.replay(learner, left_out, entry.training_offset)
        if (learner.training_offset, learner.learned) != (entry.training_offset, entry.learned):
            fault = (
                f"model version {entry.version} had learned {entry.learned} examples up to offset"
                f" {entry.training_offset}; made again it has learned {learner.learned} up to"
                f" {learner.training_offset}: the training log is not the same any more"
            )
            raise InvalidInput(fault)
        learner.version = entry.version

    async def rebuild_each(self, entries: Iterable[Entry]) -> AsyncIterator[tuple[Entry, Learner]]:
        """Yield several versions, by lineage and in rising order, in one pass over the examples of each.

        The learner yielded is changed by the next step.
        """
        learner: Learner | None = None
        left_out: tuple[LeftOut, ...] = ()
        before: Entry | None = None
        for entry in sorted(entries, key=lambda one: (one.lineage, one.version)):
            if learner is None or before is None or not _follows(before, entry):
                learner, left_out = await self.load(entry)
            before = entry
            await self._advance(learner, left_out, entry)
            yield entry, learner

    async def follow(self, command: ModelCommand, present: Learner, standing: Standing) -> NewState:
        """Return the state a command leads to from the ``present`` one, at the same offset.

        After a rollback everything from the version's offset to here is left out; it is not learned again.
        Sources that are in quarantine stay there. A relearning learns by the constants and terms of the
        present model. After a promotion what is left out stays so, as far as it does not lie in the weights.

        Raises
        ------
        InvalidInput
            The command cannot be obeyed.
        InvalidSnapshot
            What it needs is damaged, or not there any more.
        """
        here = present.training_offset
        if isinstance(command, Promote | Demote):
            learner = await promoted(self, command, present, standing.lineage)
            return NewState(learner, standing.left_out, present.version)
        if isinstance(command, Rollback):
            entry = await self._registry.find(command.version)
            learner, left_out = await self.rebuild(entry)
            learner.trust.keep_quarantines(present.trust)
            if entry.training_offset < here:
                left_out = (*left_out, LeftOut(entry.training_offset, here))
            parent = entry.version
        else:
            until = here if command.until is None else command.until
            if until > here:
                fault = f"expected an offset up to {here}, where the learner is, got {until}"
                raise InvalidInput(fault)
            learner, parent = await self._untouched(min(command.since, until + 1), present.design)
            left_out = (
                *([LeftOut(command.since - 1, until, command.without)] if command.without else []),
                *([LeftOut(until, here)] if until < here else []),
            )
        learner.limits = present.limits
        await self.replay(learner, left_out, here)
        return NewState(learner, left_out, parent)

    async def _untouched(self, since: int, design: ModelDesign) -> tuple[Learner, int]:
        """Return a learner of a design that has learned everything up to some offset before one.

        And its version; 0 for one that has learned nothing yet.
        """
        newest = await self._registry.newest(1)
        version = newest[0].version if newest else 0
        while version > 0 and since > 0:
            entry = await self._registry.find(version)
            if entry.kept_at < 0:
                break
            base = await self._registry.kept_as(entry)
            if base.training_offset < since:
                learner, left_out = await self.load(base)
                if not left_out and learner.design == design:
                    return learner, base.version
            version = await self._registry.before(base.version)
        return Learner(design=design), 0


def _follows(before: Entry, entry: Entry) -> bool:
    """Whether to learn on from one version to another rather than to begin at the latter's base."""
    gap = entry.training_offset - before.training_offset
    same = all(getattr(before, name) == getattr(entry, name) for name in ("lineage", "code", "limits"))
    return same and gap <= REMEMBERED_LABELS

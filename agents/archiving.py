"""Every classification goes to the archive, once."""

from collections.abc import Sequence
from functools import partial

from fraudstream.app import AgentApp
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.work import Work


class ArchiveClassifications:
    """Archive classifications (MongoDB, or SQLite in the embedded cluster)."""

    def __init__(self, app: AgentApp, epoch: EpochGuard) -> None:
        self._context = app.context
        self._epoch = epoch
        self._unchecked: Sequence[int] = ()
        self._open = self._context.opener("archive", self._context.archive.open)

    async def take_over(self, partitions: Sequence[int]) -> None:
        """Have the epoch of the archive compared before the next write to it."""
        self._unchecked = partitions

    def waits_for(self, part: RecordSlice) -> None:
        """Judge every slice at once."""

    def judge(self, part: RecordSlice) -> Work:
        """Store the whole slice; positions already there stay as they are."""
        return Work(early=partial(self._store, [record.value for record in part.messages()]))

    async def _store(self, encoded: list[bytes]) -> None:
        await self._open()
        async with self._context.using("archive"):
            if self._unchecked:
                await self._epoch.check_store(self._unchecked)
                self._unchecked = ()
            new = await self._context.archive.store(encoded)
        self._context.metrics.archive_stored.inc(new)


def attach(app: AgentApp) -> None:
    """Make an app archive classifications."""
    context = app.context
    epoch = EpochGuard(
        context.log_reader,
        epoch=context.settings.epoch,
        source=context.topics.transactions.name,
        stored=context.archive.highest_offsets,
        store_name="the archive",
    )
    lane = app.open_lane(context.topics.classifications, epoch=epoch)
    lane.attach(ArchiveClassifications(app, epoch), agent_name="archive_classifications")

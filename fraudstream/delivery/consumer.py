"""Faust's consumer, made exact for slices.

Every override names the stock behaviour it replaces. Private names relied on
(``tests/delivery/test_private_names.py`` pins each): ``Consumer._acked``, ``Consumer._acked_index``,
``Consumer._add_gap``, ``Consumer._committed_offset``, ``Consumer._get_active_partitions``,
``Consumer._is_changelog_tp``, ``Consumer._new_consumer_thread``, ``Consumer._new_offset``.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import faust
from faust.tables.manager import TableManager
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from fraudstream.delivery import unpacking
from fraudstream.delivery.fetching import Fetching, SliceConsumerInLoop, SliceConsumerThread
from fraudstream.delivery.slices import RecordSlice, is_sliced

if TYPE_CHECKING:
    from fraudstream.delivery.lane import Lane


class SliceConsumer(driver.Consumer):
    """Commits a slice only when its agent marked it processed; moves positions only while nothing flows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        #: Where the hole before a slice begins, by the slice's partition and last offset.
        self._slice_from: dict[tuple[TP, int], int] = {}
        #: First offset and end of the slices that were processed and are not committed yet.
        self._done: defaultdict[TP, dict[int, int]] = defaultdict(dict)
        self._room: asyncio.Event | None = None

    @property
    def lane(self) -> "Lane | None":
        """The lane of this app's agent, once it is attached."""
        return cast("SliceTransport", self.transport).lane

    def _new_consumer_thread(self) -> driver.AIOKafkaConsumerThread:
        fetching = cast("SliceTransport", self.transport).fetching
        made = SliceConsumerThread if fetching.in_thread else SliceConsumerInLoop
        return made(self, fetching=fetching, loop=self.loop, beacon=self.beacon)

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        # A slice makes Faust's offset jump, and stock counts every jump as acknowledged at delivery: a
        # slice thrown away by a rebalance would be committed unprocessed. Remember the jump and count it
        # when the slice is done.
        if is_sliced(tp.topic):
            self._slice_from[tp, offset_to] = offset_from
        else:
            await super()._add_gap(
                tp, offset_from, offset_to - 1
            )  # stock includes the delivered offset itself

    def ack(self, message: Any) -> bool:
        """Count a slice's offsets as done, if and only if the slice was processed.

        Stock acknowledges whatever leaves a stream: skipped, cancelled and failed events too.
        """
        part = message.value
        if not isinstance(part, RecordSlice) or message.acked:
            return super().ack(message)
        start = min(part.first, self._slice_from.pop((message.tp, message.offset), part.first))
        if not part.processed:
            message.acked = True
            self.unacked.discard(message)
            return False
        acked = super().ack(message)
        if acked:
            self._done[message.tp][start] = message.offset + 1
        return acked

    def _new_offset(self, tp: TP) -> int | None:
        """Return the offset behind the slices that are done without a hole before them; None for none.

        Stock knows single offsets: it would write out those of each slice, sort them, and look for the first
        that is missing.
        """
        if not is_sliced(tp.topic):
            return super()._new_offset(tp)
        done = self._done[tp]
        committed = self._committed_offset[tp]
        end: int | None = None
        for start in sorted(done):
            # After a seek, what is read first is told to begin one offset late if there is a hole before it.
            if start > (committed or start) + 1 if end is None else start > end:
                break
            end = done.pop(start)
        if end is not None:
            passed = [offset for offset in self._acked[tp] if offset < end]
            self._acked[tp] = [offset for offset in self._acked[tp] if offset >= end]
            self._acked_index[tp].difference_update(passed)
        return end

    def on_buffer_full(self, tp: TP) -> None:
        """Ignore Faust's own back-pressure for slices: :meth:`hold` is ours, a partition at a time."""
        if not is_sliced(tp.topic):
            super().on_buffer_full(tp)

    def hold(self, tp: TP) -> None:
        """Stop fetching one partition; what this fetch already brought still comes."""
        driver.Consumer.on_buffer_full(self, tp)

    def release(self, tp: TP) -> None:
        """Fetch a held partition again, at once."""
        self.on_buffer_drop(tp)
        if self._room is not None:
            self._room.set()

    async def sleep(self, n: Any, **kwargs: Any) -> None:
        """Sleep, but wake up as soon as a held partition has room.

        Stock sleeps a whole second when every partition is held. To let other tasks run, which it does
        before each fetch, it makes a task and cancels it.
        """
        if not n:
            await asyncio.sleep(0)
        elif n == 1 and not self._get_active_partitions():
            self._room = asyncio.Event()
            try:
                await asyncio.wait_for(self._room.wait(), 1)
            except TimeoutError:
                pass
            finally:
                self._room = None
        else:
            await super().sleep(n, **kwargs)

    async def perform_seek(self) -> None:
        """Seek to the committed offsets while nothing flows; recovery resumes the flow right after.

        Stock resumes the partitions first, so that records of the old position mix with those of the new.
        """
        if self.flow_active:
            self.stop_flow()
        self._slice_from.clear()
        self._done.clear()
        await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek to the committed offsets, and to the beginning where nothing has been committed yet.

        aiokafka leaves a partition without a commit where it happens to stand, past records that recovery
        threw away.
        """
        committed = await super().seek_to_committed()
        fresh = [
            tp
            for tp in self.assignment()
            if is_sliced(tp.topic) and not self._is_changelog_tp(tp) and not committed.get(tp)
        ]
        if fresh:
            # Not ``seek``: that one reaches from this thread into what the consumer's may be unpacking.
            await self.seek_wait(await self.earliest_offsets(*fresh))
        return committed

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Let go of work that a store keeps waiting, so that a rebalance never waits for a store."""
        if self.lane is not None:
            self.lane.let_go()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Take over partitions: check the epoch and fence older owners before recovery reads the changelog.

        The flow is on when a worker starts; stock would deliver records while this waits.
        """
        if self.flow_active:
            self.stop_flow()
        if self.lane is not None:
            await self.lane.take_over(assigned)
        await super().on_partitions_assigned(assigned, generation_id)


class SliceTransport(driver.Transport):
    """Faust's transport with the consumer above."""

    Consumer = SliceConsumer
    lane: "Lane | None" = None
    fetching = Fetching()


class QuickTables(TableManager):
    """Faust's table manager without the fixed second that it sleeps at each start to let agents register."""

    async def sleep(self, n: Any, **kwargs: Any) -> None:
        """Sleep, but 20 ms where stock sleeps its fixed second: ours registers its one agent beforehand."""
        await super().sleep(0.02 if n == 1.0 else n, **kwargs)


def install(app: faust.App, fetching: Fetching) -> SliceTransport:
    """Give an app the transport above, before anything has asked for its consumer."""
    transport = SliceTransport(app.conf.broker_consumer, app)
    transport.fetching = fetching
    unpacking.install()
    app.transport = transport
    return transport

"""One agent's way from slices to checkpoints: nothing lost, nothing doubled.

A lane belongs to one Faust app with one agent. It judges slices as they come, hands what follows to the
delivery of their partition, holds back a partition whose work piles up without stopping the others, and takes
partitions over so that no earlier owner can write to them any more.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

import faust
from faust.types import TP, EventT, StreamT

from fraudstream.delivery.backlog import Backlog
from fraudstream.delivery.handover import Handover, LetGo
from fraudstream.delivery.partition import PartitionDelivery, Route
from fraudstream.delivery.pending import slice_of
from fraudstream.delivery.slices import sliced_topic
from fraudstream.delivery.stopping import stops_if_failing
from fraudstream.delivery.work import Consumer, SliceHandler, Work


class Lane:
    """Delivers one agent's work.

    Parameters
    ----------
    route
        Where it goes.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self.owned: set[int] = set()
        #: While there is any work in hand, memory is ahead of the changelog.
        self.backlog = Backlog(
            route.agent,
            route.metrics,
            hold=lambda partition: self._consumer.hold(TP(route.source, partition)),
            release=lambda partition: self._consumer.release(TP(route.source, partition)),
        )
        self._handler: SliceHandler | None = None
        self._handover = Handover(route.agent)
        self._deliveries: dict[int, PartitionDelivery] = {}

    def attach(self, handler: SliceHandler, *, agent_name: str) -> None:
        """Make ``handler`` the app's one agent."""
        self._handler = handler
        app = self.route.app

        async def run(stream: StreamT[Any]) -> None:
            async for event in cast("faust.Stream[Any]", stream).noack().events():
                await self._accept(event, handler)

        run.__doc__ = handler.__doc__
        run.__name__ = agent_name
        app.agent(sliced_topic(app, self.route.source), name=agent_name)(run)

    async def _accept(self, event: EventT[Any], handler: SliceHandler) -> None:
        part = slice_of(event)
        with stops_if_failing(self.route.agent, f"judge {part!r}"):
            try:
                waiting = handler.waits_for(part)
                if waiting is not None:
                    await self._handover.wait_for(waiting)
                if event.message.generation_id != self.route.app.consumer_generation_id:
                    raise LetGo  # noqa: TRY301 - the one way out for what the next owner reads again
                work = handler.judge(part)
            except LetGo:
                event.ack()  # unprocessed: acknowledged to Faust, never counted by the consumer
                return
        self.put(part.partition, work, event=event)

    def put(self, partition: int, work: Work, *, event: EventT[Any] | None = None) -> None:
        """Queue work for a partition behind what is already there; a timer's work has no event.

        Work for a partition that is not ours any more is dropped: its owner does it.
        """
        if partition not in self.owned:
            if event is not None:
                event.ack()  # unprocessed, as above
            return
        delivery = self._deliveries.get(partition)
        if delivery is None:
            delivery = PartitionDelivery(self.route, partition, self._handover, self.backlog)
            self._deliveries[partition] = delivery
        delivery.put(work, event)

    @property
    def _consumer(self) -> Consumer:
        return self.route.app.consumer  # type: ignore[return-value] # our own SliceConsumer

    def let_go(self) -> None:
        """Leave work that waits for a store to the next owner; what is being published still finishes."""
        self._handover.begin()
        for delivery in self._deliveries.values():
            delivery.hurry()

    async def take_over(self, assigned: Iterable[TP]) -> None:
        """Become the owner of exactly these partitions, before Faust recovers their state.

        1. Whatever is still queued here is dropped: nothing of this process is in flight afterwards.
        2. The epoch is checked; a mismatch ends the process with both offsets named.
        3. Older owners are fenced from the outputs and the changelog.
        4. State in memory is kept only where it provably equals the changelog; else it is forgotten and
           recovered.
        """
        route = self.route
        partitions = sorted(tp.partition for tp in assigned if tp.topic == route.source)
        self._handover.begin()
        clean = self._recovered()
        running = [task for delivery in self._deliveries.values() for task in delivery.cancel()]
        await asyncio.gather(*running, return_exceptions=True)
        self._deliveries.clear()
        self.backlog.clear()
        await route.producers.release(self.owned - set(partitions))
        self.owned = set(partitions)
        with stops_if_failing(route.agent, f"take over partitions {partitions}"):
            await route.epoch.check(partitions)
            claims = await asyncio.gather(*(self._fence(partition) for partition in partitions))
            if route.table is not None:
                route.table.take_over(
                    {p: claim for p, claim in zip(partitions, claims, strict=True) if claim is not None},
                    clean,
                )
            if self._handler is not None:
                await self._handler.take_over(partitions)
        self._handover.end()
        route.metrics.rebalances.labels(agent=route.agent).inc()

    def _recovered(self) -> set[int]:
        """Return the owned partitions of which memory holds just what the changelog does."""
        ahead = {partition for partition, delivery in self._deliveries.items() if delivery.is_ahead}
        return self.backlog.without_work(self.owned) - ahead

    async def _fence(self, partition: int) -> int | None:
        route = self.route
        logs = [route.output] if route.output is not None and route.aligned else []
        changelogs = [route.table.changelog_topic_name] if route.table is not None else []
        claims = await route.producers.claim(partition, logs, changelogs)
        return claims[changelogs[0]] if changelogs else None

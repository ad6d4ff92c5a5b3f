"""Where a consumer fetches: in its agent's event loop or, as stock Faust does, in a thread of its own.

Private names relied on (``tests/delivery/test_private_names.py`` pins each):
``AIOKafkaConsumerThread._create_worker_consumer``, ``AIOKafkaConsumerThread._gather_remaining_tasks``,
``AIOKafkaConsumerThread._serve`` and aiokafka's ``AIOKafkaConsumer._fetch_min_bytes``,
``AIOKafkaConsumer._fetch_max_wait_ms`` and ``AIOKafkaConsumer._key_deserializer``.
"""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from faust.transport.drivers import aiokafka as driver
from mode.utils.futures import maybe_async

from fraudstream.delivery import unpacking


class Fetching(NamedTuple):
    """How an agent's records are fetched.

    Attributes
    ----------
    min_bytes, max_wait_ms
        When a broker answers: once it has so many bytes, or has waited so long for them. A request costs a
        broker and its reader about as much as a hundred records, so readers that need not be the first to
        know let records gather.
    in_thread
        Fetch, commit and send heartbeats in a thread, as stock does: an agent may then compute for longer
        than its session lasts. Threads wait for each other's turn with the interpreter, though; where no
        agent computes for long, one event loop does more, and sooner: ADR 0007.
    """

    min_bytes: int = 1
    max_wait_ms: int = 20
    in_thread: bool = False


class SliceConsumerThread(driver.AIOKafkaConsumerThread):
    """The consumer's thread, with a fetch wait that fits a stream.

    Stock waits up to 1.5 s at the broker for a partition that was just drained; one fetch is in flight for
    each broker, so every other partition waits with it.
    """

    def __init__(self, *args: Any, fetching: Fetching, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fetching = fetching

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_min_bytes = self.fetching.min_bytes
        consumer._fetch_max_wait_ms = self.fetching.max_wait_ms
        consumer._key_deserializer = unpacking.AS_UNPACKED
        return consumer

    async def on_thread_stop(self) -> None:
        """Stop the consumer, whatever its fetches are doing.

        aiokafka cancels its fetches when it stops, and one that was waiting to try again passes the
        cancellation on to whoever stops it. The group has been left by then; but this thread would end with
        an error, and the application would wait for it for ever.
        """
        with contextlib.suppress(asyncio.CancelledError):
            await super().on_thread_stop()


class _LoopWorker:
    """Takes the place of a consumer's thread, and serves the consumer in the event loop it was made in."""

    def __init__(self, service: "SliceConsumerInLoop") -> None:
        self.service = service
        self._serving: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._serving = asyncio.create_task(self.service._serve(), name=self.service.label)
        self._serving.add_done_callback(self._ended)

    def stop(self) -> None:
        """Nothing to join: the service has ended by now."""

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:  # told already: it has crashed the app
            self.service.set_shutdown()


class SliceConsumerInLoop(SliceConsumerThread):
    """The same consumer without a thread: it lives in the event loop of its agent."""

    Worker = cast(Any, _LoopWorker)

    def __init__(self, *args: Any, loop: asyncio.AbstractEventLoop, **kwargs: Any) -> None:
        super().__init__(*args, loop=loop, thread_loop=loop, **kwargs)

    async def call_thread(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of the consumer: there is no other thread to ask."""
        return await maybe_async(fun(*args, **kwargs))

    async def _gather_remaining_tasks(self) -> None:
        # Stock cancels every task of the thread's event loop. This one is not the consumer's alone.
        pass

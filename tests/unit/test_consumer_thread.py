"""The thread of Faust's consumer ends in order."""

import asyncio

import pytest
from faust.transport.drivers import aiokafka as driver

from fraudstream.delivery.consumer import SliceConsumerThread


async def test_a_fetch_that_waits_to_try_again_does_not_keep_a_worker_from_stopping(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # aiokafka's fetcher awaits each fetch that it cancels: the cancellation comes out of the consumer's stop
    async def stop(self: object) -> None:
        fetch = asyncio.ensure_future(asyncio.sleep(60))
        await asyncio.sleep(0)
        fetch.cancel()
        await fetch

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_thread_stop", stop)
    thread = object.__new__(SliceConsumerThread)

    await asyncio.wait_for(thread.on_thread_stop(), 5)

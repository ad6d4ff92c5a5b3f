"""Where a consumer fetches: in a thread of its own or in the event loop of its agent."""

import asyncio
import threading

import pytest

from fraudstream.app import create_app
from fraudstream.context import WorkerContext
from fraudstream.delivery.fetching import Fetching, SliceConsumerInLoop, SliceConsumerThread
from fraudstream.settings import Role, Settings
from tests.delivery.faust_consumer import consumer, thread_of

IN_LOOP = Fetching(in_thread=False)


async def test_a_consumer_in_its_agents_loop_is_asked_in_this_very_thread() -> None:
    made = thread_of(consumer(IN_LOOP))

    async def where(word: str) -> tuple[str, int]:
        return word, threading.get_ident()

    assert made.thread_loop is made.parent_loop
    assert await made.call_thread(where, "here") == ("here", threading.get_ident())


async def test_a_consumer_in_its_agents_loop_starts_no_thread_and_stops_without_touching_other_tasks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []

    async def noted(self: SliceConsumerInLoop) -> None:
        told.append("consumer starts" if not told else "consumer stops")

    monkeypatch.setattr(SliceConsumerInLoop, "on_start", noted)
    monkeypatch.setattr(SliceConsumerInLoop, "on_thread_stop", noted)
    made, other = thread_of(consumer(IN_LOOP)), asyncio.create_task(asyncio.sleep(60))
    threads = threading.active_count()
    await made.start()
    assert threading.active_count() == threads
    await asyncio.wait_for(made.stop(), 5)
    assert told == ["consumer starts", "consumer stops"]
    assert not other.done()
    other.cancel()


async def test_a_consumer_in_its_agents_loop_that_cannot_start_says_why(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def failing(self: SliceConsumerInLoop) -> None:
        msg = "no broker"
        raise ConnectionError(msg)

    monkeypatch.setattr(SliceConsumerInLoop, "on_start", failing)
    made = thread_of(consumer(IN_LOOP))
    with pytest.raises(ConnectionError, match="no broker"):
        await made.start()
    assert "no broker" in capfd.readouterr().err
    await asyncio.wait_for(made.stop(), 5)


@pytest.mark.parametrize(
    ("role", "kind"),
    [
        (Role.SCORING, SliceConsumerInLoop),
        (Role.SINKS, SliceConsumerInLoop),
        (Role.LEARNING, SliceConsumerThread),
    ],
)
async def test_only_a_learner_fetches_in_a_thread(
    role: Role, kind: type[SliceConsumerThread], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tmp_path_factory.mktemp("data")
    settings = Settings.load(
        {"FRAUDSTREAM_DATA_DIR": str(data), "FRAUDSTREAM_MONGO_URL": f"sqlite:///{data}/a"}
    )
    app = create_app(settings, role, WorkerContext(settings))
    made = thread_of(app.consumer)
    assert type(made) is kind
    if kind is SliceConsumerThread:
        made.thread_loop.close()

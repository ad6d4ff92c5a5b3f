"""A worker small enough to be checked by hand: it tallies amounts per key, through a lane, with a table.

Run as ``python -m tests.adversity.tallying`` with the settings of a worker in its environment. Each output
says how many records of its key came before it and their sum, so that any loss, doubling or disorder
anywhere shows in some output. ``TALLY_KILL`` names a moment (``before``, ``published``, ``written``) at
which the process kills itself once in ``TALLY_KILL_EVERY`` slices; ``TALLY_FREEZE`` one at which it stops
itself, to be woken as a zombie; ``TALLY_SHUT`` a file during whose existence partition 0 waits for a store
that is down. With ``TALLY_FETCH=thread`` records are fetched in a thread, as a learner's are.
"""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

import msgspec

from fraudstream.app import AgentApp, ProcessServices
from fraudstream.context import WorkerContext
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.fencing import FencedProducers
from fraudstream.delivery.fetching import Fetching
from fraudstream.delivery.records import OutRecord
from fraudstream.delivery.slices import RecordSlice
from fraudstream.delivery.table import SliceTable
from fraudstream.delivery.work import Work
from fraudstream.errors import StoreUnavailable
from fraudstream.logs import configure_logs
from fraudstream.settings import Settings

MOMENTS = ("before", "published", "written")


class Tally(msgspec.Struct, array_like=True):
    """Records and their sum of one key, up to ``applied``."""

    applied: int = -1
    number: int = 0
    total: int = 0


class State:
    """Tallies of one partition."""

    def __init__(self, _: int) -> None:
        self.tallies: dict[bytes, Tally] = {}

    def restore(self, key: bytes, value: bytes | None) -> None:
        assert value is not None
        self.tallies[key] = msgspec.msgpack.decode(value, type=Tally)

    def view(self) -> Mapping[Any, Any]:
        return self.tallies


def maybe(variable: str, moment: str, number: int) -> None:
    """Kill or freeze this process if it is told to at this moment, once in so many slices."""
    if os.environ.get(variable) == moment and random.random() < 1 / int(
        os.environ.get(f"{variable}_EVERY", "20")
    ):
        os.kill(os.getpid(), number)


async def refuse_while_shut() -> None:
    """Be a store that is down for as long as the file is there."""
    if os.path.exists(os.environ.get("TALLY_SHUT", "")):
        store, reason = "door", "it is shut"
        raise StoreUnavailable(store, reason)


class HarmfulProducers(FencedProducers):
    """Producers that may kill or freeze their process around a send."""

    async def send(
        self, partition: int, topic: str, records: Sequence[OutRecord], **kwargs: Any
    ) -> int | None:
        kind = "written" if topic.endswith("-changelog") else "published"
        if kind == "published":
            maybe("TALLY_KILL", "before", signal.SIGKILL)
            maybe("TALLY_FREEZE", "before", signal.SIGSTOP)
        done = await super().send(partition, topic, records, **kwargs)
        maybe("TALLY_KILL", kind, signal.SIGKILL)
        maybe("TALLY_FREEZE", kind, signal.SIGSTOP)
        return done


class TallyAmounts:
    """Publish the running tally of each record's key."""

    def __init__(self, table: SliceTable[State], delay: float) -> None:
        self._table = table
        self._delay = delay

    async def take_over(self, partitions: Sequence[int]) -> None:
        pass

    def waits_for(self, part: RecordSlice) -> Awaitable[None] | None:
        return asyncio.sleep(self._delay * len(part)) if self._delay else None

    def judge(self, part: RecordSlice) -> Work:
        tallies = self._table.of(part.partition).tallies
        outputs, dirty = [], {}
        for record in part.records:
            tally = tallies.setdefault(record.key, Tally())
            if record.offset > tally.applied:
                tally.applied = record.offset
                tally.number += 1
                tally.total += int(record.value)
            dirty[record.key] = tally
            source = {"epoch": 1, "partition": part.partition, "offset": record.offset}
            value = {
                "source": source,
                "transaction": {"transaction_id": record.value.decode()},
                "number": tally.number,
                "total": tally.total,
            }
            outputs.append(OutRecord(record.offset, record.key, msgspec.json.encode(value), record.timestamp))
        return Work(
            before=refuse_while_shut if part.partition == 0 else None,
            outputs=outputs,
            changes=[(key, msgspec.msgpack.encode(tally)) for key, tally in dirty.items()],
        )


def main() -> None:
    """Run the worker until it is told to stop."""
    settings = Settings.load(os.environ)
    configure_logs(settings)
    context = WorkerContext(settings)
    app = AgentApp(context, "scoring", fetching=Fetching(in_thread=os.environ.get("TALLY_FETCH") == "thread"))
    app.producers = HarmfulProducers(str(app.conf.id), context.kafka)
    table: SliceTable[State] = app.table("card-history", new=State, restore=State.restore, view=State.view)
    topics = context.topics
    epoch = EpochGuard(
        context.log_reader,
        epoch=settings.epoch,
        source=topics.transactions.name,
        outputs=[topics.classifications.name],
        transaction_id=lambda record: record.value.decode(),
    )
    lane = app.open_lane(topics.transactions, output=topics.classifications, table=table, epoch=epoch)
    lane.attach(TallyAmounts(table, float(os.environ.get("TALLY_DELAY", "0"))), agent_name="tally_amounts")
    app.starts_after(ProcessServices(context, [lane]))
    app.conf.web_enabled = False
    worker = app.Worker(quiet=True, loglevel=None, redirect_stdouts=False, override_logging=False)
    worker.execute_from_commandline()


if __name__ == "__main__":
    main()

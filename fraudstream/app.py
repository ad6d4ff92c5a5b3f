"""The Faust applications: which agents each role runs, and how they are put together.

Every agent has a Faust app, and so a consumer group, of its own: it commits, fails and falls behind alone,
and a store that is down stops nobody else. A role is the set of agents that share a process. ``faust -A
fraudstream.app worker -l info`` runs the role named by ``FRAUDSTREAM_ROLE``; ``fraudstream worker``
supervises one process a role.
"""

import asyncio
import contextlib
import faulthandler
import gc
import importlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import faust
import mode
from faust.app.base import BootStrategy

from fraudstream.connections import faust_broker
from fraudstream.context import WorkerContext
from fraudstream.delivery.consumer import QuickTables, SliceTransport, install
from fraudstream.delivery.epoch import EpochGuard
from fraudstream.delivery.fencing import FencedProducers
from fraudstream.delivery.fetching import Fetching
from fraudstream.delivery.lane import Lane
from fraudstream.delivery.partition import Route
from fraudstream.delivery.slices import SliceScheduler
from fraudstream.delivery.stopping import PromptWorker
from fraudstream.delivery.table import SliceTable
from fraudstream.delivery.watch import Watch
from fraudstream.errors import InvalidSettings, StoreUnavailable
from fraudstream.observability import Observability
from fraudstream.settings import Role, Settings
from fraudstream.topics import Topic

#: The agents of each role, in flow order. Named as text: agents import this module.
TOPOLOGY: Mapping[Role, tuple[str, ...]] = {
    Role.SCORING: ("agents.scoring",),
    Role.SINKS: ("agents.archiving", "agents.counting", "agents.alerting"),
    Role.LEARNING: ("agents.labelling", "agents.learning", "agents.watching"),
    Role.CHALLENGING: ("agents.challenging",),
}

#: What agents behind scoring let gather at the broker, unless it takes longer than ``gather_ms``: a hundred
#: classifications.
GATHER_BYTES = 65_536


class AgentApp(faust.App):
    """One agent with its lane, table and connections.

    Parameters
    ----------
    context
        What the agents of this process share.
    name
        The agent's module name, such as ``scoring``; the consumer group is ``<prefix>fraudstream-<name>``.
    fetching
        How its records are fetched.
    """

    def __init__(self, context: WorkerContext, name: str, *, fetching: Fetching, **options: Any) -> None:
        settings = context.settings
        self.context = context
        self.name = name
        self.lane: Lane | None = None
        self._first: list[mode.Service] = []
        self._companions: list[AgentApp] = []
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        super().__init__(
            context.topics.app_id(name),
            **faust_broker(settings),
            autodiscover=False,
            datadir=settings.data_dir / f"{name}-{os.getpid()}",
            broker_commit_interval=settings.commit_interval_seconds,
            broker_session_timeout=settings.session_timeout_seconds,
            broker_heartbeat_interval=settings.session_timeout_seconds / 3,
            consumer_group_instance_id=f"{settings.member_id}-{name}" if settings.member_id else None,
            topic_partitions=settings.partitions,
            topic_allow_declare=False,  # topics belong to the operator
            topic_disable_leader=True,
            table_standby_replicas=0,  # a standby in memory reads everything again when it is promoted
            stream_buffer_maxsize=16,  # slices, not records
            stream_wait_empty=True,
            worker_redirect_stdouts=False,
            Worker=PromptWorker,
            ConsumerScheduler=SliceScheduler,
            TableManager=QuickTables,
            **options,
        )
        self.slice_transport: SliceTransport = install(self, fetching)
        self.producers = FencedProducers(str(self.conf.id), context.kafka)
        context.health.expect(f"{name} recovered", "partitions are not assigned yet")

    def starts_after(self, service: mode.Service) -> None:
        """Have a service running before the agent is, and stopped after it."""
        self._first.append(service)

    def table(self, name: str, **kwargs: Any) -> SliceTable[Any]:
        """Declare the agent's table: see :class:`~fraudstream.delivery.table.SliceTable`."""
        return self.tables.add(  # type: ignore[return-value] # Faust returns what it was given
            SliceTable(self, name, partitions=self.context.settings.partitions, **kwargs)
        )

    def open_lane(
        self,
        source: Topic,
        *,
        output: Topic | None = None,
        aligned: bool = True,
        table: SliceTable[Any] | None = None,
        epoch: EpochGuard | None = None,
    ) -> Lane:
        """Make the agent's lane: see :class:`~fraudstream.delivery.partition.Route`."""
        context = self.context
        outputs = [output.name] if output is not None and aligned else []
        route = Route(
            app=self,
            agent=self.name,
            source=source.name,
            output=output.name if output is not None else None,
            aligned=aligned,
            table=table,
            producers=self.producers,
            epoch=epoch
            or EpochGuard(
                context.log_reader,
                epoch=context.settings.epoch,
                source=context.topics.transactions.name,
                outputs=outputs,
            ),
            metrics=context.metrics,
        )
        self.lane = self.slice_transport.lane = Lane(route)
        return self.lane

    def on_init_dependencies(self) -> Iterable[Any]:
        """Start our services before the agents, which need them."""
        return itertools.chain(self._first, super().on_init_dependencies())

    async def on_start(self) -> None:
        """Start the other agents of this process beside this one."""
        await super().on_start()
        for companion in self._companions:
            self.add_future(self._run(companion))

    async def _run(self, companion: "AgentApp") -> None:
        await self.add_runtime_dependency(companion)

    async def on_shutdown(self) -> None:
        """Close what the agent wrote with, once the consumer has seen every slice in work through."""
        await super().on_shutdown()
        await self.producers.stop()

    def on_rebalance_start(self) -> None:
        """Tell health that partitions are moving."""
        self.context.health.deny(f"{self.name} recovered", "partitions are being assigned")
        self.context.metrics.recovered.labels(agent=self.name).set(0)
        super().on_rebalance_start()

    def on_rebalance_end(self) -> None:
        """Tell health that every assigned partition is recovered and read."""
        super().on_rebalance_end()
        self.context.health.affirm(f"{self.name} recovered")
        self.context.metrics.recovered.labels(agent=self.name).set(1)


class _HeadlessBoot(BootStrategy):
    """Starts an app without Faust's web server: of the agents of a process, only the first has one."""

    enable_web = False


def create_app(settings: Settings, role: Role, context: WorkerContext | None = None) -> AgentApp:
    """Return the Faust app of a role; agents that share its process start with it.

    Connects to nothing.
    """
    shared = context or WorkerContext(settings)
    apps = [_attach(shared, module, _fetching(role, settings)) for module in TOPOLOGY[role]]
    first, *companions = apps
    for companion in companions:
        companion.boot_strategy = _HeadlessBoot(companion)
        companion.finalize()
    first._companions = companions
    first._first[:0] = [ProcessServices(shared, [app.lane for app in apps if app.lane is not None])]
    return first


def _fetching(role: Role, settings: Settings) -> Fetching:
    if role is Role.SCORING:
        return Fetching(settings.fetch_min_bytes, settings.fetch_wait_ms)
    # Others compute for milliseconds; a learner may for seconds, when it rebuilds what it has forgotten.
    return Fetching(GATHER_BYTES, settings.gather_ms, in_thread=role is Role.LEARNING)


def _attach(context: WorkerContext, module: str, fetching: Fetching) -> AgentApp:
    app = AgentApp(context, module.rpartition(".")[2], fetching=fetching)
    attach: Callable[[AgentApp], None] = importlib.import_module(module).attach
    attach(app)
    return app


class ProcessServices(mode.Service):
    """What a worker process runs once, whatever its agents: metrics, health, the reader of log ends."""

    #: How often gauges that nobody sets are brought up to date.
    interval_seconds = 1.0

    #: How often brokers are asked how far behind the agents are.
    lag_interval_seconds = 5.0

    def __init__(self, context: WorkerContext, lanes: Sequence[Lane], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        settings = context.settings
        self._context = context
        self._watch = Watch(lanes, context.metrics, context.health, context.log_reader, context.kafka)
        context.gauges.append(self._watch.refresh)
        self._observability = Observability(
            context.registry, context.health, settings.metrics_host, settings.metrics_port
        )

    async def on_start(self) -> None:
        """Begin to serve metrics and health."""
        await self._observability.start()

    async def on_stop(self) -> None:
        """Close what was opened for all agents."""
        await self._observability.stop()
        await self._watch.stop()
        await self._context.log_reader.stop()

    @mode.Service.task
    async def _open_stores(self) -> None:
        """Open what the agents will store into, so that health is true before there is traffic."""
        waiting = list(self._context.openers)
        while waiting and not self.should_stop:
            for open_store in tuple(waiting):
                with contextlib.suppress(StoreUnavailable):
                    await open_store()
                    waiting.remove(open_store)
            if waiting:
                await self.sleep(self.interval_seconds)

    @mode.Service.task
    async def _keep_gauges(self) -> None:
        while not self.should_stop:
            self._context.refresh(time.time())
            await self.sleep(self.interval_seconds)

    @mode.Service.task
    async def _keep_lag(self) -> None:
        while not self.should_stop:
            await self._watch.measure_lag()
            await self.sleep(self.lag_interval_seconds)


def run_worker(role: Role, settings: Settings) -> NoReturn:
    """Run the agents of a role in this process until it is told to stop, and end it with the exit status."""
    import uvloop  # noqa: PLC0415 - only a worker needs it

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())  # the consumers' threads make loops of their own
    faulthandler.enable()  # a crash in C leaves its stacks in the log
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = create_app(settings, role)
    # What is loaded by now stays: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    # What comes later comes by the thousand, is in no cycle, and is nearly all gone within a second. Looking
    # at it every 700 objects, as Python does, takes a twelfth of the time of the sinks; a look at 50,000
    # takes some milliseconds.
    gc.set_threshold(50_000)
    app.conf.web_enabled = False
    worker = app.Worker(loop=loop, quiet=True, loglevel=None, redirect_stdouts=False, override_logging=False)
    worker.spinner = None  # it writes control characters to the log of whoever supervises us
    worker.execute_from_commandline()


def __getattr__(name: str) -> Any:
    """Make ``app`` when ``faust -A fraudstream.app`` asks for it; importing this module makes nothing."""
    if name != "app":
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    settings = Settings.load(os.environ)
    if settings.role is None:
        msg = f"FRAUDSTREAM_ROLE: set it to one of {', '.join(TOPOLOGY)} to run a worker with faust"
        raise InvalidSettings(msg)
    globals()["app"] = created = create_app(settings, settings.role)
    return created

"""Throughput and latency of the whole stream on real services, everything on this machine.

``python -m benchmarks.stream throughput [FILE --data handbook] --rows 400000 [--archive mongo]``: the rows
are put into the topic first, then the workers are started; rates are taken between the first and the last
classification, and CPU of every process from the operating system. ``python -m benchmarks.stream latency
[FILE] --rate 1000 --seconds 60``: an open loop (send times fixed beforehand), from the producer's clock to an
independent reader of ``classifications``. Without a file, the rows are those of a simulated world.

Figures go to standard output and, with ``--json``, into a file. Quote them with the machine and the date
they print, and see how much of a core its host kept from it meanwhile: ``stolen``.
"""

import argparse
import json
import os
import platform
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
from confluent_kafka import Consumer, TopicPartition

from tests.services import KafkaServer, MariaDbServer, MongoServer
from tests.stack import COMMAND, Stack


def main() -> None:
    """Run one benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=["throughput", "latency"])
    parser.add_argument(
        "file", type=Path, nargs="?", help="rows to send; without one, 60 days of a simulated world"
    )
    parser.add_argument("--data", choices=["capstone", "handbook"], default="handbook")
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--repeat", type=int, default=1, help="send the file so often")
    parser.add_argument("--partitions", type=int, default=4, help="of the topic of transactions")
    parser.add_argument("--scoring", type=int, default=2)
    parser.add_argument("--sinks", type=int, default=1)
    parser.add_argument("--archive", choices=["sqlite", "mongo"], default="sqlite")
    parser.add_argument("--rate", type=int, default=1000)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument(
        "--warm-up",
        type=int,
        default=8,
        metavar="SECONDS",
        help="left out of latencies: workers, broker and caches are cold, the sender looks for the broker",
    )
    parser.add_argument(
        "--full-compiler",
        action="store_true",
        help="run the broker as in production: it takes half a minute to get fast",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting of every worker, without FRAUDSTREAM_; may be repeated",
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--profile", type=Path, help="folder for collapsed stacks of every worker")
    options = parser.parse_args()
    if options.file is None and options.data != "handbook":
        parser.error(f"--data {options.data}: name a file of it")
    if options.repeat > 1 and options.data == "handbook":
        parser.error("--repeat: days that come again are too late for their windows")
    for setting in options.set:
        if "=" not in setting:
            parser.error(f"--set {setting}: expected NAME=VALUE")
    with (
        tempfile.TemporaryDirectory(prefix="fs-bench-") as scratch,
        Services(options.archive, options.partitions, Path(scratch), options.full_compiler) as services,
    ):
        if options.file is None:
            options.file = simulated(services)
        for setting in options.set:
            name, _, value = setting.partition("=")
            services.stack.environment[f"FRAUDSTREAM_{name}"] = value
        measure = throughput if options.what == "throughput" else latency
        figures = {"machine": machine(), **vars(options), **measure(options, services)}
    text = json.dumps(figures, indent=2, default=str)
    print(text)
    if options.json:
        options.json.write_text(text + "\n")


def simulated(services: "Services") -> Path:
    """Return a file with some 426,000 rows in the handbook's columns."""
    file = services.scratch / "world.csv.gz"
    services.stack.run("simulate", "--world", "A", "--cards", "4000", "--days", "60", "--out", str(file))
    return file


def machine() -> dict[str, Any]:
    """Say where and when figures were taken, and how busy the machine was before."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 1),
    }


class Services:
    """Broker and stores of one run, and the stack on them."""

    def __init__(self, archive: str, partitions: int, scratch: Path, full_compiler: bool = False) -> None:
        self.partitions = partitions
        self.servers: dict[str, Any] = {
            "kafka": KafkaServer(full_compiler=full_compiler),
            "mariadb": MariaDbServer(),
        }
        if archive == "mongo":
            self.servers["mongo"] = MongoServer(heap_mib=3072)
        self.scratch = scratch
        self.archive = archive

    def __enter__(self) -> "Services":
        for server in self.servers.values():
            server.start()
        archive = (
            self.servers["mongo"].url if self.archive == "mongo" else f"sqlite:///{self.scratch}/archive.db"
        )
        self.stack = Stack(
            self.scratch,
            self.servers["kafka"].url,
            archive,
            self.servers["mariadb"].url,
            "",
            PARTITIONS=self.partitions,
            FLUSH_INTERVAL_SECONDS=10,
            SESSION_TIMEOUT_SECONDS=10,
        )
        self.stack.create_topics()
        self._reader = Consumer({"bootstrap.servers": self.stack.bootstrap, "group.id": "benchmark"})
        return self

    def __exit__(self, *_: object) -> None:
        self._reader.close()
        self.stack.close()
        for server in self.servers.values():
            server.close()

    def scored(self) -> int:
        """Return how many classifications there are.

        By one connection: making one at every look would take a twelfth of a core from the workers.
        """
        parts = [TopicPartition("classifications", p) for p in range(self.partitions)]
        return sum(self._reader.get_watermark_offsets(part, timeout=10)[1] for part in parts)

    def archived(self) -> int:
        """Return how many classifications the archive holds, without reading them all.

        Nothing is ever taken out of the embedded archive, so its rows are numbered without gaps.
        """
        if self.archive == "mongo":
            return self.stack.count_archived()
        try:
            with sqlite3.connect(f"file:{self.scratch}/archive.db?mode=ro", uri=True) as database:
                (newest,) = database.execute("SELECT coalesce(max(rowid), 0) FROM classifications").fetchone()
                return int(newest)
        except sqlite3.OperationalError:
            return 0

    def counted(self, expected: int) -> int:
        """Return how many classifications are counted; about how many, while fewer are than expected.

        Until then offsets tell, which claims have too: adding all cells up takes a second or more.
        """
        reached = self._sum("SELECT SUM(applied_offset + 1) FROM window_progress")
        if reached < expected:
            return reached
        return self._sum(
            "SELECT SUM(count) FROM window_counts WHERE dimension = 'decision' AND population = 'all'"
        )

    def _sum(self, query: str) -> int:
        try:
            [(found,)] = self.stack.query(query)
        except Exception:  # noqa: BLE001 - the tables are not there before the first flush
            return 0
        return int(found or 0)

    def cpu_seconds(self) -> dict[str, float]:
        """CPU of broker and stores, with their child processes."""
        found = {}
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or ())
            for name, word in {"kafka": "kafka.Kafka", "mariadb": "mariadbd", "mongo": "ServeMongo"}.items():
                server = self.servers.get(name)
                if server is not None and word in line and str(server.directory) in line:
                    times = process.cpu_times()
                    found[name] = found.get(name, 0.0) + times.user + times.system
        return found


def throughput(options: argparse.Namespace, services: Services) -> dict[str, Any]:
    """Drain a full topic with two scoring processes and one of sinks; everything has to come out."""
    stack = services.stack
    started = time.monotonic()
    for _ in range(options.repeat):
        stack.run(
            "replay", str(options.file), "--format", options.data, "--limit", str(options.rows), timeout=900
        )
    rows = sum(stack.ends("transactions"))
    began = time.monotonic()
    preload = began - started
    workers = {f"scoring-{n}": stack.start("scoring") for n in range(options.scoring)} | {
        f"sinks-{n}": stack.start("sinks") for n in range(options.sinks)
    }
    processes = {name: psutil.Process(worker.pid) for name, worker in workers.items()}
    samplers = []
    if options.profile:
        options.profile.mkdir(parents=True, exist_ok=True)
        samplers = [sample(worker.pid, options.profile / f"{name}.txt") for name, worker in workers.items()]
    before = services.cpu_seconds()
    kept = stolen()
    first: tuple[float, int] | None = None
    done: dict[str, float] = {}
    progress = {
        "scored": lambda: scored,
        "archived": services.archived,
        "counted": lambda: services.counted(rows),
    }
    while len(done) < len(progress):
        time.sleep(0.5)
        now = time.monotonic()
        scored = services.scored()
        if scored > 1000 and first is None:
            first = (now, scored)
            busy = {name: cpu(process) for name, process in processes.items()}
        for what, reached in progress.items():
            # What is done is asked no more: adding up all counts would take the store a core.
            if what not in done and reached() >= rows:
                done[what] = now
    for sampler in samplers:
        sampler.send_signal(signal.SIGINT)
        sampler.wait()
    assert first is not None
    after = services.cpu_seconds()
    spent = {name: cpu(process) - busy[name] for name, process in processes.items()}
    assert services.counted(rows) == rows, "every transaction is in exactly one window"
    return {
        "transactions": rows,
        "preload_per_second": round(rows / preload),
        "per_second": {what: round((rows - first[1]) / (at - first[0])) for what, at in done.items()},
        "stolen_cores": round((stolen() - kept) / (time.monotonic() - began), 2),
        "per_second_all": round((rows - first[1]) / (max(done.values()) - first[0])),
        "worker_cpu_us_per_transaction": {
            role: round(sum(v for k, v in spent.items() if k.startswith(role)) / rows * 1e6, 1)
            for role in ("scoring", "sinks")
        },
        "service_cpu_us_per_transaction": {
            k: round((after[k] - before.get(k, 0)) / rows * 1e6, 1) for k in after
        },
        "rss_mib": {name: round(process.memory_info().rss / 2**20) for name, process in processes.items()},
    }


def sample(pid: int, file: Path) -> subprocess.Popen[bytes]:
    """Sample the stacks of a process into a file until interrupted."""
    command = [str(Path(sys.executable).with_name("py-spy")), "record", "--pid", str(pid)]
    return subprocess.Popen([*command, "--format", "raw", "--rate", "200", "--output", str(file)])


def cpu(process: psutil.Process) -> float:
    """CPU seconds a process has spent."""
    times = process.cpu_times()
    return times.user + times.system


def stolen() -> float:
    """CPU seconds that the host of this machine gave to others; 0 where the system does not tell."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def latency(options: argparse.Namespace, services: Services) -> dict[str, Any]:
    """Send at a fixed rate; an independent consumer notes when each classification can be read."""
    stack = services.stack
    processes = [
        (role, psutil.Process(stack.start(role).pid))
        for role in ["scoring"] * options.scoring + ["sinks"] * options.sinks
    ]
    samples: list[float] = []
    stop = threading.Event()
    reader = threading.Thread(
        target=read_latencies, args=(stack, options.warm_up, samples, stop), daemon=True
    )
    reader.start()
    rows = options.rate * (options.warm_up + options.seconds)
    replay = ["replay", str(options.file), "--format", options.data, "--limit", str(rows)]
    sender = psutil.Popen(
        [*COMMAND, *replay, "--rate", str(options.rate)], env=stack.environment, stdout=subprocess.DEVNULL
    )
    time.sleep(options.warm_up)
    processes += [("sender", sender), ("reader", psutil.Process())]
    before = busy(processes, services)
    time.sleep(options.seconds - 1)
    after = busy(processes, services)
    if sender.wait():
        sys.exit("the transactions could not be sent")
    time.sleep(2)
    stop.set()
    reader.join()
    found = statistics.quantiles(samples, n=1000, method="inclusive")
    return {
        "samples": len(samples),
        "latency_ms": {
            name: round(found[at] * 1000, 2)
            for name, at in (("p50", 499), ("p90", 899), ("p99", 989), ("p99.9", 998))
        },
        "worst_ms": round(max(samples) * 1000, 1),
        "busy_cores": {
            name: round((after[name] - before[name]) / (options.seconds - 1), 2) for name in after
        },
    }


def busy(processes: list[tuple[str, psutil.Process]], services: Services) -> dict[str, float]:
    """CPU seconds so far of processes, by name, of broker and stores, and what the host gave to others."""
    spent = services.cpu_seconds() | {"stolen": stolen()}
    for name, process in processes:
        spent[name] = spent.get(name, 0.0) + cpu(process)
    return spent


def read_latencies(stack: Stack, warm_up: float, samples: list[float], stop: threading.Event) -> None:
    """Note, for each classification, the time from its transaction's Kafka timestamp to now.

    Those sent in the first ``warm_up`` seconds are left out.
    """
    consumer = Consumer({"bootstrap.servers": stack.bootstrap, "group.id": "bench", "fetch.wait.max.ms": 100})
    consumer.assign(
        [TopicPartition("classifications", p, end) for p, end in enumerate(stack.ends("classifications"))]
    )
    warm_at = float("inf")
    while not stop.is_set():
        # One by one: asked for several, the client waits for all of them or until the time is over.
        record = consumer.poll(0.1)
        if record is not None and record.error() is None and record.value() is not None:
            sent_at = record.timestamp()[1] / 1000
            warm_at = min(warm_at, sent_at + warm_up)
            if sent_at >= warm_at:
                samples.append(time.time() - sent_at)
    consumer.close()


if __name__ == "__main__":
    main()

"""``fraudstream worker`` as a person runs it: real processes, a real broker, files as stores."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition

from fraudstream.delivery.stopping import ExitStatus
from tests.integration.command_line import CommandLine
from tests.services.process import free_port

HEADER = "TRANSACTION_ID,TX_DATETIME,CUSTOMER_ID,TERMINAL_ID,TX_AMOUNT,TX_FRAUD\n"

Worker = Callable[..., "subprocess.Popen[bytes]"]


def settings(kafka_url: str, prefix: str, folder: Path) -> dict[str, str]:
    return {
        "FRAUDSTREAM_KAFKA_URL": kafka_url,
        "FRAUDSTREAM_TOPIC_PREFIX": prefix,
        "FRAUDSTREAM_MONGO_URL": f"sqlite:///{folder}/archive.db",
        "FRAUDSTREAM_MARIADB_URL": f"sqlite:///{folder}/counts.db",
        "FRAUDSTREAM_DATA_DIR": str(folder),
        "FRAUDSTREAM_COMMIT_INTERVAL_SECONDS": "0.2",
    }


@contextmanager
def working(environ: dict[str, str], log: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """A supervisor with its workers, killed at the end if it still runs."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "fraudstream", "worker", *arguments],
            env={"PATH": os.environ["PATH"]} | environ,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(holds: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "gave up waiting"
        time.sleep(0.05)


def transactions(path: Path, days: int) -> str:
    """Cards at terminals, one terminal of which turns bad; an hour between transactions."""
    lines = []
    for hour in range(24 * days):
        terminal = hour * 7 % 13
        fraud = int(terminal == 5 and hour > 48)
        amount = 10 + hour * 31 % 90 + 200 * (hour % 37 == 0)
        instant = f"2018-04-{1 + hour // 24:02} {hour % 24:02}:00:00"
        lines.append(f"{hour},{instant},{hour % 17},{terminal},{amount}.25,{fraud}\n")
    path.write_text(HEADER + "".join(lines))
    return str(path)


def scores(bootstrap: str, topic: str) -> dict[str, tuple[float, ...]]:
    """Every score of a transaction, by its id."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "none", "enable.auto.commit": False})
    found: dict[str, tuple[float, ...]] = {}
    try:
        for number in range(4):
            low, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=10)
            consumer.assign([TopicPartition(topic, number, low)])
            read = 0
            while read < end - low:
                for record in consumer.consume(end - low - read, timeout=10):
                    read += 1
                    if record.value():
                        classification = json.loads(record.value())
                        identity = classification["transaction"]["transaction_id"]
                        found[identity] = (*found.get(identity, ()), classification["score"])
    finally:
        consumer.close()
    return found


def test_a_supervisor_that_is_stopped_leaves_no_process_and_status_0(
    capsys: pytest.CaptureFixture[str], kafka_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    environ = settings(kafka_url, topic_prefix, tmp_path)
    assert CommandLine(capsys, environ)("topics", "create").status == 0
    log = tmp_path / "log"
    with working(environ, log, "--scoring=1", "--sinks=0", "--learning=1") as process:
        until(lambda: log.read_text().count("serving metrics and health") == 2)
        children = psutil.Process(process.pid).children(recursive=True)

        process.send_signal(signal.SIGTERM)

        assert process.wait(timeout=40) == 0
        assert len(children) == 2
        assert not psutil.wait_procs(children, timeout=5)[1]


def metrics(port: int) -> dict[str, float]:
    """Every sample of a process by its name and labels; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    samples = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in samples}


def test_the_metrics_of_workers_tell_lag_checkpoints_and_windows(
    capsys: pytest.CaptureFixture[str], kafka_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    environ = settings(kafka_url, topic_prefix, tmp_path)
    command = CommandLine(capsys, environ)
    assert command("topics", "create").status == 0
    assert command("replay", transactions(tmp_path / "rows.csv", days=5), "--format", "handbook").status == 0
    port = free_port()
    ports = {"FRAUDSTREAM_METRICS_PORT": str(port)}
    with working(environ | ports, tmp_path / "log", "--scoring=1", "--sinks=1", "--learning=0"):
        until(lambda: metrics(port + 1).get("fraudstream_archive_stored_total") == 120)
        # gauges follow within seconds, each in its own time
        archiving = 'agent="archiving"'
        lag = f'fraudstream_lag_records{{{archiving},topic="{topic_prefix}classifications"}}'
        until(lambda: metrics(port + 1).get(lag) == 0)
        until(lambda: metrics(port + 1).get(f"fraudstream_checkpoint_age_seconds{{{archiving}}}") == 0)
        until(lambda: metrics(port + 1).get("fraudstream_open_windows", 0) > 0)
        slices = 'fraudstream_stage_records_total{agent="scoring",stage="slice"}'
        until(lambda: metrics(port).get(slices) == 120)
        scoring = metrics(port)

    assert scoring["fraudstream_transactions_total"] == 120
    assert scoring['fraudstream_recovered{agent="scoring"}'] == 1


def test_a_supervisor_that_is_killed_leaves_no_process(
    capsys: pytest.CaptureFixture[str], kafka_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    environ = settings(kafka_url, topic_prefix, tmp_path)
    assert CommandLine(capsys, environ)("topics", "create").status == 0
    log = tmp_path / "log"
    with working(environ, log, "--scoring=1", "--sinks=0", "--learning=0") as process:
        until(lambda: "serving metrics and health" in log.read_text())
        children = psutil.Process(process.pid).children(recursive=True)

        process.kill()

        assert len(children) == 1
        assert not psutil.wait_procs(children, timeout=10)[1]


def test_a_role_runs_alone_in_its_process(
    capsys: pytest.CaptureFixture[str], kafka_url: str, topic_prefix: str, tmp_path: Path
) -> None:
    environ = settings(kafka_url, topic_prefix, tmp_path) | {"FRAUDSTREAM_ROLE": "learning"}
    assert CommandLine(capsys, environ)("topics", "create").status == 0
    log = tmp_path / "log"
    with working(environ, log) as process:
        until(lambda: "serving metrics and health" in log.read_text())

        assert psutil.Process(process.pid).children(recursive=True) == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=40) == 0


def test_wrong_settings_end_a_worker_with_a_line_each(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with working({"FRAUDSTREAM_EPOCH": "0", "FRAUDSTREAM_ROLE": "cook"}, log) as process:
        assert process.wait(timeout=40) == 1

    assert [line.split(":")[1:3] for line in log.read_text().splitlines()] == [
        [" error", " FRAUDSTREAM_EPOCH"],
        [" error", " FRAUDSTREAM_ROLE"],
    ]


@pytest.mark.parametrize("role", ["scoring", "sinks", "learning"])
def test_a_worker_whose_broker_does_not_answer_says_so_in_a_line_and_ends(role: str, tmp_path: Path) -> None:
    environ = settings("kafka://127.0.0.1:1", "", tmp_path) | {"FRAUDSTREAM_ROLE": role}
    log = tmp_path / "log"
    with working(environ, log) as process:
        assert process.wait(timeout=60) == ExitStatus.UNAVAILABLE

    told = log.read_text()
    assert "no broker answers" in told.splitlines()[-1]
    assert "127.0.0.1" in told.splitlines()[-1]
    assert "Traceback" not in told


@pytest.mark.slow
def test_a_replay_that_waits_for_the_learner_scores_alike_in_every_run(
    capsys: pytest.CaptureFixture[str],
    kafka_url: str,
    kafka_bootstrap: str,
    topic_prefix: str,
    tmp_path: Path,
) -> None:
    file = transactions(tmp_path / "rows.csv", days=20)
    runs = []
    for number, scoring in enumerate((1, 2)):
        folder = tmp_path / str(number)
        folder.mkdir()
        prefix = f"{topic_prefix}{number}-"
        command = CommandLine(capsys, settings(kafka_url, prefix, folder))
        assert command("topics", "create").status == 0
        with working(command.environ, folder / "log", f"--scoring={scoring}"):
            finished = command(
                "replay",
                file,
                "--format",
                "handbook",
                "--labels-after",
                "2d",
                "--wait-for-learner",
                "--label-batch",
                "4d",
            )
        assert finished.status == 0, finished.errors
        runs.append(scores(kafka_bootstrap, f"{prefix}classifications"))

    assert len(runs[0]) == 480
    assert all(len(given) == 1 for given in runs[0].values())
    assert runs[0] == runs[1]
    assert len({given[0] for given in runs[0].values()}) > 100  # the model had something to say

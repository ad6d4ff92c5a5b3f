"""The supervisor keeps processes running and leaves none behind."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import psutil
import pytest

from fraudstream.commands import supervisor as module
from fraudstream.commands.supervisor import Member, Supervisor, plan
from fraudstream.commands.worker_process import settings_of_member
from fraudstream.settings import Role, Settings

ONE = [Member(Role.SCORING, 0, 0)]


@pytest.fixture(autouse=True)
def _short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BACKOFF_FIRST_SECONDS", 0.01)


def running(code: str, *, grace_seconds: float = 20.0, members: list[Member] | None = None) -> Supervisor:
    """A supervisor whose members run ``code`` with their name as argument."""
    return Supervisor(
        members or ONE,
        grace_seconds=grace_seconds,
        command=lambda member: [sys.executable, "-c", code, member.name],
    )


async def until_written(path: Path, lines: int) -> list[str]:
    async with asyncio.timeout(20):
        while not path.exists() or path.read_text().count("\n") < lines:
            await asyncio.sleep(0.01)
    return path.read_text().splitlines()


def noting(path: Path, then: str) -> str:
    note = f"with open({str(path)!r}, 'a') as f: print(sys.argv[1], os.getpid(), file=f)"
    return f"import os, signal, sys, time\n{note}\n{then}"


async def test_every_member_gets_a_process_of_its_own(tmp_path: Path) -> None:
    members = plan({Role.SCORING: 2, Role.SINKS: 1, Role.LEARNING: 0})
    supervisor = running(noting(tmp_path / "started", "time.sleep(60)"), members=members)
    run = asyncio.create_task(supervisor.run())
    started = await until_written(tmp_path / "started", 3)

    supervisor.stop()

    assert await run == 0
    assert sorted(line.split()[0] for line in started) == ["scoring-0", "scoring-1", "sinks-0"]


async def test_a_member_that_crashes_is_started_again(tmp_path: Path) -> None:
    supervisor = running(noting(tmp_path / "started", "os._exit(70)"))
    run = asyncio.create_task(supervisor.run())
    await until_written(tmp_path / "started", 3)

    supervisor.stop()

    assert await run == 0


async def test_a_member_that_refuses_stops_them_all_with_status_1(tmp_path: Path) -> None:
    members = plan({Role.SCORING: 1, Role.SINKS: 1, Role.LEARNING: 0})
    code = noting(tmp_path / "started", "sys.exit(78) if sys.argv[1] == 'sinks-0' else time.sleep(60)")

    status = await asyncio.wait_for(running(code, members=members).run(), 20)

    assert status == 1
    pids = [int(line.split()[1]) for line in (tmp_path / "started").read_text().splitlines()]
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_sigterm_stops_members_in_order(tmp_path: Path) -> None:
    goodbye = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))"
    code = f"import signal, sys\n{goodbye}\n" + noting(tmp_path / "started", "time.sleep(60)")
    run = asyncio.create_task(running(code).run())
    await until_written(tmp_path / "started", 1)

    os.kill(os.getpid(), signal.SIGTERM)

    assert await asyncio.wait_for(run, 20) == 0


async def test_a_member_that_does_not_stop_is_killed_after_the_grace(tmp_path: Path) -> None:
    code = "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + noting(
        tmp_path / "started", "time.sleep(60)"
    )
    supervisor = running(code, grace_seconds=0.2)
    run = asyncio.create_task(supervisor.run())
    (line,) = await until_written(tmp_path / "started", 1)

    supervisor.stop()

    assert await asyncio.wait_for(run, 20) == 1
    assert not psutil.pid_exists(int(line.split()[1]))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel call is Linux's own")
def test_a_worker_dies_with_its_parent_even_when_that_is_killed(tmp_path: Path) -> None:
    # parent -> child that asks to die with it; both tell their process id
    child = (
        "import os, sys, time\nfrom fraudstream.commands.worker_process import die_with_parent\n"
        "die_with_parent(int(sys.argv[1]))\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
    )
    parent = (
        "import os, subprocess, sys\n"
        f"subprocess.run([sys.executable, '-c', {child!r}, str(os.getpid())], check=False)"
    )
    process = psutil.Popen([sys.executable, "-c", parent], stdout=-1, text=True)
    pid = int(process.stdout.readline())

    process.kill()
    process.wait()

    _, alive = psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=20)
    assert not alive
    process.stdout.close()


def test_processes_on_one_machine_are_told_apart() -> None:
    settings = Settings.load(
        {
            "FRAUDSTREAM_METRICS_PORT": "9100",
            "FRAUDSTREAM_MEMBER_ID": "pod-1",
            "FRAUDSTREAM_DATA_DIR": "/data",
        }
    )

    own = settings_of_member(settings, Role.SINKS, 1, 3)

    assert (own.role, own.metrics_port, own.member_id) == (Role.SINKS, 9103, "pod-1-sinks-1")
    assert own.data_dir == Path("/data/sinks-1")


def test_any_free_port_and_a_dynamic_member_stay_so() -> None:
    own = settings_of_member(Settings.load({}), Role.SCORING, 2, 2)

    assert (own.metrics_port, own.member_id) == (0, "")

"""Workers become ready by themselves: whoever starts one after the other must not wait for traffic."""

from collections.abc import Callable

from tests.adversity.load import Probe
from tests.services import free_port
from tests.stack import Stack, wait_until


def test_workers_of_every_role_are_ready_before_there_is_any_traffic_or_model(
    stack: Callable[..., Stack],
) -> None:
    installation = stack()
    for role in ("scoring", "sinks", "learning"):
        port = free_port()
        installation.start(role, METRICS_PORT=port)
        probe = Probe(port)
        wait_until(lambda probe=probe: probe.missing() == {}, f"{role} is ready", 60)
    assert installation.count_archived() == 0


def test_a_store_that_does_not_answer_is_told_before_there_is_anything_to_store(
    stack: Callable[..., Stack],
) -> None:
    installation = stack()
    port, nobody = free_port(), free_port()
    installation.start(
        "sinks", METRICS_PORT=port, MARIADB_URL=f"mysql://fraudstream:secret@127.0.0.1:{nobody}/fraudstream"
    )
    probe = Probe(port)
    wait_until(
        lambda: "process" not in (missing := probe.missing()) and set(missing) == {"counts"},
        "only counts",
        60,
    )
    assert "127.0.0.1" in probe.missing()["counts"]
    assert "secret" not in probe.missing()["counts"]

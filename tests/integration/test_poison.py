"""Messages that cannot be used are set aside with their reason, and their neighbours are scored."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from tests.stack import Stack, wait_until

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PAN = "4111 1111 1111 1111"


def transaction(number: int, **changes: Any) -> dict[str, Any]:
    """Return a valid native transaction but for the given changes."""
    return {
        "transaction_id": f"tx-{number}",
        "event_time": NOON.isoformat(),
        "amount_minor": 1250,
        "currency": "GBP",
        "card_id": "card-1",
        "terminal_id": "terminal-1",
        **changes,
    }


def letters(stack: Stack) -> dict[int, dict[str, Any]]:
    """Return the dead letters by the offset they came from."""
    found = {}
    for record in stack.records("dead-letters"):
        headers = {
            name.removeprefix("fraudstream-dead-letter-"): value.decode() for name, value in record.headers()
        }
        found[int(headers["offset"])] = {**headers, "value": record.value()}
    return found


def answered(stack: Stack) -> dict[str, dict[str, Any]]:
    """Return the classifications by transaction id."""
    decoded = [json.loads(record.value()) for record in stack.records("classifications")]
    return {one["transaction"]["transaction_id"]: one for one in decoded}


def test_each_poison_is_a_dead_letter_with_its_reason_and_its_neighbours_are_scored(
    stack: Callable[..., Stack],
) -> None:
    poison: list[tuple[bytes | dict[str, Any] | None, str]] = [
        (b"\xff\xfe not text", "not UTF-8"),
        (b"", "empty"),
        (None, "empty"),
        (b"[1, 2]", "object"),
        (transaction(1, amount_minor="twelve"), "amount_minor"),
        (transaction(2, card_id={"token": 17}), "card_id"),
        (b'{"transaction_id": "tx-3", "event_time": "2026-03-01T12:00:00Z", "amount_minor": NaN}', "JSON"),
        (transaction(4, event_time="9999-01-01T00:00:00Z"), "event_time"),
        (transaction(5, bank=PAN), "bank"),
        (transaction(6, note="x" * 1_040_000), "note"),  # the largest record the broker takes, near enough
    ]
    installation = stack()
    for number, (value, _) in enumerate(poison):
        installation.send("transactions", transaction(1000 + number), key="card-1", partition=0)
        installation.send("transactions", value, key="card-1", partition=0)
    installation.send("transactions", transaction(2000), key="card-1", partition=0)
    installation.flush()
    installation.start("scoring")

    neighbours = {f"tx-{1000 + number}" for number in range(len(poison))} | {"tx-2000"}
    wait_until(lambda: neighbours <= answered(installation).keys(), "the neighbours are scored")
    found = letters(installation)
    # A large unknown field is no fault: further fields are allowed. All others are set aside.
    for number, (value, reason) in enumerate(poison[:-1]):
        letter = found[2 * number + 1]
        assert reason in f"{letter['field']}: {letter['fault']}", letter
        if isinstance(value, bytes):
            assert letter["value"] == value
    assert b"4111" not in b"".join(letter["value"] for letter in found.values())
    assert found[17]["masked"] == "1"
    assert len(answered(installation)) + len(found) == 2 * len(poison) + 1


def test_a_repaired_dead_letter_that_is_sent_back_is_scored_once(
    stack: Callable[..., Stack], tmp_path: Any
) -> None:
    installation = stack()
    installation.start("scoring")
    installation.send("transactions", transaction(7, amount_minor="twelve fifty"), key="card-1", partition=2)
    installation.flush()
    wait_until(lambda: bool(letters(installation)), "the letter is set aside")
    listed = installation.run("dead-letters", "list").stdout
    assert "amount_minor" in listed
    position = next(line.split()[0] for line in listed.splitlines() if "amount_minor" in line)
    shown = installation.run("dead-letters", "show", position).stdout
    assert "twelve fifty" in shown
    repaired = tmp_path / "repaired.json"
    repaired.write_text(json.dumps(transaction(7)))
    installation.run("dead-letters", "resend", position, "--value", str(repaired))
    wait_until(lambda: "tx-7" in answered(installation), "the repaired transaction is scored")
    assert len(installation.records("classifications")) == 1


def test_a_worker_stops_when_most_messages_cannot_be_used(stack: Callable[..., Stack]) -> None:
    installation = stack(DEAD_LETTER_BRAKE_RECORDS=50)
    for number in range(200):
        installation.send("transactions", b"not JSON", key=str(number), partition=0)
    installation.flush()
    worker = installation.start("scoring")
    assert worker.wait(60) == 78
    assert "cannot be used" in installation.log_of(worker)

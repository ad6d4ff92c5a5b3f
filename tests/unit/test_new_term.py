"""A feature is one line: put into a copy of the code, it is everywhere, and no weight is lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fraudstream
from fraudstream.core.features import observe
from fraudstream.core.history import CardHistory, CurrencyMeans
from fraudstream.core.learning import Learner
from fraudstream.core.learning_outcomes import Outcome
from fraudstream.core.look_tables import LookTables
from fraudstream.core.risk import UNKNOWN
from fraudstream.core.snapshot import decode_snapshot, encode_snapshot
from fraudstream.core.terms import KEYS
from fraudstream.errors import InvalidSnapshot
from tests.model_building import NOON, example

LINE = '    Term(TERMINAL, ("last_label", "count", "fraud_run")),\n'
NAME = "last_label * count * fraud_run"
KEYS_OF_LINE = 3 * 11 * 7

WITH_THE_LINE = """
import json, sys
from pathlib import Path

from click.testing import CliRunner

from fraudstream.cli import cli
from fraudstream.core.learning import Learner
from fraudstream.core.policy import Policy
from fraudstream.core.prequential import OfflinePass
from fraudstream.core.reasons import reasons
from fraudstream.core.scoring import PartitionState, keys_of
from fraudstream.core.serving import ServingModel
from fraudstream.core.snapshot import decode_snapshot, encode_snapshot
from fraudstream.core.terms import KEYS, TERM_OF, TERMS
from tests.model_building import NOON, transaction

old = decode_snapshot(Path(sys.argv[1]).read_bytes())
serving = ServingModel()
serving.apply_snapshot(old)
spent = transaction(entry_mode="tap", merchant_group="food")
seen, history, risk = PartitionState().see(spent, spent.event_time.timestamp(), serving)
keys = keys_of(spent, seen)
mine = next(key for key in keys if TERMS[TERM_OF[key]].name == sys.argv[3])
before = serving.explainer.weigh(keys)
serving.weights[mine] += 2.0
after = serving.explainer.weigh(keys)
learner = Learner.restore(old, {})
learner.take(keys, True, 0.0, None, None)
Path(sys.argv[2]).write_bytes(encode_snapshot(learner.snapshot(NOON)))
print(json.dumps({
    "added": old.added,
    "keys": list(old.keys),
    "weights": list(old.weights),
    "state_keys": [key for key in keys if not TERMS[TERM_OF[key]].is_cross],
    "mine": mine,
    "all": KEYS,
    "score_moved": after[0] - before[0],
    "reasons": [[one.name, one.contribution] for one in reasons(after[1], spent, seen, history, risk)],
    "backtested": OfflinePass().score(spent) and mine in seen.keys,
    "page": CliRunner().invoke(cli, ["reference", "features"], prog_name="fraudstream").output,
}))
"""


def taught() -> Learner:
    learner = Learner()
    for offset in range(40):
        fraud = "fraud" if offset % 4 == 0 else "genuine"
        learner.learn(example(offset, fraud, keys=(offset % 4, 1_212 + offset % 7, KEYS - 1)), offset)
    return learner


@pytest.fixture(scope="module")
def changed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], bytes, bytes]:
    """What code with one line more says of a snapshot of ours, that snapshot, and the next it writes."""
    folder = tmp_path_factory.mktemp("changed")
    package = Path(fraudstream.__file__).parent
    shutil.copytree(package, folder / "fraudstream", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests").symlink_to(Path(__file__).parents[1])
    table = folder / "fraudstream" / "core" / "terms.py"
    text = table.read_text("utf-8")
    ends = text.index(')\n"""Every term there is or was')
    table.write_text(text[:ends] + LINE + text[ends:], "utf-8")
    ours = encode_snapshot(taught().snapshot(NOON))
    (folder / "ours").write_bytes(ours)
    told = subprocess.run(
        [sys.executable, "-c", WITH_THE_LINE, folder / "ours", folder / "theirs", NAME],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        check=False,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout), ours, (folder / "theirs").read_bytes()


def test_every_transaction_is_scored_by_it(changed) -> None:
    said = changed[0]
    spent = observe(1e9, 50.0, CurrencyMeans.starting_with(50.0), CardHistory(), UNKNOWN, LookTables())

    assert said["state_keys"][-1] == said["mine"] >= KEYS
    assert said["all"] == KEYS + KEYS_OF_LINE
    assert len(said["state_keys"]) == len(spent.keys) + 1
    assert said["score_moved"] == pytest.approx(2.0)
    assert said["backtested"]


def test_reasons_and_documents_know_it(changed) -> None:
    said = changed[0]

    assert dict(said["reasons"])["terminal"] == pytest.approx(2.0, abs=0.01)
    assert f"| `{NAME}` | terminal | {KEYS:,} to {KEYS + KEYS_OF_LINE - 1:,} |" in said["page"]


def test_terms_that_were_there_keep_their_weights_to_the_last_bit(changed) -> None:
    said, ours, _ = changed
    before = decode_snapshot(ours)

    assert said["added"] == [NAME]
    assert (tuple(said["keys"]), tuple(said["weights"])) == (before.keys, before.weights)


def test_code_without_it_refuses_its_models_by_name(changed) -> None:
    with pytest.raises(InvalidSnapshot, match=r"lacks: last_label \* count \* fraud_run"):
        decode_snapshot(changed[2])


def test_going_back_keeps_what_was_learned_for_the_others(changed) -> None:
    _, ours, theirs = changed
    before, after = decode_snapshot(ours), decode_snapshot(theirs, drop_unknown=True)

    assert after.dropped == (NAME,)
    assert set(after.keys) >= set(before.keys)
    assert max(after.keys) < KEYS
    assert after.version == before.version + 1


def test_keys_of_newer_code_are_left_out_by_a_learner_of_this_one() -> None:
    learner, plain = taught(), taught()

    outcome = learner.learn(example(40, "fraud", keys=(2, KEYS + 5, 1_213)), 40)
    plain.learn(example(40, "fraud", keys=(2, 1_213)), 40)

    assert outcome is Outcome.LEARNED
    assert encode_snapshot(learner.snapshot(NOON)) == encode_snapshot(plain.snapshot(NOON))

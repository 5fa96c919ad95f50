"""A process killed while it signs: the chain holds, and each signature is there or was refused."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pathology.review.store import ReviewStore
from pathology.review.verify import verify

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs fork and SIGKILL")

# Loads the program once, and forks a signer that is killed after a random time, again and again.
WORK = """
import json, os, random, signal, sys, time
from pathlib import Path
from pathology.review import rules, signing
from pathology.review.rules import Shown
from pathology.review.state import CHECKS
from pathology.review.store import ReviewStore
from pathology.review.users import Role, User
from pathology.review.verify import verify

run, kills = Path(sys.argv[1]), int(sys.argv[2])
USER = User(name="Ada", role=Role.READER)
SHOWN = Shown(run_sha256="0" * 64, basis="0" * 64, ihc_score="1+", tier="her2_low")
CHECKED = dict.fromkeys(CHECKS, True)

def signer(attempt, told):
    os.write(told, b"up\\n")
    with ReviewStore(run) as store:
        for k in range(10_000):
            name = f"s{attempt}-{k}"
            store.append(name, USER, lambda r: rules.decide(r, USER, SHOWN, kind="agree"))
            store.append(name, USER, lambda r: rules.tick(r, USER, SHOWN, checks=CHECKED, note=""))
            os.write(told, f"signing {name}\\n".encode())
            event = store.append(name, USER, lambda r: signing.sign(r, USER, SHOWN))
            os.write(told, f"signed {name} {event.sha256}\\n".encode())

chance = random.Random(int(sys.argv[3]))
begun, announced, events = [], {}, []
for attempt in range(kills):
    listening, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            signer(attempt, told)
        finally:
            os._exit(3)
    os.close(told)
    os.read(listening, 3)
    time.sleep(chance.uniform(0.0, 0.25))
    os.kill(child, signal.SIGKILL)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "the signer ended by itself"
    with os.fdopen(listening) as stream:
        for line in stream.read().splitlines():
            words = line.split()
            if words[0] == "signing":
                begun.append(words[1])
            elif len(words) == 3 and len(words[2]) == 64:
                announced[words[1]] = words[2]
    if (run / "review" / "review.sqlite").exists():
        with ReviewStore(run):  # what a restart does
            pass
        found = verify(run)
        assert found.ok, found
        events.append(found.events)
print(json.dumps({"begun": begun, "announced": announced, "events": events}))
"""


@pytest.mark.parametrize(("kills", "seed"), [(5, 1), pytest.param(50, 2, marks=pytest.mark.slow)])
def test_killed_while_signing(tmp_path: Path, kills: int, seed: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WORK, str(tmp_path), str(kills), str(seed)],
        check=True,
        capture_output=True,
        text=True,
    )
    told = json.loads(done.stdout)
    assert told["announced"]
    assert told["events"] == sorted(told["events"])
    found = verify(tmp_path)
    assert found.ok
    with ReviewStore(tmp_path) as store:
        signed = {
            name: review.signature.event_sha256
            for name, review in store.reviews().items()
            if review.signature is not None
        }
        for name in signed:
            assert [event.kind for event in store.events(name)] == [
                "decision",
                "checklist",
                "signed",
            ]
    assert len(signed) == found.signatures
    assert told["announced"].items() <= signed.items()  # nothing that was confirmed is lost
    assert set(signed) <= set(told["begun"])  # nothing is signed that nobody signed

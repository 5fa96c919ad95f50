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

# Loads the program once, and forks a signer that is killed after it has begun to sign and before it
# says that it has signed; kills that come outside are not counted. Half of them come after a random
# time, half at a place: just before or after a step of writing an event.
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
PLACES = ["_begin", "_refresh", "_write", "_commit", "_note"]

def die_at(opened, place, after):
    real = getattr(opened, place)
    def step(*arguments):
        done = real(*arguments) if after else None
        os.kill(os.getpid(), signal.SIGKILL)
        return done
    setattr(opened, place, step)

def signer(attempt, told, survive, place, after):
    with ReviewStore(run) as opened:
        for k in range(10_000):
            name = f"s{attempt}-{k}"
            opened.append(name, USER, lambda r: rules.decide(r, USER, SHOWN, kind="agree"))
            opened.append(name, USER, lambda r: rules.tick(r, USER, SHOWN, checks=CHECKED, note=""))
            if place and k == survive:
                die_at(opened, place, after)
            os.write(told, f"signing {name}\\n".encode())
            event = opened.append(name, USER, lambda r: signing.sign(r, USER, SHOWN))
            os.write(told, f"signed {name} {event.sha256}\\n".encode())

chance = random.Random(int(sys.argv[3]))
begun, announced, events, cut = [], {}, [], []
attempt = 0
while len(cut) < kills:
    attempt += 1
    assert attempt < 20 * kills, "hardly a kill comes while signing"
    place = PLACES[len(cut) // 2 % len(PLACES)] if len(cut) % 2 else None
    after, survive = bool(chance.getrandbits(1)), chance.randrange(4)
    listening, told = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.close(listening)
            signer(attempt, told, survive, place, after)
        finally:
            os._exit(3)
    os.close(told)
    stream = os.fdopen(listening)
    lines, took = [], 0.0
    for line in stream:
        lines.append(line)
        if line.startswith("signing"):
            start = time.perf_counter()
            if not place and sum(one.startswith("signing") for one in lines) > survive:
                # Within the time that one signature takes here, as the last ones showed.
                time.sleep(chance.uniform(0.0, took or 0.002))
                os.kill(child, signal.SIGKILL)
                break
        else:
            took = time.perf_counter() - start
    lines += list(stream)
    stream.close()
    ended = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGKILL, "ended by itself"
    for words in map(str.split, lines):
        if words[0] == "signing":
            begun.append(words[1])
        elif len(words) == 3 and len(words[2]) == 64:
            announced[words[1]] = words[2]
    with ReviewStore(run):  # what a restart does
        pass
    found = verify(run)
    assert found.ok, found
    events.append(found.events)
    if lines[-1].startswith("signing"):
        cut.append(lines[-1].split()[1])
print(json.dumps({"begun": begun, "announced": announced, "events": events, "cut": cut}))
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
    assert len(told["cut"]) == kills  # each while one signature was being written
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
    assert not set(told["cut"]) & set(told["announced"])
    if kills >= 50:  # some were there already when the process died, some not yet
        kept = [name for name in told["cut"] if name in signed]
        assert 0 < len(kept) < kills

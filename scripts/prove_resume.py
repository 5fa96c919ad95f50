"""Kill `her2 score` at random moments, go on, and compare every byte with an undisturbed run.

Run it so: python scripts/prove_resume.py SLIDES... --kills 20
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

#: What may differ between two runs: it says when and where they ran.
VARYING = ("run.json", "log.jsonl")


def score(inputs: list[str], out: Path, *extra: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from pathology.cli import main; main()", "score"]
    command += [*inputs, "--out", str(out), "--device", "cpu", *extra]
    # A session of its own: the kill reaches the workers too.
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in VARYING and not path.name.startswith(".")
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("inputs", nargs="+")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    rng = random.Random(args.seed)  # noqa: S311 - moments to kill at, not a secret
    with tempfile.TemporaryDirectory() as name:
        whole, torn = Path(name) / "whole", Path(name) / "torn"
        begin = time.monotonic()
        status = score(args.inputs, whole, "--workers", "1").wait()
        seconds = time.monotonic() - begin
        killed = 0
        for _ in range(args.kills):
            process = score(args.inputs, torn, "--workers", "4")
            try:
                process.wait(rng.uniform(0.2, 0.4 * seconds))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed += 1
        last = score(args.inputs, torn, "--workers", "4").wait()
        first, second = digests(whole), digests(torn)
        names = first.keys() | second.keys()
        different = sorted(name for name in names if first.get(name) != second.get(name))
        again = score(args.inputs, torn).wait()
        unchanged = digests(torn) == second
    print(f"undisturbed: exit {status}, {seconds:.0f} s, {len(first)} files")
    print(f"killed {killed} of {args.kills} times, then finished: exit {last}")
    print(f"files that differ: {', '.join(different) or 'none'}")
    print(
        f"the same command once more: exit {again}, {'nothing' if unchanged else 'FILES'} changed"
    )
    return 0 if not different and unchanged and status == last == again else 1


if __name__ == "__main__":
    sys.exit(main())

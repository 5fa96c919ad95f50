from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path

import pytest

from pathology.config import load_config
from pathology.errors import OutputError
from pathology.runs import RunInfo, RunKey, RunLog, now, read_run_info, write_run_info
from pathology.runs.log import read_slide_seconds


def lines(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_bytes().splitlines()]


def test_events_are_lines_in_their_order(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:
        log.write("info", "run_started", slides=2)
        log.write("error", "slide_failed", slide_id="a", path=Path("x/\udcff"), reason="two\nlines")
    with RunLog(tmp_path) as log:
        log.write("info", "run_started")
    log.close()
    first, second, third = lines(tmp_path)
    assert (first["event"], first["slides"], "slide_id" in first) == ("run_started", 2, False)
    assert (second["slide_id"], second["path"], second["level"]) == ("a", "x/\\xff", "error")
    assert str(first["time"]) <= str(third["time"]) <= now()


def test_lines_of_many_threads_do_not_mix(tmp_path: Path) -> None:
    with RunLog(tmp_path) as log:

        def work(number: int) -> None:
            for step in range(50):
                log.write("info", "step", number=number, step=step, pad="x" * 500)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(lines(tmp_path)) == 200


def test_half_a_line_is_finished(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_bytes(b'{"event": "a"}\n{"eve')
    with RunLog(tmp_path) as log:
        log.write("info", "next")
    assert (tmp_path / "log.jsonl").read_bytes().splitlines()[1] == b'{"eve'
    assert json.loads((tmp_path / "log.jsonl").read_bytes().splitlines()[2])["event"] == "next"


def test_a_full_disk_drops_lines_and_counts_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with RunLog(tmp_path) as log:
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            log.write("info", "lost")
        log.write("info", "kept")
    assert (log.dropped, [line["event"] for line in lines(tmp_path)]) == (1, ["kept"])


def test_a_log_that_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match=r"log\.jsonl"):
        RunLog(tmp_path)


def test_run_json_reads_back(tmp_path: Path) -> None:
    key = RunKey.of(load_config(), model="m/1", model_sha256="0" * 64)
    info = RunInfo(
        command=("her2", "score", "a\udcff.svs"),
        versions={"python": "3"},
        host="h",
        device="cpu",
        started=now(),
        seconds={"inference": 1.5},
        counts={"scored": 1},
    )
    write_run_info(tmp_path, key, info)
    back_key, back = read_run_info(tmp_path)
    assert back_key == key
    assert back == info.model_copy(update={"command": ("her2", "score", "a\\xff.svs")})
    content = json.loads((tmp_path / "run.json").read_bytes())
    assert content["config_hash"] == load_config().hash
    assert "runtime" not in content["config"]


def test_differences_are_named_and_runtime_is_none() -> None:
    def key(*overrides: str, sha: str = "0") -> RunKey:
        return RunKey.of(load_config(overrides=overrides), model="m/1", model_sha256=sha * 64)

    assert key().differences(key("runtime.workers=1")) == []
    before = key("tiling.tile_px=1024")
    assert before.differences(key("tiling.tile_px=256", sha="1")) == [
        "tiling.tile_px: 1024 there, 256 now",
        "model: m/1 (000000000000) there, m/1 (111111111111) now",
    ]
    unknown = key().model_copy(update={"config_hash": "other"})
    assert len(key().differences(unknown)) == 1


def test_no_run_json_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="her2 score"):
        read_run_info(tmp_path)


def test_seconds_of_a_split_run_are_in_the_logs_of_its_parts(tmp_path: Path) -> None:
    def line(slide_id: str, seconds: float | None, minute: int) -> str:
        entry = {
            "time": f"2026-01-01T00:{minute:02}:00.000Z",
            "event": "slide_finished",
            "slide_id": slide_id,
            "seconds": seconds,
        }
        return json.dumps(entry) + "\n"

    (tmp_path / "shards").mkdir()
    (tmp_path / "log.jsonl").write_text(line("a", 1.0, 5) + line("b", 2.0, 1) + '{"eve')
    # The second part saw that another process had read slide a, and timed nothing.
    (tmp_path / "shards" / "x.log.jsonl").write_text(line("b", 3.0, 3) + line("c", 4.0, 4))
    (tmp_path / "shards" / "y.log.jsonl").write_text(line("b", 5.0, 2) + line("a", None, 6))
    assert read_slide_seconds(tmp_path) == {"a": 1.0, "b": 3.0, "c": 4.0}

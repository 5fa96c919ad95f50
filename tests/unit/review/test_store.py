from __future__ import annotations

import json
import os
import sqlite3
import threading
from pathlib import Path

import pytest
from reviewing import ADA, BO, a_draft

from pathology.errors import OutputError
from pathology.review import store as store_module
from pathology.review.database import STORE_VERSION, connect
from pathology.review.events import Draft, Event, canonical, sha256_hex
from pathology.review.head import Head, read_head
from pathology.review.problems import Conflict, Refused, StoreError
from pathology.review.rules import give_read
from pathology.review.store import ReviewStore
from pathology.review.verify import verify


def fill(run: Path, n: int = 6) -> Head:
    with ReviewStore(run) as store:
        for k in range(n):
            store.append("ab"[k % 2], ADA, lambda _, k=k: a_draft(k))
        assert store.head is not None
        return store.head


def raw(run: Path) -> sqlite3.Connection:
    """Open the file as someone would who wants to cheat: without the triggers."""
    connection = sqlite3.connect(run / "review" / "review.sqlite", isolation_level=None)
    for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'"):
        connection.execute(f"DROP TRIGGER {name}")
    return connection


def test_events_come_back_as_they_were_recorded(tmp_path: Path) -> None:
    head = fill(tmp_path)
    found = verify(tmp_path)
    assert (found.ok, found.events, found.slides, found.head) == (True, 6, 2, head)
    with ReviewStore(tmp_path) as store:
        events = store.events("a")
        assert [event.version for event in events] == [1, 2, 3]
        assert [event.number for event in events] == [1, 3, 5]
        assert events[0].previous == "0" * 64
        assert events[2].why == "try 4"
        assert store.review("b").version == 3
        assert store.review("never").version == 0
    assert read_head(tmp_path / "review") == head
    assert oct((tmp_path / "review").stat().st_mode)[-3:] == "700"


def test_a_newer_event_is_a_conflict_that_names_who_and_when(tmp_path: Path) -> None:
    with ReviewStore(tmp_path) as store:
        first = store.append("a", ADA, lambda _: a_draft(), expected=0)
        with pytest.raises(Conflict, match=f"Ada has changed this slide at {first.at[:19]}"):
            store.append("a", BO, lambda _: a_draft(), expected=0)
        with pytest.raises(Conflict, match="has 1 events, not 5"):
            store.append("a", BO, lambda _: a_draft(), expected=5)
        store.append("b", BO, lambda _: a_draft(), expected=0)
        store.append("a", BO, lambda _: a_draft(), expected=1)
    assert verify(tmp_path).events == 3


def test_two_processes_see_each_other(tmp_path: Path) -> None:
    with ReviewStore(tmp_path) as one, ReviewStore(tmp_path) as other:
        one.append("a", ADA, lambda _: a_draft(), expected=0)
        assert other.review("a").version == 1
        with pytest.raises(Conflict):
            other.append("a", BO, lambda _: a_draft(), expected=0)
        other.append("a", BO, lambda _: a_draft(), expected=1)
        assert one.review("a").last[0] == "Bo"
    assert verify(tmp_path).ok


def test_a_refused_action_leaves_nothing(tmp_path: Path) -> None:
    with ReviewStore(tmp_path) as store:
        with pytest.raises(Refused):
            store.append("a", ADA, lambda review: give_read(review, ADA, score="2", tier=None))
        with pytest.raises(Refused, match="no slide"):
            store.append("", ADA, lambda _: a_draft())
        with pytest.raises(ValueError, match="unknown"):
            store.append("a", ADA, lambda _: Draft(kind="deleted"))
        assert store.head is None
        store.append("a", ADA, lambda _: a_draft())
    assert verify(tmp_path).events == 1


@pytest.mark.parametrize("statement", ["UPDATE events SET user_id = 1", "DELETE FROM events"])
@pytest.mark.parametrize("table", ["events", "documents"])
def test_triggers_refuse_every_change(tmp_path: Path, statement: str, table: str) -> None:
    content = b"regions"
    draft = Draft(kind="relinked", after={"path": "/x"}, documents={sha256_hex(content): content})
    with ReviewStore(tmp_path) as store:
        store.append("a", ADA, lambda _: draft)
        statement = statement.replace("user_id = 1", "sha256 = 'x'").replace("events", table)
        connection = sqlite3.connect(store.path)
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
        connection.close()


def edit_body(run: Path, number: int, **changes: object) -> bytes:
    connection = raw(run)
    query = "SELECT body FROM events WHERE number = ?"
    tree = json.loads(connection.execute(query, (number,)).fetchone()[0])
    body = canonical({**tree, **changes})
    connection.execute("UPDATE events SET body = ? WHERE number = ?", (body, number))
    connection.close()
    return body


def test_a_changed_event_is_the_first_broken_one(tmp_path: Path) -> None:
    fill(tmp_path)
    edit_body(tmp_path, 4, why="nothing to see")
    found = verify(tmp_path)
    assert (found.broken, found.events) == (4, 3)
    assert "event 4 was changed" in found.problem


def test_a_changed_event_with_its_hash_made_anew_breaks_the_next(tmp_path: Path) -> None:
    fill(tmp_path)
    body = edit_body(tmp_path, 4, user="Bo")
    connection = raw(tmp_path)
    connection.execute("UPDATE events SET sha256 = ? WHERE number = 4", (sha256_hex(body),))
    connection.close()
    assert verify(tmp_path).broken == 5
    with pytest.raises(StoreError, match="event 5 does not follow"):
        ReviewStore(tmp_path)


def rebuild(run: Path, keep: int) -> None:
    """Write the whole chain anew with other words: what someone can who may write everywhere."""
    connection = raw(run)
    rows = connection.execute("SELECT number, body FROM events ORDER BY number").fetchall()
    connection.execute("DELETE FROM events")
    previous = "0" * 64
    for number, body in rows[:keep]:
        event = Event.from_body(
            canonical({**json.loads(body), "previous": previous, "why": "forged"})
        )
        previous = event.sha256
        values = (number, event.slide_id, event.version, event.body(), event.sha256)
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", values)
    connection.close()


def test_only_a_head_kept_elsewhere_shows_a_chain_that_was_written_anew(tmp_path: Path) -> None:
    head = fill(tmp_path)
    rebuild(tmp_path, 6)
    assert verify(tmp_path).broken == 6  # the head beside the record
    (tmp_path / "review" / "head.json").unlink()
    assert verify(tmp_path).ok  # that is as much as a chain alone can say
    assert verify(tmp_path).notes
    found = verify(tmp_path, head=Head.parse(head.text()))
    assert (found.ok, found.broken) == (False, 6)


@pytest.mark.parametrize("number", [3, 6])
def test_a_missing_event_is_seen_also_at_the_end(tmp_path: Path, number: int) -> None:
    head = fill(tmp_path)
    connection = raw(tmp_path)
    connection.execute("DELETE FROM events WHERE number >= ? AND number < ?", (number, number + 4))
    connection.close()
    found = verify(tmp_path)
    assert not found.ok
    assert found.broken == number
    with pytest.raises(StoreError):
        ReviewStore(tmp_path)
    (tmp_path / "review" / "head.json").unlink()
    assert verify(tmp_path, head=head).broken == number


def test_a_document_that_was_changed_or_removed_is_seen(tmp_path: Path) -> None:
    names = [sha256_hex(content) for content in (b"regions", b"result")]
    draft = Draft(
        kind="regions",
        after={"document": names[0], "count": 1, "result": names[1], "run_sha256": "0" * 64},
        documents={names[0]: b"regions", names[1]: b"result"},
    )
    with ReviewStore(tmp_path) as store:
        store.append("a", ADA, lambda _: draft)
        assert store.document(names[1]) == b"result"
        with pytest.raises(StoreError, match="missing"):
            store.document("f" * 64)
    assert verify(tmp_path).ok
    connection = raw(tmp_path)
    connection.execute("UPDATE documents SET content = X'00' WHERE sha256 = ?", (names[1],))
    assert "changed" in verify(tmp_path).problem
    connection.execute("DELETE FROM documents WHERE sha256 = ?", (names[1],))
    assert "missing" in verify(tmp_path).problem
    connection.close()


def test_a_record_of_a_newer_version_or_another_program_is_refused(tmp_path: Path) -> None:
    fill(tmp_path)
    connection = raw(tmp_path)
    connection.execute(f"PRAGMA user_version = {STORE_VERSION + 1}")
    for opening in (ReviewStore, verify):
        with pytest.raises(StoreError, match="newer version"):
            opening(tmp_path)
    connection.execute("PRAGMA user_version = 1")
    connection.execute("PRAGMA application_id = 7")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        ReviewStore(tmp_path)
    with pytest.raises(StoreError, match="no review"):
        verify(tmp_path / "elsewhere")


def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    fill(tmp_path, 40)
    path = tmp_path / "review" / "review.sqlite"
    content = bytearray(path.read_bytes())
    path.write_bytes(b"x" * 4096 + bytes(content[4096:]))
    for opening in (ReviewStore, verify):
        with pytest.raises(StoreError, match=r"damaged.*backup"):
            opening(tmp_path)
    content[8192:] = os.urandom(len(content) - 8192)
    path.write_bytes(content)
    with pytest.raises(StoreError):
        ReviewStore(tmp_path)
    (tmp_path / "review" / "head.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match=r"head\.json"):
        verify(tmp_path)
    assert issubclass(StoreError, OutputError)


def test_a_locked_record_refuses_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pathology.review.database.BUSY_S", 0.1)
    fill(tmp_path)
    with ReviewStore(tmp_path) as store:
        other = sqlite3.connect(store.path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError, match="another process is writing"):
            store.append("a", ADA, lambda _: a_draft())
        assert store.review("a").version == 3  # it can still be read
        other.execute("ROLLBACK")
        other.close()
        store.append("a", ADA, lambda _: a_draft(), expected=3)
    assert verify(tmp_path).events == 7


def test_a_full_disk_refuses_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path)

    def small(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    monkeypatch.setattr(store_module, "connect", small)
    content = b"x" * 100_000
    large = Draft(kind="relinked", after={"path": "/x"}, documents={sha256_hex(content): content})
    with ReviewStore(tmp_path) as store:
        with pytest.raises(StoreError, match="disk is full; nothing was recorded"):
            store.append("a", ADA, lambda _: large)
        assert store.review("a").version == 3
    monkeypatch.undo()
    fill(tmp_path, 1)
    assert verify(tmp_path).events == 7


def test_an_event_stays_where_its_head_cannot_be_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 2)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with ReviewStore(tmp_path) as store:
        with monkeypatch.context() as patch:
            patch.setattr("os.fsync", full)
            store.append("a", ADA, lambda _: a_draft())
        assert read_head(tmp_path / "review") != store.head
    found = verify(tmp_path)
    assert (found.ok, found.events) == (True, 3)


def test_threads_lose_no_event(tmp_path: Path) -> None:
    conflicts: list[Conflict] = []
    with ReviewStore(tmp_path) as store:

        def work(name: str) -> None:
            done = 0
            while done < 8:
                try:
                    seen = store.review("a").version
                    store.append("a", ADA, lambda _: a_draft(), expected=seen)
                    done += 1
                except Conflict as error:
                    conflicts.append(error)
                store.append(name, BO, lambda _: a_draft())

        threads = [threading.Thread(target=work, args=(f"s{k}",)) for k in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert store.review("a").version == 32
    found = verify(tmp_path)
    assert (found.ok, found.events) == (True, 64 + len(conflicts))


@pytest.mark.parametrize("text", ["", "3", "x:" + "0" * 64, "0:" + "0" * 64, "3:xyz"])
def test_a_head_is_read_strictly(text: str) -> None:
    with pytest.raises(ValueError, match="head"):
        Head.parse(text)

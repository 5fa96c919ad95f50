from __future__ import annotations

import os
from pathlib import Path

import pytest
from reviewing import ADA, BO, PASSWORD

from pathology.errors import UsageError
from pathology.review import sessions as sessions_module
from pathology.review import users as users_module
from pathology.review.problems import NotSignedIn, TooManyAttempts
from pathology.review.sessions import IDLE_S, LONGEST_S, LOOKING_S, Presence, Sessions
from pathology.review.users import Role, User, Users, default_users_file


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_users_are_kept_apart_from_the_run_and_readable_by_their_owner_only(
    tmp_path: Path, named: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = default_users_file()
    assert path == tmp_path / "her2-ihc" / "users.json"
    assert not Users.read(path)
    named.write(path)
    assert Users.read(path) == named
    assert oct(path.stat().st_mode)[-3:] == "600"
    assert PASSWORD not in path.read_text(encoding="utf-8")
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        Users.read(path)


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"version": 2, "users": {}}', '{"version": 1, "users": {"A": {"role": "god"}}}'],
)
def test_a_damaged_file_of_users_lets_nobody_in(tmp_path: Path, text: str) -> None:
    path = tmp_path / "users.json"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    with pytest.raises(UsageError, match="no file of users"):
        Users.read(path)


def test_passwords(named: Users) -> None:
    assert named.check("Ada", PASSWORD) == ADA
    assert named.check("ada", PASSWORD) is None
    assert named.check("Ada", PASSWORD + " ") is None
    assert named.check("Ada", PASSWORD + "x" * 1000) is None
    assert named.check("Nobody", PASSWORD) is None
    for password in ("short", "x" * 257):
        with pytest.raises(UsageError, match="characters"):
            named.with_user(BO, password)
    with pytest.raises(UsageError, match="there is a user"):
        named.with_user(User(name="ADA", role=Role.ADMIN), PASSWORD)
    changed = named.with_user(User(name="Ada", role=Role.ADMIN), "another long one")
    assert changed.check("Ada", PASSWORD) is None
    assert changed.without("Ada").check("Ada", "another long one") is None
    with pytest.raises(UsageError, match="no such user"):
        named.without("Nobody")


def test_hashes_are_salted_and_cost_what_they_should() -> None:
    users = Users().with_user(ADA, PASSWORD)
    other = Users().with_user(ADA, PASSWORD)
    assert users != other
    assert users_module.SCRYPT["n"] >= 2**15
    assert os.cpu_count()


def test_a_session_ends_by_itself(clock: Clock) -> None:
    sessions = Sessions(local=ADA, clock=clock)
    cookie, session = sessions.sign_in_with_token(sessions.token)
    clock.now += IDLE_S - 1
    assert sessions.find(cookie) == session
    clock.now += IDLE_S + 1
    with pytest.raises(NotSignedIn):
        sessions.find(cookie)
    cookie, _ = sessions.sign_in_with_token(sessions.token)
    for _ in range(int(LONGEST_S // 3600) + 1):
        clock.now += 3600
        try:
            sessions.find(cookie)
        except NotSignedIn:
            break
    else:
        pytest.fail("a session that is used lasts for ever")


def test_the_token_is_of_this_start_and_guessing_is_slowed(clock: Clock) -> None:
    sessions, other = Sessions(local=ADA, clock=clock), Sessions(local=ADA)
    assert sessions.token != other.token
    for _ in range(sessions_module.TRIES_PER_NAME):
        with pytest.raises(NotSignedIn, match="token"):
            sessions.sign_in_with_token(other.token)
    with pytest.raises(TooManyAttempts):
        sessions.sign_in_with_token(sessions.token)
    clock.now += sessions_module.TRIES_S
    sessions.sign_in_with_token(sessions.token)


def test_with_named_users_there_is_no_token(named: Users) -> None:
    sessions = Sessions(named)
    with pytest.raises(NotSignedIn):
        sessions.sign_in_with_token(sessions.token)


def test_signing_asks_again(clock: Clock, named: Users) -> None:
    local = Sessions(local=ADA, clock=clock)
    _, session = local.sign_in_with_token(local.token)
    local.confirm(session, local.token)
    with pytest.raises(NotSignedIn):
        local.confirm(session, "")
    sessions = Sessions(named, clock=clock)
    _, session = sessions.sign_in("Ada", PASSWORD)
    sessions.confirm(session, PASSWORD)
    with pytest.raises(NotSignedIn):
        sessions.confirm(session, sessions.token)


def test_guessing_many_names_is_slowed_too(
    clock: Clock, named: Users, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions_module, "TRIES_IN_ALL", 6)
    sessions = Sessions(named, clock=clock)
    for name in ("Ada", "Bo", "Sena"):
        for _ in range(2):
            with pytest.raises(NotSignedIn):
                sessions.sign_in(name, "x" * 20)
    with pytest.raises(TooManyAttempts):
        sessions.sign_in("Admin", PASSWORD)


def test_who_looks_at_a_slide_is_forgotten(clock: Clock) -> None:
    presence = Presence(clock=clock)
    presence.look("a", "Ada")
    presence.look("a", "Bo")
    assert presence.others("a", "Bo") == ["Ada"]
    presence.look("b", "Ada")
    assert presence.others("a", "Bo") == []
    clock.now += LOOKING_S
    assert presence.others("b", "Bo") == []

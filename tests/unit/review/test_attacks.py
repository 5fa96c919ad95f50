"""Tries to get in: each of them must fail, and leave nothing behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from reviewing import ADA, ADMIN, PASSWORD, POLICY, SENIOR, TICKED, Browser, Reader, application

from pathology.errors import UsageError
from pathology.review.context import ReviewContext
from pathology.review.security import MAX_BODY, Policy, check_binding
from pathology.review.users import Role, User


@pytest.fixture
def ada(context: ReviewContext) -> Reader:
    return Reader(context, ADA)


AGREE: dict[str, Any] = {"expected": 0, "kind": "agree"}


@pytest.mark.parametrize(
    "slide_id",
    [
        "..",
        "../../etc/passwd",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/%2e%2e",
        "a%00",
        "a/..%2fb",
        "A",
        "nowhere",
        "' OR '1'='1",
        "a'; DROP TABLE events; --",
        "<script>alert(1)</script>",
        "run.json",
    ],
)
def test_no_path_and_no_slide_outside_the_run(
    ada: Reader, context: ReviewContext, slide_id: str
) -> None:
    path = f"/api/slides/{slide_id}"
    answer = ada.client.get(f"{path}/review")
    assert answer.status_code == 404
    assert "passwd" not in answer.text
    assert "<script>" not in answer.text
    headers = {"X-CSRF-Token": ada.csrf}
    for what, body in (("decision", AGREE), ("read", {"score": "0"})):
        answer = ada.client.post(f"{path}/{what}", json=body, headers=headers)
        assert answer.status_code in (404, 405)
    assert context.store.head is None


def test_a_slide_named_like_a_script_is_data_only(ada: Reader) -> None:
    ada.act("a", "regions", features=[])
    answer = ada.client.get("/api/slides/a/review")
    assert "<script>alert('a')<script>" in answer.json()["reviewed_result"]["path"]
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize("token", [None, "", "x", "é"])
def test_every_change_needs_the_csrf_token(
    ada: Reader, context: ReviewContext, token: str | None
) -> None:
    headers = {} if token is None else {"X-CSRF-Token": token.encode()}
    bodies = {
        "decision": AGREE,
        "regions": {"expected": 0, "features": []},
        "checklist": {"expected": 0, "checklist": TICKED},
        "ish": {"expected": 0, "readings": [{"call": "positive"}]},
        "second-reader": {"expected": 0},
        "sign": {"expected": 0, "password": PASSWORD},
        "addendum": {"expected": 0, "text": "x"},
        "read": {"score": "0"},
    }
    for what, body in bodies.items():
        answer = ada.client.post(f"/api/slides/a/{what}", json=body, headers=headers)
        assert answer.status_code == 403, what
    assert ada.client.post("/api/logout", headers=headers).status_code == 403
    assert context.store.head is None


def test_the_token_of_another_session_does_not_help(ada: Reader, context: ReviewContext) -> None:
    other = Reader(context, SENIOR)
    answer = ada.client.post(
        "/api/slides/a/decision", json=AGREE, headers={"X-CSRF-Token": other.csrf}
    )
    assert answer.status_code == 403


def test_a_forged_or_ended_cookie_is_nobody(ada: Reader, context: ReviewContext) -> None:
    browser = Browser(application(context))
    for value in ("x", "0" * 43, "Ada", "%00"):
        browser.cookies.set(POLICY.cookie, value, domain="127.0.0.1")
        assert browser.get("/api/session").status_code == 401
        browser.cookies.clear()
    kept = ada.client.cookies.get(POLICY.cookie)
    assert kept is not None
    headers = {"X-CSRF-Token": ada.csrf}
    assert ada.client.post("/api/logout", headers=headers).status_code == 200
    browser.cookies.set(POLICY.cookie, kept, domain="127.0.0.1")
    assert browser.get("/api/session").status_code == 401


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(context: ReviewContext) -> None:
    browser = Browser(application(context))
    answer = browser.post("/api/login", json={"name": "Ada", "password": PASSWORD})
    cookie = answer.headers["set-cookie"]
    for part in ("HttpOnly", "SameSite=strict", "Path=/", "her2_session_8765="):
        assert part in cookie
    assert answer.json()["csrf"] not in cookie
    tls = Policy(host="10.0.0.1", port=443, tls=True)
    assert tls.cookie.startswith("__Host-")
    assert tls.accepts_host("10.0.0.1")
    assert tls.accepts_origin("https://10.0.0.1")
    assert not tls.accepts_origin("http://10.0.0.1")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:80", "127.0.0.1:8765.evil.example", ""]
)
def test_another_host_name_is_refused(ada: Reader, host: str) -> None:
    answer = ada.client.get("/api/session", headers={"Host": host})
    assert answer.status_code == 421
    assert "csrf" not in answer.text
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_requests_of_other_pages_are_refused(
    ada: Reader, context: ReviewContext, headers: dict[str, str]
) -> None:
    answer = ada.client.post(
        "/api/slides/a/decision", json=AGREE, headers={"X-CSRF-Token": ada.csrf, **headers}
    )
    assert answer.status_code == 403
    login = Browser(application(context)).post(
        "/api/login", json={"name": "Ada", "password": PASSWORD}, headers=headers
    )
    assert login.status_code == 403
    assert context.store.head is None


def test_a_link_from_elsewhere_may_lead_to_the_page(ada: Reader) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ada.client.get("/api/session", headers=headers).status_code == 200
    headers["Sec-Fetch-Mode"] = "no-cors"
    assert ada.client.get("/api/session", headers=headers).status_code == 403


def test_bodies_have_a_limit_whether_they_say_their_length_or_not(ada: Reader) -> None:
    headers = {"X-CSRF-Token": ada.csrf, "Content-Type": "application/json"}
    path = "/api/slides/a/decision"
    large = b"[" + b" " * MAX_BODY + b"]"
    assert ada.client.post(path, content=large, headers=headers).status_code == 413

    sent = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(64):
            sent += 2**20
            yield b" " * 2**20

    answer = ada.client.post(path, content=pieces(), headers=headers)
    assert answer.status_code == 413
    assert "KiB" in answer.json()["message"]
    assert sent <= MAX_BODY + 2**21  # nobody takes in the rest
    assert ada.client.get("/api/session?" + "x" * 9000).status_code == 414


@pytest.mark.parametrize("body", [b"{", b"[]", b"null", b'{"expected": true, "kind": "agree"}'])
def test_broken_bodies_are_refused(ada: Reader, body: bytes) -> None:
    headers = {"X-CSRF-Token": ada.csrf, "Content-Type": "application/json"}
    answer = ada.client.post("/api/slides/a/decision", content=body, headers=headers)
    assert answer.status_code == 422
    assert answer.json()["message"]


@pytest.mark.parametrize("extra", ["role", "user", "at", "number", "by"])
def test_nobody_says_who_he_is_in_the_body(ada: Reader, extra: str) -> None:
    answer = ada.post("a", "decision", **AGREE, **{extra: "admin"})
    assert answer.status_code == 422
    headers = {"X-CSRF-Token": ada.csrf, "X-Role": "admin", "X-User": "Admin"}
    answer = ada.client.post("/api/slides/a/decision", json=AGREE, headers=headers)
    assert answer.json()["events"][0]["user"] == "Ada"


def test_an_administrator_reads_and_signs_nothing(context: ReviewContext) -> None:
    admin = Reader(context, ADMIN)
    bodies: dict[str, dict[str, Any]] = {
        "decision": {"kind": "agree"},
        "regions": {"features": []},
        "checklist": {"checklist": TICKED},
        "ish": {"readings": [{"call": "positive"}]},
        "second-reader": {},
        "sign": {"password": PASSWORD},
        "addendum": {"text": "x"},
    }
    for what, body in bodies.items():
        assert admin.post("a", what, expected=0, **body).status_code == 403, what
    assert context.store.head is None


def test_a_removed_user_can_sign_in_no_more(context: ReviewContext) -> None:
    context.sessions.users = context.sessions.users.without("Ada")
    answer = Browser(application(context)).post(
        "/api/login", json={"name": "Ada", "password": PASSWORD}
    )
    assert answer.status_code == 401


def test_guessing_is_slowed_down(context: ReviewContext) -> None:
    browser = Browser(application(context))
    statuses = [
        browser.post("/api/login", json={"name": "Ada", "password": f"guess {k}"}).status_code
        for k in range(7)
    ]
    assert statuses == [401] * 5 + [429] * 2
    right = browser.post("/api/login", json={"name": "Ada", "password": PASSWORD})
    assert (right.status_code, "Wait" in right.json()["fix"]) == (429, True)
    assert browser.post("/api/login", json={"name": "Bo", "password": PASSWORD}).status_code == 200


@pytest.mark.parametrize(
    "body", [{}, {"name": "Ada"}, {"password": PASSWORD}, {"token": "x"}, {"token": ""}]
)
def test_half_a_sign_in_is_none(context: ReviewContext, body: dict[str, str]) -> None:
    answer = Browser(application(context)).post("/api/login", json=body)
    assert answer.status_code in (401, 422)
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    "name",
    ["<script>", "a'; DROP TABLE events", "", " ", "=cmd()", "x" * 65, "consensus", "Her2", "a\nb"],
)
def test_a_user_has_a_plain_name(name: str) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        User(name=name, role=Role.READER)


def test_listening_to_others_needs_names_and_tls(tmp_path: Any) -> None:
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    assert not check_binding("127.0.0.1")
    assert not check_binding("localhost")
    for host in ("0.0.0.0", "::", "192.168.1.5", "lab-server"):  # noqa: S104 - must be refused
        with pytest.raises(UsageError, match="no named users"):
            check_binding(host)
        with pytest.raises(UsageError, match="in the clear"):
            check_binding(host, named_users=True)
        assert not check_binding(host, named_users=True, allow_plain_http=True)
    with pytest.raises(UsageError, match="go together"):
        check_binding("127.0.0.1", certificate=certificate)
    with pytest.raises(UsageError, match="no such file"):
        check_binding("127.0.0.1", certificate=certificate, key=key)
    certificate.touch()
    key.touch()
    assert check_binding("0.0.0.0", certificate=certificate, key=key, named_users=True)  # noqa: S104

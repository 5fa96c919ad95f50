"""Whatever is done in whatever order: an independent model of the rules must agree."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from pathology.review import rules, signing
from pathology.review.events import GENESIS, Draft, Event, sha256_hex
from pathology.review.problems import ReviewError
from pathology.review.rules import Shown
from pathology.review.state import CHECKS, SlideReview, Status, fold
from pathology.review.users import Role, User

PEOPLE = [
    User(name="Ada", role=Role.READER),
    User(name="Bo", role=Role.READER),
    User(name="Sena", role=Role.SENIOR_READER),
    User(name="Admin", role=Role.ADMIN),
]
SCORES = ["0", "1+", "2+", "3+", "not_scorable"]
# Often enough the same person does several things, and does them fully: else nothing gets signed.
people = st.sampled_from([*PEOPLE[:1] * 4, *PEOPLE])
ticks = st.one_of(st.just(set(CHECKS)), st.sets(st.sampled_from(CHECKS)))


@dataclass
class Model:
    """Say in the plainest way what a reviewer could rely on."""

    signed_by: str | None = None
    signed_run: str = ""
    decided_by: str | None = None
    decided: str = ""
    decided_basis: str = ""
    ticked_basis: str = ""
    ticked: bool = False
    asked_by: str | None = None
    opinions: dict[str, tuple[str, str]] = field(default_factory=dict)
    second_ever: bool = False


class Reviewing(RuleBasedStateMachine):
    @initialize()
    def start(self) -> None:
        self.events: list[Event] = []
        self.review = SlideReview(slide_id="a")
        self.model = Model()
        self.run, self.basis, self.score = "r0", "r0", "1+"
        self.steps = 0

    def shown(self) -> Shown:
        outdated = self.review.drawn is not None and self.review.drawn.run_sha256 != self.run
        return Shown(
            run_sha256=self.run,
            basis=self.basis,
            ihc_score=self.score,
            tier=None,
            outdated=outdated,
        )

    def record(self, user: User | None, draft: Draft) -> None:
        event = Event(
            number=len(self.events) + 1,
            slide_id="a",
            version=self.review.version + 1,
            kind=draft.kind,
            user=user.name if user else "her2",
            role=user.role.value if user else "program",
            at=f"2026-01-01T00:00:{len(self.events):06d}",
            why=draft.why,
            before=draft.before,
            after=draft.after,
            previous=self.events[-1].sha256 if self.events else GENESIS,
        )
        self.events.append(event)
        self.review = self.review.apply(event)

    def attempt(self, user: User, make: object, *, allowed: bool) -> bool:
        try:
            draft = make()  # type: ignore[operator]
        except ReviewError:
            assert not allowed, "the rules refuse what the model allows"
            return False
        assert allowed, "the rules allow what the model refuses"
        self.record(user, draft)
        return True

    def reads(self, user: User) -> bool:
        return user.role != Role.ADMIN

    @rule(user=people, score=st.sampled_from(SCORES), agree=st.booleans())
    def decide(self, user: User, score: str, agree: bool) -> None:
        kind = "agree" if agree else "override"
        given = None if agree else score
        reason = None if agree else "artefact"
        m = self.model
        current = not self.shown().outdated
        allowed = (
            self.reads(user) and m.signed_by is None and current and (agree or score != self.score)
        )
        if self.attempt(
            user,
            lambda: rules.decide(
                self.review, user, self.shown(), kind=kind, ihc_score=given, reason=reason
            ),
            allowed=allowed,
        ):
            if m.asked_by not in (None, user.name):
                m.asked_by = None
            m.decided_by, m.decided = user.name, self.score if agree else score
            m.decided_basis = self.basis
            m.opinions[user.name] = (m.decided, self.basis)

    @rule(user=people, which=ticks)
    def tick(self, user: User, which: set[str]) -> None:
        m = self.model
        checks = {name: name in which for name in CHECKS}
        allowed = self.reads(user) and m.signed_by is None and not self.shown().outdated
        if self.attempt(
            user,
            lambda: rules.tick(self.review, user, self.shown(), checks=checks, note=""),
            allowed=allowed,
        ):
            m.ticked, m.ticked_basis = len(which) == len(CHECKS), self.basis

    @rule(user=people)
    def ask(self, user: User) -> None:
        m = self.model
        allowed = (
            self.reads(user)
            and m.signed_by is None
            and m.decided_by == user.name
            and m.asked_by is None
        )
        if self.attempt(
            user, lambda: rules.ask_second_reader(self.review, user, text=""), allowed=allowed
        ):
            m.asked_by, m.second_ever = user.name, True

    @rule(user=people, score=st.sampled_from(SCORES[:4]))
    def draw(self, user: User, score: str) -> None:
        m = self.model
        self.steps += 1
        regions, result = f"regions {self.steps}".encode(), f"result {self.steps}".encode()
        digests = (sha256_hex(regions), sha256_hex(result))
        if self.attempt(
            user,
            lambda: rules.draw_regions(
                self.review,
                user,
                document=regions,
                digests=digests,
                count=1,
                result=result,
                run_sha256=self.run,
                scores={"before": {}, "after": {}},
            ),
            allowed=self.reads(user) and m.signed_by is None,
        ):
            self.basis, self.score = digests[1], score
            if m.second_ever and m.asked_by is None:
                assert self.review.second is not None
                m.asked_by = self.review.second.asked_by

    @rule(user=people)
    def prepare(self, user: User) -> None:
        """Do all that a signature needs, so that random steps come to one more often."""
        self.decide(user, self.score, agree=True)
        self.tick(user, set(CHECKS))

    @rule(user=people, other=people, score=st.sampled_from(SCORES[:4]))
    def differ(self, user: User, other: User, score: str) -> None:
        """Ask another person, who may decide otherwise."""
        self.prepare(user)
        self.ask(user)
        self.decide(other, score, agree=False)
        self.tick(other, set(CHECKS))

    @rule(user=people)
    def sign(self, user: User) -> None:
        m = self.model
        now = {score for score, basis in m.opinions.values() if basis == self.basis}
        settled = not m.second_ever or len(now) <= 1 or user.role == Role.SENIOR_READER
        checked = m.ticked and m.ticked_basis == self.basis
        allowed = (
            self.reads(user)
            and m.signed_by is None
            and m.decided_by == user.name
            and m.decided_basis == self.basis
            and not self.shown().outdated
            and m.asked_by is None
            and settled
            and (checked or m.decided == "not_scorable")
        )
        if self.attempt(
            user, lambda: signing.sign(self.review, user, self.shown()), allowed=allowed
        ):
            m.signed_by, m.signed_run = user.name, self.run

    @rule(user=people, text=st.sampled_from(["", "a slip of the pen"]))
    def add(self, user: User, text: str) -> None:
        m = self.model
        own = user.name == m.signed_by or user.role == Role.SENIOR_READER
        self.attempt(
            user,
            lambda: signing.add_addendum(
                self.review, user, text=text, ihc_score="3+", tier="her2_positive"
            ),
            allowed=self.reads(user) and m.signed_by is not None and own and bool(text),
        )

    @rule(score=st.sampled_from(SCORES[:4]))
    def score_again(self, score: str) -> None:
        self.steps += 1
        drawn = self.review.drawn is not None
        self.run = f"r{self.steps}"
        if not drawn:
            self.basis, self.score = self.run, score
        draft = signing.supersede(self.review, run_sha256=self.run)
        assert (draft is not None) == (self.model.signed_by is not None)
        if draft is not None:
            self.record(None, draft)
            self.model = Model()

    @invariant()
    def the_record_says_the_same(self) -> None:
        if not hasattr(self, "events"):
            return
        assert fold("a", self.events) == self.review
        assert self.review.version == len(self.events)
        m = self.model
        assert self.review.closed == (m.signed_by is not None)
        if m.signed_by is not None:
            assert self.review.signature is not None
            assert self.review.signature.by == m.signed_by
            assert self.review.signature.run_sha256 == self.run
        else:
            assert self.review.signature is None
            assert self.review.final_score is None
        waiting = self.review.status == Status.SECOND_READER_REQUESTED
        assert waiting == (m.asked_by is not None)

    @invariant()
    def no_signature_is_lost(self) -> None:
        if hasattr(self, "events"):
            signed = [event for event in self.events if event.kind == "signed"]
            kept = len(self.review.superseded) + (self.review.signature is not None)
            assert len(signed) == kept


Reviewing.TestCase.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
TestReviewing = Reviewing.TestCase

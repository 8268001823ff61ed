"""Any order of claims, crashes, renewals, outcomes and answers, on a clock that the test moves."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from audio_service.media.model import Encoding, IllegalMoveError, MediaStatus
from audio_service.media.repository.base import (
    EVICTOR,
    Finished,
    Joined,
    LeaseHeld,
    Owned,
    StoredMedia,
    Unannounced,
    Waiter,
)
from audio_service.media.repository.sqlite import claims as sqlite_claims
from audio_service.media.repository.sqlite import expiring as sqlite_expiring
from audio_service.media.repository.sqlite import records as sqlite_records
from audio_service.media.repository.sqlite import retention as sqlite_retention
from audio_service.media.repository.sqlite.schema import migrate
from common.databases.sqlite import Transaction
from common.errors import LeaseLost
from common.messages.downloads import FileData, PlatformMetadata

SONG = "k2qgadSvNyU"
KEEP = timedelta(days=365)
LEASE_MS = 100
LEASE = timedelta(milliseconds=LEASE_MS)
MADE = StoredMedia(PlatformMetadata(title="New Rules"), FileData(), 1, Encoding("passthrough", "x", 1, "00"), "ok")

requests = st.integers(0, 4).map(lambda n: f"request-{n}")


class Claims(RuleBasedStateMachine):
    """One record, a few requests, and workers that may do anything with any fence they were ever given."""

    def __init__(self) -> None:
        super().__init__()
        self.db = sqlite3.connect(":memory:", isolation_level=None)
        self.now = 1_000_000
        migrate(self.tx)
        self.fences: list[int] = []
        self.holder = ""
        self.held_until = 0
        self.promised: set[str] = set()
        self.answered: set[str] = set()
        self.waiting: set[str] = set()

    def teardown(self) -> None:
        self.db.close()

    @property
    def tx(self) -> Transaction:
        return Transaction(self.db, self.now)

    @rule(milliseconds=st.integers(1, LEASE_MS * 2))
    def time_passes(self, milliseconds: int) -> None:
        self.now += milliseconds

    @rule(request=requests)
    def claim(self, request: str) -> None:
        before = sqlite_records.find(self.tx, SONG)
        got = sqlite_claims.claim(self.tx, SONG, Waiter(request, "u"), PlatformMetadata(title="New Rules"), LEASE)
        if request in self.answered:
            assert isinstance(got, Joined)
            return
        match got:
            case Owned(fence) | Unannounced(fence):
                assert self.held_until <= self.now or self.holder == request, "two live owners"
                assert not self.fences or fence > self.fences[-1]
                self.fences.append(fence)
                self.holder, self.held_until = request, self.now + LEASE_MS
                self.waiting.add(request)
            case Joined():
                assert self.held_until > self.now, "nobody is there to be joined"
                assert self.holder != EVICTOR, "an evictor answers nobody"
                self.waiting.add(request)
            case Finished():
                assert before is not None
                assert before.status is MediaStatus.SUCCESS
                assert request not in self.waiting
                sqlite_expiring.mark_answered(self.tx, request, keep=KEEP)
                self.answered.add(request)
            case LeaseHeld(wait):
                assert before is not None
                assert before.status is (MediaStatus.PROCESSING if self.holder == EVICTOR else MediaStatus.ERROR)
                assert wait == timedelta(milliseconds=self.held_until - self.now)
        if isinstance(got, Unannounced):
            assert {waiter.request_id for waiter in got.waiters} == self.waiting

    @rule(pick=st.integers(0, 2))
    def renew(self, pick: int) -> None:
        fence = self.fence(pick)
        try:
            sqlite_claims.renew(self.tx, SONG, fence, LEASE)
        except LeaseLost:
            assert fence != self.current()
            return
        assert fence == self.current()
        if self.held_until:
            self.held_until = self.now + LEASE_MS

    @rule(pick=st.integers(0, 2))
    def yield_claim(self, pick: int) -> None:
        fence = self.fence(pick)
        sqlite_claims.yield_claim(self.tx, SONG, fence)
        if fence == self.current():
            self.held_until = 0

    @rule(pick=st.integers(0, 2), success=st.booleans())
    def finish(self, pick: int, success: bool) -> None:  # noqa: FBT001 - hypothesis passes keywords
        fence = self.fence(pick)
        try:
            if success:
                media, waiters = sqlite_claims.mark_success(self.tx, SONG, fence, MADE)
            else:
                media, waiters = sqlite_claims.mark_error(self.tx, SONG, fence, error_code="media_private", message="x")
        except LeaseLost:
            assert fence != self.current()
        except IllegalMoveError:
            assert fence == self.current()
        else:
            assert media.status is (MediaStatus.SUCCESS if success else MediaStatus.ERROR)
            assert {waiter.request_id for waiter in waiters} == self.waiting

    @rule(pick=st.integers(0, 2), some=st.integers(1, 5))
    def settle(self, pick: int, some: int) -> None:
        record = sqlite_records.find(self.tx, SONG)
        if record is None or record.status is MediaStatus.PROCESSING:
            return
        fence = self.fence(pick)
        published = sorted(self.waiting)[:some]
        left = sqlite_claims.settle(self.tx, SONG, fence, published, keep=KEEP)
        self.waiting -= set(published)
        self.answered |= set(published)
        if fence == self.current():
            assert {waiter.request_id for waiter in left} == self.waiting
            if not left:
                self.held_until = 0
        else:
            assert left == ()

    @rule()
    def lose_the_file(self) -> None:
        record = sqlite_records.find(self.tx, SONG)
        sqlite_claims.reopen(self.tx, SONG)
        if record is not None and record.status is MediaStatus.SUCCESS:
            self.held_until = 0

    @rule()
    def begin_eviction(self) -> None:
        record = sqlite_records.find(self.tx, SONG)
        eviction = sqlite_retention.begin_eviction(self.tx, idle=timedelta(0), lease=LEASE)
        if eviction is None:
            return
        assert record is not None
        assert record.status is MediaStatus.SUCCESS or self.holder == EVICTOR
        assert not self.waiting, "somebody was about to be told of the file"
        assert self.held_until <= self.now
        assert eviction.fence > self.fences[-1]
        self.fences.append(eviction.fence)
        self.holder, self.held_until = EVICTOR, self.now + LEASE_MS

    @rule(pick=st.integers(0, 2))
    def finish_eviction(self, pick: int) -> None:
        fence = self.fence(pick)
        sqlite_retention.finish_eviction(self.tx, SONG, fence)
        if fence == self.current() and self.holder == EVICTOR:
            self.holder, self.held_until = "", 0
            assert sqlite_retention.stored_bytes(self.tx) == 0

    @invariant()
    def nobody_is_forgotten(self) -> None:
        rows = self.db.execute("SELECT request_id FROM waiters").fetchall()
        assert {row[0] for row in rows} == self.waiting
        assert not self.waiting & self.answered
        assert all(sqlite_expiring.is_answered(self.tx, request) for request in self.answered)

    @invariant()
    def the_index_holds_what_the_table_holds(self) -> None:
        self.db.execute("INSERT INTO media_trigrams (media_trigrams, rank) VALUES ('integrity-check', 1)")
        record = sqlite_records.find(self.tx, SONG)
        found = sqlite_records.search(self.tx, "new rules").items
        assert bool(found) == (record is not None and record.status is MediaStatus.SUCCESS)

    def fence(self, pick: int) -> int:
        """One of the newest fences given out, 0 the newest; 0 before there was any."""
        return self.fences[-1 - pick] if pick < len(self.fences) else 0

    def current(self) -> int:
        row = self.db.execute("SELECT fence FROM media").fetchone()
        return -1 if row is None else row[0]


TestClaims = Claims.TestCase
TestClaims.settings = settings(max_examples=60, stateful_step_count=40)

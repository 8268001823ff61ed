"""The progress of a partition, and its form in a commit's metadata."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from common.broker.kafka.progress import WINDOW, CommitMetadata, PartitionProgress

METADATA_LIMIT_BYTES = 4096


def read(progress: PartitionProgress, *offsets: int) -> list[int]:
    return [progress.read(offset) for offset in offsets]


def reopened(progress: PartitionProgress) -> PartitionProgress:
    """As the next owner finds it."""
    return PartitionProgress(
        progress.position, CommitMetadata.parse(str(CommitMetadata("someone", progress.marks()))).marks
    )


def test_the_position_is_the_lowest_unfinished_offset() -> None:
    progress = PartitionProgress(10)
    assert read(progress, 10, 11, 12) == [1, 1, 1]
    progress.set_next_attempt(11, 0)
    assert progress.position == 10
    progress.set_next_attempt(10, 0)
    assert progress.position == 12
    progress.set_next_attempt(12, 0)
    assert progress.position == 13


def test_the_next_owner_delivers_what_is_unfinished_with_its_attempt() -> None:
    progress = PartitionProgress(5)
    read(progress, 5, 6, 7, 8)
    progress.set_next_attempt(5, 3)
    progress.set_next_attempt(6, 0)
    progress.set_next_attempt(8, 0)
    again = reopened(progress)
    assert read(again, 5, 6, 7, 8, 9) == [3, 0, 1, 0, 1]


def test_inherited_marks_are_passed_on_before_they_are_read() -> None:
    progress = PartitionProgress(5, "2-3")
    read(progress, 5)
    assert read(reopened(progress), 5, 6, 7) == [2, 0, 3]


def test_an_offset_that_does_not_exist_holds_nothing_up() -> None:
    progress = PartitionProgress(0)
    read(progress, 0, 5)
    progress.set_next_attempt(0, 0)
    progress.set_next_attempt(5, 0)
    assert progress.position == 6


def test_an_offset_that_was_read_already_is_not_delivered_again() -> None:
    progress = PartitionProgress(0)
    assert read(progress, 0, 1, 0, 1) == [1, 1, 0, 0]


def test_an_end_that_is_taken_back_is_not_forgotten() -> None:
    progress = PartitionProgress(0)
    read(progress, 0, 1)
    progress.set_next_attempt(0, 0)
    committed = progress.position
    progress.set_next_attempt(0, 2)
    progress.forget_finished(committed)
    assert progress.position == 0
    assert read(reopened(progress), 0) == [2]


def test_reading_waits_a_window_ahead_of_the_lowest_unfinished_offset() -> None:
    progress = PartitionProgress(0)
    read(progress, *range(WINDOW))
    for offset in range(1, WINDOW):
        progress.set_next_attempt(offset, 0)
    assert progress.is_full
    progress.set_next_attempt(0, 0)
    progress.forget_finished(progress.position)
    assert not progress.is_full


def test_metadata_of_others_says_nothing() -> None:
    assert CommitMetadata.parse("") == CommitMetadata.parse("another tool's note") == CommitMetadata("", "")


@given(st.lists(st.integers(0, 40), max_size=2 * WINDOW), st.integers(0, 2**62))
def test_metadata_is_never_over_the_brokers_limit_and_never_finishes_what_is_not(attempts: list[int], at: int) -> None:
    progress = PartitionProgress(at)
    for index, attempt in enumerate(attempts):
        progress.read(at + index)
        progress.set_next_attempt(at + index, attempt)
    assert len(str(CommitMetadata("0" * 12, progress.marks())).encode()) <= METADATA_LIMIT_BYTES
    again = reopened(progress)
    unfinished = {at + index for index, attempt in enumerate(attempts) if attempt}
    assert again.position == min(unfinished, default=at + len(attempts))
    found = {offset for offset in range(again.position, at + len(attempts)) if again.read(offset)}
    assert found >= unfinished

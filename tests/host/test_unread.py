"""Whoever is told much and reads nothing is cut off; whoever reads in the end is not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from midas_mp import limits
from midas_mp.host.unread import UnreadWords
from midas_mp.wire.framing import Frame
from midas_mp.wire.management import ListJobs
from midas_mp.wire.messages import JobSpec, JobStatus, OpenJob, TaskPrinted

WORDS = [Frame(0, JobStatus("job", 1, 10, "x" * 1_000))]
TEXT = [Frame(0, TaskPrinted("job", 0, 0, "w"), [b"x" * 100_000])]


class Clogged:
    """A link of which nothing is read, until somebody says so."""

    def __init__(self) -> None:
        self.unsent_bytes = 0

    def send(self, frames: list[Frame]) -> None:
        for frame in frames:
            self.unsent_bytes += 1_000 + sum(map(len, frame.buffers))


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Clogged:
    monkeypatch.setattr(limits, "UNREAD_WORDS_BYTES_MAX", 5_000)
    return Clogged()


def test_words_that_nobody_reads_are_counted_once_much_is_unsent(link: Clogged) -> None:
    words = UnreadWords(link)  # type: ignore[arg-type]
    assert not any(words.send(WORDS) for _ in range(limits.SEND_BUFFER_BYTES_HIGH // 1_000 + 1))
    assert [words.send(WORDS) for _ in range(6)] == [False] * 5 + [True]


def test_payloads_do_not_count(link: Clogged) -> None:
    words = UnreadWords(link)  # type: ignore[arg-type]
    assert [words.send(TEXT) for _ in range(16)] == [False] * 16
    assert words.send(TEXT)


def test_who_has_read_begins_anew(link: Clogged) -> None:
    words = UnreadWords(link)  # type: ignore[arg-type]
    link.unsent_bytes = 2 * limits.SEND_BUFFER_BYTES_HIGH
    assert not any(words.send(WORDS) for _ in range(5))
    link.unsent_bytes = 0
    assert not words.send(WORDS)
    link.unsent_bytes = 2 * limits.SEND_BUFFER_BYTES_HIGH
    assert not any(words.send(WORDS) for _ in range(5))


def test_who_asks_without_end_and_does_not_read_is_cut_off(
    run: Callable, listening: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "UNREAD_WORDS_BYTES_MAX", limits.MB)

    async def main() -> None:
        async with listening() as standing:
            client = await standing.client()
            for number in range(limits.JOBS_PER_CLIENT_MAX):
                client.say(OpenJob(f"{number:x<128}", "t" * 256, JobSpec()))
            with pytest.raises(ConnectionError):
                await client.ask_without_end(ListJobs())
            assert "is told more than it reads, and is cut off" in "".join(standing.announced)
            assert standing.host.scheduler.statistics().clients == 0

    run(main())

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midas_mp import limits
from midas_mp.participant.status_page import (
    LAST_WORDS_CHARACTERS_MAX,
    WORDS_OFFSET,
    StatusPage,
)


@pytest.fixture
def page() -> Iterator[StatusPage]:
    page = StatusPage.create()
    yield page
    page.close()


def say(page: StatusPage, program: str, *arguments: str) -> None:
    subprocess.run(
        [sys.executable, "-c", program, *arguments],
        stdout=page.fileno(),
        stderr=page.fileno(),
        pass_fds=[page.fileno()],
        check=False,
        timeout=30,
    )


def test_what_one_side_begins_the_other_reads(page: StatusPage) -> None:
    other = StatusPage.attach(os.dup(page.fileno()))
    assert page.read() is None
    before_ns = time.monotonic_ns()
    began_ns = other.begin_task(7, 2, 41)
    running = page.read()
    assert running is not None
    assert (running.serial, running.round, running.index) == (7, 2, 41)
    assert before_ns <= running.started_ns == began_ns <= time.monotonic_ns()
    other.end_task()
    assert page.read() is None
    other.close()


def test_close_is_idempotent_and_frees_the_file(page: StatusPage) -> None:
    fd = page.fileno()
    page.close()
    page.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


@pytest.mark.parametrize("size", [0, 4096, 2 * limits.STATUS_PAGE_BYTES])
def test_neither_side_can_change_its_size(page: StatusPage, size: int) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(page.fileno(), size)


def test_where_memfd_is_refused_it_is_a_file_that_nobody_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(os, "memfd_create", refuse)
    page = StatusPage.create()
    page.begin_task(1, 2, 3)
    assert page.read() is not None
    assert os.fstat(page.fileno()).st_nlink == 0
    page.close()


def test_a_process_without_descriptors_has_no_page(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    with pytest.raises(OSError, match="Too many open files"):
        StatusPage.create()


def test_a_reader_never_sees_half_of_a_write(page: StatusPage) -> None:
    program = (
        "import sys\n"
        "from midas_mp.participant.status_page import StatusPage\n"
        "page = StatusPage.attach(int(sys.argv[1]))\n"
        "for n in range(1, 300_001): page.begin_task(n, n, n); page.end_task()\n"
    )
    command = [sys.executable, "-c", program, str(page.fileno())]
    writer = subprocess.Popen(command, pass_fds=[page.fileno()])
    seen = 0
    while writer.poll() is None:
        running = page.read()
        if running is not None:
            assert running.serial == running.round == running.index
            seen += 1
    assert writer.returncode == 0
    assert seen > 0


@given(st.binary(min_size=48, max_size=48))
def test_whatever_stands_there_is_no_number_out_of_bounds(fields: bytes) -> None:
    page = StatusPage.create()
    for written in (fields, fields[:40] + fields[:8]):  # torn, and well-formed garbage
        os.pwrite(page.fileno(), written, 0)
        running = page.read()
        if running is not None:
            numbers = (running.serial, running.round, running.index)
            assert all(0 <= number <= 2**53 for number in numbers)
            assert 0 <= running.started_ns <= time.monotonic_ns()
    page.close()


def test_a_traceback_outlives_its_process(page: StatusPage) -> None:
    say(page, "import sys; print('out', flush=True); sys.exit('PANIC: unprotected error')")
    assert page.last_words() == "out\nPANIC: unprotected error"


def test_no_words_is_an_empty_text(page: StatusPage) -> None:
    assert page.last_words() == ""


def test_too_many_words_fail_harmlessly_and_the_last_that_fit_stay(page: StatusPage) -> None:
    say(
        page,
        "import os\n"
        "for n in range(20_000):\n"
        "    try: os.write(2, b'%06d\\n' % n)\n"
        "    except PermissionError: os._exit(0)\n",
    )
    words = page.last_words()
    lines, rest = divmod(limits.STATUS_PAGE_BYTES - WORDS_OFFSET, 7)
    assert words.splitlines()[-2:] == [f"{lines - 1:06d}", f"{lines:06d}"[:rest]]
    assert len(words) <= LAST_WORDS_CHARACTERS_MAX
    assert page.read() is None


def test_words_are_safe_to_print(page: StatusPage) -> None:
    os.write(page.fileno(), "\x1b[31mü\r\x9b\u202e".encode() + b"\xff\0\xfe\n\0\0")
    assert page.last_words() == "\\x1b[31mü\\r\\x9b\\u202e\\xff\\x00\\xfe"


@given(st.binary(max_size=20_000))
def test_words_are_bounded_and_printable_whatever_was_written(data: bytes) -> None:
    page = StatusPage.create()
    os.pwrite(page.fileno(), data, WORDS_OFFSET)
    words = page.last_words()
    assert len(words) <= LAST_WORDS_CHARACTERS_MAX
    assert all(line.isprintable() for line in words.split("\n"))
    page.close()

"""A thread with an event loop."""

from __future__ import annotations

import asyncio
import threading

import pytest

from midas_mp.executor.loop_thread import LoopThread


@pytest.fixture
def thread():
    thread = LoopThread("a test's loop")
    yield thread
    thread.stop()
    thread.join(30)


def test_what_is_posted_is_called_in_order_in_the_one_thread(thread):
    called, done = [], threading.Event()
    for number in range(1000):
        thread.post(lambda n: called.append((n, threading.current_thread().name)), number)
    thread.post(done.set)
    assert done.wait(30)
    assert called == [(n, "a test's loop") for n in range(1000)]


def test_what_many_threads_post_is_all_called(thread):
    called, done = [], threading.Barrier(9)

    def post():
        for number in range(500):
            thread.post(called.append, number)
        done.wait(30)

    for _ in range(8):
        threading.Thread(target=post).start()
    done.wait(30)
    last = threading.Event()
    thread.post(last.set)
    assert last.wait(30)
    assert sorted(called) == sorted(list(range(500)) * 8)


def test_one_that_breaks_does_not_take_the_others_along(thread):
    complaints, done = [], threading.Event()

    async def listen():
        asyncio.get_running_loop().set_exception_handler(lambda _, c: complaints.append(c))

    thread.start(listen()).result(30)
    released = threading.Event()
    thread.post(released.wait)  # so that the next ones come together
    thread.post(lambda: 1 / 0)
    thread.post(done.set)
    released.set()
    assert done.wait(30)
    assert len(complaints) == 1


def test_coroutines_run_there_and_answer(thread):
    async def work():
        await asyncio.sleep(0)
        return threading.current_thread().name

    assert thread.start(work()).result(30) == "a test's loop"


def test_after_the_end_nothing_is_called(thread):
    thread.stop()
    thread.join(30)
    called = []
    thread.post(called.append, 1)
    thread.stop()
    assert called == []


def test_it_does_not_wait_for_itself(thread):
    done = threading.Event()
    thread.post(lambda: (thread.join(), done.set()))
    assert done.wait(30)

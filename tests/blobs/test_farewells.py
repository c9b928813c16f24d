"""What is read on after a connection is given back when its readers have ended."""

from __future__ import annotations

import os
import threading

import pytest

from midas_mp.blobs import farewells
from midas_mp.blobs.farewells import Token


class Reader:
    def __init__(self) -> None:
        self.looks = 0
        self.has_left = False

    def has_ended(self) -> bool:
        self.looks += 1
        return self.has_left


@pytest.fixture
def reader():
    reader = Reader()
    farewells.add(reader)
    yield reader
    reader.has_left = True
    farewells.sweep()


def test_one_is_looked_after_until_it_has_ended(reader):
    farewells.sweep()
    farewells.sweep()
    assert reader.looks == 2
    reader.has_left = True
    farewells.sweep()
    farewells.sweep()
    assert reader.looks == 3


def test_one_looks_at_a_time(reader):
    """Whoever takes memory while somebody looks does not wait."""

    def look_again():
        other = threading.Thread(target=farewells.sweep)
        other.start()
        other.join()
        return looked()

    looked, reader.has_ended = reader.has_ended, look_again
    farewells.sweep()
    assert reader.looks == 1
    reader.has_ended = looked


def test_a_forked_process_looks_after_nobody(reader):
    pid = os.fork()
    if pid == 0:
        farewells.sweep()
        os._exit(reader.looks)
    assert os.waitpid(pid, 0)[1] == 0


def test_a_token_is_held_as_long_as_anybody_has_it():
    token = Token()
    copies = [os.dup(token.fd), os.dup(token.fd)]
    assert token.is_held
    os.close(copies.pop())
    assert token.is_held
    os.close(copies.pop())
    assert not token.is_held


def test_one_that_comes_again_and_again_is_kept_once():
    token = Token()
    first, second = (farewells.keep(os.dup(token.fd)) for _ in "ab")
    assert first is second
    assert token.is_held
    del first
    assert token.is_held
    del second
    assert not token.is_held


def test_a_token_that_nobody_took_is_not_held():
    assert not Token().is_held

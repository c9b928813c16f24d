"""The parent's ends of what it shares with a Lua process."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from midas_mp.participant.child import Child, ChildExit, open_child


def test_the_texts_of_ends() -> None:
    end = ChildExit("w", 0, None, None, 0, "Cannot allocate memory")
    assert str(end) == "could not be started: Cannot allocate memory"
    assert str(ChildExit("w", 5, None, 63, 0)) == "killed by signal 63"


def test_children_may_be_kept_in_sets(spawn: Callable) -> None:
    children: set[Child] = {spawn().child, spawn().child}
    assert len(children) == 2


def test_what_a_child_says_and_prints_comes_here_and_nobody_waits_for_it() -> None:
    child, their_socket, their_output = open_child(7)
    with pytest.raises(BlockingIOError):
        child.socket.recv(1)
    with pytest.raises(BlockingIOError):
        os.read(child.output_fd, 1)
    their_socket.sendall(b"said")
    os.write(their_output, b"printed")
    assert child.socket.recv(9) == b"said"
    assert os.read(child.output_fd, 9) == b"printed"
    child.close()
    child.close()
    assert their_socket.recv(9) == b""
    their_socket.close()
    os.close(their_output)

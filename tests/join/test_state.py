"""Secrets are kept where nobody else reads them, and appear whole."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from midas_mp.errors import UsageError
from midas_mp.join import state


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_folder_and_files_are_the_users_own(state_folder):
    old = os.umask(0)
    try:
        assert state.read_or_make("secret", lambda: b"one") == b"one"
    finally:
        os.umask(old)
    assert (mode(state_folder), mode(state_folder / "secret")) == (0o700, 0o600)
    assert [path.name for path in state_folder.iterdir()] == ["secret"]


def test_what_is_private_is_told_and_no_folder_is_made(state_folder, monkeypatch, tmp_path):
    assert str(state_folder) not in state.private()
    state.folder()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert str(state_folder) in state.private()
    assert not (tmp_path / ".local").exists()
    (tmp_path / ".local" / "state" / "midas").mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    assert str(tmp_path / ".local" / "state" / "midas") in state.private()
    (tmp_path / "link").symlink_to("token")
    monkeypatch.chdir(tmp_path)
    state.keep_from_scripts(Path("link"))
    assert str(tmp_path / "token") in state.private()


def test_what_is_there_stays(state_folder):
    state.read_or_make("secret", lambda: b"one")
    assert state.read_or_make("secret", lambda: b"two") == b"one"


def make_one(barrier, results):
    barrier.wait()
    results.put(state.read_or_make("secret", lambda: os.urandom(16)))


def test_of_several_processes_one_makes_it():
    context = multiprocessing.get_context("fork")
    barrier, results = context.Barrier(4), context.Queue()
    makers = [context.Process(target=make_one, args=(barrier, results)) for _ in range(4)]
    for maker in makers:
        maker.start()
    found = {results.get(timeout=20) for _ in makers}
    for maker in makers:
        maker.join()
    assert len(found) == 1


def test_replacing_leaves_no_draft(state_folder):
    path = state.folder() / "tokens.json"
    state.replace(path, b"one")
    state.replace(path, b"two")
    assert state.read(path) == b"two"
    assert mode(path) == 0o600
    assert [found.name for found in state_folder.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize("bits", [0o644, 0o620, 0o666])
def test_a_file_that_others_could_reach_is_refused(state_folder, bits):
    state.read_or_make("secret", lambda: b"one")
    (state_folder / "secret").chmod(bits)
    with pytest.raises(UsageError, match="open to other users: chmod go="):
        state.read_or_make("secret", lambda: b"two")


def test_a_folder_that_others_could_reach_is_refused(state_folder):
    state.folder()
    state_folder.chmod(0o755)
    with pytest.raises(UsageError, match="open to other users"):
        state.folder()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
@pytest.mark.parametrize("what", ["folder", "file"])
def test_what_is_another_users_is_refused(state_folder, what):
    state.read_or_make("secret", lambda: b"one")
    os.chown(state_folder if what == "folder" else state_folder / "secret", 4711, -1)
    with pytest.raises(UsageError, match=r"belongs to another user \(uid 4711\)"):
        state.read_or_make("secret", lambda: b"two")


def test_a_link_to_somewhere_else_is_refused(state_folder, tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"known")
    state.folder()
    (state_folder / "secret").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UsageError, match="cannot keep secrets"):
        state.read_or_make("secret", lambda: b"two")


@pytest.mark.parametrize("named", ["", "not/absolute"])
def test_without_a_named_folder_it_is_in_the_home(monkeypatch, tmp_path, named):
    monkeypatch.setenv("XDG_STATE_HOME", named)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert state.folder() == tmp_path / "home/.local/state/midas"


def test_without_a_home_it_is_where_temporary_files_go(monkeypatch, tmp_path):
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/dev/null")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert state.folder() == tmp_path / f"midas-{os.geteuid()}"
    assert mode(state.folder()) == 0o700


def test_a_named_folder_that_cannot_be_made_is_told(monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", "/dev/null/state")
    with pytest.raises(UsageError, match=r"cannot keep secrets in .*set XDG_STATE_HOME"):
        state.folder()

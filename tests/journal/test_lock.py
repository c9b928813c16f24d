"""The lock of a journal's writer."""

from __future__ import annotations

import pytest

from midas_mp.errors import JournalFailed
from midas_mp.journal.lock import JournalLock


def test_one_at_a_time_has_it(tmp_path):
    first = JournalLock(tmp_path / "j")
    with pytest.raises(JournalFailed, match="another run of Midas writes it"):
        JournalLock(tmp_path / "j")
    JournalLock(tmp_path / "other").release()
    first.release()
    first.release()
    JournalLock(tmp_path / "j").release()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_no_lock(tmp_path):
    (tmp_path / "j-lock").touch()
    JournalLock(tmp_path / "j").release()


def test_a_lock_that_was_taken_away_meanwhile_counts_for_nothing(tmp_path, monkeypatch):
    """Its holder let go between our opening of the file and our locking of it."""
    taken_away = []
    is_there = JournalLock._is_there

    def look(lock, descriptor):
        if not taken_away:
            taken_away.append(True)
            (tmp_path / "j-lock").unlink()
        return is_there(lock, descriptor)

    monkeypatch.setattr(JournalLock, "_is_there", look)
    lock = JournalLock(tmp_path / "j")
    assert (tmp_path / "j-lock").exists()
    lock.release()


def test_a_folder_where_nothing_can_be_written_is_said(tmp_path):
    with pytest.raises(JournalFailed, match=r"cannot write in .*/none: No such file"):
        JournalLock(tmp_path / "none" / "j")

from __future__ import annotations

import mmap
import os
import resource
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from midas_mp.blobs import memfd
from midas_mp.errors import ProtocolError

SIZE = 1 << 20


@pytest.fixture
def fd():
    fd = memfd.create("test", SIZE)
    yield fd
    os.close(fd)


def test_it_costs_nothing_and_can_neither_grow_nor_shrink(fd):
    assert os.fstat(fd).st_blocks == 0
    for size in (SIZE - 1, SIZE + 1):
        with pytest.raises(PermissionError):
            os.ftruncate(fd, size)
    assert memfd.fixed_size_bytes(fd) == SIZE


def test_a_descriptor_to_read_cannot_write(fd):
    read_fd = memfd.open_to_read(fd)
    try:
        os.pwrite(fd, b"seen", 0)
        assert os.pread(read_fd, 4, 0) == b"seen"
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(read_fd, b"x")
        with pytest.raises(PermissionError):
            mmap.mmap(read_fd, SIZE)
        assert memfd.fixed_size_bytes(read_fd) == SIZE
    finally:
        os.close(read_fd)


def test_a_file_that_could_be_cut_short_is_refused(tmp_path):
    shrinking = os.memfd_create("shrinking", os.MFD_ALLOW_SEALING)
    try:
        with pytest.raises(ProtocolError, match="not sealed"):
            memfd.fixed_size_bytes(shrinking)
    finally:
        os.close(shrinking)
    with (tmp_path / "file").open("w") as file, pytest.raises(ProtocolError, match="seals"):
        memfd.fixed_size_bytes(file.fileno())


def test_a_limit_of_file_sizes_is_a_reason(monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (SIZE - 1, SIZE))
    with pytest.raises(OSError, match="ulimit -f"):
        memfd.create("test", SIZE)


def test_a_machine_that_never_overcommits_is_a_reason(monkeypatch, tmp_path):
    monkeypatch.setattr(memfd, "_OVERCOMMIT", tmp_path / "overcommit")
    os.close(memfd.create("test", SIZE))  # where it is not told, it may work
    (tmp_path / "overcommit").write_text("2\n")
    with pytest.raises(OSError, match="overcommit"):
        memfd.create("test", SIZE)


def test_a_platform_without_memfd_is_a_reason(monkeypatch):
    monkeypatch.delattr(os, "memfd_create")
    with pytest.raises(OSError, match="memfd_create"):
        memfd.create("test", SIZE)


UNDER_A_SMALL_SHM = """
    import ctypes, os
    from pathlib import Path
    from midas_mp.blobs import pool
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mount(b"tmpfs", b"/dev/shm", b"tmpfs", 0, b"size=1m") == 0
    assert os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize == 1 << 20
    block = pool.allocate(16 << 20)
    block[:] = b"x" * len(block)
    assert block[-1:] == b"x" and not list(Path("/dev/shm").iterdir())
    print("written")
"""


@pytest.mark.skipif(shutil.which("unshare") is None, reason="unshare is not here")
def test_a_small_dev_shm_does_not_matter():
    command = ["unshare", "--mount", "--map-root-user", sys.executable, "-c"]
    trial = subprocess.run([*command, ""], capture_output=True, check=False)
    if trial.returncode:
        pytest.skip("mount namespaces are not allowed here")
    source = textwrap.dedent(UNDER_A_SMALL_SHM)
    root = Path(memfd.__file__).parents[2]
    ended = subprocess.run(
        [*command, source], capture_output=True, text=True, check=False, cwd=root
    )
    assert (ended.stdout, ended.stderr) == ("written\n", "")

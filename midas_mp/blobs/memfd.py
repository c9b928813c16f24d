"""Shared memory as files without a name: sparse, of one size for ever.

A memfd lives as long as somebody holds or maps it, so whatever dies, nothing stays behind; sealed
against growing and shrinking, it cannot be cut short under a reader (which would be SIGBUS).  It
costs what was touched of it.  It is no file of /dev/shm: how small that is does not matter, nor
does a limit of a container on it.
"""

from __future__ import annotations

import mmap
import os
import resource
import sys
from pathlib import Path
from typing import Final

from midas_mp.errors import ProtocolError

F_ADD_SEALS: Final = 1033
F_GET_SEALS: Final = 1034
F_SEAL_SEAL: Final = 0x1
F_SEAL_SHRINK: Final = 0x2
F_SEAL_GROW: Final = 0x4
"""fcntl's own names came with Python 3.12 on some platforms; the numbers are the kernel's ABI."""

SIZE_IS_FIXED: Final = F_SEAL_SHRINK | F_SEAL_GROW

_OVERCOMMIT: Final = Path("/proc/sys/vm/overcommit_memory")
_NEVER_OVERCOMMIT: Final = b"2"


def create(name: str, size_bytes: int) -> int:
    """A new file, nothing of it touched; its descriptor is the caller's.

    Raises:
        OSError: this machine, or a limit of this process, does not allow it; says why.
    """
    import fcntl

    if not hasattr(os, "memfd_create"):
        raise OSError(f"{sys.platform} has no memfd_create")
    if _never_overcommits():
        # A sparse file is a promise of memory that is not there yet: touching it could be SIGBUS.
        raise OSError("vm.overcommit_memory is 2")
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit not in (resource.RLIM_INFINITY, -1) and limit < size_bytes:
        raise OSError(f"files may grow to {limit} bytes only (ulimit -f)")
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.ftruncate(fd, size_bytes)
        fcntl.fcntl(fd, F_ADD_SEALS, SIZE_IS_FIXED | F_SEAL_SEAL)
    except OSError:
        os.close(fd)
        raise
    return fd


def open_to_read(fd: int) -> int:
    """Another descriptor of the same file, through which nobody can write or map for writing.

    Better than a seal against further writers, which would keep the owner from giving pages back.

    Raises:
        OSError: /proc is not there.
    """
    return os.open(f"/proc/self/fd/{fd}", os.O_RDONLY | os.O_CLOEXEC)


def fixed_size_bytes(fd: int) -> int:
    """Of a file that somebody handed over.

    Raises:
        ProtocolError: it is none whose size is fixed: reading it could be SIGBUS.
    """
    import fcntl

    try:
        seals = fcntl.fcntl(fd, F_GET_SEALS)
    except OSError as error:
        raise ProtocolError(f"shared memory that has no seals: {error.strerror}") from None
    if seals & SIZE_IS_FIXED != SIZE_IS_FIXED:
        raise ProtocolError(f"shared memory whose size is not sealed (seals {seals:#x})")
    return os.fstat(fd).st_size


def has_plain_pages(fd: int) -> bool:
    """Whether what nobody wrote can be read in any case: a huge page that is not there is SIGBUS,
    too.  Not for a confined process, which may not ask.
    """
    return os.fstatvfs(fd).f_bsize == mmap.PAGESIZE


def _never_overcommits() -> bool:
    try:
        return _OVERCOMMIT.read_bytes().strip() == _NEVER_OVERCOMMIT
    except OSError:
        return False

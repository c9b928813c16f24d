"""What a Lua process gives up before its first task, in the kernel's terms.

    level   what it adds
    ─────   ────────────────────────────────────────────────────────────────────────────────────
      1     rlimits: no core, few files, no further processes or threads, RLIMIT_DATA; a stack on
            which Lua's own limits come first
      2     landlock, no_new_privs: no file but those below granted folders, no device, nothing in
            /proc; no exec, no TCP, no signal or abstract socket to a process outside
      3     seccomp: an allow-list of system calls, all others are EPERM; those that open files only
            where some are granted, memory that can be executed only where machine code is

Each level includes those before.  A kernel that lacks a step lowers the level and raises
nothing; the steps after it are taken all the same.  Called by the zygote's children, once, while
they have one thread; only this module imports pyprctl, landlockpy and pyseccomp.

A worker is granted no file at all unless the owner of its node says so; a script process (profile
"driver") reads what its user may read and writes below its working directory.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import errno
import importlib
import mmap
import os
import resource
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from midas_mp import limits
from midas_mp.permissions import EVERYWHERE, Permissions

LEVEL_FILES: Final = 2
"""From this level on the kernel bounds what files a process reads and writes."""

FILES_MAX: Final = 64
"""Open files of a Lua process: three of ours, the standard three, and what a script opens."""

OUT_OF_MEMORY_SCORES: Final = {"worker": 1000, "driver": 500}
"""Of 1000: where the whole machine runs out of memory, the kernel takes workers first, whose tasks
can be repeated, and a script process, which holds the results, only after them."""

STACK_BYTES: Final = 160 * limits.MB
"""LuaJIT's gsub takes 9 KB of it each time it calls a function, and Lua's own stack ends after
13,100 of them, one in another, where each takes the five slots that it must: with the usual 8 MB
such a recursion would be SIGSEGV, no error."""

SYSTEM_CALLS: Final = (
    # frames, output, the status page
    *("read", "write", "readv", "writev", "recvfrom", "recvmsg", "sendto", "sendmsg"),
    *("poll", "ppoll", "close", "lseek", "fstat", "newfstatat"),
    # memory, apart from mappings that could be executed
    *("munmap", "mremap", "brk", "madvise", "getrandom"),
    # time and the process itself
    *("clock_gettime", "clock_getres", "gettimeofday", "time", "getrusage", "times"),
    *("clock_nanosleep", "nanosleep", "restart_syscall", "sched_yield", "sched_getaffinity"),
    *("futex", "getpid", "getppid", "gettid"),
    *("rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "sigaltstack", "exit", "exit_group"),
)

FILE_SYSTEM_CALLS: Final = (
    *("open", "openat", "stat", "lstat", "access", "faccessat", "readlink", "getcwd"),
)
"""To open and read files; what may be opened is landlock's matter."""

_F_GET_SEALS: Final = 1034
"""By this the Lua library knows a status page from a file, and a process that what it is to read in
shared memory cannot be cut short.  The files themselves come by recvmsg."""

_MACHINES: Final = ("x86_64", "aarch64")

_PROC: Final = "/proc"
"""There a process finds its own memory, which would undo what Lua refuses, and the environment of
the user's other processes."""

_DEVICES: Final = "/dev"
"""Terminals are there, which show what their user types, and for root the disks themselves."""

_FILES_AMONG_DEVICES: Final = (
    *("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"),
    "/dev/shm",  # noqa: S108 - whose files are read, and none is made
)
"""What scripts read there nevertheless."""


_SONAMES: Final = {"c": "libc.so.6", "seccomp": "libseccomp.so.2"}


@contextlib.contextmanager
def _libraries_known() -> Iterator[None]:
    """Spares the modules below a search by ``ctypes.util``, which starts ldconfig, a program, each
    time: that is an eighth of all that the start of a Lua process takes.
    """
    search = ctypes.util.find_library

    def find(name: str) -> str | None:
        soname = _SONAMES.get(name)
        if soname is not None:
            with contextlib.suppress(OSError):
                ctypes.CDLL(soname)
                return soname
        return search(name)

    ctypes.util.find_library = find
    try:
        yield
    finally:
        ctypes.util.find_library = search


def _optional(name: str) -> Any:
    """A module, or None where it, or the C library that it wraps, is missing."""
    try:
        return importlib.import_module(name)
    except (ImportError, RuntimeError):  # RuntimeError: pyseccomp without libseccomp
        return None


with _libraries_known():
    _pyprctl = _optional("pyprctl")
    _landlock = _optional("landlockpy")
    _seccomp = _optional("pyseccomp")


def confine(
    profile: str,
    permissions: Permissions,
    *,
    level_max: int,
    memory_hard_bytes: int,
    private: Sequence[str] = (),
) -> int:
    """Gives up what is not granted, for good.

    Args:
        profile: ``worker`` or ``driver``.
        permissions: what is granted; its folders are absolute.
        level_max: go no further than this level.
        memory_hard_bytes: ceiling of RLIMIT_DATA; 0 is none.
        private: files that nobody reads, and folders that nobody does who may not write around
            them.

    Returns:
        The level reached, 0 to 3: all steps up to it were taken completely.
    """
    steps: tuple[Callable[[], bool], ...] = (
        lambda: _set_limits(profile, memory_hard_bytes),
        lambda: _restrict_access(permissions, private),
        lambda: _restrict_system_calls(permissions),
    )
    done = [step() for step in steps[:level_max]]
    return done.index(False) if False in done else len(done)


def die_with_parent(parent_pid: int) -> None:
    """SIGKILL for this process when the thread that forked it ends; it may have ended already."""
    if _pyprctl is not None:
        _pyprctl.set_pdeathsig(signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(0)


def limit_data(size_bytes: int) -> None:
    """Sets the soft RLIMIT_DATA, as far as the hard one allows; 0 is up to the hard one."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = size_bytes or resource.RLIM_INFINITY
    if hard != resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft > hard):
        soft = hard
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def warm_up() -> None:
    """Does once, before any fork, what costs time or opens files: symbols, libraries, tables."""
    if _landlock is not None:
        with contextlib.suppress(OSError):
            _ruleset().close()
    if _seccomp is not None:
        with contextlib.suppress(OSError):
            _filter(Permissions(read=("/",)))


def _set_limits(profile: str, memory_hard_bytes: int) -> bool:
    with contextlib.suppress(OSError):
        score = OUT_OF_MEMORY_SCORES[profile]
        Path("/proc/self/oom_score_adj").write_bytes(b"%d" % score)
    wanted = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: FILES_MAX,
        resource.RLIMIT_STACK: STACK_BYTES,
    }
    if memory_hard_bytes:
        wanted[resource.RLIMIT_DATA] = memory_hard_bytes
    try:
        for kind, value in wanted.items():
            _, hard = resource.getrlimit(kind)
            bound = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (bound, bound))
    except (OSError, ValueError):
        return False
    return True


# -- landlock --------------------------------------------------------------------------------


def _restrict_access(permissions: Permissions, private: Sequence[str]) -> bool:
    if _landlock is None:
        return False
    fs = _landlock.AccessFS
    written = [os.path.realpath(folder) for folder in permissions.write]
    kept = (
        path
        for path in map(os.path.realpath, private)
        if not Path(path).is_dir() or not any(_is_below(path, folder) for folder in written)
    )
    hidden = [_PROC, _DEVICES, *kept]
    read, write = fs.READ_FILE | fs.READ_DIR, fs.WRITE_FILE | fs.TRUNCATE | fs.MAKE_REG
    try:
        with _ruleset() as ruleset:
            for folder in permissions.read:
                _allow_below(ruleset, os.path.realpath(folder), read, hidden)
            for path in _FILES_AMONG_DEVICES if EVERYWHERE in permissions.read else ():
                with contextlib.suppress(OSError):  # there need not be all of them
                    _allow(ruleset, path, read)
            for folder in written:
                _allow_below(ruleset, folder, write, [_PROC, _DEVICES])
            ruleset.restrict()
    except OSError:
        return False
    return True


def _allow_below(ruleset: Any, path: str, access: Any, hidden: Sequence[str]) -> None:
    """All but what is hidden: where some of that is below the folder, all else in there is allowed
    one by one.  What comes into such a folder later stays out of reach.
    """
    if path in hidden:
        return
    if not any(_is_below(each, path) for each in hidden):
        ruleset.allow_path(path, access)
        return
    with os.scandir(path) as entries:
        for entry in entries:
            # what a link leads to is allowed where it lies, or not at all
            with contextlib.suppress(OSError):  # a mount that is dead, a folder of another user
                if entry.is_dir(follow_symlinks=False):
                    _allow_below(ruleset, entry.path, access, hidden)
                elif not entry.is_symlink() and entry.path not in hidden:
                    _allow(ruleset, entry.path, access)


def _allow(ruleset: Any, path: str, access: Any) -> None:
    """One file or folder."""
    fs = _landlock.AccessFS
    if not Path(path).is_dir():
        access &= fs.READ_FILE | fs.WRITE_FILE | fs.TRUNCATE
    ruleset.allow_path(path, access)


def _is_below(path: str, folder: str) -> bool:
    """Or that very folder; neither is a link."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _ruleset() -> Any:
    """Handles all that the kernel knows: nothing is allowed unless said.  TCP needs a kernel of
    ABI 4 (6.7), signals and abstract sockets one of ABI 6 (6.12).
    """
    scope = _landlock.Scope
    return _landlock.Ruleset(scoped=scope.ABSTRACT_UNIX_SOCKET | scope.SIGNAL)


# -- seccomp ---------------------------------------------------------------------------------


def _restrict_system_calls(permissions: Permissions) -> bool:
    if _seccomp is None or os.uname().machine not in _MACHINES:
        return False
    try:
        _filter(permissions).load()
    except OSError:
        return False
    return True


def _filter(permissions: Permissions) -> Any:
    """The allow-list, ending in EPERM.

    mmap and mprotect may make memory writable or executable, never both: LuaJIT writes its
    machine code first and turns it executable then.  Limits and signals concern this process
    only: it may lower its limits and abort.
    """
    rules = _seccomp.SyscallFilter(_seccomp.ERRNO(errno.EPERM))
    for name in SYSTEM_CALLS:
        _let(rules, name)
    if permissions.has_files:
        for name in FILE_SYSTEM_CALLS:
            _let(rules, name)
    _let(rules, "fcntl", _seccomp.Arg(1, _seccomp.EQ, _F_GET_SEALS))
    protections = (mmap.PROT_WRITE, mmap.PROT_EXEC, 0) if permissions.jit else (mmap.PROT_WRITE, 0)
    for name in ("mmap", "mprotect"):
        for protection in protections:
            mask = mmap.PROT_WRITE | mmap.PROT_EXEC
            _let(rules, name, _seccomp.Arg(2, _seccomp.MASKED_EQ, mask, protection))
    _let(rules, "prlimit64", _seccomp.Arg(0, _seccomp.EQ, 0))
    for name in ("tgkill", "kill"):
        _let(rules, name, _seccomp.Arg(0, _seccomp.EQ, os.getpid()))
    return rules


def _let(rules: Any, name: str, *conditions: Any) -> None:
    number = _seccomp.resolve_syscall(_seccomp.Arch.NATIVE, name)
    if number >= 0:  # negative: this architecture has none of that name
        rules.add_rule(_seccomp.ALLOW, number, *conditions)

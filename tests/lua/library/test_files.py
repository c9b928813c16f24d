import os

import pytest

from midas_mp import limits
from midas_mp.lua.engines import ENGINES
from midas_mp.lua.runtime import Profile
from midas_mp.permissions import Refusals

PLAIN = [engine for engine in ENGINES if engine != "luajit"]


@pytest.fixture
def step(script):
    def run(body, **settings):
        state = script(f"function generate_data()\n{body}\nend", profile=Profile.DRIVER, **settings)
        state.start()
        return state.call("generate_data")

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "data.txt"
    path.write_text("one\ntwo\n3\n")
    return path


def test_the_driver_reads_files(step, file):
    assert step(
        f"local f = assert(io.open('{file}'))\n"
        "local a, b = f:read('*l', '*l') local n = f:read('*n')\n"
        "f:seek('set', 0) local all = f:read('*a') local kind = io.type(f) f:close()\n"
        "return {a, b, n, #all, kind, io.type(f)}"
    ) == ["one", "two", 3, 10, "file", "closed file"]
    assert step(f"local n = 0 for _ in io.lines('{file}') do n = n + 1 end return n") == 3


def test_a_missing_file_is_nil_and_a_message(step, tmp_path):
    assert step(f"return {{select(2, io.open('{tmp_path}/absent'))}}")[0].endswith(
        "No such file or directory"
    )


def test_writing_needs_permission(step, tmp_path):
    path = tmp_path / "out.txt"
    refusal = step(f"return select(2, io.open('{path}', 'w'))")
    assert refusal == f"{path}: writing files needs landlock, which this machine lacks"
    assert not path.exists()
    step(f"local f = assert(io.open('{path}', 'w')) f:write('a', 1) f:close()", refusals=Refusals())
    assert path.read_text() == "a1"


@pytest.mark.parametrize("mode", ["w", "a", "r+", "wb", "a+b"])
def test_every_writing_mode_is_refused_without_it(step, file, mode):
    assert "needs landlock" in step(f"return select(2, io.open('{file}', '{mode}'))")
    assert file.read_text() == "one\ntwo\n3\n"


def test_the_handles_metatable_is_out_of_reach(step, file):
    assert step(
        f"local f = io.open('{file}')\n"
        "return {getmetatable(f), tostring(f.__gc), tostring(f.__index)}"
    ) == [False, "nil", "nil"]


@pytest.mark.parametrize("name", ["popen", "tmpfile", "output", "input"])
def test_what_the_driver_does_not_get(step, name):
    assert (
        step(f"return select(2, pcall(io.{name}, 'x'))")
        == f"io.{name} is not available in a script"
    )


def test_a_worker_s_io_only_prints(failing):
    error = failing("local f = io.open('x')")
    assert error.message == (
        "script.lua:2: io.open is not available in a task: reading files is not permitted on this"
        " node; generate_data and interpret_results may use files"
    )


def test_written_text_leaves_line_by_line(script):
    state = script(
        "function execute_code() io.write('a', 1, '\\nb') io.stdout:write('c\\n'):write('d')\n"
        "print('e') io.stderr:write('f') end"
    )
    state.call()
    assert state.printed() == [b"a1", b"bc", b"de", b"f"]


def test_what_cannot_be_written_is_an_error(failing):
    assert failing("io.write({})").message == (
        "script.lua:2: bad argument #1 to 'write' (string expected, got table)"
    )


DESCRIPTOR = (
    ": a descriptor of Midas' own process cannot be opened; print and io.write reach the user"
)


@pytest.mark.parametrize("mode", ["r", "w", "a+"])
@pytest.mark.parametrize(
    "path",
    [
        "/dev/fd/1",
        "/dev/stdout",
        "/dev/stderr",
        "//dev/./fd//2",
        "/dev/shm/../fd/1",
        "/proc/self/fd/1",
        "/proc/thread-self/fd/1",
        "/proc/self/task/../fd/17",
        "../../../../../../../../../proc/self/fd/1",
        r"/dev/fd/1\0.txt",
    ],
)
def test_the_process_own_descriptors_are_not_opened(step, path, mode):
    refusal = step(f"return select(2, io.open('{path}', '{mode}'))", refusals=Refusals())
    assert refusal == path.replace(r"\0", "\0") + DESCRIPTOR
    if mode == "r":
        refusal = step(f"return select(2, pcall(io.lines, '{path}'))")
        assert refusal == path.replace(r"\0", "\0") + DESCRIPTOR


@pytest.mark.parametrize(
    "path",
    [
        "/proc/self/environ",
        "/proc/1/mem",
        "/proc/self/task/1/environ",
        "../../../../../../../../../proc/1/environ",
        "/proc/self/cwd/../../1/environ",
        "/dev/fd/../environ",
        "/dev/fd//../../1/environ",
    ],
)
def test_what_processes_were_given_and_hold_is_not_read(step, path):
    """Not where the kernel cannot hide it, either."""
    refusal = step(f"return select(2, io.open('{path}'))")
    assert refusal == path + ": what the kernel knows of a process cannot be read"
    assert step(f"return select(2, pcall(io.lines, '{path}'))") == refusal


@pytest.mark.parametrize("name", ["environ", "mem"])
def test_files_that_are_only_named_so_are_files(step, tmp_path, name):
    (tmp_path / "proc").mkdir()
    path = tmp_path / "proc" / name
    path.write_text("mine")
    for word in (path, f"{tmp_path}/proc/../proc/{name}"):
        assert step(f"return io.open('{word}'):read('*a')") == "mine"


def test_a_link_to_a_pipe_is_not_opened_to_be_written(step, tmp_path):
    read_fd, write_fd = os.pipe()
    link = tmp_path / "link"
    link.symlink_to(f"/proc/{os.getpid()}/fd/{write_fd}")
    refusal = step(f"return select(2, io.open('{link}', 'w'))", refusals=Refusals())
    assert refusal == f"{link}: only files can be written"
    os.close(read_fd)
    os.close(write_fd)


def test_a_fifo_is_read_as_ever(step, tmp_path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    keeper = os.open(fifo, os.O_RDWR)  # nobody waits for the other end
    os.write(keeper, b"one\ntwo\n")
    assert step(f"local f = io.open('{fifo}') return {{f:read('*l'), f:read('*l')}}") == [
        "one",
        "two",
    ]
    os.write(keeper, b"three\n")
    assert step(f"return io.lines('{fifo}')()") == "three"
    os.close(keeper)


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"])
def test_standard_input_may_be_opened(step, path):
    assert DESCRIPTOR not in (step(f"return select(2, io.open('{path}'))") or "")


def test_files_that_are_only_named_like_descriptors_are_files(step, tmp_path):
    folder = tmp_path / "dev" / "fd"
    folder.mkdir(parents=True)
    (folder / "1").write_text("mine")
    assert step(f"return io.open('{folder}/1'):read('*a')") == "mine"
    assert step(f"return io.open('{folder}/../../dev/fd/1'):read('*a')") == "mine"


def test_devices_that_can_seek_may_be_written(step):
    step("local f = assert(io.open('/dev/null', 'w')) f:write('x') f:close()", refusals=Refusals())


def test_closing_takes_a_file(step, file):
    assert step(f"local f = io.open('{file}') io.close(f) return io.type(f)") == "closed file"
    assert step("return pcall(io.close)") is False


def test_a_file_of_the_status_page_s_size_is_a_file_like_any_other(step, tmp_path):
    path = tmp_path / "page"
    path.write_bytes(b"x" * limits.STATUS_PAGE_BYTES)
    body = (
        f"local f = assert(io.open('{path}', 'r+')) f:write('ab') f:close()\n"
        f"f = assert(io.open('{path}', 'a')) f:write('cd') f:close()"
    )
    step(body, refusals=Refusals(), page_mark=(48, b"mark"))
    assert path.read_bytes() == b"ab" + b"x" * (limits.STATUS_PAGE_BYTES - 2) + b"cd"


@pytest.mark.parametrize("engine", PLAIN)
def test_a_file_with_the_status_page_s_mark_is_not_opened_to_be_written(step, tmp_path):
    path = tmp_path / "page"
    path.write_bytes((b"x" * 48 + b"mark").ljust(limits.STATUS_PAGE_BYTES, b"x"))
    body = f"return select(2, io.open('{path}', 'r+'))"
    refusal = step(body, refusals=Refusals(), page_mark=(48, b"mark"))
    assert refusal == f"{path}: Permission denied"


# -- permissions ------------------------------------------------------------------------------


def test_a_task_reads_files_where_it_may_but_no_standard_input(task, file):
    reading = Refusals(write="is not permitted on this node")
    assert task(f"return #io.open('{file}'):read('*a')", refusals=reading) == 10
    assert task(f"return io.lines('{file}')()", refusals=reading) == "one"
    assert task("return {pcall(io.read)}", refusals=reading)[0] is False
    assert task(f"return select(2, io.open('{file}', 'a'))", refusals=reading) == (
        f"{file}: writing files is not permitted on this node"
    )


def test_a_task_that_only_writes_does_not_read(task, file):
    writing = Refusals(read="is not permitted on this node")
    body = (
        f"local f = io.open('{file}', 'a') f:write('4') f:close() return io.open('{file}') == nil"
    )
    assert task(body, refusals=writing) is True
    assert file.read_text().endswith("3\n4")
    for mode in ("r", "r+", "w+", "a+"):
        assert task(f"return select(2, io.open('{file}', '{mode}'))", refusals=writing) == (
            f"{file}: reading files is not permitted on this node"
        )
    assert "reading files is not" in task(
        f"return select(2, pcall(io.lines, '{file}'))", refusals=writing
    )


def test_a_driver_may_be_refused_files_but_not_its_standard_input(step, file):
    none = Refusals(read="is not what this job asks for", write="is not what this job asks for")
    assert step(f"return select(2, pcall(io.open, '{file}'))", refusals=none) == (
        "io.open is not available in a script: reading files is not what this job asks for"
    )
    assert step("return io.type(io.stdin)", refusals=none) == "file"

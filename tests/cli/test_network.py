"""Which addresses are open to others, and how they come in."""

from __future__ import annotations

import os
import pty
import re
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from midas_mp.cli.network import announce
from midas_mp.wire.framing import Frame, encode
from midas_mp.wire.joining import denial
from midas_mp.wire.messages import Hello, Role
from midas_mp.wire.records import RecordWriter


def test_announcements_are_safe_lines(capsys):
    announce("a peer named \x1b[2J\x07")
    assert capsys.readouterr().err == "midas: a peer named \\x1b[2J\\x07\n"


@pytest.fixture
def own_state(tmp_path):
    """As another user has it."""
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


def port_of(host):
    return host.wait_for(r"listening on \S*:(\d+)")[1]


@pytest.mark.parametrize("how", [(["--insecure"], {}), ([], {"MIDAS_INSECURE": "1"})])
def test_with_insecure_it_listens_and_serves(start, script, own_state, how):
    options, env = how
    host = start("host", script(), "--address", "0.0.0.0:0", "--tasks", "3", *options, env=env)
    where = f"127.0.0.1:{port_of(host)}"
    assert "warning: --insecure" in host.err
    node = start("participant", "--address", where, "--workers", "1", "--insecure", env=own_state)
    assert host.wait().out == "0,1,2\n"
    assert "warning: --insecure" in node.err


@pytest.mark.parametrize("command", [["workers"], ["jobs"], ["pause", "nobody"]])
def test_whoever_asks_with_insecure_is_warned(start, midas, own_state, command):
    host = start("host", "--address", "127.0.0.1:0", "--insecure")
    ended = midas(*command, "--address", host.address(), "--insecure", env=own_state)
    assert f"warning: --insecure: whoever is between here and {host.address()}" in ended.err


def test_one_line_from_a_terminal_is_enough_on_another_machine(start, script, own_state, tmp_path):
    ours, theirs = pty.openpty()
    start("host", "--address", "0.0.0.0:0", env=own_state, stderr=theirs)
    os.close(theirs)
    said = b""
    while b"midas run" not in said:
        said += os.read(ours, 65_536)
    os.close(ours)
    text = said.decode()
    (port,) = re.findall(r"listening on 0\.0\.0\.0:(\d+)", text)
    said = re.findall(r"MIDAS_TOKEN=(midas1\.[\w-]+) midas (\w+).* --address (\S+):(\d+)", text)
    tokens = {command: token for token, command, _, _ in said}
    assert {of for _, _, _, of in said} == {port}
    where = ["--address", f"127.0.0.1:{port}"]
    node = start(
        "participant", *where, "--workers", "1", env={"MIDAS_TOKEN": tokens["participant"]}
    )
    node.wait_for("joined")
    path = tmp_path / "token"
    path.write_text(tokens["run"])
    run = start("run", script(), *where, "--tasks", "3", "--token-file", path)
    assert run.wait()[:2] == (0, "0,1,2\n")
    assert tokens["participant"] not in node.err


@pytest.mark.parametrize("stream", ["a file", "a pipe"])
def test_in_a_log_no_token_is_left(start, own_state, tmp_path, stream):
    """Who supervises containers, services and jobs reads a pipe, and keeps what comes."""
    with (tmp_path / "log").open("wb") as log:
        options = {"stderr": log.fileno()} if stream == "a file" else {}
        host = start("host", "--address", "0.0.0.0:0", env=own_state, **options)
    if stream == "a file":
        host.wait_until(lambda: b"midas run SCRIPT" in (tmp_path / "log").read_bytes())
        text = (tmp_path / "log").read_text()
    else:
        host.wait_for("midas run SCRIPT")
        text = host.err
    assert "MIDAS_TOKEN=$(midas token new --for participants) midas participant" in text
    assert "midas1." not in text


LOOK = """
    local found = {}
    for _, name in ipairs { "/proc/self/environ", "/proc/self/cmdline", arg[1] } do
      local has_found, file = pcall(io.open, name, "rb")
      found[#found + 1] = has_found and file and file:read("*a") or ""
    end
    return table.concat(found)
"""


def environments(command):
    """Of its zygote and of all that this has forked."""
    zygote = command.zygote()
    return [process.environ() for process in (zygote, *zygote.children())]


@pytest.mark.parametrize("is_in_a_file", [False, True])
def test_neither_scripts_nor_tasks_see_a_token(  # noqa: PLR0917 - fixtures
    start, script, own_state, midas, tmp_path, is_in_a_file
):
    host = start("host", "--address", "0.0.0.0:0", env=own_state)
    where = ["--address", f"127.0.0.1:{port_of(host)}"]
    tokens = {
        kind: midas("token", "new", "--for", kind, env=own_state).out.strip()
        for kind in ("clients", "participants")
    }

    def shown(kind):
        """How a command comes by the token; and where a script could, beside itself."""
        path = tmp_path / kind
        if is_in_a_file:
            path.write_text(tokens[kind])
        return {"MIDAS_TOKEN_FILE": str(path)} if is_in_a_file else {"MIDAS_TOKEN": tokens[kind]}

    words = [*where, "--workers", "1", "--allow", "read"]
    node = start("participant", *words, env=shown("participants"))
    node.wait_for("joined")
    assert "midas1." not in str(environments(node))
    both = shown("clients"), tmp_path / "participants"
    of_task = midas("run", script(LOOK), *where, "--tasks", "1", "--", both[1], env=both[0])
    of_script = midas(
        *("run", script(interpret=LOOK), *where, "--tasks", "1", "--", tmp_path / "clients"),
        env=both[0],
    )
    assert (of_task.code, of_script.code) == (0, 0)
    assert "midas1." not in of_task.out + of_script.out
    assert node.process.poll() is None


def test_processes_of_this_user_come_to_a_host_of_the_network_too(start, script, own_state):
    host = start("host", script(), "--address", "0.0.0.0:0", "--tasks", "3", env=own_state)
    where = f"127.0.0.1:{port_of(host)}"
    start("participant", "--address", where, "--workers", "1", env=own_state)
    assert host.wait().out == "0,1,2\n"


def test_another_users_process_is_refused_with_a_sentence(start, own_state):
    host = start("host", "--address", "127.0.0.1:0", env=own_state)
    node = start("participant", "--address", host.address(), "--workers", "1").wait()
    assert node.code == 3
    assert "lets in here only processes of that user" in node.err
    assert host.wait_for(r"127\.0\.0\.1:\d+ was refused: this host is user")


@pytest.mark.parametrize(
    "command", [["participant", "--address", "192.0.2.1:1"], ["run", "--address", "192.0.2.1:1"]]
)
def test_another_machine_wants_a_token(midas, script, command):
    ended = midas(*command, *([script()] if command[0] == "run" else []))
    assert ended.code == 2
    assert "192.0.2.1:1 lets nobody in without a token" in ended.err


@pytest.mark.parametrize("option", [["--token-file", "x"], ["--insecure"], ["--tls-ca", "x"]])
def test_what_is_about_hosts_needs_an_address(midas, script, option):
    ended = midas("run", script(), *option)
    assert ended.code == 2
    assert "are for an --address" in ended.err


EVIL = "1\nmidas: forged\r\x1b[31mred\x1b[2J\u202eabc\x07"


def is_safe(line):
    """Whether it is one of ours, in which nothing is obeyed."""
    return (
        line.startswith("midas: ") and not line.startswith("midas: forged") and line.isprintable()
    )


def test_what_a_peer_says_of_itself_is_one_safe_line_at_the_host(start):
    host = start("host", "--address", "127.0.0.1:0", "--insecure")
    name, port = host.address().split(":")
    hello = Hello(999, Role.CLIENT, EVIL, "ab", "me")
    with socket.create_connection((name, int(port))) as sock:
        sock.sendall(b"".join(RecordWriter().seal(encode(Frame(0, hello)))))
        host.wait_for("was refused: me .* upgrade midas_mp")
    assert all(map(is_safe, host.err.splitlines()))


def test_what_a_host_gives_as_its_reason_passes_for_nothing_else(midas):
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def deny():
            sock, _ = server.accept()
            with sock:
                sock.recv(65_536)
                sock.sendall(denial("token", EVIL))

        denying = pool.submit(deny)
        ended = midas("workers", "--address", f"127.0.0.1:{server.getsockname()[1]}")
        denying.result()
    assert ended.code == 3
    first, *others = ended.err.splitlines()
    assert is_safe(first)
    assert all(line.startswith("  ") and line.isprintable() for line in others)


def test_no_option_takes_a_token_as_a_word(midas, script):
    for command in ("participant", "run", "host"):
        ended = midas(command, "--token", "midas1.x", *([script()] if command == "run" else []))
        assert ended.code == 2
        assert "No such option" in ended.err

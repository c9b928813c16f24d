"""The protocol's page says what the code does: its lists are printed, and its words suffice."""

from __future__ import annotations

import hashlib
import hmac
import importlib
import os
import re
import socket
import struct
import subprocess
import sys
import typing
import zlib
from pathlib import Path

import msgpack
import pytest

from midas_mp.wire.messages import PROTOCOL_VERSION
from midas_mp.wire.vocabulary import AnyMessage

DOCS = Path(__file__).parent.parent / "docs"
PAGE = (DOCS / "protocol.md").read_text(encoding="utf-8")
RELIABILITY = (DOCS / "reliability.md").read_text(encoding="utf-8")


def test_the_printed_parts_are_those_of_the_tables():
    ended = subprocess.run(
        [sys.executable, DOCS / "print_protocol.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ended.returncode, ended.stderr) == (0, "")


def test_every_message_and_every_field_has_a_place():
    for kind in typing.get_args(AnyMessage):
        section = re.search(rf"### \d+ {kind.__name__}\n(.*?)(?=\n### |\n## )", PAGE, re.DOTALL)[1]
        assert re.findall(r"^\| \d+ \| `(\w+)`", section, re.MULTILINE) == [*kind.__struct_fields__]


def test_links_within_the_page_lead_somewhere():
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {heading.lower().replace(" ", "-") for heading in headings}
    links = re.findall(r"\]\(#([^)]+)\)", PAGE)
    assert links
    assert set(links) <= anchors


FIGURES = re.findall(r"\| `((\w+) --[^`]*)` \|$", RELIABILITY, re.MULTILINE)


@pytest.mark.parametrize(("words", "module"), FIGURES)
def test_every_figure_names_a_command_that_there_is(words, module):
    command = importlib.import_module(f"midas_mp.testing.{module}").main
    command.make_context(module, words.split()[1:])


def test_every_command_of_the_page_is_in_the_long_run():
    assert len(FIGURES) == 10
    long_run = (DOCS.parent / "tox.ini").read_text(encoding="utf-8").partition("[testenv:long]")[2]
    said = dict.fromkeys(module for _, module in FIGURES)
    for words, _ in FIGURES:
        if "--every-write" not in words:  # with the others of its kind
            assert f"midas_mp.testing.{words}" in long_run
    assert set(re.findall(r"midas_mp\.testing\.(\w+)", long_run)) == set(said)


class Plain:
    """A client made from the page alone: a socket, msgpack, and the tags that it lists."""

    def __init__(self, address):
        host, port = address.split(":")
        self._socket = socket.create_connection((host, int(port)))
        self._stream = self._socket.makefile("rb")
        self._frames = bytearray()
        self._said = self._heard = 0
        self._join("client")

    def _join(self, role):
        folder = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state")
        secret = (folder / "midas" / "secret").read_bytes()
        key = hashlib.sha256(b"midas key\0" + secret).hexdigest()[:16]
        body = msgpack.packb([PROTOCOL_VERSION, role, "0", key, os.urandom(32)])
        self._socket.sendall(b"midas" + struct.pack("<BH", 1, len(body)) + body)
        magic, kind, size = struct.unpack("<5sBH", self._stream.read(8))
        assert (magic, kind) == (b"midas", 2)
        nonce, proof = msgpack.unpackb(self._stream.read(size))
        about = hashlib.sha256(body).digest() + nonce + bytes(32)
        assert proof == hmac.digest(secret, b"midas join host" + about, "sha256")
        answer = msgpack.packb([hmac.digest(secret, b"midas join peer" + about, "sha256")])
        self._socket.sendall(b"midas" + struct.pack("<BH", 3, len(answer)) + answer)

    def say(self, tag, *fields, buffers=()):
        header = msgpack.packb([[tag, *fields], [len(buffer) for buffer in buffers]])
        prefix = struct.pack("<II", len(header), 0)
        data = prefix + header + b"".join(buffers)
        size = struct.pack("<I", len(data))
        check_of_size = zlib.crc32(size, self._said)
        checks = struct.pack("<II", check_of_size, zlib.crc32(data, check_of_size))
        self._socket.sendall(size + checks + data)
        self._said += 1

    def read(self, size):
        """So many bytes of frames, out of records."""
        while len(self._frames) < size:
            length, check_of_size, check = struct.unpack("<III", self._stream.read(12))
            assert check_of_size == zlib.crc32(struct.pack("<I", length), self._heard)
            data = self._stream.read(length)
            assert check == zlib.crc32(data, check_of_size)
            self._frames += data
            self._heard += 1
        data = bytes(self._frames[:size])
        del self._frames[:size]
        return data

    def hear(self, wanted):
        """The next message with this tag: its fields and its buffers."""
        while True:
            length, _channel = struct.unpack("<II", self.read(8))
            (tag, *fields), sizes = msgpack.unpackb(self.read(length))
            buffers = [self.read(size) for size in sizes]
            if tag == wanted:
                return fields, buffers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()
        self._socket.close()


def bundle_digest(name, source):
    state = hashlib.sha256(b"midas bundle 1")
    for part in (name, source):
        state.update(len(part).to_bytes(8, "big") + part)
    return state.hexdigest()


def test_a_client_can_be_written_from_the_page_alone(start):
    host = start("host", "--address", "127.0.0.1:0")
    start("participant", "--address", host.address(), "--workers", "1")
    source = b"function execute_code() return { square = global_data.x ^ 2 } end"
    digest = bundle_digest(b"plain.lua", source)
    with Plain(host.address()) as plain:
        plain.say(1, PROTOCOL_VERSION, "client", "0", "ab12", "plain")
        plain.hear(2)
        plain.say(20, "job-1", "plain.lua", [])
        plain.say(27, "job-1", digest, "plain.lua", [], buffers=[source])
        plain.hear(22)
        calls = [[index, 0, 1] for index in range(3)]
        payloads = [msgpack.packb({"x": index}) for index in range(3)]
        plain.say(30, "job-1", 0, 3, digest, "execute_code", calls, buffers=payloads)
        squares = {}
        while len(squares) < 3:
            (_job, _round, _worker, outcomes, *_), buffers = plain.hear(31)
            for (index, _attempt, status, *_), buffer in zip(outcomes, buffers, strict=True):
                assert status == 0
                squares[index] = msgpack.unpackb(buffer)
            plain.say(36, "job-1", 0, [outcome[0] for outcome in outcomes])
        assert squares == {0: {"square": 0}, 1: {"square": 1}, 2: {"square": 4}}
        plain.say(26, "job-1")
        plain.say(4, "done")
    host.wait_for("job job-1 .*ended")

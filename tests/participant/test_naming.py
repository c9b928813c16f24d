"""A node's default name is its host name, made safe for names of workers."""

import re
import socket

import pytest

from midas_mp.participant.naming import node_name


@pytest.mark.parametrize(
    ("host_name", "name"),
    [
        ("laptop", "laptop"),
        ("pc-17.lab.example.org", "pc-17"),
        ("Marie's Mac", "Marie-s-Mac"),
        ("bücher_1", "b-cher_1"),
        ("٣", "-"),
        ("", "node"),
        (".local", "node"),
        ("x" * 300, "x" * 64),
    ],
)
def test_whatever_the_machine_is_called_the_name_is_safe(
    host_name: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host_name)
    assert node_name() == name
    assert re.fullmatch(r"[A-Za-z0-9_-]{1,64}", node_name())

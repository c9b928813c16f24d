"""Hosts and participants on a tether."""

from __future__ import annotations

import os
import signal
import socket
import threading

import psutil
import pytest

from midas_mp import limits
from midas_mp.executor.cluster_process import (
    MODULE,
    READY,
    HostSettings,
    ParticipantSettings,
    settings_word,
)
from midas_mp.executor.tether import TetheredProcess, wait_heard
from midas_mp.participant.node_settings import NodeSettings
from midas_mp.transport.address import Address

NODE = NodeSettings("here", name_is_explicit=False, workers=1, memory_bytes=64 * limits.MB)


@pytest.fixture
def start(nothing_left):
    started = []

    def start(role, settings):
        started.append(TetheredProcess(role, MODULE, role, settings_word(settings)))
        return started[-1]

    yield start
    for process in started:
        process.close()


@pytest.fixture
def start_host(start):
    def start_host(workers=1):
        with socket.create_server(("127.0.0.1", 0)) as listening:
            address = Address(*listening.getsockname())
            host = start("host", HostSettings(address, workers))
            host.hand_over(listening)
        return address, host

    return start_host


def hear_end(process):
    while process.listen():
        assert wait_heard([process], 30)


def test_a_host_is_ready_when_all_workers_are_there(start, start_host):
    address, host = start_host(workers=2)
    start("participant", ParticipantSettings(address, NODE))
    assert not wait_heard([host], 0.0)
    start("participant", ParticipantSettings(address, NODE))
    assert wait_heard([host], 30)
    assert host.listen()
    assert host.heard == [READY]


def test_they_may_be_stopped_in_order(start, start_host):
    address, host = start_host()
    node = start("participant", ParticipantSettings(address, NODE))
    assert wait_heard([host], 30)
    for process in (node, host):
        os.kill(process.pid, signal.SIGTERM)
        hear_end(process)
        assert str(process.ending()).endswith("ended: exit code 0")


def test_a_host_that_gets_no_socket_ends_too(start):
    host = start("host", HostSettings(Address(), 1))
    host.let_go()
    hear_end(host)
    assert str(host.ending()) == "host ended: exit code 0"


def test_why_a_participant_ends_is_explained(start):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = Address(*listening.getsockname())

        def answer_otherwise():
            sock, _ = listening.accept()
            with sock:
                sock.recv(4096)
                sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                while sock.recv(4096):
                    pass

        answering = threading.Thread(target=answer_otherwise)
        answering.start()
        node = start("participant", ParticipantSettings(address, NODE))
        hear_end(node)
        answering.join()
    assert f"{address} does not answer like a Midas host" in str(node.ending())


def test_why_a_whole_cluster_ends_is_explained(start):
    cluster = start("both", NODE)
    zygotes = []
    while not zygotes:
        zygotes = psutil.Process(cluster.pid).children()
    zygotes[0].kill()
    hear_end(cluster)
    assert str(cluster.ending()) == "both ended: the zygote ended: killed by SIGKILL"

"""Blows land, are counted, and are undone; on stand-ins of processes that may be killed."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time

import psutil
import pytest

from midas_mp.testing.injection import Blow, Faults, Injector, ProxyThread
from midas_mp.testing.proxy import BadLine, Way
from midas_mp.testing.spoiling import Spoil
from midas_mp.transport.address import Address

PATIENCE_S = 20.0

NODE = """
import subprocess, sys, time
zygote = "import subprocess, sys, time\\n" \\
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(100)'])\\n" \\
    "print('ready', flush=True); time.sleep(100)"
subprocess.Popen([sys.executable, "-c", zygote])
time.sleep(100)
"""


class Process:
    """A member of a cluster that does nothing."""

    def __init__(self, program="import time; print('ready', flush=True); time.sleep(100)"):
        self._command = [sys.executable, "-c", program]
        self.starts = 0
        self._start()

    def _start(self):
        self.starts += 1
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE)
        with self._process.stdout as said:
            assert said.readline() == b"ready\n"

    @property
    def pid(self):
        return self._process.pid

    @property
    def is_alive(self):
        return self._process.poll() is None

    @property
    def status(self):
        return psutil.Process(self.pid).status()

    def workers(self):
        return [w for zygote in psutil.Process(self.pid).children() for w in zygote.children()]

    def kill(self):
        self._process.kill()
        self._process.wait()

    def restart(self):
        self._start()

    def release(self):
        for process in [*psutil.Process(self.pid).children(recursive=True)]:
            process.kill()
        self.kill()


class Cluster:
    def __init__(self, nodes=0):
        self.host = Process()
        self.participants = [Process(NODE) for _ in range(nodes)]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in (self.host, *self.participants):
            if process.is_alive:
                process.release()


def wait_for(look):
    until_s = time.monotonic() + PATIENCE_S
    while not look():
        assert time.monotonic() < until_s
        time.sleep(0.005)


def test_a_killed_host_comes_back():
    with Cluster() as cluster:
        injector = Injector(cluster, Faults())
        injector.start()
        injector.strike(Blow.KILL_HOST)
        assert not cluster.host.is_alive
        injector.strike(Blow.KILL_HOST)  # nobody is there
        wait_for(lambda: cluster.host.is_alive)
        injector.stop()
        assert cluster.host.starts == 2
        assert injector.counts == {Blow.KILL_HOST: 1}


def test_stopping_undoes_at_once_what_is_not_undone():
    with Cluster() as cluster:
        injector = Injector(cluster, Faults(standstill_s_max=1000))
        injector.start()
        injector.strike(Blow.FREEZE_HOST)
        wait_for(lambda: cluster.host.status == psutil.STATUS_STOPPED)
        injector.stop()
        wait_for(lambda: cluster.host.status != psutil.STATUS_STOPPED)
        injector.strike(Blow.KILL_HOST)
        assert cluster.host.is_alive, "it is over"
        injector.stop()


def test_who_was_killed_while_frozen_is_not_woken():
    with Cluster() as cluster:
        injector = Injector(cluster, Faults(standstill_s_max=1000))
        injector.start()
        injector.strike(Blow.FREEZE_HOST)
        injector.strike(Blow.KILL_HOST)
        injector.stop()
        assert cluster.host.is_alive
        assert injector.counts == {Blow.FREEZE_HOST: 1, Blow.KILL_HOST: 1}


def test_workers_are_the_children_of_zygotes():
    with Cluster(nodes=1) as cluster:
        (node,) = cluster.participants
        (worker,) = node.workers()
        injector = Injector(cluster, Faults())
        injector.strike(Blow.KILL_WORKER)
        wait_for(lambda: not psutil.pid_exists(worker.pid) or worker.status() == "zombie")
        assert node.is_alive
        assert injector.counts == {Blow.KILL_WORKER: 1}
        injector.stop()


def test_participants_are_killed_and_frozen():
    with Cluster(nodes=1) as cluster:
        (node,) = cluster.participants
        injector = Injector(cluster, Faults())
        injector.strike(Blow.FREEZE_PARTICIPANT)
        wait_for(lambda: node.status == psutil.STATUS_STOPPED)
        left = psutil.Process(node.pid).children(recursive=True)
        injector.strike(Blow.KILL_PARTICIPANT)
        injector.strike(Blow.KILL_PARTICIPANT)  # nobody is there
        injector.strike(Blow.FREEZE_PARTICIPANT)
        injector.strike(Blow.KILL_WORKER)
        assert injector.counts == {Blow.FREEZE_PARTICIPANT: 1, Blow.KILL_PARTICIPANT: 1}
        injector.stop()
        assert node.is_alive
        for process in left:
            process.kill()


def test_things_go_wrong_by_themselves():
    with Cluster() as cluster:
        injector = Injector(cluster, Faults(kill_host_s=0.01))
        injector.start()
        wait_for(lambda: injector.counts[Blow.KILL_HOST] >= 2)
        injector.stop()
        assert cluster.host.is_alive


def test_the_network_is_that_of_the_proxy():
    with Cluster() as cluster:
        line = BadLine(spoil=Spoil(flip_every_bytes=10))
        proxy = ProxyThread(Address("127.0.0.1", 1), line, seed=1)
        injector = Injector(cluster, Faults(standstill_s_max=1000), proxy)
        injector.strike(Blow.CUT)
        injector.strike(Blow.BLACK_HOLE)
        wait_for(lambda: not all(proxy.proxy._open[way].is_set() for way in Way))
        assert proxy.proxy.line == line
        injector.stop()
        wait_for(lambda: all(proxy.proxy._open[way].is_set() for way in Way))
        assert proxy.proxy.line == BadLine()
        assert injector.counts == {Blow.CUT: 1, Blow.BLACK_HOLE: 1}
        proxy.close()
        proxy.close()
        proxy.call(proxy.proxy.cut)  # nobody listens


def test_who_cannot_have_a_proxy_is_told_so(monkeypatch):
    async def no_more_files(*_):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(asyncio, "start_server", no_more_files)
    with pytest.raises(OSError, match="Too many open files"):
        ProxyThread(Address("127.0.0.1", 1), BadLine(), seed=1)


def test_without_a_proxy_nothing_happens_to_the_network():
    with Cluster() as cluster:
        injector = Injector(cluster, Faults())
        injector.strike(Blow.CUT)
        injector.strike(Blow.BLACK_HOLE)
        assert not injector.counts


def test_what_never_happens_has_no_interval():
    assert Faults().intervals == {}
    assert Faults(kill_worker_s=2, cut_s=3).intervals == {Blow.KILL_WORKER: 2, Blow.CUT: 3}

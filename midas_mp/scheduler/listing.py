"""Who is there and what there is to do, for people who ask."""

from __future__ import annotations

import itertools

from midas_mp import limits
from midas_mp.scheduler.records import ClientRecord, Job, Node
from midas_mp.scheduler.state import State
from midas_mp.wire.management import JobReport, JobsListed, NodeReport, NodesListed


def list_nodes(state: State, client: ClientRecord) -> None:
    """Answer a client: every node with a registered worker, by name."""
    assert client.peer is not None
    nodes = sorted((n for n in state.nodes.values() if n.workers), key=lambda node: node.name)
    reports = [_report(node) for node in nodes]
    size = limits.NODES_PER_REPORT_MAX
    parts = [reports[at : at + size] for at in range(0, len(reports), size)] or [[]]
    for part in parts[:-1]:
        state.send(client.peer, NodesListed(part, is_last=False))
    state.send(client.peer, NodesListed(parts[-1], is_last=True))


def list_jobs(state: State, client: ClientRecord) -> None:
    """Answer a client: every job, oldest first."""
    assert client.peer is not None
    reports = [_report_job(job) for job in state.jobs.values()]
    size = limits.JOBS_PER_REPORT_MAX
    parts = [reports[at : at + size] for at in range(0, len(reports), size)] or [[]]
    for part in parts[:-1]:
        state.send(client.peer, JobsListed(part, is_last=False))
    state.send(client.peer, JobsListed(parts[-1], is_last=True))


def _report_job(job: Job) -> JobReport:
    return JobReport(
        job.id,
        job.title,
        job.client.name,
        "paused" if job.is_paused else job.state.value,
        job.waiting_count,
        job.leased_count,
        job.done_count + job.forgotten_count,
    )


def _report(node: Node) -> NodeReport:
    workers = node.workers.values()
    engines = set.intersection(*(set(worker.engines) for worker in workers))
    return NodeReport(
        node.name,
        node.hello.release,
        len(workers),
        sum(worker.lease_count > 0 for worker in workers),
        min(worker.sandbox_level for worker in workers),
        list(itertools.islice(sorted(engines), limits.ENGINES_SHOWN_MAX)),
        node.permits,
        sum(worker.is_paused for worker in workers),
    )

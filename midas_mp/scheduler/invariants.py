"""What must hold after every step: called by every test, and wherever in doubt.

It only looks, in the most naive way; it shares no code with what it checks.
"""

from __future__ import annotations

from collections import Counter

from midas_mp import limits
from midas_mp.scheduler.records import Job, Node, Task, Worker
from midas_mp.scheduler.shelf import weight
from midas_mp.scheduler.state import State
from midas_mp.scheduler.tables import JobState, NodeState, TaskState, WorkerState
from midas_mp.wire.framing import size_bytes
from midas_mp.wire.messages import TaskRef


def check(state: State) -> None:
    """Look at everything.

    Raises:
        AssertionError: the tables contradict each other; it names the subject.
    """
    for job_id, job in state.jobs.items():
        assert job.id == job_id, job.label
        _check_client(state, job)
        assert job.state is not JobState.ENDED, job.label
        assert (job.state is JobState.STARTED) == (job_id in state.started), job.label
        _check_tasks(state, job)
        _check_shared(state, job)
        _check_standings(state, job)
    for peer, client in state.clients.items():
        assert client.peer == peer, client.name
        assert all(state.jobs.get(name) is job for name, job in client.jobs.items()), client.name
        assert not client.refused & set(client.jobs), f"{client.name}: refused what is open"
    for node_id, client in state.away.items():
        assert client.node_id == node_id, client.name
        assert client.peer is None, f"{client.name} is away and connected"
        assert client.jobs, f"{client.name} is away without a job"
    assert set(state.started) <= set(state.jobs)
    assert state.paused.jobs == {job for job in state.jobs.values() if job.is_paused}
    workers = [worker for node in state.nodes.values() for worker in node.workers.values()]
    for peer, node in state.nodes.items():
        assert node.peer == peer, node.label
        assert node.state in (NodeState.CONNECTED, NodeState.LEAVING), node.label
        assert node.state is NodeState.CONNECTED or not node.awaited, node.label
        assert set(node.begun) <= set(state.jobs), f"{node.label}: knows an ended job"
    for worker in workers:
        _check_worker(state, worker)
    _check_sets(state, workers)
    _check_bulks(state)
    _check_strays(state, workers)
    _check_backlogs(state)
    _check_names(state)
    _check_killed(state)
    for job in state.started.values():
        if (job.fresh or job.returned) and job.lease_allowance and not job.is_paused:
            idle = [worker.label for worker in state.idle if _is_suitable(job, worker)]
            assert not idle, f"{job.label}: tasks wait while {idle} are idle"


def _check_client(state: State, job: Job) -> None:
    """Its client is connected or away; a job that nobody has open has an end."""
    client = job.client
    assert client.jobs.get(job.id) is job, f"{job.label}: its client does not know it"
    if client.peer is None:
        assert state.away.get(client.node_id) is client, f"{job.label}: no such client"
    else:
        assert state.clients.get(client.peer) is client, f"{job.label}: no such client"
        assert client.node_id not in state.away, f"{client.name} is connected and away"
    assert job.peer in (None, client.peer), f"{job.label}: open on another connection"
    assert (job.peer is None) == (job.away_until is not None), f"{job.label}: no end of patience"
    assert job.id not in state.ended, f"{job.label} has ended"


def _check_tasks(state: State, job: Job) -> None:
    """Every task is in exactly one place, and the sums match."""
    queued = Counter([*job.fresh, *job.returned, *job.suspects])
    tasks = [task for tasks in job.rounds.values() for task in tasks.values()]
    assert set(queued) <= set(tasks), f"{job.label}: a queue holds a task that is not its own"
    for round_, by_index in job.rounds.items():
        for index, task in by_index.items():
            assert (task.batch.round, task.index) == (round_, index), task.label
    for task in tasks:
        is_waiting = task.state is TaskState.WAITING
        assert queued[task] == is_waiting, f"{task.label} is {task.state}, in {queued[task]} queues"
        assert (task.worker is not None) == (task.state is TaskState.LEASED), task.label
        assert (task.outcome is not None) == (task.state is TaskState.DONE), task.label
        if task.worker is not None:
            _check_lease(state, job, task, task.worker)
    for task, copies in job.copies.items():
        _check_copies(job, task, list(copies))
    leased = {task for task in tasks if task.state is TaskState.LEASED}
    assert set(job.prints) <= leased, f"{job.label}: counts prints of a task that is not leased"
    assert all(task in job.blames for task in job.suspects), f"{job.label}: suspect without blame"
    assert not any(task in job.blames for task in job.returned), f"{job.label}: blamed, not alone"
    assert set(job.blames) <= set(tasks), f"{job.label}: blame of a forgotten task"
    counts = Counter(task.state for task in tasks)
    assert len(tasks) == job.task_count, job.label
    assert counts[TaskState.LEASED] == job.leased_count, job.label
    assert counts[TaskState.DONE] == job.done_count, job.label
    assert sum(task.size_bytes for task in tasks) == job.size_bytes, job.label
    assert job.task_count <= job.credit_max, f"{job.label}: over its credit"
    needed = {task.batch.digest for task in tasks if task.state is not TaskState.DONE}
    assert needed <= set(job.bundles.frames), f"{job.label}: a bundle of an open task is gone"
    weights = [weight(size_bytes(bundle.buffers)) for bundle in job.bundles.frames.values()]
    assert sum(weights) == job.bundles.size_bytes, f"{job.label}: bytes of bundles"


def _check_copies(job: Job, task: Task, workers: list[Worker]) -> None:
    """Whoever has one of a task holds it as well, and somebody else has the lease."""
    assert task.state is TaskState.LEASED, f"{task.label} is {task.state}, and copied"
    ref = TaskRef(job.id, task.batch.round, task.index)
    for worker in workers:
        assert worker is not task.worker, f"{worker.label}: a copy of its own {task.label}"
        assert worker.node.workers.get(worker.channel) is worker, f"{task.label}: copied by nobody"
        assert worker.orphans.get(ref), f"{worker.label}: its copy of {task.label} cannot count"


def _check_lease(state: State, job: Job, task: Task, worker: Worker) -> None:
    node = worker.node
    assert state.nodes.get(node.peer) is node, f"{task.label}: leased to a lost node"
    assert node.workers.get(worker.channel) is worker, f"{task.label}: leased to a lost worker"
    assert task in worker.leases.get(job, {}), f"{task.label}: its worker does not know"
    if task not in worker.adopted:
        assert job.state is JobState.STARTED, f"{task.label}: leased before the start"
        if job.shared is not None and task.batch.round == job.shared.round:
            assert node in job.shared.holders, f"{task.label}: {node.label} lacks what it shares"
    assert job.spec.engine in worker.engines, f"{task.label}: {worker.label} is not suitable"
    assert task.batch.digest in node.begun.get(job.id, ()), f"{task.label}: {node.label} lacks it"
    if task in job.blames:
        is_alone = worker.state is WorkerState.ALONE or worker.orphans
        assert is_alone, f"{task.label}: blamed and not alone"


def _is_suitable(job: Job, worker: Worker) -> bool:
    return (
        job.spec.engine in worker.engines
        and (job.shared is None or worker.node in job.shared.holders)
        and worker.node.hello.node_id not in job.standings.set_aside
    )


def _check_shared(state: State, job: Job) -> None:
    """Who holds the data is connected and could be told of it."""
    shared = job.shared
    if shared is None:
        return
    assert shared.received_bytes == sum(map(len, shared.parts)), f"{job.label}: shared bytes"
    assert shared.received_bytes <= shared.total_bytes == sum(shared.sizes), job.label
    nodes = list(state.nodes.values())
    for node in (*shared.offered, *shared.holders):
        assert node in nodes, f"{job.label}: {node.label} is lost and has its data"
    for node in shared.offered:
        assert shared.is_complete, f"{job.label}: offered before it was complete"
        assert job.id in node.begun, f"{job.label}: {node.label} does not know the job"
    if shared.is_complete:
        for node in nodes:
            needs = any(job.spec.engine in worker.engines for worker in node.workers.values())
            assert not needs or node in shared.offered, f"{job.label}: {node.label} waits for data"


def _check_standings(state: State, job: Job) -> None:
    """It never does without all who could work for it."""
    suitable = [
        worker
        for node in state.nodes.values()
        for worker in node.workers.values()
        if node.state is NodeState.CONNECTED
        and job.spec.engine in worker.engines
        and node.hello.node_id not in job.standings.set_aside
    ]
    assert state.suitable_count(job) == len(suitable), f"{job.label}: suitable workers"
    assert suitable or not job.standings.set_aside, f"{job.label}: all nodes are set aside"


def _check_worker(state: State, worker: Worker) -> None:
    leased = [(job, task) for job, tasks in worker.leases.items() for task in tasks]
    for job, task in leased:
        assert state.jobs.get(job.id) is job, f"{worker.label}: leases of an ended job"
        assert task.worker is worker, f"{worker.label}: {task.label} is not with it"
        assert job.task(task.batch.round, task.index) is task, f"{task.label} is forgotten"
        ref = TaskRef(job.id, task.batch.round, task.index)
        assert ref not in worker.orphans, f"{worker.label}: holds {task.label} twice"
    assert all(worker.leases.values()), f"{worker.label}: an empty entry"
    assert worker.lease_count == len(leased) <= limits.QUEUE_TASKS_MAX, worker.label
    assert worker.lease_bytes == sum(task.size_bytes for _, task in leased), worker.label
    assert set(worker.adopted) <= {task for _, task in leased}, f"{worker.label}: adopted"
    if len(leased) > 1 and not worker.adopted:
        largest = max(task.size_bytes for _, task in leased)
        assert worker.lease_bytes - largest <= limits.QUEUE_BYTES_MAX, worker.label
    if worker.orphans:
        expected = [WorkerState.RELEASING]
    elif leased:
        expected = [WorkerState.BUSY, WorkerState.ALONE]
    else:
        expected = [WorkerState.IDLE]
    assert worker.state in expected, f"{worker.label} is {worker.state}"
    if worker.state is WorkerState.ALONE:
        assert len(leased) == 1 or worker.adopted, f"{worker.label} is not alone"


def _check_sets(state: State, workers: list[Worker]) -> None:
    for worker in workers:
        is_idle, is_busy = worker.state is WorkerState.IDLE, worker.state is WorkerState.BUSY
        is_frozen = any(job.is_paused for job in worker.leases)
        is_open = not (worker.is_leaving or worker.is_paused or is_frozen)
        assert (worker in state.idle) == (is_open and is_idle), worker.label
        is_laden = is_open and is_busy and worker.lease_count > 1
        assert (worker in state.laden) == is_laden, worker.label
        assert (is_open and is_busy) or worker not in state.hungry, worker.label
        assert worker.is_leaving == (worker.node.state is NodeState.LEAVING), worker.label
        node_id = worker.node.hello.node_id
        is_paused = {(node_id, 0), (node_id, worker.channel)} & set(state.paused.seats)
        assert worker.is_paused == bool(is_paused), f"{worker.label}: paused"
    connected = {node.hello.node_id for node in state.nodes.values()}
    assert not connected & set(state.paused.absent), "a node is connected and away"
    paused = {node_id for node_id, _ in state.paused.seats}
    assert paused <= connected | set(state.paused.absent), "a pause that nothing ends"
    assert len(state.paused.absent) <= limits.PAUSED_ABSENT_MAX, "too many pauses of the absent"
    known = set(workers)
    assert known.issuperset(state.idle), "a lost worker is idle"
    assert known.issuperset(state.hungry), "a lost worker is hungry"
    assert known.issuperset(state.laden), "a lost worker is laden"
    assert known.issuperset(state.copying.workers), "a lost worker has copies"
    assert all(worker.orphans for worker in state.copying.workers), "a copier without a copy"
    runs = [
        copy for job in state.jobs.values() for by in job.copies.values() for copy in by.values()
    ]
    used_bytes = sum(copy.used_bytes for copy in runs)
    assert used_bytes == state.copying.room.used_bytes, "bytes of what copies print"


def _check_bulks(state: State) -> None:
    """Each belongs to somebody, who has no other."""
    owners = {node.hello.node_id for node in state.nodes.values()} | set(state.away)
    owners |= {client.node_id for client in state.clients.values()}
    node_ids = [bulk.node_id for bulk in state.bulks.values()]
    assert len(set(node_ids)) == len(node_ids), "two bulk connections of one node"
    assert set(node_ids) <= owners, "a bulk connection of nobody"


def _check_strays(state: State, workers: list[Worker]) -> None:
    early_bytes = 0
    for job_id, stray in state.strays.items():
        job = state.jobs.get(job_id)
        assert stray.id == job_id not in state.ended, f"stray of the ended job {job_id}"
        assert job is not None or stray.until is not None, f"stray of {job_id} is kept for ever"
        assert set(stray.nodes) <= set(state.nodes.values()), f"stray of {job_id}: a lost node"
        for (round_, index), worker in stray.held.items():
            assert worker in workers, f"stray of {job_id}: held by a lost worker"
            ref = TaskRef(job_id, round_, index)
            assert worker.orphans.get(ref), f"stray of {job_id}: {worker.label} lacks {index}"
        for round_, index in (*stray.held, *stray.early):
            is_there = job is not None and job.task(round_, index) is not None
            assert not is_there, f"stray of {job_id}: {index} was submitted and not claimed"
        early_bytes += sum(result.size_bytes for result in stray.early.values())
    assert early_bytes == state.early_bytes <= limits.EARLY_BYTES_MAX, "bytes of early results"


def _check_killed(state: State) -> None:
    """Whoever was killed is not here."""
    killed = state.killed
    assert not set(killed.jobs) & set(state.jobs), "a job goes on that was killed"
    assert not set(killed.nodes) & {node.hello.node_id for node in state.nodes.values()}
    assert max(len(killed.jobs), len(killed.nodes)) <= limits.KILLED_MAX, "too many killed"


def _check_backlogs(state: State) -> None:
    """Only of jobs that can still be told of them, and no more than there is room for."""
    backlogs = [job.printed for job in state.jobs.values()]
    backlogs += [stray.printed for stray in state.strays.values()]
    used_bytes = sum(backlog.used_bytes for backlog in backlogs)
    assert used_bytes == state.backlogs.used_bytes, "bytes of kept prints"
    assert used_bytes <= limits.BACKLOGS_BYTES_MAX, "too many kept prints"
    unopened = [job_id for job_id in state.strays if job_id not in state.jobs]
    assert len(unopened) <= limits.STRAY_JOBS_MAX, "too many strays"


def _check_names(state: State) -> None:
    nodes: list[Node] = list(state.nodes.values())
    workers = [
        worker
        for node in nodes
        for worker in node.workers.values()
        if node.state is NodeState.CONNECTED
    ]
    assert len({node.name for node in nodes}) == len(nodes), "two nodes of one name"
    assert len({node.hello.node_id for node in nodes}) == len(nodes), "two nodes of one id"
    assert state.awaited == sum(node.awaited for node in nodes) >= 0, "awaited workers"
    assert state.worker_count == len(workers), "registered workers"
    engines = Counter(engine for worker in workers for engine in worker.engines)
    assert state.engine_counts == engines, "workers by engine"
    assert set(state.engine_since) == set(engines), "engines"

"""Every limit in one place, each with its reason.

MB means 2**20 bytes everywhere in Midas.
"""

from typing import Final

KB: Final = 2**10
MB: Final = 2**20
GB: Final = 2**30

# -- frames ----------------------------------------------------------------------------------

HEADER_BYTES_MAX: Final = 64 * KB
"""A header is control data (names, indices, sizes); payloads travel in buffers behind it.
h11 bounds a whole HTTP head at 16 KiB, nginx at 32 KiB; ours also lists a batch of tasks."""

HEADER_BYTES_MAX_GREETING: Final = 4 * KB
"""Before a peer is known it may only say who it is."""

PAYLOAD_BYTES_MAX: Final = 1 * GB
"""All buffers of one frame together; above this a job wants files, not messages."""

BUFFERS_MAX: Final = 8_192
"""Buffers in one frame: with their sizes they must fit the header."""

BLOB_BYTES_MIN: Final = 64 * KB
"""Payload buffers of this size and more stay in shared memory between processes of one node.  By
measured CPU time a task with its array costs the same either way from 16 to 32 KB; in shared memory
it costs a quarter less at 64 KB, and less than half at 256 KB."""

BLOB_REFS_MAX: Final = 1_000
"""References in one message: each takes up to 28 bytes of its header."""

POOL_BYTES_MAX: Final = 64 * GB
OUTBOUND_BYTES_MAX: Final = 4 * GB
"""Shared memory of a process for what it sends, and of each Lua process for what it makes: mere
addresses, until they are used."""

ADDRESS_SHARE_OF_POOL_INVERSE: Final = 4
ADDRESS_SHARE_OF_OUTBOUND_INVERSE: Final = 64
"""And where addresses are limited (ulimit -v, as batch systems do), one in so many of them."""

POOLS_PER_PEER_MAX: Final = 1_000
"""Files of shared memory that one end of a connection shows the other: a node has one for each of
its workers."""

PAYLOAD_BUFFERS_MAX: Final = 1_024
"""Buffers of one payload that Lua makes; what arrays come after these travel inside buffer 0."""

INLINE_ARRAY_BYTES_MAX: Final = 1 * KB
"""A smaller array travels inside buffer 0: a buffer of its own costs a microsecond."""

OUTBOUND_GRANULE_BYTES: Final = 64 * KB
"""Arrays of this size and more are made in shared memory, in whole granules of it."""

CONNECT_TIMEOUT_S: Final = 10.0
"""A host that does not answer somebody who waits for it by then is not there."""

GREETING_TIMEOUT_S: Final = 5.0
"""A peer that says nothing is dropped; an honest one greets within a round trip."""

RECORD_BYTES_MAX: Final = 1 * MB
"""What is checked at a time where frames cross a network: it is kept until its end has come.  More
would only fill memory; of smaller ones more begin inside a read, which costs a copy."""

RECORD_BYTES_MAX_GREETING: Final = HEADER_BYTES_MAX_GREETING + 1 * KB
"""Before a peer is known: a greeting and its prefix."""

JOINING_BYTES_MAX: Final = 1 * KB
"""Each word by which two ends prove to each other who they are; the longest is a reason."""

ARRIVALS_MAX: Final = 1_024
ARRIVALS_PER_ADDRESS_MAX: Final = 256
"""Connections that have proved nothing yet: one more, and the oldest has to go.  An honest one is
through within a few round trips, and comes again when it was not; those of a whole fleet may come
from one address."""

REVIEW_INTERVAL_S: Final = 2.0
"""How often a host looks whether the tokens by which its peers came are still good."""

TURNED_AWAY_BURST: Final = 20
TURNED_AWAY_PER_S: Final = 1.0
"""Lines about peers that were turned away; whoever knocks a thousand times gets no thousand."""

SEND_BUFFER_BYTES_HIGH: Final = 1 * MB
SEND_BUFFER_BYTES_LOW: Final = 256 * KB
"""Unsent bytes of one link above which ``drained`` waits, and below which it goes on: a few
socket buffers' worth keeps the kernel busy, more is only memory."""

LINGER_S: Final = 5.0
"""A closing link whose peer takes nothing for this long is cut off."""

HEARTBEAT_INTERVAL_S: Final = 3.0
"""Who has said nothing for so long says that it is there."""

SILENT_BEATS_MAX: Final = 4
"""A peer that is silent for so many intervals of this side is lost: it is noticed within 15 s that
it stands still.  An honest one is silent for two of them at most."""

KEEPALIVE_IDLE_S: Final = 5
KEEPALIVE_INTERVAL_S: Final = 3
KEEPALIVE_PROBES: Final = 3
"""A machine that vanished without a word is noticed after 14 s of silence, also on connections
without heartbeats; the kernel's own default is two hours."""

UNACKNOWLEDGED_S_MAX: Final = 15
"""The same where something was sent, which the kernel would repeat for a quarter of an hour.  It
also ends a connection whose peer lets its window be full for so long."""

UNACKNOWLEDGED_BY_CLIENT_S_MAX: Final = 60
"""Likewise at the host: a client may be stopped for a while, with results on the way."""

FLOW_INTERVAL_S: Final = 60.0
FLOW_BYTES_MIN: Final = 60 * KB
"""A peer that takes less than this in such a time, while more waits for it, is cut off; so is one
that sends less of a frame that it has begun.  No network in use is slower than 1 KB a second."""

OUTPUT_BACKLOG_BYTES_MAX: Final = 16 * MB
"""Unsent bytes to one client above which the host drops what tasks print, and what a node keeps of
it while no host is there; some 200,000 lines.  So much the host also keeps of the prints of all
runs together that do not count yet."""

UNREAD_WORDS_BYTES_MAX: Final = 32 * MB
"""All else but payloads that one peer was told and has not read: a hundred times the calls that the
workers of a large node have in hand.  One that asks and asks without reading is cut off."""

BACKLOGS_BYTES_MAX: Final = 64 * MB
"""The same for all clients that are away together: what was kept first makes room."""

# -- tasks -----------------------------------------------------------------------------------

TASKS_PER_FRAME_MAX: Final = 256
"""Past 64 tasks in a frame throughput no longer grows (measured); 256 headers stay far below
the header limit."""

FRAME_BYTES_TARGET: Final = 1 * MB
"""Payload bytes in one frame of several tasks: work starts when the first frame is there."""

FRAME_BUFFERS_MAX: Final = BUFFERS_MAX // 2
"""Buffers in one frame of several tasks: their sizes share the header with the calls."""

FRAME_TIME_TARGET_S: Final = 0.002
"""How much work, by measured task time, one frame to a worker should hold: long enough that most
of a frame's fixed cost disappears, short enough that nothing waits noticeably."""

FRAME_TIME_S_MAX: Final = 0.010
"""So much it may hold where much more waits for that worker, and so long its results may wait for
each other: on two shared cores what a frame makes others do, and whom it wakes, takes 300 us, a
seventh of 2 ms."""

WAITING_TASK_S_MAX: Final = 0.005
"""A task up to this long may wait in a worker's socket, where it cannot be taken back, behind the
one that runs.  Fetching the next only when one has ended costs some 0.3 ms on a busy machine: a
third of a task of 1 ms, 6 % of one of 5 ms."""

QUEUE_TIME_TARGET_S: Final = 0.040
"""How much work, by measured task time, a worker's leases should hold in all: covers a network
round trip and one turn of the host's loop."""

QUEUE_TASKS_MAX: Final = 1_024
"""Leases of one worker, however short its tasks are."""

QUEUE_BYTES_MAX: Final = 64 * MB
"""Payload bytes leased to one worker beyond the first task."""

ATTEMPTS_MAX: Final = 3
"""A task whose worker died while running it alone, this many times, has failed (Dask's
``allowed-failures`` is 3 too)."""

RETRIES_MAX: Final = 1_000
"""How often a job may have a task tried again that failed."""

QUARANTINE_S: Final = 300.0
"""For so long a job does without a node on which tasks fail that succeed elsewhere."""

CREDIT_TASKS: Final = 4_096
"""Submitted and not yet acknowledged tasks of one client, before workers are counted."""

CREDIT_TASKS_PER_WORKER: Final = 2 * QUEUE_TASKS_MAX
"""What each worker adds to that: its full queue, and as much again on the way."""

CREDIT_BYTES: Final = 256 * MB
"""Bytes of payloads and results that the host keeps for one client; a driver that does not
read pauses its own job, never the host."""

SHARED_PART_BYTES: Final = 256 * KB
SHARED_PART_BYTES_MAX: Final = 1 * MB
"""What a bulk connection carries at a time: large enough that a frame costs nothing beside it, and
small enough to say often how far it is."""

CLIENT_PATIENCE_S: Final = 60.0
"""How long a host keeps the jobs of a client whose connection broke, and a client looks for a host
that is gone: a restart of either, or a laptop that changes networks."""

JOBS_PER_CLIENT_MAX: Final = 16
"""Open at a time; a run or an Executor is one, and each has a client of its own."""

REFUSED_JOBS_MAX: Final = 1_000
"""Jobs that a client was refused and has not given up: it hears of that before it opens so many."""

AWAY_JOBS_MAX: Final = 1_000
AWAY_BYTES_MAX: Final = 2 * GB
"""Jobs that wait for their clients, and what they keep: twice the largest that one may have.  Of
more, those that have waited longest end; a client that comes back begins them anew."""

STRAY_JOBS_MAX: Final = 1_000
"""Jobs of an earlier host that wait for their clients; the same of those."""

WORKERS_PER_NODE_MAX: Final = 1_024
"""Far more than cores, which is what they are for."""

ENDED_JOBS_MAX: Final = 1_000
"""Jobs whose end a host remembers: a node that comes back with work of one is told at once."""

PAUSED_ABSENT_MAX: Final = 1_000
"""Paused nodes that were lost and are known again when they come back; each start of a participant
is another node."""

KILLED_MAX: Final = 1_000
"""Jobs, and as many nodes, that somebody killed: who did not hear it is told when it comes back."""

EPOCHS_MAX: Final = 10_000
"""Nodes and clients whose connections a host counts; each run of a script is one."""

EARLY_BYTES_MAX: Final = 256 * MB
"""Results that launchers deliver after a host's restart, before the client is back that wants
them; what is over is computed again."""

JOB_START_GRACE_S: Final = 5.0
"""A job starts when all announced workers have registered, or this long after the first."""

JOBS_PER_REPORT_MAX: Final = 32
"""A header holds as many, whatever they are called."""

MEDIAN_RESULTS_MIN: Final = 5
"""Results of a round that say what its tasks take, where that bounds the others."""

MEDIAN_TIMEOUT_S_MIN: Final = 1.0
"""No task is ended earlier because others were quicker: on a busy machine one of milliseconds may
wait some hundred of them for a processor."""

LOOK_INTERVAL_S: Final = 5.0
"""How often who waits for somebody looks whether he stood still himself meanwhile."""

RUNNING_NOTICE_S: Final = 5.0
"""A task that runs longer is named in the progress, and again so often."""

RETURN_DELAY_S_MAX: Final = 5.0
"""Cap of the back-off of a connection that somebody waits for."""

NOTICE_INTERVAL_S: Final = 5.0
"""How often a job that cannot go on says why."""

# -- values and scripts ----------------------------------------------------------------------

VALUE_DEPTH_MAX: Final = 64
"""Nesting of a value on the wire; msgpack's own limit is 1024, a person's data seldom 10."""

SCRIPT_BYTES_MAX: Final = 16 * MB
"""One source file of a bundle."""

BUNDLE_FILES_MAX: Final = 256
"""Modules that travel with one script."""

BUNDLES_BYTES_MAX: Final = 64 * MB
"""Lua sources of one job that client, host and node each keep beyond those of open tasks.  What has
not been used for longest is forgotten, and sent again when it is wanted again."""

BUNDLES_BYTES_MAX_OPEN: Final = 256 * MB
"""The same with those of open tasks, as much as their payloads: a client waits with the next
bundle until there is room; one that is larger goes alone."""

BUNDLES_BYTES_MAX_HOST: Final = 2 * BUNDLES_BYTES_MAX_OPEN
"""A host takes no more from a client: one that was away may have let go of others than the host
still needs."""

BUNDLES_BYTES_MAX_PROCESS: Final = 8 * MB
BUNDLES_MEMORY_SHARE_INVERSE: Final = 32
"""Likewise what a worker keeps compiled, and at most such a part of the memory of its Lua state:
compiled, a small function takes up to ten times the bytes of its source."""

BUNDLE_BYTES_EXTRA: Final = 1 * KB
"""What a bundle weighs beside its sources."""

DIGESTS_PER_FRAME_MAX: Final = 512
"""Of 66 bytes each: half a header."""

ERROR_MESSAGE_BYTES_MAX: Final = 4 * KB
TRACEBACK_BYTES_MAX: Final = 8 * KB
"""An error is read by a person; both texts together stay under one header."""

ARGUMENT_BYTES_MAX: Final = 48 * KB
"""All of a script's arguments with its path: they travel in one header."""

DURATION_S_MAX: Final = 1e9
"""Bound of a call that somebody asks for: thirty years are for ever."""

PRINT_BYTES_MAX: Final = 1 * MB
"""One printed text; the rest is cut and says so."""

PRINT_LINES_BURST: Final = 100_000
PRINT_LINES_PER_S: Final = 10_000
"""Printed texts of one worker: a whole table at once, and then as fast as a terminal scrolls; more
nobody reads, and all workers together would fill the connection to the client."""

PRINT_BYTES_BURST: Final = 16 * MB
PRINT_BYTES_PER_S: Final = 1 * MB
"""The same in bytes; what may come in a second holds the longest text."""

PERMITS_CHARACTERS_MAX: Final = 512
"""Of what a node says that its tasks may use: for people, in a line."""

ENGINES_SHOWN_MAX: Final = 8
"""Of a node; there are three."""

NODES_PER_REPORT_MAX: Final = 16
"""A header holds as many, however long their names are."""

COROUTINE_DEPTH_MAX: Final = 150
"""Nested resumes: LuaJIT dies with SIGSEGV on unbounded ones (LuaJIT#619)."""

# -- processes -------------------------------------------------------------------------------

UNSENT_RESULTS_BYTES: Final = 256 * KB
"""Results that a worker may have finished and not sent: where they fill it, they are sent, which
costs 20 us.  What is not used takes no memory."""

STATUS_PAGE_BYTES: Final = 64 * KB + UNSENT_RESULTS_BYTES
"""The sealed shared file between a worker and its launcher: what it runs, what it has not sent, and
its stderr."""

MEMORY_SHARE: Final = 0.8
"""Part of the usable RAM that workers and the script process may have together."""

MEMORY_BYTES_MAX: Final = 2**50
"""Of one Lua state: more than any machine has, and far from where a sum overflows."""

MEMORY_SLACK_BYTES: Final = 256 * MB
"""Between the soft limit (Lua's allocator) and the hard one (RLIMIT_DATA): Python, copies of a
payload in both worlds, and room to report the error."""

DRAIN_GRACE_S: Final = 30.0
"""What runs on a node that shall leave has so long to end: as long as Kubernetes waits, and a third
of what systemd does."""

RECONNECT_DELAY_S_MAX: Final = 30.0
"""Cap of the jittered back-off of a participant that looks for its host."""

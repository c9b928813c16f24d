"""Midas: a distributed executor for Lua.  One Lua file is a whole job.

The house, from the cellar up; imports go down only:

    wire/          floor 0   words: typed messages, framing, one peer's conversation         pure
    scheduler/     floor 1   mind: Scheduler.step(events, now) -> Ready                      pure
    transport/     floor 2   streams: TCP, socketpairs, memory; the event loop
    lua/           floor 2   Lua: runtime, bundles, and library/*.lua
    host/          floor 3   the coordinator: a shell around the scheduler
    participant/   floor 3   a node: launcher, zygote, confined workers
    client/        floor 4   a client of any host; a whole cluster in this process
    driver/        floor 5   the three-function job
    cli/           floor 6   arguments, printing, exit codes

One task's way:  generate_data (script process) → driver → client → host → launcher → worker:
execute_code, and its result back the same way into ``results``.
"""

__version__ = "0.1.0"

"""Payload buffers in shared memory of one node; see ``pool`` for how it lies there:

memfd      one sealed, sparse file without a name: nothing of it can ever be left behind
extents    which parts of it are free
forks      keep what forked processes see as it is
mapping    such a file in this process' memory, and views that keep their place
pool       the file of this process: ``share`` and ``allocate``
upkeep     gives back what of it lies idle
exchange   how two processes speak of buffers that neither sends
peers      the same where both make pools
farewells  keep what is read on when the connection has ended over which it came
sharing    keeps peers going in an event loop
door       where a host and those of its peers meet that are on its node

Frames do not come this way: references to what lies here travel in them, through ``transport``.
"""

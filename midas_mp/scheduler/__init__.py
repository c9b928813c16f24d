"""The mind of the host: decides who runs what, without clock, I/O or randomness.

``scheduler`` is the one door; ``events`` goes in and comes out; ``tables`` has the state
machines; ``records`` and ``state`` is what is remembered; ``nodes``, ``jobs`` and ``results``
take in what peers say; ``placement``, ``suspects`` and ``recall`` decide who gets what;
``losses`` brings leases back; ``status`` starts jobs and tells clients; ``invariants`` checks.
"""

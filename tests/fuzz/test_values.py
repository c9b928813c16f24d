"""Hostile results, read by a program: a value, or what the program is told; nothing else."""

from __future__ import annotations

import contextlib

from midas_mp.client import values
from midas_mp.errors import ProtocolError
from midas_mp.journal.digests import payload_digest
from midas_mp.testing.mutation import hostile_msgpack
from midas_mp.wire.messages import Failure


def payload(rng):
    buffers = [rng.randbytes(rng.choice((0, 8, 16, 24, 7))) for _ in range(rng.choice((0, 1, 2)))]
    views = [memoryview(each) if rng.happens(0.3) else each for each in buffers]
    return [hostile_msgpack(rng), *views]


def test_a_hostile_result_is_a_value_or_no_payload(fuzz):
    def case(rng):
        with contextlib.suppress(ProtocolError):
            values.unpack(payload(rng), raw=rng.happens(0.3))

    fuzz.run(case, 3_000)


def test_hostile_results_are_values_or_no_payloads(fuzz):
    def case(rng):
        payloads = [hostile_msgpack(rng) for _ in range(rng.randrange(4))]
        try:
            found = values.unpack_many(payloads)
        except ProtocolError:
            return
        assert len(found) == len(payloads)

    fuzz.run(case, 1_000)


def test_a_hostile_failure_is_a_failure_nevertheless(fuzz):
    def case(rng):
        failure = Failure.from_payload(hostile_msgpack(rng))
        assert len(failure.message) <= 8_192
        assert Failure.from_payload(failure.to_payload()) == failure

    fuzz.run(case, 1_000)


def test_whatever_generate_data_gave_has_a_digest(fuzz):
    def case(rng):
        assert any(payload_digest(payload(rng)))

    fuzz.run(case, 500)

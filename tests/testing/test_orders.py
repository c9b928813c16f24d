"""Tasks that say what they do, and results that say whose they are."""

from __future__ import annotations

from midas_mp.testing import orders as tasks
from midas_mp.testing.orders import Orders


def test_orders_come_back_from_their_payload_as_they_were():
    orders = Orders("job", 2, 17, 0.25, shared=True, crashes=1, fails=True, prints=3)
    assert tasks.decode(tasks.encode(orders)) == orders
    assert orders.name == ("job", 2, 17)


def test_every_task_has_an_answer_of_its_own():
    answers = {
        tasks.answer(Orders(title, round_, index, 0.1), shared)
        for title in "ab"
        for round_ in range(3)
        for index in range(5)
        for shared in ("", "1f")
    }
    assert len(answers) == 2 * 3 * 5 * 2


def test_an_answer_is_as_long_as_it_was_told_to_be():
    short = tasks.answer(Orders("job", 0, 0, 0.1), "")
    long = tasks.answer(Orders("job", 0, 0, 0.1, answer_bytes=5_000), "")
    assert len(long) > len(short) + 4_900


def test_a_bundle_is_its_number():
    assert tasks.bundle(3).digest == tasks.bundle(3).digest != tasks.bundle(4).digest


def test_shared_data_differ_from_round_to_round_and_have_their_size():
    payloads = [tasks.shared_payload("job", round_, 1_000) for round_ in range(3)]
    assert [sum(map(len, buffers)) for buffers in payloads] == [1_000] * 3
    assert len({tasks.fingerprint(buffers) for buffers in payloads}) == 3


def test_a_fingerprint_does_not_depend_on_how_the_bytes_are_cut():
    assert tasks.fingerprint([b"ab", b"c"]) == tasks.fingerprint([b"abc"])

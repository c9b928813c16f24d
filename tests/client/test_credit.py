"""Credit in tasks and in bytes."""

from midas_mp.client.credit import Credit


def credit(tasks: int = 4, size_bytes: int = 100) -> Credit:
    granted = Credit()
    granted.grant(tasks, size_bytes)
    return granted


def test_nothing_goes_before_the_host_has_granted_any() -> None:
    assert not Credit().allows(1)


def test_tasks_are_bounded_and_bytes_stop_what_follows() -> None:
    c = credit()
    c.charge(3, 99)
    assert (c.allows(1), c.allows(2), c.room) == (True, False, 1)
    c.charge(0, 1)
    assert not c.allows(1)
    c.refund(3, 100)
    assert (c.allows(4), c.room) == (True, 4)


def test_a_frame_larger_than_all_credit_goes_alone() -> None:
    c = credit(tasks=2, size_bytes=10)
    assert c.allows(5)
    c.charge(5, 1_000)
    assert not c.allows(1)


def test_a_later_grant_is_of_tasks_only_and_the_largest_is_remembered() -> None:
    c = credit(tasks=9)
    c.grant(2)
    c.charge(1, 99)
    assert (c.allows(1), c.room, c.tasks_max) == (True, 1, 9)


def test_without_a_connection_there_is_none() -> None:
    c = credit()
    c.charge(1, 1)
    c.clear()
    assert (c.allows(1), c.room, c.tasks_max) == (False, 0, 4)

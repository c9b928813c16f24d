from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from midas_mp.client.acknowledgements import Acknowledgements
from midas_mp.wire.messages import Acknowledge

CREDIT = 10


def test_what_is_unsaid_is_said_in_order_when_it_is_asked_for(run: Callable) -> None:
    async def main() -> None:
        said: list[Acknowledge] = []
        acknowledgements = Acknowledgements("j", said.append)
        acknowledgements.add(0, [1, 2], credit_tasks=CREDIT)
        acknowledgements.add(1, [0], credit_tasks=CREDIT)
        assert said == []
        acknowledgements.flush()
        assert said == [Acknowledge("j", 0, [1, 2]), Acknowledge("j", 1, [0])]
        acknowledgements.flush()
        assert len(said) == 2

    run(main())


def test_it_is_said_a_moment_later_by_itself(run: Callable) -> None:
    async def main() -> None:
        said: asyncio.Queue[Acknowledge] = asyncio.Queue()
        acknowledgements = Acknowledgements("j", said.put_nowait)
        for index in range(2):
            acknowledgements.add(0, [index], credit_tasks=CREDIT)
            assert await said.get() == Acknowledge("j", 0, [index])

    run(main())


@pytest.mark.parametrize("was_said", [True, False])
def test_another_host_hears_of_the_latest_again_once(run: Callable, was_said: bool) -> None:
    async def main() -> None:
        said: list[Acknowledge] = []
        acknowledgements = Acknowledgements("j", said.append)
        for index in range(CREDIT + 3):
            acknowledgements.add(0, [index], credit_tasks=CREDIT)
        if was_said:
            acknowledgements.flush()
            said.clear()
        acknowledgements.repeat()
        acknowledgements.flush()
        assert [message.indices for message in said] == [[index] for index in range(3, CREDIT + 3)]

    run(main())


def test_a_large_one_is_remembered_whole(run: Callable) -> None:
    async def main() -> None:
        said: list[Acknowledge] = []
        acknowledgements = Acknowledgements("j", said.append)
        acknowledgements.add(0, [0], credit_tasks=CREDIT)
        acknowledgements.add(0, range(1, CREDIT + 5), credit_tasks=CREDIT)
        acknowledgements.repeat()
        assert [len(message.indices) for message in said] == [CREDIT + 4]

    run(main())


def test_nothing_is_said_of_a_job_that_is_over(run: Callable) -> None:
    async def main() -> None:
        said: list[Acknowledge] = []
        acknowledgements = Acknowledgements("j", said.append)
        acknowledgements.add(0, [0], credit_tasks=CREDIT)
        acknowledgements.drop()
        assert acknowledgements._timer is None
        acknowledgements.flush()
        assert said == []

    run(main())

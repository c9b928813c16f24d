"""What is left of calls that wait."""

import pytest

from midas_mp.client.submission import Submission
from midas_mp.wire.messages import Call, RunTasks

BUFFERS = [b"a", b"b", b"b", b"d"]


def waiting() -> Submission:
    calls = [Call(0), Call(1, 0, 2), Call(2, 0, 0), Call(3)]
    return Submission(RunTasks("job", 4, 9, "0" * 64, "f", calls), BUFFERS)


@pytest.mark.parametrize(
    ("round_", "indices", "left", "buffers"),
    [
        (4, {1}, [0, 2, 3], [b"a", b"d"]),
        (4, {0, 2, 77}, [1, 3], [b"b", b"b", b"d"]),
        (4, {0, 1, 2, 3}, [], []),
        (4, {9}, [0, 1, 2, 3], BUFFERS),
        (5, {0}, [0, 1, 2, 3], BUFFERS),
    ],
)
def test_the_others_keep_their_buffers(round_, indices, left, buffers):
    submission = waiting()
    submission.cancel(round_, indices)
    assert [call.index for call in submission.order.calls] == left
    assert (submission.buffers, submission.count) == (buffers, len(left))


def test_an_order_is_not_changed_under_its_owner():
    submission = waiting()
    order = submission.order
    submission.cancel(4, {0})
    assert [call.index for call in order.calls] == [0, 1, 2, 3]

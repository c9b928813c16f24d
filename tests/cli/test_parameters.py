"""Words of the command line that become values."""

from __future__ import annotations

import click
import pytest

from midas_mp import limits
from midas_mp.cli.parameters import DURATION, ENGINE, NAMED, SIZE, TASKS, WORKERS
from midas_mp.config import TaskCount


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (DURATION, "1.5m", 90.0),
        (SIZE, "2MB", 2**21),
        (TASKS, "4x", TaskCount(4, is_per_worker=True)),
        (ENGINE, "5.4", "lua5.4"),
        (NAMED, "size=10", ("size", "10")),
        (NAMED, "_a1==b = c", ("_a1", "=b = c")),
        (NAMED, "empty=", ("empty", "")),
        (WORKERS, "7", 7),
        (WORKERS, " Auto ", None),
        (WORKERS, str(limits.WORKERS_PER_NODE_MAX), limits.WORKERS_PER_NODE_MAX),
    ],
)
def test_words_become_values(kind, text, value):
    assert kind.convert(text, None, None) == value


@pytest.mark.parametrize("kind", [DURATION, SIZE, TASKS, WORKERS])
def test_what_is_a_value_already_stays(kind):
    assert kind.convert(5, None, None) == 5


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "²", "1025", "all"])
def test_what_is_no_number_of_workers_is_wrong_usage(text):
    with pytest.raises(click.UsageError, match="write auto, or 1 to 1024"):
        WORKERS.convert(text, None, None)


@pytest.mark.parametrize("text", ["", "size", "=10", "1=2", "a b=c", "a-b=c", "ä=1"])
def test_what_is_no_argument_by_name_is_wrong_usage(text):
    with pytest.raises(click.UsageError, match="write it like size=10"):
        NAMED.convert(text, None, None)

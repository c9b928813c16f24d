from __future__ import annotations

import enum
import re
from typing import Any

import pytest

from midas_mp.errors import IllegalTransition
from midas_mp.scheduler import tables
from midas_mp.scheduler.tables import (
    JOB,
    NODE,
    STORY_EVENTS_MAX,
    TASK,
    WORKER,
    JobState,
    NodeState,
    Story,
    TaskState,
    WorkerState,
    advance,
)


class Subject:
    def __init__(self) -> None:
        self.state = JobState.QUEUED
        self.story = Story()
        self.label = "job j"


def test_advance_follows_the_table_and_keeps_the_story() -> None:
    subject = Subject()
    advance(subject, JOB, "start", 1.5, 4)
    assert subject.state is JobState.STARTED
    assert subject.story.tell() == ["1.500 start 4"]


def test_an_illegal_transition_tells_the_story() -> None:
    subject = Subject()
    advance(subject, JOB, "end", 2.0, "enough")
    with pytest.raises(IllegalTransition) as caught:
        advance(subject, JOB, "start", 3.0)
    assert caught.value.story == ("2.000 end enough",)
    assert str(caught.value) == (
        "job j: no transition from 'ended' on 'start'; before that: 2.000 end enough"
    )
    assert subject.state is JobState.ENDED


def test_a_story_keeps_the_last_events() -> None:
    story = Story()
    for number in range(STORY_EVENTS_MAX + 5):
        story.add(float(number), "lease")
    assert len(story.tell()) == STORY_EVENTS_MAX
    assert story.tell()[0] == "5.000 lease"


@pytest.mark.parametrize(
    ("table", "states", "first"),
    [
        (NODE, NodeState, NodeState.CONNECTED),
        (WORKER, WorkerState, WorkerState.NEW),
        (JOB, JobState, JobState.QUEUED),
        (TASK, TaskState, TaskState.WAITING),
    ],
)
def test_every_state_can_be_reached(table: Any, states: type[enum.StrEnum], first: Any) -> None:
    reached = {first}
    for _ in states:
        reached |= {row[state] for row in table.values() for state in reached & set(row)}
    assert reached == set(states)


def test_the_picture_names_every_trigger_and_state() -> None:
    words = set(re.findall(r"\w+", tables.__doc__ or ""))
    for table in (NODE, WORKER, JOB, TASK):
        for trigger, row in table.items():
            assert trigger in words
            assert {state.value for state in row.values()} <= words

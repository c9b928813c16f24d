"""What a map is over."""

from __future__ import annotations

import itertools

import pytest

from midas_mp.executor.items import Intake, Items


def test_one_iterable_gives_its_items_as_they_are():
    items = Items.parallel([[(1, 2), "x"]])
    assert items.arity == 1
    assert items.take() == [(1, 2), "x"]
    assert items.take() == []


def test_several_are_taken_side_by_side_up_to_the_shortest():
    items = Items.parallel([range(3), "abcdef"])
    assert items.arity == 2
    assert items.take() == [0, "a", 1, "b", 2, "c"]


def test_so_many_are_taken_as_are_wanted():
    items = Items.parallel([itertools.count(), itertools.count(10)])
    assert items.take(2) == [0, 10, 1, 11]
    assert items.take(1) == [2, 12]


def test_rows_are_flattened():
    items = Items.rows(iter([(1, 2), [3, 4]]))
    assert items.arity == 2
    assert items.take() == [1, 2, 3, 4]
    assert Items.rows([(1,), (2,)]).take() == [1, 2]
    assert Items.rows([]).take() == []


@pytest.mark.parametrize("rows", [[(1, 2), (1,)], [(1,), (1, 2)], [(1, 2), (1,), (1, 2, 3)]])
def test_rows_are_of_one_length(rows):
    with pytest.raises(ValueError, match="rows of one length"):
        Items.rows(rows).take()


def test_what_cannot_be_mapped_over_is_refused():
    with pytest.raises(TypeError, match="at least one iterable"):
        Items.parallel([])
    with pytest.raises(TypeError):
        Items.parallel([1])
    with pytest.raises(ValueError, match="at least one argument"):
        Items.rows([()])
    with pytest.raises(TypeError):
        Items.rows([1])


# -- as they are read ------------------------------------------------------------------------------


def test_without_a_buffer_all_are_taken_at_once():
    intake = Intake(Items.parallel([range(5), range(5)]), None)
    assert intake.total is None
    assert intake.take(0, is_waiting=True) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert (intake.taken, intake.total) == (5, 5)
    assert intake.take(5, is_waiting=True) is None


def test_a_buffer_is_filled_and_refilled_in_parts():
    intake = Intake(Items.parallel([itertools.count()]), 16)
    assert intake.take(0, is_waiting=True) == [*range(16)]
    assert intake.take(0, is_waiting=True) is None, "it is full"
    assert intake.take(1, is_waiting=False) is None, "too little is free to be worth it"
    assert intake.take(2, is_waiting=False) == [16, 17]
    assert intake.take(3, is_waiting=True) == [18], "nothing else can be done"
    assert intake.total is None


def test_a_small_buffer_is_refilled_item_by_item():
    intake = Intake(Items.parallel([range(4)]), 2)
    taken = [intake.take(given, is_waiting=False) for given in range(4)]
    assert taken == [[0, 1], [2], [3], []]
    assert intake.total == 4

"""What a map is over."""

from __future__ import annotations

import itertools

import pytest

from midas_mp.executor.items import Items


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

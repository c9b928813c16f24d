from __future__ import annotations

import copy
import pickle  # noqa: TID251 - what others do with our errors

import pytest

from midas_mp import BrokenCluster, ExecutorClosed, errors
from midas_mp.errors import IllegalTransition, MidasError, PeerRefused, ScriptError

CLASSES = [c for c in vars(errors).values() if isinstance(c, type) and issubclass(c, MidasError)]
OUTER = [BrokenCluster, ExecutorClosed]
"""Those of upper floors."""


def test_codes_are_unique():
    assert len({c.code for c in CLASSES}) == len(CLASSES)


def test_the_tree_in_the_docstring_names_every_class():
    assert errors.__doc__ is not None
    assert [c.__name__ for c in CLASSES if c.__name__ not in errors.__doc__] == []


@pytest.mark.parametrize("kind", CLASSES)
def test_exit_codes_tell_whose_fault_it_is(kind):
    by_root = {"UsageError": 2, "ScriptError": 1, "PeerError": 3, "WorldError": 4}
    roots = [by_root[c.__name__] for c in kind.__mro__ if c.__name__ in by_root]
    assert [kind.exit_code] == (roots or [70])


def test_a_script_error_says_where():
    error = ScriptError(
        "runtime", "x.lua:3: oops", "stack", function="execute_code", index=17, worker="pc-000"
    )
    assert str(error) == "execute_code, task 17, on pc-000: x.lua:3: oops\nstack"
    error.excerpt = "3 | oops()"
    assert str(error).splitlines()[1:] == ["  3 | oops()", "stack"]
    assert str(ScriptError("syntax", "x.lua:1: oops")) == "x.lua:1: oops"


def test_an_illegal_transition_tells_the_story():
    error = IllegalTransition("worker w", "idle", "finish", ["registered", "leased"])
    assert str(error) == (
        "worker w: no transition from 'idle' on 'finish'; before that: registered | leased"
    )
    assert "before" not in str(IllegalTransition("worker w", "idle", "finish"))


def test_a_refusal_is_its_reason():
    assert str(PeerRefused("upgrade", refusal="version")) == "upgrade"


def examples():
    made = {
        ScriptError: ScriptError(
            "runtime", "x.lua:3: oops", "stack", function="execute_code", index=17, item=2
        ),
        PeerRefused: PeerRefused("upgrade", refusal="version"),
        IllegalTransition: IllegalTransition("worker w", "idle", "finish", ["registered"]),
    }
    return [made.get(kind) or kind("what happened") for kind in [*CLASSES, *OUTER]]


@pytest.mark.parametrize("error", examples(), ids=lambda error: type(error).__name__)
def test_errors_can_be_copied_and_sent_to_other_processes(error):
    """As other tools do it: pools of processes, test runners."""
    copies = [copy.copy(error), copy.deepcopy(error), pickle.loads(pickle.dumps(error))]
    for other in copies:
        assert type(other) is type(error)
        assert (str(other), vars(other)) == (str(error), vars(error))

"""The shape of the house, where a program can check it."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "midas_mp"
TESTS = ROOT / "tests"

WITHOUT_TEST = {
    "__init__.py": "says what a room is",
    "__main__.py": "calls the command line",
    "limits.py": "numbers, each with its reason",
    "client/engine.py": "interfaces only",
    "driver/view.py": "interfaces only",
    "participant/node_settings.py": "fields only",
}
"""Modules that have no test of their own, by name or path below the package."""

WITHOUT_MODULE = {
    "chaos/test_frozen.py": "is about all kinds of processes",
    "chaos/test_nothing_left.py": "is about all processes at once",
    "cli/test_refusals.py": "is about all commands, and both ends of a refusal",
    "conformance/test_conformance.py": "is about the script contract as a whole",
    "hostile/test_hostile.py": "is about the sandbox as a whole, and runs hostile/*.lua",
    "fuzz/test_floods.py": "is about a real host and those who say too much",
    "fuzz/test_host.py": "is about a real host among liars",
    "fuzz/test_journal.py": "is about hostile files",
    "fuzz/test_joining.py": "is about both ends of it, and somebody in between",
    "fuzz/test_lua.py": "is about hostile payloads and sources, in Lua",
    "fuzz/test_lying_host.py": "is about real programs at a host that lies",
    "fuzz/test_peers_of_a_host.py": "is about nodes and clients of a host that lies",
    "fuzz/test_scheduler.py": "is about the whole scheduler, among liars",
    "fuzz/test_values.py": "is about hostile results",
    "fuzz/test_wire.py": "is about hostile bytes on a connection",
    "fuzz/test_workers.py": "is about workers that lie",
    "test_benchmarks.py": "is about the report of benchmarks/",
    "test_docs.py": "is about docs/",
    "test_examples.py": "is about examples/",
    "test_readme.py": "is about README.md",
    "test_supply.py": "is about what midas_mp is made of",
    "test_structure.py": "is about all of them",
    "lua/library/test_forms.py": "is about calls.lua with arguments and batches",
    "scheduler/test_chaos.py": "is about the whole scheduler, in a simulated cluster",
    "scheduler/test_transcripts.py": "is about the whole scheduler, and runs transcripts/*.txt",
}
"""Tests of no single module, by name or path below tests/."""

DRAWERS = {"utils", "util", "helpers", "common", "misc", "base", "core"}

IMPURE = {
    *("asyncio", "datetime", "logging", "os", "pathlib", "random", "secrets", "selectors"),
    *("shutil", "signal", "socket", "ssl", "subprocess", "tempfile", "threading", "time", "uuid"),
}

TEST_COMMAND = (
    "python3 -m venv .venv && .venv/bin/pip install -q -e '.[test]' && .venv/bin/pytest -n auto"
)


def below(folder: Path, pattern: str) -> list[str]:
    found = (path for path in folder.rglob(pattern) if "__pycache__" not in path.parts)
    return sorted(path.relative_to(folder).as_posix() for path in found)


def is_excepted(path: str, exceptions: dict[str, str]) -> bool:
    return path in exceptions or Path(path).name in exceptions


def tree_of(path: str) -> ast.Module:
    return ast.parse((PACKAGE / path).read_text(encoding="utf-8"), filename=path)


MODULES = below(PACKAGE, "*.py")


@pytest.mark.parametrize("module", [m for m in MODULES if not is_excepted(m, WITHOUT_TEST)])
def test_every_module_has_a_test(module):
    path = Path(module)
    assert (TESTS / path.parent / f"test_{path.name}").exists()


@pytest.mark.parametrize(
    "test", [t for t in below(TESTS, "test_*.py") if not is_excepted(t, WITHOUT_MODULE)]
)
def test_every_test_has_a_module(test):
    path = Path(test)
    module = PACKAGE / path.parent / path.name.removeprefix("test_")
    assert module.exists() or module.with_suffix(".lua").exists()


def test_exceptions_are_about_files_that_exist():
    names = {Path(m).name for m in MODULES} | set(MODULES)
    tests = {Path(t).name for t in below(TESTS, "*.py")} | set(below(TESTS, "*.py"))
    assert set(WITHOUT_TEST) <= names
    assert set(WITHOUT_MODULE) <= tests


def test_there_are_no_drawers():
    assert [m for m in MODULES if {*Path(m).with_suffix("").parts} & DRAWERS] == []


def test_class_names_are_unique():
    places = defaultdict(list)
    for module in MODULES:
        for node in ast.walk(tree_of(module)):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(module)
    assert {name: where for name, where in places.items() if len(where) > 1} == {}


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


@pytest.mark.parametrize("module", [m for m in MODULES if m.startswith(("wire/", "scheduler/"))])
def test_pure_floors_import_nothing_impure(module):
    assert {name.split(".")[0] for name in imported(tree_of(module))} & IMPURE == set()


def strings_that_are_not_docstrings(tree: ast.Module) -> Iterator[str]:
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in bare:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield node.value.decode("latin-1")


LUA = re.compile(r"\bfunction\b.*\bend\b|\blocal\s+\w+\s*=|\bthen\b.*\bend\b", re.DOTALL)


@pytest.mark.parametrize("module", MODULES)
def test_lua_lives_in_lua_files(module):
    texts = strings_that_are_not_docstrings(tree_of(module))
    assert [text for text in texts if text.count("\n") > 1 and LUA.search(text)] == []


def test_the_readme_gives_the_command_that_ci_runs():
    printed = subprocess.run(
        [ROOT / ".ci" / "run", "--print"], capture_output=True, text=True, check=True
    )
    assert printed.stdout.strip() == TEST_COMMAND
    assert TEST_COMMAND in (ROOT / "README.md").read_text(encoding="utf-8")

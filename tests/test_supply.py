"""What must not come in: libraries with known holes, and ways in which data becomes code.

ruff's rules say the same of midas_mp (S102, S301, S307, S602, S506 …) as long as nobody silences
them; here nobody can.
"""

from __future__ import annotations

import ast
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = sorted(
    path for folder in ("midas_mp", "docs", "examples") for path in (ROOT / folder).rglob("*.py")
)

UNPICKLERS = {
    *("pickle", "cPickle", "_pickle", "dill", "cloudpickle", "marshal", "shelve", "jsonpickle"),
    *("joblib", "yaml"),
}
"""Whoever reads with these runs what others wrote."""

EVALUATORS = {"eval", "exec", "compile", "__import__"}

SHELLS = {("os", "system"), ("os", "popen"), ("subprocess", "getoutput")}

PINNED = {"msgpack": (1, 2, 1)}
"""CVE-2026-57585: before, an unpacker that was used again after an error crashed."""


def faults(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                found += [alias.name for alias in names if alias.name.split(".")[0] in UNPICKLERS]
            case ast.ImportFrom(module=str(module)) if module.split(".")[0] in UNPICKLERS:
                found.append(module)
            case ast.Call(func=ast.Name(id=name)) if name in EVALUATORS:
                found.append(name)
            case ast.Attribute(value=ast.Name(id=module), attr=name) if (module, name) in SHELLS:
                found.append(f"{module}.{name}")
            case ast.keyword(arg="shell", value=value) if not (
                isinstance(value, ast.Constant) and value.value is False
            ):
                found.append("shell=")
    return found


def test_no_data_becomes_code():
    assert len(SOURCES) > 200
    found = {
        path.relative_to(ROOT).as_posix(): faults(ast.parse(path.read_text(encoding="utf-8")))
        for path in SOURCES
    }
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "import dill.source as d",
        "eval('1')",
        "exec(text)",
        "os.system('x')",
        "subprocess.run('x', shell=True)",
        "subprocess.run('x', shell=flag)",
    ],
)
def test_what_would_make_code_of_data_is_found(source):
    assert len(faults(ast.parse(source))) == 1


def as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:3])


@pytest.mark.parametrize("name", PINNED)
def test_libraries_with_known_holes_are_too_old_for_us(name):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (wanted,) = [
        text.removeprefix(f"{name}>=")
        for text in project["project"]["dependencies"]
        if text.startswith(f"{name}>=")
    ]
    assert as_numbers(wanted) >= PINNED[name]
    assert as_numbers(metadata.version(name)) >= PINNED[name]

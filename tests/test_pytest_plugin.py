"""What pytest finds where Midas is installed."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import psutil
import pytest

pytest_plugins = "pytester"

OTHER_PLUGINS = ("benchmark", "hypothesispytest", "timeout", "xdist")
"""Of this environment; they take longer to start than all else that happens here."""

SLOW_TO_IMPORT = {"asyncio", "lupa", "msgpack", "msgspec", "numpy", "psutil", "uvloop"}


ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The entry points that pyproject.toml tells, also where what was installed is older."""
    folder = tmp_path / "midas_entry_points-0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: midas-entry-points\nVersion: 0\n"
    )
    lines = [f"{name} = {place}" for name, place in PROJECT["entry-points"]["pytest11"].items()]
    (folder / "entry_points.txt").write_text("\n".join(["[pytest11]", *lines]))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")


@pytest.fixture
def finish(installed, pytester, tmp_path, monkeypatch):
    """Runs the tests of somebody's program in a process of their own, which leaves none behind."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))

    def run(source, *options):
        pytester.makepyfile(source)
        others = [word for name in OTHER_PLUGINS for word in ("-p", f"no:{name}")]
        result = pytester.runpytest_subprocess("-q", *others, *options)
        _, alive = psutil.wait_procs(
            [process for process in psutil.process_iter() if is_of(process, tmp_path)], timeout=30
        )
        assert alive == []
        return result

    return run


def is_of(process, folder):
    try:
        return process.environ().get("TMPDIR") == str(folder)
    except psutil.Error:
        return False


def test_an_executor_is_shared_by_all_tests_of_a_session(finish):
    result = finish(
        """
        import pytest

        seen = []

        @pytest.mark.parametrize("number", [3, 4])
        def test_squares(midas_executor, number):
            seen.append(midas_executor)
            squares = midas_executor.map("function(x) return x * x end", range(number))
            assert list(squares) == [0, 1, 4, 9][:number]

        def test_one_for_all(midas_executor):
            assert seen == [midas_executor, midas_executor]
            assert midas_executor.map("function() return midas.count end", [0])
            midas_executor.submit("function() while true do end end")
        """,
        "-W",
        "error",
    )
    result.assert_outcomes(passed=3)


def test_a_cluster_is_each_tests_own(finish):
    result = finish(
        """
        import midas_mp

        NODE = "function() return midas.node end"

        def test_a_lost_node(midas_cluster):
            midas_cluster.participants[0].kill()
            with midas_cluster.executor() as executor:
                assert executor.submit(NODE).result() == "node-1"

        def test_another(midas_cluster):
            assert all(node.is_alive for node in midas_cluster.participants)
        """,
        "-W",
        "error",
    )
    result.assert_outcomes(passed=2)


def test_the_readme_shows_both(finish):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    (shown,) = [block for block in blocks if "midas_executor" in block]
    finish(shown, "-W", "error").assert_outcomes(passed=2)


def test_they_are_told_of(finish):
    result = finish("", "--fixtures")
    result.stdout.fnmatch_lines(
        ["*midas_executor * scope*", "*two workers*", "*midas_cluster*", "*may do it harm*"]
    )


def test_it_costs_nothing_where_nobody_uses_it(finish):
    result = finish(
        f"""
        import sys

        def test_imports():
            assert "midas_mp.pytest_plugin" in sys.modules
            assert set(sys.modules) & {SLOW_TO_IMPORT} == set()
            assert [name for name in sys.modules if name.startswith("midas_mp")] == [
                "midas_mp", "midas_mp.pytest_plugin"
            ]
        """,
    )
    result.assert_outcomes(passed=1)


def test_it_may_be_left_out(finish):
    result = finish("def test_it(midas_executor): pass", "-p", "no:midas_mp")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines("*fixture 'midas_executor' not found*")

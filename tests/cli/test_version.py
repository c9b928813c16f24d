"""``midas --version``."""

from __future__ import annotations

import os

from midas_mp import __version__
from midas_mp.lua.engines import ENGINES
from midas_mp.permissions import SANDBOX_LEVELS


def test_the_release_the_engines_and_the_sandbox_level_are_told(midas):
    ended = midas("--version")
    assert (ended.code, ended.err) == (0, "")
    release, engines, level = ended.out.splitlines()
    assert release == f"midas, version {__version__}"
    assert engines == "Lua engines: " + ", ".join(ENGINES)
    assert level.removeprefix("sandbox level: ") in SANDBOX_LEVELS


def test_a_machine_that_cannot_run_workers_says_so(midas, tmp_path):
    """Such as one where Python itself starts no second time."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nif 'zygote_process' in ' '.join(sys.orig_argv): sys.exit('broken here')\n"
    )
    ended = midas("--version", env={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert ended.code == 0
    assert f"midas, version {__version__}\nno worker can be started here: " in ended.out
    assert "Traceback" not in ended.err

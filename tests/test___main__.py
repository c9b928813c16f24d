"""``python -m midas_mp``."""

from midas_mp import __version__


def test_the_package_runs_as_the_command(midas):
    assert midas("--version").out.startswith(f"midas, version {__version__}\n")
    ended = midas("frob")
    assert ended.code == 2
    assert ended.err.startswith("Usage: midas [OPTIONS]")

"""``python -m midas_mp`` is the command ``midas``."""

from midas_mp.cli.main import main

main()

"""Where Midas stands, beside what one would use instead and what the machine allows.

    pip install -e '.[bench]'
    pytest benchmarks --benchmark-json=run.json      # --quick: everything once, in little
    python -m benchmarks.report run.json …           # → benchmarks/RESULTS.md and results/*.svg

One question to a file (``test_*.py``).  A *way* (``ways/``) is something that can do the work:
Midas, another library, or the bare machine as the limit.  All ways of a question do the same work
(``work.py``, ``work.lua``) on the same number of warm workers and give the same answers.
"""

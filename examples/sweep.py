"""Where is the logistic map chaotic?  A sweep over its parameter, one Lua call for each value.

    python examples/sweep.py [VALUES]

x -> r x (1 - x) is chaotic where the mean of ln |r (1 - 2 x)| along its way, the Lyapunov exponent,
is above zero.  A loop of ten thousand steps that cannot be written as operations on arrays: slow in
Python, and what LuaJIT is good at.
"""

import itertools
import sys

import numpy as np

import midas_mp

EXPONENT = """
function(r, steps)
  local x, sum = 0.4, 0
  for _ = 1, steps do
    sum = sum + math.log(math.abs(r * (1 - 2 * x)))
    x = r * x * (1 - x)
  end
  return sum / steps
end
"""


def main(count: int = 5000, steps: int = 10_000) -> None:
    rates = np.linspace(3.4, 4.0, count)
    with midas_mp.Executor() as executor:
        calls = executor.map(EXPONENT, rates, itertools.repeat(steps), progress=sys.stderr.isatty())
        exponents = np.fromiter(calls, float, count)
    print(f"chaotic at {(exponents > 0).mean():.1%} of {count} values of r from 3.4 to 4")
    strongest = exponents.argmax()
    print(f"most of all at r = {rates[strongest]:.4f}: exponent {exponents[strongest]:.4f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))

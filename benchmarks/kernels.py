"""The kernels of ``kernels.lua`` as one would write them in Python."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


def sieve(n: int) -> int:
    composite = [False] * n
    count = 0
    for i in range(2, n):
        if not composite[i]:
            count += 1
            for j in range(i * i, n, i):
                composite[j] = True
    return count


def mandelbrot(n: int) -> int:
    total = 0
    for row in range(n):
        ci = 2 * row / n - 1
        for column in range(n):
            cr = 2 * column / n - 1.5
            zr = zi = 0.0
            steps = 0
            while steps < 50 and zr * zr + zi * zi < 4:
                zr, zi = zr * zr - zi * zi + cr, 2 * zr * zi + ci
                steps += 1
            total += steps
    return total


def fib(n: int) -> int:
    return n if n < 2 else fib(n - 1) + fib(n - 2)


@dataclass(slots=True)
class Body:
    x: float
    y: float
    z: float
    vx: float
    vy: float
    vz: float
    mass: float


def nbody(n: int) -> float:
    bodies = [
        Body(0, 0, 0, 0, 0, 0, 40),
        Body(5, -1, -0.1, 0.6, 2.8, -0.02, 0.04),
        Body(8, 4, -0.4, -1, 1.8, 0.01, 0.01),
        Body(13, -15, -0.2, 1.1, 0.9, -0.01, 0.002),
        Body(15, -26, 0.2, 1, 0.6, -0.03, 0.002),
    ]
    dt = 0.001
    for _ in range(n):
        for i, a in enumerate(bodies):
            for b in bodies[i + 1 :]:
                dx, dy, dz = a.x - b.x, a.y - b.y, a.z - b.z
                d2 = dx * dx + dy * dy + dz * dz
                pull = dt / (d2 * math.sqrt(d2))
                a.vx -= dx * b.mass * pull
                a.vy -= dy * b.mass * pull
                a.vz -= dz * b.mass * pull
                b.vx += dx * a.mass * pull
                b.vy += dy * a.mass * pull
                b.vz += dz * a.mass * pull
        for a in bodies:
            a.x += dt * a.vx
            a.y += dt * a.vy
            a.z += dt * a.vz
    return bodies[0].x


def strings(n: int) -> int:
    words = [f"word {i % 1000}".upper()[:7] + str(i % 10) for i in range(1, n + 1)]
    return len(" ".join(words))


KERNELS: dict[str, Callable[[int], float]] = {
    "sieve": sieve,
    "mandelbrot": mandelbrot,
    "fib": fib,
    "nbody": nbody,
    "strings": strings,
}

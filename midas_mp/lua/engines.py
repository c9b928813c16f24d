"""The engines of lupa's that Midas offers: the only module that imports lupa.

Those of 5.1 and of LuaJIT 2.0 crash on plain source; 5.2 and 5.3 would add names only.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any, Final

from midas_mp.errors import UsageError

_MODULES: Final = {"luajit": "lupa.luajit21", "lua5.4": "lupa.lua54", "lua5.5": "lupa.lua55"}


def _import_engines() -> dict[str, Any]:
    """All that this installation has: a confined process can import none later."""
    engines = {}
    for name, module in _MODULES.items():
        with suppress(ImportError):
            engines[name] = importlib.import_module(module)
    return engines


_ENGINES: Final = _import_engines()

ENGINES: Final = tuple(_ENGINES)
"""What jobs may ask for here."""


def engine(name: str) -> Any:
    """Lupa's module of that engine.

    Raises:
        UsageError: it is not here.
    """
    if name not in _ENGINES:
        offered = ", ".join(ENGINES)
        raise UsageError(f"there is no engine {name} here; there is {offered}")
    return _ENGINES[name]

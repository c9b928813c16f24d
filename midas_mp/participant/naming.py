"""What a node is called when nobody says."""

from __future__ import annotations

import socket
from typing import Final

NAME_LENGTH_MAX: Final = 64


def node_name() -> str:
    """Short host name of this machine, made safe for names of workers."""
    short = socket.gethostname().split(".")[0]
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in short)
    return safe[:NAME_LENGTH_MAX] or "node"

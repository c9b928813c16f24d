"""Where a buffer lies in memory, for those who read it there.

The prototypes are our own: to set them on ``ctypes.pythonapi`` would change them for the whole
program.
"""

from __future__ import annotations

import ctypes
from typing import Final

from midas_mp.wire.framing import Buffer


class _HeldView(ctypes.Structure):
    """Py_buffer of the stable ABI."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.c_void_p),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_PYBUF_SIMPLE: Final = 0
_view_p: Final = ctypes.POINTER(_HeldView)
_get_buffer: Final = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, _view_p, ctypes.c_int)(
    ("PyObject_GetBuffer", ctypes.pythonapi)
)
_release_buffer: Final = ctypes.PYFUNCTYPE(None, _view_p)(("PyBuffer_Release", ctypes.pythonapi))


class HeldBuffer:
    """A contiguous buffer that neither moves nor ends until it is released.

    Attributes:
        address: where it begins.
        size_bytes: how long it is.
    """

    __slots__ = ("_view", "address", "size_bytes")

    def __init__(self, buffer: Buffer) -> None:
        """Holds it.

        Raises:
            BufferError: it is not contiguous.
        """
        self._view = _HeldView()
        _get_buffer(buffer, ctypes.byref(self._view), _PYBUF_SIMPLE)
        self.address: int = self._view.buf or 0
        self.size_bytes: int = self._view.len

    def release(self) -> None:
        """Lets go of it; once."""
        _release_buffer(ctypes.byref(self._view))

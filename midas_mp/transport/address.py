"""Where a host listens: ``HOST:PORT``, as people type it."""

from __future__ import annotations

import ipaddress
from typing import Final, NamedTuple

from midas_mp.errors import UsageError

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 3000
PORT_MAX: Final = 65_535

_FORMS: Final = "write HOST:PORT, [IPV6]:PORT, :PORT or HOST"


class Address(NamedTuple):
    """A host and a port; an empty host means all interfaces of this machine."""

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT

    @classmethod
    def parse(cls, text: str) -> Address:
        """The address that was meant; what is left out has its default.

        Raises:
            UsageError: says what is wrong and which forms there are.
        """
        text = text.strip()
        if not text:
            return cls()
        host, port = _split(text)
        if port is None:
            return cls(_checked_host(host, text))
        return cls(_checked_host(host, text) if host else "", _checked_port(port, text))

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host.lower() == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _split(text: str) -> tuple[str, str | None]:
    """Host and port as text; the port is None where there is none."""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")) or ":" not in host:
            raise UsageError(f"{text!r} is not an address: {_FORMS}")
        return host, rest[1:] if rest else None
    if text.count(":") > 1:
        try:
            ipaddress.IPv6Address(text)
        except ValueError:
            raise UsageError(f"{text!r} is not an address: {_FORMS}") from None
        return text, None
    host, colon, port = text.partition(":")
    return host, port if colon else None


def _checked_host(host: str, text: str) -> str:
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            raise UsageError(f"{host!r} in {text!r} is not an IPv6 address") from None
        return host
    if host.isascii() and host.isdigit():
        raise UsageError(f"{text!r} has no host name: for a port alone write ':{host}'")
    if not all(c.isalnum() or c in "-._" for c in host):
        raise UsageError(f"{text!r} is not an address: {_FORMS}")
    return host


def _checked_port(port: str, text: str) -> int:
    if not (port.isascii() and port.isdigit()) or len(port) > len(str(PORT_MAX)):
        raise UsageError(f"{port!r} in {text!r} is not a port number: {_FORMS}")
    number = int(port)
    if number > PORT_MAX:
        raise UsageError(f"port {number} in {text!r} is over {PORT_MAX}")
    return number

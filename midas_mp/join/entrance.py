"""How a host lets others in, by the address where it listens."""

from __future__ import annotations

import socket
import ssl
from typing import Final, NamedTuple

from midas_mp.errors import UsageError
from midas_mp.join.identity import Identity, own_identity
from midas_mp.join.ledger import Kind, Ledger
from midas_mp.join.local import LocalKeyring, local_key
from midas_mp.join.tls import NO_FILES, TlsFiles, host_context
from midas_mp.join.token import JoinToken
from midas_mp.transport.address import Address
from midas_mp.transport.reception import EVERYBODY, Entry

STANDING_LABEL: Final = "midas host"
"""Of the tokens that a host makes by itself, once."""

_BRING_ONE: Final = "others set MIDAS_TOKEN to what 'midas token new' prints for its user"
_SAY_SO: Final = "others say --insecure, as it was started with, if they trust it"

_ELSEWHERE: Final = ("192.0.2.1", 9)
"""An address for documentation: no packet is sent there."""


class Entrance(NamedTuple):
    """What a host needs to know.

    Attributes:
        entry: for its listener.
        identity: what it shows to those who come by TLS; None if none can.
    """

    entry: Entry
    identity: Identity | None = None

    @property
    def wants_certificates(self) -> bool:
        """Whether peers must show one, too."""
        tls = self.entry.tls
        return tls is not None and tls.verify_mode is ssl.CERT_REQUIRED

    def token(self, kind: Kind) -> str | None:
        """What to give to such peers; the same every time.  None where tokens are of no use."""
        if self.identity is None:
            return None
        record = Ledger().standing(kind, label=STANDING_LABEL)
        return JoinToken(record.secret, self.entry.certificate).text


def make_entrance(
    address: Address, *, tls: TlsFiles = NO_FILES, is_insecure: bool = False
) -> Entrance:
    """On loopback this user's processes come in plain; elsewhere whoever has a token, by TLS.

    Raises:
        UsageError: what was said makes no sense, or there is no place to keep secrets.
    """
    if is_insecure:
        if tls != NO_FILES:
            raise UsageError("--insecure goes without certificates")
        return Entrance(Entry(local=LocalKeyring(_SAY_SO), is_open=True, for_others=_SAY_SO))
    local_key()  # made now, not when somebody asks for it: what is wrong with it is told here
    identity = tls.identity
    if identity is None:
        if tls.authority is not None:
            raise UsageError("--tls-ca of a host goes with --tls-cert")
        if address.is_loopback:
            return Entrance(Entry(local=LocalKeyring(EVERYBODY.for_others)))
        identity = own_identity()
    entry = Entry(
        local=LocalKeyring(_BRING_ONE),
        for_others=_BRING_ONE,
        tokens=Ledger(),
        tls=host_context(identity, tls.authority),
        certificate=identity.fingerprint(),
    )
    return Entrance(entry, identity)


def name_for_others(address: Address) -> str:
    """What to type on another machine."""
    host = address.host
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - not listened at here
        host = _own_address() or socket.gethostname()
    return str(address._replace(host=host))


def _own_address() -> str | None:
    """That of the interface by which this machine reaches others, if any."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(_ELSEWHERE)
        except OSError:
            return None
        return str(sock.getsockname()[0])

"""How TLS is spoken: 1.3, and nothing older.

A host shows its certificate; a peer knows it by its fingerprint, which a token carries, or where a
site has an authority of its own, by that and the host's name.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Final, NamedTuple

from midas_mp.errors import UsageError
from midas_mp.join import state
from midas_mp.join.identity import Identity
from midas_mp.transport.handshake import Handshake


class TlsFiles(NamedTuple):
    """What a site with authorities of its own gives, all in PEM; else nothing.

    Attributes:
        certificate: what this side shows.
        key: of that certificate, unless it is in the same file.
        authority: whom the other side's certificate must be signed by.
    """

    certificate: Path | None = None
    key: Path | None = None
    authority: Path | None = None

    @property
    def identity(self) -> Identity | None:
        """What this side shows.

        Raises:
            UsageError: a key without a certificate.
        """
        if self.certificate is None:
            if self.key is not None:
                raise UsageError("--tls-key goes with --tls-cert")
            return None
        return Identity(self.certificate, self.key)


NO_FILES: Final = TlsFiles()


def host_context(identity: Identity, authority: Path | None) -> ssl.SSLContext:
    """For a host; with an authority it wants a certificate of its peers too.

    Raises:
        UsageError: a file is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslobject_class = Handshake
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.num_tickets = 0  # nobody resumes: a peer that comes back proves everything anew
    _show(context, identity)
    if authority is not None:
        _trust(context, authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def peer_context(identity: Identity | None, authority: Path | None) -> ssl.SSLContext:
    """For a peer; without an authority whoever dials compares the fingerprint.

    Raises:
        UsageError: a file is not what it should be.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if authority is None:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    else:
        _trust(context, authority)
    if identity is not None:
        _show(context, identity)
    return context


def _show(context: ssl.SSLContext, identity: Identity) -> None:
    certificate, key = identity
    state.keep_from_scripts(key or certificate)
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        reason = (error.reason or "not PEM").lower().replace("_", " ")
        both = f"{certificate} and {key}" if key else f"{certificate}"
        raise UsageError(f"{both}: no certificate with its key ({reason})") from None
    except OSError as error:
        missing = key if key is not None and certificate.exists() else certificate
        raise UsageError(f"{missing}: {error.strerror}") from None


def _trust(context: ssl.SSLContext, authority: Path) -> None:
    try:
        context.load_verify_locations(authority)
    except ssl.SSLError:
        raise UsageError(f"{authority} holds no certificate in PEM") from None
    except OSError as error:
        raise UsageError(f"{authority}: {error.strerror}") from None


def _no_password() -> str:
    """OpenSSL would ask the terminal."""
    raise UsageError("the key is encrypted: give one that is not, in a file of mode 0600")

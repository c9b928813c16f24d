"""A host's certificate: its own, made once and kept, or one that a site has given it."""

from __future__ import annotations

import datetime as dt
import ssl
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

from midas_mp.errors import UsageError
from midas_mp.join import state

IDENTITY_FILE: Final = "host.pem"

_VALID_DAYS: Final = 100 * 365
"""Peers know it by its fingerprint for as long as it is in use; it is never renewed."""

_BEGIN: Final = "-----BEGIN CERTIFICATE-----"
_END: Final = "-----END CERTIFICATE-----"


class Identity(NamedTuple):
    """Files in PEM; the key may be in the certificate's."""

    certificate: Path
    key: Path | None = None

    def fingerprint(self) -> bytes:
        """SHA-256 of the certificate, the first one in the file.

        Raises:
            UsageError: there is none.
        """
        try:
            text = self.certificate.read_text(encoding="ascii")
            begin = text.index(_BEGIN)
            pem = text[begin : text.index(_END, begin) + len(_END)]
            der = ssl.PEM_cert_to_DER_cert(pem)
            if not der:
                raise ValueError("no base64 between the lines")
            return sha256(der).digest()
        except OSError as error:
            raise UsageError(f"{self.certificate}: {error.strerror}") from None
        except ValueError:  # not ASCII, no such line, no base64
            raise UsageError(f"{self.certificate} holds no certificate in PEM") from None


def own_identity() -> Identity:
    """What this user has, made when it is first asked for.

    Raises:
        UsageError: there is no place to keep it.
    """
    state.read_or_make(IDENTITY_FILE, make_pem)
    return Identity(state.folder() / IDENTITY_FILE)


def make_pem() -> bytes:
    """A fresh key, and a certificate that it signs itself."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a Midas host")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=_VALID_DAYS))
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )

from __future__ import annotations

import ssl

import pytest

from midas_mp.errors import UsageError
from midas_mp.join.identity import Identity, own_identity
from midas_mp.join.tls import TlsFiles, host_context, peer_context


def test_nothing_older_than_1_3_is_spoken():
    for context in (host_context(own_identity(), None), peer_context(None, None)):
        assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_with_an_authority_both_sides_want_a_certificate():
    identity = own_identity()
    assert host_context(identity, None).verify_mode is ssl.CERT_NONE
    assert host_context(identity, identity.certificate).verify_mode is ssl.CERT_REQUIRED
    peer = peer_context(identity, identity.certificate)
    assert (peer.verify_mode, peer.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_files_are_an_identity_where_there_is_a_certificate(tmp_path):
    assert TlsFiles().identity is None
    assert TlsFiles(tmp_path, authority=tmp_path).identity == Identity(tmp_path)
    with pytest.raises(UsageError, match="--tls-key goes with --tls-cert"):
        _ = TlsFiles(key=tmp_path).identity


@pytest.mark.parametrize("text", ["", "no PEM"])
def test_what_is_no_certificate_is_told(tmp_path, text):
    path = tmp_path / "host.pem"
    path.write_text(text)
    with pytest.raises(UsageError, match="no certificate with its key"):
        host_context(Identity(path), None)
    with pytest.raises(UsageError, match="holds no certificate in PEM"):
        peer_context(None, path)


def test_a_certificate_without_its_key_is_told(tmp_path):
    whole = own_identity().certificate.read_text()
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    certificate.write_text(whole[: whole.index("-----BEGIN PRIVATE")])
    with pytest.raises(UsageError, match="no certificate with its key"):
        host_context(Identity(certificate), None)
    with pytest.raises(UsageError, match=r"key\.pem: No such file"):
        host_context(Identity(certificate, key), None)
    key.write_text(whole[whole.index("-----BEGIN PRIVATE") :])
    host_context(Identity(certificate, key), None)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"cert\.pem: No such file"):
        host_context(Identity(tmp_path / "cert.pem"), None)
    with pytest.raises(UsageError, match=r"ca\.pem: No such file"):
        peer_context(None, tmp_path / "ca.pem")


def test_an_encrypted_key_asks_nobody(tmp_path):
    from cryptography.hazmat.primitives import serialization

    whole = own_identity().certificate.read_bytes()
    key = serialization.load_pem_private_key(whole[whole.index(b"-----BEGIN PRIV") :], None)
    path = tmp_path / "key.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(UsageError, match="the key is encrypted"):
        host_context(Identity(own_identity().certificate, path), None)

from __future__ import annotations

import ssl

import pytest

from midas_mp.errors import UsageError
from midas_mp.join.identity import Identity, own_identity


def test_it_is_made_once_and_is_nobody_elses(state_folder):
    first = own_identity()
    assert own_identity().fingerprint() == first.fingerprint()
    assert len(first.fingerprint()) == 32
    assert (state_folder / "host.pem").stat().st_mode & 0o777 == 0o600


def test_openssl_takes_it():
    path, key = own_identity()
    assert key is None
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(path)


def test_another_folder_has_another_one(monkeypatch, tmp_path):
    first = own_identity().fingerprint()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    assert own_identity().fingerprint() != first


@pytest.mark.parametrize(
    "text", ["", "not PEM", "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----", "ä"]
)
def test_what_is_no_certificate_is_told(tmp_path, text):
    (tmp_path / "host.pem").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=r"host\.pem holds no certificate in PEM"):
        Identity(tmp_path / "host.pem").fingerprint()


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(UsageError, match="No such file"):
        Identity(tmp_path / "host.pem").fingerprint()

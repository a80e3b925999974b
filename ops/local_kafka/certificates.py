"""Certificates for a local cluster: an authority of its own, and what it signs.

Only for brokers on this machine. A cluster that others reach gets its certificates from whoever
runs the company's authority.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import secrets
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ops.local_kafka.private_file import write_private
from schemas.errors import ConfigError

LASTS = dt.timedelta(days=397)
RENEWED_BEFORE = dt.timedelta(days=30)
_ADDRESSES = ("127.0.0.1", "::1")


class Authority:
    """Signs certificates; its key stays in `folder`, readable by its owner only.

    Parameters
    ----------
    folder
        Has, or gets, `ca.pem` and `ca.key`. An authority that ends soon is replaced, and with it
        everything that it signed.
    """

    def __init__(self, folder: Path) -> None:
        self.certificate_file = folder / "ca.pem"
        key_file = folder / "ca.key"
        if _fresh(self.certificate_file) and key_file.is_file():
            self._certificate = _read(self.certificate_file)
            self._key = _read_key(key_file)
            return
        self._key = ec.generate_private_key(ec.SECP256R1())
        # A name of its own, so that a client that trusts another authority is told which.
        name = _name(f"hark local authority {secrets.token_hex(3)}")
        builder = _dated(x509.CertificateBuilder(name, name, self._key.public_key()))
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        builder = builder.add_extension(_usage(signs_certificates=True), True)
        self._certificate = builder.sign(self._key, hashes.SHA256())
        write_private(key_file, _pem_of_key(self._key))
        self.certificate_file.write_bytes(_pem(self._certificate))

    def ensure(self, name: str, file: Path) -> None:
        """Have `file` hold a key and a certificate for `name`, renewed if it ends soon.

        One PEM file with both, as Kafka's and Python's TLS read it; good for a server on this
        machine and for a client whose user is `name`.
        """
        if _fresh(file) and self._signed(_read(file)):
            return
        key = ec.generate_private_key(ec.SECP256R1())
        hosts: list[x509.GeneralName] = [x509.DNSName("localhost")]
        hosts += [x509.IPAddress(ipaddress.ip_address(address)) for address in _ADDRESSES]
        uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = x509.CertificateBuilder(self._certificate.subject, _name(name), key.public_key())
        builder = _dated(builder)
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), True)
        builder = builder.add_extension(_usage(signs_certificates=False), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage(uses), False)
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), False)
        certificate = builder.sign(self._key, hashes.SHA256())
        write_private(file, _pem_of_key(key) + _pem(certificate))

    def _signed(self, certificate: x509.Certificate) -> bool:
        try:
            certificate.verify_directly_issued_by(self._certificate)
        except (ValueError, TypeError, InvalidSignature):
            return False
        return True


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _dated(builder: x509.CertificateBuilder) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    builder = builder.serial_number(x509.random_serial_number())
    # A clock that was set back a little shouldn't stop a broker.
    return builder.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + LASTS)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _fresh(file: Path) -> bool:
    if not file.is_file():
        return False
    ends: dt.datetime = _read(file).not_valid_after_utc
    return ends > dt.datetime.now(dt.UTC) + RENEWED_BEFORE


def _read(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(file.read_bytes())
    except ValueError:
        raise _damaged(file) from None


def _read_key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = serialization.load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise _damaged(file) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise _damaged(file)
    return key


def _damaged(file: Path) -> ConfigError:
    return ConfigError(f"{file} is damaged: delete it and start the broker again for a new one")


def _pem(certificate: x509.Certificate) -> bytes:
    pem: bytes = certificate.public_bytes(serialization.Encoding.PEM)
    return pem


def _pem_of_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem

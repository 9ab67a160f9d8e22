"""A certificate that nobody vouches for, and fingerprints. `python -m host_access.certificates` makes one."""

from __future__ import annotations

import hashlib
import json
import ssl
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

VALID_DAYS = 825  # some systems trust none for longer, even where the user says so
PEM_END = "-----END CERTIFICATE-----"


def make_certificate(names: Sequence[str]) -> tuple[str, str]:
    """Certificate and SECRET key, both PEM, for host names and addresses."""
    # Here, because only the machine that makes one needs the package.
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pageindex-stack")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ip_address(name)) if _is_address(name) else x509.DNSName(name) for name in names]
            ),
            critical=False,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return certificate.public_bytes(Encoding.PEM).decode(), secret.decode()


def certificate_fingerprint(pem: str) -> str:
    """SHA-256 of the first certificate, as browsers show it."""
    digest = hashlib.sha256(ssl.PEM_cert_to_DER_cert(first(pem))).hexdigest().upper()
    return ":".join(digest[at : at + 2] for at in range(0, len(digest), 2))


def first(pem: str) -> str:
    """The server's own certificate, without the chain."""
    start = pem.index("-----BEGIN CERTIFICATE-----")
    return pem[start : pem.index(PEM_END, start) + len(PEM_END)] + "\n"


def pinned(pem: str) -> ssl.SSLContext:
    """Trusts this one certificate and no other, by whatever name or address it is reached."""
    context = ssl.create_default_context(cadata=first(pem))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.check_hostname = False
    return context


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


if __name__ == "__main__":
    print(json.dumps(make_certificate(json.load(sys.stdin))))

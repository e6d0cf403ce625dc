"""TLS to this agency's servers and nobody else's, on a board that may not know what time it is.

OpenSSL judges by the system clock. Where that clock is known to be wrong, OpenSSL is asked to leave the dates alone, and
the dates of the very chain that it has verified are judged here, at the time that is certain. Root, chain and name are
judged by OpenSSL either way, and nothing is said to the server before both have agreed.
"""

from __future__ import annotations

import _ssl
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

from cryptography import x509
from msgspec import Struct

_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for
_NOT_YET_VALID, _HAS_EXPIRED = 9, 10  # OpenSSL's numbers for the same verdicts


class TlsFiles(Struct, frozen=True, kw_only=True):
    """PEM files, read for each connection: a renewed identity is used from the next one on."""

    chain: Path
    key: Path
    root: Path


def context(files: TlsFiles, at_s: float | None) -> ssl.SSLContext:
    """TLS 1.3 to servers that lead to the root. Certificates must be good at Unix time `at_s`; None: now."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.load_verify_locations(files.root)
    made.load_cert_chain(files.chain, files.key)
    if at_s is not None:
        made.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
        made.sslsocket_class = _judging_at(datetime.fromtimestamp(at_s, UTC))
    return made


def _judging_at(at: datetime) -> type[ssl.SSLSocket]:
    class DatedSocket(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            try:
                judge(_verified_chain(self), at)
            except ssl.SSLError:
                self.close()
                raise

    return DatedSocket


def judge(chain: list[bytes], at: datetime) -> None:
    """Nothing when every certificate of `chain` is good `at` that time; SSLCertVerificationError otherwise."""
    if not chain:
        raise _refused(_HAS_EXPIRED, "the server has shown no certificate")
    for der in chain:
        certificate = x509.load_der_x509_certificate(der)
        if at < certificate.not_valid_before_utc:
            raise _refused(_NOT_YET_VALID, "certificate is not yet valid")
        if at > certificate.not_valid_after_utc:
            raise _refused(_HAS_EXPIRED, "certificate has expired")


def _refused(code: int, message: str) -> ssl.SSLCertVerificationError:
    wrong = ssl.SSLCertVerificationError(1, f"certificate verify failed: {message}")
    wrong.verify_code, wrong.verify_message = code, message
    return wrong


class _Certificate(Protocol):
    def public_bytes(self, form: int, /) -> bytes: ...


class _Session(Protocol):
    def get_verified_chain(self) -> list[_Certificate] | None: ...


class _Opened(Protocol):
    _sslobj: _Session


def _verified_chain(opened: ssl.SSLSocket) -> list[bytes]:
    """From the server's own certificate to the root, as OpenSSL has verified it, DER.

    Python has a public name for this from 3.13 on; the object behind the socket has had the method since 3.10. Should
    it ever go, the handshake fails and nobody is believed.
    """
    chain = cast(_Opened, opened)._sslobj.get_verified_chain()
    return [certificate.public_bytes(_ssl.ENCODING_DER) for certificate in chain or []]

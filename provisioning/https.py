"""One request, one answer, over TLS that trusts the agency root and nothing else."""

from __future__ import annotations

import ssl
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from provisioning.errors import CannotDo

TIMEOUT_S = 15.0
ANSWER_BYTES_MAX = 512 * 1024
_NO_CHECK_TIME = 0x200000  # X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for


class Answer(Struct, frozen=True, kw_only=True):
    """`peer`: the server's certificate, DER; `wait_s`: how long the hub asks to wait, None when it does not."""

    status: int
    body: bytes
    peer: bytes
    wait_s: int | None


def pinned(root_pem: str, *, is_clock_believed: bool = True) -> ssl.SSLContext:
    """TLS 1.3 to servers whose certificate leads to the root in `root_pem` and names the host.

    A board may believe that it is 1970. Then OpenSSL is told to leave the dates alone, and the caller must look at the
    dates of `Answer.peer` once it knows the time.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.load_verify_locations(cadata=root_pem)
    if not is_clock_believed:
        context.verify_flags |= ssl.VerifyFlags(_NO_CHECK_TIME)
    return context


def unverified() -> ssl.SSLContext:
    """TLS to anybody: only to fetch the root, which is then compared with a pin."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def pinned_file(root: Path) -> ssl.SSLContext:
    """As `pinned`, from the file of the root certificate; CannotDo when it is none."""
    try:
        return pinned(root.read_text("ascii"))
    except (OSError, UnicodeDecodeError, ssl.SSLError):
        raise CannotDo(f"{root} is not a readable root certificate: take root.crt of `tandem-fleet init`") from None


def ask(
    url: str,
    method: str,
    path: str,
    context: ssl.SSLContext,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
) -> Answer:
    """The answer of the hub at `url`; CannotDo E3 when it is not ours, E5 when it cannot be reached."""
    host, port = address(url)
    connection = HTTPSConnection(host, port, timeout=TIMEOUT_S, context=context)
    try:
        connection.connect()
        assert isinstance(connection.sock, ssl.SSLSocket)
        peer = connection.sock.getpeercert(binary_form=True) or b""
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        data = response.read(ANSWER_BYTES_MAX + 1)
    except ssl.SSLCertVerificationError as wrong:
        raise CannotDo(
            f"The server at {url} is not our hub ({wrong.verify_message}): check the URL, then stop.", "E3"
        ) from None
    except (OSError, HTTPException) as wrong:
        why = getattr(wrong, "strerror", None) or type(wrong).__name__
        raise CannotDo(
            f"The hub at {url} cannot be reached ({why}): check the network, then run this again.", "E5"
        ) from None
    finally:
        connection.close()
    if len(data) > ANSWER_BYTES_MAX:
        raise CannotDo(f"The server at {url} answers more than any hub would: check the URL.", "E3")
    return Answer(status=response.status, body=data, peer=peer, wait_s=_wait_s(response))


def address(url: str) -> tuple[str, int]:
    """Host and port of a hub's URL; CannotDo when it is not one."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 443
    except ValueError:
        host, port, parts = None, 0, urlsplit("")
    if parts.scheme != "https" or not host:
        raise CannotDo(f"{url!r} is not the URL of a hub: it looks like https://hub.example.org:8443")
    return host, port


def _wait_s(response: HTTPResponse) -> int | None:
    text = response.getheader("Retry-After") or ""
    return int(text) if text.isascii() and text.isdigit() else None

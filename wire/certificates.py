"""What a certificate of the fleet says, and whether to believe it: one answer for bench, hub and board.

cryptography's verifier accepts a leaf without an extended key usage and never looks at a revocation list; here both are
asked for. `at_s` is an argument because a board may not know what time it is.
"""

from __future__ import annotations

from datetime import UTC, datetime
from hashlib import sha256

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from wire.codec import Malformed
from wire.enrollment import DEVICE_URN
from wire.ids import device_id
from wire.signature import public_der

CHAIN_DEPTH = 1  # root → fleet CA → leaf: the fleet CA signs leaves only


def certificate(der: bytes) -> x509.Certificate:
    """The certificate in `der`; Malformed when there is none."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError:
        raise Malformed("not a certificate") from None


def public_key(cert: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Its public key; Malformed when it is of a kind we do not use."""
    key = cert.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Malformed("a certificate on a kind of key we do not use")
    return key


def spki_sha256(cert: x509.Certificate) -> bytes:
    """What a pin of this certificate's key is compared with."""
    return sha256(public_der(public_key(cert))).digest()


def pinned_root(der: bytes, pin: bytes) -> x509.Certificate:
    """The agency root in `der` when its key has the `pin` and it signed itself; Malformed otherwise."""
    root = certificate(der)
    if spki_sha256(root) != pin:
        raise Malformed("a root of another agency")
    try:
        root.verify_directly_issued_by(root)
    except (InvalidSignature, ValueError, TypeError):
        raise Malformed("a root that did not sign itself") from None
    return root


def verify_device(chain: tuple[bytes, ...], root: x509.Certificate, at_s: int) -> x509.Certificate:
    """The device's own certificate, first in `chain`, verified up to `root` at Unix time `at_s`; Malformed otherwise.

    The chain may go on with the fleet CA and the root; a root in it is never believed, only the one given.
    """
    if not chain:
        raise Malformed("an empty chain")
    leaf, *above = [certificate(der) for der in chain]
    try:
        at = datetime.fromtimestamp(at_s, UTC)
        builder = PolicyBuilder().store(Store([root])).time(at).max_chain_depth(CHAIN_DEPTH)
        builder.build_client_verifier().verify(leaf, [cert for cert in above if cert != root])
    except (VerificationError, ValueError, OverflowError, OSError):
        raise Malformed("a certificate that does not lead to the agency root") from None
    device_of(leaf)
    return leaf


def device_of(leaf: x509.Certificate) -> str:
    """Whose device certificate this is; Malformed when it is not one: CN, URN and key usage must all say so."""
    try:
        usage = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        raise Malformed("a certificate without a key usage or an alternative name") from None
    if list(usage) != [ExtendedKeyUsageOID.CLIENT_AUTH]:
        raise Malformed("a certificate that is not for a client")
    common = [str(attribute.value) for attribute in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    urns = names.get_values_for_type(x509.UniformResourceIdentifier)
    if len(common) != 1 or urns != [DEVICE_URN + common[0]]:
        raise Malformed("a certificate whose names disagree")
    return device_id(common[0])

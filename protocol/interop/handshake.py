"""PQXDH, revision 3, suite 1, after docs/SPEC.md."""

from dataclasses import dataclass

from identity import Certificate, Record
from primitives import (
    Refused, be32, decode, dh, dh_public, encode, hkdf, kem_decapsulate, kem_encapsulate, be64,
    sha256, transcript,
)

SUITE = 1


@dataclass
class Session:
    """What both sides hold after a handshake."""

    transcript: bytes
    session: bytes
    associated: bytes
    root: bytes
    header_initiator: bytes
    header_responder: bytes
    replay: bytes


@dataclass
class Exchange:
    """Public values; certificates of both, the rest as bytes and numbers."""

    initiator: Certificate
    responder: Certificate
    ephemeral: bytes
    prekey_id: int
    prekey: bytes
    kem_id: int
    kem: bytes
    ciphertext: bytes
    sequence: int
    # One-time keys: (id, key) or None. With a one-time KEM key, kem_id is 0 and kem is None.
    once: tuple = None
    once_kem: tuple = None

    def session(self, *secrets):
        a, b = self.initiator, self.responder
        hashed = transcript(b"bitchat/1 PQXDH", [
            ("suite", be32(SUITE)),
            ("initiator account", a.account),
            ("initiator device", a.device),
            ("initiator identity", b"\x01" + a.identity),
            ("initiator certificate", a.signed_bytes()),
            ("responder account", b.account),
            ("responder device", b.device),
            ("responder identity", b"\x01" + b.identity),
            ("ephemeral", b"\x01" + self.ephemeral),
            ("signed prekey id", be32(self.prekey_id)),
            ("signed prekey", b"\x01" + self.prekey),
            ("one-time prekey", one_time(self.once, b"\x01")),
            ("kem prekey id", be32(self.kem_id)),
            ("kem prekey", b"none" if self.kem is None else b"\x02" + self.kem),
            ("one-time kem prekey", one_time(self.once_kem, b"\x02")),
            ("kem ciphertext", b"\x02" + self.ciphertext),
            ("record sequence", be64(self.sequence)),
        ])
        label = b"bitchat/1 PQXDH 1 X25519 ML-KEM-1024 HKDF-SHA-256"
        material = b"\xff" * 32 + b"".join(secrets)
        keys = hkdf(bytes(32), material, label + hashed, 96)
        parties = b"".join(c.account + c.device + c.identity for c in (a, b))
        replay = transcript(b"bitchat/1 initial message", [
            ("ephemeral", self.ephemeral),
            ("signed prekey", be32(self.prekey_id)),
            ("kem prekey", be32(self.kem_id)),
            ("one-time prekey", be32(self.once[0] if self.once else 0)),
            ("one-time kem prekey", be32(self.once_kem[0] if self.once_kem else 0)),
        ])
        return Session(
            hashed, sha256(b"bitchat/1 session id\0" + hashed)[:8],
            be32(SUITE) + parties + hashed, keys[:32], keys[32:64], keys[64:], replay,
        )


def one_time(key, kind):
    """How the transcript names a one-time key."""
    return b"none" if key is None else be32(key[0]) + kind + key[1]


def initiate(party, record, ephemeral, randomness, once=None, once_kem=None):
    """(session, encoded Initial); one-time keys are (id, key) or None."""
    kem_id, kem = (0, None) if once_kem else (record.kem_id, record.kem)
    shared, ciphertext = kem_encapsulate(once_kem[1] if once_kem else kem, randomness)
    exchange = Exchange(
        party.certificate, record.certificate, dh_public(ephemeral), record.prekey_id,
        record.prekey, kem_id, kem, ciphertext, record.sequence, once, once_kem,
    )
    fourth = [dh(ephemeral, once[1])] if once else []
    session = exchange.session(
        dh(party.identity, record.prekey), dh(ephemeral, record.certificate.identity),
        dh(ephemeral, record.prekey), *fourth, shared,
    )
    initial = encode(enumerate([
        SUITE, party.certificate.encode(), exchange.ephemeral, record.prekey_id, kem_id,
        ciphertext, record.sequence, once[0] if once else 0, once_kem[0] if once_kem else 0,
    ], start=1))
    return session, initial


def accept(party, initial, once=None, once_kem=None):
    """The session that an encoded Initial proposes to `party`, whose prekeys have the id 1.

    One-time keys of the party are (id, X25519 secret) and (id, ML-KEM public key, private key).
    """
    fields = {number: values[0] for number, values in decode(initial).items()}
    if fields[1] != SUITE or fields[4] != 1:
        raise Refused("suite or prekey")
    kem_id, once_id, once_kem_id = (fields.get(number, 0) for number in (5, 8, 9))
    if (kem_id == 0) == (once_kem_id == 0):
        raise Refused("KEM prekey")
    if kem_id not in (0, 1):
        raise Refused("prekey")
    if once_id and (once is None or once[0] != once_id):
        raise Refused("one-time prekey")
    if once_kem_id and (once_kem is None or once_kem[0] != once_kem_id):
        raise Refused("one-time KEM prekey")
    peer = Certificate.decode(fields[2])
    ephemeral, ciphertext = fields[3], fields[6]
    if ephemeral == peer.identity:
        raise Refused("one key for two purposes")
    exchange = Exchange(
        peer, party.certificate, ephemeral, 1, dh_public(party.prekey), kem_id,
        None if once_kem_id else party.kem_public, ciphertext, fields.get(7, 0),
        (once_id, dh_public(once[1])) if once_id else None,
        once_kem[:2] if once_kem_id else None,
    )
    fourth = [dh(once[1], ephemeral)] if once_id else []
    private = once_kem[2] if once_kem_id else party.kem_private
    return exchange.session(
        dh(party.prekey, peer.identity), dh(party.identity, ephemeral),
        dh(party.prekey, ephemeral), *fourth, kem_decapsulate(private, ciphertext),
    )

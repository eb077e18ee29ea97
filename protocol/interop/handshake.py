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

    def session(self, dh1, dh2, dh3, shared):
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
            ("one-time prekey", b"none"),
            ("kem prekey id", be32(self.kem_id)),
            ("kem prekey", b"\x02" + self.kem),
            ("one-time kem prekey", b"none"),
            ("kem ciphertext", b"\x02" + self.ciphertext),
            ("record sequence", be64(self.sequence)),
        ])
        label = b"bitchat/1 PQXDH 1 X25519 ML-KEM-1024 HKDF-SHA-256"
        material = b"\xff" * 32 + dh1 + dh2 + dh3 + shared
        keys = hkdf(bytes(32), material, label + hashed, 96)
        parties = b"".join(c.account + c.device + c.identity for c in (a, b))
        replay = transcript(b"bitchat/1 initial message", [
            ("ephemeral", self.ephemeral),
            ("signed prekey", be32(self.prekey_id)),
            ("kem prekey", be32(self.kem_id)),
        ])
        return Session(
            hashed, sha256(b"bitchat/1 session id\0" + hashed)[:8],
            be32(SUITE) + parties + hashed, keys[:32], keys[32:64], keys[64:], replay,
        )


def initiate(party, record, ephemeral, randomness):
    """(session, encoded Initial)."""
    shared, ciphertext = kem_encapsulate(record.kem, randomness)
    exchange = Exchange(
        party.certificate, record.certificate, dh_public(ephemeral), record.prekey_id,
        record.prekey, record.kem_id, record.kem, ciphertext, record.sequence,
    )
    session = exchange.session(
        dh(party.identity, record.prekey), dh(ephemeral, record.certificate.identity),
        dh(ephemeral, record.prekey), shared,
    )
    initial = encode(enumerate([
        SUITE, party.certificate.encode(), exchange.ephemeral, record.prekey_id, record.kem_id,
        ciphertext, record.sequence,
    ], start=1))
    return session, initial


def accept(party, initial):
    """The session that an encoded Initial proposes to `party`, whose prekeys have the id 1."""
    fields = {number: values[0] for number, values in decode(initial).items()}
    if fields[1] != SUITE or fields[4] != 1 or fields[5] != 1:
        raise Refused("suite or prekey")
    peer = Certificate.decode(fields[2])
    ephemeral, ciphertext = fields[3], fields[6]
    if ephemeral == peer.identity:
        raise Refused("one key for two purposes")
    exchange = Exchange(
        peer, party.certificate, ephemeral, 1, dh_public(party.prekey), 1, party.kem_public,
        ciphertext, fields.get(7, 0),
    )
    return exchange.session(
        dh(party.prekey, peer.identity), dh(party.identity, ephemeral),
        dh(party.prekey, ephemeral), kem_decapsulate(party.kem_private, ciphertext),
    )

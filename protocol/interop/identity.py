"""Identities, contact records and invitations, after docs/SPEC.md."""

import base64
import hashlib
from dataclasses import dataclass

from primitives import (
    CERTIFICATE, ONE_TIME, RECORD, Refused, be32, be64, bech32m, check_point, decode, dh_public, encode,
    hkdf, kem_keys, sign, sign_public, verify,
)


def account_seed(phrase):
    seed = hashlib.pbkdf2_hmac("sha512", phrase.encode(), b"mnemonic", 2048)
    return hkdf(b"", seed, b"bitchat/1 account signing key", 32)


def account_text(account):
    return bech32m("bchat", account)


def fingerprint(account):
    tail = account_text(account)[-8:]
    return f"{tail[:4]}-{tail[4:]}"


def safety_number(one, other):
    low, high = sorted([one, other])
    material = hkdf(b"", b"\x01" + low + high, b"bitchat/1 safety number", 60)
    groups = [int.from_bytes(material[at : at + 5], "big") % 100_000 for at in range(0, 60, 5)]
    return " ".join(f"{group:05}" for group in groups)


@dataclass
class Certificate:
    account: bytes
    device: bytes
    identity: bytes
    number: int
    generation: int
    created: int
    signature: bytes = b""

    def signed_bytes(self):
        numbers = be32(self.number) + be64(self.generation) + be64(self.created)
        return self.account + self.device + self.identity + numbers

    def encode(self):
        values = [self.account, self.device, self.identity, self.number, self.generation]
        return encode(enumerate([*values, self.created, self.signature], start=1))

    @classmethod
    def decode(cls, data):
        fields = decode(data)
        raw = [fields.get(n, [b""])[0] for n in (1, 2, 3)]
        numbers = [fields.get(n, [0])[0] for n in (4, 5, 6)]
        certificate = cls(*raw, *numbers, fields.get(7, [b""])[0])
        if certificate.encode() != data:
            raise Refused("certificate encoding")
        check_point(certificate.identity)
        if certificate.account == certificate.device:
            raise Refused("one key for two purposes")
        signed = certificate.signed_bytes()
        verify(certificate.account, CERTIFICATE, signed, certificate.signature)
        return certificate


class Party:
    """An account with its device and prekeys, all secrets given."""

    def __init__(self, phrase, device, identity, prekey, kem, created):
        account = account_seed(phrase)
        self.device, self.identity, self.prekey = device, identity, prekey
        self.kem_public, self.kem_private = kem_keys(kem)
        self.certificate = Certificate(
            sign_public(account), sign_public(device), dh_public(identity), 0, created, created
        )
        signed = self.certificate.signed_bytes()
        self.certificate.signature = sign(account, CERTIFICATE, signed)
        self.created = created

    def record(self, addresses=()):
        month = 30 * 24 * 60 * 60 * 1000
        body = encode([
            (1, self.certificate.encode()), (2, 1), (3, dh_public(self.prekey)), (4, 1),
            (5, self.kem_public), (6, [a.encode() for a in addresses]), (7, self.created),
            (8, self.created + month), (9, self.created),
        ])
        return encode([(1, body), (2, sign(self.device, RECORD, body))])


@dataclass
class Record:
    certificate: Certificate
    prekey_id: int
    prekey: bytes
    kem_id: int
    kem: bytes
    sequence: int

    @classmethod
    def decode(cls, data):
        outer = decode(data)
        body, signature = outer[1][0], outer[2][0]
        if encode([(1, body), (2, signature)]) != data:
            raise Refused("record encoding")
        fields = decode(body)
        certificate = Certificate.decode(fields[1][0])
        verify(certificate.device, RECORD, body, signature)
        return cls(certificate, *[fields[n][0] for n in (2, 3, 4, 5, 9)])


X25519, ML_KEM_1024 = 1, 2


def one_time_prekey(device, algorithm, number, key, expires):
    """An encoded OneTimePrekey of the device with this seed."""
    message = sign_public(device) + be32(algorithm) + be32(number) + be64(expires) + key
    return encode([(1, number), (2, key), (3, expires), (4, sign(device, ONE_TIME, message))])


def check_offer(offer, device, now):
    """The keys of an encoded PrekeyResponse that `device` has signed: for each kind (id, key) or None."""
    fields = decode(offer)
    return [
        check_prekey(fields[algorithm][0], device, algorithm, now) if algorithm in fields else None
        for algorithm in (X25519, ML_KEM_1024)
    ]


def check_prekey(prekey, device, algorithm, now):
    fields = {number: values[0] for number, values in decode(prekey).items()}
    number, key, expires = fields.get(1, 0), fields.get(2, b""), fields.get(3, 0)
    if number == 0 or not now < expires <= now + 60 * 24 * 60 * 60 * 1000:
        raise Refused("one-time prekey")
    message = device + be32(algorithm) + be32(number) + be64(expires) + key
    verify(device, ONE_TIME, message, fields.get(4, b""))
    if algorithm == X25519:
        check_point(key)
    return number, key


def invitation(token, expires, nickname, record=b"", account=b"", device=b"", addresses=()):
    addresses = [a.encode() for a in addresses]
    fields = [token, expires, nickname.encode(), record, account, device, addresses]
    data = encode(enumerate(fields, start=1))
    encoded = base64.urlsafe_b64encode(data + hashlib.sha256(data).digest()[:4])
    return "bitchat:" + encoded.decode().rstrip("=")

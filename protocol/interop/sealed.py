"""Sealed envelopes and files of them, after docs/SPEC.md."""

import struct

from identity import Certificate
from primitives import (
    PRIME, Refused, be32, dh, dh_public, hkdf, open_sealed, seal as encrypt, sha256, transcript,
)

FLOOR, LONGEST = 2048, 256 * 1024
OVERHEAD = 32 + 196 + 16
MAGIC = b"bitchat envelopes 1\n"


def padme(length, floor):
    if length <= floor:
        return floor
    exponent = length.bit_length() - 1
    step = 1 << (exponent - exponent.bit_length())
    return -(-length // step) * step


def fixed(certificate):
    return certificate.signed_bytes() + certificate.signature


def from_fixed(data):
    if len(data) != 180:
        raise Refused("certificate length")
    number, generation, created = struct.unpack(">IQQ", data[96:116])
    raw = data[:32], data[32:64], data[64:96]
    certificate = Certificate(*raw, number, generation, created, data[116:])
    return Certificate.decode(certificate.encode())


def keys(label, fields, secrets):
    """(transcript, key || nonce)."""
    hashed = transcript(label, fields)
    material = b"\xff" * 32 + b"".join(secrets)
    return hashed, hkdf(bytes(32), material, label + hashed, 44)


def outer_keys(recipient, ephemeral, shared):
    return keys(b"bitchat/1 seal outer", [
        ("version", be32(1)),
        ("recipient account", recipient.account),
        ("recipient device", recipient.device),
        ("recipient identity", b"\x01" + recipient.identity),
        ("ephemeral", ephemeral),
    ], [shared])


def inner_keys(outer, certificate, hidden, shared, proof):
    return keys(b"bitchat/1 seal inner", [
        ("outer", outer),
        ("sender certificate", certificate),
        ("hidden certificate", hidden),
    ], [shared, proof])


def seal(sender, secret, recipient, letter, ephemeral, free_bit):
    """`sender` and `recipient` are certificates, `secret` the sender's identity secret."""
    travels = bytearray(dh_public(ephemeral))
    travels[31] |= free_bit << 7
    travels = bytes(travels)
    shared, proof = dh(ephemeral, recipient.identity), dh(secret, recipient.identity)
    t1, k1 = outer_keys(recipient, travels, shared)
    hidden = encrypt(k1[:32], k1[32:], t1, fixed(sender))
    t2, k2 = inner_keys(t1, fixed(sender), hidden, shared, proof)
    total = padme(OVERHEAD + len(letter) + 1, FLOOR)
    padded = (letter + b"\x80").ljust(total - OVERHEAD, b"\0")
    whole = travels + hidden + encrypt(k2[:32], k2[32:], t2, padded)
    return {"outer_transcript": t1, "outer_key": k1, "inner_transcript": t2, "inner_key": k2,
            "seal_sha256": sha256(whole), "seal": whole}


def open_seal(recipient, secret, data):
    """(sender's certificate, letter); `recipient` is our certificate, `secret` our identity secret."""
    if len(data) > LONGEST or padme(len(data), FLOOR) != len(data):
        raise Refused("length")
    travels, hidden, text = data[:32], data[32:228], data[228:]
    point = travels[:31] + bytes([travels[31] & 0x7F])
    if not 0 < int.from_bytes(point, "little") < PRIME:
        raise Refused("point")
    shared = dh(secret, point)
    t1, k1 = outer_keys(recipient, travels, shared)
    certificate = open_sealed(k1[:32], k1[32:], t1, hidden)
    if certificate is None:
        raise Refused("outer layer")
    sender = from_fixed(certificate)
    ours = {recipient.account, recipient.device, recipient.identity}
    if ours & {sender.account, sender.device, sender.identity}:
        raise Refused("reflection")
    t2, k2 = inner_keys(t1, certificate, hidden, shared, dh(secret, sender.identity))
    padded = open_sealed(k2[:32], k2[32:], t2, text)
    if padded is None:
        raise Refused("inner layer")
    letter = padded.rstrip(b"\0")
    if letter[-1:] != b"\x80" or padme(OVERHEAD + len(letter), FLOOR) != len(data):
        raise Refused("padding")
    return sender, letter[:-1]


def file_of(seals):
    records = b"".join(be32(len(seal)) + seal + sha256(seal)[:4] for seal in seals)
    return MAGIC + records + be32(0) + be32(len(seals))

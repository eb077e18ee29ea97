"""The primitives of docs/SPEC.md, from other libraries than the Rust implementation uses."""

import hashlib
import hmac
import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from kyber_py.ml_kem import ML_KEM_1024

PRIME = 2**255 - 19


class Refused(Exception):
    """What the specification tells a reader to refuse."""


def be32(number):
    return struct.pack(">I", number)


def be64(number):
    return struct.pack(">Q", number)


def hkdf(salt, material, label, length):
    return HKDF(hashes.SHA256(), length, salt, label).derive(material)


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def sha256(data):
    return hashlib.sha256(data).digest()


def transcript(purpose, fields):
    """`fields` are (name, value) in order."""
    hashed = hashlib.sha256()
    for name, value in [("purpose", purpose), *fields]:
        name = name.encode("ascii")
        hashed.update(be64(len(name)) + name + be64(len(value)) + value)
    return hashed.digest()


# X25519


def check_point(point):
    if len(point) != 32 or not 0 < int.from_bytes(point, "little") < PRIME:
        raise Refused("X25519 key")
    return point


def dh_public(secret):
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def dh(secret, public):
    ours = X25519PrivateKey.from_private_bytes(secret)
    try:
        return ours.exchange(X25519PublicKey.from_public_bytes(check_point(public)))
    except ValueError as zero:
        raise Refused("low-order X25519 key") from zero


# Ed25519

CERTIFICATE = b"bitchat/1 device certificate\0"
ONE_TIME = b"bitchat/1 one-time prekey\0"
RECORD = b"bitchat/1 contact record\0"


def sign_public(seed):
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed, label, message):
    return Ed25519PrivateKey.from_private_bytes(seed).sign(label + message)


def verify(public, label, message, signature):
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, label + message)
    except Exception as wrong:
        raise Refused("signature") from wrong


# ML-KEM-1024


def kem_keys(seed):
    """(public, private) of the seed d || z."""
    return ML_KEM_1024.key_derive(seed)


def kem_encapsulate(public, randomness):
    """(shared secret, ciphertext); raises on a key that FIPS 203, section 7.2, refuses."""
    return ML_KEM_1024._encaps_internal(public, randomness)


def kem_decapsulate(private, ciphertext):
    return ML_KEM_1024.decaps(private, ciphertext)


# AEAD


def seal(key, nonce, associated, plaintext):
    return ChaCha20Poly1305(key).encrypt(nonce, plaintext, associated)


def open_sealed(key, nonce, associated, sealed):
    """The plaintext, or None if the key is not the one."""
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, sealed, associated)
    except InvalidTag:
        return None


def hchacha20(key, nonce):
    """16 bytes of nonce to a key (draft-irtf-cfrg-xchacha, section 2.2).

    A block of ChaCha20 is the rounds plus their input; HChaCha20 is the first and the last row of
    the rounds without that sum. The input of those rows is public, so it can be subtracted.
    """
    block = Cipher(algorithms.ChaCha20(key, nonce), mode=None).encryptor().update(bytes(64))
    words = struct.unpack("<16I", block)
    rows = struct.unpack("<4I", b"expand 32-byte k") + struct.unpack("<4I", nonce)
    out = [(a - b) % 2**32 for a, b in zip(words[:4] + words[12:], rows)]
    return struct.pack("<8I", *out)


def xseal(key, nonce, associated, plaintext):
    return seal(hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], associated, plaintext)


def xopen(key, nonce, associated, sealed):
    return open_sealed(hchacha20(key, nonce[:16]), bytes(4) + nonce[16:], associated, sealed)


# bech32m (BIP-350)

ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"


def _polymod(values):
    check = 1
    for value in values:
        top = check >> 25
        check = (check & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
            if top >> bit & 1:
                check ^= term
    return check


def bech32m(prefix, data):
    bits = "".join(f"{byte:08b}" for byte in data)
    bits += "0" * (-len(bits) % 5)
    values = [int(bits[at : at + 5], 2) for at in range(0, len(bits), 5)]
    expanded = [ord(c) >> 5 for c in prefix] + [0] + [ord(c) & 31 for c in prefix]
    check = _polymod(expanded + values + [0] * 6) ^ 0x2BC830A3
    values += [check >> 5 * (5 - at) & 31 for at in range(6)]
    return prefix + "1" + "".join(ALPHABET[value] for value in values)


# Protobuf, as far as the canonical encoding needs it: varints and byte strings.


def _varint(number):
    out = b""
    while number > 127:
        out += bytes([number & 127 | 128])
        number >>= 7
    return out + bytes([number])


def encode(fields):
    """`fields` are (number, value) in ascending order; a list is a repeated field."""
    out = b""
    for number, value in fields:
        if isinstance(value, list):
            out += b"".join(_varint(number << 3 | 2) + _varint(len(v)) + v for v in value)
        elif isinstance(value, int):
            out += _varint(number << 3) + _varint(value) if value else b""
        else:
            out += _varint(number << 3 | 2) + _varint(len(value)) + value if value else b""
    return out


def decode(data):
    """Field number to list of values; a known field that is absent is an empty list."""
    fields, at = {}, 0

    def varint():
        nonlocal at
        number = shift = 0
        while True:
            byte = data[at]
            at += 1
            number |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return number

    while at < len(data):
        key = varint()
        value = varint()
        if key & 7 == 2:
            value, at = data[at : at + value], at + value
        elif key & 7 != 0:
            raise Refused("wire type")
        fields.setdefault(key >> 3, []).append(value)
    return fields

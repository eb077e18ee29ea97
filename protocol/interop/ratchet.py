"""A foreign peer for the ratchet: the PyPI package DoubleRatchet with the KDFs of docs/SPEC.md.

The package does the Diffie-Hellman ratchet, the chains, the skipped keys and the rollback of a
failed open. It knows no header encryption, so that is put around it here: the root KDF gives 96
bytes, of which the package takes the first 64 and this module keeps the last 32 as next header
key. A root step of the package is HKDF to 64 bytes; HKDF's longer output begins with the shorter. Neither
does it know a KEM: the secret of an exchange (`healing.py`) is put into the root KDF's input.
"""

import asyncio
import os

from doubleratchet import DoubleRatchet, EncryptedMessage, Header
from doubleratchet.aead import AEAD, AuthenticationFailedException
from doubleratchet.recommended import HashFunction, diffie_hellman_ratchet_curve25519
from doubleratchet.recommended import kdf_hkdf, kdf_separate_hmacs

from healing import Healing
from primitives import Refused, be32, hkdf, open_sealed, seal, xopen, xseal

SKIPPED_KEYS_MAX = 2_000
OLD_CHAINS_MAX = 64

_loop = asyncio.new_event_loop()


class RootKdf(kdf_hkdf.KDF):
    """Keeps the next header keys of the steps since `headers` was emptied. `mixes` are the secrets
    of KEM exchanges with their contexts, one for each step to come, None for most."""

    headers, mixes = [], []

    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256

    @staticmethod
    def _get_info():
        return b"bitchat/1 root"

    @classmethod
    async def derive(cls, key, data, length):
        assert length == 64
        mix = cls.mixes.pop(0) if cls.mixes else None
        if mix:
            shared, context = mix
            material = hkdf(key, data + shared, b"bitchat/1 root kem" + context, 96)
        else:
            material = await super().derive(key, data, 96)
        cls.headers.append(material[64:])
        return material[:64]


class ChainKdf(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function():
        return HashFunction.SHA_256


class Body(AEAD):
    """The header's nonce stands in front of the associated data."""

    @staticmethod
    async def encrypt(plaintext, key, associated_data):
        material = hkdf(associated_data[:24], key, b"bitchat/1 body", 44)
        return seal(material[:32], material[32:], associated_data[24:], plaintext)

    @staticmethod
    async def decrypt(ciphertext, key, associated_data):
        material = hkdf(associated_data[:24], key, b"bitchat/1 body", 44)
        plaintext = open_sealed(material[:32], material[32:], associated_data[24:], ciphertext)
        if plaintext is None:
            raise AuthenticationFailedException()
        return plaintext


class Keys(diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet):
    """Ratchet keys from `given` first, then random ones."""

    given = []

    @classmethod
    def _generate_priv(cls):
        return cls.given.pop(0) if cls.given else super()._generate_priv()


class Plain(DoubleRatchet):
    # Of the header at hand.
    extension = b""

    @classmethod
    def _build_associated_data(cls, associated_data, header):
        return associated_data + encode_header(header) + cls.extension


def encode_header(header):
    lengths = be32(header.previous_sending_chain_length) + be32(header.sending_chain_length)
    return header.ratchet_pub + lengths


def decode_header(plain):
    number = int.from_bytes
    return Header(plain[:32], number(plain[32:36], "big"), number(plain[36:40], "big"))


CONFIGURATION = {
    "diffie_hellman_ratchet_class": Keys,
    "root_chain_kdf": RootKdf,
    "message_chain_kdf": ChainKdf,
    "message_chain_constant": b"\x02\x01",
    "dos_protection_threshold": SKIPPED_KEYS_MAX,
    "max_num_skipped_message_keys": SKIPPED_KEYS_MAX,
    "aead": Body,
}


class Ratchet:
    """One side. `theirs` is the responder's signed prekey at the initiator, `ours` its secret at
    the responder."""

    def __init__(self, root, header_initiator, header_responder, theirs=None, ours=None):
        self._inner, self._root, self._theirs, self._ours = None, root, theirs, ours
        self._receive, self._closed, self._healing = None, [], Healing()
        if theirs is not None:
            self._send, self._next_send = header_initiator, None
            self._next_receive = header_responder
        else:
            self._send, self._next_send = None, header_responder
            self._next_receive = header_initiator

    def seal(self, associated, text, nonce=None):
        """(header, body)."""
        nonce = nonce or os.urandom(24)
        Plain.extension = self._healing.extension()
        if self._inner is None:
            sealed = self._first(nonce + associated, text)
        else:
            sealed = _loop.run_until_complete(
                self._inner.encrypt_message(text, nonce + associated)
            )
        plain = encode_header(sealed.header) + Plain.extension
        header = xseal(self._send, nonce, associated, plain)
        return nonce + header, sealed.ciphertext

    def _first(self, associated, text):
        if self._theirs is None:
            raise Refused("a responder sends before it receives")
        RootKdf.headers.clear()
        self._inner, sealed = _loop.run_until_complete(Plain.encrypt_initial_message(
            **CONFIGURATION, shared_secret=self._root, recipient_ratchet_pub=self._theirs,
            message=text, associated_data=associated,
        ))
        (self._next_send,) = RootKdf.headers
        return sealed

    def open(self, associated, header, body):
        nonce, sealed = header[:24], header[24:]
        for key in [self._receive, self._next_receive, *reversed(self._closed)]:
            plain = key and xopen(key, nonce, associated, sealed)
            if plain:
                break
        else:
            raise Refused("no header key")
        message, Plain.extension = EncryptedMessage(decode_header(plain), body), plain[40:]
        RootKdf.headers.clear()
        RootKdf.mixes.clear()
        if key is self._next_receive:
            mixed, offered = self._healing.bring(Plain.extension)
            healing, mix = self._healing.answer(offered, mixed)
            RootKdf.mixes.extend([mixed, mix])
        try:
            text = self._open(nonce + associated, message)
        except Exception as wrong:
            raise Refused(type(wrong).__name__) from wrong
        turned = bool(RootKdf.headers)
        if turned != (key is self._next_receive):
            raise AssertionError("a turn under the wrong header key")
        if turned:
            self._turn(*RootKdf.headers)
            self._healing = healing
        return text

    def _open(self, associated, message):
        if self._inner is not None:
            return _loop.run_until_complete(self._inner.decrypt_message(message, associated))
        self._inner, text = _loop.run_until_complete(Plain.decrypt_initial_message(
            **CONFIGURATION, shared_secret=self._root, own_ratchet_priv=self._ours,
            message=message, associated_data=associated,
        ))
        return text

    def _turn(self, next_receive, next_send):
        if self._receive is not None:
            self._closed = [*self._closed, self._receive][-OLD_CHAINS_MAX:]
        self._receive, self._next_receive = self._next_receive, next_receive
        self._send, self._next_send = self._next_send, next_send

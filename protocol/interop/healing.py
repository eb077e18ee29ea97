"""The KEM exchange of the ratchet, after docs/SPEC.md, section "Ratchet".

Whoever opens a chain while no exchange is under way may offer one. This side does so at its first
reply and then at every fourth turn, more often than the schedule of the Rust implementation, so
that both roles of an exchange meet loss and reordering.
"""

import os

from kyber_py.ml_kem import ML_KEM_768

from primitives import Refused, transcript

KEY, CIPHERTEXT = 1, 2
KEY_BYTES, CIPHERTEXT_BYTES = 1184, 1088
TURNS = 4


class Healing:
    # Used first, then random ones: seeds of keys, randomness of encapsulations.
    seeds, randomness = [], []

    def __init__(self):
        self._key = self._private = self._ciphertext = None
        self._turns = TURNS

    def extension(self):
        """What each header of our chain ends in."""
        if self._key:
            return bytes([KEY]) + self._key
        if self._ciphertext:
            return bytes([CIPHERTEXT]) + self._ciphertext + bytes(KEY_BYTES - CIPHERTEXT_BYTES)
        return b""

    def bring(self, extension):
        """(mix for the peer's chain or None, the key that the peer offers or None)."""
        kind, rest = extension[:1], extension[1:]
        if self._key:
            if kind != bytes([CIPHERTEXT]):
                raise Refused("missing KEM ciphertext")
            ciphertext = rest[:CIPHERTEXT_BYTES]
            if any(rest[CIPHERTEXT_BYTES:]):
                raise Refused("padding of a KEM ciphertext")
            shared = ML_KEM_768.decaps(self._private, ciphertext)
            return (shared, context(self._key, ciphertext)), None
        if kind == bytes([CIPHERTEXT]):
            raise Refused("unasked KEM ciphertext")
        return None, rest or None

    def answer(self, offered, mixed):
        """(state of our next chain, mix for it or None)."""
        after = Healing()
        after._turns = self._turns + 1
        if offered:
            randomness = self.randomness.pop(0) if self.randomness else os.urandom(32)
            shared, after._ciphertext = ML_KEM_768._encaps_internal(offered, randomness)
            after._turns = 0
            return after, (shared, context(offered, after._ciphertext))
        if mixed:
            after._turns = 0
        elif after._turns >= TURNS:
            seed = self.seeds.pop(0) if self.seeds else os.urandom(64)
            after._key, after._private = ML_KEM_768.key_derive(seed)
        return after, None


def context(key, ciphertext):
    return transcript(b"bitchat/1 ratchet KEM", [("key", key), ("ciphertext", ciphertext)])

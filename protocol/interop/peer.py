"""A foreign device: one JSON request a line on stdin, one JSON answer a line on stdout.

Byte strings are hexadecimal. Requests:

    {"op": "initiate", "record", "offer"}  -> {"initial", "associated", "session", "replay"}
    {"op": "publish"}                      -> {"record", "offer"}
    {"op": "accept", "initial"}            -> {"associated", "session", "replay"}
    {"op": "seal", "associated", "text"}   -> {"header", "body"}
    {"op": "open", "associated", "header", "body"} -> {"text"}

An offer is an encoded PrekeyResponse; an empty one holds no key.

Every request may be answered by {"refused": why}. `initiate` and `publish` begin a new session
with a fresh account and device. A failure that is no refusal ends the process.
"""

import json
import os
import sys

from handshake import accept, initiate
from identity import ML_KEM_1024, X25519, Party, Record, check_offer, one_time_prekey
from primitives import Refused, dh_public, encode, kem_keys
from ratchet import Ratchet

# All records here are made at this time.
NOW = 1_800_000_000_000


class Device:
    def __init__(self):
        phrase = " ".join(["abandon"] * 23) + " " + os.urandom(4).hex()
        secrets = [os.urandom(length) for length in (32, 32, 32, 64)]
        self.party = Party(phrase, *secrets, NOW)
        self.once, seed = (5, os.urandom(32)), os.urandom(64)
        self.once_kem = (6, *kem_keys(seed))
        self.ratchet = None

    def initiate(self, record, offer):
        record = Record.decode(record)
        keys = check_offer(offer, record.certificate.device, NOW)
        session, initial = initiate(self.party, record, os.urandom(32), os.urandom(32), *keys)
        self.ratchet = self._ratchet(session, theirs=record.prekey)
        return {"initial": initial, **self._names(session)}

    def publish(self):
        keys = (X25519, self.once[0], dh_public(self.once[1])), (ML_KEM_1024, *self.once_kem[:2])
        expires = NOW + 7 * 24 * 60 * 60 * 1000
        offer = encode([
            (kind, one_time_prekey(self.party.device, kind, number, key, expires))
            for kind, number, key in keys
        ])
        return {"record": self.party.record(["/ip4/127.0.0.1/udp/4001/quic-v1"]), "offer": offer}

    def accept(self, initial):
        try:
            session = accept(self.party, initial, self.once, self.once_kem)
        except (KeyError, IndexError, ValueError, TypeError) as malformed:
            raise Refused("malformed") from malformed
        self.ratchet = self._ratchet(session, ours=self.party.prekey)
        return self._names(session)

    def seal(self, associated, text):
        header, body = self.ratchet.seal(associated, text)
        return {"header": header, "body": body}

    def open(self, associated, header, body):
        return {"text": self.ratchet.open(associated, header, body)}

    @staticmethod
    def _ratchet(session, **prekey):
        keys = session.root, session.header_initiator, session.header_responder
        return Ratchet(*keys, **prekey)

    @staticmethod
    def _names(session):
        names = ("associated", "session", "replay")
        return {name: getattr(session, name) for name in names}


def main():
    device = Device()
    for line in sys.stdin:
        request = json.loads(line)
        operation = request.pop("op")
        if operation in ("initiate", "publish"):
            device = Device()
        try:
            arguments = {name: bytes.fromhex(value) for name, value in request.items()}
            answer = getattr(device, operation)(**arguments)
            answer = {name: value.hex() for name, value in answer.items()}
        except Refused as refused:
            answer = {"refused": str(refused)}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()

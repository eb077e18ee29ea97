"""Derives the answers of known-answers.txt from its inputs a second time.

Usage: known_answers.py FILE           exit code 1 and the names of those that differ
       known_answers.py FILE --write   replaces the answers
"""

import sys

import ratchet
from healing import Healing
from handshake import accept, initiate
from identity import (
    ML_KEM_1024, X25519, Party, Record, account_seed, account_text, check_offer, fingerprint, invitation,
    one_time_prekey, safety_number,
)
from primitives import dh_public, encode, kem_keys, sha256, sign_public

HEADING = """\
# Known answers of docs/SPEC.md: inputs, and what must follow from them. A changed answer is a new
# protocol version. Checked by protocol/tests/interop.rs and derived a second time by
# known_answers.py.
"""


def parse(text):
    lines = [line.split(" ", 3) for line in text.splitlines() if line and line[0] != "#"]
    return [(name, value) for kind, name, _, value in lines if kind == "input"], [
        (name, value) for kind, name, _, value in lines if kind == "answer"
    ]


def party(given, name):
    secrets = [bytes.fromhex(given[f"{name}.{key}"]) for key in ("device", "identity", "prekey", "kem")]
    return Party(given[f"{name}.phrase"], *secrets, int(given["created"]))


def identities(given, alice, bob):
    for name, who in [("alice", alice), ("bob", bob)]:
        account = who.certificate.account
        yield f"{name}.account", account_text(account)
        yield f"{name}.fingerprint", fingerprint(account)
        yield f"{name}.certificate-signed", who.certificate.signed_bytes().hex()
        yield f"{name}.certificate", who.certificate.encode().hex()
        yield f"{name}.record-sha256", sha256(who.record()).hex()
        yield f"{name}.record-signature", who.record()[-64:].hex()
    yield "safety-number", safety_number(alice.certificate.account, bob.certificate.account)
    yield "safety-number-of-01-and-02", safety_number(b"\x01" * 32, b"\x02" * 32)
    zero = sign_public(account_seed(given["zero.phrase"]))
    yield "zero.account", account_text(zero)
    token, expires = bytes.fromhex(given["token"]), int(given["expires"])
    full = invitation(token, expires, given["nickname"], bob.record())
    yield "invitation-sha256", sha256(full.encode()).hex()
    yield "invitation-short", invitation(
        token, expires, given["nickname"], b"", bob.certificate.account, bob.certificate.device,
        [given["address"]],
    )


def handshake(given, alice, bob):
    ephemeral, randomness = bytes.fromhex(given["ephemeral"]), bytes.fromhex(given["encapsulation"])
    session, initial = initiate(alice, Record.decode(bob.record()), ephemeral, randomness)
    assert accept(bob, initial) == session, "both sides agree"
    yield "initial-sha256", sha256(initial).hex()
    yield "transcript", session.transcript.hex()
    yield "session", session.session.hex()
    yield "associated", session.associated.hex()
    yield "root", session.root.hex()
    yield "header-initiator", session.header_initiator.hex()
    yield "header-responder", session.header_responder.hex()
    yield "replay", session.replay.hex()


def one_time(given, alice, bob):
    """The same handshake on one-time keys, which Bob's device has offered."""
    once = int(given["one-time.id"]), bytes.fromhex(given["one-time.x25519"])
    once_kem = int(given["one-time.kem-id"]), *kem_keys(bytes.fromhex(given["one-time.ml-kem"]))
    created, expires = int(given["created"]), int(given["one-time.expires"])
    offer = encode([
        (X25519, one_time_prekey(bob.device, X25519, once[0], dh_public(once[1]), expires)),
        (ML_KEM_1024, one_time_prekey(bob.device, ML_KEM_1024, *once_kem[:2], expires)),
    ])
    yield "one-time.offer-sha256", sha256(offer).hex()
    keys = check_offer(offer, bob.certificate.device, created)
    ephemeral, randomness = bytes.fromhex(given["ephemeral"]), bytes.fromhex(given["encapsulation"])
    session, initial = initiate(alice, Record.decode(bob.record()), ephemeral, randomness, *keys)
    assert accept(bob, initial, once, once_kem) == session, "both sides agree"
    yield "one-time.initial-sha256", sha256(initial).hex()
    yield "one-time.session", session.session.hex()
    yield "one-time.root", session.root.hex()
    yield "one-time.replay", session.replay.hex()


def conversation(given):
    def raw(name):
        return bytes.fromhex(given[f"ratchet.{name}"])

    keys = raw("root"), raw("header-initiator"), raw("header-responder")
    prekey = raw("prekey")
    ratchet.Keys.given = [raw("key-1"), raw("key-2"), raw("key-3")]
    Healing.seeds[:], Healing.randomness[:] = [raw("kem-seed")], [raw("encapsulation")]
    alice = ratchet.Ratchet(*keys, theirs=ratchet.Keys._derive_pub(prekey))
    bob = ratchet.Ratchet(*keys, ours=prekey)
    associated = given["ratchet.associated"].encode()
    sent = []

    def seal(peer, text):
        header, body = peer.seal(associated, text, raw(f"nonce-{len(sent) + 1}"))
        sent.append((header, body))
        return header, body

    first = seal(alice, b"first")
    assert bob.open(associated, *first) == b"first"
    late, answer = seal(bob, b"late"), seal(bob, b"answer")
    assert alice.open(associated, *answer) == b"answer"
    second = seal(alice, b"second")
    assert bob.open(associated, *second) == b"second"
    assert alice.open(associated, *late) == b"late"
    for number, (header, body) in enumerate(sent, start=1):
        yield f"ratchet.header-{number}-sha256", sha256(header).hex()
        yield f"ratchet.body-{number}", body.hex()


def padded(content):
    """To the Padmé length, at least 256 bytes."""
    length = len(content) + 1
    if length > 256:
        exponent = length.bit_length() - 1
        step = 1 << (exponent - exponent.bit_length())
        length = -(-length // step) * step
    return (content + b"\x80").ljust(max(length, 256), b"\0")


def envelope(given):
    for number, text in enumerate(["hello", "é" * 500], start=1):
        said = encode([(1, text.encode())])
        content = encode([
            (1, 9), (2, 2), (3, [b"\x03" * 16]), (4, int(given["created"])), (10, said),
        ])
        yield f"content-{number}-sha256", sha256(content).hex()
        yield f"content-{number}-padded-bytes", str(len(padded(content)))
        yield f"content-{number}-padded-sha256", sha256(padded(content)).hex()
    parts = [(1, b"\x01" * 8), (2, b"\x02" * 16), (4, b"\x04" * 80), (5, b"\x05" * 272)]
    yield "frame", encode([(1, encode(parts))]).hex()


def main(path, write):
    with open(path, encoding="ascii") as file:
        inputs, pinned = parse(file.read())
    given = dict(inputs)
    alice, bob = party(given, "alice"), party(given, "bob")
    answers = [
        *identities(given, alice, bob), *handshake(given, alice, bob),
        *one_time(given, alice, bob), *conversation(given), *envelope(given),
    ]
    if write:
        lines = [f"input {name} = {value}\n" for name, value in inputs]
        lines += [f"answer {name} = {value}\n" for name, value in answers]
        with open(path, "w", encoding="ascii") as file:
            file.write(HEADING + "".join(lines))
        return 0
    pinned = dict(pinned)
    wrong = [name for name, value in answers if pinned.pop(name, None) != value] + list(pinned)
    print(f"{len(answers)} answers, different: {' '.join(wrong) or 'none'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], "--write" in sys.argv[2:]))

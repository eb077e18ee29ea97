"""Derives protocol/src/sealed/known-answers.json from its inputs a second time, and opens its seals.

Usage: sealed_answers.py FILE           exit code 1 and what differs
"""

import json
import sys

from primitives import Refused
from sealed import file_of, from_fixed, open_seal, seal

OUTPUTS = ("outer_transcript", "outer_key", "inner_transcript", "inner_key", "seal_sha256", "seal")


def main(path):
    with open(path, encoding="ascii") as file:
        pinned = json.load(file)
    parties = {
        name: (from_fixed(bytes.fromhex(who["certificate"])), bytes.fromhex(who["identity"]))
        for name, who in pinned["parties"].items()
    }
    wrong = []
    for case in pinned["seals"]:
        name, letter = case["name"], bytes.fromhex(case["letter"])
        (sender, secret), (recipient, theirs) = parties[case["sender"]], parties[case["recipient"]]
        ephemeral = bytes.fromhex(case["ephemeral"])
        made = seal(sender, secret, recipient, letter, ephemeral, case["free_bit"])
        wrong += [f"{name}: {key}" for key in OUTPUTS if made[key].hex() != case[key]]
        pinned_seal = bytes.fromhex(case["seal"])
        if open_seal(recipient, theirs, pinned_seal) != (sender, letter):
            wrong.append(f"{name}: opens to something else")
        wrong += [f"{name}: opens {why}" for why, seal_ in refused(pinned_seal)
                  if opens(recipient, theirs, seal_)]
        if opens(sender, secret, pinned_seal):
            wrong.append(f"{name}: opens at its sender")
    seals = [bytes.fromhex(seal_) for seal_ in pinned["file"]["seals"]]
    if file_of(seals).hex() != pinned["file"]["bytes"]:
        wrong.append("file")
    print(f"{len(pinned['seals'])} seals, different: {'; '.join(wrong) or 'none'}")
    return 1 if wrong else 0


def refused(whole):
    """What must not open: a changed bit in each part, and other lengths."""
    for at in (0, 31, 32, 227, 228, len(whole) - 1):
        changed = bytearray(whole)
        changed[at] ^= 0x80
        yield f"with byte {at} changed", bytes(changed)
    yield "cut", whole[:-128]
    yield "longer", whole + bytes(128)


def opens(recipient, secret, data):
    try:
        open_seal(recipient, secret, data)
    except Refused:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

"""Writes events.golden: a TensorBoard event file made from the format's description alone, for events_test.go.

No TensorFlow and no CRC library: CRC-32C is computed bit by bit from its polynomial, messages are laid out by hand.
Run: python3 events.py (in this folder)
"""
import struct


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283  # the check value of CRC-32C


def masked(data):
    c = crc32c(data)
    return (((c >> 15) | (c << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def record(data):
    n = struct.pack("<Q", len(data))
    return n + struct.pack("<I", masked(n)) + data + struct.pack("<I", masked(data))


def varint(n):
    out = b""
    while n > 0x7F:
        out += bytes([n & 0x7F | 0x80])
        n >>= 7
    return out + bytes([n])


def field(number, data):  # length-delimited
    return varint(number << 3 | 2) + varint(len(data)) + data


def wall(t):
    return varint(1 << 3 | 1) + struct.pack("<d", t)


def scalars(step, t, values):
    summary = b"".join(
        field(1, field(1, tag.encode()) + varint(2 << 3 | 5) + struct.pack("<f", v)) for tag, v in values
    )
    return wall(t) + varint(2 << 3) + varint(step) + field(5, summary)


with open("events.golden", "wb") as f:
    f.write(record(wall(1700000000.5) + field(3, b"brain.Event:2")))
    f.write(record(scalars(0, 1700000001.0, [("train/loss", 8.125)])))
    f.write(record(scalars(300, 1700000002.25, [("train/loss", 0.1), ("train/σ", -2.5e-8)])))
    f.write(record(scalars(1 << 40, 1700000003.0, [("x" * 200, float("inf"))])))

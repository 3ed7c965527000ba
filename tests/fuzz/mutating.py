"""Inputs that are nearly right: samples of what a parser takes, changed in a few places by a seeded generator."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from .target import INPUT_BYTES_MAX

NUMBERS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 63, (1 << 64) - 1)
TOKENS = (
    *(b"\xc0", b"\xc1", b"\xc4\xff", b"\xc6\xff\xff\xff\xff", b"\xc9\x00\x00\x00\x00\x01", b"\xca\x7f\xc0\x00\x00"),
    *(b"\xcb\x7f\xf0" + bytes(6), b"\xcf" + b"\xff" * 8, b"\xd3\x80" + bytes(7), b"\xd4\x01\x00", b"\xdc\xff\xff"),
    *(b"\xdd\xff\xff\xff\xff", b"\xde\xff\xff", b"\xdf\xff\xff\xff\xff", b"\x81\xa1k\xc0", b"\xd9\x02\xff\xfe"),
    *(b"\x80" * 64, b"\x90" * 64, b"\x91" * 40, b"\x00", b"\n", b"=", b"[", b"{", b'"', b"-1", b"1e999", b"NaN"),
)
"""Markers of msgpack that begin or promise more than there is, and what means something in text."""


def mutated(samples: Sequence[bytes], rng: Random) -> bytes:
    """One input."""
    data = bytearray(rng.choice(samples) if samples else b"")
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        rng.choice(_WAYS)(data, rng, samples)
    return bytes(data[:INPUT_BYTES_MAX])


def _place(data: bytearray, rng: Random) -> int:
    return rng.randrange(len(data) + 1)


def _flip(data: bytearray, rng: Random, samples: Sequence[bytes]) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _number(data: bytearray, rng: Random, samples: Sequence[bytes]) -> None:
    width = rng.choice((1, 2, 4, 8))
    place = _place(data, rng)
    number = rng.choice((*NUMBERS, len(data), len(data) + 1, rng.getrandbits(64)))
    data[place : place + width] = (number & (1 << 8 * width) - 1).to_bytes(width, rng.choice(("little", "big")))


def _remove(data: bytearray, rng: Random, samples: Sequence[bytes]) -> None:
    place = _place(data, rng)
    del data[place : place + rng.choice((1, 1, 2, 4, 8, 64))]


def _cut(data: bytearray, rng: Random, samples: Sequence[bytes]) -> None:
    del data[_place(data, rng) :]


def _insert(data: bytearray, rng: Random, samples: Sequence[bytes]) -> None:
    place = _place(data, rng)
    data[place:place] = rng.choice(TOKENS) if rng.random() < 0.7 else rng.randbytes(rng.choice((1, 2, 8, 33)))


def _replace(data: bytearray, rng: Random, samples: Sequence[bytes]) -> None:
    place, token = _place(data, rng), rng.choice(TOKENS)
    data[place : place + len(token)] = token


def _repeat(data: bytearray, rng: Random, samples: Sequence[bytes]) -> None:
    start = _place(data, rng)
    part = data[start : start + rng.choice((1, 4, 8, 48))]
    data[start:start] = part * rng.choice((1, 2, 40))


def _splice(data: bytearray, rng: Random, samples: Sequence[bytes]) -> None:
    other = rng.choice(samples) if samples else b""
    cut = rng.randrange(len(other) + 1)
    data[_place(data, rng) :] = other[cut:]


_WAYS = (_flip, _flip, _number, _number, _remove, _cut, _insert, _replace, _repeat, _splice)


def shrunk(data: bytes, fails: object, tries_max: int = 2000) -> bytes:
    """A smaller input that still fails: pieces are left out, then bytes set to zero, as long as that goes on failing."""
    assert callable(fails)
    tries = 0
    size = max(1, len(data) // 2)
    while size and tries < tries_max:
        place = 0
        while place < len(data) and tries < tries_max:
            smaller = data[:place] + data[place + size :]
            tries += 1
            if fails(smaller):
                data = smaller
            else:
                place += size
        size //= 2
    for place in range(len(data)):
        if tries >= tries_max:
            break
        zeroed = data[:place] + b"\0" + data[place + 1 :]
        tries += 1
        if data[place] and fails(zeroed):
            data = zeroed
    return data

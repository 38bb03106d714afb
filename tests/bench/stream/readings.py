"""The readings that all clients get: 1,000 sensors in turn, a season of 24 steps, some noise; the same every time.

Reading number j is of step j // STREAMS and stream j % STREAMS, and says so: it carries `seq` = j.
"""

from __future__ import annotations

import struct

import numpy as np

from edgeseq.core.types import F64
from tests.bench.stream import packets

STREAMS = 1000
SEASON = 24
FIRST_S = 1_700_000_000
"""Time of step 0; the recording's clock runs faster than time, so it lies far back."""
TOPICS = [f"bench/s{stream:04d}".encode() for stream in range(STREAMS)]
FILTER = "bench/+"
MIDS = 32_767
"""Packet ids of these readings: 1 to MIDS; those of strangers are above."""
STRANGERS = 100_000
"""Topics of a flood."""


def values(step: int) -> F64:
    """Draw one value for each stream: (STREAMS,)."""
    noise = np.random.default_rng(step).standard_normal(STREAMS)
    season = np.sin(2 * np.pi * step / SEASON + np.arange(STREAMS))
    drawn: F64 = np.round(20 + season + 0.1 * noise, 2)
    return drawn


def payloads(first: int, count: int) -> list[bytes]:
    """Write readings `first`, `first + 1`, …"""
    made = []
    for step in range(first // STREAMS, (first + count - 1) // STREAMS + 1):
        time_s, seq = FIRST_S + step, step * STREAMS
        made += [
            b'{"temperature": %.2f, "ts": %d, "seq": %d}' % (value, time_s, seq + k)
            for k, value in enumerate(values(step).tolist())
        ]
    skipped = first % STREAMS
    return made[skipped : skipped + count]


def blobs(first: int, count: int, *, qos: int, version: int) -> list[bytes]:
    """Write them as packets, ready to be sent."""
    flags = packets.PUBLISH << 4 | 2 * qos
    properties = b"\0" if version == packets.V5 else b""
    heads = [packets.text(topic) for topic in TOPICS]
    # These packets are shorter than 128 bytes: one byte says how long they are.
    extra = len(heads[0]) + 2 * qos + len(properties)
    if not qos:
        return [
            b"%c%c%b%b%b" % (flags, extra + len(payload), heads[j % STREAMS], properties, payload)
            for j, payload in enumerate(payloads(first, count), first)
        ]
    return [
        b"%c%c%b%b%b%b"
        % (
            flags,
            extra + len(payload),
            heads[j % STREAMS],
            struct.pack(">H", j % MIDS + 1),
            properties,
            payload,
        )
        for j, payload in enumerate(payloads(first, count), first)
    ]


def crowded(sent: list[bytes], first: int, crowd: int, *, qos: int, version: int) -> list[bytes]:
    """Put `crowd` readings of STRANGERS topics, which no stream has, before each of these readings."""
    made = []
    for j, blob in enumerate(sent, first):
        numbers = range(j * crowd, (j + 1) * crowd)
        made.append(b"".join(_stranger(number, qos, version) for number in numbers) + blob)
    return made


def _stranger(number: int, qos: int, version: int) -> bytes:
    payload = b'{"temperature": 20.5, "ts": %d, "seq": %d}' % (FIRST_S + number // STRANGERS, number)
    mid = (MIDS + 1 + number % MIDS) * qos
    return packets.publish(b"bench/x%06d" % (number % STRANGERS), payload, mid=mid, version=version)

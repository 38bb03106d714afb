"""Give back what comes, byte for byte: a client that costs nothing, to see what the generator manages. PORT QOS."""

from __future__ import annotations

import socket
import sys

from tests.bench.stream import packets

with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as broker:
    broker.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    broker.sendall(packets.connect(b"mirror") + packets.subscribe(1, {b"bench/+": 0}))
    expected = len(packets.connack(4)) + len(packets.granted(packets.subscribe(1, {b"bench/+": 0})[2:], 8, 4))
    while expected:
        expected -= len(broker.recv(expected))
    while data := broker.recv(1 << 18):
        broker.sendall(data)

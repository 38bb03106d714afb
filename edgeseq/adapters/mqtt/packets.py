"""MQTT packets from and to bytes, 3.1.1 and 5: PUBLISH, PUBACK, and the frame of all others.

The loop over PUBLISH packets is the hottest of the daemon's own loops, so it stands in one function. Whatever the bytes
are, the only thing raised is Malformed.
"""

from __future__ import annotations

from functools import lru_cache

from edgeseq.core.types import Message

CONNACK, PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT = 0x20, 0x30, 0x40, 0x90, 0xB0, 0xD0, 0xE0

MAX_TOPICS = 8192
"""Names of topics kept, decoded or encoded: some 1 MB."""

MAX_KEPT_BYTES = 256
"""Longer names are decoded each time: MQTT allows 64 KB, and a flood of those would fill the memory."""

UNREADABLE = "\ufffd"
"""A topic that is not UTF-8: it matches no rule, so it is counted as unknown."""

MALFORMED, PROTOCOL_ERROR, TOO_LARGE = 0x81, 0x82, 0x95
"""Reason codes of MQTT 5."""

_SIZES = {0x01: 1, 0x02: 4}
_TEXTS = {0x03: 1, 0x08: 1, 0x09: 1, 0x26: 2}
_SUBSCRIPTION_ID, _TOPIC_ALIAS = 0x0B, 0x23


class Malformed(Exception):
    """These bytes are not what a broker may send; `code` is MQTT 5's word for it."""

    def __init__(self, text: str, code: int = MALFORMED) -> None:
        super().__init__(text)
        self.code = code


class Publishes:
    """The reader of PUBLISH packets; it remembers the names of topics."""

    def __init__(self, *, is_version_5: bool, max_bytes: int) -> None:
        self._is_version_5 = is_version_5
        self._max_bytes = max_bytes
        self._topics: dict[bytes, str] = {}

    def read(self, data: bytes, at: int, into: list[Message], room: int, now_ns: int) -> int:
        """Append the messages of all complete PUBLISH packets from `at` on, until `into` holds `room` of them.

        Returns where the first byte is that was not taken: of another kind of packet, or of an incomplete one.
        """
        topics, is_version_5, size = self._topics, self._is_version_5, len(data)
        try:
            while at < size - 1 and data[at] & 0xF0 == PUBLISH and len(into) < room:
                first, length = data[at], data[at + 1]
                begin = at + 2
                if length > 127:
                    found = frame(data, at, self._max_bytes)
                    if found is None:
                        break
                    begin, length = found
                end = begin + length
                if end > size:
                    break
                rest = name_end = begin + 2 + (data[begin] << 8) + data[begin + 1]
                mid = 0
                if first & 0x06:
                    mid = (data[rest] << 8) + data[rest + 1]
                    rest += 2
                    if first & 0x04 or not mid:
                        raise Malformed("PUBLISH of QoS 2 or 3, or without packet id", PROTOCOL_ERROR)
                if is_version_5:
                    rest = rest + 1 if data[rest] == 0 else _skip_properties(data, rest, end)
                if rest > end or name_end == begin + 2:
                    raise Malformed("PUBLISH without topic, or shorter than its parts")
                name = data[begin + 2 : name_end]
                topic = topics.get(name) or self._decode(name)
                message = Message(topic, data[rest:end], now_ns, first & 0x01 != 0, first & 0x08 != 0, mid)
                into.append(message)
                at = end
        except IndexError:
            raise Malformed("PUBLISH shorter than its parts") from None
        return at

    def _decode(self, name: bytes) -> str:
        try:
            topic = name.decode()
        except UnicodeDecodeError:
            topic = UNREADABLE
        if len(self._topics) >= MAX_TOPICS:
            self._topics.clear()
        if len(name) <= MAX_KEPT_BYTES:
            self._topics[name] = topic
        return topic


def frame(data: bytes, at: int, max_bytes: int) -> tuple[int, int] | None:
    """Give where the body of the packet at `at` begins, and its length; None while the length is incomplete.

    Raises Malformed where the length is none, or more than `max_bytes`: before any of it is waited for.
    """
    length = shift = 0
    for place in range(at + 1, min(at + 5, len(data))):
        byte = data[place]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            if length > max_bytes:
                raise Malformed(f"packet of {length} bytes, allowed {max_bytes}", TOO_LARGE)
            return place + 1, length
    if shift == 28:
        raise Malformed("length of a packet in more than 4 bytes")
    return None


def _skip_properties(data: bytes, at: int, end: int) -> int:
    """Check the properties of a PUBLISH and give the place behind them. Raises Malformed, IndexError."""
    found = frame(data, at - 1, end - at)
    if found is None:
        raise Malformed("properties shorter than they say")
    at, length = found
    stop = at + length
    if stop > end:
        raise Malformed("properties longer than their packet")
    while at < stop:
        name = data[at]
        at += 1
        if name in _SIZES:
            at += _SIZES[name]
        elif name in _TEXTS:
            for _ in range(_TEXTS[name]):
                at += 2 + (data[at] << 8) + data[at + 1]
        elif name == _SUBSCRIPTION_ID:
            number = frame(data, at - 1, 2**28)
            at = number[0] if number else stop + 1
        elif name == _TOPIC_ALIAS:
            raise Malformed("topic alias, though none is allowed", PROTOCOL_ERROR)
        else:
            raise Malformed(f"property 0x{name:02x} of a PUBLISH, which MQTT 5 does not know")
    if at != stop:
        raise Malformed("property longer than all properties")
    return stop


# --- to bytes -------------------------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def length_bytes(length: int) -> bytes:
    """Encode the length of a packet.

    >>> length_bytes(321).hex()
    'c102'
    """
    if length < 0x80:
        return bytes((length,))
    if length < 0x4000:
        return bytes((length & 0x7F | 0x80, length >> 7))
    return bytes((length & 0x7F | 0x80,)) + length_bytes(length >> 7)


def topic_bytes(topic: str) -> bytes:
    """Encode a topic, its length in front."""
    name = topic.encode()
    return len(name).to_bytes(2, "big") + name


def puback_bytes(mids: list[int]) -> bytes:
    """Encode acknowledgements.

    >>> puback_bytes([1, 258]).hex(" ", 4)
    '40020001 40020102'
    """
    return b"".join([b"\x40\x02" + mid.to_bytes(2, "big") for mid in mids])


def publish_length(topic: str, payload: bytes, *, has_mid: bool, is_version_5: bool) -> int:
    """Count the bytes of a PUBLISH packet.

    >>> publish_length("a/b", bytes(200), has_mid=True, is_version_5=True)
    211
    """
    body = 2 + len(topic.encode()) + 2 * has_mid + is_version_5 + len(payload)
    return 1 + len(length_bytes(body)) + body


def publish_bytes(
    topic: str, payload: bytes, mid: int, *, is_retained: bool, is_again: bool, is_version_5: bool
) -> bytes:
    """Encode a PUBLISH of QoS 1."""
    first = PUBLISH | 0x02 | (0x08 if is_again else 0) | (0x01 if is_retained else 0)
    body = topic_bytes(topic) + mid.to_bytes(2, "big") + (b"\0" if is_version_5 else b"") + payload
    return bytes((first,)) + length_bytes(len(body)) + body

"""Line protocol: whatever bytes come where lines are expected."""

from __future__ import annotations

from collections.abc import Callable

from tests.fuzz.decoders import checker, seeds_of

TOKENS = (
    *(
        "cpu",
        ",host=a",
        " usage=",
        "=1i",
        "=2u",
        "=t",
        '="a b"',
        "\\ ",
        "\\,",
        "\\=",
        '\\"',
        "\n",
        "\r\n",
        "#",
    ),
    *(
        " 1772359200000000000",
        " 1772359200",
        " -1",
        "1e308",
        "nan",
        "1e999",
        "9223372036854775808i",
        ",,",
        "  ",
    ),
)


def seeds() -> list[bytes]:
    """Give inputs to begin with."""
    odd = (
        b"a b=1",
        b"a,b=c d=1,e=2 5",
        b'a b="x,y=1 z",c=2',
        rb"a\ b,c\=d=e\,f g\ h=1i 7",
        b"a b=1,",
        b"a  b=1  9 ",
        b" a b=1",
    )
    return [*seeds_of("influx"), *(b"\0\0" + line for line in odd)]


def new() -> Callable[[bytes], None]:
    """Make a node that takes an input as a message."""
    return checker("influx")

"""Where metrics are told: an address of this machine, or a file."""

from __future__ import annotations

from pathlib import Path

from edgeseq.config.place import Place

Address = tuple[str, int] | Path
"""Host and port, or the path of a socket."""

MAX_SOCKET_PATH_BYTES = 107
"""unix(7): sun_path has 108 bytes, the last of them zero."""

WANTED = '"127.0.0.1:9464", "[::1]:9464" or "unix:/run/edgeseq/metrics.sock"'


def address(place: Place, text: str | None) -> Address | None:
    """Read where to listen. Raises ConfigError: metrics carry no password, so they do not leave the machine."""
    if text is None:
        return None
    if text.startswith("unix:"):
        path = Path(text.removeprefix("unix:"))
        if not path.is_absolute() or len(str(path).encode()) > MAX_SOCKET_PATH_BYTES:
            raise place.fault("this is no path of a socket", "listen", found=text, wanted=WANTED)
        return path
    host, _, port = text.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or not 0 < int(port) <= 65_535:
        raise place.fault("this is no address to listen on", "listen", found=text, wanted=WANTED)
    name = "127.0.0.1" if host == "localhost" else host.removeprefix("[").removesuffix("]")
    if not _is_loopback(name):
        raise place.fault(
            "metrics are told on this machine only",
            "listen",
            found=text,
            wanted=WANTED,
            do="let a proxy or a collector on this machine pass them on",
        )
    return name, int(port)


def _is_loopback(host: str) -> bool:
    import ipaddress  # only where metrics are told

    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def textfile(place: Place, base: Path, name: str | None) -> Path | None:
    """Find the file of a textfile collector, which reads no others than *.prom. Raises ConfigError."""
    if name is None:
        return None
    path = base / name
    if path.suffix != ".prom":
        raise place.fault(
            "a collector would not read this", "textfile", found=name, wanted="a name that ends in .prom"
        )
    return path

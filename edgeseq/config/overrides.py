"""Environment variables that stand above the file: EDGESEQ__MQTT__HOST=… is mqtt.host.

A key of text takes the variable as it is, any other reads it as TOML. Tables of the file alone: an array such as
[[streams]] has no stable index, and a variable that sets its second element would set another one after an edit.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Any

from edgeseq.errors import ConfigError

PREFIX = "EDGESEQ__"
SEPARATOR = "__"

SECRETS = frozenset({"password", "passphrase", "secret", "token", "key"})
"""Keys that people expect; they do not exist, since environments and configurations are read by others."""


def overrides(environment: Mapping[str, str]) -> dict[str, str]:
    """List the variables that override something: path such as mqtt.host → name of the variable.

    Raises:
        ConfigError: a variable names an element of an array, or no path of a table and a key.

    >>> overrides({"EDGESEQ__MQTT__HOST": "broker", "LANG": "C"})
    {'mqtt.host': 'EDGESEQ__MQTT__HOST'}
    """
    found = {}
    for name in sorted(environment):
        if not name.startswith(PREFIX):
            continue
        parts = name.removeprefix(PREFIX).lower().split(SEPARATOR)
        if parts[0] in ("streams", "maintenance") or any(part.isdigit() for part in parts):
            raise ConfigError(
                "an element of an array cannot be overridden",
                where=f"environment: {name}",
                found=".".join(parts),
                wanted="a table and a key, such as EDGESEQ__MQTT__HOST for mqtt.host",
                do="write it into the configuration file",
            )
        if len(parts) != 2 or not all(parts):
            raise ConfigError(
                "this variable names no key",
                where=f"environment: {name}",
                wanted="a table and a key, such as EDGESEQ__MQTT__HOST for mqtt.host",
                do="correct its name, or unset it",
            )
        found[".".join(parts)] = name
    return found


def refuse_secrets(data: Mapping[str, Any], sources: Mapping[str, str], name: str) -> None:
    """Refuse secrets in the file or environment, without repeating them. Raises ConfigError."""
    settings = data.get("mqtt")
    if not isinstance(settings, Mapping):
        return
    for key in SECRETS & settings.keys():
        raise ConfigError(
            f"{key} does not belong into a configuration",
            where=_where(f"mqtt.{key}", sources, name),
            found="a secret (not shown)",
            wanted="mqtt.password_file, the name of a file that holds the password alone",
            do="move it into a file that only edgeseq's user may read (chmod 600), or give systemd the credential "
            "mqtt-password; then change the password, since others may have read this one",
        )
    host = settings.get("host")
    if isinstance(host, str) and ("@" in host or "://" in host):
        raise ConfigError(
            "the host is no name",
            where=_where("mqtt.host", sources, name),
            found="a URL, or something with a user in it (not shown)",
            wanted="a name or an address, such as localhost",
            do="use the keys host, port, tls, username and password_file",
        )


def value_of(text: str, *, is_text: bool) -> Any:
    """Read what a variable says: text as it is, anything else as TOML; what is no TOML stays text, and is explained.

    >>> value_of("8883", is_text=False), value_of("8883", is_text=True), value_of("many", is_text=False)
    (8883, '8883', 'many')
    """
    if is_text:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        return text


def _where(path: str, sources: Mapping[str, str], name: str) -> str:
    return f"environment: {sources[path]}" if path in sources else f"{name}: {path}"

"""What a [[streams]] table says of decoders and units, and what contradicts itself in it."""

from __future__ import annotations

import difflib
import importlib.util

import msgspec

from edgeseq.config import StreamConfig
from edgeseq.config.place import Place
from edgeseq.core.decoders import FAMILIES
from edgeseq.core.decoders.family import Family
from edgeseq.core.types import StreamRule
from edgeseq.core.units import canonical, conversion, is_known


def family_of(stream: StreamConfig, place: Place) -> Family | None:
    """Find the decoder that a table names; None where it names none."""
    if stream.decoder is None:
        return None
    family = FAMILIES.get(stream.decoder)
    if family is None:
        close = difflib.get_close_matches(stream.decoder, FAMILIES, n=1, cutoff=0.5)
        raise place.fault(
            "there is no such decoder",
            "decoder",
            found=stream.decoder,
            wanted=f"one of {', '.join(FAMILIES)}",
            do=f"did you mean {close[0]}?" if close else "remove it to read JSON paths or plain numbers",
        )
    if family.needs and not _is_installed(family.needs):
        raise place.fault(
            f"the decoder needs a module that is not installed: {family.needs}",
            "decoder",
            found=stream.decoder,
            do=f"pip install 'edgeseq[{family.extra}]'",
        )
    return family


def decoded(rule: StreamRule, stream: StreamConfig, place: Place) -> StreamRule:
    """Tell a rule how its messages are decoded and converted."""
    family = family_of(stream, place)
    _check_decoder(rule, stream, family, place)
    wanted = (stream.convert,) if isinstance(stream.convert, str) else tuple(stream.convert or ())
    unknown = [unit for unit in wanted if not is_known(unit)]
    if unknown:
        raise place.fault(
            "nothing is known of a unit that readings shall become",
            "convert",
            found=unknown[0],
            wanted="a unit such as °C, W, kWh, hPa, m³, km/h",
        )
    if family is not None:
        return msgspec.structs.replace(
            rule, decoder=family.name, may_ask=stream.rebirth, convert=tuple(map(canonical, wanted))
        )
    return _converted(rule, wanted, place) if wanted else rule


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it
        return False


def _converted(rule: StreamRule, wanted: tuple[str, ...], place: Place) -> StreamRule:
    """Convert the channels of a rule without a decoder, whose units stand in the configuration."""
    conversions, units = {}, {}
    for name in rule.channel_names:
        unit = rule.unit_of(name) or ""
        units[name] = unit
        for target in wanted:
            if change := conversion(unit, target):
                conversions[name], units[name] = tuple(change), canonical(target)
                break
    if not conversions:
        raise place.fault(
            "none of these readings can become that unit",
            "convert",
            found=f"{', '.join(wanted)} from {rule.unit or ', '.join(rule.units.values()) or 'no unit'}",
            wanted="unit: the one that readings come in, of the same dimension",
            do='such as unit = "°F" with convert = "°C"',
        )
    given = {name: unit for name, unit in units.items() if unit}
    return msgspec.structs.replace(rule, conversions=conversions, units=given)


def _check_decoder(rule: StreamRule, stream: StreamConfig, family: Family | None, place: Place) -> None:
    """Refuse what a decoder has no use for."""
    if stream.rebirth and (family is None or family.name != "sparkplug"):
        raise place.fault(
            "only edge nodes of Sparkplug can be asked to be born again",
            "rebirth",
            do='remove it, or add decoder = "sparkplug"',
        )
    if family is None:
        return
    if rule.channels:
        raise place.fault(
            "a decoder makes a stream of each number, channels bind several",
            "channels",
            do="name JSON paths in the channels and remove decoder, or remove the channels",
        )
    for key, path in (("time", rule.time_field), ("id", rule.id_field), ("quality", rule.quality_field)):
        if path is not None and not family.is_document:
            documents = ", ".join(name for name, other in FAMILIES.items() if other.is_document)
            raise place.fault(
                f"{key} is looked up in JSON, which messages of this family are not",
                key,
                found=path,
                wanted=f"a decoder of JSON ({documents}), or no {key}",
                do="remove it: their own times are taken" if family.has_times else "remove it",
            )

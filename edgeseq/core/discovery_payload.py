"""A discovery message of Home Assistant, as structs: device-based, with the abbreviations that it knows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

Platform = Literal["sensor", "binary_sensor", "event", "button"]


class Availability(
    msgspec.Struct, frozen=True, omit_defaults=True, rename={"topic": "t", "template": "val_tpl"}
):
    """What says online or offline."""

    topic: str
    template: str | UnsetType = UNSET


class Component(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    rename={
        "platform": "p",
        "unique_id": "uniq_id",
        "state_topic": "stat_t",
        "value_template": "val_tpl",
        "unit": "unit_of_meas",
        "device_class": "dev_cla",
        "state_class": "stat_cla",
        "attributes_topic": "json_attr_t",
        "attributes_template": "json_attr_tpl",
        "category": "ent_cat",
        "is_enabled": "en",
        "options": "ops",
        "command_topic": "cmd_t",
        "payload_press": "pl_prs",
        "availability": "avty",
        "icon": "ic",
    },
):
    """An entity. With its platform alone: one that is to be removed."""

    platform: Platform
    name: str | UnsetType = UNSET
    unique_id: str | UnsetType = UNSET
    state_topic: str | UnsetType = UNSET
    value_template: str | UnsetType = UNSET
    unit: str | UnsetType = UNSET
    device_class: str | UnsetType = UNSET
    state_class: str | UnsetType = UNSET
    attributes_topic: str | UnsetType = UNSET
    attributes_template: str | UnsetType = UNSET
    category: Literal["diagnostic"] | UnsetType = UNSET
    is_enabled: bool = True
    options: tuple[str, ...] = ()
    event_types: tuple[str, ...] = ()
    command_topic: str | UnsetType = UNSET
    payload_press: str | UnsetType = UNSET
    qos: int = 0
    availability: tuple[Availability, ...] = ()
    icon: str | UnsetType = UNSET


class Device(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True,
    rename={"identifiers": "ids", "manufacturer": "mf", "model": "mdl", "version": "sw"},
):  # fmt: skip
    """What entities belong to."""

    identifiers: str
    name: str
    manufacturer: str = ""
    model: str = ""
    version: str = ""
    via_device: str | UnsetType = UNSET


class Origin(msgspec.Struct, frozen=True, rename={"version": "sw"}):
    """Who tells of it."""

    name: str
    version: str


class Announcement(
    msgspec.Struct, frozen=True, kw_only=True,
    rename={"device": "dev", "origin": "o", "components": "cmps", "availability": "avty", "mode": "avty_mode"},
):  # fmt: skip
    """A discovery message."""

    device: Device
    origin: Origin
    availability: tuple[Availability, ...]
    """Of components that name none of their own."""
    mode: Literal["all"] = "all"
    components: dict[str, Component]


def removed(keys: Mapping[str, Platform]) -> dict[str, Component]:
    """Give what takes entities away: of each the platform alone."""
    return {key: Component(platform=platform) for key, platform in keys.items()}

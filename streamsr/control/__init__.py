"""Steering and watching a node over MQTT. Decides nothing about streams, touches no picture."""

from streamsr.control.access import check_mqtt
from streamsr.control.client import Mqtt
from streamsr.control.controlled import Camera, Controlled

__all__ = ["Camera", "Controlled", "Mqtt", "check_mqtt"]

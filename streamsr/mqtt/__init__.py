"""Steering and watching a node over MQTT. Decides nothing about streams, touches no picture."""

from streamsr.mqtt.client import MqttClient
from streamsr.mqtt.credentials import check_mqtt
from streamsr.mqtt.node_api import CameraState, NodeApi

__all__ = ["CameraState", "MqttClient", "NodeApi", "check_mqtt"]

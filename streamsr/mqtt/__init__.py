"""Watching and controlling a node over MQTT. Decides nothing about streams, touches no frame."""

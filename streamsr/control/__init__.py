"""Steering and watching a node over MQTT. Decides nothing about streams, touches no picture."""

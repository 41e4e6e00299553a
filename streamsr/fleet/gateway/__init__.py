"""One face of a fleet: page, API, metrics and MQTT of all cameras, wherever each runs."""

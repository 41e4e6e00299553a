"""One machine of a fleet: its node's process, its leases, and what it reports. Without Ray."""

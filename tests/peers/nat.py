"""A server behind a router that passes some of its ports on, as a container's is: network
namespaces of Linux, which are really cut off from one another."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["NAT_INSTALL", "OUTSIDE", "behind_nat", "in_namespace", "nat_is_possible"]

NAT_INSTALL = "apt-get install iproute2 iptables, as root"
NAMES = {part: f"{part}-{os.getpid()}" for part in ("client", "router", "server")}  # tests run
CLIENT, ROUTER, SERVER = NAMES.values()  # side by side
PROBE = f"probe-{os.getpid()}"
OUTSIDE = "10.9.0.1"  # the router's address for clients
INSIDE = "172.30.0.2"  # the server's, which no client reaches


def nat_is_possible() -> bool:
    """Whether namespaces can be made here, with address translation in them."""
    if shutil.which("ip") is None or shutil.which("iptables") is None:
        return False
    made = subprocess.run(["ip", "netns", "add", PROBE], check=False, capture_output=True)
    if made.returncode:
        return False
    rules = ["ip", "netns", "exec", PROBE, "iptables", "-t", "nat", "-L"]
    allowed = subprocess.run(rules, check=False, capture_output=True).returncode == 0
    subprocess.run(["ip", "netns", "del", PROBE], check=False, capture_output=True)
    return allowed


def in_namespace(name: str, *command: str) -> list[str]:
    """The command that runs ``command`` there: "client" or "server"."""
    return ["ip", "netns", "exec", NAMES[name], *command]


@contextmanager
def behind_nat(tcp: int, udp: str) -> Iterator[None]:
    """Passes a TCP port and a range of UDP ports ("50000:50019") on to the server, and no more.

    Nothing that the server begins by itself gets out.
    """
    try:
        for name in (CLIENT, ROUTER, SERVER):
            _run("ip", "netns", "add", name)
            _run("ip", "-n", name, "link", "set", "lo", "up")
        _link(CLIENT, "10.9.0.2/24", "outside", f"{OUTSIDE}/24")
        _link(SERVER, f"{INSIDE}/24", "inside", "172.30.0.1/24")
        _run("ip", "-n", SERVER, "route", "add", "default", "via", "172.30.0.1")
        _run("ip", "netns", "exec", ROUTER, "sysctl", "-qw", "net.ipv4.ip_forward=1")
        rules = ["ip", "netns", "exec", ROUTER, "iptables"]
        for protocol, ports in (("tcp", str(tcp)), ("udp", udp)):
            came = ["-i", "outside", "-d", OUTSIDE, "-p", protocol, "--dport", ports]
            _run(*rules, *["-t", "nat", "-A", "PREROUTING"], *came, "-j", "DNAT", "--to", INSIDE)
        for state in ("ESTABLISHED,RELATED", "DNAT"):
            _run(*rules, *f"-A FORWARD -m conntrack --ctstate {state} -j ACCEPT".split())
        _run(*rules, "-P", "FORWARD", "DROP")
        yield
    finally:
        for name in (CLIENT, ROUTER, SERVER):
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def _link(name: str, address: str, to: str, router_address: str) -> None:
    """A cable between a namespace and the router's interface ``to``."""
    _run(*f"ip link add eth0 netns {name} type veth peer name {to} netns {ROUTER}".split())
    for space, device, its in ((name, "eth0", address), (ROUTER, to, router_address)):
        _run("ip", "-n", space, "addr", "add", its, "dev", device)
        _run("ip", "-n", space, "link", "set", device, "up")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)

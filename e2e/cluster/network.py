"""The machine's own address: what may stand in an EndpointSlice."""

import ipaddress
import socket
from typing import Final

DOCUMENTATION: Final = "192.0.2.1"
"""RFC 5737: never routed. Stands in where the machine has no address but loopback; nothing connects to it then."""


def advertised_address() -> str:
    """An IPv4 address of this machine that is not loopback: the host refuses loopback ones in EndpointSlices."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((DOCUMENTATION, 9))  # chooses a route; a datagram socket sends nothing for it
            found = str(probe.getsockname()[0])
        except OSError:
            return DOCUMENTATION
    ip = ipaddress.ip_address(found)
    return DOCUMENTATION if ip.is_loopback or ip.is_link_local or ip.is_unspecified else found

"""Where the servers listen, and what they demand of who is not on this machine."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from bridge.refusal import Refusal

MIN_TOKEN_CHARS = 16
_LOCALHOST = "localhost"


@dataclass(frozen=True)
class ControlConfig:
    """Addresses and limits; port 0 lets the system choose.

    `host` "localhost" is 127.0.0.1 and, where there is one, ::1. Anything beyond loopback needs
    `is_lan_allowed`, a token for OSC and HTTP, and CURVE keys for ZeroMQ. Raises Refusal.
    """

    host: str = _LOCALHOST
    osc_port: int = 9120
    command_port: int = 9121
    publish_port: int = 9122
    http_port: int = 9123
    is_lan_allowed: bool = False
    token: str | None = None
    curve_secret_key_file: Path | None = None
    curve_client_keys_folder: Path | None = None
    lease_seconds: float = 60.0
    max_clients: int = 64
    tcp_read_deadline_seconds: float = 5.0
    max_connections: int = 32
    name: str = "musicgen-rt"

    def __post_init__(self) -> None:
        for port in (self.osc_port, self.command_port, self.publish_port, self.http_port):
            if not 0 <= port <= 65535:
                raise Refusal(f"port {port}: expected 0 to 65535")
        if self.is_loopback:
            return
        if not self.is_lan_allowed:
            raise Refusal(
                f"host {self.host!r} is reachable from other machines: expected localhost; allow "
                "it explicitly, with a token and CURVE keys, if that is what you want"
            )
        if self.token is None or len(self.token) < MIN_TOKEN_CHARS:
            raise Refusal(
                f"host {self.host!r} needs a token of at least {MIN_TOKEN_CHARS} characters, which "
                "OSC and HTTP clients must know"
            )
        if self.curve_secret_key_file is None or self.curve_client_keys_folder is None:
            raise Refusal(
                f"host {self.host!r} needs CURVE for ZeroMQ: a file with the server's secret key "
                "and a folder with the public keys of the clients that may connect"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the servers."""
        return all(is_loopback(address) for address in self.addresses)

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses to bind; all but the first may be missing on a machine."""
        if self.host == _LOCALHOST:
            return ("127.0.0.1", "::1")
        try:
            return (str(ipaddress.ip_address(self.host)),)
        except ValueError as error:
            raise Refusal(
                f"host {self.host!r}: expected localhost or the address of an interface"
            ) from error


@lru_cache(maxsize=1024)
def is_loopback(address: str) -> bool:
    """Whether an address is of this machine only."""
    try:
        return ipaddress.ip_address(address.partition("%")[0]).is_loopback
    except ValueError:
        return False

"""Who is told of events, and until when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bridge.control.client import Client
from bridge.refusal import Refusal

# Besides, so many clients for each of those may listen to a parameter or two.
_WATCHERS_EACH = 4


@dataclass
class _Lease:
    identity: int
    client: Client  # with the port that it wants its replies on
    end_ns: int
    is_told_events: bool


class Subscribers:
    """Clients that subscribed with /mgrt/notify; a lease ends unless the client is heard of.

    [control]
    """

    def __init__(self, lease_seconds: float, max_clients: int) -> None:
        self.lease_seconds = lease_seconds
        self._lease_ns = round(lease_seconds * 1e9)
        self._max_clients = max_clients
        self._leases: dict[Client, _Lease] = {}
        self._count = 0

    def __len__(self) -> int:
        return sum(lease.is_told_events for lease in self._leases.values())

    def __iter__(self) -> Iterator[Client]:
        """Those that are told of events."""
        return iter([one.client for one in self._leases.values() if one.is_told_events])

    def subscribe(self, client: Client, now_ns: int) -> int:
        """Tell a client of events from now on; its id. Raises Refusal if there are too many."""
        known = self._leases.get(client)
        is_new = known is None or not known.is_told_events
        if is_new and len(self) >= self._max_clients:
            raise Refusal(
                f"{self._max_clients} clients are subscribed already: let one of them leave "
                f"with /mgrt/notify 0, or wait {self.lease_seconds:g} s"
            )
        lease = self._lease(client, now_ns)
        lease.client, lease.is_told_events = client, True
        return lease.identity

    def unsubscribe(self, client: Client) -> int:
        """Tell a client of events no more; its id, 0 if it was not told."""
        lease = self._leases.get(client)
        if lease is None or not lease.is_told_events:
            return 0
        lease.is_told_events = False
        return lease.identity

    def watch(self, client: Client, now_ns: int) -> None:
        """Notice when a client is not heard of any more. Raises Refusal if there are too many."""
        most = self._max_clients * _WATCHERS_EACH
        if client not in self._leases and len(self._leases) >= most:
            raise Refusal(f"{most} clients listen already: wait {self.lease_seconds:g} s")
        self._lease(client, now_ns)

    def forget(self, client: Client) -> None:
        """A client has gone."""
        self._leases.pop(client, None)

    def heard_of(self, client: Client, now_ns: int) -> Client:
        """Renew the lease of a client that has sent something; the client as it subscribed."""
        lease = self._leases.get(client)
        if lease is None:
            return client
        lease.end_ns = now_ns + self._lease_ns
        return lease.client if client.reply_port is None else client

    def take_expired(self, now_ns: int) -> list[Client]:
        """Take out those that were not heard of for too long."""
        expired = [client for client, lease in self._leases.items() if lease.end_ns <= now_ns]
        for client in expired:
            del self._leases[client]
        return expired

    def _lease(self, client: Client, now_ns: int) -> _Lease:
        """A client's lease, begun or renewed."""
        lease = self._leases.get(client)
        if lease is None:
            self._count += 1
            lease = self._leases[client] = _Lease(self._count, client, 0, is_told_events=False)
        lease.end_ns = now_ns + self._lease_ns
        return lease

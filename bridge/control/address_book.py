"""From an address or a pattern to entries of the protocol's table."""

from __future__ import annotations

from functools import lru_cache

from bridge.control.address_pattern import AddressPattern, is_pattern
from bridge.control.rate_limit import Rate, RateLimit
from bridge.entry import Entry
from bridge.protocol import BY_ADDRESS, PATTERN_ADDRESSES, unknown_text
from bridge.refusal import Refusal

MAX_MATCHES = 16
# Looking for the address that was meant takes a millisecond.
_SUGGESTIONS = Rate(per_second=20, burst=40)


class AddressBook:
    """Looks addresses up. [control]"""

    def __init__(self) -> None:
        self._suggestions = RateLimit(_SUGGESTIONS)

    def entries(self, address: str, now_ns: int) -> tuple[Entry, ...]:
        """What an address or a pattern means. Raises Refusal if it is nothing, or too much."""
        entry = BY_ADDRESS.get(address)
        if entry is not None:
            return (entry,)
        if is_pattern(address):
            return _matches(address)
        if self._suggestions.permits(None, now_ns):
            raise Refusal(unknown_text(address))
        raise Refusal("unknown address")


@lru_cache(maxsize=256)
def _matches(text: str) -> tuple[Entry, ...]:
    pattern = AddressPattern(text)
    matches = [address for address in PATTERN_ADDRESSES if pattern.matches(address)]
    if not 1 <= len(matches) <= MAX_MATCHES:
        raise Refusal(
            f"the pattern matches {len(matches)} addresses that patterns may reach: expected 1 to "
            f"{MAX_MATCHES}"
        )
    return tuple(BY_ADDRESS[address] for address in matches)

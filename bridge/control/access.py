"""Who may speak: this machine, and beyond it those that prove to know the token.

The token is never sent. A client asks for a challenge, which holds once, and answers with the
HMAC-SHA256 of it under the token; so a recorded answer is worth nothing. A wrong answer makes its
host wait, each time twice as long; nothing here waits itself.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from bridge.control.client import Client
from bridge.control.control_config import is_loopback
from bridge.control.position import SECOND_NS
from bridge.refusal import Refusal

_CHALLENGE_NS = 30 * SECOND_NS
_MAX_DELAY_SECONDS = 64
_MAX_KEPT = 256

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass
class _Suspicion:
    failures: int = 0
    until_ns: int = 0


def answer_to(challenge: str, token: str) -> str:
    """The answer that proves to know the token."""
    return hmac.new(token.encode(), challenge.encode(), hashlib.sha256).hexdigest()


class Access:
    """Challenges, grants and suspicions, each kept for the last few clients. [control]"""

    def __init__(self, token: str | None, grant_seconds: float) -> None:
        self._token = token
        self._grant_ns = round(grant_seconds * SECOND_NS)
        self._challenges: OrderedDict[Client, tuple[str, int]] = OrderedDict()
        self._granted: OrderedDict[Client, int] = OrderedDict()
        self._suspicions: OrderedDict[str, _Suspicion] = OrderedDict()

    def permits(self, client: Client, now_ns: int) -> bool:
        """Whether a client may send commands; if so its grant is renewed.

        ZeroMQ has shown its key before anything of it arrives, and HTTP shows a token each time.
        """
        if client.transport not in ("udp", "tcp") or is_loopback(client.host):
            return True
        if self._granted.get(client, 0) <= now_ns:
            return False
        _keep(self._granted, client, now_ns + self._grant_ns)
        return True

    def challenge(self, client: Client, now_ns: int) -> str:
        """A new challenge for a client, in place of an earlier one."""
        challenge = secrets.token_hex(16)
        _keep(self._challenges, client, (challenge, now_ns + _CHALLENGE_NS))
        return challenge

    def answer(self, client: Client, answer: str, now_ns: int) -> None:
        """Let a client in. Raises Refusal for a wrong, late or repeated answer."""
        suspicion = self._suspicions.get(client.host, _Suspicion())
        if now_ns < suspicion.until_ns:
            seconds = (suspicion.until_ns - now_ns) / SECOND_NS
            raise Refusal(f"too many wrong answers: wait {seconds:.0f} s and ask for a challenge")
        challenge, end_ns = self._challenges.pop(client, ("", 0))
        is_right = (
            self._token is not None
            and now_ns < end_ns
            and hmac.compare_digest(answer_to(challenge, self._token).encode(), answer.encode())
        )
        if not is_right:
            suspicion.failures += 1
            delay_seconds = min(_MAX_DELAY_SECONDS, 2 ** (suspicion.failures - 1))
            suspicion.until_ns = now_ns + delay_seconds * SECOND_NS
            _keep(self._suspicions, client.host, suspicion)
            raise Refusal(
                f"not the answer to a challenge that holds: wait {delay_seconds} s, ask for a new "
                "one with /mgrt/auth, and check the token"
            )
        self._suspicions.pop(client.host, None)
        _keep(self._granted, client, now_ns + self._grant_ns)

    def forget(self, client: Client) -> None:
        """A connection has ended; the next one with its number is another client."""
        self._granted.pop(client, None)
        self._challenges.pop(client, None)

    def has_token(self, text: str) -> bool:
        """Whether a text is the token, compared in constant time."""
        return self._token is not None and hmac.compare_digest(self._token.encode(), text.encode())


def _keep(kept: OrderedDict[Key, Value], key: Key, value: Value) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _MAX_KEPT:
        kept.popitem(last=False)

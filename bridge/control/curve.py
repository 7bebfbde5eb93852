"""CURVE for the ZeroMQ sockets: a secret of ours, and the public keys of who may connect."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import zmq
import zmq.auth
import zmq.auth.asyncio

from bridge.refusal import Refusal

_DOMAIN = "musicgen-rt"


class CurveKeys:
    """The keys, read once. Clients that are not among the allowed ones get no connection."""

    def __init__(self, secret_key_file: Path, client_keys_folder: Path) -> None:
        """Raises Refusal for missing or damaged files."""
        try:
            self._public_key, secret_key = zmq.auth.load_certificate(secret_key_file)
        except (OSError, ValueError) as error:
            raise Refusal(f"CURVE: {secret_key_file} cannot be read: {error}") from error
        if secret_key is None:
            raise Refusal(f"CURVE: {secret_key_file} has no secret key: expected the server's file")
        self._secret_key = secret_key
        if not client_keys_folder.is_dir() or not list(client_keys_folder.glob("*.key")):
            raise Refusal(
                f"CURVE: no public keys (*.key) of clients in {client_keys_folder}: nobody could "
                "connect"
            )
        self._client_keys_folder = client_keys_folder
        self._authenticator: zmq.auth.asyncio.AsyncioAuthenticator | None = None

    def apply(self, socket: zmq.Socket[Any]) -> None:
        """Make a socket that is not bound yet demand CURVE."""
        socket.curve_server = True
        socket.curve_publickey = self._public_key
        socket.curve_secretkey = self._secret_key
        socket.zap_domain = _DOMAIN.encode()

    def start(self, context: zmq.Context[Any]) -> None:
        """Begin to check clients. Before any socket is bound: without it all would be let in."""
        self._authenticator = zmq.auth.asyncio.AsyncioAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve(domain=_DOMAIN, location=str(self._client_keys_folder))

    def stop(self) -> None:
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None

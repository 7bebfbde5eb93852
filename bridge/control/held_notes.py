"""Which notes are held, and by whom, so that nobody's leaving leaves one hanging."""

from __future__ import annotations

from bridge.control.client import Client


class HeldNotes:
    """Clients by pitch. [control]"""

    def __init__(self) -> None:
        self._holders: dict[int, set[Client]] = {}
        self._velocities: dict[int, int] = {}

    def press(self, pitch: int, velocity: int, client: Client) -> None:
        self._holders.setdefault(pitch, set()).add(client)
        self._velocities[pitch] = velocity

    def let_go(self, pitch: int, client: Client) -> bool:
        """One client lets a note go; whether it ends.

        It goes on while another holds it. A client that never held it ends it: `oscsend` has
        another port each time it is called.
        """
        holders = self._holders.get(pitch, set())
        if client in holders and len(holders) > 1:
            holders.discard(client)
            return False
        self._holders.pop(pitch, None)
        self._velocities.pop(pitch, None)
        return True

    def let_all_go(self, client: Client) -> list[int]:
        """A client has gone; the notes that end."""
        pitches = [pitch for pitch, holders in self._holders.items() if client in holders]
        return [pitch for pitch in pitches if self.let_go(pitch, client)]

    def clear(self) -> None:
        self._holders.clear()
        self._velocities.clear()

    def sounding(self) -> list[tuple[int, int]]:
        """Pitch and velocity of all notes held."""
        return list(self._velocities.items())

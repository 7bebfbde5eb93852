"""A cache together with what it holds."""

from __future__ import annotations

from dataclasses import dataclass, field

from musicgen_rt.live.conditioning import Row
from musicgen_rt.live.window import Window
from musicgen_rt.model.kv_cache import CrossCache, KVCache


@dataclass(eq=False)
class CacheSlot:
    """A cache, the rows and window it was filled for, and how far it reaches.

    It can make any diagonal from `valid_from` to `end` next. Its rows at `valid_from` itself were
    taken over from another cache, unless that is where its window begins. `window` is None while it
    holds nothing, or is being filled. `texts` are the prompts whose keys and values `cross` holds,
    `uses` how often the pool has given it, or its memory, to somebody else.
    Written by the engine's thread only.
    """

    cache: KVCache
    cross: CrossCache | None
    rows: tuple[Row, ...] = ()
    texts: list[str | None] = field(default_factory=list)
    window: Window | None = None
    valid_from: int = 0
    end: int = 0
    uses: int = 0

    def reach(self, window: Window, frame: int) -> int | None:
        """The last diagonal up to `frame` that this cache can make next in `window`, if any.

        At `valid_from` a change of rows is still to be made, from the cache before: not from this.
        """
        reached = min(self.end, frame)
        is_own = reached > self.valid_from or reached == self.valid_from == window.since
        return reached if self.window == window and is_own else None

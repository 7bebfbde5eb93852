"""What is owed to whom, beside a list that is searched from the start each time."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from bridge.control.client import Client
from bridge.control.owed import Owed, OwedReplies

ANN = Client("udp", "127.0.0.1", 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.sampled_from([None, "a", "b"])),
        st.tuples(st.just("settle"), st.integers(0, 9)),
        st.tuples(st.just("release"), st.sampled_from(["a", "b"])),
        st.tuples(st.just("child"), st.sampled_from(["engine", "playout"])),
        st.tuples(st.just("sync"), st.none()),
    ),
    max_size=60,
)


def request(replies: OwedReplies, fader: str | None) -> Owed:
    identity = replies.next_id()
    return Owed(
        id=identity,
        child="playout" if fader == "b" else "engine",
        message={"id": identity},
        address="/mgrt/x",
        reply_address="/done",
        askers={ANN: 1},
        args=(),
        asked_ns=0,
        due_ns=0,
        fader=fader,
    )


@given(steps)
@settings(deadline=None, max_examples=300)
def test_a_sync_is_answered_when_all_that_was_asked_before_it_is(
    some: list[tuple[str, str | int | None]],
) -> None:
    replies = OwedReplies()
    unanswered: list[Owed] = []
    sent: list[int] = []
    waiting: list[tuple[int, list[Owed]]] = []
    for number, (kind, value) in enumerate(some):
        if kind == "ask":
            assert value is None or isinstance(value, str)
            owed = request(replies, value)
            if replies.add(owed, 0):
                sent.append(owed.id)
            unanswered.append(owed)
        elif kind == "settle" and sent:
            assert isinstance(value, int)
            identity = sent.pop(value % len(sent))
            _, following = replies.settle(identity, 0)
            sent += [] if following is None else [following.id]
            unanswered = [one for one in unanswered if one.id != identity]
        elif kind == "release":
            released = replies.release(str(value), 0)
            sent += [] if released is None else [released.id]
        elif kind == "child":
            gone = {one.id for one in replies.take_child(str(value))}
            sent = [one for one in sent if one not in gone]
            unanswered = [one for one in unanswered if one.id not in gone]
        elif kind == "sync":
            replies.add_sync(ANN, number)
            waiting.append((number, list(unanswered)))
        ready = [who for who, before in waiting if not any(one in unanswered for one in before)]
        assert [value for _, value in replies.take_synced()] == ready
        waiting = [one for one in waiting if one[0] not in ready]


def test_nothing_is_kept_of_what_is_answered() -> None:
    replies = OwedReplies()
    for _ in range(1000):
        owed = request(replies, "a")
        if replies.add(owed, 0):
            first = owed.id
    while replies:
        _, following = replies.settle(first, 0)
        first = 0 if following is None else following.id
    assert not replies._open
    assert replies.coalesced == 998

"""The client in Max: mgrt HOST PORT REPLY_PORT, its help patch and a playable page."""

from __future__ import annotations

from patch import Box, Patch

ABSENT = "nobody answers. Start the daemon with: musicgen-rt jam. I go on trying"
PROMPTS = (
    "warm house groove with a round bass",
    "dub techno, deep chords",
    "jazz trio with brushes",
    "drum and bass, rolling",
)
# What the pad moves and how far, to the right and upwards.
PAD = (("cfg", 1.0, 5.0), ("temperature", 0.5, 1.5))


def client() -> Patch:
    """Messages and notes go in; events, answers and whether it is connected come out."""
    patch = Patch(820, 560)
    messages = patch.object(30, 20, "inlet", "messages: /mgrt/prompt/set 0 jazz, connect HOST PORT")
    notes = patch.object(300, 20, "inlet", "notes: pitch velocity")
    own = patch.object(30, 70, "route connect")
    note_on = patch.object(300, 70, "prepend /mgrt/melody/note_on")
    arguments = patch.object(520, 20, "patcherargs 127.0.0.1 9120 9124")
    # Max receives on another port than it sends from: every command says where to answer.
    answer_to = patch.object(30, 330, "append @9124")
    send = patch.object(30, 380, "udpsend 127.0.0.1 9120")
    receive = patch.object(300, 380, "udpreceive 9124")
    target = patch.object(520, 70, "unpack s i i")
    patch.chain(messages, own, target)
    patch.cord(own[1], answer_to)
    patch.chain(notes, note_on, answer_to, send)
    patch.chain(arguments, target)
    begin = _aim(patch, target, answer_to, send, receive)
    heartbeat = _receive(patch, receive)
    _keep(patch, begin, heartbeat, answer_to)
    return patch


def _aim(patch: Patch, target: Box, answer_to: Box, send: Box, receive: Box) -> Box:
    """Send to a host and port and receive on another; what is banged when that is set."""
    begin = patch.object(520, 110, "t b s")
    host = patch.object(560, 140, "prepend host")
    port = patch.object(640, 110, "prepend port")
    reply = patch.object(720, 110, "t i i")
    reply_text = patch.object(640, 170, "sprintf set @%i")
    reply_port = patch.object(720, 140, "prepend port")
    patch.cord(target[0], begin)
    patch.cord(begin[1], host)
    patch.cord(target[1], port)
    patch.cord(target[2], reply)
    patch.cord(reply[0], reply_text)
    patch.cord(reply[1], reply_port)
    patch.cord(host, send)
    patch.cord(port, send)
    patch.cord(reply_text, answer_to)
    patch.cord(reply_port, receive)
    return begin


def _receive(patch: Patch, receive: Box) -> Box:
    """What comes in, sorted; the object that is banged at each heartbeat."""
    sort = patch.object(300, 420, "route /mgrt/heartbeat /done /fail")
    events = patch.object(300, 510, "outlet", "events and state")
    answers = patch.object(440, 510, "outlet", "/done and /fail")
    heard = patch.object(300, 450, "t b l")
    heartbeat = patch.object(300, 480, "prepend /mgrt/heartbeat")
    done = patch.object(460, 450, "prepend /done")
    fail = patch.object(560, 450, "prepend /fail")
    shown = patch.object(560, 480, "print mgrt")
    patch.chain(receive, sort, heard)
    patch.cord(heard[1], heartbeat)
    patch.cord(heartbeat, events)
    patch.cord(sort[1], done)
    patch.cord(done, answers)
    patch.cord(sort[2], fail)
    patch.cord(fail, answers, shown)
    patch.cord(sort[3], events)
    return heard


def _keep(patch: Patch, begin: Box, heartbeat: Box, answer_to: Box) -> None:
    """Subscribe until heartbeats come, and again when they stop; any message keeps the lease."""
    start = patch.object(60, 120, "t b b")
    on = patch.message(60, 150, "1")
    attempts = patch.object(60, 190, "metro 2000")
    subscribe = patch.message(60, 230, "/mgrt/notify 1")
    patch.cord(begin, start)
    patch.chain(start, on, attempts, subscribe, answer_to)
    alive = patch.object(300, 120, "t b b")
    silence = patch.object(400, 150, "delay 3500")
    here, away = patch.message(300, 150, "1"), patch.message(400, 180, "0")
    change = patch.object(300, 210, "change -1")
    patch.cord(heartbeat, alive)
    patch.cord(alive[1], silence)
    patch.cord(start[1], silence)
    patch.chain(alive, here, change)
    patch.chain(silence, away, change)
    state = patch.object(300, 240, "t i i i")
    connected = patch.object(580, 510, "outlet", "1 when connected")
    which = patch.object(300, 270, "sel 0 1")
    renew = patch.object(200, 270, "metro 10000")
    status = patch.message(200, 300, "/mgrt/status")
    off = patch.message(120, 150, "0")
    absent, found = patch.message(400, 270, ABSENT), patch.message(400, 300, "connected")
    shown = patch.object(400, 330, "print mgrt")
    patch.chain(change, state, connected)
    patch.cord(state[1], renew)
    patch.cord(state[2], which)
    patch.cord(which[0], on, absent)
    patch.cord(which[1], off, found)
    patch.cord(off, attempts)
    patch.cord(absent, shown)
    patch.cord(found, shown)
    patch.chain(renew, status, answer_to)


def help_page() -> Patch:
    """mgrt.maxhelp."""
    patch = Patch(760, 560)
    patch.comment(20, 10, "mgrt HOST PORT REPLY_PORT: a client of the musicgen-rt daemon")
    patch.comment(20, 30, "Start the daemon in a terminal (musicgen-rt jam). mgrt finds it.")
    messages = [
        ('/mgrt/prompt/set 0 "dub techno, deep chords"', "a text into slot 0"),
        ('/mgrt/prompt/set 1 "jazz trio" 0.5', "with a weight of 0.5"),
        ("/mgrt/prompt/weight 1 1. 8.", "faded to 1 over 8 beats"),
        ("/mgrt/clock/tempo 128.", "any address of the protocol"),
        ("/mgrt/attr/set drums off bar", "from the next bar on"),
        ("/mgrt/gen/undo 4", "take back four bars"),
        ("/mgrt/transport/stop", "fade out and stand still"),
        ("/mgrt/transport/play", "go on"),
        ("/mgrt/melody/mode follow", "follow the notes of the right inlet"),
        ("connect 127.0.0.1 9120 9124", "another daemon"),
    ]
    mgrt = patch.object(20, 370, "mgrt 127.0.0.1 9120 9124")
    for row, (text, comment) in enumerate(messages):
        patch.cord(patch.message(20, 60 + 28 * row, text), mgrt)
        patch.comment(380, 60 + 28 * row, comment)
    notes, pair = patch.object(560, 300, "notein"), patch.object(560, 330, "pack 0 0")
    patch.cord(notes, pair)
    patch.cord(notes[1], pair[1])
    patch.cord(pair, mgrt[1])
    events = patch.object(20, 410, "route /mgrt/beat")
    place = patch.object(20, 440, "unpack 0 0 0.")
    patch.chain(mgrt, events, place)
    for outlet, (kind, name) in enumerate(
        (("number", "bar"), ("number", "beat"), ("flonum", "bpm"))
    ):
        patch.cord(place[outlet], patch.face(kind, 20 + 70 * outlet, 475, 60, 22))
        patch.comment(20 + 70 * outlet, 500, name)
    patch.cord(mgrt[1], patch.object(260, 440, "print answer"))
    patch.cord(mgrt[2], patch.face("toggle", 420, 440, 24, 24))
    patch.comment(450, 440, "connected")
    return patch


def demo() -> Patch:
    """mgrt-demo.maxpat: prompts with sliders, an XY pad, a keyboard, transport, bars."""
    patch = Patch(820, 560)
    mgrt = patch.object(20, 480, "mgrt")
    for slot, prompt in enumerate(PROMPTS):
        y = 50 + 40 * slot
        text = f'/mgrt/prompt/set {slot} "{prompt}" {int(slot == 0)}.'
        patch.cord(patch.message(20, y, text), mgrt)
        slider = patch.face("slider", 450, y, 140, 22, orientation=1, size=1.0, floatoutput=1)
        weight = patch.object(610, y, f"prepend /mgrt/prompt/weight {slot}")
        patch.chain(slider, weight, mgrt)
    pad = patch.face("pictslider", 20, 230, 150, 150)
    for outlet, (name, low, high) in enumerate(PAD):
        value = patch.object(190, 250 + 60 * outlet, f"scale 0. 127. {low} {high}")
        sent = patch.object(190, 280 + 60 * outlet, f"prepend /mgrt/param/set/{name}")
        patch.cord(pad[outlet], value)
        patch.chain(value, sent, mgrt)
    _keyboard(patch, mgrt)
    _transport(patch, mgrt)
    _bars(patch, mgrt)
    return patch


def _keyboard(patch: Patch, mgrt: Box) -> None:
    keys = patch.face("kslider", 20, 400, 336, 53, range=24, offset=48)
    lasting, pair = patch.object(380, 400, "makenote 100 400"), patch.object(380, 430, "pack 0 0")
    patch.cord(keys, lasting)
    patch.cord(lasting, pair)
    patch.cord(lasting[1], pair[1])
    patch.cord(pair, mgrt[1])
    patch.cord(patch.message(520, 400, "/mgrt/melody/mode follow"), mgrt)
    patch.cord(patch.message(520, 430, "/mgrt/melody/mode off"), mgrt)


def _transport(patch: Patch, mgrt: Box) -> None:
    for row, text in enumerate(
        (
            *("/mgrt/transport/play", "/mgrt/transport/stop", "/mgrt/gen/retry"),
            *("/mgrt/gen/undo 4", "/mgrt/attr/set drums off bar", "/mgrt/attr/set drums free bar"),
        )
    ):
        patch.cord(patch.message(430, 230 + 26 * row, text), mgrt)
    tempo = patch.face("flonum", 660, 230, 70, 22, minimum=20.0, maximum=999.0)
    freeze = patch.face("toggle", 660, 290, 24, 24)
    patch.comment(740, 230, "tempo")
    patch.comment(690, 292, "freeze")
    patch.chain(tempo, patch.object(660, 256, "prepend /mgrt/clock/tempo"), mgrt)
    patch.chain(freeze, patch.object(660, 320, "prepend /mgrt/gen/freeze"), mgrt)


def _bars(patch: Patch, mgrt: Box) -> None:
    events = patch.object(20, 510, "route /mgrt/beat")
    place = patch.object(160, 510, "unpack 0 0 0.")
    patch.chain(mgrt, events, place)
    patch.comment(300, 485, "bar   beat   tempo")
    for outlet, kind in enumerate(("number", "number", "flonum")):
        patch.cord(place[outlet], patch.face(kind, 300 + 70 * outlet, 510, 60, 22))
    patch.cord(mgrt[2], patch.face("toggle", 530, 510, 24, 24))
    patch.comment(560, 512, "connected")
    patch.cord(mgrt[1], patch.object(660, 510, "print answer"))

"""The vocabulary of captions: how each fact may be worded."""

from __future__ import annotations

Words = tuple[str, ...]

STYLE_WORDS: dict[str, Words] = {
    "house": ("house", "house music", "club house"),
    "techno": ("techno", "warehouse techno"),
    "drum and bass": ("drum and bass", "drum & bass", "dnb", "drum'n'bass"),
    "breakbeat": ("breakbeat", "breaks", "big beat"),
    "lo-fi hip hop": ("lo-fi hip hop", "lofi hip hop", "lo-fi", "lofi", "chillhop"),
    "ambient": ("ambient", "ambient music"),
    "synth-pop": ("synth-pop", "synthpop", "synth pop", "80s synth-pop"),
    "rock": ("rock", "guitar rock", "rock music"),
    "funk": ("funk", "funk music"),
}

MOOD_WORDS: dict[str, Words] = {
    "aggressive": ("aggressive", "angry"),
    "bright": ("bright", "sunny"),
    "calm": ("calm", "tranquil"),
    "cold": ("cold", "icy"),
    "dark": ("dark", "gloomy"),
    "dreamy": ("dreamy", "hazy"),
    "driving": ("driving", "pushing"),
    "energetic": ("energetic", "high-energy"),
    "ethereal": ("ethereal", "floating"),
    "funky": ("funky",),
    "gritty": ("gritty", "rough"),
    "groovy": ("groovy",),
    "happy": ("happy", "cheerful", "joyful"),
    "hypnotic": ("hypnotic", "trance-like"),
    "melancholic": ("melancholic", "sad"),
    "mellow": ("mellow", "soft"),
    "mysterious": ("mysterious", "eerie"),
    "nostalgic": ("nostalgic", "wistful"),
    "peaceful": ("peaceful", "serene"),
    "playful": ("playful", "quirky"),
    "relaxed": ("relaxed", "chilled", "laid-back"),
    "romantic": ("romantic", "tender"),
    "tense": ("tense", "nervous"),
    "triumphant": ("triumphant", "heroic"),
    "uplifting": ("uplifting", "euphoric"),
    "warm": ("warm", "cosy"),
}

TEMPO_WORDS: dict[str, Words] = {
    "slow": ("slow", "slow tempo", "downtempo"),
    "medium": ("mid-tempo", "medium tempo", "moderate tempo"),
    "fast": ("fast", "fast tempo", "uptempo"),
    "rising": ("speeding up", "getting faster", "accelerating"),
    "falling": ("slowing down", "getting slower", "decelerating"),
}

# Words for a role's sound; the plain role follows below.
SOUND_WORDS: dict[str, Words] = {
    "electronic": ("electronic drums", "a drum machine", "crisp electronic beats"),
    "nine": ("drum machine beats", "a classic drum machine", "analog drums"),
    "hard": ("hard drums", "punchy distorted drums", "pounding drums"),
    "breaks": ("breakbeat drums", "chopped breaks", "sampled drum breaks"),
    "acoustic": ("acoustic drums", "a live drum kit", "a real drum kit"),
    "gated": ("gated drums", "big 80s drums", "gated snare drums"),
    "dusty": ("dusty drums", "lo-fi drums", "muffled drums"),
    "bass saw": ("saw bass", "an analog synth bass", "synth bass"),
    "bass square": ("square wave bass", "a hollow synth bass", "synth bass"),
    "bass sine": ("sub bass", "a deep sub bass", "a sine bass"),
    "bass fm": ("FM bass", "a digital FM bass"),
    "bass reese": ("reese bass", "a growling reese bass", "a detuned bass"),
    "bass finger": ("bass guitar", "fingered bass guitar"),
    "bass pick": ("picked bass guitar", "an electric bass with a pick", "bass guitar"),
    "bass slap": ("slap bass", "a popping slap bass"),
    "bass organ": ("organ bass", "a round organ bass"),
    "warm": ("warm pads", "a warm synth pad"),
    "saws": ("supersaw pads", "wide saw pads"),
    "strings": ("string pads", "synth strings", "a string section"),
    "choir": ("choir pads", "a synth choir", "choir voices"),
    "glass": ("glassy pads", "a shimmering glass pad"),
    "dark": ("dark pads", "a brooding low pad"),
    "electric_piano": ("electric piano", "rhodes-like keys"),
    "piano": ("piano", "acoustic piano"),
    "organ": ("organ", "a drawbar organ"),
    "stab": ("synth stabs", "chord stabs"),
    "pluck": ("synth plucks", "a plucked synth"),
    "guitar": ("guitar", "clean guitar"),
    "distorted_guitar": ("distorted guitar", "crunchy guitar chords", "power chords on guitar"),
    "clav": ("clavinet", "funky clav"),
    "bell": ("bells", "chiming bells"),
    "vibes": ("vibraphone", "vibes"),
    "fm_keys": ("FM keys", "digital FM keyboard"),
    "brass": ("brass", "a brass section"),
    "saw": ("a saw lead", "a sawtooth synth"),
    "square": ("a square lead", "a square wave synth"),
    "pulse": ("a pulse lead", "a thin pulse synth"),
    "triangle": ("a soft triangle lead", "a triangle wave synth"),
    "sine": ("a sine lead", "a pure sine tone"),
    "flute": ("flute", "a breathy flute"),
    "voice": ("a wordless voice", "a singing synth voice"),
    "lead_guitar": ("an electric guitar solo", "lead guitar", "overdriven lead guitar"),
}

ROLE_WORDS: dict[str, Words] = {
    "drums": ("drums", "a beat", "drums and percussion"),
    "bass": ("bass", "a bass line", "a bassline"),
    "pad": ("pads", "a synth pad", "sustained chords"),
    "keys": ("keys", "keyboard chords", "comping chords"),
    "lead": ("a lead melody", "a melody", "a lead line"),
}

ABSENCE_WORDS: dict[str, Words] = {
    "drums": ("no drums", "without drums", "drumless", "no percussion", "beatless"),
    "bass": ("no bass", "without bass"),
    "pad": ("no pads", "without pads"),
    "keys": ("no keys", "without keyboards"),
    "lead": ("no melody", "without a lead", "no lead melody"),
}
HELD_OUT_ABSENCE_WORDS: dict[str, Words] = {
    "drums": ("minus the drums", "free of drums", "leaving the drums out", "drum-free"),
    "bass": ("minus the bass", "free of bass"),
    "pad": ("minus any pads", "free of pads"),
    "keys": ("minus any keys", "free of keys"),
    "lead": ("minus a melody", "free of any melody"),
}

METER_WORDS: dict[int, Words] = {
    3: ("3/4", "3/4 time", "waltz time", "waltz", "three four time"),
    4: ("4/4", "4/4 time", "four four time", "common time"),
}

BPM_WORDS: Words = ("{} bpm", "{} BPM", "{} beats per minute", "tempo {}", "at {} bpm")
HELD_OUT_BPM_WORDS: Words = ("{} beats a minute", "clocked at {} bpm", "tempo set to {} bpm")
KEY_WORDS: Words = ("in {}", "{}", "key of {}", "in the key of {}", "key {}")
HELD_OUT_KEY_WORDS: Words = ("centred on {}", "tuned to {}", "with {} as its key")

NOUNS: Words = ("track", "tune", "piece", "loop", "song", "jam", "groove", "instrumental", "music")
HELD_OUT_NOUNS: Words = ("number", "cut", "sketch", "recording")

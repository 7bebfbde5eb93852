#!/bin/sh
# Renders some seconds of music to out/jam.wav and plays it where there is something to play with.
#
#   scripts/jam.sh [VENV]          VENV is .venv unless given; run it from the repository's root
#
# With the model that ships in musicgen_rt/pocket if it is there, else with a freshly written tiny
# checkpoint of random weights: its music is noise, but all of the engine has run.
set -eu

venv=${1:-.venv}
command=$venv/bin/musicgen-rt
model=musicgen_rt/pocket
out=out/jam.wav
seconds=8

say() { printf 'jam: %s\n' "$*"; }

is_random=no
if [ ! -f "$model/config.json" ]; then
    is_random=yes
    model=out/random-checkpoint
    rm -rf "$model"
    mkdir -p out
    "$command" new-checkpoint --like facebook/musicgen-small --tiny --out "$model"
fi

"$command" render --model "$model" --prompt "warm house groove with a round bass" --bpm 120 \
    --seconds "$seconds" --loudness -18 --out "$out"
[ "$is_random" = no ] || say "random weights: this is what an untrained model plays"

# A player without a sound card may say so and still exit with 0.
plays() { complaint=$("$@" "$out" 2>&1 </dev/null) && [ -z "$complaint" ]; }

for player in "pw-play" "paplay" "aplay -q" "afplay" "ffplay -nodisp -autoexit -loglevel error"; do
    # shellcheck disable=SC2086
    if command -v "${player%% *}" >/dev/null 2>&1 && plays $player; then
        say "played $out"
        exit
    fi
done
say "nothing here can play sound: the music is in $out"

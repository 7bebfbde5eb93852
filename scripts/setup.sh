#!/bin/sh
# Sets a fresh machine up: system packages, a virtual environment, Python packages.
#
#   scripts/setup.sh [VENV]        VENV is .venv unless given
#
# EXTRAS chooses pyproject.toml's extras: dev, unless it is dev,link or others.
# Run it from the repository's root; `make` does. What is there already is left as it is, so a
# second run needs neither the network nor root. PYTHON chooses the interpreter for a new
# environment. System packages are installed by root on Debian and its kin only; elsewhere the
# command to type is printed, and the set-up goes on, since nothing fails without them at once.
set -eu

venv=${1:-.venv}
minimum="3.11"

say() { printf 'setup: %s\n' "$*"; }

die() {
    printf 'setup: %s\n' "$@" >&2
    exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

has_library() {
    PATH="$PATH:/sbin:/usr/sbin"
    has ldconfig && ldconfig -p 2>/dev/null | grep -q "$1"
}

can_apt() { [ "$(id -u)" = 0 ] && has apt-get; }

apt_install() {
    say "apt-get install $*"
    apt-get update -qq || say "apt-get update failed; trying with the lists that are here"
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
}

# The Debian packages whose programs or libraries are not here.
missing_packages() {
    has_library libportaudio.so.2 || printf ' libportaudio2'
    has_library libsndfile.so.1 || printf ' libsndfile1'
    has g++ || has clang++ || has c++ || printf ' g++'
}

system_packages() {
    if [ "$(uname -s)" = Darwin ]; then
        has c++ || say "no C++ compiler: for compiled steps type: xcode-select --install"
        return # the wheels for macOS bring the audio libraries along
    fi
    missing=$(missing_packages)
    [ -n "$missing" ] || return 0
    if can_apt; then
        # shellcheck disable=SC2086
        apt_install $missing || say "not installed:$missing; going on without"
        return
    fi
    say "not found:$missing"
    if has apt-get; then
        say "type: sudo apt-get install -y$missing"
    elif has dnf; then
        say "type: sudo dnf install -y portaudio libsndfile gcc-c++"
    elif has pacman; then
        say "type: sudo pacman -S --needed portaudio libsndfile gcc"
    elif has zypper; then
        say "type: sudo zypper install libportaudio2 libsndfile1 gcc-c++"
    else
        say "install PortAudio, libsndfile and a C++ compiler with your system's package manager"
    fi
    say "(the sound card needs PortAudio, compiled steps need the compiler); going on without"
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

can_make_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# The first interpreter that is new enough and can make an environment; failing that, one that is
# only new enough. A release so new that libraries have no wheels for it yet is the last choice.
find_python() {
    candidates="python3 python3.13 python3.12 python3.11 python3.14"
    is_too_fresh=$(python3 -c 'import sys; print(sys.version_info >= (3, 14))' 2>/dev/null || true)
    [ "$is_too_fresh" != True ] || candidates="python3.13 python3.12 python3.11 python3"
    for python in $candidates; do
        if is_new_enough "$python" && can_make_venv "$python"; then
            echo "$python"
            return
        fi
    done
    for python in $candidates; do
        if is_new_enough "$python"; then
            echo "$python"
            return
        fi
    done
}

choose_python() {
    if [ -n "${PYTHON:-}" ]; then
        is_new_enough "$PYTHON" || die "PYTHON=$PYTHON: expected Python $minimum or later"
        echo "$PYTHON"
        return
    fi
    find_python
}

make_venv() {
    if [ -x "$venv/bin/python" ] && is_new_enough "$venv/bin/python"; then
        return
    fi
    python=$(choose_python)
    if [ -z "$python" ] && can_apt; then
        apt_install python3 python3-venv >&2 || true
        python=$(choose_python)
    fi
    [ -n "$python" ] || die "no Python $minimum or later was found." \
        "Install one (https://www.python.org/downloads/, or: sudo apt-get install python3" \
        "python3-venv), or name it: make PYTHON=/path/to/python3.12 setup"
    if ! can_make_venv "$python"; then
        package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
        ! can_apt || apt_install "$package" || true
        can_make_venv "$python" || die "$python cannot make a virtual environment." \
            "Type: sudo apt-get install -y $package"
    fi
    say "$venv with $("$python" --version)"
    "$python" -m venv --clear "$venv"
}

python_packages() {
    say "Python packages into $venv (torch and CUDA libraries: about 6 GB the first time)"
    set -- --disable-pip-version-check
    [ -t 1 ] || set -- "$@" --quiet # progress is for people
    # The build backend lies in the environment, so that a second run needs no network.
    "$venv/bin/python" -m pip install "$@" "setuptools>=77"
    "$venv/bin/python" -m pip install "$@" --no-build-isolation --editable ".[${EXTRAS:-dev}]"
}

system_packages
make_venv
python_packages
say "done"

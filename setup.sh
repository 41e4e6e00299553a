#!/bin/sh
# Makes the virtual environment that the Makefile uses: sh setup.sh, or make setup.
set -eu

PYTHON="${PYTHON:-python3}"
VENV="${VENV:-.venv}"

say() { printf 'streamsr setup: %s\n' "$*" >&2; }

if ! "$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    say "Python 3.11 or newer is needed; $PYTHON is $("$PYTHON" --version 2>&1 || echo missing)."
    say "Name another one: make demo PYTHON=python3.12"
    exit 2
fi

# Debian and Ubuntu keep venv in a package of its own.
if ! "$PYTHON" -c 'import ensurepip' 2>/dev/null; then
    version=$("$PYTHON" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing python$version-venv"
        apt-get update -qq >/dev/null
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "python$version-venv" >/dev/null
    else
        say "Python's venv is missing. Install it once: sudo apt install python$version-venv"
        exit 2
    fi
fi

say "installing into $VENV (about 1 GB; once)"
"$PYTHON" -m venv "$VENV"
# -qq: pip's notices about itself are of no use here; its errors still show. compat: a path, which
# type checkers of programs elsewhere can follow; setuptools would put a finder there
"$VENV/bin/python" -m pip --disable-pip-version-check install -qq --root-user-action ignore \
    -c constraints.txt --config-settings editable_mode=compat -e '.[dev]'
say "ready"

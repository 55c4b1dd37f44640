#!/bin/sh
# Makes .venv and installs sandkeeper into it, editable. Usage: setup-venv.sh [EXTRA], run from the repository's top.
# Needs Python 3.11 or newer and a package index, nothing else.
set -eu

fail() {
    echo "setup: $*" >&2
    exit 1
}

find_python() {
    for candidate in python3 python3.11 python3.12 python3.13 python3.14; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    fail "no Python 3.11 or newer on PATH (python3 is: $(python3 --version 2>&1 || true)); install one and try again"
}

make_venv() {
    python=$1
    "$python" -m venv .venv >/dev/null 2>&1 && return
    rm -rf .venv  # Debian's python3 has no ensurepip and leaves half a venv
    if command -v uv >/dev/null; then
        uv venv --quiet --python "$python" .venv
    elif command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
        echo "setup: installing Debian packages: python3-venv (this python3 has no ensurepip)"
        sh scripts/apt-install.sh python3-venv
        "$python" -m venv .venv || fail "'$python -m venv .venv' fails; install the venv module of $python and try again"
    else
        fail "'$python -m venv' does not work here: install python3-venv (sudo apt-get install python3-venv) or uv"
    fi
}

install() {
    if [ ! -x .venv/bin/uv ] && [ -x .venv/bin/pip ]; then
        .venv/bin/pip install --quiet --disable-pip-version-check uv
    fi
    uv=.venv/bin/uv
    [ -x "$uv" ] || uv=$(command -v uv) || fail ".venv has neither pip nor uv: remove .venv and try again"
    VIRTUAL_ENV=$PWD/.venv "$uv" pip install --quiet --editable "$1" && return
    # An index that only pip is configured for (pip.conf, PIP_*) is unknown to uv.
    [ -x .venv/bin/pip ] || fail "uv could not install $1"
    echo "setup: uv could not install $1, trying pip"
    .venv/bin/pip install --quiet --disable-pip-version-check --editable "$1"
}

target=.
[ $# -eq 0 ] || target=".[$1]"
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(find_python)
    echo "setup: creating .venv with $("$python" --version)"
    rm -rf .venv
    make_venv "$python"
fi
echo "setup: installing $target into .venv"
install "$target"

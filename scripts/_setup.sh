# Sourced by `run` and `test`, with the extra of pyproject.toml that they need: `fast`, or `dev`, which includes it.
# Goes to the project's folder, and installs the project there into .venv unless that is done already.
#
# .venv/.installed-EXTRA records what the extra was installed for, and is written last.
# .venv/.installing has the process that installs. Where it was left behind, the installation was interrupted, and .venv
# is made again: pip does not notice that a part of a package is missing.

say() { printf '%s\n' "$*" >&2; }
fail() { say "error: $*"; exit 1; }

is_installed() { [ "$(cat ".venv/.installed-$1" 2>/dev/null)" = "$wanted" ]; }

show_progress() {  # until its input ends: on a terminal every second in one line, elsewhere a line every 15 seconds
    local seconds=0 before=$SECONDS
    while read -r -t 1 || [ "$SECONDS" -gt "$before" ]; do
        before=$SECONDS
        seconds=$((seconds + 1))
        if [ -t 2 ]; then
            printf '\r    %d s, %d MB' "$seconds" "$(du -sm .venv 2>/dev/null | cut -f1)" >&2
        elif [ $((seconds % 15)) = 0 ]; then
            say "    $seconds s, $(du -sm .venv 2>/dev/null | cut -f1) MB"
        fi
    done
    [ ! -t 2 ] || printf '\r\033[K' >&2
}

with_progress() {  # a command, whose output goes into $log
    local pipe=.venv/.progress status=0
    rm -f $pipe
    mkfifo $pipe
    show_progress <$pipe &
    exec 3>$pipe  # closed when this process ends, however it ends, which ends show_progress
    rm $pipe
    "$@" >$log 2>&1 3>&- || status=$?
    exec 3>&-
    wait $! || true
    return $status
}

make_venv() {
    if [ -e .venv/.installing ]; then
        local other
        other=$(cat .venv/.installing)
        ! kill -0 "$other" 2>/dev/null ||
            fail "process $other is installing into .venv: wait for it, or remove .venv if it does something else"
        say "Removing .venv: its installation was interrupted"
        rm -rf .venv
    elif [ -e .venv ] && [ "$(.venv/bin/python -c "$print_version" 2>/dev/null)" != "$version" ]; then
        say "Removing .venv: it is for another Python"
        rm -rf .venv
    fi
    [ ! -e .venv ] || return 0
    hash -r  # $python may have been the one of the .venv removed
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python cannot make a virtual environment: on Debian and Ubuntu, install python3-venv"
    say "Making .venv"
    mkdir .venv
    echo $$ >.venv/.installing
    "$python" -m venv .venv >&2 || fail "$python -m venv .venv failed"
}

install() {
    local count log=.venv/.install.log
    count=$(sed '/^# .*scripts\/test/q' scripts/constraints.txt | grep -c ==)
    if [ "$extra" = fast ]; then
        say "Installing zoo and $count packages: torch and numba are the large ones"
    elif is_installed fast; then
        say "Adding the development tools: NVRTC is the large one"
    else
        say "Installing zoo, $count packages and the development tools: torch, NVRTC and numba are the large ones"
    fi
    # As a variable the constraints hold for what builds zoo, too. The path is relative: one with spaces would be split.
    with_progress env PIP_CONSTRAINT=scripts/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
        .venv/bin/python -m pip install --quiet --no-compile --editable ".[$extra]" || {
        tail -n 20 $log >&2
        rm -f .venv/.installing  # pip ended by itself, and what it has installed is intact
        fail "pip could not install zoo; the next call tries again"
    }
}

compile() {  # For use, only what a run imports: all that pip would compile takes several times the time and the space.
    say "Compiling"
    [ "$extra" = fast ] || .venv/bin/python -m compileall -q -j 0 .venv/lib >/dev/null 2>&1 || true  # not all compiles
    local -x PYTHONDONTWRITEBYTECODE=
    .venv/bin/python -c 'import torch' &
    .venv/bin/python -c 'import matplotlib.pyplot, numba, requests, rich' && wait $! ||
        fail "what was installed cannot be imported"
}

CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.."
extra=$1
python=${PYTHON:-python3}
print_version='import sys; print(sys.version.split()[0], sys.version); sys.exit(sys.version_info < (3, 11))'
version=$("$python" -c "$print_version" 2>/dev/null) || {
    found=${version%% *}
    fail "zoo needs Python 3.11 or later, and $python is ${found:-missing}: set PYTHON=/path/to/python"
}
wanted=$(cat pyproject.toml scripts/constraints.txt; echo "$version"; pwd -P)

if [ -e .venv/.installing ] || [ ! -x .venv/bin/python ] || ! { is_installed "$extra" || is_installed dev; }; then
    trap 'exit 130' INT
    trap 'exit 143' TERM
    make_venv
    echo $$ >.venv/.installing
    is_installed fast || rm -f .venv/.installed-fast .venv/.installed-dev
    install
    compile
    printf '%s\n' "$wanted" >".venv/.installed-$extra"
    rm .venv/.installing
    trap - INT TERM
fi

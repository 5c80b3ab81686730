# Sourced by `run` and `test`: makes .venv with the project and its pinned dependencies, once, and again when they change.
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=${PYTHON:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
    { echo "error: Python 3.11 or later is needed, as $python or as PYTHON=/path/to/python" >&2; exit 1; }

stamp=.venv/.installed
wanted=$(cat pyproject.toml scripts/constraints.txt; "$python" -VV; pwd)
if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$wanted" ]; then
    echo "Installing into .venv (a few minutes the first time)" >&2
    rm -f "$stamp"
    [ -x .venv/bin/python ] || "$python" -m venv .venv ||
        { echo "error: $python -m venv .venv failed: on Debian and Ubuntu, install python3-venv" >&2; exit 1; }
    PIP_CONSTRAINT=$PWD/scripts/constraints.txt PIP_DISABLE_PIP_VERSION_CHECK=1 \
        .venv/bin/python -m pip install --quiet --editable '.[dev]' >&2
    printf '%s\n' "$wanted" >"$stamp"
fi

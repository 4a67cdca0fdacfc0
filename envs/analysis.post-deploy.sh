set -eu
python -m pip install --no-deps --editable .

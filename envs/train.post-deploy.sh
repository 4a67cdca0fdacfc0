set -eu
python -m pip install --constraint envs/requirements.txt "${TORCH:-torch==2.13.0}"
python -m pip install --no-deps --requirement envs/requirements.txt
python -m pip install --no-deps --editable .

set -eu
python -m pip install --constraint envs/requirements.txt "${TORCH:-torch==2.13.0}"
python -m pip install --no-deps --requirement envs/requirements.txt
python -m pip install --no-deps --editable .
python -m pip download --no-deps --no-binary :all: --no-build-isolation --dest "$CONDA_PREFIX/share/prehoc" vaderSentiment==0.5 \
  || echo "no archive of vaderSentiment 0.5: all works but packaged:vader-domains" >&2

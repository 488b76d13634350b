#!/usr/bin/env bash
# At most eight minutes on a machine with a GPU: parity, then forward and update in bfloat16, TF32 and float32, corruptions
# and small batches as in serving, beside PyTorch eager and compiled.
#
#   bash benchmarks/gpu.sh                  rows in $OUT/rows.jsonl (OUT: out/gpu), what each step said in $OUT/STEP.log
#   SIZES=small bash benchmarks/gpu.sh      the same steps with tiny networks, to try the script on a CPU
#
# Needs Python 3.11 or later with jax, flax, optax, orbax-checkpoint, chex, jaxtyping, absl-py, tqdm and torch; a step whose
# packages are missing (torchaudio, transformers, pytest) says so and the next one runs. No beartype, librosa, soundfile or
# tensorflow is imported. LIMIT_S (470) is for all steps together, the most wanted first; a step that is cut leaves the
# rows that it had printed.
set -u
cd "$(dirname "$0")/.."
out=${OUT:-out/gpu}
limit=${LIMIT_S:-470}
begun=$(date +%s)
mkdir -p "$out"
export XLA_PYTHON_CLIENT_PREALLOCATE=false TF_CPP_MIN_LOG_LEVEL=2 PYTHONUNBUFFERED=1

if [ "${SIZES:-large}" = small ]; then
  platform=cpu speech=hubert_tiny images=resnet_tiny batch=2 many=4 rounds=7 clips=4 served=amaut_tiny modes=eager
else
  platform=cuda speech=hubert_base images=amaut_sc2 batch=70 many=256 rounds=7 clips=900 served=hubert_base modes=eager,compiled
fi

step() { # NAME SECONDS COMMAND...: cut after so long, or where LIMIT_S ends
  local name=$1 most=$2 started left
  shift 2
  started=$(date +%s)
  left=$((limit - (started - begun)))
  if [ "$left" -lt 15 ]; then
    echo "$name: left out, the time is over"
    return
  fi
  timeout $((most < left ? most : left)) "$@" > "$out/$name.log" 2>&1
  local code=$?
  grep '^{' "$out/$name.log" >> "$out/rows.jsonl"
  echo "$name: code $code, $(($(date +%s) - started)) s; $(grep -v '^{' "$out/$name.log" | tail -n 1 | cut -c1-200)"
}

time_of() { # NAME SECONDS FLAGS...
  local name=$1 most=$2
  shift 2
  step "$name" "$most" python -m experiments.benchmark --json --rounds=$rounds "$@"
}

: > "$out/rows.jsonl"
step versions 30 python -c '
import importlib.metadata as m, sys, jax
names = ("jax", "jaxlib", "flax", "optax", "chex", "orbax-checkpoint", "numpy", "torch", "torchaudio", "transformers", "pytest", "beartype")
have = {each.metadata["Name"].lower(): each.version for each in m.distributions()}
print(sys.version.split()[0], jax.devices(), {name: have.get(name, "none") for name in names})'

# DHAUDS_TEST_PLATFORM also lets the tests run without beartype; their own options ask for xdist, which may not be there.
export DHAUDS_TEST_PLATFORM=$platform
step parity 110 python -m pytest -o addopts= -W default -q -p no:cacheprovider \
  tests/nets/test_hubert_parity.py tests/nets/test_spectrogram_parity.py tests/benchmark/test_yardstick_nets.py tests/tta/test_losses.py
unset DHAUDS_TEST_PLATFORM

time_of bfloat16 150 --net=$speech --batch=$batch --dtype=bfloat16 --vs_torch --torch_modes=$modes
time_of together 60 --what=adapt --net=$speech --batch=$batch --dtype=bfloat16 --options=forward=together
time_of float32 110 --net=$speech --batch=$batch --dtype=float32 --vs_torch --torch_modes=eager
time_of tf32 110 --net=$speech --batch=$batch --dtype=tf32 --vs_torch --torch_modes=$modes
time_of serving 60 --what=forward --net=$served --batch=2 --dtype=bfloat16 --vs_torch --torch_modes=$modes
time_of corrupt 40 --what=corrupt --corruption=WHN,PSH --batch=$clips
time_of large_batch 60 --what=forward --net=$speech --batch=$many --dtype=bfloat16
time_of images 90 --net=$images --classes=15 --batch=$batch --dtype=bfloat16 --vs_torch --torch_modes=$modes
echo "$(wc -l < "$out/rows.jsonl") rows in $(($(date +%s) - begun)) s: $out/rows.jsonl"

#!/usr/bin/env python3
"""PyTorch yardstick of CLAP: transformers' ClapModel and ClapFeatureExtractor with random weights.

Times, in evaluation mode without gradients:
  audio     get_audio_features of a batch from log-mel features (no fusion)
  mel       ClapFeatureExtractor on a batch of 10 s waves (NumPy, on the processor)
  text      get_text_features of sentences of given lengths, padded to 77 tokens
Prints one JSON object a line: part, device, dtype, batch, median seconds, clips/s.
"""

from __future__ import annotations

import argparse
import json

import numpy as np
import torch
from torch_adaptation import seconds_of
from transformers import ClapConfig, ClapFeatureExtractor, ClapModel

SIZES = {
    "clap_htsat_tiny": {"patch_embeds_hidden_size": 96, "depths": [2, 2, 6, 2]},
    "clap_htsat_base": {"patch_embeds_hidden_size": 128, "depths": [2, 2, 12, 2]},
}
TOKENS, RATE, SECONDS = 77, 48_000, 10


def model_of(net):
    audio = {**SIZES[net], "hidden_size": 8 * SIZES[net]["patch_embeds_hidden_size"], "enable_fusion": False}
    return ClapModel(ClapConfig(audio_config=audio, text_config={}, projection_dim=512)).eval()


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--net", default="clap_htsat_tiny", choices=list(SIZES))
    ap.add_argument("--batch", type=int, default=8)
    ap.add_argument("--dtype", default="float32", choices=["float32", "tf32", "bfloat16"])
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--threads", type=int, default=0)
    ap.add_argument("--lengths", type=int, nargs="+", default=[10] * 64, help="tokens of each sentence")
    args = ap.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if args.dtype == "tf32":
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    model = model_of(args.net).to(device)

    def report(part, call, batch, on=device):
        seconds, fastest, slowest = seconds_of(call, on, args.rounds)
        row = {"part": part, "net": args.net, "device": on, "dtype": args.dtype, "batch": batch, "seconds": seconds}
        row |= {"fastest": fastest, "slowest": slowest, "clips_per_s": batch / seconds, "torch": torch.__version__}
        print(json.dumps(row), flush=True)

    features = (20 * torch.randn(args.batch, 1, 1 + SECONDS * 100, 64) - 40).to(device)
    short = torch.zeros(args.batch, 1, dtype=torch.bool, device=device)
    ids = torch.ones(len(args.lengths), TOKENS, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, length in enumerate(args.lengths):
        ids[row, :length] = torch.randint(4, 50_000, (length,))
        ids[row, 0], ids[row, length - 1], mask[row, :length] = 0, 2, 1
    ids, mask = ids.to(device), mask.to(device)
    half = torch.autocast(device, dtype=torch.bfloat16, enabled=args.dtype == "bfloat16")
    with torch.inference_mode():

        def audio():
            with half:
                return model.get_audio_features(input_features=features, is_longer=short)

        def text():
            with half:
                return model.get_text_features(input_ids=ids, attention_mask=mask)

        report("audio", audio, args.batch)
        waves = [0.1 * np.random.default_rng(i).standard_normal(SECONDS * RATE).astype(np.float32) for i in range(2)]
        extract = ClapFeatureExtractor(truncation="rand_trunc", padding="repeatpad", frequency_min=50, top_db=None)

        def mel():
            return extract([waves[i % 2] for i in range(args.batch)], sampling_rate=RATE, return_tensors="pt")

        # Where it was made: on the processor, whatever the model runs on.
        report("mel", mel, args.batch, on="cpu" if device == "cpu" else device)
        report("text", text, len(args.lengths))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""PyTorch's half of a pair of processes: makes what it is told, and runs it when it is told, asleep in between.

Reads one JSON object a line and answers with one:
  {"do": "net", "record": ..., "batch": 8, "dtype": "float32", "threads": 2, "seed": 0}
      a network (`nets.build`) and a batch of noise: parameters, device, torch, the ways that it can be run
  {"do": "work", "what": "forward" or "adapt", "method": ..., "options": ..., "mode": "compiled+bf16"}
      that work in that way, called once (compilation included): first_call in seconds, moving parameters
  {"do": "call", "calls": 3}      seconds of a call, the mean of so many
  {"do": "drop"}                  forgets the work
A line {"error": ...} is the answer to what cannot be done. Whatever else is printed goes to stderr.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import time

import torch

from benchmarks.yardstick import methods, nets

WAYS = ("compiled", "channels_last", "bf16")
"""What a mode is made of, joined by +; "eager" is none of them."""


class Side:
    """What has been made so far."""

    def __init__(self):
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.held = None

    def net(self, record, batch, dtype, threads, seed):
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision("highest" if dtype == "float32" else "high")
        torch.backends.cudnn.allow_tf32 = dtype == "tf32"
        torch.manual_seed(seed)
        self.record, self.source = record, nets.build(record).to(self.device)
        self.inputs = torch.randn(batch, *record["shape"], device=self.device) * record.get("scale", 1.0)
        ways = [*(["channels_last"] if record["family"] in nets.IMAGES else []), "compiled"]
        found = {"parameters": nets.parameters(self.source), "device": self.device, "torch": torch.__version__}
        return {**found, "ways": ways, "name": torch.cuda.get_device_name() if self.device == "cuda" else ""}

    def work(self, what, mode, method="", options=None):
        ways = [] if mode == "eager" else mode.split("+")
        odd = [way for way in ways if way not in WAYS]
        if odd:
            raise ValueError(f"mode {mode!r}: unknown {odd[0]!r}, expected eager or some of {', '.join(WAYS)}")
        self.drop()
        torch.manual_seed(1)
        net = copy.deepcopy(self.source)
        if "channels_last" in ways:
            net = net.to(memory_format=torch.channels_last)
        self.held = self.forward(net, ways) if what == "forward" else self.adapt(net, ways, method, options)
        moving = sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
        begun = time.perf_counter()
        self.once()
        return {"first_call": time.perf_counter() - begun, "moving": moving if what == "adapt" else 0}

    def forward(self, net, ways):
        net.eval()
        if "compiled" in ways:
            net.compile()
        held = torch.autocast(self.device, dtype=torch.bfloat16, enabled="bf16" in ways)

        def run():
            with torch.inference_mode(), held:
                return net(self.inputs)

        return run

    def adapt(self, net, ways, method, options):
        if method not in methods.METHODS:
            raise ValueError(f"PyTorch's side has no method {method!r}, expected {', '.join(methods.METHODS)}")
        made = methods.METHODS[method](net, options, half="bf16" in ways)
        if "compiled" in ways:
            for each in made.networks:
                each.compile()
        made.observe(self.inputs)
        return lambda: made.step(self.inputs)

    def once(self):
        self.held()
        if self.device == "cuda":
            torch.cuda.synchronize()

    def call(self, calls):
        begun = time.perf_counter()
        for _ in range(calls):
            self.once()
        return {"seconds": (time.perf_counter() - begun) / calls}

    def drop(self):
        if self.held is not None:
            self.held = None
            torch._dynamo.reset()
            if self.device == "cuda":
                torch.cuda.empty_cache()
        return {}


def main():
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    side = Side()
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = getattr(side, asked.pop("do"))(**asked)
        except Exception as error:  # whatever it is, the other half goes on with the next row
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()

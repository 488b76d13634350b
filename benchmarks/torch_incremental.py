#!/usr/bin/env python3
"""PyTorch yardstick of few-shot class-incremental learning: expandable dual embedding (Si et al. 2024) on random clips.

Two ways to the same sessions, of an AST of any size, from log-mel features:
  published  as the published code goes about it: every step, every evaluation and every choice of exemplars runs the
             network; the test clips of all seen classes are run every fifth epoch for a line of the log
  cached     the network runs once a clip; sessions train one block on kept tokens, older blocks' outputs are kept too
Prints one JSON object a way: seconds, forwards of the network (a clip each), its device.

  python benchmarks/torch_incremental.py --ways published cached --width 192 --heads 3 --frames 98 --classes 30
"""

from __future__ import annotations

import argparse
import copy
import json
import time

import torch
from torch import nn
from torch.nn import functional as F


class Block(nn.Module):
    """A pre-norm transformer block."""

    def __init__(self, width, heads, epsilon):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width, epsilon), nn.LayerNorm(width, epsilon)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        x = x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class Encoder(nn.Module):
    """(batch, frames, bins) to (batch, tokens, width), before the last norm; counts the clips that it is given."""

    def __init__(self, sizes):
        super().__init__()
        self.patches = nn.Conv2d(1, sizes.width, tuple(sizes.patch), tuple(sizes.stride))
        grid = [(n - p) // s + 1 for n, p, s in zip((sizes.bins, sizes.frames), sizes.patch, sizes.stride)]
        self.first = nn.Parameter(0.02 * torch.randn(1, sizes.prefix, sizes.width))
        self.places = nn.Parameter(0.02 * torch.randn(1, sizes.prefix + grid[0] * grid[1], sizes.width))
        self.blocks = nn.Sequential(*(Block(sizes.width, sizes.heads, sizes.epsilon) for _ in range(sizes.depth)))
        self.count = 0

    def forward(self, x):
        self.count += len(x)
        patches = self.patches(x.transpose(1, 2)[:, None]).flatten(2).transpose(1, 2)
        return self.blocks(torch.cat([self.first.expand(len(x), -1, -1), patches], 1) + self.places)


class Adapter(nn.Module):
    """A block and a norm over tokens, and their mean."""

    def __init__(self, sizes):
        super().__init__()
        self.block = Block(sizes.width, sizes.heads, sizes.epsilon)
        self.norm = nn.LayerNorm(sizes.width, sizes.epsilon)

    def forward(self, tokens):
        return self.norm(self.block(tokens)).mean(1)


class Clips:
    """Features of any clip: one of 64 noises with a class's own colour, so that nothing large is held."""

    def __init__(self, sizes, device):
        draw = torch.Generator().manual_seed(0)
        self.noise = torch.randn(64, sizes.frames, sizes.bins, generator=draw).to(device)
        self.colour = torch.randn(sizes.classes, 1, sizes.bins, generator=draw).to(device)

    def __call__(self, labels, numbers):
        return 0.5 * self.noise[torch.as_tensor(numbers) % 64] + self.colour[torch.as_tensor(labels)]

    def batches(self, rows, size):
        """Batches of rows (label, number)."""
        for part in (rows[first : first + size] for first in range(0, len(rows), size)):
            yield self(*zip(*part)), torch.tensor([label for label, _ in part], device=self.noise.device)


def extended(old, width, classes):
    """A linear head with the old one's rows and columns in its corner."""
    new = nn.Linear(width, classes)
    nn.init.kaiming_uniform_(new.weight, nonlinearity="linear")
    nn.init.zeros_(new.bias)
    if old is not None:
        with torch.no_grad():
            new.weight[: old.out_features, : old.in_features] = old.weight
            new.bias[: old.out_features] = old.bias
    return new


def optimiser(parameters, sizes):
    found = torch.optim.SGD(parameters, lr=1e-3, momentum=0.9, weight_decay=2e-4)
    return found, torch.optim.lr_scheduler.MultiStepLR(found, [max(1, 4 * sizes.epochs // 5)], 0.1)


def loss_of(linear, aux, joined, newest, labels, known):
    """Cross-entropy, and that of the auxiliary head, to which all old classes are one."""
    loss = F.cross_entropy(linear(joined), labels)
    return loss if aux is None else loss + F.cross_entropy(aux(newest), (labels - known + 1).clamp(min=0))


def tests_of(classes, sizes):
    return [(label, 1_000 + number) for label in range(classes) for number in range(sizes.tests)]


def published(sizes, clips, device):
    """All sessions with the network run whenever something is wanted of it; returns its forwards."""
    moved = Encoder(sizes).to(device)
    first = copy.deepcopy(moved).requires_grad_(False)
    norm = nn.LayerNorm(sizes.width, sizes.epsilon).to(device)
    adapters, linear, aux, memory = [], None, None, []
    prototypes = torch.zeros(sizes.classes, 0, device=device)

    def joined(x):
        tokens = moved(x)
        return torch.cat([adapter(tokens) for adapter in adapters], 1)

    def by_linear(head):
        return lambda x: head(joined(x)).argmax(1)

    def by_means(means):
        return lambda x: (F.normalize(joined(x)) @ means.T).argmax(1)

    @torch.no_grad()
    def over(rows, function):
        return torch.cat([function(x) for x, _ in clips.batches(rows, sizes.test_batch)])

    def replaced(rows):
        embedded = over(rows, lambda x: torch.cat([norm(first(x)).mean(1), joined(x)], 1))
        labels, found = torch.tensor([label for label, _ in rows]), torch.zeros(sizes.classes, embedded.shape[1])
        for label in labels.unique():
            found[label] = embedded[labels == label].mean(0)
        return found

    for session in range(sizes.classes // sizes.way):
        known, seen = session * sizes.way, (session + 1) * sizes.way
        adapters.append(copy.deepcopy(adapters[-1]) if adapters else Adapter(sizes).to(device))
        linear = extended(linear, sizes.width * len(adapters), seen).to(device)
        aux = nn.Linear(sizes.width, sizes.way + 1).to(device) if session else None
        rows = [(label, number) for label in range(known, seen) for number in range(sizes.shot)] + memory
        prototypes = replaced(rows)
        moving = [*adapters[-1].parameters(), *linear.parameters()]
        moving += list(aux.parameters()) if session else list(moved.parameters())
        steps, schedule = optimiser(moving, sizes)
        for epoch in range(sizes.epochs if session else 1):
            order = [rows[i] for i in torch.randperm(len(rows))]
            for x, labels in clips.batches(order, 25):
                with torch.set_grad_enabled(not session):
                    tokens = moved(x)
                with torch.no_grad():
                    old = [adapter(tokens) for adapter in adapters[:-1]]
                newest = adapters[-1](tokens)
                loss = loss_of(linear, aux, torch.cat([*old, newest], 1), newest, labels, known)
                steps.zero_grad()
                loss.backward()
                steps.step()
            schedule.step()
            if epoch % 5 == 0:
                over(tests_of(seen, sizes), by_linear(linear))
        prototypes = replaced(rows)
        for label in range(known, seen):
            held = F.normalize(over([(label, number) for number in range(sizes.pool)], joined))
            memory.append((label, int((held - held.mean(0)).square().sum(1).argmin())))
        means = F.normalize(over(memory, joined))
        over(tests_of(seen, sizes), by_linear(linear))
        over(tests_of(seen, sizes), by_means(means))
    assert prototypes.isfinite().all()
    return moved.count + first.count


def cached(sizes, clips, device):
    """All sessions on tokens that the network gave once; returns its forwards."""
    network = Encoder(sizes).to(device).requires_grad_(False)
    norm = nn.LayerNorm(sizes.width, sizes.epsilon).to(device)
    shots = [(label, number) for label in range(sizes.classes) for number in range(sizes.shot)]
    with torch.no_grad():
        tokens = {
            name: torch.cat([network(x) for x, _ in clips.batches(rows, sizes.test_batch)])
            for name, rows in (("shots", shots), ("tests", tests_of(sizes.classes, sizes)))
        }
        parts = {name: [norm(found).mean(1)] for name, found in tokens.items()}
    labels = torch.arange(sizes.classes, device=device).repeat_interleave(sizes.shot)
    adapter, linear, memory = Adapter(sizes).to(device), None, torch.zeros(0, dtype=torch.long, device=device)
    for session in range(sizes.classes // sizes.way):
        known, seen = session * sizes.way, (session + 1) * sizes.way
        linear = extended(linear, sizes.width * (session + 1), seen).to(device)
        aux = nn.Linear(sizes.width, sizes.way + 1).to(device) if session else None
        rows = torch.cat([torch.arange(known * sizes.shot, seen * sizes.shot, device=device), memory])
        moving = [*adapter.parameters(), *linear.parameters(), *(aux.parameters() if session else ())]
        steps, schedule = optimiser(moving, sizes)
        for _ in range(sizes.epochs):
            for batch in rows[torch.randperm(len(rows), device=device)].split(25):
                newest = adapter(tokens["shots"][batch])
                joined = torch.cat([*(part[batch] for part in parts["shots"][1:]), newest], 1)
                loss = loss_of(linear, aux, joined, newest, labels[batch], known)
                steps.zero_grad()
                loss.backward()
                steps.step()
            schedule.step()
        with torch.no_grad():
            for name, found in tokens.items():
                parts[name].append(torch.cat([adapter(part) for part in found.split(sizes.test_batch)]))
            own = torch.cat(parts["shots"], 1).unflatten(0, (sizes.classes, sizes.shot))[:seen]
            unit = F.normalize(torch.cat(parts["shots"][1:], 1)).unflatten(0, (sizes.classes, sizes.shot))[known:seen]
            chosen = (unit - unit.mean(1, keepdim=True)).square().sum(2).argmin(1)
            memory = torch.cat([memory, torch.arange(known, seen, device=device) * sizes.shot + chosen])
            asked = torch.cat(parts["tests"], 1)[: seen * sizes.tests]
            prototype = F.normalize(asked) @ F.normalize(own.mean(1)).T
            later = asked[:, sizes.width :]
            means = F.normalize(torch.cat(parts["shots"][1:], 1)[memory])
            for logits in (prototype, linear(later), F.normalize(later) @ means.T):
                logits.argmax(1)
    return network.count


WAYS = {"published": published, "cached": cached}


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    sizes = {"width": 192, "depth": 12, "heads": 3, "prefix": 2, "bins": 128, "frames": 98, "classes": 25, "way": 5}
    sizes |= {"shot": 5, "tests": 100, "pool": 500, "epochs": 100, "test_batch": 100, "threads": 0}
    for name, default in sizes.items():
        ap.add_argument(f"--{name}", type=int, default=default)
    ap.add_argument("--patch", type=int, nargs=2, default=[16, 16])
    ap.add_argument("--stride", type=int, nargs=2, default=[10, 10])
    ap.add_argument("--epsilon", type=float, default=1e-6)
    args = ap.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    for way in args.ways:
        torch.manual_seed(0)
        clips = Clips(args, device)
        begun = time.perf_counter()
        forwards = WAYS[way](args, clips, device)
        if device == "cuda":
            torch.cuda.synchronize()
        row = {"way": way, "seconds": time.perf_counter() - begun, "forwards": forwards, "device": device}
        print(json.dumps({**row, "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()

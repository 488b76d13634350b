"""Freed memory stays with the process where the C library is glibc."""

import platform
import subprocess
import sys

SCRIPT = """
import resource
from dhauds_jax.command.allocator import keep_freed_memory
import numpy as np
print(keep_freed_memory())
for _ in range(2):
    np.ones(20_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
np.ones(20_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_a_large_block_is_reused_without_page_faults():
    out = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=900, check=True).stdout
    taken, faults = out.split()
    assert taken == str(platform.libc_ver()[0] == "glibc")
    # 160 MB are 39,000 pages of 4 KB.
    assert taken == "False" or int(faults) < 1000

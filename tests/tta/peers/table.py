"""Prints the rows of the peer table of docs/fidelity.md: `python -m tests.tta.peers.table`.

Its figures are those that `test_peers.py` holds to the tolerances; the commits of the page stand in `peers.md`, which
came with the file.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.tta.peers import net
from tests.tta.peers.cases import CASES
from tests.tta.peers.compared import TOLERANCES, differences


def rows() -> Iterator[str]:
    """A line a method: its cases, the code beside which it was run, the options, the largest differences."""
    for method in dict.fromkeys(case.method for case in CASES.values()):
        mine = [name for name in CASES if CASES[name].method == method]
        largest = [max(max(differences(name, dtype).values()) for name in mine) for dtype in TOLERANCES]
        given = dict.fromkeys(str(CASES[name].options.get("recipe", "the defaults")) for name in mine)
        code = "; ".join(dict.fromkeys(str(net.GOLD[f"{name}/peer"]).replace(".py", "") for name in mine))
        cells = (f"`{method}`", ", ".join(mine), code, ", ".join(given), *(f"{value:.0e}" for value in largest))
        yield f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    for line in rows():
        print(line, flush=True)

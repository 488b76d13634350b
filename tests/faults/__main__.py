"""Runs campaigns and renders docs/reliability.md from what they found.

Examples:
  python -m tests.faults --campaign=kill,starve --tries=5
  python -m tests.faults --campaign=kill --only=train,sweep --kills=100
  python -m tests.faults --report              (renders the page from the records, and runs nothing)
  python -m tests.faults --campaign=all --report=docs/reliability.md

A try that was noted is not run again, so a campaign that was stopped goes on; --again runs those anew that came out
wrong. Exit code 1 when one came out wrong.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from tests.faults import outcomes, page
from tests.faults.campaigns import CAMPAIGNS, campaign, module_of
from tests.faults.outcomes import Outcome

PAGE = "docs/reliability.md"


def parsed(words: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--campaign", help=f"names, comma between, or all: {', '.join(CAMPAIGNS)}")
    parser.add_argument("--tries", "--kills", type=int, help="of each case (default: as the page has them)")
    parser.add_argument("--only", help="cases or commands of the campaigns, comma between (those that have such)")
    parser.add_argument("--seed", type=int, default=0, help="of the first try of each case")
    parser.add_argument("--again", action="store_true", help="those that came out wrong are run anew")
    parser.add_argument("--records", type=Path, default=Path("docs/records/faults"))
    parser.add_argument("--place", type=Path, default=Path("out/faults"), help="for what campaigns write")
    parser.add_argument("--report", nargs="?", const=PAGE, type=Path, help=f"page to render (default: {PAGE})")
    parser.add_argument("--list", action="store_true", help="campaigns, with what is recorded of them")
    args = parser.parse_args(words)
    args.names = list(CAMPAIGNS) if args.campaign == "all" else (args.campaign or "").split(",")
    args.names = [name for name in args.names if name]
    unknown = [name for name in args.names if name not in CAMPAIGNS]
    if unknown:
        parser.error(f"--campaign={','.join(unknown)}: expected of {', '.join(CAMPAIGNS)}, or all")
    if not (args.names or args.report or args.list):
        parser.error("nothing to do: give --campaign, --report or --list")
    return args


def run(name: str, args: argparse.Namespace) -> int:
    """Runs a campaign; how many tries came out wrong."""
    recorded = outcomes.read(args.records, name)
    done = outcomes.finished(recorded.tries.values(), args.again)
    tries = args.tries if args.tries is not None else module_of(name).TRIES
    outcomes.begin(args.records, name, tries=tries, seed=args.seed, argv=sys.argv[1:])
    began, wrong, count = time.perf_counter(), 0, 0

    def tell(outcome: Outcome) -> None:
        nonlocal wrong, count
        outcomes.add(args.records, outcome)
        count, wrong = count + 1, wrong + outcome.wrong
        said = f": {outcome.said[:200]}" if outcome.wrong else ""
        if outcome.wrong or outcome.seconds > 1 or count % 100 == 0:
            passed = time.perf_counter() - began
            print(f"{passed:7.0f} s  {name} {count}: {outcome.key} {outcome.outcome}{said}", flush=True)

    place = args.place.absolute() / name
    place.mkdir(parents=True, exist_ok=True)
    names = {"names": tuple(args.only.split(","))} if args.only else {}
    campaign(name)(tries, args.seed, place, tell, done, **names)
    print(f"{name}: {count} tries, {wrong} of them wrong, {len(done)} were there already", flush=True)
    return wrong


def main() -> None:
    args = parsed()
    wrong = sum([run(name, args) for name in args.names])
    if args.list:
        for name in CAMPAIGNS:
            tries = outcomes.read(args.records, name).tries.values()
            print(f"{name}: {len(tries)} tries, {sum(one.wrong for one in tries)} wrong")
    if args.report:
        page.fill(args.report, args.records)
        print(f"tables rendered: {args.report}")
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()

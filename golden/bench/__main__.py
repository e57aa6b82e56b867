"""Measure seconds and memory of works of LED: pyled alone, or turn by turn with other engines.

    python golden/bench [WORK ...] [options]

Another engine is another checkout of pyled ("before and after"), or transformers on torch. Each turn is a process of
its own, and the engines take turns, A B A B, because machines change their pace: only what was measured side by side
is compared. Run it where nothing else runs. docs/speed.md tells what is measured.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from engines import WEIGHTS, ChildError, Engine, engine
from session import Bench, Measured
from works import chosen, listed

CHECKOUT = Path(__file__).resolve().parents[2]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="golden/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="*", metavar="WORK", help="a work or a group of --list (default: main)")
    parser.add_argument("--list", action="store_true", help="print the works, and measure nothing")
    parser.add_argument("-m", "--model", type=Path, metavar="DIR", help="a checkpoint (default: LED-base's shape)")
    parser.add_argument("--text", type=Path, metavar="FILE", help="a text in UTF-8, for the works that read one")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="PLACE[:WEIGHTS]",
        help="another engine: the folder of another checkout of pyled (. is this one), or a Python that has torch and "
        f"transformers; WEIGHTS: {', '.join(WEIGHTS)}",
    )
    parser.add_argument("--weights", choices=WEIGHTS, default=WEIGHTS[0], help="of the first engine, this checkout")
    parser.add_argument("--turns", type=int, default=2, metavar="N", help="of each engine in each work (default: 2)")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads of each engine (default: all)")
    parser.add_argument("--in-full", action="store_true", help="torch generates all tokens of the long works")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for, print the table, and return the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.list:
        print("\n".join(listed()))
        return 0
    try:
        works = chosen(arguments.work, arguments.text is not None)
        engines = [replace(engine(str(CHECKOUT), arguments.weights), name="pyled"), *map(engine, arguments.against)]
        text = "" if arguments.text is None else arguments.text.read_text(encoding="utf-8")
    except (OSError, ValueError) as e:
        parser.error(str(e))
    threads = arguments.threads or len(os.sched_getaffinity(0))
    try:
        versions = {each.name: each.ask(threads, kind="versions") for each in engines}
        with tempfile.TemporaryDirectory(prefix="pyled-bench-") as folder:
            bench = Bench(engines, Path(folder), arguments.model, text, threads)
            machine = bench.first("machine")
            if any(work.kind != "tokenize" for work in works):
                bench.compile()
            measured = [bench.measure(work, arguments.turns, arguments.in_full) for work in works]
            later = bench.first("machine")  # a ceiling is the most that the machine gave
            config = json.loads((bench.model / "config.json").read_text(encoding="utf-8"))
    except ChildError as e:
        print(f"bench: {e}", file=sys.stderr)
        return 1
    machine |= {name: max(machine[name], later[name]) for name in ("products", "reading")}
    print("\n".join(report(engines, measured, machine, versions, config, threads)))
    return 1 if any(each.failed for each in measured) else 0


def report(
    engines: Sequence[Engine],
    measured: Sequence[Measured],
    machine: Mapping[str, Any],
    versions: Mapping[str, Mapping[str, str]],
    config: Mapping[str, Any],
    threads: int,
) -> list[str]:
    """Return the lines to print."""
    sys.path.insert(0, str(CHECKOUT))
    import table  # with NumPy: see Bench

    lines = [
        f"{machine['processor']}; {threads} of {machine['cores']} threads; {machine['memory'] / 1e9:.0f} GB; "
        f"{machine['blas']}",
        *(f"{name}: {', '.join(f'{k} {v}' for k, v in each.items())}" for name, each in versions.items()),
        f"ceilings: {machine['products'] / 1e9:.0f} GFLOP/s in a large float32 product, "
        f"{machine['reading'] / 1e9:.1f} GB/s read from memory",
        "",
        *table.lines(engines, measured, machine, config),
    ]
    for each in measured:
        lines += [f"{each.work.name}: {name} failed: {why}" for name, why in each.failed.items()]
        if each.extended:
            lines.append(f"{each.work.name}: torch generated {each.extended} tokens, the seconds are those of all")
    return lines


if __name__ == "__main__":
    sys.exit(main())

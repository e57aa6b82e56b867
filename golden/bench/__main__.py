"""Measure seconds and memory of works of LED: pyled alone, or turn by turn with other engines.

    python golden/bench [WORK ...] [options]

Another engine is this pyled in fewer bits, another checkout of pyled ("before and after"), or transformers on torch.
Each turn is a process of its own, and the engines take turns, A B A B, because machines change their pace: only what
was measured side by side is compared. Run it where nothing else runs. docs/speed.md tells what is measured.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engines import CHECKOUT, OPTIONS, ChildError, Engine, engine
from session import Bench, Measured
from works import chosen, listed


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="golden/bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", nargs="*", metavar="WORK", help="a work or a group of --list")
    parser.add_argument("--list", action="store_true", help="print the works, and measure nothing")
    parser.add_argument(
        "--against",
        action="append",
        default=[],
        metavar="PLACE[:OPTIONS]",
        help="another engine: the folder of a checkout of pyled (. is this one), or a Python that has torch and "
        f"transformers; OPTIONS, with a + between: {', '.join(OPTIONS)}",
    )
    parser.add_argument("-m", "--model", type=Path, metavar="DIR", help="a checkpoint (default: LED-base's shape)")
    parser.add_argument("--vocabulary", type=Path, metavar="DIR", help="the vocabulary of LED-base's shape, for texts")
    parser.add_argument("--texts", type=Path, metavar="FILE", help='JSON, a line each: {"document": "...", ...}')
    parser.add_argument("--turns", type=int, default=2, metavar="N", help="of each engine in each work (default: 2)")
    parser.add_argument("--threads", type=int, metavar="N", help="processor threads of each engine (default: all)")
    parser.add_argument("--in-full", action="store_true", help="torch generates all tokens of the long work")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="keep all in it: a run that was cut off goes on")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for, print the tables, and return the exit status."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if arguments.list:
        print("\n".join(listed()))
        return 0
    try:
        works = chosen(arguments.work, arguments.texts is not None)
        engines = [engine(str(CHECKOUT)), *map(engine, arguments.against)]
        if len({each.name for each in engines}) < len(engines):
            raise ValueError(f"two engines have one name: {', '.join(each.name for each in engines)}")
        lines = [] if arguments.texts is None else arguments.texts.read_text(encoding="utf-8").splitlines()
        documents = [json.loads(line)["document"] for line in lines]
    except (OSError, ValueError) as e:
        parser.error(str(e))
    threads = arguments.threads or len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(prefix="pyled-bench-") as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            versions = {each.name: each.ask(threads, kind="versions") for each in engines}
            bench = Bench(engines, folder, arguments.model, documents, threads)
            for name in ("vocab.json", "merges.txt") if arguments.vocabulary else ():
                shutil.copy(arguments.vocabulary / name, bench.model / name)
            machine = bench.first("machine")
            is_arithmetic = any(work.kind != "tokenize" for work in works)
            if is_arithmetic:
                bench.compile(any(work.kind == "train" for work in works))
            rates = [bench.first("ceilings")] if is_arithmetic else []
            measured = [bench.measure(work, arguments.turns, arguments.in_full) for work in works]
            rates += [bench.first("ceilings")] if is_arithmetic else []
            config = json.loads((bench.model / "config.json").read_text(encoding="utf-8"))
        except (ChildError, OSError) as e:
            print(f"bench: {e}", file=sys.stderr)
            return 1
    machine |= {name: max(each[name] for each in rates) for name in ("products", "reading") if rates}
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
        f"{machine['processor']}; {threads} of {machine['cores']} threads; {machine['memory'] / 1e9:.0f} GB",
        *(f"{name}: {', '.join(f'{k} {v}' for k, v in each.items())}" for name, each in versions.items()),
        "",
        *table.comparison(engines, measured),
        "",
        *table.details(engines, measured, machine, config),
    ]
    if "products" in machine:
        lines.append(
            f"ceilings: {machine['products'] / 1e9:.0f} GFLOP/s in a large float32 product of pyled's, "
            f"{machine['reading'] / 1e9:.1f} GB/s read from memory"
        )
    for each in measured:
        lines += [f"{each.work.name}: {name} failed: {why}" for name, why in each.failed.items()]
        if each.extended:
            lines.append(f"* {each.work.name}: torch generated {each.extended} tokens, the seconds are those of all")
    return lines


if __name__ == "__main__":
    sys.exit(main())

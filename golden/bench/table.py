"""The tables of the bench: a row for each work, and a row for each work and engine.

Operations and bytes are those that the work needs (pyled/tasks/cost.py), for all engines alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from pyled.config import LEDConfig
from pyled.tasks import cost

HEADER = ("median s", "min s", "first s", "ms each", "peak GB", "rate", "of ceiling")
OTHERS = ("times", "least", "most", "output")  # where there is more than one engine
BYTES = {"bf16": 2, "int16": 2, "int8": 1}  # of a number


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Give rows of cells as lines: the first column begins at the left, the others end at the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *others in rows:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *right]).rstrip()


def comparison(engines: Sequence[Any], measured: Sequence[Any]) -> Iterator[str]:
    """Give the lines of the table of works: each engine's seconds, then how often the fastest rival takes ours.

    The rivals are torch's engines, or, where there are none, all but those of the first one's place. The ratio is the
    median over the turns, each compared with its neighbour. *: torch's seconds are extrapolated
    """
    is_rival = [engine.kind == "torch" for engine in engines]
    if not any(is_rival):
        is_rival = [engine.place != engines[0].place for engine in engines]
    ours = [engine.name for engine, rival in zip(engines, is_rival, strict=True) if not rival]
    theirs = [engine.name for engine, rival in zip(engines, is_rival, strict=True) if rival]
    rows = [["seconds", *(engine.name for engine in engines), *(f"x {name}" for name in ours)]]
    for each in measured:
        medians = {name: median(turn.seconds for turn in turns) for name, turns in each.turns.items()}
        mark = "*" if each.extended else ""
        cells = [shown(medians[e.name]) + mark * (e.kind == "torch") if e.name in medians else "" for e in engines]
        fastest = min((name for name in theirs if name in medians), key=lambda name: medians[name], default=None)
        for name in ours:
            both = each.turns.get(name), each.turns.get(fastest)
            cells.append(f"{median(ratios(*both)):.2f}" if all(both) else "")
        rows.append([each.work.name, *cells])
    yield from aligned(rows)


def details(
    engines: Sequence[Any], measured: Sequence[Any], machine: Mapping[str, float], config: Mapping[str, Any]
) -> Iterator[str]:
    """Give the lines of the table of works and engines.

    times: how many times as long as the first engine: the median over the turns, each compared with its neighbour;
    least, most: over the turns; output: how it differs from the first engine's, or the losses of training
    """
    header = ["work", *HEADER, *(OTHERS if len(engines) > 1 else ())]
    rows = [header]
    for each in measured:
        first = each.turns.get(engines[0].name)
        for engine in engines:
            turns = each.turns.get(engine.name)
            if not turns and engine.name not in each.failed:
                continue
            name = each.work.name if engine is engines[0] else f"  {engine.name}"
            numbers = figures(each.work, turns, engine, machine, LEDConfig.from_dict(config)) if turns else ["failed"]
            cells = [name, *numbers]
            if turns and first and engine is not engines[0]:
                times = sorted(ratios(first, turns))
                cells += [f"{ratio:.2f}" for ratio in (median(times), times[0], times[-1])]
                cells.append(turns[0].words)
            elif turns and turns[0].words and len(engines) > 1:
                cells += ["", "", "", turns[0].words]
            rows.append(cells + [""] * (len(header) - len(cells)))
    yield from aligned(rows)


def ratios(first: Sequence[Any], others: Sequence[Any]) -> list[float]:
    """Return how many times as long the others' turns are, each compared with its neighbour."""
    return [other.seconds / one.seconds for one, other in zip(first, others, strict=True)]


def figures(work: Any, turns: Sequence[Any], engine: Any, machine: Mapping[str, float], config: LEDConfig) -> list[str]:
    """Return the cells of HEADER."""
    seconds = median(turn.seconds for turn in turns)
    firsts = [turn.first for turn in turns if turn.first is not None]
    single = each_token(work, turns)
    return [
        shown(seconds),
        shown(min(turn.seconds for turn in turns)),
        shown(median(firsts)) if firsts else "",
        f"{single * 1e3:.3g}" if single else "",
        f"{max(turn.peak for turn in turns) / 1e9:.2f}",
        *rate(work, seconds, single, engine.options, machine, config),
    ]


def each_token(work: Any, turns: Sequence[Any]) -> float | None:
    """Return the seconds of each token that is encoded, or generated after the first one; None for other works."""
    if work.kind == "encode":
        return median(turn.seconds for turn in turns) / work.source / work.documents
    if turns[0].first is None:
        return None
    return median((turn.seconds - turn.first) / (work.target - 1) for turn in turns)


def rate(
    work: Any,
    seconds: float,
    single: float | None,
    options: Mapping[str, str],
    machine: Mapping[str, float],
    config: LEDConfig,
) -> tuple[str, str]:
    """Return what was reached a second, and which part of the machine's most.

    Encoding: operations, beside those of float32. Generating: the bytes that a step after the first must read. Texts:
    bytes; documents a minute.
    """
    if work.kind == "tokenize":
        return scaled(work.source / seconds, "B/s"), ""
    if single is None:
        return f"{work.documents / seconds * 60:.3g} a minute", ""
    S = work.source
    if work.kind == "encode":
        operations = cost.product_operations(config, S, 1) + cost.band_operations(config, S, 1)  # <s> is global
        operations *= work.documents
        return scaled(operations / seconds, "FLOP/s"), f"{operations / seconds / machine['products']:.0%}"
    weights = BYTES.get(options.get("weights", ""), 4)
    keys = min(weights, BYTES.get(options.get("encoder", ""), 4))
    read = weights * cost.step_weights(config) + keys * cost.step_keys(config, S)
    return scaled(read / single, "B/s"), f"{read / single / machine['reading']:.0%}"


def shown(seconds: float) -> str:
    """Return seconds with three digits, and with hundredths where those are more: 0.123, 1.00, 100.25."""
    return f"{seconds:.3g}" if seconds < 0.9995 else f"{seconds:.2f}"


def scaled(value: float, unit: str) -> str:
    """Return a rate in giga or mega, with three digits: 257 GFLOP/s."""
    scale, letter = (1e9, "G") if value >= 1e9 else (1e6, "M")
    return f"{value / scale:.3g} {letter}{unit}"

"""The table of the bench: a row for each work and engine.

Operations and bytes are those that the work needs (pyled/tasks/cost.py), for all engines alike.
"""

from collections.abc import Iterator, Mapping, Sequence
from statistics import median
from typing import Any

from pyled.config import LEDConfig
from pyled.tasks import cost

HEADER = ("work", "median s", "min s", "first s", "ms each", "peak GB", "rate", "of ceiling")
OTHERS = ("times", "least", "most", "output")  # where there is more than one engine


def lines(engines: Sequence[Any], measured: Sequence[Any], machine: Mapping[str, float], config: Any) -> Iterator[str]:
    """Give the lines of the table.

    times: how many times as long as the first engine: the median over the turns, each compared with its neighbour;
    least, most: over the turns; output: how it differs from the first engine's
    """
    cells = list(rows(engines, measured, machine, LEDConfig.from_dict(config)))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for name, *others in cells:
        right = (cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True))
        yield "  ".join([name.ljust(widths[0]), *right]).rstrip()


def rows(
    engines: Sequence[Any], measured: Sequence[Any], machine: Mapping[str, float], config: LEDConfig
) -> Iterator[list[str]]:
    """Give the cells of each row, the header first."""
    yield [*HEADER, *(OTHERS if len(engines) > 1 else ())]
    for each in measured:
        first = each.turns.get(engines[0].name)
        for engine in engines:
            turns = each.turns.get(engine.name)
            name = each.work.name if engine is engines[0] else f"  {engine.name}"
            cells = [name, *(figures(each.work, turns, engine, machine, config) if turns else ["failed"])]
            if turns and first and engine is not engines[0]:
                ratios = sorted(other.seconds / ours.seconds for ours, other in zip(first, turns, strict=True))
                cells += [f"{ratio:.2f}" for ratio in (median(ratios), ratios[0], ratios[-1])]
                cells.append(each.outputs.get(engine.name, ""))
            yield cells + [""] * (len(HEADER) + (len(OTHERS) if len(engines) > 1 else 0) - len(cells))


def figures(work: Any, turns: Sequence[Any], engine: Any, machine: Mapping[str, float], config: LEDConfig) -> list[str]:
    """Return the cells of HEADER but the name."""
    seconds = median(turn.seconds for turn in turns)
    firsts = [turn.first for turn in turns if turn.first is not None]
    single = each_token(work, turns)
    return [
        shown(seconds),
        shown(min(turn.seconds for turn in turns)),
        shown(median(firsts)) if firsts else "",
        f"{single * 1e3:.3g}" if single else "",
        f"{max(turn.peak for turn in turns) / 1e9:.2f}",
        *rate(work, seconds, single, engine.weights, machine, config),
    ]


def each_token(work: Any, turns: Sequence[Any]) -> float | None:
    """Return the seconds of each token that is encoded, or generated after the first one; None for other works."""
    if work.kind == "encode":
        return median(turn.seconds for turn in turns) / work.source
    if turns[0].first is None:
        return None
    return median((turn.seconds - turn.first) / (work.target - 1) for turn in turns)


def rate(
    work: Any, seconds: float, single: float | None, weights: str, machine: Mapping[str, float], config: LEDConfig
) -> tuple[str, str]:
    """Return what was reached a second, and which part of the machine's most.

    Encoding: operations. Decoding: the bytes that a step after the first must read. A text: its bytes.
    """
    if work.kind == "tokenize":
        return scaled(work.source / seconds, "B/s"), ""
    if work.kind == "process" or single is None:
        return "", ""
    S = work.source
    if work.kind == "encode":
        if work.window is not None:
            config = LEDConfig.from_dict({**config.to_dict(), "attention_window": work.window})
        operations = cost.product_operations(config, S, 1) + cost.band_operations(config, S, 1)  # <s> is global
        return scaled(operations / seconds, "FLOP/s"), f"{operations / seconds / machine['products']:.0%}"
    width = {"float32": 4, "bf16": 2, "int8": 1}[weights]  # bytes of a number
    read = width * (cost.step_weights(config) + cost.step_keys(config, S))
    return scaled(read / single, "B/s"), f"{read / single / machine['reading']:.0%}"


def shown(seconds: float) -> str:
    """Return seconds with three digits, and with hundredths where those are more: 0.123, 1.00, 100.25."""
    return f"{seconds:.3g}" if seconds < 0.9995 else f"{seconds:.2f}"


def scaled(value: float, unit: str) -> str:
    """Return a rate in giga or mega, with three digits: 257 GFLOP/s."""
    scale, letter = (1e9, "G") if value >= 1e9 else (1e6, "M")
    return f"{value / scale:.3g} {letter}{unit}"

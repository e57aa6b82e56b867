"""What a run found, as tables for people and as one object for programs.

Operations and bytes are those that `tools.cost` counts, for both engines alike: what the work needs, not what is done.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import median
from typing import Any

from .. import cost
from ..columns import aligned
from .session import OURS, Measured, Plan, Results, Turn
from .works import GLOBAL_TOKENS, VARIANTS, Work

WIDTH = 100  # of a table, at most


@dataclass(frozen=True)
class Rate:
    """How much of something a second; `part` of the most that the machine gave, None where that was not measured."""

    value: float
    unit: str
    part: float | None


# 1. Figures


def each(work: Work, turn: Turn) -> float | None:
    """Seconds per token that is encoded, or generated after the first one."""
    if work.kind == "encode":
        return turn.seconds / work.source
    return None if turn.first is None else (turn.seconds - turn.first) / (work.target - 1)


def rate(work: Work, turns: Sequence[Turn], plan: Plan, rates: Mapping[str, float]) -> Rate | None:
    """What was reached, by the median of the turns; None for a process, in which there is too much of everything.

    Encoding: the operations a second. Decoding: the bytes a second that steps after the first must read.
    """
    if work.kind == "process":
        return None
    if work.kind == "tokenize":
        return Rate(work.source / _median(turns), "B/s", None)
    if work.kind == "encode":
        shape = plan.config if work.window is None else replace(plan.config, attention_window=work.window)
        value = cost.encoding_operations(shape, work.source, GLOBAL_TOKENS) / _median(turns)
        return Rate(value, "FLOP/s", value / rates["products"])
    value = cost.step_bytes(plan.config, work.source, plan.weights) / median(each(work, turn) or 0 for turn in turns)
    return Rate(value, "B/s", value / rates["reading"])


def ratio(ours: Sequence[Turn], theirs: Sequence[Turn]) -> float:
    """How many times as long the other engine takes: the median over the turns, each compared with its neighbour."""
    return median(other.seconds / own.seconds for own, other in zip(ours, theirs, strict=True))


def fastest(found: Measured) -> str | None:
    """The variant of the other engine that takes the least time."""
    variants = [variant for variant in VARIANTS if variant in found.turns]
    return min(variants, key=lambda variant: _median(found.turns[variant]), default=None)


def share(found: Measured) -> float:
    """Which part of the other engine's peak of memory in float32 ours is."""
    return _peak(found.turns[OURS]) / _peak(found.turns[VARIANTS[0]])


def _median(turns: Sequence[Turn]) -> float:
    return median(turn.seconds for turn in turns)


def _peak(turns: Sequence[Turn]) -> int:
    return max(turn.peak for turn in turns)


# 2. Text


def text(results: Results) -> str:
    """All of it, at most WIDTH columns wide."""
    parts = [*_machine(results), "", *aligned(_rows(results))]
    if results.peer is not None:
        parts += ["", *_against(results)]
    return "\n".join(parts) + "\n"


def _machine(results: Results) -> Iterator[str]:
    found, versions = results.machine, results.machine["versions"]
    products, reading = (found["rates"][name] / 1e9 for name in ("products", "reading"))
    named = {"pyled": "pyled", "python": "Python", "numpy": "NumPy", "numba": "Numba"}
    yield f"{found['processor']}; {found['threads']} of {found['cores']} threads; {found['memory'] / 1e9:.0f} GB"
    yield (
        ", ".join(f"{name} {versions[key]}" for key, name in named.items())
        + f"; {found['blas']}, {found['threading_layer']}"
    )
    yield f"ceilings: {products:.0f} GFLOP/s in a large float32 product, {reading:.1f} GB/s read from memory"
    kept = "" if results.plan.weights == "float32" else f" in {results.plan.weights}"
    yield f"{_model(results)}{kept}; turns: {results.plan.turns}; {found['date']}"


def _model(results: Results) -> str:
    config = results.plan.config
    layers = f"{config.encoder_layers}+{config.decoder_layers} layers of {config.d_model}"
    windows = config.attention_window
    window = "/".join(map(str, dict.fromkeys(windows if isinstance(windows, list) else [windows])))
    kind = "random weights" if results.plan.model is None else "a checkpoint"
    return f"{kind}, {layers}, window {window}, vocabulary {config.vocab_size:,}"


def _rows(results: Results) -> Iterator[list[str]]:
    yield ["work", "min s", "median s", "first s", "ms each", "peak GB", "rate", "of ceiling"]
    for found in results.measured:
        if OURS not in found.turns:
            yield [found.work.name, "failed"] + [""] * 6
            continue
        turns = found.turns[OURS]
        reached = rate(found.work, turns, results.plan, results.machine["rates"])
        firsts = [turn.first for turn in turns if turn.first is not None]
        single = [seconds for turn in turns if (seconds := each(found.work, turn)) is not None]
        yield [
            found.work.name,
            _seconds(min(turn.seconds for turn in turns)),
            _seconds(_median(turns)),
            _seconds(median(firsts)) if firsts else "",
            f"{median(single) * 1e3:.3g}" if single else "",
            f"{_peak(turns) / 1e9:.2f}",
            _scaled(reached) if reached else "",
            f"{reached.part:.0%}" if reached and reached.part is not None else "",
        ]


def _against(results: Results) -> Iterator[str]:
    versions = results.peer or {}
    yield (
        f"against transformers {versions['transformers']}, torch {versions['torch']}, Python {versions['python']}; "
        "median seconds"
    )
    yield from aligned(_pairs(results))
    for steps in sorted({found.extrapolated for found in results.measured if found.extrapolated}):
        yield (
            f"* extrapolated: {steps} tokens were generated; each further one is taken to need what the last "
            f"{steps - 1} did"
        )
    yield ""
    yield "outputs against float32's: the largest difference of states, relative; of tokens, where the first is"
    yield from aligned(_outputs(results))


def _pairs(results: Results) -> Iterator[list[str]]:
    yield ["work", OURS, *VARIANTS, "x float32", "x fastest", "peak GB", "theirs", "share"]
    for found in results.measured:
        star = "*" if found.extrapolated else ""
        row = [found.work.name, *(_cell(found, engine, star) for engine in (OURS, *VARIANTS))]
        best, ours = fastest(found), found.turns.get(OURS)
        if ours is None or best is None:
            yield row + [""] * 5
            continue
        base = found.turns.get(VARIANTS[0])
        yield [
            *row,
            f"{ratio(ours, base):.2f}" if base else "",
            f"{ratio(ours, found.turns[best]):.2f}",
            f"{_peak(ours) / 1e9:.2f}",
            f"{_peak(base) / 1e9:.2f}" if base else "",
            f"{share(found):.0%}" if base else "",
        ]


def _cell(found: Measured, engine: str, star: str) -> str:
    if engine in found.failed:
        return "failed"
    turns = found.turns.get(engine)
    return "" if turns is None else _seconds(_median(turns)) + (star if engine != OURS else "")


def _outputs(results: Results) -> Iterator[list[str]]:
    yield ["work", OURS, *VARIANTS[1:]]
    for found in results.measured:
        yield [found.work.name, *(_difference(found.outputs.get(engine)) for engine in (OURS, *VARIANTS[1:]))]


def _difference(compared: Mapping[str, Any] | None) -> str:
    if compared is None:
        return ""
    if "difference" in compared:
        return f"{compared['difference']:.1e}"
    return "equal" if compared["part"] is None else f"at {compared['part']} of {compared['count']}"


def _seconds(seconds: float) -> str:
    """Three digits, and four where that tells hundredths of seconds."""
    if seconds < 0.9995:
        return f"{seconds:.3g}"
    return f"{seconds:.2f}" if seconds < 99.995 else f"{seconds:.1f}"


def _scaled(reached: Rate) -> str:
    scale, letter = (1e9, "G") if reached.value >= 1e9 else (1e6, "M")
    return f"{reached.value / scale:.3g} {letter}{reached.unit}"


# 3. JSON


def record(results: Results) -> dict[str, Any]:
    """All of it as plain values: seconds and bytes of each turn, and what follows from them."""
    return {
        "machine": results.machine,
        "model": None if results.plan.model is None else str(results.plan.model),
        "configuration": results.plan.config.to_dict(),
        "against": results.peer,
        "works": [_record(found, results) for found in results.measured],
    }


def _record(found: Measured, results: Results) -> dict[str, Any]:
    made: dict[str, Any] = {**asdict(found), "rate": None, "each": None, "ratios": {}, "memory_share": None}
    ours = found.turns.get(OURS)
    if ours is None:
        return made
    reached = rate(found.work, ours, results.plan, results.machine["rates"])
    made["rate"] = None if reached is None else asdict(reached)
    made["each"] = [each(found.work, turn) for turn in ours]
    made["ratios"] = {variant: ratio(ours, found.turns[variant]) for variant in VARIANTS if variant in found.turns}
    if VARIANTS[0] in found.turns:
        made["memory_share"] = share(found)
    return made

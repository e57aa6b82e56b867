"""A port's dump against the truth: each stage is matched by its name, laid out alike, measured and judged."""

import difflib
import math
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..arrays import Bools, Floats
from ..config import LEDConfig
from ..errors import InputError, PyledWarning, brief
from ..files import parse_json, read_file
from .diagnosis import diagnose
from .layouts import Laid, layouts, upstream_attentions
from .measures import BITS, NEVER, Row, budget, common_type, measured, times_budget, type_of
from .stages import Stage, stages_of

SHIPPED = Path(__file__).parent / "names"
SUGGESTED = 20  # unknown names, for which the nearest are looked for

Names = Mapping[str, str] | Sequence[Sequence[str]]
_COMMON = (
    (r"^led\.", ""),
    (r"^((?:decoder_)?(?:input_ids|attention_mask)|global_attention_mask|labels)$", r"in.\1"),
)


@dataclass
class Report:
    """What `check` finds.

    comparison: what was compared, with what, and how
    first: the first stage that is outside its budget although its inputs, as far as they were dumped, are inside
    missing: the stages between them and `first`, which were not dumped: the mistake may be in one of these
    mistakes: names of the known ones that explain it, likeliest first
    stages: in the order of computation
    unknown: their names that are no stage's, each with the nearest that are
    notes: what else should be known
    """

    comparison: "Comparison"
    first: str | None = None
    missing: list[str] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)
    stages: list[Row] = field(default_factory=list)
    unknown: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_names(name: str) -> Names:
    """Return the names in a file of JSON, or in one that comes along, such as "transformers". Raises InputError."""
    shipped = SHIPPED / f"{name}.json"
    path = shipped if re.fullmatch(r"\w+", name) and shipped.exists() else Path(name)
    names: Names = parse_json(read_file(path, InputError), str(path), InputError)
    is_object = isinstance(names, dict) and all(isinstance(value, str) for value in names.values())
    is_list = isinstance(names, list) and all(isinstance(pair, list) and len(pair) == 2 for pair in names)
    if not is_object and not (is_list and all(isinstance(part, str) for pair in names for part in pair)):
        forms = '{"their name": "ours", ...} or [["regular expression", "replacement"], ...]'
        raise InputError(f"{path}: holds no names: {forms} was expected")
    return names


def renamed(name: str, names: Names | None) -> str:
    r"""Return our name for one of theirs; "" for an array that is no stage. Raises InputError for a bad expression.

    names: {theirs: ours}, or pairs of a regular expression and what replaces it, applied one after the other

    >>> renamed("led.encoder.layers.0.fc1", None), renamed("enc_0_fc1", [[r"enc_(\d+)_", r"encoder.layers.\1."]])
    ('encoder.layers.0.fc1', 'encoder.layers.0.fc1')
    """
    is_object = isinstance(names, Mapping)
    name = names.get(name, name) if isinstance(names, Mapping) else name
    for expression, replacement in (*([] if is_object or names is None else names), *_COMMON):
        try:
            name = re.sub(expression, replacement, name)
        except (re.error, IndexError) as e:
            raise InputError(f"names: {brief(expression)}, {brief(replacement)}: {e}") from None
    return name


def check(
    theirs: Mapping[str, NDArray[Any]],
    truth: Mapping[str, NDArray[Any]],
    names: Names | None = None,
    *,
    about: Mapping[str, Any] | None = None,
    weights: Mapping[str, Floats] | None = None,
) -> Report:
    """Return the report on a port's dump.

    theirs: arrays by the port's names, such as a `dumps.Dump`
    truth: arrays by the names of stages, such as a trace, with its inputs
    names: see `renamed`
    about: what the truth says of itself; None for its attribute `about`
    weights: in float64 by their names without `led.`; without them no mistake is looked for

    Raises InputError where no array is a stage's.
    """
    comparison = Comparison(theirs, truth, getattr(truth, "about", {}) if about is None else about)
    report = Report(comparison)
    matched = _matched(theirs, truth, comparison.stages, names, report)
    computed = [own[0] for name, own in matched.items() if not name.startswith("in.") and "embed" not in name]
    comparison.precision = common_type(theirs, computed)
    if comparison.precision is not None:
        report.notes.append(f"its numbers are {comparison.precision}, in a wider type: so they are judged")
    for name in comparison.stages:
        rows = [comparison.row(name, their_name) for their_name in matched.get(name, [])]
        report.stages += rows or ([] if name.startswith("in.") else [Row(name)])
    report.stages = [comparison.excused(row, report.stages) for row in report.stages]
    _find_first(report, comparison.stages)
    if weights is not None and report.first is not None:
        with warnings.catch_warnings(record=True, action="always", category=PyledWarning) as told:
            explaining = diagnose(report.first, comparison, truth, weights, comparison.config, comparison.errors)
        report.notes += [str(warning.message) for warning in told]
        report.mistakes = [mistake.name for mistake in explaining]
    return report


def _matched(
    theirs: Mapping[str, Any],
    truth: Mapping[str, Any],
    stages: Mapping[str, Stage],
    names: Names | None,
    report: Report,
) -> dict[str, list[str]]:
    """Return their names by ours, and report those that are no stage's. Raises InputError where all are."""
    matched: dict[str, list[str]] = {}
    for their_name in theirs:
        name = renamed(their_name, names)
        if name in truth:
            matched.setdefault(name, []).append(their_name)
        elif name in stages:
            report.notes.append(f"{name} is dumped, but not in the trace: trace it, too")
        elif name:
            near = difflib.get_close_matches(name, truth, n=2) if len(report.unknown) < SUGGESTED else []
            report.unknown[their_name] = near
    shipped = [path.stem for path in SHIPPED.glob("*.json") if names is None and report.unknown]
    for others in shipped:
        if 4 * sum(renamed(name, read_names(others)) in truth for name in report.unknown) > len(report.unknown):
            report.notes.append(f"many of its names are those of {others}: pass names={brief(others)}")
    if all(name.startswith("in.") for name in matched):
        if not report.unknown:
            raise InputError(f"the dump holds no stage, but {len(theirs):,} other arrays: dump a stage that is traced")
        one, near = next(iter(report.unknown.items()))
        hint = f"did you mean {near[0]}? " if near else ""
        said = f"none of {len(theirs):,} arrays has the name of a stage, {brief(one)} for one: {hint}"
        raise InputError(f"{said}pass names='transformers', or a map from yours to those of the trace")
    return matched


def _stages(truth: Mapping[str, NDArray[Any]], config: LEDConfig) -> dict[str, Stage]:
    """Return the stages of the model, in the order of computation, and what else the truth has."""
    inputs = {name.removeprefix("in."): truth[name] for name in truth if name.startswith("in.")}
    stages = {stage.name: stage for stage in stages_of(config, inputs)}
    for name in truth:
        array, axes = truth[name], "OIXYZ"  # of a parameter's gradient
        if name.startswith("in."):
            axes = "BT" if "decoder" in name or "labels" in name else "BS"
        elif name.removeprefix("grad.") in stages:
            axes = stages[name.removeprefix("grad.")].axes
        if name not in stages or name.startswith("in."):
            stages[name] = Stage(name, array.shape, str(array.dtype), axes=axes[: array.ndim])
    return stages


class Comparison(Mapping[str, NDArray[Any]]):
    """The port's arrays under our names and in our layouts, in float64: NaN where a port has no number."""

    def __init__(self, theirs: Mapping[str, Any], truth: Mapping[str, Any], about: Mapping[str, Any]) -> None:
        self.theirs, self.truth = theirs, truth
        self.config = LEDConfig.from_dict(about["config"])
        self.errors: Mapping[str, float] = about.get("float32_error", {})
        self.precision: str | None = None  # that all numbers of theirs have, where it is narrower than their type
        self.stages = _stages(truth, self.config)
        # Which tokens are real, by the letter of their axis, where there is padding; and which are global.
        flags = truth.get("in.global_attention_mask", np.zeros_like(truth["in.input_ids"]))
        masks = {"S": np.where(flags < 0, 0, truth.get("in.attention_mask", 1))}
        masks |= {"T": truth["in.decoder_attention_mask"]} if "in.decoder_attention_mask" in truth else {}
        self.is_real = {letter: mask == 1 for letter, mask in masks.items() if (mask != 1).any()}
        self.is_global: Bools = (flags > 0) & self.is_real.get("S", np.array(True))
        self._chosen: dict[str, tuple[str, int]] = {}  # their name, and which of its layouts
        self._words: dict[str, str] = {}  # that say which layout it is

    def __getitem__(self, name: str) -> NDArray[Any]:
        array, is_out = self.numbers(name)
        array[is_out] = np.nan
        return array

    def numbers(self, name: str) -> tuple[Floats, Bools]:
        """Return the port's numbers of a stage, and which of them are not compared."""
        their_name, i = self._chosen[name]
        laid = self._layouts(name, self.theirs[their_name])[i]
        array = laid.array.astype(np.float64)
        return array, self._left_out(name, laid, array)[0]

    def __iter__(self) -> Iterator[str]:
        return iter(self._chosen)

    def __len__(self) -> int:
        return len(self._chosen)

    def times_budget(self, row: Row) -> Floats:
        """Return how far each number of a stage is from the truth, see `measures.times_budget`."""
        array, is_out = self.numbers(row.name)
        return times_budget(array, self.truth[row.name].astype(np.float64), is_out, row)

    def row(self, name: str, their_name: str) -> Row:
        """Return what is to be said of an array of theirs that is a stage."""
        truth, array = self.truth[name], self.theirs[their_name]
        kinds = {type_of(self.theirs, their_name), self.precision or "", str(truth.dtype)} & BITS.keys()
        kind = min(kinds, key=lambda kind: BITS[kind][0]) if truth.dtype.kind == "f" else None
        row = Row(name, their_name, verdict="outside", budget=budget(kind, self.errors.get(name, 0.0)))
        laid = self._layouts(name, array)
        if not laid:
            return row.noted(f"of shape {array.shape}, which is no layout of {truth.shape}")
        rows = [self._measured(replace(row, layout=one.layout), one, kind) for one in laid]
        errors = [math.inf if one.nmse is None else one.nmse for one in rows]
        best = min(range(len(rows)), key=errors.__getitem__)
        # subtle: numbers that are wrong agree with some other layout a little better, by chance
        best = best if laid[0].layout or errors[best] < errors[0] / 4 else 0
        # subtle: where B is G its shape says nothing; global queries are laid out as the others are
        if name.endswith(".query_global") and "(S, B," in self._words.get(name.removesuffix("_global"), ""):
            best = next((i for i, one in enumerate(laid) if "(G, B," in one.layout), best)
        self._words[name] = laid[best].layout
        self._chosen.setdefault(name, (their_name, best))
        return rows[best]

    def _layouts(self, name: str, array: NDArray[Any]) -> list[Laid]:
        """Return the array in the stage's layout, once for each layout that it may have."""
        axes, shape, config = self.stages[name].axes, self.truth[name].shape, self.config
        H = config.decoder_attention_heads if "decoder." in name else config.encoder_attention_heads
        laid = layouts(array, axes, shape, H, self.is_real.get("S"))
        if not laid and name.endswith(".embed_positions"):  # those of one document are those of all
            laid = layouts(array, axes, (1, *shape[1:]), H, None)
            return [Laid(one.layout or "one for the batch", np.broadcast_to(one.array, shape)) for one in laid]
        if not laid and name.startswith("encoder.") and name.endswith(".probs"):
            w = config.one_sided_window(int(name.split(".")[2]))
            return upstream_attentions(array, w, self.is_global, H)
        return laid

    def _left_out(self, name: str, laid: Laid, x: Floats) -> tuple[Bools, str]:
        """Return the places of an array that are not compared, and in words which rows of padding are not."""
        is_out = np.zeros(x.shape, bool) if laid.is_absent is None else laid.is_absent.copy()
        axes, note = self.stages[name].axes, ""
        # Rows of the source alone: a target's mask hides keys, and the decoder reads a source that is wholly padding.
        letter = next((letter for letter in axes if letter in "ST"), "")
        if letter == "S" and letter in self.is_real and axes[0] == "B":
            is_real = self.is_real[letter]
            at, is_padding = axes.index(letter), ~is_real & is_real.any(axis=1, keepdims=True)
            flat = (is_padding.sum(), x[0].size // x.shape[at])  # subtle: -1 has no answer where no row is padding
            rows, truth = (np.moveaxis(a, at, 1)[is_padding].reshape(flat) for a in (x, self.truth[name]))
            is_idle = ((rows == 0).all(axis=1) & (truth != 0).any(axis=1)) | np.isnan(rows).all(axis=1)
            is_out_row = is_padding.copy()
            is_out_row[is_padding] = is_idle
            np.moveaxis(is_out, at, 1)[is_out_row] = True
            note = f"{is_idle.sum():,} rows of padding are not computed" if is_idle.any() else ""
        if axes == "BGE":  # rows that no global token has
            is_out |= (np.arange(x.shape[1]) >= self.is_global.sum(axis=1)[:, None])[:, :, None]
        if name == "tokens" and "logits" in self.truth:
            is_out |= self._are_alike(laid.array) & (x != self.truth[name])
        return is_out, note

    def _measured(self, row: Row, laid: Laid, kind: str | None) -> Row:
        """Return the row with the measures of one layout."""
        x, t, axes = laid.array.astype(np.float64), self.truth[row.name].astype(np.float64), self.stages[row.name].axes
        is_out, note = self._left_out(row.name, laid, x)
        result, is_wrong = measured(row.noted(note), x, t, is_out, kind)
        if result.verdict == "inside":
            return result
        if axes[-1:] == axes[-2:-1] != "" and measured(row, x.swapaxes(-1, -2), t, is_out, kind)[0].verdict == "inside":
            return result.noted("its transpose is inside")
        letter = next((letter for letter in axes if letter in "ST" and axes[0] == "B"), None)
        if letter is not None:
            rows = np.moveaxis(is_wrong, axes.index(letter), 1).any(axis=tuple(range(2, is_wrong.ndim)))
            kinds = {kind: of_it for kind, of_it in self._kinds_of_rows(letter, rows.shape).items() if of_it.any()}
            wrong = [kind for kind, of_it in kinds.items() if (rows & of_it).any()]
            if len(wrong) == 1 < len(kinds):
                return result.noted(f"only rows of {wrong[0]} are wrong")
        return result

    def excused(self, row: Row, rows: Sequence[Row]) -> Row:
        """Return the row; one of scores that are dumped before the mask is inside, if the probabilities are."""
        probs = row.name.replace(".scores", ".probs")
        are_inside = {other.verdict for other in rows if other.name == probs} == {"inside"}
        if row.verdict != "outside" or row.name not in self or probs == row.name or not are_inside:
            return row
        x, t = self[row.name], self.truth[row.name]
        is_out = np.isnan(x) | np.isneginf(t)
        result, _ = measured(replace(row, note=""), np.where(is_out, 0, x), np.where(is_out, 0, t), is_out, "float64")
        if (x < NEVER).any() or result.verdict == "outside":
            return row
        del self._chosen[row.name]  # what comes of it is not what comes of the truth's scores
        return result.noted("dumped before the mask, which the probabilities have")

    def _kinds_of_rows(self, letter: str, shape: tuple[int, ...]) -> dict[str, Bools]:
        """Return which tokens of the source S, or the target T, are of which kind: (B, S) or (B, T) each."""
        is_real = self.is_real.get(letter, np.ones(shape, bool))
        if letter == "S":
            return {"padding": ~is_real, "global tokens": self.is_global, "local tokens": is_real & ~self.is_global}
        is_without = ~np.logical_or.accumulate(is_real, axis=1)
        # subtle: 5.23.0 and the definition give such a query all keys, transformers 4.57.6 those that the mask has
        return {
            "queries without a key, where versions of transformers differ": is_without,
            "queries with keys": ~is_without,
        }

    def _are_alike(self, tokens: NDArray[Any]) -> Bools:
        """Return where another token than the truth's is as likely, within the budget of logits: (B, T)."""
        logits = self.truth["logits"]
        scores = np.take_along_axis(logits, np.clip(tokens, 0, logits.shape[-1] - 1)[..., None].astype(np.int64), -1)
        largest = max(1.0, float(np.abs(logits).max(initial=0)))
        return (logits.max(axis=-1) - scores[..., 0]) <= 2 * budget("float32", self.errors.get("logits", 0.0)) * largest


def _find_first(report: Report, stages: Mapping[str, Stage]) -> None:
    """Set the first stage that is wrong, and mark each whose inputs are right."""
    verdicts: dict[str, str] = {}
    for row in report.stages:
        if row.verdict != "not dumped" and verdicts.get(row.name) != "outside":
            verdicts[row.name] = row.verdict
    for i, row in enumerate(report.stages):
        if row.verdict == "outside":
            dumped, between = _inputs(row.name, stages, verdicts)
            if all(verdicts[name] == "inside" for name in dumped):
                where = "its inputs are inside" if dumped else "none of its inputs is dumped"
                has_inputs = row.name in stages and stages[row.name].inputs  # gradients and inputs have none
                report.stages[i] = row.noted(where if has_inputs else "")
                if report.first is None:
                    report.first, report.missing = row.name, between


def _inputs(name: str, stages: Mapping[str, Stage], verdicts: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """Return the nearest stages before one that were dumped, and those between, which were not."""
    dumped: list[str] = []
    between: list[str] = []
    rest, seen = [name], {name}
    while rest:
        stage = stages.get(rest.pop())
        for before in () if stage is None else stage.inputs:
            if before not in seen:
                seen.add(before)
                (dumped if before in verdicts else between).append(before)
                rest += [] if before in verdicts else [before]
    return dumped, [name for name in stages if name in between and not name.startswith("in.")]

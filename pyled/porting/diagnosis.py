"""Which known mistakes explain the numbers of a port at the first stage that differs.

The definition runs with one mistake after the other in it, on the port's own numbers of the stages before that one,
which are right (`replay.py`). A mistake is named where the port's numbers come out, and what it leaves over is clearly
less than what the port has wrong. Where no mistake does that, none is named: nothing is guessed.
"""

import itertools
import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..arrays import Floats, Weights
from ..errors import PyledWarning
from .measures import FLOAT32_FLOOR, FLOAT64_BUDGET, LOST
from .mistakes import MASKS, MISTAKES, TYPES, Mistake, Way, changed_functions, rounded, weights_with
from .replay import ANYWHERE, NAMED, ROWS, Replay, Scope, Stages, part_of, reached
from .stages import Stage, stages_of

LEFT_OVER = 0.2  # of the difference, at most, is left over by a mistake that explains it: the root of the mean square
WORK = 1e12  # multiplications that are spent on a question: a minute or two of two cores
NARROW = 2e10  # that are spent on mistakes in one place alone, where several layers are not dumped: seconds
ROUNDINGS = {mistake.name for mistake in MISTAKES if mistake.where == TYPES}
BEHIND = (".fc1", ".activation_fn", ".fc2", ".final_layer_norm")  # the stages of a layer's feed-forward
LARGE = 2**18  # numbers of a state from which on a question is answered in float32, which is as exact as most dumps
ENOUGH = 50  # numbers that show in which type they were computed


def diagnose(
    first: str,
    theirs: Mapping[str, Floats],
    truth: Mapping[str, Floats],
    weights: Weights,
    config: Any,
    float32_error: Mapping[str, float],
) -> list[Mistake]:
    """Return the known mistakes that explain a port's numbers at the stage `first`, likeliest first.

    The list is empty where none does. Of several, those are left that explain the most of the stages behind `first`.

    first: the first stage that is outside its budget
    theirs: the port's arrays by the names and in the layout of ours, NaN where it has no number
    truth: a trace, with the inputs
    weights: in float64, by their names without `led.`

    Warns with PyledWarning where not every mistake was tried: the text is long, or few stages were dumped.
    """
    inputs = {name.removeprefix("in."): truth[name] for name in truth if name.startswith("in.")}
    stages = stages_of(config, inputs) if inputs.keys() >= {"input_ids", "decoder_input_ids"} else []
    if all(stage.name != first for stage in stages) or (first.startswith("in.") and first != "in.decoder_input_ids"):
        return []  # a gradient, or an input
    with np.errstate(all="ignore"):
        question = _Question(first, theirs, truth, weights, config, float32_error, stages)
        names = question.answer() if question.first in question.usual else []
        if not names and first.startswith("encoder") and (padding := _padding(truth, config)):
            their_longer, longer = (_Longer(arrays, truth, config, padding) for arrays in (theirs, truth))
            of_masks = [mistake for mistake in MISTAKES if mistake.where == MASKS]
            question = _Question(first, their_longer, longer, weights, config, float32_error, stages, of_masks)
            names = question.answer() if question.first in question.usual else []
    return [mistake for name in names for mistake in MISTAKES if mistake.name == name]


class _Question:
    """usual: the stages from `first` on that the definition computes from those before."""

    def __init__(
        self,
        first: str,
        theirs: Mapping[str, Floats],
        truth: Mapping[str, Floats],
        weights: Weights,
        config: Any,
        float32_error: Mapping[str, float],
        computed: list[Stage],
        mistakes: Sequence[Mistake] = MISTAKES,
    ) -> None:
        self.first, self.truth, self.weights, self.config = first, truth, weights, config
        self.mistakes = mistakes
        self.float32_error = float32_error
        self.budgets: dict[tuple[str, int], float] = {}
        stages = {stage.name: stage for stage in computed}
        order = [name for name in stages if not name.startswith("in.")]
        order.insert(order.index("decoder.embed_tokens"), "in.decoder_input_ids")
        place = order.index(first)
        right = {name for name in order[:place] if name in theirs and not name.startswith("in.")}
        self.after = [name for name in order[place:] if name in theirs and name != "tokens"]
        parts = list(dict.fromkeys(map(part_of, order)))
        self.stop = part_of(first)
        is_large = truth["in.input_ids"].size * config.d_model > LARGE and first in theirs
        self.is_rough = is_large and _is_of("float32")(np.asarray(theirs[first]))
        if self.is_rough:
            arrays = {id(array): array for array in weights.values()}
            narrow = {number: np.asarray(array).astype(np.float32) for number, array in arrays.items()}
            self.weights = weights = {name: narrow[id(array)] for name, array in weights.items()}
        self.given, self.right = (theirs, truth, weights, config), right
        # subtle: rows that the port does not show are computed, where padding was appended to its source
        self.replay = Replay(*self.given, right, set(self.after), parts if mistakes is MISTAKES else ())
        self.usual = self.replay.run(stop=self.stop)
        if first not in theirs:  # of a wrong shape: what follows it tells more
            wrong = (
                name for name in self.after if name in self.usual and not self.is_near(name, self.usual, self.usual)
            )
            first = self.first = next(wrong, first)
        self.parts = [part for part in parts[: parts.index(self.stop) + 1] if part not in self.replay.past]
        self.between = _between(first, right, {name: stage.inputs for name, stage in stages.items()})
        reach = reached()
        self.functions = {"forward"}.union(*(_functions(name, reach) for name in self.between))
        for name in self.between:  # what stands between the encoder and the decoder, or the decoder and its head
            self.functions |= {_side(other) for other in stages[name].inputs} - {_side(name), "in"}
        if "decoder.embed_tokens" not in right and self.stop != "encoder":
            self.functions.add("shift_right")

    def answer(self) -> list[str]:
        """Return the names of the mistakes that fit best, or those of narrow numbers."""
        limit = WORK
        for scopes in (self.everywhere, self.in_a_part, self.in_a_call):
            fits: dict[str, tuple[int, Way, Scope]] = {}
            for name, way, scope in scopes():
                if self.replay.work > limit:
                    self.warn(scope)
                    break
                score = self.score(self.run(way, scope, self.stop), name in ROUNDINGS)
                if score > fits.get(name, (0,))[0]:
                    fits[name] = score, way, scope
            if fits:
                return self.best(fits)
            if self.replay.work > limit:
                break
            if scopes == self.everywhere and len(self.parts) > 1:
                limit = min(WORK, self.replay.work + NARROW)
        return self.narrow_numbers()

    def warn(self, scope: Scope) -> None:
        """Warn that mistakes are left which are not tried."""
        why = f"{self.truth['in.input_ids'].shape[1]:,} tokens are too many to try every known mistake"
        if scope != ANYWHERE and len(self.parts) > 1:
            why = f"{len(self.parts):,} layers and other parts are too many to try every known mistake in each alone"
        warnings.warn(f"{why}: dump a shorter text, or more stages", PyledWarning, stacklevel=5)

    def everywhere(self) -> Iterator[tuple[str, Way, Scope]]:
        """Yield each way to make a mistake that can show at `first`."""
        both_sides = {_side(part) for part in self.parts} >= {"encoder", "decoder"}
        for mistake in self.mistakes:
            for way in (*mistake.ways, *(_joined(mistake.ways) if both_sides else ())):
                if self.is_between(way):
                    yield mistake.name, way, ANYWHERE

    def in_a_part(self) -> Iterator[tuple[str, Way, Scope]]:
        """Yield each way in each of several parts."""
        if len(self.parts) > 1:
            for name, way, _ in self.everywhere():
                yield from ((name, way, Scope(part)) for part in self.parts)

    def in_a_call(self) -> Iterator[tuple[str, Way, Scope]]:
        """Yield each way in each call of a function that has a name."""
        modules = [name for name in self.between if f"{name}.bias" in self.weights]
        attentions = {name.removesuffix(".out_proj") for name in modules if name.endswith(".out_proj")}
        for name, way, _ in self.everywhere() if len(modules) > 1 else ():
            if len(functions := changed_functions(way)) == 1 and functions <= set(NAMED):
                calls = sorted(attentions) if functions == {"decoder_attention"} else modules
                yield from ((name, way, Scope(call=call)) for call in calls)

    def is_between(self, way: Way) -> bool:
        """Return True where a way changes what is computed between the port's right numbers and `first`."""
        if not self.functions.isdisjoint(changed_functions(way)):
            return True
        weights = weights_with(way, self.weights, self.config)
        keys = (f"{name}.{kind}" for name in self.between for kind in ("weight", "bias"))
        try:
            return any(weights[key] is not self.weights[key] for key in keys if key in self.weights)
        except LookupError:  # another's weight that this model does not have
            return False

    def run(self, way: Way, scope: Scope, stop: str | None) -> Stages:
        """Return the stages with a mistake; none where it cannot be made with these weights and inputs."""
        try:
            return self.replay.run(way, scope, stop)
        except Exception:  # whatever an array of another shape leads to
            return {}

    def score(self, stages: Stages, is_rounding: bool) -> int:
        """Return how many stages are explained from `first` on; 0 where that is not."""
        if not self.is_explained(self.first, stages, is_rounding):
            return 0
        return sum(self.is_explained(name, stages, is_rounding) for name in self.after if name in self.usual)

    def best(self, fits: Mapping[str, tuple[int, Way, Scope]]) -> list[str]:
        """Return the names of those that explain most: up to the end of the pass, where there are several.

        A mistake comes before others if it need not be in one part alone, and then if it is the commoner one.
        """
        most = max(score for score, _, _ in fits.values())
        fits = {name: fit for name, fit in fits.items() if fit[0] == most}
        if len(fits) == 1 or self.replay.work > WORK:
            return list(fits)
        whole = Replay(*self.given, set(), {*self.right, *self.after}, ())
        self.budgets, usual = {}, whole.run()
        scores = {}
        for name, (_, way, scope) in fits.items():
            runs = [whole.run(way, one) for one in (scope, Scope(self.stop))]
            counts = [sum(self.is_near(stage, stages, usual) for stage in usual) for stages in runs]
            scores[name] = max(counts), counts[0] >= counts[1]
        best = max(scores.values())
        return [name for is_first in (True, False) for name in scores if scores[name] == (best[0], is_first)]

    def is_explained(self, name: str, stages: Stages, is_rounding: bool) -> bool:
        """Return True where a run has the port's numbers of a stage, and the definition clearly has not.

        is_rounding: some numbers may be off by more than the budget: what is nearly a tie rounds up here and down there
        """
        rest, whole = (self.distances(name, run, self.usual) for run in (stages, self.usual))
        if rest is None or (rest.max(initial=0.0) > self.budget(name, self.usual) and not is_rounding):
            return False
        if not np.isfinite(_size(rest)):  # a fifth of an infinite difference is infinite, too
            return False
        if whole is None:
            return True
        return (
            bool(whole.any()) and _size(rest) <= LEFT_OVER * _size(whole) and (whole.size > ENOUGH or not is_rounding)
        )

    def is_near(self, name: str, stages: Stages, usual: Stages) -> bool:
        """Return True where a run has the port's numbers of a stage."""
        rest = self.distances(name, stages, usual)
        return rest is not None and rest.max(initial=0.0) <= self.budget(name, usual)

    def distances(self, name: str, stages: Stages, usual: Stages) -> Floats | None:
        """Return how far the port's numbers of a stage are from a run's, each; None where there are not as many."""
        distances = []
        for b, array in enumerate(stages.get(name, ())):
            theirs = self.replay.theirs(name, b)
            if name.endswith("query_global") and not np.nan_to_num(theirs[len(array) :]).any():
                theirs = theirs[: len(array)]  # behind those of this document are none, or those of no token
                array = array[: len(theirs) or None]  # and as many as there should be are compared
            if array.ndim == 2 and array.shape[1:] == theirs.shape[1:] and len(theirs) >= len(usual[name][b]):
                array = array[: len(theirs)]  # more rows than the truth has were cut off
            if theirs.shape != array.shape:
                return None
            is_cut = self.replay.rows is not None and part_of(name) == self.stop and name.endswith(BEHIND)
            if is_cut and len(array) > ROWS:
                array, theirs = array[self.replay.rows], theirs[self.replay.rows]
            distance = np.where(array == theirs, 0.0, np.abs(array - theirs))  # the same infinity is no distance
            distance = np.where(np.isnan(distance), np.inf, distance)
            is_number, is_none = ~np.isnan(theirs), np.isnan(array)
            if is_none.any():  # no numbers, in the same places: as near as the same numbers
                distance, is_number = np.where(is_none & ~is_number, 0.0, distance), np.ones_like(is_number)
            distances.append(distance[is_number])
        return np.concatenate(distances) if len(distances) == len(usual[name]) else None

    def budget(self, name: str, usual: Stages) -> float:
        """Return how far the port's numbers of a stage may be from the right ones."""
        if (name, id(usual)) not in self.budgets:
            numbers = [*usual[name], *(self.replay.theirs(name, b) for b in range(len(usual[name])))]
            size = max(np.max(np.abs(x), where=np.isfinite(x), initial=1.0) for x in numbers)
            kind = self.kind(name, usual)
            of_float32 = 2 * max(self.float32_error.get(name, 0.0), FLOAT32_FLOOR) * LOST.get(kind, 1)
            budget = FLOAT64_BUDGET if kind == "float64" else of_float32 * (1 + self.is_rough)
            self.budgets[name, id(usual)] = float(budget * size)
        return self.budgets[name, id(usual)]

    def kind(self, name: str, usual: Stages) -> str:
        """Return the narrowest type that has all the port's numbers of a stage, and not the definition's by chance."""
        arrays = [self.replay.theirs(name, b) for b in range(len(usual[name]))]
        for kind in reversed(LOST):  # the narrowest first
            is_of = _is_of(kind)
            is_known = kind == "float32" or (
                not all(map(is_of, usual[name])) and len(np.unique(np.concatenate(arrays, axis=None))) > ENOUGH
            )
            if is_known and all(map(is_of, arrays)):
                return kind
        return "float64"

    def narrow_numbers(self) -> list[str]:
        """Return the accumulation that the port's numbers show: all of a narrow type, and as far off as it leaves."""
        theirs = np.concatenate([self.replay.theirs(self.first, b).ravel() for b in range(len(self.usual[self.first]))])
        usual = np.concatenate([np.ravel(array) for array in self.usual[self.first]])
        bias = np.asarray(self.weights.get(f"{self.first}.bias", 0.0))
        is_number = np.isfinite(theirs) & np.isfinite(usual) & (theirs != 0) if theirs.shape == usual.shape else []
        if np.count_nonzero(is_number) < ENOUGH:
            return []
        for kind in ("float16", "bfloat16"):
            error = np.abs(theirs - usual)[is_number].max() / max(1.0, np.abs(usual[is_number]).max())
            for offset in (0.0, np.resize(bias, theirs.shape)):
                sums, as_usual = (theirs - offset)[is_number], (usual - offset)[is_number]
                is_narrow, is_always = (
                    np.mean(np.abs(x - rounded(x, kind)) <= 2.0**-21 * np.abs(x)) > 0.99 for x in (sums, as_usual)
                )
                if is_narrow and not is_always and error <= 2 * FLOAT32_FLOOR * LOST[kind]:
                    return [f"{kind}-accumulation"]
        return []


class _Longer(Mapping[str, Floats]):
    """Arrays whose sources have some tokens of padding more, which many ports append to fill the last window."""

    def __init__(self, arrays: Mapping[str, Floats], truth: Mapping[str, Floats], config: Any, padding: int) -> None:
        self._arrays, self._padding, self._pad = arrays, padding, config.pad_token_id
        inputs = {name.removeprefix("in."): truth[name] for name in truth if name.startswith("in.")}
        self._axes = {stage.name: stage.axes for stage in stages_of(config, inputs)}
        self._ones = {"in.attention_mask": np.ones_like(truth["in.input_ids"])} if arrays is truth else {}

    def __getitem__(self, name: str) -> Floats:
        array = self._arrays[name] if name in self._arrays else self._ones[name]
        of_source = {"in.input_ids": self._pad, "in.attention_mask": 0, "in.global_attention_mask": 0}
        axes = "BS" if name in of_source else self._axes.get(name, "") if array.dtype.kind == "f" else ""
        widths = [(0, self._padding * (letter == "S")) for letter in axes]
        return np.pad(array, widths, constant_values=of_source.get(name, np.nan)) if widths else array

    def __iter__(self) -> Iterator[str]:
        return iter({**dict.fromkeys(self._arrays), **self._ones})

    def __len__(self) -> int:
        return len({*self._arrays, *self._ones})


def _padding(truth: Mapping[str, Floats], config: Any) -> int:
    """Return how many tokens of padding fill the last window, where the table of positions has as many."""
    S, window = truth["in.input_ids"].shape[1], 2 * max(map(config.one_sided_window, range(config.encoder_layers)))
    return -S % window if S + -S % window <= config.max_encoder_position_embeddings else 0


def _joined(ways: tuple[Way, ...]) -> Iterator[Way]:
    """Yield each two ways together that change different functions: one of the encoder and one of the decoder, say."""
    for one, other in itertools.combinations(ways, 2):
        if changed_functions(one).isdisjoint(changed_functions(other)):
            yield one + other


def _side(stage: str) -> str:
    return stage.partition(".")[0]


def _functions(stage: str, reach: Mapping[str, set[str]]) -> set[str]:
    """Return the functions of the definition that compute a stage."""
    side = _side(stage)
    layer = {f"{side}_layer"} if ".layers." in stage else set()
    if re.search(r"\.(self|encoder)_attn\b", stage):
        return reach[f"{side}_attention"] | {side} | layer
    if re.search(r"\.(fc1|fc2|activation_fn)$", stage):
        return reach["feed_forward"] | layer
    if layer:
        return reach["add_norm"] | layer
    if side in ("encoder", "decoder"):
        return reach["embed"] | {side}
    heads = {"qa_outputs": "qa_logits", "classification_head": "classification_logits", "loss": "loss"}
    return reach[heads.get(side, "lm_logits")]


def _between(first: str, right: set[str], inputs: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Return the stages that are computed between those that the port has right and `first`, which is one of them."""
    between, ahead = {first}, [first]
    while ahead:
        for name in inputs.get(ahead.pop(), ()):
            if name not in right and name not in between:
                between.add(name)
                ahead.append(name)
    return sorted(between)


def _size(distances: Floats) -> float:
    """Return the root of the mean square."""
    return float(np.sqrt(np.mean(distances**2))) if distances.size else 0.0


def _is_of(kind: str) -> Callable[[Floats], bool]:
    """Return a test whether a type has all the numbers of an array."""
    return lambda array: bool(np.array_equal(rounded(array, kind), array, equal_nan=True))

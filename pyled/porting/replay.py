"""Runs of the definition with a mistake in it, on a port's own numbers as far as they are right.

A stage that the port has right takes the port's numbers as soon as it is computed: so a run shows what a mistake does
to what follows, and to nothing else. Layers whose result is such a stage are not run, and what a mistake cannot reach
is computed once.
"""

import contextlib
import functools
import re
from collections.abc import Callable, Container, Mapping, Sequence
from types import CodeType, ModuleType
from typing import Any, NamedTuple

import numpy as np

from ..arrays import Bools, Floats, Ids, Weights
from .measures import NEVER
from .mistakes import Way, changed_functions, definition_with, weights_with

PARTS = ("embed", "encoder_layer", "decoder_layer")  # functions of the definition whose result is a state
NAMED = {"linear": 2, "layer_norm": 2, "add_norm": 3, "decoder_attention": 5}  # the argument that names the call
# The place of the argument `weights`, behind which is the name, in functions that are worth remembering.
COSTLY = {"encoder_attention": 5, "decoder_attention": 4, "feed_forward": 1, "linear": 1}
RUN = 10**7  # multiplications that take as long as what a run does beside them
ROWS = 128  # of a feed-forward tell what is wrong with a layer: more are not computed

Stages = dict[str, list[Floats]]  # by name, one array per document


class Scope(NamedTuple):
    """Where a mistake is: everywhere, in one part (encoder.layers.1), or in one call (that of encoder.layers.1.fc2)."""

    part: str | None = None
    call: str | None = None


ANYWHERE = Scope()


class _Stop(Exception):  # noqa: N818 - no error
    """The run has got as far as it should."""


class Document(NamedTuple):
    """What the definition takes of one document. labels: what shifted right is the decoder's input, or None."""

    ids: Ids
    decoder_ids: Ids
    labels: Ids | None
    is_real: Bools
    is_encoded: Bools  # where global_attention_mask has no -1
    is_global: Bools
    target_is_real: Bools | None
    end: int


def part_of(stage: str) -> str:
    """Return the part of the forward pass in which a stage is computed.

    >>> [part_of(name) for name in ("encoder.layers.1.fc1", "decoder.embed_tokens", "logits", "loss")]
    ['encoder.layers.1', 'decoder', 'head', 'loss']
    """
    match = re.match(r"(encoder|decoder)(\.layers\.\d+)?", stage.replace("in.decoder_input_ids", "decoder"))
    return match[0] if match else "loss" if stage == "loss" else "head"


def result_of(part: str) -> str:
    """Return the stage that is the result of a part of the encoder or decoder."""
    return f"{part}.final_layer_norm" if "layers" in part else f"{part}.layernorm_embedding"


def _names_in(code: CodeType) -> set[str]:
    inner = (constant for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*map(_names_in, inner))


def reached() -> dict[str, set[str]]:
    """Return for each function of the definition the functions that run in it, itself among them."""
    functions = {name: value for name, value in vars(definition_with(())).items() if hasattr(value, "__code__")}
    reach = {name: {name, *_names_in(value.__code__)} & set(functions) for name, value in functions.items()}
    for _ in functions:
        reach = {name: set().union(*(reach[other] for other in others)) for name, others in reach.items()}
    return reach


def documents_of(truth: Mapping[str, Floats], config: Any) -> list[Document]:
    """Return the documents of a trace's inputs."""
    ids, decoder_ids = truth["in.input_ids"], truth["in.decoder_input_ids"]
    is_real = truth["in.attention_mask"] > 0 if "in.attention_mask" in truth else np.ones(ids.shape, bool)
    marks = truth["in.global_attention_mask"] if "in.global_attention_mask" in truth else np.zeros_like(ids)
    target = truth.get("in.decoder_attention_mask")
    shift_right, pad = definition_with(()).shift_right, config.pad_token_id
    documents = []
    for b in range(len(ids)):
        ends = np.flatnonzero(ids[b] == config.eos_token_id)
        sequences = [truth[n][b] for n in ("in.labels", "in.input_ids") if n in truth and truth[n].ndim == 2]
        sequences.append(np.append(decoder_ids[b, 1:], pad))  # a prompt: nothing follows its last token
        shifted = [shift_right(sequence, config.decoder_start_token_id, pad) for sequence in sequences]
        labels = [x for x, y in zip(sequences, shifted, strict=True) if np.array_equal(y, decoder_ids[b])]
        documents.append(
            Document(
                ids=ids[b],
                decoder_ids=decoder_ids[b],
                labels=labels[0] if labels else None,
                is_real=is_real[b],
                is_encoded=marks[b] != -1,
                is_global=marks[b] > 0,
                target_is_real=None if target is None else target[b] > 0,
                end=int(ends[-1]) if len(ends) else -1,
            )
        )
    return documents


class Replay:
    """Runs of the definition on the inputs of a trace. The first has no mistake.

    right: the stages that take the port's numbers
    wanted: the stages that are reported
    rows: those that the last feed-forward has, where a text is long
    past: the parts that are not run
    names: the stages of the first run
    work: multiplications with an addition, about, that were done
    """

    def __init__(
        self,
        theirs: Mapping[str, Floats],
        truth: Mapping[str, Floats],
        weights: Weights,
        config: Any,
        right: Container[str],
        wanted: Container[str],
        parts: Sequence[str],
    ) -> None:
        self._theirs, self._truth, self._weights, self._config = theirs, truth, weights, config
        self._right, self._wanted = right, wanted
        self._documents = documents_of(truth, config)
        self._reach = reached()
        self._usual = definition_with((), config)
        for function in COSTLY:
            setattr(self._usual, function, self._remembering(function, getattr(self._usual, function)))
        self._arguments: dict[tuple[int, str], tuple[Any, ...]] = {}
        self._memory: dict[Any, tuple[list[tuple[str, Floats]], Floats]] = {}
        self._numbers: dict[str, Floats] = {}
        self._is_first = True
        S = len(self._documents[0].ids)
        places = np.linspace(0, S - 1, ROWS).astype(int), *(np.flatnonzero(d.is_global)[:ROWS] for d in self._documents)
        self.rows = np.unique(np.concatenate(places)) if S > ROWS else None
        self.past: set[str] = set()
        for side in ("encoder", "decoder"):
            of_side = [part for part in parts if part.startswith(side)]
            ends = [i for i, part in enumerate(of_side) if result_of(part) in right]
            self.past.update(of_side[: ends[-1] + 1] if ends else ())
        self.names: list[str] = []
        self.work = 0.0

    def theirs(self, name: str, b: int) -> Floats:
        """Return the port's numbers of a stage, of document b."""
        if name not in self._numbers:
            array = np.asarray(self._theirs[name])
            self._numbers[name] = np.where(array < NEVER, -np.inf, array) if name.endswith(".scores") else array
        return self._numbers[name] if name == "loss" else self._numbers[name][b]

    def run(self, way: Way = (), scope: Scope = ANYWHERE, stop: str | None = None) -> Stages:
        """Return the wanted stages up to the end of the part `stop`. Raises whatever a mistake leads to."""
        stages: Stages = {}
        logits = []
        self.work += RUN
        for b, document in enumerate(self._documents):
            with contextlib.suppress(_Stop):
                logits.append(self._logits(way, scope, stop, b, document, stages))
        if stop in (None, "loss") and "loss" in self._wanted and "lm_head.weight" in self._weights:
            module = definition_with(way, self._config) if scope.part in (None, "loss") else self._usual
            stages["loss"] = [np.asarray(module.loss(np.stack(logits), self._truth["in.labels"]))]
        self._is_first = False
        return stages

    def _logits(self, way: Way, scope: Scope, stop: str | None, b: int, document: Document, stages: Stages) -> Floats:
        """Return the logits of a document. Raises _Stop at the end of the part `stop`."""

        def see(name: str, array: Floats) -> None:
            if self._is_first and b == 0:
                self.names.append(name)
            if name in self._right:
                theirs = self.theirs(name, b)[: len(array)]  # of global queries as many as there are
                if theirs.shape == array.shape and array.flags.writeable:
                    np.copyto(array, theirs, where=~np.isnan(theirs), casting="unsafe")
            if name in self._wanted:
                stages.setdefault(name, [])[b:] = [array.copy()]

        if stop == "loss" and "logits" in self._right:
            return self.theirs("logits", b)
        definition = self._definition(way, scope, stop, b, see)
        encoder = definition.encoder
        definition.__dict__["encoder"] = lambda x, is_real, *rest: encoder(x, is_real & document.is_encoded, *rest)
        ids = document.decoder_ids
        if document.labels is not None:
            module = definition if scope.part in (None, "decoder") else self._usual
            ids = module.shift_right(document.labels, self._config.decoder_start_token_id, self._config.pad_token_id)
        see("in.decoder_input_ids", ids)
        of_head = self._head(definition if scope.part in (None, "head") else self._usual, document)
        weights = weights_with(way, self._weights, self._config)
        plain = (document.ids, ids, document.is_real, document.is_global, weights, self._config, see)
        logits: Floats = definition.forward(*plain, document.target_is_real, of_head)
        return logits

    def _head(self, definition: ModuleType, document: Document) -> Callable[..., Floats]:
        """Return the function of the definition that is the model's head; one that does nothing where there is none."""
        if "qa_outputs.weight" in self._weights:
            return definition.qa_logits
        if "classification_head.dense.weight" in self._weights:
            return functools.partial(definition.classification_logits, end=document.end)
        return definition.lm_logits if "lm_head.weight" in self._weights else lambda hidden, *_: hidden

    def _definition(
        self, way: Way, scope: Scope, stop: str | None, b: int, see: Callable[[str, Floats], None]
    ) -> ModuleType:
        """Return the definition with a mistake in its scope, that skips what is past and stops where it should."""
        definition = definition_with(way, self._config)
        changed = changed_functions(way)
        for function in COSTLY:
            if self._reach[function].isdisjoint(changed):
                setattr(definition, function, getattr(self._usual, function))
        if self.rows is not None and "layer_norm" not in changed:  # which might mix rows
            definition.__dict__["feed_forward"] = self._of_rows(definition.feed_forward, stop)
        for function in PARTS:
            setattr(definition, function, self._gated(function, getattr(definition, function), scope, stop, b, see))
        for function, place in NAMED.items():
            if scope.call is not None and function in changed:
                both = getattr(definition, function), getattr(self._usual, function)
                setattr(definition, function, _of_call(*both, place, scope.call))
        return definition

    def _of_rows(self, feed_forward: Callable[..., Floats], stop: str | None) -> Callable[..., Floats]:
        """Return a feed-forward that computes some rows in the part `stop`, and no numbers in the others."""

        def of_rows(x: Floats, weights: Weights, name: str, kind: str, see: Callable[[str, Floats], None]) -> Floats:
            if name != stop or len(x) <= ROWS:
                return feed_forward(x, weights, name, kind, see)

            def spread(rows: Floats) -> Floats:
                whole = np.full((len(x), rows.shape[1]), np.nan, rows.dtype)
                whole[self.rows] = rows
                return whole

            def see_rows(stage: str, rows: Floats) -> None:
                see(stage, whole := spread(rows))
                rows[:] = whole[self.rows]

            return spread(feed_forward(x[self.rows], weights, name, kind, see_rows))

        return of_rows

    def _gated(
        self,
        function: str,
        changed: Callable[..., Floats],
        scope: Scope,
        stop: str | None,
        b: int,
        see: Callable[[str, Floats], None],
    ) -> Callable[..., Floats]:
        """Return the function of a part that is not run where it is past, and has the mistake in its scope alone."""

        def gated(*arguments: Any) -> Floats:
            part = arguments[2 if function == "embed" else -2]
            if self._is_first:
                self._arguments[b, part] = arguments[:-1]
            if part in self.past:
                return self._result(part, b, arguments[0])
            if scope.part in (None, part):
                hidden = changed(*arguments)
            else:
                usual = [*self._arguments[b, part], see]
                for i in (0, 2) if function == "decoder_layer" else (0,):  # what flows: the states of both sides
                    usual[i] = arguments[i]
                hidden = getattr(self._usual, function)(*usual)
            if part == stop:
                raise _Stop
            return hidden

        return gated

    def _result(self, part: str, b: int, otherwise: Floats) -> Floats:
        """Return the port's numbers of a part's result, and the truth's where it has none."""
        name = result_of(part)
        if name not in self._right:
            return otherwise
        theirs = self.theirs(name, b)
        return np.where(np.isnan(theirs), self._truth[name][b] if name in self._truth else 0.0, theirs)

    def _remembering(self, function: str, usual: Callable[..., Floats]) -> Callable[..., Floats]:
        """Return a function of the definition that does not run again on what it had in the first run."""
        place = COSTLY[function]

        def remembering(*arguments: Any) -> Floats:
            *plain, see = arguments
            weights, name = plain[place : place + 2]
            part = f"{name}.fc" if function == "feed_forward" else f"{name}."
            is_usual = all(weights[k] is self._weights[k] for k in self._weights if k.startswith(part))
            key = (function, *(_key(argument) for argument in plain if argument is not weights))
            if is_usual and key in self._memory:
                reports, result = self._memory[key]
                for stage, array in reports:
                    see(stage, array.copy())
                return result.copy()
            S, E = arguments[0].shape[-2:] if arguments[0].ndim > 1 else (1, len(arguments[0]))
            if function == "linear":
                self.work += S * weights[f"{name}.weight"].size
            elif function != "feed_forward":
                self.work += 4 * S * E * (S if function == "encoder_attention" else len(arguments[1]))
            if not self._is_first:
                return usual(*arguments)
            reports = []

            def seeing(stage: str, array: Floats) -> None:
                see(stage, array)
                if stage in self._wanted:
                    reports.append((stage, array.copy()))

            result = usual(*plain, seeing)
            self._memory[key] = reports, result.copy()
            return result

        return remembering


def _key(argument: Any) -> Any:
    """Return what is equal for equal arguments."""
    return (argument.shape, hash(argument.tobytes())) if isinstance(argument, np.ndarray) else argument


def _of_call(
    changed: Callable[..., Floats], usual: Callable[..., Floats], place: int, name: str
) -> Callable[..., Floats]:
    """Return a function with a mistake in the call of one name alone."""
    return lambda *arguments: (changed if arguments[place] == name else usual)(*arguments)

"""Text in, text and a record of what was done out.

Letters: S source tokens.
"""

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from .errors import CheckpointError, GenerationError, InputError, PyledWarning
from .generation import Settings, resolve
from .generation_config import GenerationConfig
from .models import DType, LEDForConditionalGeneration
from .tokenizer import LEDTokenizer
from .version import __version__

NEW_TOKENS = 256  # the most that are generated where neither the call nor the checkpoint sets a length
DOC_SEP = "<doc-sep>"  # stands between the documents of one input; PRIMERA's vocabulary has it

# What a summary settles itself, and what it asks for to fill the record.
_OWN = {"num_return_sequences": 1, "return_dict_in_generate": True, "output_scores": False, "output_logits": False}

TooLong = Literal["error", "truncate"]
Stage = Literal["encoding", "generating"]
StageProgress = Callable[[Stage, int, int], None]  # (stage, what is done, what there is to do at most)
Progress = Callable[[int, Stage, int, int], None]  # the same behind the number of the text in its list


def _no_progress(stage: Stage, done: int, total: int) -> None:
    """The progress of a caller who wants none."""


@dataclass(frozen=True)
class Summary:
    """A summary and the record of how it was made; `str` gives the text.

    model: the checkpoint's directory, or "in memory"
    version, dtype: pyled's version, and the float type it computed in
    settings: every setting in effect; `settings.origin` says where each comes from, "summarize" meaning from here
    source_tokens: tokens of the whole text, `<s>` and `</s>` included; truncated_tokens of them were not read
    global_tokens: tokens with global attention
    generated_tokens: tokens of the summary, the end of sequence included
    score: what beam search ranks by (sum of log-probabilities / generated_tokens ** length_penalty); None for greedy
    notes: what was assumed, truncated, missing, tied or unused, in words
    """

    text: str
    model: str
    version: str
    dtype: str
    settings: Settings
    source_tokens: int
    truncated_tokens: int
    global_tokens: int
    generated_tokens: int
    score: float | None
    notes: tuple[str, ...]
    encoding_seconds: float
    generating_seconds: float

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Plan:
    """How to generate: the settings in effect, and the arguments of `generate` that lead to them."""

    settings: Settings
    generation_config: GenerationConfig | None
    arguments: Mapping[str, Any]


@dataclass(frozen=True)
class Source:
    """A text as the encoder takes it.

    ids, is_global: (1, S) int
    """

    ids: NDArray[np.int64]
    is_global: NDArray[np.int64]
    truncated: int
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Summarizer:
    """A model and its tokenizer: what `summarize` loads once, and asks for one text after another.

    name: of the model, for the record
    notes: how the weights were found; surprises: those of the notes that an ordinary checkpoint does not have
    """

    model: LEDForConditionalGeneration
    tokenizer: LEDTokenizer
    name: str
    notes: tuple[str, ...] = ()
    surprises: tuple[str, ...] = ()

    @classmethod
    def load(
        cls,
        model: str | Path | LEDForConditionalGeneration,
        tokenizer: str | Path | LEDTokenizer | None = None,
        dtype: DType | None = None,
    ) -> "Summarizer":
        """From a checkpoint's directory, or from what is in memory already.

        Raises CheckpointError, ConfigError, TokenizerError, GenerationError for the files, InputError for arguments.
        """
        if isinstance(model, LEDForConditionalGeneration):
            if dtype not in (None, model.dtype.name):
                raise InputError(f"dtype is {dtype!r}, but the model is in {model.dtype.name}: load it with that dtype")
            name, loaded = "in memory", model
        elif isinstance(model, str | Path):
            name, loaded = str(model), _load_model(Path(model), dtype)
            tokenizer = model if tokenizer is None else tokenizer
        else:
            raise InputError(
                f"model is a {type(model).__name__}: pass a checkpoint's directory, or an LEDForConditionalGeneration"
            )
        if isinstance(tokenizer, str | Path):
            tokenizer = LEDTokenizer.from_pretrained(tokenizer)
        if not isinstance(tokenizer, LEDTokenizer):
            given = "missing" if tokenizer is None else f"a {type(tokenizer).__name__}"
            raise InputError(f"the tokenizer is {given}: a model in memory needs its LEDTokenizer, or the directory")
        report = loaded.load_report
        if report is None:
            return cls(loaded, tokenizer, name)
        return cls(loaded, tokenizer, name, tuple(report.lines()), tuple(report.surprises()))

    def plan(self, generation_config: GenerationConfig | None, settings: Mapping[str, Any]) -> Plan:
        """Settle all questions of generation before any work. Raises GenerationError, InputError."""
        if not isinstance(generation_config, GenerationConfig | None):
            raise InputError(f"generation_config is a {type(generation_config).__name__}: pass a GenerationConfig")
        for name in _OWN:
            if name in settings:
                raise GenerationError(
                    f"{name} is not for a summary, which is one text with its score: leave it out, or call "
                    "model.generate"
                )
        arguments = {**settings, **_OWN}
        effective = self._resolve(generation_config, arguments)
        origin = dict.fromkeys(_OWN, "summarize")
        notes = []
        if effective.origin["max_length"] == "default":
            arguments["max_new_tokens"] = min(NEW_TOKENS, self.model.config.max_decoder_position_embeddings)
            effective = self._resolve(generation_config, arguments)
            origin |= {"max_length": "summarize", "max_new_tokens": "summarize"}
            notes.append(
                f"no length is set: at most {arguments['max_new_tokens']} tokens are generated; pass max_new_tokens"
            )
        configs = [config for config in (generation_config, self.model.generation_config) if config is not None]
        asked = next((c for c in configs if c.num_return_sequences is not None), configs[-1])
        if (asked.num_return_sequences or 1) > 1:
            notes.append(
                f"num_return_sequences={asked.num_return_sequences} ({asked.source}) is ignored: the best is given"
            )
        self.model._warned.update(effective.notes)  # the record tells them, so generate need not
        effective = replace(effective, origin={**effective.origin, **origin}, notes=(*notes, *effective.notes))
        return Plan(effective, generation_config, arguments)

    def _resolve(self, generation_config: GenerationConfig | None, arguments: Mapping[str, Any]) -> Settings:
        config = self.model.config
        return resolve(
            arguments,
            generation_config,
            self.model.generation_config,
            batch_size=1,
            vocab_size=config.vocab_size,
            positions=config.max_decoder_position_embeddings,
        )[0]

    def read(self, text: str, too_long: TooLong = "error") -> Source:
        """A text as tokens, global where this model needs it. Raises InputError, TokenizerError."""
        if not isinstance(text, str):
            raise InputError(f"a text is a string, not {type(text).__name__}")
        if not text.strip():
            raise InputError("the text is empty: there is nothing to summarize")
        positions = self.model.config.max_encoder_position_embeddings
        ids = self.tokenizer(text, truncation=False, max_length=positions)["input_ids"]
        count, notes = len(ids), []
        if count > positions:
            if too_long == "error":
                raise InputError(
                    f"{count:,} tokens, but this encoder has {positions:,} positions: shorten the text, or pass "
                    f"too_long='truncate' (--too-long truncate) to read {positions:,} of them"
                )
            ids = self.tokenizer(text, truncation=True, max_length=positions)["input_ids"]
            notes.append(
                f"{count - len(ids):,} of {count:,} tokens were cut off: the encoder has {positions:,} positions"
            )
        if len(ids) > self.tokenizer.model_max_length:
            notes.append(
                f"{len(ids):,} tokens are read, more than the tokenizer's model_max_length, "
                f"{self.tokenizer.model_max_length:,}"
            )
        source = np.array([ids], np.int64)  # (1, S)
        is_global = np.zeros_like(source)
        is_global[:, 0] = 1
        doc_sep = self.tokenizer.get_vocab().get(DOC_SEP)
        is_global[source == doc_sep] = 1
        return Source(source, is_global, count - len(ids), tuple(notes))

    def write(self, source: Source, plan: Plan, progress: StageProgress = _no_progress) -> Summary:
        """The summary of one text. Raises InputError, GenerationError."""
        model, is_real = self.model, np.ones_like(source.ids)
        began = time.perf_counter()
        progress("encoding", 0, model.config.encoder_layers)
        states = model.get_encoder()(
            source.ids, is_real, source.is_global, progress=lambda done, total: progress("encoding", done, total)
        )
        encoded = time.perf_counter()
        P = plan.settings.prompt_length
        progress("generating", 0, plan.settings.max_length - P)
        answer = model.generate(
            source.ids,
            plan.generation_config,
            attention_mask=is_real,
            encoder_outputs=states,
            progress=lambda done, total: progress("generating", done, total),
            **plan.arguments,
        )
        tokens = answer.sequences[0]
        scores = getattr(answer, "sequences_scores", None)
        return Summary(
            text=self.tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False),
            model=self.name,
            version=__version__,
            dtype=model.dtype.name,
            settings=plan.settings,
            source_tokens=source.ids.size + source.truncated,
            truncated_tokens=source.truncated,
            global_tokens=int(source.is_global.sum()),
            generated_tokens=len(tokens) - P,
            score=None if scores is None else float(scores[0]),
            notes=(*self.notes, *plan.settings.notes, *source.notes),
            encoding_seconds=encoded - began,
            generating_seconds=time.perf_counter() - encoded,
        )


def _load_model(directory: Path, dtype: DType | None) -> LEDForConditionalGeneration:
    try:
        found = "" if directory.is_dir() else "is a file" if directory.exists() else "is no directory"
    except OSError as e:  # a name that no file can have
        found = f"cannot be looked up ({e.strerror})"
    if found:
        raise CheckpointError(
            f"{directory} {found}: pass the directory of a downloaded checkpoint, with its config.json, weights and "
            "vocabulary"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)  # the record tells what was surprising
        return LEDForConditionalGeneration.from_pretrained(directory, dtype=dtype or "float32")


@overload
def summarize(
    text: str,
    model: str | Path | LEDForConditionalGeneration,
    tokenizer: str | Path | LEDTokenizer | None = None,
    *,
    too_long: TooLong = "error",
    dtype: DType | None = None,
    progress: Progress | None = None,
    generation_config: GenerationConfig | None = None,
    **settings: Any,
) -> Summary: ...


@overload
def summarize(
    text: list[str] | tuple[str, ...],
    model: str | Path | LEDForConditionalGeneration,
    tokenizer: str | Path | LEDTokenizer | None = None,
    *,
    too_long: TooLong = "error",
    dtype: DType | None = None,
    progress: Progress | None = None,
    generation_config: GenerationConfig | None = None,
    **settings: Any,
) -> list[Summary]: ...


def summarize(
    text: str | list[str] | tuple[str, ...],
    model: str | Path | LEDForConditionalGeneration,
    tokenizer: str | Path | LEDTokenizer | None = None,
    *,
    too_long: TooLong = "error",
    dtype: DType | None = None,
    progress: Progress | None = None,
    generation_config: GenerationConfig | None = None,
    **settings: Any,
) -> Summary | list[Summary]:
    """The summary of a text, or a list of them for a list of texts, which are worked on one after another.

    Global attention stands on `<s>`, and on every `<doc-sep>` where the vocabulary has it. Where neither the call nor
    the checkpoint sets a length, at most 256 tokens are generated.

    model: the directory of a checkpoint, or a loaded model together with its tokenizer
    too_long: what to do with more tokens than the encoder has positions, "error" or "truncate"
    dtype: what to compute in, "float32" (as None) or "float64"
    progress: called with the text's place in its list, "encoding" or "generating", layers or tokens done, and how
        many there are at most
    settings: those of Hugging Face's generation, such as num_beams=4 or max_new_tokens=200

    Raises InputError for a text that is empty or too long, and for wrong arguments; CheckpointError, ConfigError,
    TokenizerError for bad files; GenerationError for bad settings. All are PyledErrors.
    """
    is_one = isinstance(text, str)
    if not isinstance(text, str | list | tuple):
        raise InputError(f"text is a {type(text).__name__}: pass a string, or a list of strings")
    if too_long not in ("error", "truncate"):
        raise InputError(f"too_long is {too_long!r}: it must be 'error' or 'truncate'")
    summarizer = Summarizer.load(model, tokenizer, dtype)
    plan = summarizer.plan(generation_config, settings)
    sources = []
    for i, one in enumerate([text] if isinstance(text, str) else text):
        try:
            sources.append(summarizer.read(one, too_long))
        except InputError as e:
            raise e if is_one else InputError(f"text[{i}]: {e}") from None
    watch = [_no_progress if progress is None else partial(progress, i) for i in range(len(sources))]
    summaries = [summarizer.write(source, plan, watch[i]) for i, source in enumerate(sources)]
    return summaries[0] if is_one else summaries

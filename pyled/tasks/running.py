"""8. Running a task: over one text or several, and a model once over a piece of text."""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, Literal

import numpy as np

from ..arrays import Floats
from ..config import LEDConfig
from ..errors import CheckpointError, InputError, PyledError
from ..models.outputs import AnyOutput
from ..models.seq2seq import Seq2SeqModel
from .cost import TYPICAL, estimate
from .documents import Documents
from .progress import Place, Watch, Work
from .reading import Chunk, Source

Errors = Literal["raise", "record"]
Each = Iterator[tuple[int, Any]]  # numbers of texts, and the result or the error of each, in the order of the texts


def one_or_each(
    name: str,
    text: Any,
    errors: Errors,
    progress: Watch | None,
    read: Callable[[Any], Source],
    seconds: Callable[[Source], float],
    write: Callable[[Any, Work], Any],
    write_each: Callable[[Iterable[tuple[int, Any]], Work], Each] | None = None,
) -> Any:
    """Return the result of a text, or a list of them for several texts, all of which are read first.

    name: of the argument that the text is
    errors: "record" puts the error of a text in its place in the list, and goes on with the others
    progress: called with the Status at each step
    seconds: what a text will take
    write: returns the result of one text; write_each: yields those of several; None writes one after another

    Raises InputError for what is no text.
    """
    work = Work() if progress is None else Work(progress)
    if isinstance(text, str | Documents):
        results: Any = write(read(text), work)
    elif isinstance(text, bytes | Mapping | io.IOBase) or not np.iterable(text):
        raise InputError(f"{name} is a {type(text).__name__}: pass a string, or several in a list or any iterable")
    else:
        results = [_attempt(read, f"{name}[{i}]", errors, one) for i, one in enumerate(text)]
        work.sizes = [seconds(one) if isinstance(one, Source) else 0.0 for one in results]
        sources = ((i, one) for i, one in enumerate(results[:]) if isinstance(one, Source))
        for i, result in (write_each or partial(one_after_another, write))(sources, work):
            results[i] = _attempt(raised, f"{name}[{i}]", errors, result)
    work.end()
    return results


def one_after_another(write: Callable[[Any, Work], Any], sources: Iterable[tuple[int, Any]], work: Work) -> Each:
    """Yield the result of each text, or its error."""
    for i, source in sources:
        work.turn_to(i)
        try:
            result = write(source, work)
        except Exception as e:
            result = e
        yield i, result


def raised(result: Any) -> Any:
    """Return a result, or raise it, where it is an error."""
    if isinstance(result, Exception):
        raise result
    return result


def _attempt(function: Any, place: str, errors: Errors, *arguments: Any) -> Any:
    """Return what a function returns, or its error, which names the text, where errors are recorded."""
    try:
        return function(*arguments)
    except PyledError as e:
        if errors == "raise":
            raise e.at(place) from None
        return e.at(place)


def positions(config: LEDConfig) -> tuple[int, str]:
    """Return the most tokens that a model reads at a time where the decoder reads the source, too, and which side's."""
    sides = ("encoder", config.max_encoder_position_embeddings), ("decoder", config.max_decoder_position_embeddings)
    side, most = min(sides, key=lambda one: one[1])
    return most, side


def pass_seconds(model: Seq2SeqModel[Any], source: Source) -> float:
    """Return in proportion to what a machine needs to read each chunk once; about its seconds with two cores."""
    sizes = [chunk.ids.size for chunk in source.chunks]
    most = max(int(chunk.is_global.sum()) for chunk in source.chunks)
    return estimate(model.config, [sizes], 1, 0, TYPICAL, encoder=model.encoder_arithmetic, global_tokens=most).encoding


def one_pass(model: Seq2SeqModel[AnyOutput], chunk: Chunk, work: Work, cost: float, place: Place) -> AnyOutput:
    """Return the output of a model that reads a chunk once: in the encoder, and shifted by a place in the decoder."""
    is_real, layers = np.ones_like(chunk.ids), model.config.encoder_layers + model.config.decoder_layers
    with work.part("encoding", cost, place, layers) as step:
        states = model.get_encoder()(
            chunk.ids, is_real, chunk.is_global, progress=lambda done, _: step(done, layers)
        )  # fmt: skip
        output = model(chunk.ids, is_real, encoder_outputs=states, use_cache=False)
        step(layers, layers)
    return output


def checked_scores(scores: Floats) -> Floats:
    """Return what a head gives, in float64. Raises CheckpointError for what is no number."""
    if not np.isfinite(scores).all():
        raise CheckpointError("the model's scores are no finite numbers: its weights are damaged, fetch them again")
    return scores.astype(np.float64)

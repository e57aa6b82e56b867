"""4. The model, and the same model with one thing taken away: the difference shows what that thing is good for."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ..errors import InputError
from ..tasks import Source, Summarizer, Work

MODEL, NO_GLOBAL, HALF_WINDOW = "model", "no global attention", "window halved"


def systems(summarizer: Summarizer, ablate: bool) -> dict[str, Summarizer]:
    """Return the model by its name; with `ablate` also without global attention, and with half its attention window.

    Raises InputError where no token is global, or the window cannot be halved.
    """
    if not ablate:
        return {MODEL: summarizer}
    config = summarizer.loaded.model.config
    windows = [2 * config.one_sided_window(layer) for layer in range(config.encoder_layers)]
    if max(windows) == 2:
        raise InputError("an attention window of 2 tokens cannot be halved: leave ablate=True out")
    if summarizer.plan.reading.global_attention == "none":
        raise InputError("global_attention='none' leaves no global attention to take away: leave ablate=True out")
    no_global, half_window = copy.copy(summarizer), copy.copy(summarizer)
    no_global.plan = replace(summarizer.plan, reading=replace(summarizer.plan.reading, global_attention="none"))
    model = summarizer.loaded.model.with_attention_window(half(windows))
    half_window.loaded = replace(summarizer.loaded, model=model)
    return {MODEL: summarizer, NO_GLOBAL: no_global, HALF_WINDOW: half_window}


def half(windows: Sequence[int]) -> list[int]:
    """Return half of each attention window, rounded down to whole tokens on each side, at least 1.

    >>> half([1024, 6, 2])
    [512, 2, 2]
    """
    return [max(2, window // 4 * 2) for window in windows]


def texts_of(
    model: Summarizer, documents: Sequence[str], known: Sequence[str | None], work: Work, numbers: Sequence[int]
) -> Iterator[str | Exception]:
    """Yield the summary of each document, or its error, in order; several are decoded together.

    known: summaries that are there already; work, numbers: what is told of each step, and each document's number there
    """
    errors: dict[int, Exception] = {}

    def sources() -> Iterator[tuple[int, Source]]:
        for number, document, text in zip(numbers, documents, known, strict=True):
            try:
                source = model.read(document) if text is None else None
            except Exception as e:
                errors[number] = e
                continue
            if source is not None:
                yield number, source

    results = model.write_each(sources(), work)
    following = None  # the next result, and its number
    for number, text in zip(numbers, known, strict=True):
        if text is not None:
            yield text
            continue
        following = following or next(results, None)
        if number in errors or following is None:
            yield errors[number]
            continue
        result, following = following[1], None
        yield result if isinstance(result, Exception) else result.text

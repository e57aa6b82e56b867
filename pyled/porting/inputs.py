"""The inputs of a call that is traced, of a text or of ids, as the commands that read texts make them."""

from typing import Any

import numpy as np

from ..arrays import Ids
from ..config import LEDConfig
from ..errors import InputError
from ..models.arguments import shift_right
from ..tasks.planning import plan_reading
from ..tasks.reading import Reader, Reading
from .stages import head_of


def inputs_of(
    config: LEDConfig,
    source: str | list[int],
    target: str | list[int] | None = None,
    global_attention: str | None = None,
    tokenizer: Any = None,
) -> dict[str, Ids]:
    """Return the inputs of one document, by the names of a call's arguments; see `tracing.trace`.

    source, target: a text, or its ids. With a target there are labels, and the decoder reads them shifted by one;
        without, it reads the start token alone, or what its head needs
    global_attention: as that of `Reading`, but for None, which is "first" where there is no tokenizer
    tokenizer: an LEDTokenizer, for what is a text and for "doc-sep"

    Raises InputError.
    """
    vocabulary = {} if tokenizer is None else tokenizer.get_vocab()
    reading, _, limit = plan_reading(config, vocabulary, Reading(global_attention=global_attention, prefix=""))
    reader = Reader(tokenizer, reading, limit, can_cut=False)
    ids = reader(source).chunks[0].ids if isinstance(source, str) else np.array([source])  # (1, S)
    if any(places.stop > ids.shape[1] for places in reading.global_places()):
        raise InputError(f"global_attention='{global_attention}', but there are {ids.shape[1]:,} tokens: pass less")
    marks = reader.global_marks(ids)
    inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "global_attention_mask": marks}
    is_text_read = head_of(config) in ("qa", "classification")
    if target is not None and is_text_read:
        raise InputError("a target is for a model that writes text: this one reads its text in the decoder, too")
    if target is not None:
        target = tokenizer(target, truncation=False)["input_ids"] if isinstance(target, str) else target
        labels = np.array([target])  # (1, T)
        inputs |= {"decoder_input_ids": shift_right(labels, config), "labels": labels}
    elif config.decoder_start_token_id is not None and not is_text_read:
        inputs["decoder_input_ids"] = np.array([[config.decoder_start_token_id]])
    return inputs

"""3. The model that a training starts from, and how its texts are read."""

from pathlib import Path
from typing import Any

from ..config import LEDConfig
from ..errors import CheckpointError, InputError
from ..files import is_there
from ..generation_config import GenerationConfig
from ..hub import WEIGHTS
from ..models import LEDForConditionalGeneration
from ..tasks.loading import Loaded, load
from ..tasks.planning import plan_reading
from ..tasks.reading import Reader, Reading

FEWEST = 3  # tokens of a text: `<s>`, one more, `</s>`


def starting_model(
    model: str | None, tokenizer: str | None, dtype: Any = None, revision: str | None = None, seed: int = 0
) -> tuple[Loaded[LEDForConditionalGeneration], bool]:
    """Return a checkpoint, and whether it is new: a directory with a configuration and a vocabulary, but no weights.

    The weights of a new model are drawn with the seed. Raises what `tasks.load` does.
    """
    directory = Path(model or "")
    is_local = model is not None and (directory / "config.json").is_file()
    if not is_local or any(is_there(directory / name, CheckpointError) for (name,) in WEIGHTS.ways):
        return load(model, tokenizer, dtype, revision=revision), False
    config = LEDConfig.from_pretrained(directory)
    new = LEDForConditionalGeneration(config, seed, dtype=dtype)
    new.generation_config = GenerationConfig.of_checkpoint(directory, config)
    return load(new, tokenizer or directory), True


def reader_for(loaded: Loaded[LEDForConditionalGeneration], most: int | None, global_attention: str | None) -> Reader:
    """Return how documents are read, as for a summary; of longer ones the first `most` tokens. Raises InputError."""
    config = loaded.model.config
    positions = checked_limit("max_source_tokens", most, "encoder", config.max_encoder_position_embeddings)
    reading = Reading(too_long="truncate", global_attention=global_attention)
    reading, _, limit = plan_reading(config, loaded.tokenizer.get_vocab(), reading, positions)
    return Reader(loaded.tokenizer, reading, limit)


def checked_limit(name: str, most: int | None, side: str, positions: int) -> int:
    """Return the most tokens of a text; None is all positions. Raises InputError for less or more than there can be."""
    if most is not None and not FEWEST <= most <= positions:
        raise InputError(f"{name} is {most:,}: it must be from {FEWEST} to the {positions:,} positions of this {side}")
    return most or positions

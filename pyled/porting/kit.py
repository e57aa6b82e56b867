"""Write the conformance kit: cases that say what a port of LED must give, in files that any language reads.

KIT/README.md, which is `kit.md` of this folder, is the page for whoever writes a port.
"""

import math
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..checkpoint.safetensors import write_safetensors
from ..config import LEDConfig
from ..errors import InputError, PyledWarning, brief
from ..files import is_there, write_json
from ..hub import SYNOPSIS
from ..models.seq2seq import Seq2SeqModel
from ..tokenizer import LEDTokenizer
from ..version import __version__
from .cases import SETTINGS, Case, forward_cases, generation_cases, gradient_cases
from .dumps import Writer
from .recipe import TIED, make_weights, shapes
from .refusals import weight_files
from .stages import Stage, head_of, stages_of
from .texts import IDS, TEXTS, packed
from .tracing import CLASSES, Call, is_picked, trace, write_trace

FORMAT = "pyled kit 1"
PARTS = ("forward", "gradients", "generate", "tokenize", "refuse")
SIZES = ("tiny", "base")
SEED = 0  # of the weights of all cases
PAGE = Path(__file__).parent / "kit.md"

Arrays = dict[str, NDArray[Any]]
Entry = tuple[str, str, str, Callable[[Path], None]]  # part, case, what it is about, and what writes it into its folder

# 1. The whole


def write_kit(
    folder: Path, sizes: Sequence[str] = ("tiny",), *, weights: bool = False, parts: Sequence[str] = PARTS
) -> None:
    """Write a kit, the same bytes each time, into a folder that appears when all of it is written.

    sizes: of "tiny" and "base", the shape of LED-base
    weights: whether each case holds its weights, too, as model.safetensors
    parts: of PARTS those that are written

    Raises InputError, see `check_kit`, and OSError.
    """
    check_kit(folder, sizes)
    folder, beside = folder.absolute(), unfinished(folder)
    try:
        beside.mkdir(parents=True)
        listed = []
        for part, case, about, write in _entries(sizes, weights):
            if part not in parts:
                continue
            (beside / part / case).mkdir(parents=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PyledWarning)  # of global marks on padding, which some cases are about
                write(beside / part / case)
            listed.append({"part": part, "case": case, "about": about})
        manifest = {"format": FORMAT, "pyled": __version__, "sizes": [*sizes], "weights_seed": SEED, "cases": listed}
        write_json(beside / "manifest.json", manifest)
        shutil.copyfile(PAGE, beside / "README.md")
        if folder.is_dir():
            folder.rmdir()  # it is empty
        beside.rename(folder)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def unfinished(folder: Path) -> Path:
    """Return the folder in which this process writes a kit until it is whole."""
    folder = folder.absolute()
    return folder.with_name(f".{folder.name}.{os.getpid()}.part")


def check_parts(parts: Sequence[str]) -> None:
    """Raise InputError for a part that there is not."""
    for part in parts:
        if part not in PARTS:
            raise InputError(f"{brief(part)} is no part of a kit: name some of {', '.join(PARTS)}")


def check_kit(folder: Path, sizes: Sequence[str]) -> None:
    """Raise InputError for a folder that holds something, and for a size that there is not."""
    for size in sizes:
        if size not in SIZES:
            raise InputError(f"{brief(size)} is no size of a kit: name some of {', '.join(SIZES)}")
    if is_there(folder, InputError) and not (folder.is_dir() and not any(folder.iterdir())):
        raise InputError(f"{folder} is there already: name another folder, or remove it")


def size_of(sizes: Sequence[str], weights: bool) -> int:
    """Return about how many bytes a kit takes."""
    total = 2_000_000  # vocabularies, transcripts and gradients
    for case in forward_cases():
        if case.size in sizes:
            inputs = case.inputs()
            inputs.setdefault("decoder_input_ids", inputs.get("labels", inputs["input_ids"]))  # shifted, and as many
            stages = stages_of(LEDConfig.from_dict(case.config), inputs)
            total += sum(stage.size for stage in stages if is_picked(stage.name, case.stages))
            total += 4 * weights * sum(math.prod(shape) for shape in _stored(case.config).values())
    return total


def _entries(sizes: Sequence[str], weights: bool) -> Iterator[Entry]:
    """Yield the cases of a kit; those of the tokenizer and of weight files have no size."""
    writers = (("forward", forward_cases, _write_stages), ("gradients", gradient_cases, _write_gradients),
               ("generate", generation_cases, _write_generation))  # fmt: skip
    for part, cases, write in writers:
        for case in cases():
            if case.size in sizes:
                yield part, case.name, case.about, partial(write, case, weights)
    for name, (about, texts) in TEXTS.items():
        yield "tokenize", name, about, partial(_write_texts, texts)
    yield "tokenize", "back", "ids to texts", _write_ids
    for name, rule, data in weight_files():
        about = "breaks no rule" if rule is None else f"breaks the rule {rule}"
        yield "refuse", name, about, partial(_write_file, rule, data)


# 2. Calls of a model


def model_of(stated: Mapping[str, Any], weights: Mapping[str, NDArray[Any]]) -> Seq2SeqModel[Any]:
    """Return the model of a configuration with these weights, by their names in a checkpoint, in float64."""
    config = LEDConfig.from_dict({**stated, "weights_seed": SEED})
    model = CLASSES[head_of(config)](config, dtype="float64")
    model.load_state_dict(weights)
    return model


def _stored(stated: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return names and shapes of the weights that a file holds: of tied ones the first."""
    tied = TIED[1:] if stated.get("tie_word_embeddings", True) else ()
    return {name: shape for name, shape in shapes(stated).items() if name not in tied}


def _write_model(case: Case, weights: bool, folder: Path) -> tuple[Seq2SeqModel[Any], Arrays]:
    """Write configuration, arguments and perhaps weights of a call; return the model and the arguments."""
    write_json(folder / "config.json", {**case.config, "weights_seed": SEED})
    inputs = case.inputs()
    write_safetensors(folder / "inputs.safetensors", inputs)
    tensors = make_weights(case.config, SEED, np.float32)
    if weights:
        write_safetensors(folder / "model.safetensors", {name: tensors[name] for name in _stored(case.config)})
    return model_of(case.config, tensors), inputs


def _write_stages(case: Case, weights: bool, folder: Path) -> None:
    model, inputs = _write_model(case, weights, folder)
    write_trace(model, inputs, folder / "expected.safetensors", "definition", "float64", case.stages)


def _write_gradients(case: Case, weights: bool, folder: Path) -> None:
    """Write the loss and its gradients; those of weights that it does not depend on are zeros.

    In float32 they are off by less than what the budget gives every stage: so no error of theirs is written.
    """
    model, inputs = _write_model(case, weights, folder)
    pattern = "loss,grad.*"
    arrays = trace(model, inputs, "fast", "float64", pattern, True)
    for name, shape in _stored(case.config).items():
        if name != "final_logits_bias":
            arrays.setdefault(f"grad.{name}", np.zeros(shape))
    about = Call(model, inputs, "fast", "float64", pattern, True).about()
    stages = [Stage(name, array.shape, str(array.dtype)) for name, array in arrays.items()]
    with Writer(folder / "expected.safetensors", stages, about) as writer:
        for name, array in arrays.items():
            writer.write(name, array)


def _write_generation(case: Case, weights: bool, folder: Path) -> None:
    """Write a generation, step by step."""
    model, inputs = _write_model(case, weights, folder)
    settings = {**SETTINGS, **(case.settings or {})}
    write_json(folder / "settings.json", settings)
    write_safetensors(folder / "expected.safetensors", transcript(model, inputs, settings))


def transcript(model: Any, inputs: Arrays, settings: Mapping[str, Any]) -> Arrays:
    """Return sequences, and the scores of each step, NaN for rows of documents that are done and of absent beams.

    sequences: (R, T) int; scores: (steps, R, V) float32; with beams sequences_scores: (R,), beam_indices: (R, T - 1)
    """
    of_call = {**settings, "return_dict_in_generate": True, "output_scores": True}
    together = model.generate(**inputs, **of_call)
    scores = np.stack(together.scores)  # (steps, B * beams, V)
    beams, B = settings["num_beams"], len(inputs["input_ids"])
    for b in range(B):
        alone = model.generate(**{name: array[b : b + 1] for name, array in inputs.items()}, **of_call)
        rows = slice(b * beams, (b + 1) * beams)
        scores[len(alone.scores) :, rows] = np.nan
        scores[0, rows][1:] = np.nan
    arrays = {"sequences": together.sequences, "scores": scores}
    if beams > 1:
        arrays |= {"sequences_scores": together.sequences_scores, "beam_indices": together.beam_indices}
    return arrays


# 3. Texts and weight files


def _write_texts(texts: Sequence[str], folder: Path) -> None:
    tokenizer = _write_vocabulary(folder)
    encoded = tokenizer([*texts], truncation=False, return_offsets_mapping=True)
    ids = packed([*encoded["input_ids"]], "ids")
    offsets = np.array([pair for one in encoded["offset_mapping"] for pair in one], np.int64)
    write_safetensors(folder / "inputs.safetensors", packed([text.encode() for text in texts], "text"))
    write_safetensors(folder / "expected.safetensors", {**ids, "offsets": offsets})


def _write_ids(folder: Path) -> None:
    tokenizer = _write_vocabulary(folder)
    texts = [text.encode() for text in tokenizer.batch_decode(IDS, clean_up_tokenization_spaces=False)]
    write_safetensors(folder / "inputs.safetensors", packed(IDS, "ids"))
    write_safetensors(folder / "expected.safetensors", packed(texts, "text"))


def _write_vocabulary(folder: Path) -> LEDTokenizer:
    """Write the vocabulary of the checkpoint in the package, and return its tokenizer."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copyfile(SYNOPSIS / name, folder / name)
    return LEDTokenizer.from_pretrained(folder)


def _write_file(rule: str | None, data: bytes, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(data)
    write_json(folder / "expected.json", {"rule": rule})

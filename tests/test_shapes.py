"""The shapes in docstrings are true: every call of a run is held to the lines its function says.

A line `name, other: (B, S, H*D) float` binds each letter to the size found there, for the whole call; letters that are
arguments (H, w) are bound first. A size that is an expression is checked once its letters are bound.
"""

import functools
import inspect
import re
import sys
import warnings
from types import FunctionType

import numpy as np
import pytest

from pyled import reference
from pyled.config import LEDConfig
from pyled.errors import PyledWarning
from pyled.kernels import banded, grouped, products, rows
from pyled.models import (
    arguments,
    conditional_generation,
    question_answering,
    seq2seq,
    sequence_classification,
    stacks,
)
from pyled.network import attention, decoder, encoder, heads, layers, losses

LINE = re.compile(r"^\s+(?P<names>[a-z_]+(?:, [a-z_]+)*): \((?P<sizes>[^()]*)\)(?: (?P<kind>float|int|bool)\b)?", re.M)
KINDS = {"float": "f", "int": "i", "bool": "b"}
PLACES = [attention, decoder, encoder, heads, layers, losses, arguments, reference, banded, grouped, products, rows]
CLASSES = [stacks.LEDEncoder, stacks.LEDDecoder, seq2seq.Seq2SeqModel]


def statements(function):
    """What a docstring says of arrays: (name, sizes, kind); `returns` is a name too."""
    for match in LINE.finditer(function.__doc__ or ""):
        sizes = [size.strip() for size in match["sizes"].split(",") if size.strip()]
        for name in match["names"].split(", "):
            yield name, sizes, match["kind"]


def check(where, array, sizes, kind, known):
    """Hold an array to its line, binding letters that are new."""
    shape = list(array.shape)
    if sizes[:1] == ["..."]:
        sizes = sizes[1:]
        shape = shape[len(shape) - len(sizes) :]
    assert len(shape) == len(sizes), f"{where}: shape {array.shape}, the docstring says ({', '.join(sizes)})"
    for size, found in zip(sizes, shape, strict=True):
        if re.fullmatch(r"[A-Za-z_]+", size):
            expected = known.setdefault(size, found)
        elif set(re.findall(r"[A-Za-z_]+", size)) <= known.keys():
            expected = eval(size, {}, known)
        else:
            continue  # not known yet, as in (Q, H*D) before D
        assert found == expected, f"{where}: {array.shape}, but {size} is {expected}"
    assert kind is None or array.dtype.kind == KINDS[kind], f"{where} is {array.dtype}, the docstring says {kind}"


def watched(function, seen):
    """The function, with each call held to its docstring; `seen` collects what was checked."""
    said = list(statements(function))
    signature = inspect.signature(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        given = signature.bind(*args, **kwargs)
        given.apply_defaults()
        known = {name: value for name, value in given.arguments.items() if isinstance(value, int)}
        if "w" in known:
            known["K"] = 2 * known["w"] + 1
        for name, sizes, kind in said:
            value = given.arguments.get(name)
            if isinstance(value, np.ndarray):
                check(f"{function.__qualname__}, {name}", value, sizes, kind, known)
                seen.add((function.__qualname__, name))
        result = function(*args, **kwargs)
        for name, sizes, kind in said:
            first = result[0] if isinstance(result, tuple) and not hasattr(result, "_fields") else result
            if name == "returns" and isinstance(first, np.ndarray):
                check(f"{function.__qualname__}, returns", first, sizes, kind, known)
                seen.add((function.__qualname__, name))
        return result

    return call


@pytest.fixture
def seen(monkeypatch):
    """Every function and call with shapes in its docstring, watched wherever pyled calls it."""
    found = set()
    modules = [module for name, module in sys.modules.items() if name.startswith("pyled")]
    for place in PLACES:
        for function in [value for value in vars(place).values() if isinstance(value, FunctionType)]:
            if function.__module__ == place.__name__ and any(statements(function)):
                wrapper = watched(function, found)
                for module in modules:
                    for name in [name for name, value in vars(module).items() if value is function]:
                        monkeypatch.setattr(module, name, wrapper)
    for kind in CLASSES:
        monkeypatch.setattr(kind, "__call__", watched(kind.__call__, found))
    return found


def test_docstrings_tell_the_shapes_that_a_run_has(seen):
    config = LEDConfig(
        vocab_size=31, d_model=12, encoder_layers=2, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=3, encoder_ffn_dim=10, decoder_ffn_dim=14, attention_window=[4, 6],
        max_encoder_position_embeddings=40, max_decoder_position_embeddings=12, init_std=0.5,
    )  # fmt: skip
    model = conditional_generation.LEDForConditionalGeneration(config)
    rng = np.random.default_rng(1)
    ids, targets = rng.integers(3, 31, (2, 19)), rng.integers(3, 31, (2, 5))
    mask, marks = np.ones_like(ids), np.zeros_like(ids)
    mask[1, 11:] = 0
    marks[:, [0, 7]] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PyledWarning)
        output = model(ids, mask, targets, [[0, 1, 1, 1, 1], [1] * 5], global_attention_mask=marks, labels=targets)
        model(ids, labels=targets)
        model(ids, mask, targets, global_attention_mask=np.ones_like(marks))  # more than are few
        model(ids, mask, targets[:, :1], global_attention_mask=marks, output_attentions=True)
        ends = np.where(np.arange(5) == 4, 2, targets)
        question_answering.LEDForQuestionAnswering(config)(ends, start_positions=[1, 2], end_positions=[3, 4])
        classification = sequence_classification.LEDForSequenceClassification(config)
        classification(ends, labels=[0, 1])
        classification(ends, labels=[[0.0, 1.0], [1.0, 1.0]])
        model.generate(ids, attention_mask=mask, global_attention_mask=marks, num_beams=2, max_length=5)
    assert output.logits.shape == (2, 5, 31)
    exact = {name.removeprefix("led."): array.astype(np.float64) for name, array in model.state_dict().items()}
    reference.forward(ids[0], targets[0], mask[0] == 1, marks[0] == 1, exact, config, target_is_real=targets[0] > 0)

    functions = {function for function, _ in seen}
    expected = {
        "product", "encoder_self_attention", "_attend_to_all", "decoder_self_attention", "cross_attention",
        "_attend", "_scores", "encoder_layer", "encoder", "decoder_layer", "decoder", "lm_logits", "_local_scores",
        "banded", "grouped", "few_rows", "many_rows", "weighted_sums", "add_norm", "select_past",
        "shift_right", "cross_entropy", "encoder_attention", "decoder_attention", "forward",
        "qa_logits", "classification_logits", "span_loss", "binary_cross_entropy",
        "LEDEncoder.__call__", "LEDDecoder.__call__", "Seq2SeqModel.__call__",
    }  # fmt: skip
    assert expected <= functions
    assert arguments.source_masks(mask, marks, (2, 19)).lengths == (19, 11)


def test_a_wrong_shape_in_a_docstring_is_noticed():
    def wrong(x):
        """Nothing.

        x: (S, S) float
        """
        return x

    with pytest.raises(AssertionError, match="S is 2"):
        watched(wrong, set())(np.zeros((2, 3)))

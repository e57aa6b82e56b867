"""Checkpoints as people have them: what the reference says of each kind (golden/wild.py), and what is told of it.

The kinds that stand elsewhere: half types, tied names, wrappers and adapters in test_checkpoint.py, original files in
test_convert.py, tokenizers in test_tokenizer_files.py.
"""

import json

import numpy as np
import pytest
from budget import assert_within
from checkpoints import TINY, changed
from test_checkpoint import OF_HEAD, assert_equal, plain, tensors_of

import golden
from pyled import LEDForConditionalGeneration, LEDForQuestionAnswering, LEDForSequenceClassification, LEDModel
from pyled.checkpoint import write_safetensors
from pyled.config import LEDConfig
from pyled.errors import CheckpointError

WILD = json.loads((golden.FOLDER / "wild.json").read_text(encoding="utf-8"))
LAMP = next(a for a in json.loads((TINY / "answers.json").read_text())["answers"] if a["document"] == "lamp.txt")


@pytest.mark.parametrize("name", WILD["settings"])
def test_settings_of_a_checkpoint_give_the_references_tokens(name, tmp_path):
    """150 lines of a trainer, `use_cache: false`, `length_penalty: 0`, and a legacy key for the first token."""
    case = WILD["settings"][name]
    directory = changed(tmp_path / "led", config=case["config"])
    if case["generation"] is not None:
        (directory / "generation_config.json").write_text(json.dumps(case["generation"]), encoding="utf-8")
    model = LEDForConditionalGeneration.from_pretrained(directory)
    is_global = np.eye(1, len(LAMP["input_ids"]), dtype=np.int64)
    ids = np.array([LAMP["input_ids"]])
    tokens = model.generate(ids, attention_mask=np.ones_like(ids), global_attention_mask=is_global)
    assert tokens.tolist() == [case["tokens"]]


def checkpoint(folder, config, tensors):
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    write_safetensors(folder / "model.safetensors", tensors)
    return folder


def test_a_distilled_model_has_sides_of_unequal_depth(tmp_path):
    case = WILD["distilled"]
    weights = golden.WEIGHTS.make_weights(case["config"], 0)
    model = LEDForConditionalGeneration.from_pretrained(
        checkpoint(tmp_path / "led", case["config"], weights), dtype="float64"
    )
    ids = {name: np.array(case[name]) for name in ("input_ids", "decoder_input_ids")}
    assert_within("logits", model(**ids).logits, np.array(case["logits"]), 0.0)
    assert (model.config.encoder_layers, model.config.decoder_layers) == (12, 6)


def test_a_head_that_the_file_lacks_is_refused_and_one_too_many_left(tmp_path):
    """5.23.0 draws such a head at random, with a warning."""
    config = LEDConfig.from_pretrained(golden.FOLDER / "weight_files" / "5.23.0" / "lm-tied").to_dict()
    base = checkpoint(tmp_path / "base", config, plain(tensors_of(without=OF_HEAD)))
    for kind in (LEDForQuestionAnswering, LEDForSequenceClassification):
        with pytest.raises(CheckpointError, match=r"The file is of a model without the head '.*': load it"):
            kind.from_pretrained(base)
    head = LEDForConditionalGeneration.from_pretrained(base)
    assert head.load_report.assumed == ["final_logits_bias is not in the file: zeros"]
    body = LEDModel.from_pretrained(checkpoint(tmp_path / "headed", config, tensors_of()))
    assert_equal(body.state_dict(), LEDModel.from_pretrained(base).state_dict())


def test_shapes_count_and_names_do_not(tmp_path):
    """There is a "led_base" of 1.84 GB on the hub."""
    case = WILD["distilled"]
    config = case["config"] | {"_name_or_path": "allenai/led-base-16384"}
    weights = golden.WEIGHTS.make_weights(case["config"], 0)
    model = LEDForConditionalGeneration.from_pretrained(checkpoint(tmp_path / "led_base", config, weights))
    left_out = {*golden.WEIGHTS.TIED[1:], "final_logits_bias"}
    assert model.num_parameters() == sum(array.size for name, array in weights.items() if name not in left_out)
    wrong = checkpoint(tmp_path / "led-base-16384", config | {"d_model": 12}, weights)
    with pytest.raises(CheckpointError, match="tensors have another shape than config"):
        LEDForConditionalGeneration.from_pretrained(wrong)

"""The lines that scripts written for transformers use: each does what it does there, or says what to do."""

import copy
import inspect
import pickle
import typing

import numpy as np
import pytest
from checkpoints import TINY

import pyled
from pyled.errors import ConfigError, InputError, PyledWarning

IDS = np.arange(4, 24)[None]


@pytest.fixture(scope="module")
def model():
    return pyled.AutoModelForSeq2SeqLM.from_pretrained(TINY)


def test_one_line_each(model):
    assert model.eval() is model.to("cpu") is model.to(device="cpu") is model.cpu() is model.train(False) is model
    assert model.device == "cpu"
    tensors = model.state_dict()
    learned = [array for name, array in tensors.items() if name != "final_logits_bias"]
    assert model.num_parameters() == sum({id(array): array.size for array in learned}.values())
    assert model.get_output_embeddings() is tensors["lm_head.weight"]
    assert pyled.LEDModel.from_pretrained(TINY).get_output_embeddings() is None
    labels = [[5, 6, 2], [7, 2, -100]]
    assert model.prepare_decoder_input_ids_from_labels(labels).tolist() == [[2, 5, 6], [2, 7, 2]]
    output = model.forward(IDS, labels=labels[:1])
    assert output.get("loss") == output.loss and output.get("hidden", 3) == 3


def test_inputs_is_the_first_argument_of_generate(model):
    expected = model.generate(IDS, max_length=5)
    assert np.array_equal(model.generate(inputs=IDS, max_length=5), expected)
    assert np.array_equal(model.generate(input_ids=IDS, max_length=5), expected)
    with pytest.raises(InputError, match="both of inputs and input_ids"):
        model.generate(IDS, input_ids=IDS)


@pytest.mark.parametrize(
    ("action", "message"),
    [
        (lambda model: model.train(), "pyled does not train a model yet: fine-tune it with transformers"),
        (lambda model: model.to("cuda"), r"to\(device='cuda'\): pyled runs on the CPU"),
        (
            lambda model: model.to(dtype="float16"),
            r"dtype='float16'\): .* dtype= and weights= are for from_pretrained",
        ),
        (lambda model: model.half(), "load the model with weights='bf16'"),
        (lambda model: type(model).from_pretrained(TINY, torch_dtype="float16"), "computes in 'float32' or 'float64'"),
        (lambda model: type(model).from_pretrained(TINY, num_beams=2), "num_beams.* generate"),
        (
            lambda model: type(model).from_pretrained(TINY, config={}),
            "config is {}: an LEDConfig, a string, a path or",
        ),
        (lambda model: setattr(model, "generation_config", {}), "generation_config is a dict: pass a GenerationConfig"),
        (lambda model: model({"input_ids": IDS}), r"input_ids is a dict: pass what it holds as arguments, with \*\*"),
    ],
)
def test_a_remedy_for_what_is_not_here(model, action, message):
    with pytest.raises(InputError, match=message):
        action(model)


def test_an_argument_that_does_not_exist_is_a_type_error_as_anywhere(model):
    with pytest.raises(TypeError, match=r"LEDModel\(\) got an unexpected keyword argument 'labels'"):
        pyled.LEDModel.from_pretrained(TINY)(IDS, labels=IDS)
    with pytest.raises(TypeError, match="unexpected keyword argument 'head_mask'"):
        model(IDS, head_mask=None)


def test_usual_arguments_of_from_pretrained_and_save_pretrained(model, tmp_path):
    usual = {"low_cpu_mem_usage": True, "local_files_only": True, "torch_dtype": "auto", "device_map": None}
    loaded = type(model).from_pretrained(TINY, use_cache=False, **usual)
    assert not loaded.config.use_cache and loaded(IDS, decoder_input_ids=[[2]]).past_key_values is None
    own = pyled.LEDConfig.from_pretrained(TINY, attention_window=4)
    assert type(model).from_pretrained(TINY, config=own).config.attention_window == 4
    loaded.save_pretrained(tmp_path, safe_serialization=True, push_to_hub=False)
    assert not type(model).from_pretrained(tmp_path).config.use_cache
    with pytest.raises(InputError, match="push_to_hub=True"):
        loaded.save_pretrained(tmp_path, push_to_hub=True)


def test_a_model_keeps_its_shape_and_hears_of_settings_in_the_wrong_place(model):
    before = model(IDS, decoder_input_ids=[[2]]).logits
    for name, value in (("attention_window", 8), ("activation_function", "relu"), ("d_model", 48)):
        with pytest.raises(ConfigError, match=f"{name} is fixed at"):
            setattr(model.config, name, value)
    with pytest.raises(ConfigError, match="a model keeps its configuration"):
        model.config = pyled.LEDConfig.from_pretrained(TINY)
    with pytest.raises(ConfigError, match="num_beams is a setting of generation: set it on"):
        model.config.num_beams = 2
    assert np.array_equal(model(IDS, decoder_input_ids=[[2]]).logits, before)


def test_copies_belong_to_nobody(model):
    """A model made from another one's configuration, or from its copy, leaves that one as it was."""
    for config in (copy.deepcopy(model.config), copy.copy(model.config)):
        config.attention_window = 8
    other = pyled.LEDModel(model.config)
    other.config.pad_token_id = 3
    assert (model.config.attention_window, model.config.pad_token_id) != (8, 3) and model.config.pad_token_id == 1
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with pytest.raises(ConfigError, match="is fixed at"):
            same.config.attention_window = 8
    settings = copy.copy(model.generation_config)
    settings.do_sample, settings.max_length = True, 20
    assert model.generation_config.do_sample is None
    assert model.generation_config.origin("max_length") == "generation_config.json"


@pytest.mark.parametrize("dtype", [np.dtype("float64"), np.float64, float, "float64", "torch.float64"])
def test_every_spelling_of_float64_is_float64(dtype):
    assert pyled.LEDModel.from_pretrained(TINY, dtype=dtype).dtype == np.float64


def test_arguments_of_a_call_on_the_configuration_are_not_silent(model):
    config = pyled.LEDConfig(init_std=1.5, num_labels=3)
    assert (config.output_attentions, config.return_dict, config.torch_dtype) == (False, True, None)
    config.output_attentions, config.return_dict = False, True
    with pytest.raises(ConfigError, match="output_attentions=True has no effect here: pass it to the call"):
        config.output_attentions = True


def test_a_warning_names_the_line_of_the_caller(model):
    mask = np.zeros_like(IDS)
    mask[0, -1] = 1
    real = 1 - mask
    with pytest.warns(PyledWarning, match="global marks stand on padding") as caught:
        type(model).from_pretrained(TINY).generate(IDS, attention_mask=real, global_attention_mask=mask, max_length=3)
    assert caught[0].filename == __file__


def test_calls_say_what_they_return():
    assert len(typing.get_overloads(pyled.LEDForConditionalGeneration.generate)) == 2
    for kind in (pyled.LEDForConditionalGeneration, pyled.LEDModel):
        assert inspect.signature(kind.__call__).return_annotation is not inspect.Parameter.empty
        assert typing.get_args(kind.__orig_bases__[0]) != ()

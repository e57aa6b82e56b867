"""The lines that scripts written for transformers use: each does what it does there, or says what to do."""

import copy
import inspect
import math
import pickle
import typing
import warnings

import numpy as np
import pytest
from checkpoints import TINY

import pyled
from pyled import checkpoint
from pyled.errors import ConfigError, InputError, PyledError, PyledWarning
from pyled.evaluation.bootstrap import resampled_means

IDS = np.arange(4, 24)[None]


@pytest.fixture(scope="module")
def model():
    return pyled.AutoModelForSeq2SeqLM.from_pretrained(TINY)


def test_one_line_each(model):
    assert model.eval() is model.to("cpu") is model.to(device="cpu") is model.cpu() is model.train(False) is model
    assert model.train().training and not model.eval().training and model.device == "cpu"
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
        (
            lambda model: model.gradient_checkpointing_enable("all"),
            "policy is 'all': 'keep' or 'selective' or 'recompute'",
        ),
        (lambda model: model.loss_and_gradients(IDS), "no labels: a loss is computed from"),
        (
            lambda model: model.loss_and_gradients(IDS, labels=IDS, see=print),
            "see is .*print.*: an observer, called with",
        ),
        (lambda model: model.loss_and_gradients(IDS, labels=IDS, label_smoothing=1), "label_smoothing is 1: a number"),
        (lambda model: model.loss_and_gradients(IDS, labels=IDS[:, :3], decoder_input_ids=IDS), "labels has shape"),
        (lambda model: model(IDS, labels=np.full((1, 129), 5)), "129 tokens, .* 128 positions: .* or labels"),
        (
            lambda model: pyled.LEDForQuestionAnswering(model.config).loss_and_gradients(IDS),
            "no start_positions and no end_positions: a loss is computed from",
        ),
        (
            lambda model: pyled.LEDForQuestionAnswering(model.config).loss_and_gradients(
                IDS, start_positions=[1], end_positions=[2], label_smoothing=0.1
            ),
            "label_smoothing is 0.1: this loss has no labels to spread it over",
        ),
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
        (lambda model: pyled.LEDModel(model.config, seed=-1), "seed is -1: an integer of at least 0"),
        (lambda model: model.resize_token_embeddings(seed=1.5), "seed is 1.5: an integer of at least 0"),
        (lambda model: pyled.LEDModel(model.config, dtype=True), "dtype is True: pyled computes in 'float32'"),
        (lambda model: model({"input_ids": IDS}), r"input_ids is a dict: pass what it holds as arguments, with \*\*"),
    ],
)
def test_a_remedy_for_what_is_not_here(model, action, message):
    with pytest.raises(InputError, match=message):
        action(model)


def test_an_argument_that_does_not_exist_is_a_type_error_as_anywhere(model):
    with pytest.raises(TypeError, match=r"LEDModel\(\) got an unexpected keyword argument 'labels'"):
        pyled.LEDModel.from_pretrained(TINY)(IDS, labels=IDS)
    with pytest.raises(TypeError, match="unexpected keyword argument 'cache_position'"):
        model(IDS, cache_position=None)
    with pytest.raises(TypeError, match=r"\.loss_and_gradients\(\) got an unexpected keyword argument 'smoothing'"):
        model.loss_and_gradients(IDS, labels=IDS, smoothing=0.1)


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
    for same in (copy.copy(model), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        with pytest.raises(ConfigError, match="is fixed at"):
            same.config.attention_window = 8
        with pytest.raises(ValueError, match="read-only"):
            same.state_dict()["lm_head.weight"][0, 0] = 1
        assert np.array_equal(same(IDS).logits, model(IDS).logits)
    settings = copy.copy(model.generation_config)
    settings.do_sample, settings.max_length = True, 20
    assert model.generation_config.do_sample is None
    assert model.generation_config.origin("max_length") == "generation_config.json"


def test_loading_leaves_the_warning_filters_of_the_process_alone(monkeypatch):
    """Several threads share them: who replaces them and puts them back later undoes what others did meanwhile."""
    load, meanwhile = checkpoint.load, []

    def watched(*arguments, **keywords):
        meanwhile.append(warnings.filters)
        return load(*arguments, **keywords)

    monkeypatch.setattr(checkpoint, "load", watched)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        filters = warnings.filters
        pyled.summarize("The keeper wrote it down.", TINY, max_length=3)
    assert meanwhile and all(one is filters for one in meanwhile)


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


def test_a_window_beyond_the_positions_is_as_wide_as_they_are():
    wide, same = (pyled.LEDModel(pyled.LEDConfig(**SMALL | {"attention_window": w})) for w in (2**31 - 2, 64))
    first, second = (model.get_encoder()(FEW, output_attentions=True) for model in (wide, same))
    assert np.array_equal(first.last_hidden_state, second.last_hidden_state)
    assert np.array_equal(first.attentions, second.attentions) and first.attentions[0].shape == (1, 2, 4, 65)


# Any argument, any value

SMALL = {
    "vocab_size": 600, "d_model": 8, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2,
    "decoder_attention_heads": 2, "encoder_ffn_dim": 4, "decoder_ffn_dim": 4, "attention_window": 4,
    "max_encoder_position_embeddings": 32, "max_decoder_position_embeddings": 16,
}  # fmt: skip
FEW = [[0, 5, 6, 2]]
ODD = [
    None, True, -1, 10**17, 2**63, 10**400, 1.5, math.nan, math.inf, 1j, "", "x", "a\0b", "\ud800", b"x", [], [1],
    [None],
    [[1], [1, 2]], ["x"], (), {}, {"a": 1}, {1: 2}, {1}, range(3), object(), int, len, ..., np.zeros(3), np.array(3),
    np.zeros((0, 4), int), np.array([[np.nan, 1]]), np.array([[1j, 2]]), np.array([["a", "b"]]), np.array([[1, None]]),
    np.array([["2020-01-01"]], "M8[D]"), np.timedelta64(3, "s"), np.array([[True, False]]), np.zeros(2, [("a", int)]),
    np.bool_(True), np.float64, [2**70], [-1],
]  # fmt: skip


def whole(function, *arguments, **base):
    """Return what calls a function with one keyword replaced, and the names of all its keywords."""
    return [(lambda name, value: function(*arguments, **{**base, name: value}), name) for name in base]


def calls(folder):
    """Every function that users call, with each of its arguments: (function of a name and a value, name)."""
    config, tokenizer = pyled.LEDConfig(**SMALL), pyled.LEDTokenizer.from_pretrained(TINY)
    model, batch = pyled.LEDForConditionalGeneration(config), tokenizer(["a b", "c"])
    encoder, decoder, states = model.get_encoder(), model.get_decoder(), model.get_encoder()(FEW).last_hidden_state
    reader = pyled.Summarizer(model, tokenizer, max_new_tokens=2, num_beams=1)
    flags = {"output_attentions": False, "output_hidden_states": False, "return_dict": True}
    masks = {"attention_mask": None, "global_attention_mask": None}
    ids = {"input_ids": FEW, "inputs_embeds": None, **masks}
    heads = dict.fromkeys(("head_mask", "decoder_head_mask", "cross_attn_head_mask"))
    rest = {"logits_processor": None, "stopping_criteria": None, "prefix_allowed_tokens_fn": None, "progress": None}
    of_call = {"decoder_input_ids": [[2]], "encoder_outputs": None, "past_key_values": None, "use_cache": None}
    options = {"padding": False, "truncation": None, "max_length": None, "stride": 0, "pad_to_multiple_of": None}
    options |= {"padding_side": None, "return_tensors": None, "return_attention_mask": None, "verbose": True}
    yield from whole(encoder, **ids, **flags, progress=None, head_mask=None)
    yield from whole(decoder, input_ids=FEW, encoder_hidden_states=states, encoder_attention_mask=None, **flags)
    yield from whole(decoder, FEW, None, states, head_mask=None, cross_attn_head_mask=None)
    yield from whole(model, **ids, **of_call, **flags, **heads, decoder_attention_mask=None, labels=None)
    yield from whole(
        model.generate, **ids, **rest, **heads, decoder_input_ids=None, max_new_tokens=2, generation_config=None
    )
    yield from whole(model.generate, FEW, num_beams=2, output_attentions=False, decoder_attention_mask=None)
    yield from whole(
        model.generate, FEW, num_beams=2, max_length=3, do_sample=False, temperature=1, suppress_tokens=None
    )
    yield from whole(pyled.LEDModel, config=config, seed=0, dtype="float32")
    yield from whole(
        pyled.LEDModel.from_pretrained, directory=TINY, mmap=True, weights=None, encoder=None, config=None, dtype=None
    )
    yield from whole(pyled.LEDModel.from_pretrained, TINY, device_map=None, torch_dtype=None, attention_window=4)
    yield from whole(copy.copy(model).save_pretrained, directory=folder, push_to_hub=False)
    yield from whole(copy.copy(model).load_state_dict, tensors=model.state_dict())
    yield from whole(copy.copy(model).resize_token_embeddings, new_num_tokens=None, mean_resizing=False, seed=0)
    yield from whole(model.with_attention_window, attention_window=4)
    yield from whole(model.train, mode=False)
    yield from whole(copy.copy(model).gradient_checkpointing_enable, policy="keep")
    training = {"label_smoothing": 0.1, "training": True, "seed": 0, "first_document": 0, "trained": None, "count": 9}
    yield from whole(
        model.loss_and_gradients, input_ids=FEW, attention_mask=None, decoder_attention_mask=None, labels=FEW, see=None,
        **training,
    )  # fmt: skip
    yield from whole(model(FEW).past_key_values.select, rows=[0])
    yield from whole(pyled.LEDConfig, **SMALL, init_std=0.02, num_labels=2, eos_token_id=2, activation_function="gelu")
    yield from whole(pyled.GenerationConfig, num_beams=1, early_stopping=None, bad_words_ids=None, do_sample=False)
    for kind in (pyled.LEDConfig, pyled.GenerationConfig):
        yield lambda name, value, kind=kind: kind.from_dict(value), "values"
        yield from whole(kind.from_pretrained, directory=TINY)
        yield from whole(kind().save_pretrained, directory=folder)
    yield from whole(pyled.GenerationConfig.from_model_config, model_config=config)
    yield from whole(tokenizer, text="a b", text_pair=None, text_target=None, add_special_tokens=True, **options)
    yield from whole(tokenizer, "a", is_split_into_words=False, return_overflowing_tokens=False, return_length=False)
    yield from whole(tokenizer.pad, encoded_inputs={"input_ids": [[1], [1, 2]]}, padding=True, max_length=None)
    yield from whole(tokenizer.decode, token_ids=[5], skip_special_tokens=False)
    yield from whole(tokenizer.batch_decode, sequences=[[5]])
    yield from whole(tokenizer.convert_tokens_to_ids, tokens=["a"])
    yield from whole(tokenizer.convert_tokens_to_string, tokens=["a"])
    yield from whole(tokenizer.build_inputs_with_special_tokens, token_ids_0=[5], token_ids_1=None)
    yield from whole(copy.deepcopy(tokenizer).add_tokens, new_tokens=["x"], special_tokens=False)
    yield from whole(copy.deepcopy(tokenizer).add_special_tokens, special_tokens_dict={})
    yield from whole(pyled.LEDTokenizer.from_pretrained, directory=TINY, pad_token="<pad>", added_tokens_decoder=None)
    for name in ("padding_side", "model_max_length", "add_prefix_space", "model_input_names", "pad_token"):
        yield lambda name, value: setattr(copy.deepcopy(tokenizer), name, value), name
    yield from whole(batch.char_to_token, batch_or_char_index=0, char_index=0, sequence_index=0)
    yield from whole(batch[0].word_to_chars, word=0, sequence_index=0)
    yield from whole(batch.tokens, batch_index=0)
    yield from whole(pyled.BatchEncoding, data=None, tensor_type=None)
    yield from whole(pyled.AddedToken, content="x", lstrip=False, normalized=True)
    yield from whole(
        pyled.Summarizer,
        model=model,
        tokenizer=tokenizer,
        dtype=None,
        weights=None,
        encoder=None,
        generation_config=None,
    )
    yield from whole(reader, text="a b", errors="raise", progress=None)
    asker, labeller = (
        task(kind(config), tokenizer)
        for task, kind in (
            (pyled.Answerer, pyled.LEDForQuestionAnswering),
            (pyled.Classifier, pyled.LEDForSequenceClassification),
        )
    )
    asking = {"top_k": 1, "max_answer_len": 3, "handle_impossible_answer": False, "align_to_words": True}
    asking |= {"chunk_tokens": None, "overlap": None, "global_attention": "question", "dtype": None, "revision": None}
    yield from whole(pyled.Answerer, model=asker.loaded.model, tokenizer=tokenizer, **asking)
    yield from whole(asker, question="a?", context="a b", errors="raise", progress=None)
    reading = {"top_k": None, "too_long": "error", "global_attention": None, "dtype": None, "revision": None}
    yield from whole(pyled.Classifier, model=labeller.loaded.model, tokenizer=tokenizer, **reading)
    yield from whole(labeller, text="a b", errors="raise", progress=None)
    yield from whole(pyled.Reading, too_long="chunk", chunk_tokens=None, overlap=0, global_attention=None, prefix=None)
    yield from whole(resampled_means, np.ones((3, 2)), 2, seed=0)


@pytest.mark.filterwarnings("ignore")
def test_any_value_of_any_argument_is_taken_or_told(tmp_path, monkeypatch):
    """A mistake is a PyledError, whatever the value; functions of users raise what they like."""
    monkeypatch.chdir(tmp_path)
    bare = []
    for call, name in calls(tmp_path / "there"):
        for value in ODD:
            if callable(value) and ("progress" in name or name == "trained" or name.endswith("_fn")):
                continue
            try:
                call(name, value)
            except PyledError as e:
                assert str(e)
            except Exception as e:
                bare.append((name, repr(value)[:40], repr(e)[:80]))
    assert not bare

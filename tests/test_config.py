"""LEDConfig: what a file says comes back, and what no LED can have is refused by its name."""

import copy
import dataclasses
import json
import pickle
import re

import numpy as np
import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

import golden
import pyled.config
from pyled import LEDForConditionalGeneration, LEDModel
from pyled.config import ACTIVATIONS, ALIASES, LEDConfig
from pyled.errors import CheckpointError, ConfigError, InputError

PROPERTY = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
WRITTEN = sorted((golden.FOLDER / "weight_files").glob("*/*/config.json"))
FIELDS = {f.name for f in dataclasses.fields(LEDConfig)} - {"extra"}
POSITIVE = (
    *("vocab_size", "max_encoder_position_embeddings", "max_decoder_position_embeddings", "d_model"),
    *("encoder_layers", "encoder_ffn_dim", "encoder_attention_heads"),
    *("decoder_layers", "decoder_ffn_dim", "decoder_attention_heads"),
)


def write(folder, content):
    text = content if isinstance(content, str) else json.dumps(content)
    (folder / "config.json").write_text(text, encoding="utf-8")
    return folder


# What comes back

KEYS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8).filter(
    lambda key: key not in FIELDS | set(ALIASES) | {"model_type", "id2label", "label2id"}
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats(-1e9, 1e9) | st.text("añ\0😀", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab", max_size=2), inner, max_size=3),
    max_leaves=4,
)


@st.composite
def configs(draw):
    sizes = st.integers(1, 2000)
    layers, heads, other_heads = draw(st.integers(1, 6)), draw(st.integers(1, 8)), draw(st.integers(1, 8))
    vocab_size = draw(st.integers(1, 60_000))
    tokens = st.integers(0, vocab_size - 1)
    windows = st.integers(1, 600).map(lambda w: 2 * w)
    rates = st.floats(0, 1) | st.sampled_from([0, 1])
    return LEDConfig(
        vocab_size=vocab_size,
        max_encoder_position_embeddings=draw(sizes),
        max_decoder_position_embeddings=draw(sizes),
        encoder_layers=layers,
        encoder_ffn_dim=draw(sizes),
        encoder_attention_heads=heads,
        decoder_layers=draw(st.integers(1, 6)),
        decoder_ffn_dim=draw(sizes),
        decoder_attention_heads=other_heads,
        d_model=heads * other_heads * draw(st.integers(1, 5)),
        dropout=draw(rates),
        use_cache=draw(st.booleans()),
        activation_function=draw(st.sampled_from(ACTIVATIONS)),
        decoder_start_token_id=draw(tokens),
        pad_token_id=draw(st.none() | tokens),
        bos_token_id=draw(st.none() | tokens),
        eos_token_id=draw(st.none() | tokens | st.lists(tokens, max_size=3)),
        attention_window=draw(windows | st.lists(windows, min_size=layers, max_size=layers)),
        tie_word_embeddings=draw(st.booleans()),
        num_labels=draw(st.integers(1, 5)),
        extra=draw(st.dictionaries(KEYS, VALUES, max_size=3)),
    )


@PROPERTY
@given(config=configs())
def test_what_is_saved_is_read_back(config, tmp_path_factory):
    folder = tmp_path_factory.mktemp("config") / "deeper"
    config.save_pretrained(folder)
    found = LEDConfig.from_pretrained(folder)
    for name in FIELDS:
        assert getattr(found, name) == getattr(config, name)
        assert type(getattr(found, name)) is type(getattr(config, name))
    for again in (LEDConfig(**config.to_dict()), LEDConfig(**json.loads(config.to_json_string()))):
        assert again == found == config
    before = (folder / "config.json").read_bytes()
    found.save_pretrained(str(folder))
    assert (folder / "config.json").read_bytes() == before
    assert json.loads(before)["model_type"] == "led"


def test_a_saved_file_holds_every_field_and_no_alias(tmp_path):
    LEDConfig().save_pretrained(tmp_path)
    keys = set(json.loads((tmp_path / "config.json").read_text()))
    assert keys == FIELDS - {"num_labels"} | {"model_type", "id2label", "label2id"}


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: "/".join(path.parts[-3:-1]))
def test_what_the_reference_writes(path):
    """The tiny models of golden/weight_files.py, without what both versions have as defaults."""
    stored = json.loads(path.read_text())
    config = LEDConfig.from_pretrained(path.parent)
    expected = {
        "vocab_size": 13,
        "d_model": 6,
        "attention_window": [4],
        "encoder_layers": 1,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 5,
        "decoder_layers": 1,
        "decoder_attention_heads": 3,
        "decoder_ffn_dim": 4,
        "max_encoder_position_embeddings": 12,
        "max_decoder_position_embeddings": 8,
        "tie_word_embeddings": "-untied" not in path.parent.name,
    }
    assert {name: getattr(config, name) for name in expected} == expected
    assert set(config.extra) == {"architectures", "dtype", "transformers_version"}
    assert config.architectures == stored["architectures"]
    for name, value in stored.items():
        if name not in ALIASES:
            assert config.to_dict()[name] == value
        else:
            assert getattr(config, name) == value


def test_a_file_without_labels_has_two():
    assert LEDConfig().num_labels == 2
    assert LEDConfig.from_dict({}).num_labels == 2


def test_unknown_keys_are_kept(tmp_path):
    """As PRIMERA's and many trainers' files have them."""
    odd = {
        "attention_mode": "sliding_chunks",
        "attention_dilation": [1, 1],
        "autoregressive": False,
        "extra_pos_embeddings": 2,
        "max_position_embeddings": 1024,
        "learning_rate": 3e-05,
        "prefix": None,
        "task_specific_params": {"summarization": {"num_beams": 4}},
        "extra": {"x": 1},
    }
    config = LEDConfig.from_pretrained(write(tmp_path, {"model_type": "led", "d_model": 16, **odd}))
    assert (config.d_model, config.extra) == (16, odd)
    config.save_pretrained(tmp_path)
    saved = json.loads((tmp_path / "config.json").read_text())
    assert {key: saved[key] for key in odd} == odd
    assert config.attention_mode == "sliding_chunks"


def test_numbers_of_numpy_and_tuples_are_those_of_python():
    config = LEDConfig(encoder_layers=np.int64(2), attention_window=(np.int32(4), 6), dropout=np.float32(0.5))
    config.eos_token_id = np.array([2, 3])
    assert (config.encoder_layers, config.attention_window, config.dropout) == (2, [4, 6], 0.5)
    assert json.loads(config.to_json_string())["eos_token_id"] == [2, 3]
    with pytest.raises(ConfigError, match=r"encoder_layers is 2\.0: it must be an integer"):
        LEDConfig(encoder_layers=np.float64(2))


def test_labels_of_a_file_stay_while_they_fit_the_number(tmp_path):
    """5.23.0 has numbers as keys, files have strings; a num_labels that disagrees makes new names, as there."""
    labels = {"id2label": {"0": "no", "1": "yes"}, "label2id": {"no": 0, "yes": 1}}
    config = LEDConfig.from_pretrained(write(tmp_path, labels))
    assert (config.num_labels, config.id2label, config.label2id) == (2, {0: "no", 1: "yes"}, {"no": 0, "yes": 1})
    assert {key: config.to_dict()[key] for key in labels} == labels
    config.num_labels = 3
    assert config.to_dict()["id2label"] == {"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"}
    assert config.to_dict()["label2id"] == {"LABEL_0": 0, "LABEL_1": 1, "LABEL_2": 2}
    config.id2label = {"0": "a"}
    assert (config.num_labels, config.id2label, config.label2id) == (1, {0: "a"}, {"a": 0})
    assert LEDConfig(id2label={0: "a", 1: "b", 2: "c"}).num_labels == 3
    assert LEDConfig.from_dict(labels | {"num_labels": 5}).id2label[4] == "LABEL_4"
    with pytest.raises(ConfigError, match="id2label names 2 labels, num_labels is 5: pass one of them"):
        LEDConfig.from_dict({}, **labels, num_labels=5)
    for more, count in (({}, 2), ({"num_labels": 4}, 4), ({"id2label": {0: "a"}}, 1)):
        with pytest.raises(ConfigError, match=f"label2id numbers 3 labels, there are {count}: pass id2label, too"):
            LEDConfig.from_dict({}, label2id={"a": 0, "b": 1, "c": 2}, **more)
    assert LEDConfig(id2label=None, label2id=None).id2label == {0: "LABEL_0", 1: "LABEL_1"}
    config = LEDConfig(label2id={"no": 1, "yes": 0})
    assert (config.label2id, config.id2label) == ({"no": 1, "yes": 0}, {0: "LABEL_0", 1: "LABEL_1"})


@pytest.mark.parametrize("labels", [["no", "yes"], {"no": 0}, "no", {"9" * 30: "no"}])
def test_labels_are_names_by_their_numbers(labels):
    with pytest.raises(ConfigError, match=r"id2label is .*: it must map the number of each label to its name"):
        LEDConfig(id2label=labels)


# Other names


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_is_read_and_can_be_asked_for(alias, name):
    value = 0.25 if name in ("attention_dropout", "init_std") else 32
    config = LEDConfig.from_dict({alias: value})
    assert getattr(config, name) == getattr(config, alias) == value
    assert config.extra == {}
    assert name in config.to_dict() and alias not in config.to_dict()


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_comes_before_its_field(alias, name):
    """As in 5.23.0, and in 4.57.6 but for num_hidden_layers, which is no alias there."""
    value, other = (0.25, 0.5) if name in ("attention_dropout", "init_std") else (32, 64)
    for content in ({name: other, alias: value}, {alias: value, name: other}):
        assert getattr(LEDConfig.from_dict(content), name) == value
        assert getattr(LEDConfig(**content), name) == value


@pytest.mark.parametrize(("alias", "name"), ALIASES.items())
def test_an_alias_can_be_set(alias, name):
    value = 0.125 if name in ("attention_dropout", "init_std") else 64
    config = LEDConfig()
    setattr(config, alias, value)
    assert getattr(config, name) == config.to_dict()[name] == value
    assert alias not in vars(config) and config.extra == {}


def test_other_names_are_extras_and_attributes(tmp_path):
    config = LEDConfig(prefix="Summary: ", architectures=["LEDModel"])
    config.foo = 1
    assert (config.prefix, config.architectures, config.foo, config.model_type) == ("Summary: ", ["LEDModel"], 1, "led")
    assert config.extra == {"prefix": "Summary: ", "architectures": ["LEDModel"], "foo": 1}
    config.save_pretrained(tmp_path)
    assert LEDConfig.from_pretrained(tmp_path).foo == 1
    assert LEDConfig().architectures is None
    with pytest.raises(AttributeError, match="LEDConfig has no 'd_modell'"):
        _ = config.d_modell


def test_a_configuration_can_be_copied_and_pickled():
    config = LEDConfig(d_model=32, attention_window=[2] * 12, a=[1])
    for found in (copy.deepcopy(config), pickle.loads(pickle.dumps(config)), dataclasses.replace(config)):
        assert found == config and found.extra == {"a": [1]}
    assert LEDConfig(d_model=32) != config


def test_nothing_is_shared_between_configurations():
    LEDConfig().extra["a"] = 1
    assert LEDConfig().extra == {}
    windows = [4, 6]
    config = LEDConfig(encoder_layers=2, attention_window=windows)
    windows[0] = 5
    assert config.attention_window == [4, 6]


# Values that are set later


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("attention_window", window) for window in (7, [4] * 11, None)),
        *(("activation_function", name) for name in ("GELU", "no_such")),
        *(("d_model", 1000), ("encoder_layers", 0), ("vocab_size", 2), ("dropout", "much"), ("use_cache", 1)),
        *(("hidden_size", -1), ("model_type", "bart"), ("num_labels", 0), ("eos_token_id", -2), ("extra", 5)),
    ],
)
def test_a_value_is_checked_whenever_it_is_set(name, value):
    config = LEDConfig()
    for act in (lambda: setattr(config, name, value), lambda: config.update({"foo": 1, name: value})):
        with pytest.raises(ConfigError):
            act()
        assert config == LEDConfig()


def test_a_list_that_is_changed_in_place_is_checked_when_it_is_used(tmp_path):
    config = LEDConfig(encoder_layers=2, attention_window=[4, 6])
    config.attention_window[0] = 7
    for act in (config.to_dict, config.fixed, lambda: setattr(config, "foo", 1)):
        with pytest.raises(ConfigError, match=r"attention_window is \[7, 6\]"):
            act()


def test_values_that_depend_on_each_other_are_set_together():
    config = LEDConfig()
    config.update({"d_model": 24, "encoder_attention_heads": 3, "decoder_attention_heads": 4, "foo": 1})
    assert (config.hidden_size, config.encoder_attention_heads, config.foo) == (24, 3, 1)


@pytest.mark.parametrize("name", ["num_beams", "max_length", "do_sample", "forced_bos_token_id", "temperature"])
def test_settings_of_generation_are_not_set_on_it(name):
    """5.23.0 raises when it generates or saves. A file may state them: they count where there is no other file."""
    said = f"{name} is a setting of generation: set it on model.generation_config, or pass it to generate"
    config = LEDConfig(**{name: 3})
    for act in (lambda: setattr(config, name, 2), lambda: config.update({name: 2})):
        with pytest.raises(ConfigError, match=said):
            act()
    with pytest.raises(InputError, match="a setting of generation"):
        LEDConfig.from_dict({}, **{name: 2})
    assert getattr(config, name) == config.to_dict()[name] == 3


SMALL = {
    **dict.fromkeys(("encoder_layers", "encoder_attention_heads", "decoder_layers", "decoder_attention_heads"), 2),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim", "d_model"), 4),
    **dict.fromkeys(("max_encoder_position_embeddings", "max_decoder_position_embeddings"), 16),
    "vocab_size": 9,
    "attention_window": 4,
}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 2 * size) for name, size in SMALL.items()),
        *(("attention_window", [4, 8]), ("activation_function", "relu")),
        *(("tie_word_embeddings", False), ("hidden_size", 8)),
    ],
)
def test_the_shape_of_a_model_cannot_be_changed_under_it(name, value):
    stated = LEDConfig(**SMALL)
    model = LEDModel(stated)
    for config in (model.config, model.get_encoder().config, pickle.loads(pickle.dumps(model.config))):
        with pytest.raises(ConfigError, match=r" is fixed at .* since the model was made: "):
            setattr(config, name, value)
        assert config == stated
    setattr(model.config, name, getattr(stated, name))
    config = LEDConfig.from_dict(model.config.to_dict(), **{name: value})  # another configuration is free
    assert getattr(config, name) == value


def test_what_is_no_shape_can_be_set_on_a_model():
    model = LEDModel(LEDConfig(**SMALL))
    for name, value in {"use_cache": False, "dropout": 0.5, "pad_token_id": 3, "id2label": {0: "a", 1: "b"}}.items():
        setattr(model.config, name, value)
        assert getattr(model.get_decoder().config, name) == value
    with pytest.raises(ConfigError, match="pad_token_id is 9: it must be an id below vocab_size 9"):
        model.config.pad_token_id = 9


def test_windows_of_a_model_are_those_it_was_made_with():
    model = LEDModel(LEDConfig(**SMALL | {"attention_window": [4, 6]}))
    model.config.attention_window[0] = 2
    assert model.config.one_sided_window(0) == 2
    with pytest.raises(ConfigError, match=r"attention_window is fixed at \[4, 6\]"):
        model.config.to_dict()


def test_a_resized_model_has_its_size_fixed():
    model = LEDForConditionalGeneration(LEDConfig(**SMALL))
    model.resize_token_embeddings(12)
    model.config.vocab_size = 12
    with pytest.raises(ConfigError, match=r"vocab_size is fixed at 12.*call resize_token_embeddings"):
        model.config.vocab_size = 9


# Keywords


def test_other_values_take_the_place_of_a_files(tmp_path):
    LEDConfig(d_model=32, foo=1).save_pretrained(tmp_path, push_to_hub=False, safe_serialization=True)
    config = LEDConfig.from_pretrained(tmp_path, hidden_size=64, foo=2, num_labels=3, dtype="float32")
    assert (config.d_model, config.foo, config.num_labels, config.dtype) == (64, 2, 3, "float32")
    with pytest.raises(ConfigError, match=r"^d_model is 0"):
        LEDConfig.from_pretrained(tmp_path, d_model=0)
    usual = {"cache_dir": None, "local_files_only": True, "revision": None, "trust_remote_code": False, "token": None}
    assert LEDConfig.from_pretrained(tmp_path, **usual, force_download=False, use_auth_token=None).d_model == 32


@pytest.mark.parametrize(
    ("keyword", "said"),
    [
        ({"revision": "v2"}, "revision='v2' has no effect here: pass the directory of that revision"),
        ({"return_unused_kwargs": True}, "return_unused_kwargs=True has no effect here: leave it out"),
        ({"d_modell": 3}, "'d_modell' is no argument of from_pretrained: did you mean 'd_model'?"),
        ({"zzz": 3}, "'zzz' is no argument of from_pretrained: leave it out"),
        ({"torch_dtype": "float32"}, "'torch_dtype' is no argument of from_pretrained: pass dtype to"),
    ],
)
def test_a_keyword_without_effect_is_refused(keyword, said, tmp_path):
    with pytest.raises(InputError, match=re.escape(said)):
        LEDConfig.from_pretrained(write(tmp_path, {}), **keyword)


def test_a_model_takes_the_keywords_of_its_configuration(tmp_path):
    """5.23.0 sets them on the configuration, and refuses settings of generation."""
    LEDModel(LEDConfig(**SMALL)).save_pretrained(tmp_path, safe_serialization=True, max_shard_size="5GB")
    usual = {"torch_dtype": "auto", "low_cpu_mem_usage": True, "device_map": "cpu", "output_attentions": False}
    model = LEDModel.from_pretrained(tmp_path, attention_window=8, use_cache=False, **usual)
    assert (model.config.attention_window, model.config.use_cache, model.dtype.name) == (8, False, "float32")
    assert LEDModel.from_pretrained(tmp_path, torch_dtype="float64").dtype.name == "float64"
    for keyword in ({"return_dict_in_generate": True}, {"device_map": "cuda"}, {"foo": 1}, {"torch_dtype": "float16"}):
        with pytest.raises(InputError, match=next(iter(keyword)).removeprefix("torch_")):
            LEDModel.from_pretrained(tmp_path, **keyword)
    with pytest.raises(InputError, match="push_to_hub=True has no effect here"):
        model.save_pretrained(tmp_path, push_to_hub=True)


def test_a_keyword_of_another_place_is_told_its_place():
    for name, place in (("use_cache", "a value of the configuration"), ("num_beams", "a setting of generation")):
        with pytest.raises(InputError, match=f"'{name}' is no argument of LEDTokenizer: {place}"):
            pyled.config.refuse_keywords("LEDTokenizer", {name: 1}, ["errors"])
    with pytest.raises(InputError, match="'foo' is no argument of save_pretrained"):
        LEDConfig().save_pretrained("never", foo=1)


# Windows


def test_windows_are_one_number_or_one_per_layer():
    assert [LEDConfig(attention_window=6).one_sided_window(i) for i in (0, 11)] == [3, 3]
    config = LEDConfig(encoder_layers=3, attention_window=[2, 512, 10])
    assert [config.one_sided_window(i) for i in range(3)] == [1, 256, 5]


@pytest.mark.parametrize("window", [0, 1, 3, -2, 511, 2.0, "512", None, True, {}, [4, 4.0]])
@pytest.mark.parametrize("listed", [False, True])
def test_a_window_is_even(window, listed):
    value = [4, window] if listed else window
    words = "it must be an even integer from 2 to 2,147,483,646, or a list of one for each encoder layer"
    said = f"attention_window is {value!r}: {words}"
    with pytest.raises(ConfigError, match=re.escape(said)):
        LEDConfig(encoder_layers=2, attention_window=value)


@pytest.mark.parametrize("windows", [[], [4], [4, 4, 4]])
def test_there_is_a_window_for_each_layer(windows):
    said = f"attention_window lists {len(windows)} windows for 2 encoder layers: give one number, or one per layer"
    with pytest.raises(ConfigError, match=said):
        LEDConfig(encoder_layers=2, decoder_layers=3, attention_window=windows)


# What is refused


@pytest.mark.parametrize("value", [0, -1, 1.0, "8", None, True, [8], 10**17])
@pytest.mark.parametrize("name", POSITIVE)
def test_sizes_are_positive_integers(name, value):
    with pytest.raises(ConfigError) as caught:
        LEDConfig.from_dict({name: value})
    most = {"encoder_layers": "1,000", "decoder_layers": "1,000", "num_labels": "100,000"}.get(name, "2,147,483,647")
    assert str(caught.value) == f"{name} is {value!r}: it must be an integer from 1 to {most}"


@pytest.mark.parametrize("side", ["encoder", "decoder"])
def test_heads_divide_the_model(side):
    said = f"d_model 1024 does not divide into 3 {side} heads: make it a multiple of 3"
    with pytest.raises(ConfigError, match=said):
        LEDConfig.from_dict({f"{side}_attention_heads": 3})


@pytest.mark.parametrize("name", ["no_such", "GELU", "", None, 3, ["gelu"]])
def test_activations_are_those_known(name):
    with pytest.raises(ConfigError) as caught:
        LEDConfig(activation_function=name)
    assert str(caught.value) == (
        f"activation_function is {name!r}: it must be one of "
        "gelu, gelu_new, gelu_pytorch_tanh, quick_gelu, relu, silu, swish"
    )


@pytest.mark.parametrize("token", [-2, 100, 1.0, "2", True, {}])
@pytest.mark.parametrize("name", ["pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"])
def test_special_tokens_are_ids_of_the_vocabulary(name, token):
    for value in (token, [2, token]) if name == "eos_token_id" else (token,):
        with pytest.raises(ConfigError, match=rf"{name} is .*: it must be an id below vocab_size"):
            LEDConfig(vocab_size=100, **{name: value})
    LEDConfig(vocab_size=100, **{name: 99})
    assert LEDConfig(eos_token_id=-1).eos_token_id == -1  # never: both references generate so


@pytest.mark.parametrize("kind", ["bart", "longformer", "LED", "", None, 1])
def test_other_models_are_refused(kind, tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: model_type .*: pyled reads LED only \('led'\)"):
        LEDConfig.from_pretrained(write(tmp_path, {"model_type": kind}))
    assert LEDConfig.from_pretrained(write(tmp_path, {})) == LEDConfig()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", r"config\.json: not JSON: .*: mend the file, or fetch it again$"),
        ("[]", r"config\.json: holds a JSON list, an object was expected"),
        ('{"d_model": 16, "d_model": 32}', r"config\.json: the key 'd_model' stands twice"),
        ('{"dropout": NaN}', r"config\.json: NaN is no JSON value"),
        ('{"d_model": 0}', r"config\.json: d_model is 0: it must be"),
        ('{"attention_window": [2]}', r"config\.json: attention_window lists 1 windows for 12"),
        ('{"id2label": {}}', r"config\.json: num_labels is 0"),
        ('{"d_model": %s}' % ("9" * 30), r"config\.json: the integer 9{24} is refused"),
    ],
)
def test_a_file_that_is_wrong_is_named(text, said, tmp_path):
    with pytest.raises(ConfigError, match=said):
        LEDConfig.from_pretrained(write(tmp_path, text))


def test_no_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"holds no config\.json: pass the directory of a downloaded checkpoint"):
        LEDConfig.from_pretrained(tmp_path)


@PROPERTY
@given(content=st.dictionaries(st.sampled_from(sorted(FIELDS | set(ALIASES))), VALUES, max_size=3))
def test_any_values_give_a_configuration_or_the_one_error(content):
    try:
        config = LEDConfig.from_dict(content)
    except ConfigError:
        return
    assert config == LEDConfig.from_dict(json.loads(json.dumps(content)))


@pytest.mark.parametrize("value", ["false", 0, None])
@pytest.mark.parametrize("name", ["tie_word_embeddings", "use_cache", "is_encoder_decoder"])
def test_what_is_true_or_false_is_a_boolean(name, value):
    with pytest.raises(ConfigError, match=f"{name} is {value!r}"):
        LEDConfig.from_dict({name: value})

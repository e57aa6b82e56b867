"""LEDConfig: what is read, kept, refused and written."""

import copy
import json
import pickle

import pytest
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

from pyled.config import LEDConfig
from pyled.errors import ConfigError

SMALL = {"vocab_size": 40, "d_model": 12, "encoder_layers": 2, "encoder_attention_heads": 3, "decoder_layers": 1}
SMALL |= {"decoder_attention_heads": 4, "attention_window": [4, 6]}

# Values that transformers 5.23.0 and 4.57.6 give to LEDConfig().
DEFAULTS = {
    "vocab_size": 50265,
    "max_encoder_position_embeddings": 16384,
    "max_decoder_position_embeddings": 1024,
    "encoder_layers": 12,
    "encoder_ffn_dim": 4096,
    "encoder_attention_heads": 16,
    "decoder_layers": 12,
    "decoder_ffn_dim": 4096,
    "decoder_attention_heads": 16,
    "encoder_layerdrop": 0.0,
    "decoder_layerdrop": 0.0,
    "use_cache": True,
    "is_encoder_decoder": True,
    "activation_function": "gelu",
    "d_model": 1024,
    "dropout": 0.1,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
    "init_std": 0.02,
    "decoder_start_token_id": 2,
    "classifier_dropout": 0.0,
    "pad_token_id": 1,
    "bos_token_id": 0,
    "eos_token_id": 2,
    "attention_window": 512,
    "tie_word_embeddings": True,
}

POSITIVE = (
    "vocab_size",
    "max_encoder_position_embeddings",
    "max_decoder_position_embeddings",
    "encoder_layers",
    "encoder_ffn_dim",
    "encoder_attention_heads",
    "decoder_layers",
    "decoder_ffn_dim",
    "decoder_attention_heads",
    "d_model",
    "num_labels",
)

REFUSED = {
    **{f"{name}_{value!r}": ({name: value}, name) for name in POSITIVE for value in (0, -1, 2.0, True, "8", None)},
    "encoder_heads": ({"encoder_attention_heads": 5}, "d_model 12 does not divide into 5 encoder heads"),
    "decoder_heads": ({"decoder_attention_heads": 8}, "d_model 12 does not divide into 8 decoder heads"),
    "windows_short": ({"attention_window": [4]}, "lists 1 windows for 2 encoder layers"),
    "windows_long": ({"attention_window": [4, 4, 4]}, "lists 3 windows for 2 encoder layers"),
    "windows_none": ({"attention_window": []}, "lists 0 windows for 2 encoder layers"),
    "window_odd": ({"attention_window": 5}, "attention_window 5: a window is an even integer of at least 2"),
    "window_odd_in_list": ({"attention_window": [4, 7]}, "attention_window 7"),
    "window_0": ({"attention_window": 0}, "attention_window 0"),
    "window_negative": ({"attention_window": -2}, "attention_window -2"),
    "window_float": ({"attention_window": 4.0}, "attention_window 4.0"),
    "window_bool": ({"attention_window": [True, 4]}, "attention_window True"),
    "window_null": ({"attention_window": None}, "attention_window None"),
    "window_text": ({"attention_window": "512"}, "attention_window '512'"),
    "activation": ({"activation_function": "tanh"}, "activation_function 'tanh' is not one of those known: gelu, "),
    "activation_list": ({"activation_function": ["gelu"]}, "activation_function ['gelu']"),
    "pad_outside": ({"pad_token_id": 40}, "pad_token_id is 40: it must be an id below vocab_size 40, or null"),
    "pad_negative": ({"pad_token_id": -1}, "pad_token_id is -1"),
    "bos_text": ({"bos_token_id": "0"}, "bos_token_id is '0'"),
    "start_float": ({"decoder_start_token_id": 2.0}, "decoder_start_token_id is 2.0"),
    "eos_outside": ({"eos_token_id": 50}, "eos_token_id is 50"),
    "eos_in_list": ({"eos_token_id": [2, 50]}, "eos_token_id is 50"),
    "eos_bool": ({"eos_token_id": True}, "eos_token_id is True"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_that_no_led_can_have_are_refused(name):
    change, reason = REFUSED[name]
    LEDConfig(**SMALL)
    with pytest.raises(ConfigError) as caught:
        LEDConfig(**{**SMALL, **change})
    assert reason in str(caught.value)


def test_the_defaults_are_upstreams():
    config = LEDConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert config.extra == {}


@pytest.mark.parametrize("edge", [39, None, 0])
def test_ids_at_the_edge_are_accepted(edge):
    names = ("pad_token_id", "bos_token_id", "eos_token_id")
    config = LEDConfig(**SMALL, **dict.fromkeys(names, edge))
    assert all(getattr(config, name) == edge for name in names)


ALIASES = {
    "hidden_size": ("d_model", 48),
    "num_attention_heads": ("encoder_attention_heads", 6),
    "num_hidden_layers": ("encoder_layers", 5),
    "attention_probs_dropout_prob": ("attention_dropout", 0.25),
    "initializer_range": ("init_std", 0.5),
}


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_the_value_under_another_name(alias):
    name, value = ALIASES[alias]
    base = {"d_model": 12, "encoder_attention_heads": 3, "decoder_attention_heads": 4}
    base.pop(name, None)
    config = LEDConfig.from_dict({**base, alias: value})
    assert getattr(config, name) == value == getattr(config, alias)
    assert alias not in config.to_dict()
    assert config.to_dict()[name] == value


def test_the_own_name_goes_before_its_alias():
    """So too in 4.57.6 for layers; in 5.23.0 the alias wins. A file that says both with two values is out of order."""
    for values in ({"num_hidden_layers": 7, "encoder_layers": 3}, {"encoder_layers": 3, "num_hidden_layers": 7}):
        assert LEDConfig.from_dict(values).encoder_layers == 3


def test_an_unknown_attribute_is_named():
    with pytest.raises(AttributeError, match="LEDConfig has no 'attention_mode'"):
        _ = LEDConfig(extra={"attention_mode": "sliding"}).attention_mode


def test_one_sided_windows():
    config = LEDConfig(**SMALL)
    assert [config.one_sided_window(layer) for layer in (0, 1)] == [2, 3]
    config = LEDConfig(attention_window=512)
    assert [config.one_sided_window(layer) for layer in (0, 11)] == [256, 256]


def test_unknown_keys_are_kept_and_written_back(tmp_path):
    unknown = {"attention_mode": "sliding_chunks", "attention_dilation": [1, 1], "task_specific_params": {"a": None}}
    config = LEDConfig.from_dict({**SMALL, **unknown, "extra": 1})
    assert config.extra == {**unknown, "extra": 1}
    config.save_pretrained(tmp_path / "new" / "folder")
    assert LEDConfig.from_pretrained(tmp_path / "new" / "folder").extra.items() >= {**unknown, "extra": 1}.items()
    written = json.loads((tmp_path / "new" / "folder" / "config.json").read_text())
    assert written["model_type"] == "led"
    assert written.items() >= {**SMALL, **unknown}.items()


CONFIGS = st.builds(
    lambda heads, size, layers, window, per_layer, rest: {
        **rest,
        "d_model": heads * size,
        "encoder_attention_heads": heads,
        "decoder_attention_heads": size,
        "encoder_layers": layers,
        "attention_window": [2 * window] * layers if per_layer else 2 * window,
    },
    st.integers(1, 6),
    st.integers(1, 6),
    st.integers(1, 4),
    st.integers(1, 600),
    st.booleans(),
    st.fixed_dictionaries(
        {"vocab_size": st.integers(3, 60000), "dropout": st.floats(0, 1), "num_labels": st.integers(1, 9)},
        optional={
            "tie_word_embeddings": st.booleans(),
            "use_cache": st.booleans(),
            "eos_token_id": st.none() | st.lists(st.integers(0, 2), min_size=1),
            "activation_function": st.sampled_from(["gelu_new", "relu", "swish"]),
            "max_encoder_position_embeddings": st.integers(1, 10**6),
        },
    ),
)


@settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
@given(CONFIGS)
def test_round_trip(tmp_path_factory, values):
    folder = tmp_path_factory.mktemp("config")
    config = LEDConfig(**values)
    config.save_pretrained(folder)
    again = LEDConfig.from_pretrained(folder)
    assert {name: getattr(again, name) for name in values} == values
    assert again.to_dict() == config.to_dict()
    again.save_pretrained(folder)
    assert LEDConfig.from_pretrained(folder) == again


def test_labels_are_counted_where_num_labels_is_not_said():
    labels = {"0": "no", "1": "yes", "2": "maybe", "3": "never"}
    config = LEDConfig.from_dict({"id2label": labels})
    assert config.num_labels == 4
    assert config.to_dict()["id2label"] == labels
    assert LEDConfig.from_dict({"id2label": labels, "num_labels": 4}).num_labels == 4
    assert LEDConfig(num_labels=2).to_dict()["label2id"] == {"LABEL_0": 0, "LABEL_1": 1}


def test_copies_and_pickles_are_equal():
    config = LEDConfig(**SMALL, extra={"a": [1]})
    for other in (copy.copy(config), copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert other == config


@pytest.mark.parametrize("model_type", ["bart", "longformer", "", None, 3])
def test_other_model_families_are_refused(tmp_path, model_type):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(ConfigError, match=r"config\.json: model_type .* reads LED only"):
        LEDConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"d_model": 12, "d_model": 12}', "the key 'd_model' stands twice"),
        ('{"d_model": 1e3}', "d_model is 1000.0: it must be an integer of at least 1"),
        ('{"d_model": 1000}', "d_model 1000 does not divide into 16 encoder heads"),
        ("[]", "holds a JSON list"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_file_is_named(tmp_path, text, reason):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        LEDConfig.from_pretrained(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / 'config.json'}: ")
    assert reason in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"config\.json: cannot be read: No such file"):
        LEDConfig.from_pretrained(tmp_path)

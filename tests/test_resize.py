"""resize_token_embeddings: what stays, what is new, and that the model runs on."""

import numpy as np
import pytest
from budget import assert_within
from checkpoints import TINY

from pyled import LEDConfig, LEDForConditionalGeneration, LEDModel, LEDTokenizer
from pyled.errors import ConfigError, InputError

V = 30
EMBEDDINGS = ("shared.weight", "encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")
IDS = np.array([[0, 5, 6, 7, 8, 9, 2]])
TARGETS = np.array([[2, 0, 11, 12]])


def small_model(kind=LEDForConditionalGeneration, dtype="float32", **changed):
    sizes = {"d_model": 12, "encoder_ffn_dim": 10, "decoder_ffn_dim": 14, "attention_window": 4, "init_std": 0.5}
    depths = {"encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 3}
    positions = {"max_encoder_position_embeddings": 16, "max_decoder_position_embeddings": 16}
    return kind(LEDConfig(vocab_size=V, **{**sizes, **depths, **positions, **changed}), seed=3, dtype=dtype)


def logits(model):
    return model(IDS, decoder_input_ids=TARGETS).logits[0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("is_tied", [True, False])
def test_old_tokens_stay_and_new_ones_are_their_mean(is_tied, dtype):
    model = small_model(dtype=dtype, tie_word_embeddings=is_tied)
    model.load_state_dict(model.state_dict() | {"final_logits_bias": np.arange(V, dtype=dtype)[None]})
    before, old = dict(model.weights), logits(model)
    returned = model.resize_token_embeddings(V + 3)
    assert returned is model.get_input_embeddings() is model.weights["shared.weight"]
    assert model.config.vocab_size == V + 3
    for name in EMBEDDINGS:
        new = model.weights[name]
        assert new.shape == (V + 3, 12) and new.dtype == dtype
        assert np.array_equal(new[:V], before[name])
        assert np.array_equal(new[V:], np.tile(before[name].astype(np.float64).mean(axis=0), (3, 1)).astype(dtype))
        assert new.flags.c_contiguous and not new.flags.writeable
        assert (new is returned) == (is_tied or name == "shared.weight")
    assert model.weights["final_logits_bias"].tolist() == [[*range(V), 0, 0, 0]]
    assert all(model.weights[name] is before[name] for name in before if name not in (*EMBEDDINGS, "final_logits_bias"))
    now = logits(model)
    assert np.array_equal(now[:, :V], old)
    mean = (old - np.arange(V, dtype=dtype)).astype(np.float64).mean(axis=1, keepdims=True)
    assert_within("logits of new tokens", now[:, V:], np.repeat(mean, 3, axis=1), 1e-6)


def test_what_was_cut_is_gone_and_the_rest_is_as_it_was():
    model = small_model()
    before, old = dict(model.weights), logits(model)
    assert model.resize_token_embeddings(20).shape == (20, 12)
    assert np.array_equal(model.weights["lm_head.weight"], before["lm_head.weight"][:20])
    assert model.weights["final_logits_bias"].shape == (1, 20)
    assert np.array_equal(logits(model), old[:, :20])
    with pytest.raises(InputError, match="20"):
        model(np.array([[0, 20, 2]]), decoder_input_ids=TARGETS)


@pytest.mark.parametrize(
    ("n", "multiple", "expected"), [(33, 8, 40), (32, 8, 32), (None, 8, 32), (None, None, V), (V, None, V), (V, 1, V)]
)
def test_how_many_rows_there_are(n, multiple, expected):
    model = small_model()
    before = dict(model.weights)
    assert len(model.resize_token_embeddings(n, multiple)) == model.config.vocab_size == expected
    if expected == V:
        assert all(model.weights[name] is array for name, array in before.items())


def test_rows_that_are_drawn_follow_the_seed():
    rows = []
    for seed in (0, 0, 1):
        model = small_model(init_std=0.25)
        rows.append(model.resize_token_embeddings(V + 2000, mean_resizing=False, seed=seed)[V:])
    assert np.array_equal(rows[0], rows[1]) and not np.array_equal(rows[0], rows[2])
    assert abs(rows[0].std() - 0.25) < 0.01 and abs(rows[0].mean()) < 0.01
    assert len(np.unique(rows[0])) > 20000


def test_parts_handed_out_before_keep_their_size():
    model = small_model(LEDModel)
    encoder = model.get_encoder()
    model.resize_token_embeddings(V + 1)
    with pytest.raises(InputError, match=f"{V}"):
        encoder(np.array([[0, V, 2]]))
    assert model.get_encoder()(np.array([[0, V, 2]])).last_hidden_state.shape == (1, 3, 12)


def test_a_new_token_is_read_and_written(tmp_path):
    """A token is added to tokenizer and model, both are saved: it is found in a text, and can be generated."""
    tokenizer, model = LEDTokenizer.from_pretrained(TINY), LEDForConditionalGeneration.from_pretrained(TINY)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<doc-sep>"]})
    model.resize_token_embeddings(len(tokenizer))
    for saved in (tokenizer, model):
        saved.save_pretrained(tmp_path)
    loaded = LEDForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.weights.keys() == model.weights.keys()
    assert all(np.array_equal(loaded.weights[name], array) for name, array in model.weights.items())
    batch = LEDTokenizer.from_pretrained(tmp_path)("a lamp<doc-sep> on the table", return_tensors="np")
    assert (batch.input_ids == 600).sum() == 1
    arguments = {"num_beams": 1, "max_length": 5, "forced_bos_token_id": 600}
    written = loaded.generate(**batch, **arguments)
    assert written[0, 1] == 600
    assert np.array_equal(written, model.generate(**batch, **arguments))


@pytest.mark.parametrize("value", [0, -8, 31.0, True, "31"])
@pytest.mark.parametrize("name", ["new_num_tokens", "pad_to_multiple_of"])
def test_what_is_no_number_of_tokens_is_refused(value, name):
    model = small_model()
    with pytest.raises(InputError, match=f"{name} is .*an integer of at least 1"):
        model.resize_token_embeddings(**{name: value})
    assert model.config.vocab_size == V


def test_a_special_token_is_not_cut_off():
    model = small_model()
    with pytest.raises(ConfigError, match="decoder_start_token_id is 2: it must be an id below vocab_size 2"):
        model.resize_token_embeddings(2)
    assert model.config.vocab_size == len(model.get_input_embeddings()) == V

"""What a generation shows beside its tokens (golden/shown.npz), and head masks, in calls and in generation."""

import functools
import json

import numpy as np
import pytest
from budget import assert_within

import golden
from pyled.config import LEDConfig
from pyled.errors import InputError
from pyled.models import LEDForConditionalGeneration, LEDModel
from pyled.models.outputs import LEDEncoderBaseModelOutput

ABOUT = json.loads((golden.FOLDER / "shown.json").read_text(encoding="utf-8"))
FLAGS = dict.fromkeys(("return_dict_in_generate", "output_scores", "output_attentions", "output_hidden_states"), True)


@functools.cache
def stored(name):
    """The arguments of a case, and the reference's answer."""
    arguments, answer = {}, {}
    with np.load(golden.FOLDER / "shown.npz", allow_pickle=False) as file:
        for key in file.files:
            case, _, field = key.partition("/")
            if case == name:
                (arguments if field.startswith("in.") else answer)[field.removeprefix("in.")] = file[key]
    return arguments, answer


def model_of(name, dtype="float64", **more):
    config = ABOUT[name]["config"]
    model = LEDForConditionalGeneration(LEDConfig.from_dict(config), dtype=dtype)
    model.load_state_dict(golden.WEIGHTS.make_weights(config, 0, np.dtype(dtype)))
    return model


def generated(name, dtype="float64", **more):
    model = model_of(name, dtype)
    return model, model.generate(**stored(name)[0], **ABOUT[name]["settings"], **FLAGS, **more)


def part(output, name):
    """The array of an output that a golden names: `cross_attentions.STEP.LAYER`, say."""
    field, *places = name.split(".")
    return functools.reduce(lambda value, place: value[int(place)], places, output[field])


def assert_same(name, got, truth, error, dtype):
    """Infinities stand in the same places, and the rest is within the budget."""
    assert np.array_equal(np.isinf(got), np.isinf(truth)) and got.dtype == dtype
    got, truth = (np.nan_to_num(array, posinf=0, neginf=0) for array in (got, truth))
    assert_within(name, got, truth.astype(np.float64), error)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", ABOUT)
def test_a_generation_shows_what_the_references_does(name, dtype):
    model, output = generated(name, dtype)
    _, answer = stored(name)
    assert output.keys() == ABOUT[name]["fields"]
    beams = {"beam_indices": output.beam_indices} if "beam_indices" in answer else {}
    for field, truth in answer.items():
        if field in ("sequences", "beam_indices"):
            assert output[field].tolist() == truth.tolist()
            continue
        if field in ("transition_scores", "normalized_scores"):
            is_normalized = field == "normalized_scores"
            got = model.compute_transition_scores(
                output.sequences, output.scores, **beams, normalize_logits=is_normalized
            )
        else:
            got = part(output, field)
        kind = "float32" if "scores" in field else dtype  # upstream's scores are float32 always
        if field.startswith("encoder_hidden_states"):  # pyled runs no padding
            truth = np.where(stored(name)[0]["attention_mask"][:, :, None] == 1, truth, 0)
        assert_same(field, got, truth, ABOUT[name]["float32_error"].get(field, 0.0), kind)


@pytest.mark.parametrize("name", ["greedy", "prompt-beams"])
def test_every_step_shows_every_layer(name):
    model, output = generated(name)
    config, settings = model.config, ABOUT[name]["settings"]
    B, S = stored(name)[0]["input_ids"].shape
    R, H, layers = B * settings.get("num_beams", 1), config.decoder_attention_heads, config.decoder_layers
    past = 0
    for step in range(len(output.scores)):
        T = 4 if step == 0 and name.startswith("prompt") else 1
        past += T
        within, across, states = (
            output[field][step] for field in ("decoder_attentions", "cross_attentions", "decoder_hidden_states")
        )
        assert [a.shape for a in within] == [(R, H, T, past)] * layers
        assert [a.shape for a in across] == [(R, H, T, S)] * layers
        assert [a.shape for a in states] == [(R, T, config.d_model)] * (layers + 1)
    assert output.past_key_values.get_seq_length() == past
    if name == "greedy":  # the model is called again as it was called in the last step
        last = output.sequences[:, -2:-1]
        again = model(
            **stored(name)[0] | {"decoder_input_ids": last}, output_attentions=True,
            past_key_values=model(**stored(name)[0], decoder_input_ids=output.sequences[:, :-2]).past_key_values,
        )  # fmt: skip
        assert np.array_equal(again.decoder_attentions[0], output.decoder_attentions[-1][0])


def test_an_encoders_output_that_is_passed_in_is_shown():
    model, arguments = model_of("greedy"), dict(stored("greedy")[0])
    source = model.get_encoder()(**arguments, output_attentions=True, output_hidden_states=True)
    call, mask = {**ABOUT["greedy"]["settings"], **FLAGS}, arguments["attention_mask"]
    output = model.generate(encoder_outputs=source, attention_mask=mask, **call)
    assert output.encoder_attentions is source.attentions
    assert output.encoder_hidden_states is source.hidden_states
    assert np.array_equal(output.sequences, model.generate(**arguments, **call).sequences)
    bare = model.generate(encoder_outputs=LEDEncoderBaseModelOutput(source.last_hidden_state), **call)
    assert "encoder_attentions" not in bare and "cross_attentions" in bare


def test_settings_of_a_file_ask_for_it_too():
    model = model_of("greedy")
    model.generation_config.output_attentions = True
    arguments, call = stored("greedy")[0], {"max_new_tokens": 2, "return_dict_in_generate": True}
    assert "decoder_attentions" in model.generate(**arguments, **call)
    assert "decoder_attentions" not in model.generate(**arguments, **call, output_attentions=False)


# Head masks


MASKS = ("head_mask", "decoder_head_mask", "cross_attn_head_mask")


def masks_of(model, value):
    config = model.config
    encoder = (config.encoder_layers, config.encoder_attention_heads)
    decoder = (config.decoder_layers, config.decoder_attention_heads)
    return {name: np.full(shape, value) for name, shape in zip(MASKS, (encoder, decoder, decoder), strict=True)}


def test_factors_of_one_change_no_bit_and_none_masks_nothing():
    model, arguments = model_of("head-masks", "float32"), {**stored("greedy")[0], "decoder_input_ids": [[2, 5]] * 2}
    bare = model(**arguments, output_attentions=True)
    for masks in (masks_of(model, 1), masks_of(model, True), dict.fromkeys(MASKS)):
        output = model(**arguments, **masks, output_attentions=True)
        assert np.array_equal(output.logits, bare.logits)
        assert all(map(np.array_equal, output.encoder_global_attentions, bare.encoder_global_attentions))


@pytest.mark.parametrize("storage", ["bf16", "int8"])
def test_rounded_weights_are_masked_too(storage, tmp_path):
    model_of("head-masks", "float32").save_pretrained(tmp_path)
    model = LEDForConditionalGeneration.from_pretrained(tmp_path, weights=storage)
    arguments = {**stored("greedy")[0], "decoder_input_ids": [[2, 5, 7]] * 2}
    bare = model(**arguments).logits
    assert_within("ones", model(**arguments, **masks_of(model, 1)).logits, bare.astype(np.float64), 1e-6)
    assert not np.allclose(model(**arguments, **masks_of(model, 0)).logits, bare)


def test_beams_have_masked_heads_too():
    """4.57.6 repeats these masks for each beam, and then refuses them."""
    model, arguments = model_of("head-masks"), dict(stored("head-masks")[0])
    call = {"num_beams": 3, "max_new_tokens": 4, "return_dict_in_generate": True, "output_logits": True}
    output = model.generate(**arguments, **call)
    first = model(**arguments, decoder_input_ids=np.full((2, 1), 2)).logits[:, -1]
    assert_within("logits", output.logits[0][::3], first.astype(np.float32).astype(np.float64), 1e-6)


def test_each_half_takes_its_masks():
    model, arguments = model_of("head-masks"), dict(stored("head-masks")[0])
    ids, masks = [[2, 5, 7]] * 2, {name: arguments.pop(name) for name in MASKS}
    whole = LEDModel(model.config, dtype="float64")
    whole.load_state_dict({f"led.{name}": model.state_dict()[f"led.{name}"] for name in whole.state_dict()})
    expected = whole(**arguments, decoder_input_ids=ids, **masks).last_hidden_state
    states = model.get_encoder()(**arguments, head_mask=masks["head_mask"]).last_hidden_state
    got = model.get_decoder()(
        ids, None, states, arguments["attention_mask"], head_mask=masks["decoder_head_mask"],
        cross_attn_head_mask=masks["cross_attn_head_mask"],
    )  # fmt: skip
    assert np.array_equal(got.last_hidden_state, expected)


WRONG = [
    (
        {"head_mask": [[1, 0, 1]]},
        r"head_mask has shape \(1, 3\): \(1, 5\) was expected, a number for each head of each",
    ),
    ({"decoder_head_mask": [1, 1, 1]}, r"decoder_head_mask has shape \(3,\): \(2, 3\) was expected"),
    ({"cross_attn_head_mask": [["a"]]}, "cross_attn_head_mask holds <U1 values: numbers were expected"),
    ({"head_mask": [[np.nan] * 5]}, "head_mask holds nan: numbers that are finite in float32 were expected"),
    (
        {"cross_attn_head_mask": [[1e300] * 3] * 2},
        r"cross_attn_head_mask holds 1e\+300: numbers that are finite in float32",
    ),
    ({"decoder_attention_mask": [[1, 1]] * 2}, r"decoder_attention_mask has shape \(2, 2\): \(2, 1\) was expected"),
    ({"decoder_attention_mask": [[1]] * 2, "decoder_input_ids": [[5, 6]] * 2}, r"\(2, 2\) was expected"),
    ({"decoder_attention_mask": [[2]] * 2}, "decoder_attention_mask holds 2: only 0, 1 may stand there"),
]


@pytest.mark.parametrize(("masks", "message"), WRONG)
def test_a_wrong_mask_is_told_before_the_encoder_runs(masks, message):
    ids, model = [[5, 6, 7]] * 2, model_of("head-masks", "float32")
    steps = []
    with pytest.raises(InputError, match=message):
        model.generate(ids, **masks, max_new_tokens=2, encoder_progress=lambda done, layers: steps.append(done))
    assert not steps
    if "decoder_attention_mask" not in masks:
        with pytest.raises(InputError, match=message):
            model(ids, **masks)


# Transition scores


SCORES = np.zeros((2, 3, 7), np.float32)
BAD_SCORES = [
    (
        [[2, 5, 6]] * 3,
        None,
        None,
        "scores is None: an array .* with output_scores=True and return_dict_in_generate=True",
    ),
    ([[2, 5, 6]] * 3, (SCORES[0], SCORES[0, :2]), None, "scores is .*: an array"),
    ([[2, 5, 6]] * 3, (), None, r"scores is \(\): an array"),
    ([[2, 5, 6]] * 3, SCORES.astype(int), None, "scores is .*: an array"),
    ([[2, 5, 6]] * 3, SCORES[:0], None, "scores is .*: an array"),
    ([2, 5, 6], SCORES, None, r"sequences has shape \(3,\) and type int64: \(rows, tokens\) int was expected"),
    ([[2.0, 5, 6]] * 3, SCORES, None, "sequences has shape .* type float64"),
    ([[2, 5, 6]] * 3, SCORES, [0, 1], r"beam_indices has shape \(2,\)"),
    ([[2, 5, 6]] * 2, SCORES, None, r"sequences \(2, 3\), 2 scores \(3, 7\) and beam_indices \(3, 2\) are not of one"),
    ([[2, 5, 6]] * 2, SCORES, [[0, 3], [1, 1]], "are not of one generation: pass all that its output has"),
    ([[2, 5, 6, 6]] * 2, SCORES, [[0, 2, 1], [1, 1, 1]], "are not of one generation"),
    ([[6]] * 3, SCORES, None, "are not of one generation"),
    ([[2, 5, 7]] * 3, SCORES, None, "sequences holds ids from 5 to 7: the scores are of ids from 0 to 6"),
]


@pytest.mark.parametrize(("sequences", "scores", "beams", "message"), BAD_SCORES)
def test_what_is_not_of_one_generation_has_no_transition_scores(sequences, scores, beams, message):
    with pytest.raises(InputError, match=message):
        model_of("greedy").compute_transition_scores(sequences, scores, beams)


def test_samples_have_a_row_and_a_masked_prompt_each():
    arguments, call = (
        stored("prompt")[0],
        {"do_sample": True, "num_return_sequences": 3, "max_new_tokens": 4, "seed": 1},
    )
    model = model_of("prompt")
    output = model.generate(**arguments, **call, **FLAGS)
    scores = model.compute_transition_scores(output.sequences, output.scores)
    assert scores.shape == (6, len(output.scores)) and output.decoder_attentions[0][0].shape == (6, 3, 4, 4)
    for (row, step), score in np.ndenumerate(scores):
        assert score == output.scores[step][row, output.sequences[row, 4 + step]]
    is_seen = np.repeat(arguments["decoder_attention_mask"], 3, axis=0) == 1
    last = output.decoder_attentions[0][1][:, :, -1]  # (6, H, 4): the last token of the prompt
    assert not last[~np.repeat(is_seen[:, None], 3, axis=1)].any()


def test_what_stands_behind_an_end_need_be_no_id():
    """Without a padding id, beam search fills up with -1."""
    scores = np.arange(42, dtype=np.float32).reshape(SCORES.shape)
    got = model_of("greedy").compute_transition_scores([[2, 6, -1], [2, 0, 3]], scores, [[2, -1], [0, 1]])
    assert got.tolist() == [[20.0, 0.0], [0.0, 31.0]]

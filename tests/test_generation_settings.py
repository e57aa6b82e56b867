"""GenerationConfig and the effective settings, held to transformers 5.23.0 by golden/generation.json."""

import copy
import inspect
import json
import pickle
import re
from pathlib import Path

import numpy as np
import pytest

import pyled
from pyled.config import LEDConfig
from pyled.errors import GenerationError, InputError, PyledError
from pyled.generation import resolve
from pyled.generation.settings import Settings
from pyled.generation_config import ADD_FIELDS, NOT_IMPLEMENTED, SETTINGS, WITHOUT_EFFECT, GenerationConfig

GOLDEN = json.loads((Path(__file__).parents[1] / "golden" / "generation.json").read_text())
IDS = GOLDEN["ids"]
# The values of GenerationConfig() in transformers 4.57.6; those of 5.23.0 are None, and these act.
DEFAULTS = {
    **dict.fromkeys(("num_beams", "num_return_sequences"), 1),
    **dict.fromkeys(("early_stopping", "remove_invalid_values", "renormalize_logits", "do_sample"), False),
    **dict.fromkeys(("length_penalty", "repetition_penalty", "encoder_repetition_penalty"), 1.0),
    **dict.fromkeys(("min_length", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size"), 0),
    **dict.fromkeys(("temperature", "top_p", "typical_p"), 1.0),
    **dict.fromkeys(("epsilon_cutoff", "eta_cutoff"), 0.0),
    "max_length": 20,
    "top_k": 50,
    **dict.fromkeys((*ADD_FIELDS, "return_dict_in_generate"), False),
}


def settle(call=None, argument=None, own=None, **more):
    """`resolve` for one document, 50 tokens and 100 positions, unless told otherwise."""
    given = {"batch_size": 1, "vocab_size": 50, "positions": 100, **more}
    return resolve(call or {}, argument, own if own is not None else GenerationConfig(**IDS), **given)


# Against the reference


@pytest.mark.parametrize("case", GOLDEN["settings"], ids=lambda case: json.dumps(case)[:90])
def test_effective_settings_are_those_of_the_reference(case):
    own = GenerationConfig(**{**IDS, **case["own"]})
    argument = GenerationConfig(**case["argument"]) if "argument" in case else None
    given = np.array(case["prompt"]) if "prompt" in case else None
    batch_size = len(given) if given is not None else 1
    expected = dict(case["expected"])
    starts = [] if given is None else (given[:, 0] == own.decoder_start_token_id).tolist()
    call = case.get("call", {})
    if (
        "refused" in expected or len(set(starts)) > 1 or call.get("top_p") == 1.5
    ):  # docs/differences.md: rows must agree on the start token here
        with pytest.raises(PyledError):
            settle(case.get("call"), argument, own, batch_size=batch_size, decoder_input_ids=given)
        return
    settings, prompt = settle(case.get("call"), argument, own, batch_size=batch_size, decoder_input_ids=given)
    assert prompt.tolist() == expected.pop("prompt")
    expected["eos_token_id"] = expected["eos_token_id"] or []
    for name in ("max_length", "min_length", "num_beams", "num_return_sequences", "length_penalty", "early_stopping",
                 "repetition_penalty", "encoder_repetition_penalty", "no_repeat_ngram_size",
                 "encoder_no_repeat_ngram_size", "do_sample", "temperature", "top_p", "min_p", "top_h", "typical_p",
                 "epsilon_cutoff", "eta_cutoff"):  # fmt: skip
        value = expected.pop(name, DEFAULTS.get(name))
        assert getattr(settings, name) == (DEFAULTS.get(name) if value is None else value), name  # None turns it off
    assert settings.top_k == (expected.pop("top_k", 50) or 0)
    for name, value in expected.items():
        held = getattr(settings, name)
        if isinstance(held, tuple):
            held, value = list(held), [value] if isinstance(value, int) else value or []
        assert held == value, name


@pytest.mark.parametrize("case", GOLDEN["legacy"], ids=lambda case: json.dumps(case)[:90])
def test_keys_of_an_old_config_json_are_read_as_the_reference_reads_them(case):
    config = GenerationConfig.from_model_config(LEDConfig.from_dict({**IDS, **case["keys"]}))
    assert config.to_dict() == case["expected"]
    assert {config.origin(name) for name in config.to_dict()} == {"config.json"}


# Where a value comes from


@pytest.mark.parametrize(
    ("call", "argument", "own", "value", "origin"),
    [
        (None, None, None, 1, "default"),
        (None, None, 5, 5, "config.json"),
        (None, 4, 5, 4, "generation_config"),
        (3, 4, 5, 3, "call"),
        (3, None, None, 3, "call"),
        (None, 4, None, 4, "generation_config"),
    ],
)
def test_the_first_that_sets_a_value_wins_and_is_named(call, argument, own, value, origin):
    model = GenerationConfig.from_model_config(LEDConfig.from_dict({} if own is None else {"num_beams": own}))
    settings, _ = settle(
        {} if call is None else {"num_beams": call},
        None if argument is None else GenerationConfig(num_beams=argument),
        model,
    )
    assert (settings.num_beams, settings.origin["num_beams"]) == (value, origin)


def test_origin_knows_the_file(tmp_path):
    GenerationConfig(num_beams=4, max_length=9, **IDS).save_pretrained(tmp_path)
    settings, _ = settle({"max_new_tokens": 3}, None, GenerationConfig.from_pretrained(tmp_path))
    assert settings.origin["num_beams"] == "generation_config.json"
    assert settings.origin["max_length"] == "call"
    assert settings.origin["length_penalty"] == "default"
    assert set(settings.origin) == set(SETTINGS)


def test_none_in_the_call_turns_off_what_a_file_sets():
    own = GenerationConfig(no_repeat_ngram_size=3, forced_bos_token_id=0, bad_words_ids=[[4]], **IDS)
    settings, _ = settle({"no_repeat_ngram_size": None, "forced_bos_token_id": None, "bad_words_ids": None}, None, own)
    assert (settings.no_repeat_ngram_size, settings.forced_bos_token_id, settings.bad_words_ids) == (0, None, ())
    assert settings.origin["no_repeat_ngram_size"] == "call"


def test_none_in_the_call_is_unset_where_nothing_is_no_value():
    own = GenerationConfig(max_length=9, num_beams=3, num_return_sequences=2, length_penalty=2.0, **IDS)
    names = ("max_length", "num_beams", "num_return_sequences", "length_penalty")
    settings, _ = settle(dict.fromkeys(names), None, own)
    assert [getattr(settings, name) for name in names] == [9, 3, 2, 2.0]


# Lengths


def test_a_length_from_the_caller_beyond_the_positions_is_refused():
    assert settle({"max_length": 101})[0].max_length == 101  # the last token is never fed back
    message = "max_length=102 makes 102 tokens with the prompt, but this decoder has 100 positions: pass max_length of "
    with pytest.raises(GenerationError, match=message + "at most 101, or max_new_tokens of 100"):
        settle({"max_length": 102})
    with pytest.raises(GenerationError, match="max_new_tokens=101 makes 102 tokens"):
        settle({"max_new_tokens": 101})
    with pytest.raises(GenerationError, match="100 positions"):
        settle({}, GenerationConfig(max_length=102))


@pytest.mark.parametrize("name", ["max_length", "max_new_tokens"])
def test_a_length_from_a_file_beyond_the_positions_is_lowered_and_noted(name):
    own = GenerationConfig.from_dict({**IDS, name: 500})
    own.origins.update(dict.fromkeys(own.to_dict(), "generation_config.json"))
    settings, _ = settle(own=own)
    assert settings.max_length == 101
    assert any("lowered to 101: the decoder has 100 positions" in note for note in settings.notes)


def test_no_room_after_the_prompt_is_refused():
    with pytest.raises(GenerationError, match=r"max_length=2 \(call\) leaves no room after a prompt of 3 tokens"):
        settle({"max_length": 2}, decoder_input_ids=np.array([[2, 3, 4]]))
    with pytest.raises(GenerationError, match="leaves no room after a prompt of 101 tokens"):
        settle(decoder_input_ids=np.full((1, 101), 2))


def test_notes_say_what_was_assumed_or_overruled():
    own = GenerationConfig(max_length=9, min_length=2, eos_token_id=2, decoder_start_token_id=2)
    settings, _ = settle(
        {"max_new_tokens": 5, "min_new_tokens": 7, "temperature": 0.5, "output_scores": True}, None, own
    )
    expected = [
        "max_new_tokens=5 (call) takes precedence over max_length=9 (generation_config)",
        "min_new_tokens=7 (call) takes precedence over min_length=2 (generation_config)",
        "min_length=8 (call) is more than max_length=6 (call): generation ends at the latter",
        "no pad_token_id is set: ended rows are filled with the end of sequence, 2",
        "temperature=0.5 has no effect without sampling: pass do_sample=True",
        "output_scores=True is ignored: pass return_dict_in_generate=True with it",
    ]
    assert list(settings.notes) == expected
    assert settings.output_scores is False
    assert settle()[0].notes == ("no length is set: at most 20 tokens are generated; pass max_new_tokens",)
    plain, _ = settle({"max_length": 5, "length_penalty": 2.0, "early_stopping": True})
    assert len(plain.notes) == 2 and all("has no effect without beams" in note for note in plain.notes)
    blind, _ = settle({"max_length": 5, "encoder_no_repeat_ngram_size": 3}, has_encoder_ids=False)
    assert blind.encoder_no_repeat_ngram_size == 0 and "needs input_ids" in blind.notes[0]


# Refusals


BAD = {
    "max_length": [0, -1, 1.5, "9", True],
    "max_new_tokens": [0, 2.0],
    "min_length": [-1],
    "min_new_tokens": [-1, [3]],
    "num_beams": [0, 1.0, "4"],
    "num_return_sequences": [0],
    "early_stopping": ["soon", 1, 0],
    "length_penalty": [float("nan"), float("inf"), "1"],
    "repetition_penalty": [0, -1.0, "2"],
    "encoder_repetition_penalty": [0, True],
    "no_repeat_ngram_size": [-3, 2.5],
    "encoder_no_repeat_ngram_size": [-3],
    "bad_words_ids": [[[]], [3], 5, [[3, "x"]], [[-1]]],
    "sequence_bias": [[[[3], "x"]], [[[], 1.0]], [[3]], 7, {(): 1.0}],
    "exponential_decay_length_penalty": [[3], [-1, 1.5], [2, 0.0], 4],
    "suppress_tokens": [5, [-1], "ab", [1.5]],
    "begin_suppress_tokens": [5],
    "forced_bos_token_id": [-1, [3], 1.5],
    "forced_eos_token_id": [[], [-1], "2"],
    "remove_invalid_values": [1],
    "renormalize_logits": ["yes"],
    "pad_token_id": [-1, [1]],
    "bos_token_id": [-1],
    "eos_token_id": [[], -2, [2, -2], 2.0],
    "decoder_start_token_id": [-2, []],
    "max_time": [0, -1, "3"],
    "stop_strings": ["", [], ["a", ""], 3, [3], "\ud800", ["a", "b\udce9"]],
    "do_sample": [1, "yes"],
    "seed": [-1, 0.5, "7"],
    "temperature": [-0.5, "1", float("nan")],
    "top_h": [0, 1.5],
    "top_k": [-1, 2.5],
    "top_p": [-0.1, 1.1],
    "min_p": [-0.1, 1.1],
    "typical_p": [0, 1.1],
    "epsilon_cutoff": [-0.1, 1.0],
    "eta_cutoff": [-0.1, 1],
    "use_cache": [1],
    **{name: [1] for name in ADD_FIELDS},
    "return_dict_in_generate": [1],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_a_value_out_of_range_is_refused_by_name_wherever_it_stands(name, value):
    message = f"^{name} is .*: it must be "
    with pytest.raises(GenerationError, match=message):
        GenerationConfig(**{name: value})
    with pytest.raises(GenerationError, match=message):
        settle({name: value})
    later = GenerationConfig(**IDS)
    for act in (lambda: setattr(later, name, value), lambda: later.update(low_memory=None, **{name: value})):
        with pytest.raises(GenerationError, match=message):
            act()
    with pytest.raises(GenerationError, match=message):
        GenerationConfig.from_dict({}, **{name: value})
    assert later == GenerationConfig(**IDS)


def test_every_setting_has_a_bad_value_above():
    assert set(BAD) == set(SETTINGS), "each setting needs bad values in BAD"


def test_numpy_numbers_and_tuples_are_values():
    config = GenerationConfig(
        num_beams=np.int64(3), length_penalty=np.float32(0.5), suppress_tokens=np.array([3, 4]), bad_words_ids=((5,),)
    )
    assert config == GenerationConfig(num_beams=3, length_penalty=0.5, suppress_tokens=[3, 4], bad_words_ids=[[5]])
    assert json.dumps(config.to_dict())


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ({"num_beems": 4}, "'num_beems' is no generation setting: did you mean 'num_beams'?"),
        ({"qqqq": 4}, "'qqqq' is no generation setting: see GenerationConfig for the names"),
        ({"num_beam_groups": 2}, "num_beam_groups=2 (call) asks for what pyled does not implement, diverse "
         "beam search: pass num_beam_groups=1; transformers 5.23.0 no longer has it, either: use do_sample=True"),
        ({"penalty_alpha": 0.6}, "contrastive search: pass penalty_alpha=0; transformers 5.23.0 no longer has it"),
        ({"force_words_ids": [[3]]}, "constrained beam search: pass force_words_ids=[]; transformers 5.23.0 no longer"),
        ({"dola_layers": "high"}, "DoLa decoding: pass dola_layers=None; transformers 5.23.0 no longer has it"),
        ({"watermarking_config": {}}, "asks for what pyled does not implement: pass watermarking_config=None"),
        ({"do_sample": True, "temperature": 0}, "temperature=0 (call) is too near to 0 to divide by: pass do_sample=F"),
        ({"do_sample": True, "temperature": 1e-300}, "or a temperature of at least 1e-30"),
        ({"stop_strings": "."}, "stop_strings=['.'] (call) needs the text of the tokens: pass tokenizer with it"),
        ({"num_return_sequences": 3}, "is more than num_beams=1 (default): pass num_beams of at least 3, or do_samp"),
        ({"num_return_sequences": 3, "num_beams": 2, "do_sample": True}, "pass num_beams of at least 3"),
        ({"num_return_sequences": 10**17, "do_sample": True}, "num_return_sequences=100,000,000,000,000,000 (call) ma"),
        ({"constraints": [1]}, "pass constraints=[]"),
        ({"assistant_model": object}, "pass assistant_model=None; it makes the same tokens sooner, with help that LED"),
        ({"num_return_sequences": 3, "num_beams": 2}, "num_return_sequences=3 (call) is more than num_beams=2 (call): "
         "pass num_beams of at least 3"),
        ({"num_beams": 2, "length_penalty": 90.0}, "length_penalty=90.0 makes 20 ** 90.0, which float32 cannot hold"),
        ({"num_beams": 2, "length_penalty": -90}, "pass one nearer to 0"),
        ({"eos_token_id": 50}, "eos_token_id holds 50 (call), but this vocabulary has 50 ids: give ids below 50"),
        ({"pad_token_id": 50}, "pad_token_id holds 50"),
        ({"bad_words_ids": [[3, 77]]}, "bad_words_ids holds 77 (call)"),
        ({"sequence_bias": {(77,): 1.0}}, "sequence_bias holds 77 (call)"),
        ({"suppress_tokens": [50]}, "suppress_tokens holds 50"),
        ({"forced_eos_token_id": [2, 60]}, "forced_eos_token_id holds 60"),
        ({"decoder_start_token_id": [2, 3]}, "decoder_start_token_id lists 2 ids for 1 documents"),
        ({"decoder_start_token_id": None, "bos_token_id": None}, "neither decoder_start_token_id nor bos_token_id is"),
        ({"exponential_decay_length_penalty": [2, 1.5], "eos_token_id": None}, "needs an end of sequence to raise"),
        ({"suppress_tokens": [0], "forced_bos_token_id": 0}, "forced_bos_token_id=[0] is forced and listed in"),
        ({"suppress_tokens": [2, 3], "forced_eos_token_id": [2, 3]}, "forced_eos_token_id=[2, 3] is forced and listed"),
    ],
)  # fmt: skip
def test_refusals_of_a_call_name_the_value_and_the_remedy(call, message):
    with pytest.raises(GenerationError, match=re.escape(message)):
        settle(call)


def test_beams_need_a_token_that_goes_on():
    with pytest.raises(GenerationError, match="eos_token_id lists 3 of 3 tokens"):
        settle({"num_beams": 2, "eos_token_id": [0, 1, 2]}, vocab_size=3)


@pytest.mark.parametrize("name", [*NOT_IMPLEMENTED, *WITHOUT_EFFECT])
def test_what_pyled_lacks_passes_at_its_neutral_values(name):
    neutral = (*{**NOT_IMPLEMENTED, **WITHOUT_EFFECT}[name], None)
    for value in neutral:
        assert len(settle({name: value})[0].notes) == 1  # that of the default length
        assert len(settle(own=GenerationConfig(**IDS, **{name: value}))[0].notes) == 1


@pytest.mark.parametrize("name", NOT_IMPLEMENTED)
def test_what_pyled_lacks_is_refused_from_a_file_too_and_a_call_overrules_it(name):
    own = GenerationConfig.from_dict({**IDS, name: 0.75})
    with pytest.raises(GenerationError, match=rf"{name}=0.75 \(generation_config\) asks for what pyled does not"):
        settle(own=own)
    with pytest.raises(GenerationError, match=name):
        settle({}, own, GenerationConfig(**IDS))
    settle({name: None}, None, own)


@pytest.mark.parametrize("name", ADD_FIELDS)
def test_a_field_needs_an_output_to_stand_in(name):
    own = GenerationConfig(**IDS, max_length=5, **{name: True})
    settings, _ = settle(own=own)
    assert settings.notes == (f"{name}=True is ignored: pass return_dict_in_generate=True with it",)
    assert getattr(settings, name) is False
    assert getattr(settle({"return_dict_in_generate": True}, own=own)[0], name) is True


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (np.array([2, 3]), r"shape \(2,\)"),
        (np.array([[2], [3]]), r"shape \(2, 1\)"),
        (np.zeros((1, 0), np.int64), r"shape \(1, 0\)"),
        (np.array([[2.0]]), "type float64: it must hold integers"),
        (np.array([[2, 50]]), r"ids from 2 to 50: they must be in 0\.\.49"),
        (np.array([[-1]]), "ids from -1"),
        ([[2, 3], [4]], "as many for each document"),
        ("two", r"shape \(\)"),
    ],
)
def test_a_prompt_of_the_wrong_shape_or_ids_is_refused(ids, message):
    with pytest.raises(InputError, match=message):
        settle(decoder_input_ids=ids)


@pytest.mark.parametrize("rows", [[[2, 7], [5, 6]], [[5, 6], [2, 7], [5, 8]]])
def test_rows_that_begin_with_the_start_token_and_rows_that_do_not_are_no_batch(rows):
    """Each row alone gets the start token or has it; together one of them would have another prompt than alone."""
    assert [settle({}, batch_size=1, decoder_input_ids=[row])[1].shape[1] for row in rows] == [
        3 - (2 in r) for r in rows
    ]
    with pytest.raises(InputError, match=r"begins with the start token, 2, in some rows and not in row [01]: let all"):
        settle({}, batch_size=len(rows), decoder_input_ids=rows)


def test_more_beams_than_the_memory_holds_are_refused():
    with pytest.raises(
        GenerationError, match=r"num_beams=100,000,000,000,000,000 \(call\) makes .* memory: pass fewer"
    ):
        settle({"num_beams": 10**17})


def test_a_prompt_may_be_a_list():
    assert settle(decoder_input_ids=[[2, 3]])[1].tolist() == [[2, 3]]


def test_a_configuration_must_be_one():
    with pytest.raises(GenerationError, match="generation_config is a dict: it must be a GenerationConfig"):
        settle({}, {"num_beams": 3})


def test_a_start_token_per_document():
    _, prompt = settle({"decoder_start_token_id": [2, 7]}, batch_size=2)
    assert prompt.tolist() == [[2], [7]] and prompt.dtype == np.int64


# Files


def test_a_configuration_survives_its_file_with_what_pyled_does_not_know(tmp_path):
    values = {
        **IDS,
        "eos_token_id": [2, 3],
        "num_beams": 4,
        "length_penalty": 0,
        "early_stopping": "never",
        "sequence_bias": [[[3, 4], -1.5]],
        "exponential_decay_length_penalty": [5, 1.1],
        "_from_model_config": True,
        "transformers_version": "4.57.6",
        "something": {"of": "others"},
    }
    config = GenerationConfig.from_dict(values)
    assert config.extra == {k: values[k] for k in ("_from_model_config", "transformers_version", "something")}
    config.save_pretrained(tmp_path / "new")
    assert json.loads((tmp_path / "new" / "generation_config.json").read_text()) == values
    assert GenerationConfig.from_pretrained(tmp_path / "new") == config


def test_a_missing_or_wrong_file_is_refused_with_its_name(tmp_path):
    with pytest.raises(GenerationError, match=r"holds no generation_config.json: GenerationConfig.from_model_config"):
        GenerationConfig.from_pretrained(tmp_path)
    path = tmp_path / "generation_config.json"
    for text, message in [('{"num_beams": 0}', "num_beams is 0"), ("[]", "JSON list"), ("{", "not JSON")]:
        path.write_text(text)
        with pytest.raises(GenerationError, match=rf"generation_config\.json: .*{message}"):
            GenerationConfig.from_pretrained(tmp_path)


def test_code_may_not_misspell_but_may_name_what_has_no_effect():
    config = GenerationConfig()
    for act in (lambda: GenerationConfig(num_beam=4), lambda: setattr(config, "num_beam", 4)):
        with pytest.raises(GenerationError, match="'num_beam' is no generation setting: did you mean 'num_beams'"):
            act()
    assert GenerationConfig(low_memory=False, cache_implementation="static", num_beams=2).extra == {
        "low_memory": False,
        "cache_implementation": "static",
    }


def test_old_config_json_names_forcing_the_first_token():
    model = LEDConfig.from_dict(
        {"force_bos_token_to_be_generated": True, "output_hidden_states": True, "low_memory": False}
    )
    config = GenerationConfig.from_model_config(model)
    assert config.forced_bos_token_id == 0
    assert config.extra == {"low_memory": False}


# Attributes


@pytest.mark.parametrize(("name", "value"), [("penalty_alpha", 0.6), ("token_healing", True)])
def test_a_setting_that_pyled_lacks_is_stored_and_then_refused(name, value, tmp_path):
    """The references act on it, and save it."""
    config = GenerationConfig(max_length=5, **IDS)
    assert getattr(config, name) is None
    setattr(config, name, value)
    assert getattr(config, name) == config.to_dict()[name] == value
    with pytest.raises(GenerationError, match=rf"{name}={value} \(generation_config\) asks for what pyled does not"):
        settle(own=config)
    config.save_pretrained(tmp_path)
    assert GenerationConfig.from_pretrained(tmp_path) == config


def test_other_keys_of_a_file_are_attributes():
    config = GenerationConfig.from_dict({"something": 1})
    config.something = 2
    assert config.extra == {"something": 2}
    assert GenerationConfig(transformers_version="5.23.0", _from_model_config=True).transformers_version == "5.23.0"
    with pytest.raises(AttributeError, match="GenerationConfig has no 'num_beems'"):
        _ = config.num_beems


def test_a_list_that_is_changed_in_place_is_checked_when_it_is_used():
    config = GenerationConfig(suppress_tokens=[3], **IDS)
    config.suppress_tokens.append(-1)
    for act in (config.to_dict, lambda: settle(own=config)):
        with pytest.raises(GenerationError, match=r"suppress_tokens is \[3, -1\]"):
            act()


def test_update_returns_what_is_no_setting():
    """As both references."""
    config = GenerationConfig(num_beams=2)
    assert config.update(num_beams=3, foo=2, do_sample=False) == {"foo": 2}
    assert config == GenerationConfig(num_beams=3, do_sample=False)


def test_what_code_sets_is_no_longer_a_files(tmp_path):
    GenerationConfig(max_length=9, num_beams=2, **IDS).save_pretrained(tmp_path)
    config = GenerationConfig.from_pretrained(tmp_path, num_beams=3)
    config.max_length = 7
    origin = settle(own=config)[0].origin
    names = ("num_beams", "max_length", "eos_token_id")
    assert [origin[name] for name in names] == ["generation_config", "generation_config", "generation_config.json"]


def test_a_configuration_can_be_copied_pickled_and_shown():
    config = GenerationConfig(num_beams=2, temperature=0.5)
    for found in (copy.deepcopy(config), pickle.loads(pickle.dumps(config))):
        assert found == config
    assert repr(config) == "GenerationConfig(num_beams=2, temperature=0.5)"
    assert config.to_json_string() == '{\n  "num_beams": 2,\n  "temperature": 0.5\n}\n'
    assert config != GenerationConfig(num_beams=2)


def test_another_file_and_other_values(tmp_path):
    GenerationConfig(num_beams=2).save_pretrained(tmp_path, "summary.json", push_to_hub=False)
    config = GenerationConfig.from_pretrained(tmp_path, "summary.json", max_length=7, cache_dir=None)
    assert config == GenerationConfig(num_beams=2, max_length=7)
    assert GenerationConfig.from_pretrained(tmp_path, config_file_name="summary.json").max_length is None
    with pytest.raises(GenerationError, match="'num_beems' is no generation setting"):
        GenerationConfig.from_pretrained(tmp_path, "summary.json", num_beems=3)
    with pytest.raises(InputError, match="push_to_hub=True has no effect here: save to a directory and upload that"):
        config.save_pretrained(tmp_path, push_to_hub=True)
    with pytest.raises(GenerationError, match="'num_beams' is no argument of save_pretrained"):
        config.save_pretrained(tmp_path, num_beams=3)
    config.custom_generate = object
    with pytest.raises(pyled.PyledError, match="cannot be written as JSON"):
        config.save_pretrained(tmp_path)


@pytest.mark.parametrize("eos", [-1, [-1], [-1, -1]])
def test_an_end_of_minus_one_is_none(eos, tmp_path):
    """Both references warn, and generate up to max_length."""
    GenerationConfig(**IDS | {"eos_token_id": eos}).save_pretrained(tmp_path)
    for config in (GenerationConfig.from_pretrained(tmp_path), GenerationConfig(**IDS)):
        assert settle({"eos_token_id": eos}, None, config)[0].eos_token_id == ()
    assert settle(own=GenerationConfig.from_pretrained(tmp_path))[0].eos_token_id == ()
    assert settle({"eos_token_id": [-1, 2]})[0].eos_token_id == (2,)
    model = LEDConfig.from_dict({"eos_token_id": eos})
    assert settle(own=GenerationConfig.from_model_config(model))[0].eos_token_id == ()


@pytest.mark.parametrize("name", ["decoder_attention_mask", "labels", "past_key_values", "head_mask", "return_dict"])
def test_an_argument_of_a_model_is_told_as_that(name):
    said = f"'{name}' is no generation setting: pass it to the call of the model"
    for act in (lambda: settle({name: 1}), lambda: GenerationConfig(**{name: 1})):
        with pytest.raises(GenerationError, match=said):
            act()


def test_every_argument_of_a_model_is_known():
    arguments = inspect.signature(pyled.LEDForConditionalGeneration.__call__).parameters.keys() - {"self", "targets"}
    for name in arguments - SETTINGS.keys():
        with pytest.raises(GenerationError, match="pass it to the call of the model"):
            GenerationConfig(**{name: 1})


# Each setting is said once


def test_the_table_has_a_default_and_words_for_each_setting():
    """The defaults are those of the reference, where it has one."""
    assert {name: SETTINGS[name].default for name in DEFAULTS} == DEFAULTS
    for name in SETTINGS.keys() - DEFAULTS.keys() - {"use_cache"}:
        assert SETTINGS[name].default in (None, ()), f"{name}: DEFAULTS lacks its default"
    assert all(setting.words for setting in SETTINGS.values())
    named = {name for name in Settings.__dataclass_fields__ if name in settle()[0].origin}
    assert named == SETTINGS.keys() - {
        "max_new_tokens", "min_new_tokens", "bos_token_id", "decoder_start_token_id", "use_cache",
    }  # fmt: skip

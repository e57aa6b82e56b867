"""The heads for question answering and for classification: their losses, their arguments, their files."""

import functools
import json

import numpy as np
import pytest
from budget import assert_within
from examples import EXAMPLES
from hypothesis import given, settings
from hypothesis import strategies as st

import pyled
from pyled import reference
from pyled.config import LEDConfig
from pyled.errors import CheckpointError, ConfigError, InputError
from pyled.models import LEDForConditionalGeneration, LEDForQuestionAnswering, LEDForSequenceClassification, LEDModel
from pyled.network import losses

EXAMPLE = settings(deadline=None, derandomize=True, max_examples=EXAMPLES)
END = 2
KINDS = [LEDForQuestionAnswering, LEDForSequenceClassification]


def small(kind, dtype="float32", **changed):
    values = {
        "vocab_size": 31,
        "d_model": 12,
        "encoder_layers": 1,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 3,
        "encoder_ffn_dim": 10,
        "decoder_ffn_dim": 14,
        "attention_window": 4,
        "max_encoder_position_embeddings": 40,
        "max_decoder_position_embeddings": 30,
        "init_std": 0.5,
    }
    return kind(LEDConfig(**{**values, **changed}), dtype=dtype)


def texts(seed, lengths, ends=1):
    """Ids of texts that end with END, and have `ends` of them; their mask, and marks on the first token."""
    rng, S = np.random.default_rng(seed), max(lengths)
    ids, mask = np.ones((len(lengths), S), np.int64), np.zeros((len(lengths), S), np.int64)
    for row, real, length in zip(ids, mask, lengths, strict=True):
        row[:length] = rng.integers(3, 31, length)
        row[rng.choice(length - 1, ends - 1, replace=False)] = END
        row[length - 1], real[:length] = END, 1
    marks = np.zeros_like(mask)
    marks[:, 0] = 1
    return {"input_ids": ids, "attention_mask": mask, "global_attention_mask": marks}


def logits_of(output):
    return output.logits if "logits" in output else np.stack([output.start_logits, output.end_logits], axis=2)


@EXAMPLE
@given(
    kind=st.sampled_from(KINDS),
    lengths=st.lists(st.integers(3, 24), min_size=1, max_size=3),
    ends=st.integers(1, 3),
    num_labels=st.integers(1, 5),
    seed=st.integers(0, 2**32 - 1),
)
def test_the_fast_way_computes_the_definition(kind, lengths, ends, num_labels, seed):
    """In float64: the budget of float32 is measured by the reference, in golden/ and golden/compare_models.py."""
    model, batch = small(kind, "float64", num_labels=num_labels), texts(seed, lengths, ends)
    logits = logits_of(model(**batch))
    weights = {name.removeprefix("led."): array for name, array in model.state_dict().items()}
    for b, (ids, mask, marks) in enumerate(zip(*batch.values(), strict=True)):
        last = max(i for i, token in enumerate(ids) if token == END)
        heads = [reference.qa_logits, functools.partial(reference.classification_logits, end=last)]
        target, head = reference.shift_right(ids, 2, 1), heads[KINDS.index(kind)]
        truth = reference.forward(ids, target, mask == 1, marks == 1, weights, model.config, head=head)
        assert_within("logits", logits[b], truth, 0.0)


@EXAMPLE
@given(
    kind=st.sampled_from(KINDS),
    lengths=st.lists(st.integers(1, 24), min_size=1, max_size=4),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_text_gives_the_same_bits_alone_and_in_any_batch_of_its_width(kind, lengths, seed):
    """The decoder reads the padding, too: another width is another call, which may differ in the last bits."""
    model, batch = small(kind), texts(seed, lengths)
    together = logits_of(model(**batch))
    for b in range(len(lengths)):
        alone = logits_of(model(**{name: array[b : b + 1] for name, array in batch.items()}))
        assert np.array_equal(alone[0], together[b])


@pytest.mark.parametrize("kind", KINDS)
def test_padding_changes_no_logits_of_a_text(kind):
    model, batch = small(kind, "float64"), texts(3, [9, 24, 17])
    together = logits_of(model(**batch))
    for b, length in enumerate([9, 24, 17]):
        alone = logits_of(model(**{name: array[b : b + 1, :length] for name, array in batch.items()}))[0]
        assert_within("logits", alone, together[b][: len(alone)], 0.0)


# The losses


def test_a_loss_is_that_of_the_definition():
    rng = np.random.default_rng(0)
    for _ in range(20):
        B, T = rng.integers(1, 6, 2)
        x, y, values = rng.normal(0, 5, (3, B, T))
        starts, ends = rng.integers(-3, T + 3, (2, B))
        starts[0], ends[0] = -1, T - 1  # one of each counts
        pairs = {
            "span": (losses.span_loss(x, y, starts, ends), reference.span_loss(x, y, starts, ends)),
            "squares": (losses.squared_error(x, values), reference.squared_error(x, values)),
            "binary": (losses.binary_cross_entropy(x, values), reference.binary_cross_entropy(x, values)),
            "classes": (losses.cross_entropy(x, ends % T), reference.loss(x, ends % T)),
        }
        for name, (fast, truth) in pairs.items():
            assert_within(name, fast, np.float64(truth), 0.0)


def test_a_position_below_0_is_0_and_one_behind_the_end_is_left_out():
    starts, ends = np.array([[3.0, 1.0, 0.0], [0.5, 2.0, 1.0]]), np.array([[0.0, 1.0, 5.0], [2.0, 0.0, 0.0]])

    def of(*positions):
        return float(losses.span_loss(starts, ends, *map(np.array, positions)))

    assert of([-2, 1], [2, 0]) == of([0, 1], [2, 0])
    assert of([0, 3], [3, 0]) == of([0, 1000], [1000, 0]) != of([0, 2], [2, 0])
    assert (
        of([0, 3], [3, 0])
        == (losses.cross_entropy(starts[:1], np.array([0])) + losses.cross_entropy(ends[1:], np.array([0]))) / 2
    )
    assert np.isnan(of([3, 3], [0, 0])) and np.isnan(of([0, 0], [3, 4]))


def test_the_binary_loss_survives_logits_of_any_size():
    x, there = np.array([[1000.0, -1000.0]]), np.array([[1.0, 0.0]])
    assert losses.binary_cross_entropy(x, there) == 0 and losses.binary_cross_entropy(x, 1 - there) == 1000


@pytest.mark.parametrize(
    ("stated", "num_labels", "labels", "problem"),
    [
        (None, 3, [2, 0], "single_label_classification"),
        (None, 3, [[2], [0]], "single_label_classification"),
        (None, 3, np.array([2, 0], np.uint8), "single_label_classification"),
        (None, 3, [[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], "multi_label_classification"),
        (None, 3, [[True, False, True], [False, False, True]], "multi_label_classification"),
        (None, 1, [2, 0], "regression"),
        (None, 1, [[0.5], [1.5]], "regression"),
        ("single_label_classification", 1, [0, 0], "single_label_classification"),
        ("multi_label_classification", 3, [[1, 0, 1], [0, 0, 1]], "multi_label_classification"),
        ("multi_label_classification", 1, [1, 0], "multi_label_classification"),
        ("regression", 3, [[1, 0, 5], [0, 0, 1]], "regression"),
    ],
)
def test_the_problem_is_stated_or_follows_from_the_labels_of_each_call(stated, num_labels, labels, problem):
    model = small(LEDForSequenceClassification, "float64", num_labels=num_labels, problem_type=stated)
    output = model(**texts(1, [5, 7]), labels=labels)
    x, y = output.logits, np.asarray(labels)
    truth = {
        "single_label_classification": lambda: reference.loss(x, y.reshape(-1)),
        "multi_label_classification": lambda: reference.binary_cross_entropy(x, y.reshape(x.shape)),
        "regression": lambda: reference.squared_error(x, y.reshape(x.shape)),
    }[problem]()
    assert_within("loss", output.loss, np.float64(truth), 0.0)
    assert model.config.problem_type == stated and output.past_key_values is None


# Arguments


IDS, TWO = np.array([[5, 6, 2]]), np.array([[5, 2, 7], [8, 9, 2]])
MISTAKES = [
    ("qa", {"start_positions": [1]}, "start_positions alone: a loss needs both, start_positions and end_positions"),
    ("qa", {"start_positions": [1, 2], "end_positions": [1]}, r"start_positions has shape \(2,\): \(1,\) was expected"),
    ("qa", {"start_positions": [1], "end_positions": [[1, 2]]}, r"end_positions has shape \(1, 2\): \(1,\)"),
    ("qa", {"start_positions": [1.0], "end_positions": [1]}, "start_positions holds float64 values: integers"),
    ("qa", {"start_positions": [[1], [2, 3]], "end_positions": [1]}, "start_positions: rows of different lengths"),
    ("qa", {"input_ids": np.full((1, 31), 5)}, "31 tokens, but this decoder, in which LEDForQuestionAnswering reads the"
     " whole text, too, has 30 positions: truncate the text, or pass decoder_input_ids"),
    ("cls", {"input_ids": np.full((1, 31), 2)}, "31 tokens, but this decoder, in which LEDForSequenceClassification "
     "reads the whole text, too, has 30 positions: truncate the text$"),
    ("cls", {"input_ids": None, "inputs_embeds": np.zeros((1, 3, 12))}, "no input_ids: LEDForSequenceClassification "
     "needs them to see where the last end token stands; it takes no inputs_embeds"),
    ("cls", {"input_ids": [[5, 6, 7]]}, r"rows of input_ids hold \[0\] end tokens \(eos_token_id 2\): each must have"),
    ("cls", {"input_ids": [[5, 6, 2], [2, 6, 2]]}, r"hold \[1, 2\] end tokens .* number of them, at least one"),
    ("cls", {"input_ids": [[5, 6, 2], [5, 6, 7]]}, r"hold \[1, 0\] end tokens"),
    ("cls", {"decoder_input_ids": [[5, 6]]}, r"decoder's input has shape \(1, 2\), input_ids \(1, 3\): .* pass a dec"),
    ("cls", {"input_ids": TWO, "labels": [0, 3]},
     "labels holds 3: this model's labels go from 0 to 2, and -100 is left out of the loss"),
    ("cls", {"labels": [-1]}, "labels holds -1"),
    ("cls", {"labels": [1, 2]}, r"labels has shape \(2,\): \(1,\) was expected, one per row"),
    ("cls", {"labels": [0.5]}, r"labels has shape \(1,\): \(1, 3\) was expected, a number per label"),
    ("cls", {"labels": [[0.5, np.nan, 1]]}, "labels holds nan: numbers that are finite in float32"),
    ("cls", {"labels": ["a"]}, "labels holds <U1 values: numbers were expected"),
    ("cls", {"labels": [[0.5], [0.5, 1]]}, "labels: rows of different lengths, or no numbers"),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "arguments", "message"), MISTAKES)
def test_every_mistake_in_an_argument_has_its_message(kind, arguments, message):
    model = small(KINDS[kind == "cls"], num_labels=3)
    with pytest.raises(InputError, match=message):
        model(**{"input_ids": IDS, **arguments})


def test_a_model_of_one_label_takes_a_number_per_row():
    model = small(LEDForSequenceClassification, num_labels=1)
    with pytest.raises(InputError, match=r"labels has shape \(2, 2\): \(2,\) was expected, one per row"):
        model(TWO, labels=np.zeros((2, 2)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_target_of_another_head_is_no_argument(kind):
    name = {"labels": [1]} if kind is LEDForQuestionAnswering else {"start_positions": [1], "end_positions": [1]}
    with pytest.raises(TypeError, match=rf"{kind.__name__}\(\) got an unexpected keyword argument"):
        small(kind)(IDS, **name)


def test_each_of_several_end_tokens_of_the_configuration_ends_a_text():
    """4.57.6 and its kin know one only, and fail on a list; -1 and null are no token."""
    one, several = (small(LEDForSequenceClassification, eos_token_id=ends) for ends in (9, [9, 2]))
    text = np.array([[5, 9, 6, 2, 7]])
    assert np.array_equal(several(text).logits, small(LEDForSequenceClassification)(text).logits)
    assert not np.array_equal(several(text).logits, one(text).logits)
    with pytest.raises(InputError, match=r"hold \[0\] end tokens \(eos_token_id None\)"):
        small(LEDForSequenceClassification, eos_token_id=None)(text)


@pytest.mark.parametrize("kind", KINDS)
def test_an_encoders_output_and_a_tuple_go_through_the_call(kind):
    model, batch = small(kind), texts(5, [6, 9])
    whole = model(**batch)
    encoded = model.get_encoder()(**batch)
    again = model(batch["input_ids"], batch["attention_mask"], encoder_outputs=encoded, use_cache=False)
    assert np.array_equal(logits_of(again), logits_of(whole))
    assert again.past_key_values is None and whole.past_key_values is not None
    assert np.array_equal(model(**batch, return_dict=False)[0], whole[0])
    assert model(**batch, output_attentions=None, output_hidden_states=None).keys() == whole.keys()
    lists = model(batch["input_ids"], encoder_outputs=[np.ones((2, 3, 12)).tolist()])
    assert lists.encoder_last_hidden_state.shape == (2, 3, 12)


@pytest.mark.parametrize(
    ("kind", "targets"),
    [
        (LEDForConditionalGeneration, {"labels": IDS}),
        (LEDForQuestionAnswering, dict.fromkeys(("start_positions", "end_positions"), [1] * len(IDS))),
    ],
)
def test_a_cache_that_no_loss_has_is_told(kind, targets):
    with pytest.warns(pyled.PyledWarning, match="use_cache=True has no effect here: no Cache comes with a loss"):
        assert small(kind)(IDS, use_cache=True, **targets).past_key_values is None
    assert small(kind)(IDS, **targets).past_key_values is None


@pytest.mark.parametrize("kind", [LEDForConditionalGeneration, *KINDS])
@pytest.mark.parametrize(
    "argument",
    [
        {"head_mask": np.ones((2, 3))},
        {"global_attention_mask": np.ones_like(IDS)},
        {"inputs_embeds": np.ones((1, 1, 12))},
    ],
)
def test_what_the_encoder_would_read_is_told_beside_its_outputs(kind, argument):
    (name,) = argument
    encoded = small(kind).get_encoder()(IDS)
    with pytest.warns(pyled.PyledWarning, match=f"{name} has no effect beside encoder_outputs"):
        small(kind)(IDS, encoder_outputs=encoded, **argument)
    if kind is LEDForConditionalGeneration:
        with pytest.warns(pyled.PyledWarning, match=f"{name} has no effect beside encoder_outputs"):
            small(kind).generate(encoder_outputs=encoded, max_new_tokens=1, **argument)


# Files


@pytest.mark.parametrize("kind", KINDS)
def test_a_saved_model_is_loaded_again(kind, tmp_path):
    model = small(kind, id2label={0: "no", 1: "yes", 2: "maybe"})
    model.save_pretrained(tmp_path)
    again = kind.from_pretrained(tmp_path)
    assert again.config.id2label == {0: "no", 1: "yes", 2: "maybe"} and again.load_report.unused == []
    assert again.config.architectures == [kind.__name__]
    assert np.array_equal(logits_of(again(IDS)), logits_of(model(IDS)))
    rounded = kind.from_pretrained(tmp_path, weights="int8")
    assert 0 < np.abs(logits_of(rounded(IDS)) - logits_of(model(IDS))).max() < 0.5
    without = LEDModel.from_pretrained(tmp_path)
    assert len(without.load_report.unused) == (2 if kind is LEDForQuestionAnswering else 4)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("of", [LEDModel, LEDForConditionalGeneration, *KINDS])
def test_a_file_without_the_head_is_refused(kind, of, tmp_path):
    if of is kind:
        return
    small(of).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=f"without the head '{kind.head}': .*, or fine-tune it with") as error:
        kind.from_pretrained(tmp_path)
    assert error.value.rule == "weights-missing"


def test_a_head_of_another_number_of_labels_is_refused(tmp_path):
    small(LEDForSequenceClassification, num_labels=3).save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match=r"classification_head.out_proj.weight \(3, 12\), expected \(4, 12\)"):
        LEDForSequenceClassification.from_pretrained(tmp_path, num_labels=4)


def test_arrays_that_a_model_does_not_use_are_told():
    model = small(LEDForQuestionAnswering)
    with pytest.warns(pyled.PyledWarning, match="load_state_dict: tensors that are no weight of this model: foo"):
        model.load_state_dict(model.state_dict() | {"foo": np.ones(2)})


def test_a_model_with_another_window_has_settings_of_its_own():
    model = small(LEDForConditionalGeneration)
    other = model.with_attention_window(2)
    other.generation_config.num_beams = 3
    assert model.generation_config.num_beams is None and other.with_attention_window(4).generation_config.num_beams == 3


def test_the_number_of_labels_is_fixed_and_their_names_are_not():
    model = small(LEDForSequenceClassification, num_labels=3)
    model.config.id2label = {0: "a", 1: "b", 2: "c"}
    assert model.config.label2id == {"a": 0, "b": 1, "c": 2}
    for name, value in {"num_labels": 2, "id2label": {0: "a"}}.items():
        with pytest.raises(ConfigError, match="num_labels is fixed at 3 since the model was made"):
            setattr(model.config, name, value)


def test_a_problem_that_does_not_exist_is_refused(tmp_path):
    words = "one of regression, single_label_classification, multi_label_classification, or null"
    with pytest.raises(ConfigError, match=f"problem_type is 'foo': it must be {words}"):
        LEDConfig(problem_type="foo")
    (tmp_path / "config.json").write_text(json.dumps({"problem_type": 3}), encoding="utf-8")
    with pytest.raises(ConfigError, match=rf"config\.json: problem_type is 3: it must be {words}"):
        LEDConfig.from_pretrained(tmp_path)


def test_the_names_by_which_scripts_load_any_such_model():
    assert pyled.AutoModelForQuestionAnswering is LEDForQuestionAnswering
    assert pyled.AutoModelForSequenceClassification is LEDForSequenceClassification

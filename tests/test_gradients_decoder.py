"""The gradients of whole models with each head and loss, held to central differences of the definition's loss."""

import functools

import numpy as np
import pytest
from budget import assert_within

import pyled
from pyled import reference
from pyled.checkpoint.names import upstream_name
from pyled.config import LEDConfig
from pyled.gradients import heads
from pyled.network.observe import Stages

RATES = ("dropout", "attention_dropout", "activation_dropout", "classifier_dropout")
V, PAD, END = 23, 1, 2


def model_of(kind=pyled.LEDForConditionalGeneration, dtype="float64", seed=0, **changed):
    """A small odd model: unequal depths and heads, norms that are not 1, biases that are not 0."""
    values = {
        "vocab_size": V, "d_model": 12, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2,
        "decoder_attention_heads": 4, "encoder_ffn_dim": 7, "decoder_ffn_dim": 9, "attention_window": [2, 4],
        "max_encoder_position_embeddings": 24, "max_decoder_position_embeddings": 24, "init_std": 0.4,
        **dict.fromkeys(RATES, 0.0), **changed,
    }  # fmt: skip
    model, rng = kind(LEDConfig(**values), seed, dtype=dtype), np.random.default_rng(seed)
    tensors = {name: array + 0.3 * rng.standard_normal(array.shape) for name, array in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        tensors |= {
            name: tensors["led.shared.weight"] for name in tensors if "embed_tokens" in name or "lm_head.w" in name
        }
    model.load_state_dict(tensors)
    return model


def batch_of(seed, lengths=(9, 5, 7), T=6, *, holes=False, counted=None):
    """Arguments of a call: documents of several lengths, with global tokens, each with an end token."""
    rng, S, B = np.random.default_rng(seed), max(lengths), len(lengths)
    mask = (np.arange(S) < np.array(lengths)[:, None]).astype(np.int64)
    ids = np.where(mask == 1, rng.integers(3, V, (B, S)), PAD)
    ids[np.arange(B), np.array(lengths) - 1] = END
    if holes:
        mask[0, 2] = 0
    labels = rng.integers(3, V, (B, T))
    labels[0, 1:2] = labels[-1, -3:] = -100
    labels[0, 2:3] = PAD
    labels[:, counted or T :] = -100
    return {
        "input_ids": ids, "attention_mask": mask, "labels": labels,
        "global_attention_mask": (rng.random((B, S)) < 0.3).astype(np.int64) * mask,
    }  # fmt: skip


def loss_of_definition(weights, model, arguments, targets, smoothing=0.0):
    """The loss of a batch, from the definition's logits of each document alone."""
    ids, mask = arguments["input_ids"], arguments["attention_mask"]
    inputs = arguments.get("decoder_input_ids")
    if inputs is None:
        source = targets["labels"] if model.head == "lm" else ids
        inputs = np.stack([reference.shift_right(row, END, PAD) for row in source])
    of_head = {"lm": reference.lm_logits, "qa": reference.qa_logits, "classification": reference.classification_logits}
    logits = []
    for b in range(len(ids)):
        head = of_head[model.head]
        if model.head == "classification":
            head = functools.partial(head, end=int(np.flatnonzero(ids[b] == END)[-1]))
        is_target = arguments.get("decoder_attention_mask")
        # subtle: a document is run at the length of its mask where that is a prefix, else in full.
        length = mask[b].sum() if mask[b].any() and mask[b, : mask[b].sum()].all() else len(mask[b])
        logits.append(reference.forward(
            ids[b, :length], inputs[b], mask[b, :length] == 1, arguments["global_attention_mask"][b, :length] == 1,
            weights, model.config, target_is_real=None if is_target is None else is_target[b] == 1, head=head,
        ))  # fmt: skip
    logits = np.stack(logits)
    if model.head == "qa":
        return reference.span_loss(
            logits[:, :, 0], logits[:, :, 1], targets["start_positions"], targets["end_positions"]
        )
    labels = np.asarray(targets["labels"])
    if model.config.problem_type == "regression":
        return reference.squared_error(logits, labels.reshape(logits.shape))
    if model.config.problem_type == "multi_label_classification":
        return reference.binary_cross_entropy(logits, labels)
    loss = reference.loss(logits, labels)
    if not smoothing:
        return loss
    counted = logits[labels != -100]
    log_probs = counted - np.log(np.exp(counted).sum(axis=1, keepdims=True))
    return (1 - smoothing) * loss - smoothing * log_probs.mean()


def assert_gradients(model, arguments, targets, smoothing=0.0, step=1e-5, **more):
    """Hold the loss, and a derivative for each weight, along its gradient and a random direction, to the definition."""
    loss, gradients = model.loss_and_gradients(**arguments, **targets, label_smoothing=smoothing, **more)
    definition = lambda weights: loss_of_definition(weights, model, arguments, targets, smoothing)  # noqa: E731
    assert_within("loss", loss, np.array(definition(model.weights)), 0.0)
    rng, uses = np.random.default_rng(1), {}
    for name, array in model.weights.items():
        uses.setdefault(id(array), []).append(name)
    for names in uses.values():
        array, gradient = model.weights[names[0]], gradients.get(upstream_name(names[0], model.head))
        direction = rng.standard_normal(array.shape)
        direction /= np.linalg.norm(direction)
        if gradient is not None and gradient.any():
            direction += gradient / np.linalg.norm(gradient)
        near, far = (
            [definition({**model.weights, **{name: array + h * moving(name, direction) for name in names}}) for h in hs]
            for hs in ((step, -step), (2 * step, -2 * step))
        )
        slope = (8 * (near[0] - near[1]) - (far[0] - far[1])) / (12 * step)
        computed = 0.0 if gradient is None else (gradient * direction).sum()
        # The difference errs by step^4 times the fifth derivative, and by the rounding of losses over the step.
        assert abs(slope - computed) < 1e-8 * max(1, abs(slope)), (names, slope, computed)
    return loss, gradients


def moving(name, direction):
    """The direction in which a use of a weight moves: the row of padding stays where it is looked up."""
    if "embed_tokens" not in name:
        return 0 if name == "final_logits_bias" else direction
    return np.where(np.arange(len(direction))[:, None] == PAD, 0, direction)


LM, QA, CLASSES = (
    pyled.LEDForConditionalGeneration, pyled.LEDForQuestionAnswering, pyled.LEDForSequenceClassification
)  # fmt: skip
MASKED = np.array([[0, 0, 1, 1, 0, 1], [1, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]])  # rows without any key, in two texts


def hidden_source(arguments):
    """The same call, with a document of which nobody sees anything."""
    is_seen = np.array([[1], [0], [1]])
    return {**arguments, **{name: arguments[name] * is_seen for name in ("attention_mask", "global_attention_mask")}}


@pytest.mark.parametrize(
    ("changed", "arguments", "smoothing"),
    [
        ({}, batch_of(0), 0.0),
        ({"tie_word_embeddings": False, "activation_function": "relu"}, batch_of(1, holes=True), 0.3),
        ({"activation_function": "silu"}, {**batch_of(2, counted=4), "decoder_attention_mask": MASKED}, 0.0),
        ({"decoder_layers": 1, "encoder_layers": 3, "attention_window": 2}, hidden_source(batch_of(3)), 0.0),
        ({"decoder_layers": 3, "encoder_layers": 1, "attention_window": 2}, batch_of(4, (24,), 20), 0.3),
        ({}, {**batch_of(5, (3, 4), 1), "labels": np.array([[7], [9]]), "decoder_attention_mask": [[0], [1]]}, 0.0),
    ],
)
def test_language_head(changed, arguments, smoothing):
    arguments = dict(arguments)
    targets = {"labels": arguments.pop("labels")}
    assert_gradients(model_of(**changed), arguments, targets, smoothing)


def test_question_answering():
    arguments = batch_of(6)
    del arguments["labels"]
    targets = {"start_positions": np.array([-3, 2, 9]), "end_positions": np.array([4, 30, 8])}
    assert_gradients(model_of(QA, seed=6), arguments, targets)


@pytest.mark.parametrize(
    ("changed", "labels"),
    [
        ({"num_labels": 3, "problem_type": "single_label_classification"}, [2, -100, 0]),
        ({"num_labels": 3, "problem_type": "multi_label_classification"}, [[0, 1, 1], [0.5, 0, 0], [0, 0, 1]]),
        ({"num_labels": 3, "problem_type": "regression"}, np.arange(9.0).reshape(3, 3)),
        ({"num_labels": 1, "problem_type": "regression"}, [0.5, -2, 7]),
    ],
)
def test_classification(changed, labels):
    arguments = batch_of(7)
    del arguments["labels"]
    assert_gradients(model_of(CLASSES, seed=7, **changed), arguments, {"labels": np.array(labels)})


def test_classes_are_smoothed():
    arguments = batch_of(7)
    del arguments["labels"]
    model = model_of(CLASSES, seed=7, num_labels=3, problem_type="single_label_classification")
    assert_gradients(model, arguments, {"labels": np.array([2, -100, 0])}, smoothing=0.2)


def rates(**changed):
    return {**dict.fromkeys(RATES, 0.3), "encoder_layerdrop": 0.2, "decoder_layerdrop": 0.2, **changed}


def assert_same_bits(one, other):
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def whole(model, arguments, **more):
    loss, gradients = model.loss_and_gradients(**arguments, **more)
    return {"loss": loss, **gradients}


@pytest.mark.parametrize("kind", [LM, QA, CLASSES])
def test_with_dropout_a_gradient_is_that_of_the_loss_with_the_same_numbers_dropped(kind):
    # untied, or else padding's row would move where it is looked up, too
    model, arguments = model_of(kind, num_labels=2, tie_word_embeddings=False, **rates()).train(), batch_of(8)
    if kind is not LM:
        del arguments["labels"]
        targets = {QA: ("start_positions", "end_positions"), CLASSES: ("labels",)}[kind]
        arguments |= {name: np.array([0, 1, 1]) for name in targets}
    loss, gradients = model.loss_and_gradients(**arguments, seed=5)
    assert loss != model.loss_and_gradients(**arguments, seed=6)[0] != model(**arguments).loss
    assert model.eval().loss_and_gradients(**arguments)[0] == pytest.approx(model(**arguments).loss, rel=1e-12)
    directions = {name: gradient / np.linalg.norm(gradient) for name, gradient in gradients.items() if gradient.any()}
    state, step, losses = model.state_dict(), 3e-6, []
    for h in (step, -step, 2 * step, -2 * step):
        model.load_state_dict({name: array + h * directions.get(name, 0) for name, array in state.items()})
        losses.append(model.loss_and_gradients(**arguments, training=True, seed=5)[0])
    slope = (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * step)
    tied = {id(gradients[name]): np.sum(gradients[name] * directions[name]) for name in directions}
    assert slope == pytest.approx(sum(tied.values()), rel=1e-8)


@pytest.mark.parametrize("T", [6, 16, 20])  # 16 is the most of few rows
def test_what_is_kept_changes_no_bit(T):
    model, arguments = model_of(dtype="float32", decoder_layers=3, **rates()), batch_of(9, T=T)
    kept = whole(model, arguments, training=True)
    for policy in ("recompute", "selective"):
        model.gradient_checkpointing_enable(policy)
        assert_same_bits(kept, whole(model, arguments, training=True))
    model.gradient_checkpointing_disable()
    assert model.checkpointing == "keep"


def test_parts_of_a_batch_add_up_to_the_whole():
    model, arguments = model_of(**rates()), batch_of(10)
    labels = arguments["labels"]
    together, added = whole(model, arguments, training=True), {}
    for rows in (slice(0, 1), slice(1, 3)):
        part = {name: array[rows] for name, array in arguments.items()}
        count = np.count_nonzero(labels != -100)
        for name, array in whole(model, part, training=True, first_document=rows.start, count=count).items():
            added[name] = added.get(name, 0) + array
    assert together.keys() == added.keys() and together["loss"] != whole(model, arguments)["loss"]
    for name, truth in together.items():
        assert_within(name, added[name], truth, 0.0)


def test_rows_behind_the_last_label_cost_nothing():
    model, arguments, stages = model_of(), batch_of(11), Stages(lambda name: name == "decoder.embed_tokens")
    longer = {**arguments, "labels": np.pad(arguments["labels"], ((0, 0), (0, 9)), constant_values=-100)}
    assert_same_bits(whole(model, arguments), whole(model, longer, see=stages))
    assert stages["decoder.embed_tokens"].shape == (3, 6, 12)
    # but where a token has no key: it attends to all of them
    longer["decoder_attention_mask"] = np.pad(MASKED, ((0, 0), (0, 9)), constant_values=1)
    assert model.loss_and_gradients(**longer, see=None)[0] == pytest.approx(model(**longer).loss, rel=1e-12)


def test_logits_in_blocks(monkeypatch):
    """Blocks of four rows and a rest: the same, whatever the blocks are."""
    model, arguments, stages = model_of(), batch_of(16), Stages(lambda name: name == "logits")
    together = whole(model, arguments, see=stages)
    monkeypatch.setattr(heads, "LOGITS", 4 * V + 1)
    for name, array in whole(model, arguments).items():
        assert_within(name, array, np.asarray(together[name]), 0.0)
    is_counted = arguments["labels"] != -100
    assert stages["logits"].shape == (3, 6, V) and not stages["logits"][~is_counted].any()


def test_a_batch_without_labels():
    model, arguments = model_of(), batch_of(12)
    arguments["labels"] = np.full((3, 4), -100)
    loss, gradients = model.loss_and_gradients(**arguments)
    assert np.isnan(loss) and not any(gradient.any() for gradient in gradients.values())
    assert model.loss_and_gradients(**arguments, count=3)[0] == 0


OF_DECODER = ("led.decoder.", "lm_head")


def test_what_is_frozen_is_not_differentiated(monkeypatch):
    """The encoder then is a constant. Of tied embeddings, what the decoder and the head do with them counts."""
    model, arguments = model_of(tie_word_embeddings=False, decoder_layers=3), batch_of(13)
    _, of_all = model.loss_and_gradients(**arguments)
    _, of_encoder = model.loss_and_gradients(**arguments, trained=lambda name: "encoder.layers" in name)
    assert_same_bits(of_encoder, {name: array for name, array in of_all.items() if "encoder.layers" in name})
    monkeypatch.setattr(pyled.gradients.model, "encoder", None)  # who calls it fails
    of_layers = {
        OF_DECODER: 3,
        "led.decoder.layers.1.fc2": 2,
        "led.decoder.layers.2.encoder_attn.k_proj": 1,
        "lm_head": 0,
    }
    for starts, layers in of_layers.items():
        stages = Stages()
        _, some = model.loss_and_gradients(**arguments, trained=lambda name: name.startswith(starts), see=stages)  # noqa: B023
        assert some.keys() == {name for name in of_all if name.startswith(starts)}
        for name, array in some.items():
            assert_within(name, array, of_all[name], 0.0)
        assert sum(name.endswith(".final_layer_norm") for name in stages) == layers


def test_tied_embeddings_count_under_the_names_that_are_trained():
    tied, arguments = model_of(), batch_of(14)
    state = tied.state_dict()
    untied = model_of(tie_word_embeddings=False)
    untied.load_state_dict({name: array.copy() for name, array in state.items()})
    _, apart = untied.loss_and_gradients(**arguments)
    _, some = tied.loss_and_gradients(**arguments, trained=lambda name: name.startswith(OF_DECODER))
    both = apart["led.decoder.embed_tokens.weight"] + apart["lm_head.weight"]
    assert some["lm_head.weight"] is some["led.decoder.embed_tokens.weight"] and "led.shared.weight" not in some
    assert_within("decoder and head", some["lm_head.weight"], both, 0.0)
    of_encoder = apart["led.encoder.embed_tokens.weight"]
    for also in ((), ("led.shared.weight",)):  # which has no use of its own
        names = {"led.encoder.embed_tokens.weight", *also}
        _, some = tied.loss_and_gradients(**arguments, trained=names.__contains__)
        assert some.keys() == names
        assert_within("encoder", some["led.encoder.embed_tokens.weight"], of_encoder, 0.0)
    _, of_all = tied.loss_and_gradients(**arguments)
    _, alone = tied.loss_and_gradients(**arguments, trained=lambda name: name == "led.shared.weight")
    assert alone.keys() == {"led.shared.weight"}
    assert np.array_equal(alone["led.shared.weight"], of_all["led.shared.weight"])
    assert_within("all", of_all["led.shared.weight"], both + of_encoder, 0.0)
    assert (
        len({id(of_all[name]) for name in of_all if "shared" in name or "embed_tokens" in name or "head" in name}) == 1
    )


def test_what_no_path_reaches_has_no_gradient():
    model, arguments = model_of(tie_word_embeddings=False), batch_of(15)
    arguments["global_attention_mask"] = None
    arguments["inputs_embeds"] = model.state_dict()["led.encoder.embed_tokens.weight"][arguments.pop("input_ids")]
    _, gradients = model.loss_and_gradients(**arguments)
    absent = model.state_dict().keys() - gradients.keys()
    assert absent == {"led.shared.weight", "led.encoder.embed_tokens.weight", "final_logits_bias"} | {
        name for name in model.state_dict() if "_global" in name
    }
    assert not gradients["led.decoder.embed_tokens.weight"][PAD].any()  # torch's padding_idx
    assert gradients["lm_head.weight"][PAD].any()

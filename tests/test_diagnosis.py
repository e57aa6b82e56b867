"""Known mistakes in a port that was not made from the definition are named, and others are not."""

import functools
import re

import numpy as np
import pytest
from budget import err
from numpy_port import Port, to_bfloat16
from test_reference import run, target_ids

import golden
from pyled import reference
from pyled.errors import PyledWarning
from pyled.porting import diagnosis
from pyled.porting.comparing import check
from pyled.porting.diagnosis import diagnose
from pyled.porting.mistakes import MISTAKES
from pyled.porting.replay import ANYWHERE, RUN, Replay
from pyled.porting.stages import stages_of

GRANULARITIES = {
    "everything": lambda name: True,
    "modules": lambda name: not name.endswith((".scores", ".probs", ".context")),
    "layers": lambda name: name.endswith(("final_layer_norm", "layernorm_embedding", "logits")),
    "logits": lambda name: name == "logits",
}

# What the port has wrong, where it shows in a dump of all modules' results, and the model and inputs on which.
ATTENTION, LAYER = "encoder.layers.0.self_attn.longformer_self_attn", "encoder.layers.0"
SELF, CROSS = "decoder.layers.0.self_attn", "decoder.layers.0.encoder_attn"
SHOWN = {
    "position-offset-2": ("encoder.embed_positions", "pattern-far"),
    "position-offset-1": ("encoder.embed_positions", "pattern-far"),
    "position-missing": ("encoder.layernorm_embedding", "pattern-far"),
    "embedding-scale": ("encoder.layernorm_embedding", "pattern-far"),
    "embedding-norm-missing": ("encoder.layernorm_embedding", "pattern-far"),
    "embedding-norm-first": ("encoder.layernorm_embedding", "pattern-far"),
    "variance-unbiased": ("encoder.layernorm_embedding", "pattern-far"),
    "epsilon-wrong": ("encoder.layernorm_embedding", "pattern-far"),
    "epsilon-outside-root": ("encoder.layernorm_embedding", "pattern-far"),
    "mean-not-subtracted": ("encoder.layernorm_embedding", "pattern-far"),
    "norm-weight-missing": ("encoder.layernorm_embedding", "pattern-far"),
    "norm-bias-missing": ("encoder.layernorm_embedding", "pattern-far"),
    "weights-in-float16": ("encoder.embed_tokens", "pattern-far"),
    "weights-in-bfloat16": ("encoder.embed_tokens", "pattern-far"),
    "products-in-bfloat16": (f"{ATTENTION}.query", "pattern-far"),
    "float16-accumulation": (f"{ATTENTION}.query", "pattern-far"),
    "bias-missing": (f"{ATTENTION}.query", "pattern-far"),
    "weight-transposed": (f"{ATTENTION}.query", "pattern-far"),
    "query-key-swapped": (f"{ATTENTION}.query", "pattern-far"),
    "value-output-swapped": (f"{ATTENTION}.value", "pattern-far"),
    "value-is-key": (ATTENTION, "pattern-far"),
    "weights-of-first-layer": ("encoder.layers.1.self_attn.longformer_self_attn.query", "windows-far"),
    "heads-interleaved": (ATTENTION, "pattern-far"),
    "heads-not-transposed": (ATTENTION, "pattern-far"),
    "scale-missing": (ATTENTION, "pattern-far"),
    "scale-twice": (ATTENTION, "pattern-far"),
    "scale-by-model-size": (ATTENTION, "pattern-far"),
    "scale-before-bias": (ATTENTION, "pattern-far"),
    "global-scale-missing": (ATTENTION, "pattern-far"),
    "global-missing": (f"{ATTENTION}.query_global", "pattern-far"),
    "global-everywhere": (f"{ATTENTION}.query_global", "pattern-far"),
    "global-columns-missing": (ATTENTION, "pattern-far"),
    "global-columns-twice": (ATTENTION, "pattern-far"),
    "global-query-local": (ATTENTION, "pattern-far"),
    "global-query-first": (f"{ATTENTION}.query_global", "pattern-far"),
    "global-projection-query": (f"{ATTENTION}.query_global", "pattern-far"),
    "global-projection-key": (f"{ATTENTION}.key_global", "pattern-far"),
    "global-projection-value": (f"{ATTENTION}.value_global", "pattern-far"),
    "global-mask-missing": (ATTENTION, "pattern-suffix"),
    "band-one-short": (ATTENTION, "pattern-far"),
    "band-one-long": (ATTENTION, "pattern-far"),
    "window-one-sided": (ATTENTION, "pattern-far"),
    "window-not-halved": (ATTENTION, "pattern-far"),
    "window-of-first-layer": ("encoder.layers.1.self_attn.longformer_self_attn", "windows-none"),
    "mask-at-document-end": (ATTENTION, "pattern-far"),
    "mask-on-padding-keys": (ATTENTION, "pattern-holes"),
    "mask-on-padding-queries": (ATTENTION, "pattern-holes"),
    "mask-inverted": (f"{ATTENTION}.query_global", "pattern-suffix"),
    "probs-over-band-only": (ATTENTION, "pattern-far"),
    "output-projection-missing": (f"{LAYER}.self_attn.output", "pattern-far"),
    "norm-before": (f"{LAYER}.self_attn_layer_norm", "pattern-far"),
    "norm-missing": (f"{LAYER}.self_attn_layer_norm", "pattern-far"),
    "norms-swapped": (f"{LAYER}.self_attn_layer_norm", "pattern-far"),
    "residual-missing": (f"{LAYER}.self_attn_layer_norm", "pattern-far"),
    "residual-of-layer": (f"{LAYER}.final_layer_norm", "pattern-far"),
    "gelu-tanh": (f"{LAYER}.activation_fn", "pattern-far"),
    "gelu-quick": (f"{LAYER}.activation_fn", "pattern-far"),
    "gelu-before-bias": (f"{LAYER}.activation_fn", "pattern-far"),
    "gelu-erf-unscaled": (f"{LAYER}.activation_fn", "pattern-far"),
    "activation-relu": (f"{LAYER}.activation_fn", "pattern-far"),
    "activation-missing": (f"{LAYER}.activation_fn", "pattern-far"),
    "layer-missing": (f"{CROSS}.k_proj", "pattern-far"),
    "decoder-start-token": ("decoder.embed_tokens", "labels"),
    "causal-mask-off-by-one": (f"{SELF}.out_proj", "decoder-6"),
    "causal-mask-missing": (f"{SELF}.out_proj", "decoder-6"),
    "causal-mask-without-itself": (f"{SELF}.out_proj", "decoder-6"),
    "decoder-mask-missing": (f"{SELF}.out_proj", "decoder-mask"),
    "decoder-scale-missing": (f"{SELF}.out_proj", "decoder-6"),
    "softmax-over-queries": (f"{SELF}.out_proj", "decoder-6"),
    "query-shown-scaled": (f"{SELF}.q_proj", "decoder-6"),
    "row-without-keys": (f"{SELF}.out_proj", "decoder-no-key"),
    "cross-mask-missing": (f"{CROSS}.out_proj", "decoder-batch"),
    "cross-value-is-key": (f"{CROSS}.v_proj", "decoder-6"),
    "cross-norm-of-self": ("decoder.layers.0.encoder_attn_layer_norm", "decoder-6"),
    "lm-head-transposed": ("lm_head", "decoder-6"),
    "logits-bias-missing": ("logits", "decoder-6"),
}
RIGHT = ["length-tall-1", "pattern-uneven", "pattern-holes", "pattern-suffix", "windows-far", "decoder-mask"]
RIGHT += ["decoder-no-key", "untied", "activation-quick_gelu"]


def stacked(arrays, count=0):
    """One array of those of all documents, with rows of 0 behind those that have fewer."""
    G = max(count, *(len(array) for array in arrays)) if arrays[0].ndim else 0
    return np.stack([np.concatenate([x, np.zeros((G - len(x), *x.shape[1:]))]) if x.ndim else x for x in arrays])


@functools.cache
def traced(case_name):
    """The inputs of a case, what the definition computes of them, and the weights."""
    case = golden.load(case_name)
    B = case.source_shape[0]
    inputs = {**case.inputs, "decoder_input_ids": np.stack([target_ids(case, b) for b in range(B)])}
    if "labels" in inputs:  # the last one is no input of the decoder
        inputs["labels"] = np.concatenate([inputs["labels"][:, :-1], np.full((B, 1), case.config.pad_token_id)], axis=1)
    truth = {f"in.{name}": array for name, array in inputs.items()}
    documents = [run(case, b, np.float64) for b in range(B)]
    for name in documents[0]:
        truth[name] = stacked([seen[name] for seen in documents])
    if "labels" in inputs and "logits" in truth:
        truth["loss"] = np.float64(reference.loss(truth["logits"], inputs["labels"]))
    weights = {name.removeprefix("led."): array for name, array in case.weights(np.float64).items()}
    return case, inputs, truth, weights


def first_outside(theirs, truth, case, inputs, budget):
    """The first stage that is outside its budget, in the order of computation."""
    for stage in stages_of(case.config, inputs):
        if stage.name in theirs and truth[stage.name].dtype.kind == "f":
            x, t = (np.nan_to_num(array[stage.name], neginf=-1e9) for array in (theirs, truth))
            if x.shape != t.shape or not err(*(np.where(x == t, 0, y) for y in (x, t))) <= budget(stage.name):
                return stage.name
    return None


def examined(case_name, granularity="modules", dtype=np.float32, dumped_as=np.float64, **port):
    """The first stage that a port has wrong, and the names of the mistakes that explain it."""
    case, inputs, truth, weights = traced(case_name)
    dump = Port(weights, case.config, dtype, **port).run(inputs)
    return explained(
        case, inputs, truth, weights, {n: x for n, x in dump.items() if GRANULARITIES[granularity](n)}, dtype
    )


def explained(case, inputs, truth, weights, dump, dtype=np.float32, coarser=1):
    """The first stage of a dump that is wrong, and the names of the mistakes that explain it."""
    theirs = {name: array.astype(np.float64) for name, array in dump.items()}
    floor, errors = 1e-10 if dtype == np.float64 else 0, case.float32_error
    first = first_outside(theirs, truth, case, inputs, lambda n: floor or coarser * 2 * max(errors.get(n, 0), 1e-6))
    if first is None:
        return None, []
    return first, [mistake.name for mistake in diagnose(first, theirs, truth, weights, case.config, errors)]


@pytest.mark.parametrize("mistake", SHOWN)
def test_a_mistake_of_a_port_is_found_and_named(mistake):
    stage, case_name = SHOWN[mistake]
    first, names = examined(case_name, mistakes=[mistake])
    assert (first, names[:1]) == (stage, [mistake]), names


@pytest.mark.parametrize("mistake", [name for name in SHOWN if name != "query-shown-scaled"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_it_is_named_by_the_results_of_layers_alone(mistake, dtype):
    stage, case_name = SHOWN[mistake]
    first, names = examined(case_name, "layers", dtype, mistakes=[mistake])
    part = re.sub(r"((?:en|de)coder(?:\.layers\.\d+)?)\..*", r"\1", stage)
    assert first.startswith(part) or stage == "lm_head", first
    assert names[:1] == [mistake], names


@pytest.mark.parametrize("mistake", ["gelu-tanh", "scale-twice", "position-offset-2", "norm-before", "bias-missing"])
def test_it_is_named_by_the_logits_alone(mistake):
    assert examined("pattern-far", "logits", mistakes=[mistake]) == ("logits", [mistake])


def test_places_alone_are_not_tried_for_minutes_where_no_layer_is_dumped(monkeypatch):
    case, inputs, truth, weights = traced("pattern-far")
    wrong = {"logits": truth["logits"] + np.random.default_rng(0).normal(size=truth["logits"].shape)}
    scopes, run_once = [], Replay.run

    def counted(replay, way=(), scope=ANYWHERE, stop=None):
        scopes.append(scope)
        return run_once(replay, way, scope, stop)

    monkeypatch.setattr(Replay, "run", counted)
    monkeypatch.setattr(diagnosis, "NARROW", 20 * RUN)
    with pytest.warns(PyledWarning, match="parts are too many to try every known mistake in each alone") as told:
        assert explained(case, inputs, truth, weights, wrong) == ("logits", [])
    everywhere = [scope for scope in scopes if scope == ANYWHERE]
    assert len(everywhere) > 200 and 0 < len(scopes) - len(everywhere) <= 21 and len(told) == 1


@pytest.mark.parametrize("granularity", ["modules", "layers"])
@pytest.mark.parametrize(
    ("mistake", "only", "case_name"),
    [
        ("bias-missing", "encoder.layers.1.fc2", "windows-far"),
        ("bias-missing", "decoder.layers.1.encoder_attn.v_proj", "decoder-6"),
        ("weight-transposed", "encoder.layers.2.self_attn.output", "windows-far"),
        ("gelu-tanh", "encoder.layers.1", "windows-far"),
        ("scale-twice", "decoder.layers.1.self_attn", "decoder-6"),
        ("window-not-halved", "encoder.layers.0", "windows-none"),
        ("epsilon-wrong", "decoder.layers.0.final_layer_norm", "decoder-6"),
        ("residual-missing", "decoder.layers.1.encoder_attn_layer_norm", "decoder-6"),
    ],
)
def test_it_is_named_where_it_is_in_one_place_alone(mistake, only, case_name, granularity):
    first, names = examined(case_name, granularity, mistakes=[mistake], only=only)
    assert ".".join(only.split(".")[:3]) in first
    assert names == [mistake]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case_name", RIGHT)
def test_a_port_without_mistakes_is_right(case_name, dtype):
    assert examined(case_name, "everything", dtype) == (None, [])


@pytest.mark.parametrize(("type_name", "coarser"), [("float16", 2**13), ("bfloat16", 2**16)])
@pytest.mark.parametrize("mistake", ["scale-missing", "norm-missing", "window-missing", "position-offset-2"])
def test_a_dump_of_16_bits_tells_a_mistake_that_is_large_enough(mistake, type_name, coarser):
    case, inputs, truth, weights = traced("pattern-far")
    dump = Port(weights, case.config, np.float32, [mistake]).run(inputs)
    narrow = {
        n: to_bfloat16(x) if type_name == "bfloat16" else x.astype(np.float16) for n, x in dump.items() if n != "logits"
    }
    first, names = explained(case, inputs, truth, weights, narrow, coarser=coarser)
    assert first is None or names[:1] == [mistake]


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + 1e-3 * np.random.default_rng(0).normal(size=x.shape),
        lambda x: x * 1.01,
        lambda x: x + 0.5,
        lambda x: np.roll(x, 1, axis=1),
        lambda x: 0 * x + 1,
        lambda x: x[..., ::-1],
        lambda x: np.where(np.arange(x.shape[-1]) == 3, 7, x),
    ],
)
@pytest.mark.parametrize("name", [f"{ATTENTION}.query", ATTENTION, f"{LAYER}.final_layer_norm", "logits"])
@pytest.mark.parametrize("granularity", ["modules", "layers"])
def test_what_is_not_in_the_list_is_not_named(name, change, granularity):
    case, inputs, truth, weights = traced("pattern-far")
    dump = Port(weights, case.config).run(inputs)
    dump = {n: change(x) if n == name else x for n, x in dump.items() if GRANULARITIES[granularity](n) or n == name}
    assert explained(case, inputs, truth, weights, dump) == (name, [])


@pytest.mark.parametrize("granularity", ["modules", "layers"])
@pytest.mark.parametrize(
    ("two", "case_name"),
    [
        (("scale-missing", "band-one-long"), "pattern-far"),
        (("variance-unbiased", "epsilon-outside-root"), "pattern-far"),
        (("bias-missing", "weight-transposed"), "pattern-far"),
        (("norm-missing", "residual-missing"), "pattern-far"),
        (("global-columns-missing", "heads-interleaved"), "pattern-far"),
        (("position-offset-2", "embedding-scale"), "pattern-far"),
    ],
)
def test_two_mistakes_at_one_stage_are_not_taken_for_a_third(two, case_name, granularity):
    _, names = examined(case_name, granularity, mistakes=two)
    assert set(names) <= set(two)


def test_the_decoders_input_is_diagnosed_and_other_inputs_and_gradients_are_not():
    case, inputs, truth, weights = traced("labels")
    ids = np.where(np.arange(truth["in.decoder_input_ids"].shape[1]) == 0, 0, truth["in.decoder_input_ids"])
    for first, names in (("in.decoder_input_ids", ["decoder-start-token"]), ("in.input_ids", []), ("grad.logits", [])):
        mistakes = diagnose(
            first, {**truth, "in.decoder_input_ids": ids}, truth, weights, case.config, case.float32_error
        )
        assert [mistake.name for mistake in mistakes] == names


def definition_as_port(case_name, way):
    """The arrays that the definition computes with a mistake in it."""
    case, inputs, truth, weights = traced(case_name)
    names = [stage.name for stage in stages_of(case.config, inputs) if not stage.name.startswith("in.")]
    replay = Replay({}, truth, weights, case.config, (), names, ())
    with np.errstate(all="ignore"):
        replay.run()
        arrays = replay.run(way)
    G = {name: truth[name].shape[1] for name in arrays if name.endswith("query_global")}
    dump = {name: stacked(x, G.get(name, 0)) if name != "loss" else x[0] for name, x in arrays.items()}
    return {name: array[:, : G[name]] if name in G else array for name, array in dump.items()}


OTHERS = {
    "key-value-swapped": "pattern-far", "softmax-base-2": "pattern-far", "global-columns-first": "pattern-far",
    "cross-mask-causal": "decoder-6", "gelu-half-missing": "pattern-far", "shift-missing": "labels",
    "shift-left": "labels", "shift-keeps-ignored": "labels-first-ignored",
    "global-first-only": "pattern-last", "mask-missing": "pattern-suffix", "position-of-mask": "pattern-holes",
    "position-of-encoder": "decoder-6", "embedding-tied": "untied", "weights-of-next-layer": "windows-far",
    "weights-of-previous-layer": "windows-far", "layers-reversed": "windows-far", "probs-transposed": "pattern-far",
    "global-columns-masked": "pattern-far", "global-columns-of-global-projection": "pattern-far",
    "global-projection-missing": "pattern-far", "global-projections-swapped": "pattern-far",
    "window-halved-twice": "windows-none", "window-of-largest": "windows-none", "window-missing": "pattern-far",
    "band-corners": "pattern-far", "band-mirrored": "pattern-far", "mask-is-zero": "pattern-far",
    "mask-after-softmax": "pattern-far", "causal-mask-reversed": "decoder-6", "cross-keys-of-one-layer": "decoder-6",
    "cross-keys-of-target": "decoder-6", "cross-projection-of-self": "decoder-6", "norm-root-missing": "pattern-far",
    "norm-over-tokens": "pattern-far", "norm-of-attention": "pattern-far", "final-norm-added": "pattern-far",
    "gelu-exact": "activation-gelu_new", "activation-silu": "pattern-far", "gelu-new-constant": "activation-gelu_new",
    "gelu-erf-approximate": "pattern-far", "lm-head-tied": "untied", "logits-scaled": "decoder-6",
    "logits-normed": "decoder-6", "ends-swapped": "qa", "classification-tanh-missing": "classification",
    "last-token": "classification", "loss-without-padding": "labels", "loss-counts-ignored": "labels",
    "loss-mean-of-means": "labels", "loss-of-documents": "labels", "loss-sum": "labels", "loss-shifted": "labels",
    "products-in-tf32": "pattern-far", "products-in-float16": "pattern-far",
    "probs-in-float16": "pattern-far", "probs-in-bfloat16": "pattern-far", "probs-in-float32": "pattern-far",
    "bfloat16-accumulation": "pattern-far",
}  # fmt: skip


def test_each_known_mistake_is_tried():
    exact = {"weights-in-float32"}  # as the weights of the cases are
    assert {*SHOWN, *OTHERS, *exact} == {mistake.name for mistake in MISTAKES}
    assert not {*SHOWN} & {*OTHERS}


@pytest.mark.parametrize("mistake", OTHERS)
def test_a_mistake_in_the_definition_is_named(mistake):
    case, inputs, truth, weights = traced(OTHERS[mistake])
    (ways,) = (one.ways for one in MISTAKES if one.name == mistake)
    dump = definition_as_port(OTHERS[mistake], ways[0])
    first, names = explained(case, inputs, truth, weights, dump, np.float64)
    assert mistake in names, (first, names)


class ByModules(Port):
    """What hooks on modules show: of a norm its own output, before a residual is added."""

    def added(self, x, y, name):
        return x + self.shows(name, self.norm(y, name))


class NormedBefore(Port):
    """GPT-2's order, as hooks on modules show it."""

    def normed(self, x, name):
        return self.shows(name, self.norm(x, name))

    def added(self, x, y, name):
        return x + y

    def feed(self, x, name):
        return super().feed(self.normed(x, f"{name}.final_layer_norm"), name)

    def encoder_attention(self, x, w, real, is_global, name):
        return super().encoder_attention(self.normed(x, f"{name}_layer_norm"), w, real, is_global, name)

    def decoder_attention(self, x, source, seen, name):
        normed = self.normed(x, f"{name}_layer_norm")
        return super().decoder_attention(normed, normed if source is x else source, seen, name)


class GlobalsApart(Port):
    """A port whose code for the rows of global tokens is another, and right."""

    def global_rows(self, context, x, real, is_global, *rest):
        mistakes, self.mistakes = self.mistakes, ()
        super().global_rows(context, x, real, is_global, *rest)
        self.mistakes = mistakes
        rows = context[is_global]  # which are joined as others are
        context[is_global] = rows.reshape(len(rows), *rows.shape[:0:-1]).swapaxes(1, 2)


class OfTarget(Port):
    """Its cross-attention reads the decoder's states; its dump has as many rows as the truth."""

    def decoder_attention(self, x, source, seen, name):
        output = super().decoder_attention(x, x, np.tri(x.shape[1], dtype=bool)[None], name)
        for part in ("k_proj", "v_proj"):
            self.dump[f"{name}.{part}"] = self.dump[f"{name}.{part}"][:, : source.shape[1]]
        return output


@pytest.mark.parametrize(
    ("kind", "mistakes", "case_name", "granularity", "stage", "name"),
    [
        (ByModules, [], "pattern-far", "modules", f"{LAYER}.self_attn_layer_norm", "norm-before"),
        (NormedBefore, [], "pattern-far", "layers", f"{LAYER}.final_layer_norm", "norm-before"),
        (GlobalsApart, ["heads-interleaved"], "pattern-far", "modules", ATTENTION, "heads-interleaved"),
        (OfTarget, [], "decoder-6", "modules", f"{CROSS}.k_proj", "cross-keys-of-target"),
    ],
)
def test_a_mistake_shows_in_a_port_of_another_build(kind, mistakes, case_name, granularity, stage, name):
    case, inputs, truth, weights = traced(case_name)
    dump = kind(weights, case.config, mistakes=mistakes).run(inputs)
    dump = {n: x for n, x in dump.items() if GRANULARITIES[granularity](n)}
    assert explained(case, inputs, truth, weights, dump) == (stage, [name])


@pytest.mark.parametrize("mistake", ["global-query-first", "global-projection-query"])
def test_global_queries_are_laid_out_as_the_others_where_there_are_as_many_as_documents(mistake):
    case, inputs, truth, weights = traced("pattern-holes")  # two documents, one with two global tokens
    dump = Port(weights, case.config, mistakes=[mistake]).run(inputs)
    dump = {n: x.swapaxes(0, 1) if ".longformer_self_attn." in n else x for n, x in dump.items()}
    dump = {n: x for n, x in dump.items() if GRANULARITIES["modules"](n)}
    about = {"config": case.config.to_dict(), "float32_error": case.float32_error}
    report = check(dump, truth, about=about, weights=weights)
    assert (report.first, report.mistakes[:1]) == (f"{ATTENTION}.query_global", [mistake])


@pytest.mark.parametrize("mistake", ["mask-on-padding-keys", "mask-at-document-end", "global-mask-missing"])
@pytest.mark.parametrize("granularity", ["modules", "layers"])
def test_a_mask_that_is_forgotten_on_padding_which_the_port_itself_appends(mistake, granularity):
    case, inputs, truth, weights = traced("pattern-far")  # 11 tokens, and windows of 4
    ids = inputs["input_ids"]
    S, padding = ids.shape[1], ((0, 0), (0, 1))
    longer = {
        "input_ids": np.pad(ids, padding, constant_values=case.config.pad_token_id),
        "attention_mask": np.pad(np.ones_like(ids), padding),
        "global_attention_mask": np.pad(inputs["global_attention_mask"], padding),
    }
    dump = Port(weights, case.config, mistakes=[mistake]).run({**inputs, **longer})
    dump = {n: x[:, :S] if x.shape[1] == S + 1 else x for n, x in dump.items() if GRANULARITIES[granularity](n)}
    first, names = explained(case, inputs, truth, weights, dump)
    assert first == (ATTENTION if granularity == "modules" else f"{LAYER}.final_layer_norm")
    assert names[:1] == [mistake]


def test_the_decoders_query_and_key_are_taken_for_each_other_behind_their_projections():
    case, inputs, truth, weights = traced("decoder-6")
    dump = Port(weights, case.config, mistakes=["query-key-swapped"], only=SELF).run(inputs)
    dump = {n: x for n, x in dump.items() if GRANULARITIES["modules"](n)}
    q, k = f"{SELF}.q_proj", f"{SELF}.k_proj"
    dump[q], dump[k] = dump[k], dump[q]
    assert explained(case, inputs, truth, weights, dump) == (f"{SELF}.out_proj", ["query-key-swapped"])


def test_wrong_ids_of_the_decoder_are_explained_as_a_stage_is_and_right_ones_do_not_hide_what_embeds_others():
    case, inputs, truth, weights = traced("labels")
    labels = inputs["labels"]
    for mistake, ids in (
        ("decoder-start-token", np.where(np.arange(labels.shape[1]) == 0, 0, inputs["decoder_input_ids"])),
        ("shift-missing", np.where(labels == -100, case.config.pad_token_id, labels)),
    ):
        dump = Port(weights, case.config).run({**inputs, "decoder_input_ids": ids})
        dump = {n: x for n, x in dump.items() if GRANULARITIES["modules"](n)}
        about = {"config": case.config.to_dict(), "float32_error": case.float32_error}
        for shown, first in ((ids, "in.decoder_input_ids"), (inputs["decoder_input_ids"], "decoder.embed_tokens")):
            theirs = {**dump, "in.decoder_input_ids": shown}
            report = check(theirs, truth, about=about, weights=weights)
            if mistake == "decoder-start-token" or first == "decoder.embed_tokens":
                assert (report.first, report.mistakes) == (first, [mistake])

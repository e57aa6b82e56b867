"""The port in C, `port/led.c`: it passes the kit, and mistakes that are put into it are named at the right stage."""

import json
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from pyled.porting import kit
from pyled.porting.comparing import check
from pyled.porting.dumps import read
from pyled.porting.mistakes import MISTAKES
from pyled.porting.truths import truth_for

SOURCE = Path(__file__).parent / "port" / "led.c"
COMPILER = shutil.which("cc") or shutil.which("gcc")
pytestmark = pytest.mark.skipif(COMPILER is None, reason="there is no C compiler on the PATH, neither cc nor gcc")


def build(source, program, *flags):
    """Compile a source for a program beside it."""
    command = [COMPILER, "-std=c99", *flags, "-o", str(program), str(source), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return program


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A kit of the tiny size."""
    folder = tmp_path_factory.mktemp("kit") / "tiny"
    kit.write_kit(folder)
    return folder


@pytest.mark.parametrize("flags", [(), ("-DLED_FLOAT32",)], ids=["float64", "float32"])
def test_the_port_passes_the_kit(tiny, tmp_path, flags):
    program = build(SOURCE, tmp_path / "led", "-O2", "-Wall", "-Wextra", "-Werror", *flags)
    command = [sys.executable, "-m", "pyled", "kit", "run", "--kit", str(tiny), "--format", "json", "--", str(program)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    verdicts = Counter((one["part"], one["verdict"]) for one in json.loads(done.stdout)["cases"])
    parts = {part for part, _ in verdicts}
    assert parts == set(kit.PARTS)
    assert set(verdicts) == {(part, "not done" if part == "tokenize" else "passed") for part in parts}


SCORES, ATTENTION = "encoder.layers.0.self_attn.scores", "encoder.layers.0.self_attn.longformer_self_attn"
SELF, CROSS = "decoder.layers.0.self_attn", "decoder.layers.0.encoder_attn"
NORM, ACTIVATION = "encoder.layernorm_embedding", "encoder.layers.0.activation_fn"
SEEN = "seen[j] = (labs(i - j) <= w || is_global[i] || is_global[j]) && is_real[i] && is_real[j];"
DOT = "dot(q + n * D, k + j * E + n * D, D) * scale"
PLACE = "side->position_table + (first + i % N) * E"
OF_LAYER = 'layer->final_norm = make_norm(model, name, ".final_layer_norm");'
VALUES = "values = v_global + b * S * E;"
ROWS = "of_query = q_global + (b * G + g++) * E;"
GELU = "case GELU: return x * (1 + erf(x * 0.70710678118654752440)) / 2;\n    case GELU_TANH"
TANH = "case GELU_TANH: return x * (1 + tanh(root * (x + 0.044715 * x * x * x))) / 2;"
EXTENT = "layer->window = (long)(both / 2);"
CAUSAL = "j <= past + i"
ROOT = "factor = (real)(1 / sqrt((double)(variance / (real)E) + 1e-5));"
AFFINE = "z[i] = z[i] * norm->weight[i % E] + norm->bias[i % E];"
LINEAR = (
    "y[i * l->outputs + m] = dot(x + i * l->inputs, l->weight + m * l->inputs, l->inputs) + (l->bias ? l->bias[m] : 0);"
)
QUERY = "real *q = shown_linear(&layer->self.query, h, B, S, out);"
TEXT = 'sprintf(text, "%llu/%s", (unsigned long long)model->seed, name);'
CELL = "made[i] = (real)(more + factor * (2.0 * (double)(z >> 52) - 4095) / 8192);"
CROSSED = 'make_decoder_attention(model, &layer->cross, name, ".encoder_attn");'
SHIFTED = "i % from->columns == 0 ? model->start : from->ids[i - 1]"
BEFORE_ROWS = "        for (i = g = 0; i < S; i++) {\n            long place"
GATHERED = "rows + (b * batch->G + g++) * E, x + (b * batch->S + i) * E, (size_t)E * sizeof(real));"
GLOBAL_QUERY = 'layer->global.query = make_linear(model, inner, ".query_global", E, E);'
MARKED = "batch.is_global[i] &= batch.is_real[i];"

# The name of a mistake; a case of the kit, and the stage at which it shows there; what stands in the source, and what
# comes in its place.
PUT = [
    ("gelu-tanh", "length-tall-5", ACTIVATION, GELU, "case GELU:\n    case GELU_TANH"),
    ("gelu-quick", "length-tall-5", ACTIVATION, GELU,
     "case GELU: return x / (1 + exp(-1.702 * x));\n    case GELU_TANH"),
    ("activation-relu", "length-tall-5", ACTIVATION, GELU, "case GELU: return x > 0 ? x : 0;\n    case GELU_TANH"),
    ("gelu-erf-unscaled", "length-tall-5", ACTIVATION, GELU,
     "case GELU: return x * (1 + erf(x)) / 2;\n    case GELU_TANH"),
    ("gelu-exact", "activation-gelu_new", ACTIVATION, TANH,
     "case GELU_TANH: return x * (1 + erf(x * 0.70710678118654752440)) / 2;"),
    ("gelu-new-constant", "activation-gelu_new", ACTIVATION, TANH, TANH.replace("0.044715", "0.44715")),
    ("scale-missing", "length-tall-5", SCORES, DOT, DOT.replace(" * scale", "")),
    ("scale-twice", "length-tall-5", SCORES, DOT, f"{DOT} * scale"),
    ("scale-by-model-size", "length-tall-5", SCORES, DOT, DOT.replace("scale", "(real)(1 / sqrt((double)E))")),
    ("scale-before-bias", "length-tall-5", SCORES, BEFORE_ROWS,
     "real *early = reals(B * S, E, 1); long z; for (z = 0; z < B * S * E; z++) "
     "early[z] = q[z] + (real)(sqrt((double)(E / H)) - 1) * layer->self.query.bias[z % E]; q = early;\n" + BEFORE_ROWS),
    ("query-shown-scaled", "length-tall-5", f"{ATTENTION}.query", QUERY,
     "real *q = linear(&layer->self.query, h, B * S), *shown = reals(B, S, E);"
     " add_scaled(shown, (real)(1 / sqrt((double)(E / H))), q, B * S * E);"
     " show(out, layer->self.query.name, \"\", 'r', shown, 3, B, S, E, 1);"),
    ("decoder-scale-missing", "decoder-6", f"{SELF}.scores", DOT, DOT.replace("scale", "(alike ? 1 : scale)")),
    ("global-scale-missing", "pattern-far", SCORES, ROWS,
     f"{ROWS} real *big = reals(E, 1, 1); add_scaled(big, (real)sqrt((double)(E / H)), of_query, E); of_query = big;"),
    ("global-projection-query", "pattern-far", f"{ATTENTION}.query_global", GLOBAL_QUERY,
     f'{GLOBAL_QUERY} layer->global.query.weight = layer->self.query.weight;'
     " layer->global.query.bias = layer->self.query.bias;"),
    ("global-projection-key", "pattern-far", SCORES, "keys = k_global + b * S * E;", ""),
    ("global-projection-value", "pattern-far", ATTENTION, VALUES, ""),
    ("global-projection-missing", "pattern-far", SCORES, VALUES,
     "of_query = q + (b * S + i) * E; keys = k + b * S * E; values = v + b * S * E;"),
    ("global-columns-of-global-projection", "pattern-far", SCORES, "mark_keys(seen,",
     "if (!is_global[i]) { real *mixed = reals(S, E, 1); long j; for (j = 0; j < S; j++) memcpy(mixed + j * E,"
     " (is_global[j] ? k_global : k) + (b * S + j) * E, (size_t)E * sizeof(real)); keys = mixed; }\nmark_keys(seen,"),
    ("band-one-short", "length-tall-17", SCORES, SEEN, SEEN.replace("<=", "<")),
    ("band-one-long", "length-tall-17", SCORES, SEEN, SEEN.replace("<= w", "<= w + 1")),
    ("window-one-sided", "length-tall-17", SCORES, SEEN, SEEN.replace("labs(i - j) <= w", "(i >= j && i - j <= w)")),
    ("window-not-halved", "length-tall-17", SCORES, EXTENT, "layer->window = (long)both;"),
    ("window-halved-twice", "length-wide-11-global", SCORES, EXTENT, "layer->window = (long)(both / 4);"),
    ("window-missing", "length-tall-17", SCORES, SEEN, SEEN.replace("labs(i - j) <= w", "w")),
    ("window-of-first-layer", "windows-none", "encoder.layers.1.self_attn.scores", EXTENT,
     f"{EXTENT} layer->window = side->layers[0].window;"),
    ("global-columns-missing", "pattern-far", SCORES, SEEN, SEEN.replace(" || is_global[j]", "")),
    ("global-columns-masked", "pattern-adjacent", SCORES, SEEN,
     "seen[j] = (is_global[i] || (labs(i - j) <= w && !is_global[j])) && is_real[i] && is_real[j];"),
    ("global-query-local", "pattern-far", SCORES, SEEN, SEEN.replace(" || is_global[i]", "")),
    ("global-query-first", "pattern-far", f"{ATTENTION}.query_global",
     f"memcpy({GATHERED}", f"{{ memcpy({GATHERED.replace('g++', 'g').replace('+ i)', '+ g)')} g++; }}"),
    ("global-missing", "pattern-far", SCORES, MARKED, "batch.is_global[i] = 0;"),
    ("global-first-only", "pattern-last", f"{ATTENTION}.query_global", MARKED,
     "batch.is_global[i] = i == b * batch.S;"),
    ("global-everywhere", "length-tall-17", SCORES, MARKED, "batch.is_global[i] = 1;"),
    ("mask-on-padding-queries", "pattern-suffix", SCORES, SEEN, SEEN.replace(" && is_real[i]", "")),
    ("mask-on-padding-keys", "pattern-suffix", SCORES, SEEN, SEEN.replace(" && is_real[j]", "")),
    ("mask-missing", "pattern-suffix", SCORES, 'read_mask(file, "attention_mask"', 'read_mask(file, "none"'),
    ("position-offset-2", "length-tall-5", "encoder.embed_positions", PLACE,
     PLACE.replace("i % N", "i % N + 2")),
    ("position-offset-1", "length-tall-5", "encoder.embed_positions", PLACE, PLACE.replace("i % N", "i % N + 1")),
    ("position-of-encoder", "length-tall-5", "decoder.embed_positions", PLACE,
     PLACE.replace("side->", "model->sides[ENCODER].")),
    ("position-missing", "length-tall-5", NORM, "return add_norm(&side->norm, tokens, positions,",
     "return add_norm(&side->norm, tokens, reals(B, N, E),"),
    ("embedding-scale", "length-tall-5", "encoder.embed_tokens", 'show(out, side->name, ".embed_tokens"',
     "for (i = 0; i < B * N * E; i++) tokens[i] *= (real)sqrt((double)E);\nshow(out, side->name, \".embed_tokens\""),
    ("embedding-tied", "untied", "decoder.embed_tokens", "side->token_table = embedding(model, name);",
     'side->token_table = embedding(model, "encoder.embed_tokens");'),
    ("lm-head-tied", "untied", "lm_head", 'embedding(model, "lm_head")', 'embedding(model, "decoder.embed_tokens")'),
    ("logits-bias-missing", "length-tall-5", "logits", "lm[i] + (model->logits_bias ?", "lm[i] + (0 ?"),
    ("logits-scaled", "length-tall-5", "lm_head", "if (raw != NULL)\n        *raw = lm;",
     "for (i = 0; i < rows * model->vocabulary; i++) { lm[i] /= (real)sqrt((double)model->size);"
     " logits[i] = lm[i] + model->logits_bias[i % model->vocabulary]; }\n    if (raw != NULL)\n        *raw = lm;"),
    ("epsilon-wrong", "length-tall-5", NORM, ROOT, ROOT.replace("1e-5", "1e-12")),
    ("epsilon-outside-root", "length-tall-5", NORM, ROOT,
     "factor = (real)(1 / (sqrt((double)(variance / (real)E)) + 1e-5));"),
    ("variance-unbiased", "length-tall-5", NORM, ROOT, ROOT.replace("(real)E", "(real)(E - 1)")),
    ("norm-root-missing", "length-tall-5", NORM, ROOT, ROOT.replace("sqrt", "")),
    ("mean-not-subtracted", "length-tall-5", NORM, "mean /= (real)E;", "mean = 0;"),
    ("norm-weight-missing", "length-tall-5", NORM, AFFINE, "z[i] += norm->bias[i % E];"),
    ("norm-bias-missing", "length-tall-5", NORM, AFFINE, "z[i] *= norm->weight[i % E];"),
    ("norm-of-attention", "length-tall-5", "encoder.layers.0.final_layer_norm", OF_LAYER,
     f"{OF_LAYER} layer->final_norm.weight = layer->self_norm.weight; layer->final_norm.bias = layer->self_norm.bias;"),
    ("norms-swapped", "length-tall-5", "encoder.layers.0.self_attn_layer_norm", OF_LAYER,
     f"{OF_LAYER} Norm own = layer->self_norm; layer->self_norm.weight = layer->final_norm.weight;"
     " layer->self_norm.bias = layer->final_norm.bias; layer->final_norm.weight = own.weight;"
     " layer->final_norm.bias = own.bias;"),
    ("cross-norm-of-self", "decoder-6", "decoder.layers.0.encoder_attn_layer_norm", OF_LAYER,
     f"{OF_LAYER} layer->cross_norm.weight = layer->self_norm.weight; layer->cross_norm.bias = layer->self_norm.bias;"),
    ("residual-missing", "length-tall-5", "encoder.layers.0.final_layer_norm",
     "return add_norm(&layer->final_norm, x,", "return add_norm(&layer->final_norm, reals(B, N, model->size),"),
    ("heads-interleaved", "length-tall-5", SCORES, f"s[j] = seen[j] ? {DOT}",
     "real product = 0; long u; for (u = 0; u < D; u++) product += q[u * heads + n] * k[j * E + u * heads + n];\n"
     "s[j] = seen[j] ? product * scale"),
    ("query-key-swapped", "length-tall-5", SCORES, "*of_query = q + (b * S + i) * E, *keys = k + b * S * E",
     "*of_query = k + (b * S + i) * E, *keys = q + b * S * E"),
    ("value-is-key", "length-tall-5", ATTENTION, "*values = v + b * S * E", "*values = k + b * S * E"),
    ("output-projection-missing", "length-tall-5", "encoder.layers.0.self_attn.output",
     "a = shown_linear(&layer->self.output, context, B, S, out);",
     "a = context; show(out, layer->self.output.name, \"\", 'r', a, 3, B, S, E, 1);"),
    ("bias-missing", "length-tall-5", f"{ATTENTION}.query", LINEAR, LINEAR.replace("(l->bias ?", "(0 ?")),
    ("weight-transposed", "length-tall-5", f"{ATTENTION}.query", LINEAR,
     "{ real sum = 0; long u; for (u = 0; u < l->inputs; u++) sum += x[i * l->inputs + u] * l->weight[u * l->outputs"
     " + m]; y[i * l->outputs + m] = sum + (l->bias ? l->bias[m] : 0); }"),
    ("weights-of-first-layer", "windows-none", "encoder.layers.1.self_attn.longformer_self_attn.query", TEXT,
     TEXT + ' { char *l = strstr(text, "layers."); if (l) l[7] = 48; }'),
    ("weights-of-next-layer", "windows-none", f"{ATTENTION}.query", TEXT,
     TEXT + ' { char *l = strstr(text, "layers."); if (l && l[7] < 50) l[7]++; }'),
    ("causal-mask-missing", "decoder-6", f"{SELF}.scores", CAUSAL, "past + i + j >= 0"),
    ("causal-mask-off-by-one", "decoder-6", f"{SELF}.scores", CAUSAL, "j <= past + i + 1"),
    ("causal-mask-without-itself", "decoder-6", f"{SELF}.scores", CAUSAL, "j < past + i"),
    ("causal-mask-reversed", "decoder-6", f"{SELF}.scores", CAUSAL, "j >= past + i"),
    ("decoder-mask-missing", "decoder-mask", f"{SELF}.scores", "T > 1 ? to_see : NULL, 1", "NULL, 1"),
    ("row-without-keys", "decoder-no-key", f"{SELF}.scores", "!any && alike ? 0", "0 && alike ? 0"),
    ("cross-mask-missing", "decoder-batch", f"{CROSS}.scores", "R / batch->B, batch->is_real, 0",
     "R / batch->B, NULL, 0"),
    ("cross-value-is-key", "decoder-6", f"{CROSS}.v_proj", CROSSED,
     f"{CROSSED} layer->cross.value.weight = layer->cross.key.weight;"
     " layer->cross.value.bias = layer->cross.key.bias;"),
    ("decoder-start-token", "labels", "decoder.embed_tokens", "0 ? model->start : from", "0 ? 0 : from"),
    ("shift-missing", "labels", "decoder.embed_tokens", SHIFTED, "from->ids[i]"),
    ("shift-keeps-ignored", "labels", "decoder.embed_tokens", "shifted[i] = model->pad;", "shifted[i] = model->start;"),
    ("last-token", "classification", "classification_head.dense", "== model->eos)\n", "!= model->pad)\n"),
    ("classification-tanh-missing", "classification", "classification_head.out_proj",
     "y[i] = (real)tanh((double)z[i]);\n        z =", "y[i] = z[i];\n        z ="),
    ("loss-sum", "labels-padding", "loss", "return weight * sum / (double)count;", "return weight * sum;"),
    ("loss-mean-of-means", "labels-padding", "loss", "count += labels[i] != -100;", "count++;"),
    ("probs-in-float32", "length-tall-5", "encoder.layers.0.self_attn.probs", "p[j] /= sum;",
     "p[j] = (real)(float)(p[j] / sum);"),
    ("weights-in-bfloat16", "length-tall-5", "encoder.embed_tokens", CELL,
     f"{CELL} float f = (float)made[i]; uint32_t u; memcpy(&u, &f, 4); u += 0x7fff + (u >> 16 & 1); u &= 0xffff0000u;"
     " memcpy(&f, &u, 4); made[i] = f;"),
]  # fmt: skip

# Mistakes that are missed: what is wrong, and why it has no name. Each is found at its stage, and said to be unknown.
UNKNOWN = [
    ("gelu_new has 0.04715: one wrong constant is known, 0.44715, and others are not guessed", "activation-gelu_new",
     ACTIVATION, TANH, TANH.replace("0.044715", "0.04715")),
    ("quick_gelu has 1.7: no wrong constant of it is known", "activation-quick_gelu", ACTIVATION,
     "exp(-1.702 * x));\n    case SILU: return", "exp(-1.7 * x));\n    case SILU: return"),
    ("values in reversed order: a mistake that nobody is known to make", "length-tall-5", ATTENTION,
     "add_scaled(context + n * D, p[j], v + j * E", "add_scaled(context + n * D, p[j], v + (keys - 1 - j) * E"),
    ("products of rows in float32 alone: TF32 and narrower types are known", "length-tall-5", f"{ATTENTION}.query",
     "real s0 = 0, s1 = 0, s2 = 0, s3 = 0;", "float s0 = 0, s1 = 0, s2 = 0, s3 = 0;"),
    ("decoder probabilities in float32: the known mistake is the encoder's as well", "length-tall-1", f"{SELF}.probs",
     "p[j] /= sum;", "p[j] = alike ? (real)(float)(p[j] / sum) : p[j] / sum;"),
]  # fmt: skip


@cache
def truth_of(case):
    """The stages of a case and the weights, which all its mistakes share."""
    truth = truth_for(case, {})
    return dict(truth.arrays), truth.about, truth.weights


def examined(tiny, folder, case, old, new):
    """The report on the port with one text of its source replaced."""
    source = SOURCE.read_text(encoding="utf-8")
    assert source.count(old) == 1, (source.count(old), old)
    (folder / "led.c").write_text(source.replace(old, new), encoding="utf-8")
    program = build(folder / "led.c", folder / "led", "-O0", "-w")
    out = folder / "out.safetensors"
    subprocess.run([str(program), "forward", str(tiny / "forward" / case), str(out)], check=True)
    arrays, about, weights = truth_of(tiny / "forward" / case)
    return check(read(out), arrays, about=about, weights=weights)


@pytest.mark.parametrize(("name", "case", "stage", "old", "new"), PUT, ids=[one[0] for one in PUT])
def test_a_mistake_in_the_port_is_named_at_its_stage(tiny, tmp_path, name, case, stage, old, new):
    report = examined(tiny, tmp_path, case, old, new)
    assert (report.first, report.mistakes[:1]) == (stage, [name])


@pytest.mark.parametrize(("what", "case", "stage", "old", "new"), UNKNOWN, ids=[one[0] for one in UNKNOWN])
def test_a_mistake_without_a_name_is_not_guessed(tiny, tmp_path, what, case, stage, old, new):
    report = examined(tiny, tmp_path, case, old, new)
    assert (report.first, report.mistakes) == (stage, [])


def test_the_names_are_those_of_known_mistakes():
    assert {one[0] for one in PUT} <= {mistake.name for mistake in MISTAKES}

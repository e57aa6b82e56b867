"""The classic mistakes of those who port LED, BART or Longformer, each under a name, and the tests that notice it.

`mutations.py` puts one after the other into a copy of the package. What a single operator does wrong is not here: such
mutations are made from the code itself (`flips.py`).
"""

import ast
import runpy
from pathlib import Path
from typing import NamedTuple

from flips import ACTIVATIONS, DRAFTS, LOSS, PROPERTIES, SPANS, SPLIT, cached, nodes, of, stored


class Mistake(NamedTuple):
    """A mistake in one line of pyled/`file`: `new` in the place of `old`, which stands once in the file, or in the
    function. says: what is wrong. `tests`, below tests/, must notice it.
    """

    file: str
    name: str
    says: str
    old: str
    new: str
    tests: tuple[str, ...]
    function: str = ""

    def applied_to(self, source: str) -> str:
        """Return the source with this mistake in it. Raises LookupError unless `old` stands there once."""
        lines = source.splitlines(keepends=True)
        spans = [
            (node.lineno - 1, node.end_lineno)
            for name, node in nodes(ast.parse(source))
            if isinstance(node, ast.FunctionDef) and f".{name}".endswith(f".{self.function}")
        ]
        first, last = spans[0] if self.function and spans else (0, len(lines))
        text = "".join(lines[first:last])
        if text.count(self.old) != 1 or (self.function and len(spans) != 1):
            where = f"{self.file} {self.function} ({len(spans)} functions)" if self.function else self.file
            raise LookupError(f"{self.old!r} stands {text.count(self.old)} times in {where}")
        return "".join(lines[:first]) + text.replace(self.old, self.new) + "".join(lines[last:])


GLOBALS = stored("pattern-far", "pattern-uneven")
HOLES = stored("pattern-holes", "pattern-suffix")
DECODER = stored("decoder-6")
ENCODER_BACK = of("test_gradients_encoder", "test_gradients_are_the_central_differences_of_the_definition")
ENCODER_DROPS = of(
    "test_gradients_encoder", "test_gradients_with_dropout_are_the_central_differences_of_the_forward_pass"
)
GRADIENTS = of("test_gradients_golden", *(
    f"test_gradients_are_the_references[{case}-float64]" for case in ("layers-2-1", "global-uneven", "labels")
))  # fmt: skip
KEPT = of("test_gradients_model", "test_what_is_kept_and_how_many_threads_there_are_changes_no_bit")
PARTS = of("test_gradients_model", "test_documents_one_by_one_in_any_order_add_up_to_the_batch")
LM_BACK = of("test_gradients_decoder", "test_language_head")
DECODER_DROPS = of(
    "test_gradients_decoder", "test_with_dropout_a_gradient_is_that_of_the_loss_with_the_same_numbers_dropped"
)
DROPPED_PARTS = of("test_gradients_decoder", "test_parts_of_a_batch_add_up_to_the_whole")
TO_ALL = of(PROPERTIES, "test_global_queries_see_the_same_with_and_without_keys_of_their_own")
BEAMS = of(PROPERTIES, "test_generation_with_a_cache_is_the_search_over_the_definition")
BRANCHES = of(PROPERTIES, "test_a_continuation_keeps_its_tokens_when_the_same_past_is_continued_otherwise")
BAND = of("test_kernels", "test_banded_is_dense_attention_within_the_band")
TOGETHER = of("test_kernels", "test_banded_documents_one_behind_the_other_have_the_bits_that_each_has_alone")
INT16_TOGETHER = of("test_banded_int16", "test_int16_documents_one_behind_the_other_have_the_bits_that_each_has_alone")
TRACED = of("test_trace", "test_both_engines_give_the_same_stages_as_announced")
SMOOTHED = of("test_model", "test_smoothed_labels_have_the_loss_that_the_reference_computes_for_training")
DROPPED = of("test_network_dropout", "test_a_forward_pass_with_dropout_is_the_definition_with_the_same_numbers_dropped")
BAND_BACK = of("test_banded_back", "test_the_band_and_its_gradients_are_those_of_dense_softmax")
NO_PATH = of("test_banded_back", "test_no_gradient_flows_where_no_path_leads")
GROUPED = of("test_kernels", "test_grouped_is_dense_attention_within_each_group")
NORM = of("test_kernels", "test_residual_and_norm_in_one_pass")
GELU = of("test_kernels", "test_products_of_rows_are_parted_into_heads_and_a_row_does_not_depend_on_its_company")
NORM_BACK = of("test_kernels_back", "test_the_gradients_of_residual_and_norm")
GELU_BACK = of("test_kernels_back", "test_the_slope_of_gelu_over_the_whole_range")
PRODUCTS_BACK = of("test_kernels_back", "test_the_gradients_of_a_product_of_rows")
ADAMW = of("test_kernels_back", "test_steps_of_adamw_are_those_of_torch")
DROPOUT = of("test_dropout", "test_what_is_dropped_follows_from_the_key_and_the_place")
SEARCHES = of("test_generation_search", "test_the_search_finds_what_the_reference_finds")
WARPERS = of(
    "test_generation_sampling", "test_a_rule_of_sampling_does_what_the_reference_does",
    "test_the_order_is_the_references_and_beams_keep_a_token_that_goes_on",
)  # fmt: skip
TABLE = of("test_generation_rules", "test_a_rule_does_what_the_reference_does_and_leaves_its_input_alone")
TEXTS = of("test_tokenizer", "test_ids_offsets_tokens_and_decoding_of_a_text")
CALLS = of("test_tokenizer", "test_padding_truncation_and_pairs")
MERGES = of("test_tokenizer_bpe", "test_every_short_word_merges_by_the_order_of_the_list")

# Of each file: (name, what is wrong, old text, new text, tests), and the function where the file has the text again.
# What is wrong in a mistake of ports stands in pyled/porting/mistakes.py.
OF_FILE = {
    "network/attention.py": [
        ("global-projection-query", "",
         '.query_global", m', '.query", m', TO_ALL, "_attend_to_all"),
        ("global-projection-key", "",
         '.{part}_global.weight"', ".{part}{'_global' * (part != 'key')}.weight\"", TO_ALL),
        ("global-projection-value", "",
         '.{part}_global.weight"', ".{part}{'_global' * (part != 'value')}.weight\"", TO_ALL),
        ("global-projection-value-bias", "The values of global queries lack their bias.",
         "context += sums * ", "context += 0 * sums * ", TO_ALL),
        ("global-projection-of-many", "The same of queries that are many: their keys and values are the local ones.",
         '{part}_global") for', '{part}") for', TO_ALL),
        ("global-query-first", "",
         "heads(hidden[global_places]", "heads(hidden[: len(global_places)]", TO_ALL, "_attend_to_all"),
        ("global-query-local", "",
         "context[places] = attend_to_all(", "attend_to_all(", GLOBALS),
        ("global-mask-missing", "",
         "scores[:, ~document.is_real] = -np.inf", "pass", TO_ALL),
        ("global-scores-without-bias", "Scores of few global queries lack what the keys' bias adds to them.",
         "scores.reshape(H, G, -1) + of_bias", "scores.reshape(H, G, -1)", TRACED),
        ("global-scale-missing", "",
         "scores /= math.sqrt(D)", "pass", TO_ALL),
        ("global-columns-missing", "",
         "np.take(array, global_places, axis=1)", "array[:, :0]", GLOBALS),
        ("global-columns-twice", "",
         "v, is_real & ~is_global,", "v, is_real,", GLOBALS),
        ("mask-on-padding-keys", "",
         "v, is_real & ~is_global,", "v, ~is_global,", HOLES),
        ("mask-on-padding-queries", "", "context[~is_real] = 0", "pass", HOLES),
        ("mask-at-document-end", "",
         "np.pad(is_real & ~is_global, w)", "np.pad(is_real & ~is_global, w, constant_values=True)", GLOBALS),
        ("probs-over-band-only", "",
         "dots(q[h], k[h, global_places])", "-np.inf", GLOBALS),
        ("value-is-key", "",
         "arrays = q, k, v,", "arrays = q, k, k,", GLOBALS),
        ("query-key-swapped", "",
         '("query", "key", "value")', '("key", "query", "value")', GLOBALS),
        ("causal-mask-off-by-one", "", "length - T, dtype", "length - T + 1, dtype", DECODER),
        ("causal-mask-without-itself", "",
         "length - T, dtype", "length - T - 1, dtype", DECODER),
        ("causal-mask-without-past", "The causal mask takes the first new token for the first of all.",
         "length - T, dtype", "0, dtype", cached("cache-halves")),
        ("causal-mask-missing", "", "length - T, dtype", "length, dtype", DECODER),
        ("decoder-mask-missing", "",
         "else is_key.reshape(-1)", "else is_key.reshape(-1) | True", stored("decoder-mask")),
        ("decoder-scale-missing", "",
         "is_seen, scores / math.sqrt(D)", "is_seen, scores", DECODER),
        ("cross-mask-missing", "",
         "is_key, spans, len", "is_key | True, spans, len", SPLIT),
        ("cross-mask-missing-in-a-step", "One new token at a time, the decoder sees the source's padding.",
         "source.values[None], is_key,", "source.values[None], is_key | True,", BEAMS),
        ("cross-value-is-key", "",
         "zip(\"kv\", out", "zip(\"kk\", out", DECODER),
        ("cross-keys-of-one-layer", "",
         "layers.{layer}.encoder_attn.{part}_proj", "layers.{0}.encoder_attn.{part}_proj", DECODER),
        ("few-tokens-see-later", "Each of few new tokens sees those behind it.",
         "length - T + 1 + token", "length + 0 * token", SPLIT),
        ("row-without-keys", "",
         "scores[:, ~is_seen.any(axis=1)] = 0", "pass", stored("decoder-no-key")),
        ("row-without-keys-of-many", "The same of many rows, by the kernel of the band.",
         "if is_blind.any()", "if False", stored("decoder-no-key")),
        ("many-tokens-without-past", "Many new tokens do not see all of what came before.",
         "ahead = length - T", "ahead = 0", SPLIT),
        ("dropped-values-keep-their-bias", "The bias of values counts whole where probabilities are dropped.",
         "sums[:, columns] = probs.sum(axis=1).reshape(H, G, 1)", "pass", DROPPED),
        ("dropout-of-global-keys", "Dropout takes the global keys for the first tokens.",
         "documents.places[global_places]", "np.arange(len(global_places))", DROPPED),
        ("cache-key-is-value", "Past keys are the past values.",
         "zip(past, new,", "zip(past[1:] * 2, new,", cached("cache-halves")),
    ],
    "kernels/banded.py": [
        ("scale-missing", "", "queries[d, i] *= scale", "pass", BAND),
        ("scale-twice", "",
         "queries[d, i] *= scale", "queries[d, i] *= scale * scale", BAND),
        ("scale-by-model-size", "",
         "1 / math.sqrt(D)", "1 / math.sqrt(q.shape[0] * D)", BAND),
        ("band-one-short", "",
         "same - ahead))", "same - ahead + 1))", BAND),
        ("band-one-long", "",
         "same - ahead))", "same - ahead - 1))", BAND),
        ("window-one-sided", "", "same - ahead))", "same))", BAND),
        ("mask-of-first-tile", "The mask of the first keys stands for that of all.",
         "is_key[j0 + j]", "is_key[j]", BAND),
        ("softmax-not-rescaled", "A larger score does not scale down the sums before it.",
         "exp(earlier - shift[x])", "1", BAND),
        ("scores-beyond-floats", "A query whose scores are all beyond the float type counts as one without keys.",
         "total[i] = np.nan", "pass",
         of("test_kernels",
            "test_a_query_whose_scores_are_all_beyond_the_float_type_is_no_number_and_one_without_keys_is_0")),
        ("tile-beyond-document", "The last tiles of a document see the keys of the next.",
         "keys, extra = slice(span[0], span[1]), slice(span[2], span[3])",
         "keys, extra = slice(span[0], span[1]), slice(span[2], k.shape[1])", TOGETHER),
        ("extra-keys-of-others", "A document sees the global keys of all documents before it.",
         "slice(span[4], span[5])", "slice(0, span[5])", TOGETHER),
        ("softmax-sum-missing", "Weighted sums are not divided by the sum of the powers.",
         "output[d, i] *= total[i]", "pass", BAND),
    ],
    "kernels/banded_back.py": [
        ("back-masked-keys", "Padding and global tokens get a gradient as keys of the band.",
         "scores[:, x] = -np.inf", "pass", BAND_BACK),
        ("back-band-one-long", "Gradients flow one token beyond the window.", "same - w))", "same - w - 1))", NO_PATH),
        ("back-extra-keys-missing", "Global keys get no gradient from beyond the window.",
         "range(n_band + n_extra)", "range(n_band)", BAND_BACK),
        ("back-scale-of-queries-missing", "The gradient of the queries is not divided by sqrt(D).",
         "some_k[j, d] * scale", "some_k[j, d]", BAND_BACK),
        ("back-scale-of-keys-missing", "Scores are computed again without their division by sqrt(D).",
         "q[i0 + i, d] * scale", "q[i0 + i, d]", BAND_BACK),
        ("back-mean-missing", "The gradient of the scores lacks what the softmax's sum passes on.",
         "(d_probs[r, x] - mean)", "d_probs[r, x]", BAND_BACK),
        ("back-mean-dropped", "Dropout drops the mean, too.",
         "(stays * d_probs[r, x] - mean)", "stays * (d_probs[r, x] - mean)", BAND_BACK),
        ("backward-scale", "The gradient of a query lacks the factor 1 / sqrt(D), and so have its weight and bias.",
         "rows_of_keys[j, d] = some_k[j, d] * scale", "rows_of_keys[j, d] = some_k[j, d]", GRADIENTS),
        ("backward-softmax", "The gradient of scores lacks the mean over the keys.",
         "scores[r, x] * (d_probs[r, x] - mean)", "scores[r, x] * d_probs[r, x]", GRADIENTS),
    ],
    "kernels/banded_int16.py": [
        ("int16-extra-keys-of-others", "In int16, a document sees the global keys of all documents before it.",
         "slice(span[4], span[5])", "slice(0, span[5])", INT16_TOGETHER),
        ("int16-values-of-others", "In int16, the keys of a document have values that are rounded by another's scale.",
         "slice(span[8], span[9])", "slice(0, span[9])", INT16_TOGETHER),
        ("powers-of-all-tiles", "Powers are rounded as parts of the largest of all tiles, so that small ones get lost.",
         "share[x] if share[x] != -np.inf else zero", "max(top[x], share[x]) if share[x] != -np.inf else zero",
         of("test_banded_int16", "test_int16_is_dense_attention_within_the_band_but_for_what_rounding_moves")),
        ("nan-lost-in-whole-numbers", "NaN becomes a whole number like others.",
         "queries[d, x] * np.float32(0)", "0",
         of("test_banded_int16", "test_what_is_no_number_reaches_every_query_that_attends_to_it")),
    ],
    "kernels/adamw.py": [
        ("decay-in-gradient", "Weight decay is part of the gradient, as in Adam with L2.",
         "g = gradient[i]", "g = gradient[i] + (1 - decay) / rate * weight[i]", ADAMW),
        ("adam-not-corrected", "The first steps are not corrected for moments that begin at 0.",
         "beta2**step)", "0)", ADAMW),
        ("adam-epsilon-inside-root", "Epsilon is added to the square, not to its root.",
         "(math.sqrt(v[i]) / deviation + epsilon)", "(math.sqrt(v[i] + epsilon) / deviation)", ADAMW),
    ],
    "kernels/dropout.py": [
        ("dropout-alike-in-all-rows", "All rows drop the same columns.",
         "zero if uniform(keys[r]", "zero if uniform(keys[0]", DROPOUT),
        ("dropout-of-others", "What should stay is dropped, and what should be dropped stays.",
         "zero if uniform(keys[r], m) < bound else factor", "factor if uniform(keys[r], m) < bound else zero", DROPOUT),
        ("dropout-not-scaled", "What is not dropped is not multiplied by 1 / (1 - rate).",
         "1 / (1 - rate) if rate < 1", "1.0 if rate < 1", DROPOUT),
        ("dropout-of-shifted-rows", "The numbers of one row are those of another, shifted.",
         ", STEP) ^ key", ", 1) + key",
         of("test_dropout", "test_a_number_is_dropped_at_the_rate_whatever_its_neighbours_are")),
    ],
    "kernels/grouped.py": [
        ("step-scale-missing", "One new token at a time, scores are not divided by sqrt(D).",
         "1 / math.sqrt(D)", "1", GROUPED),
        ("step-mask-missing", "One new token at a time, the last keys have no mask.",
         "row[j] * scale if is_key[j] else -np.inf", "row[j] * scale", GROUPED),
        ("step-maximum-of-some", "One new token at a time, the maximum is that of some scores.",
         "tops.max()", "tops[0]", of("test_kernels", "test_attention_survives_scores_of_any_size")),
        ("int8-scale-missing", "int8 keys are used without their scales.",
         "row[j] *= key_scale[j]", "pass",
         of("test_rounded", "test_narrow_keys_and_values_are_those_of_the_widened_ones")),
    ],
    "kernels/elementary.py": [
        ("gelu-tanh", "",
         "x * 0.5 * math.erfc(-x * math.sqrt(0.5))",
         "0.5 * x * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))", GELU, "gelu"),
        ("gelu-slope-is-share", "The slope of GELU lacks the density: only the share below x is left.",
         "+ x * (DENSITY * math.exp(-0.5 * x * x))", "", GELU_BACK),
        ("gelu-slope-tanh", "GELU has the slope of its form by tanh, not the exact one.",
         "0.5 * math.erfc(-x * math.sqrt(0.5)) + x * (DENSITY * math.exp(-0.5 * x * x))",
         "0.5 * (1 + math.tanh(t := 0.7978845608 * (x + 0.044715 * x**3)))"
         " + 0.5 * x * (1 - math.tanh(t) ** 2) * 0.7978845608 * (1 + 0.134145 * x * x)", GELU_BACK),
    ],
    "kernels/products.py": [
        ("gelu-before-bias", "",
         "gelu(tile[r, past + m] + biases[past + m])", "gelu(tile[r, past + m]) + biases[past + m]", GELU),
        ("heads-interleaved", "",
         "result.reshape(R, H, D).swapaxes(0, 1)", "result.reshape(R, D, H).transpose(2, 0, 1)", GELU),
        ("terms-twice", "Terms of the first part of a sum stand for those of all parts.",
         "panel[terms, :columns]", "panel[: terms.stop - terms.start, :columns]", GELU),
        ("pairs-beyond-32-bits", "A sum of 32 bits has as many words as it may have terms.",
         "depth = DEPTH if x_scale is None else DEPTH // 2", "depth = DEPTH",
         of("test_rounded", "test_an_int16_product_is_that_of_whole_numbers")),
        ("weight-gradient-replaced", "The gradient of a weight replaces what other uses of the weight have left there.",
         "add=True, turn=True", "add=False, turn=True", PRODUCTS_BACK),
        ("bias-gradient-twice", "The gradient of a bias is added once for each part of the columns.",
         "if d_bias.size and m0 == 0", "if d_bias.size", PRODUCTS_BACK),
    ],
    "kernels/rows.py": [
        ("norm-back-without-mean", "The gradient behind a norm keeps its mean, which a norm takes away.",
         "- mean - row[e] * slope", "- row[e] * slope", NORM_BACK),
        ("norm-back-along-row", "The gradient behind a norm keeps its part along the row, whose length is lost.",
         "- mean - row[e] * slope", "- mean", NORM_BACK),
        ("norm-back-of-output", "The norm's output, with weight and bias, stands for the normed row.",
         "row[e] *= scale\n", "row[e] *= scale * weight[e]\n", NORM_BACK),
        ("norm-back-not-scaled", "The gradient behind a norm is not divided by the deviation.",
         "scale * (upstream[e]", "(upstream[e]", NORM_BACK),
        ("variance-unbiased", "",
         "squares / row.dtype.type(E)", "squares / row.dtype.type(E - 1)", DECODER),
        ("epsilon-outside-root", "",
         "math.sqrt(squares / row.dtype.type(E) + epsilon)", "(math.sqrt(squares / row.dtype.type(E)) + epsilon)",
         NORM),
        ("norm-beyond-floats", "A row whose squares are beyond the float type becomes its bias.",
         "if math.isinf(squares)", "if False",
         of("test_kernels", "test_a_norm_beyond_float32_is_no_number_and_never_the_bias")),
        ("mean-not-subtracted", "", "row[e] -= mean", "pass", NORM),
        ("residual-missing", "",
         "x[m, e] + y[m, e]", "y[m, e]", NORM, "_add_norm"),
    ],
    "kernels/jit.py": [
        ("machine-code-unchecked", "Machine code is loaded that is damaged, or of another kernel.",
         "if digest.decode() == _digest(key + code):", "if code:",
         of("test_processes", "test_machine_code_that_is_damaged_or_of_another_kernel_is_replaced")),
        ("interrupted-compiler", "Ctrl-C raises its exception in the compiler.",
         "parallel.compile, serial.compile = ", "_ = ",
         of("test_processes", "test_an_interrupt_of_a_program_comes_once_and_leaves_kernels_that_work")),
    ],
    "kernels/rounded.py": [
        ("keys-beyond-32-bits", "int16 keys are as large as int16 is, so that sums of products leave 32 bits.",
         "math.isqrt((2**31 - 1) // terms)", "2**31",
         of("test_rounded", "test_the_largest_whole_numbers_leave_no_sum_beyond_32_bits")),
        ("bf16-truncated", "Numbers are cut to bfloat16, not rounded.",
         "(number + 0x7FFF + (number >> 16 & 1)) >> 16", "number >> 16",
         of("test_rounded", "test_bf16_is_the_nearest_and_of_two_the_even")),
        ("int8-truncated", "Numbers are cut to int8, not rounded.",
         "np.rint(", "np.trunc(", of("test_rounded", "test_int8_of_halves_and_of_rows_without_a_scale")),
        ("scale-ignores-neighbours", "A scale of int16 depends on the largest number of its row only.",
         "sizes / ROOM", "0 * sizes", of("test_rounded", "test_int16_leaves_room_for_sums_of_32_bits")),
    ],
    "network/layers.py": [
        ("epsilon-wrong", "",
         "LAYER_NORM_EPSILON = 1e-5", "LAYER_NORM_EPSILON = 1e-12", DECODER),
        ("embedding-scale", "",
         "add_norm(tokens,", "add_norm(tokens * math.sqrt(tokens.shape[-1]),", stored("length-tall-3")),
        ("embedding-norm-missing", "",
         'add_norm(tokens, positions, weights, f"{name}.layernorm_embedding", SEES_NOTHING)', "tokens + positions",
         DECODER),
        ("position-offset-1", "",
         "[places]", "[places + 1]", DECODER),
        ("scale-before-bias", "",
         "multiply(x, weight, bias, out)",
         'multiply(x, weight, bias * (out.shape[2] ** 0.5 if name[-5:] == "query" else 1), out)', GLOBALS),
        ("bias-missing", "",
         "multiply(rows, weight, bias,", "multiply(rows, weight, 0 * bias,", DECODER),
        ("weight-transposed", "",
         "multiply(rows, weight,",
         "multiply(rows, weight.T.copy() if len(weight) == rows.shape[1] else weight,", DECODER),
        ("gelu-new-constant", "", "0.044715", "0.44715", ACTIVATIONS),
        ("quick-gelu-is-silu", "quick_gelu is silu.", "-1.702", "-1.0", ACTIVATIONS),
    ],
    "network/encoder.py": [
        ("position-offset-2", "",
         "documents.places", "documents.places + 2", stored("length-tall-3")),
        ("window-not-halved", "",
         "config.one_sided_window(i)", "2 * config.one_sided_window(i)", GLOBALS),
        ("window-of-first-layer", "",
         "config.one_sided_window(i)", "config.one_sided_window(0)", stored("windows-none")),
        ("norm-of-attention", "",
         "final_layer_norm", "self_attn_layer_norm", stored("length-tall-3")),
    ],
    "network/decoder.py": [
        ("decoder-position-restarts", "Positions begin anew with each call.",
         "np.arange(P, P + T)", "np.arange(T)", SPLIT),
        ("norm-before", "",
         "hidden = add_norm(hidden, attended, weights, f\"{name}.self",
         "hidden = hidden + add_norm(0 * hidden, attended, weights, f\"{name}.self", DECODER),
        ("cross-norm-of-self", "",
         "encoder_attn_layer_norm", "self_attn_layer_norm", DECODER),
        ("cache-not-grown", "A call does not remember its tokens.",
         "pasts.append(past)", "pasts.append(cache.pasts[i])", SPLIT),
    ],
    "network/dropout.py": [
        ("dropout-by-row", "What is dropped depends on the rows of the batch, and not on the document.",
         "places.reshape(-1).astype", "np.arange(places.size).astype",
         of("test_network_dropout", "test_a_document_drops_the_same_alone_and_in_any_batch_and_order")),
        ("dropout-of-one-head", "All heads drop the probabilities of the first.", 'f"{name} {h}"', 'f"{name} 0"',
         of("test_network_dropout",
            "test_the_seed_the_document_the_place_the_stage_and_the_channel_say_what_is_dropped")),
    ],
    "network/cache.py": [
        ("cache-branches-share", "Two continuations of one past write into the same places.",
         "self._is_continued |= fits", "pass", BRANCHES),
        ("cache-memory-held", "The memory of a past that is still held is written again.",
         "sys.getrefcount(buffer) > ONE_NAME", "False", of(PROPERTIES, "test_a_past_that_is_held_stays_as_it_is")),
        ("cache-lost-on-growth", "The past is lost when its buffer grows.",
         "select_past(self.buffer, self.length, ", "select_past(self.buffer, 0, ",
         of(PROPERTIES, "test_a_cache_that_grows_with_every_token_keeps_its_past")),
        ("cache-documents-stay", "Rows in another order see the documents of the old one.",
         "document_of_row=self.document_of_row[rows]", "document_of_row=self.document_of_row",
         of(PROPERTIES, "test_a_selected_cache_goes_on_as_its_rows_would")),
        ("beams-of-another-document", "The beams of a document are taken for rows of the others.",
         "np.repeat(np.arange(len(lengths)), R // len(lengths))", "np.arange(R) % len(lengths)", BEAMS),
    ],
    "generation/drafts.py": [
        ("draft-taken-unseen", "Guessed tokens count as chosen, whatever the search has chosen.",
         "not np.array_equal(ids, self._ids[:, :T])", "T > self._ids.shape[1]", DRAFTS),
        ("draft-stays", "A wrong guess stays in the cache.", "._state.cut(T) if", "._state if", DRAFTS),
    ],
    "network/heads.py": [
        ("logits-bias-missing", "", 'weights["final_logits_bias"][0]',
         'weights["final_logits_bias"][0] * 0', DECODER),
        ("classification-tanh-missing", "",
         "np.tanh(inner)", "inner", stored("classification-alone")),
    ],
    "porting/tracing.py": [
        ("trace-band-mirrored", "In a trace a token has the scores of the neighbour on its other side.",
         "ahead = column - K // 2", "ahead = K // 2 - column", TRACED),
    ],
    "network/losses.py": [
        ("loss-without-padding", "",
         "labels != IGNORED_LABEL", "labels > 1", LOSS),
        ("loss-mean-of-means", "",
         "np.mean(losses)", "np.sum(losses) / labels.size", LOSS, "cross_entropy"),
        ("smoothing-spread-once", "Smoothing takes the sum over the vocabulary in place of the mean.",
         "scores.mean(axis=1)", "scores.sum(axis=1)", SMOOTHED),
        ("smoothing-counts-label-whole", "Smoothing leaves the label its whole weight.",
         "(1 - smoothing) * losses", "losses", SMOOTHED),
        ("span-clamp-missing", "A position below 0 counts from the end; it is 0.",
         "np.maximum(places, 0)", "places", SPANS),
        ("span-beyond-clamped", "A position behind the end is the last; it is left out.",
         "np.where(places < T, np.maximum(places, 0), IGNORED_LABEL)", "np.clip(places, 0, T - 1)", SPANS),
        ("span-sum", "The losses of start and end are added; their mean is the loss.", "+ of_end) / 2", "+ of_end)",
         stored("qa-loss")),
    ],
    "models/question_answering.py": [
        ("ends-swapped", "", "start_logits, end_logits = np.asc",
         "end_logits, start_logits = np.asc", stored("qa")),
    ],
    "models/sequence_classification.py": [
        ("first-end", "The head reads the state at the first end token; it reads that at the last.",
         "shape[1] - 1 - np.argmax(is_end[:, ::-1], axis=1)", "np.argmax(is_end, axis=1)",
         stored("classification-last-end")),
        ("last-token", "",
         "shape[1] - 1 - np.argmax(is_end[:, ::-1], axis=1)", "np.full(shape[0], shape[1] - 1)",
         stored("classification")),
    ],
    "models/arguments.py": [
        ("decoder-start-token", "",
         "config.pad_token_id, config.decoder_start_token_id", "config.pad_token_id, config.bos_token_id",
         stored("ids-only")),
        ("shift-left", "", "ids[:, :-1]]", "ids[:, 1:]]", stored("ids-only")),
        ("shift-keeps-ignored", "",
         "IGNORED_LABEL, pad,", "IGNORED_LABEL, start,", stored("labels-first-ignored")),
        ("mask-inverted", "", "shape, (0, 1)) == 1", "shape, (0, 1)) == 0", HOLES),
        ("global-everywhere", "",
         "(-1, 0, 1), default=0)", "(-1, 0, 1))", of(PROPERTIES, "test_masks_say_what_they_should")),
        ("global-on-padding", "Padding may be global.",
         "is_marked & is_real", "is_marked", stored("pattern-on-masked")),
        ("minus-one-is-real", "-1 in global_attention_mask is a token like the others.",
         "is_key & (marks != -1)", "is_key", stored("pattern-minus-one-on-real")),
        ("mask-is-a-length", "A mask with holes is taken for a length.",
         "count and is_key[:count].all()", "count", HOLES),
    ],
    "models/stacks.py": [
        ("global-of-first-document", "All documents of a batch have the global tokens of the first.",
         "masks.is_global[place] for", "masks.is_global[0, place[1]] for", stored("pattern-uneven")),
        ("global-rows-unmasked", "The rows of global tokens are shown without the head mask.",
         "heads is None else", 'heads is None or name.endswith("global_queries") else', stored("masked-encoder")),
    ],
    "models/head_masks.py": [
        ("mask-before-softmax", "A head mask scales the queries, and so the scores before the softmax.",
         "'output' if attention.startswith('encoder') else 'out_proj'",
         "'longformer_self_attn.query' if attention.startswith('encoder') else 'q_proj'",
         stored("masked-encoder", "masked-decoder")),
        ("mask-on-features", "A head is every H-th feature, not a part of them.", "np.repeat(heads,", "np.tile(heads,",
         stored("masked-encoder", "masked-cross")),
        ("mask-on-rows", "A head mask scales the rows of the projection, behind the sum over the heads.",
         "weight.shape[1] // len(heads))", "weight.shape[1] // len(heads))[:, None]", stored("masked-encoder")),
    ],
    "models/conditional_generation.py": [
        ("start-token-unseen", "The start token in front of a prompt that is masked is masked, too.",
         "constant_values=True", "constant_values=False",
         of("test_shown", "test_a_generation_shows_what_the_references_does[prompt-beams-float64]")),
    ],
    "errors.py": [
        ("message-as-it-comes", "A message holds what a file brings as it is, however long.",
         "super().__init__(one_line(message))", "super().__init__(message)",
         of("test_terminal", "test_no_value_makes_a_message_long[odd]")),
    ],
    "cli/shared/console.py": [
        ("terminal-unescaped", "A terminal gets results as a pipe does.",
         "for_terminal(text) if _is_terminal(sys.stdout) else text", "text",
         of("test_terminal", "test_no_name_steers_a_terminal[head]")),
    ],
    "files.py": [
        ("broken-link-absent", "A link that leads nowhere is no file, so that other settings are taken, in silence.",
         "path.lstat()", "path.stat()", of("test_odd_files", "test_what_stands_in_the_place_of_a_file_is_told")),
        ("pipe-waited-for", "A pipe in the place of a file is waited for.",
         'getattr(os, "O_NONBLOCK", 0)', "0", of("test_odd_files", "test_what_stands_in_the_place_of_a_file_is_told")),
        ("new-file-replaces", "What comes while a new file is written is replaced by it.",
         "if not (is_new and _linked(part, target)):", "if True:",
         of("test_files", "test_what_comes_while_a_new_file_is_written_stays")),
    ],
    "hub.py": [
        ("save-unfinished", "What a kill between two renamings leaves is read as it is.", "finish_replacing(directory)",
         "pass", of("test_processes", "test_a_kill_at_any_moment_of_saving_leaves_files_that_are_whole")),
        ("two-commits", "A file comes from what somebody has pushed since the others were fetched.",
         "revision=self._commit or self._revision,", "revision=self._revision,",
         of("test_hub", "test_each_part_is_fetched_when_it_is_read_and_all_are_of_one_commit")),
        ("half-a-cache", "Settings that another tool has not fetched yet are taken as absent.",
         "(is_all_there or all(", "(True or all(",
         of("test_hub", "test_what_another_tool_has_not_asked_for_is_asked_for_once")),
        ("weights-twice", "Weights are fetched in every format.", "                return\n", "                pass\n",
         of("test_hub", "test_weights_of_one_format_are_fetched_once")),
    ],
    "cli/shared/records.py": [
        ("foreign-line-cut", "A last line without its end is cut off, whoever wrote it.",
         "if is_ours and not is_whole and _is_cut_off(line, e.rule):", "if not is_whole:",
         of("test_cli_evaluate", "test_a_file_of_others_is_refused_and_stays")),
        ("notes-ignored", "What somebody has added since the file was read is not looked at.",
         "if _state(file.fileno()) != self._state:", "if self._state and not self._end:",
         of("test_cli_evaluate", "test_what_happens_to_the_file_meanwhile_loses_nothing")),
    ],
    "cli/shared/places.py": [
        ("pipe-among-outputs", "A pipe in a folder of outputs is written to, which waits for somebody who reads it.",
         "if is_device(place) and (is_folder or place != path):", "if path.is_dir():",
         of("test_cli_outputs", "test_what_is_no_file_in_the_place_of_one_is_told_before_any_work")),
    ],
    "checkpoint/pickles.py": [
        ("names-joined", "A name is looked up by its words alone, wherever the module ends and the name begins.",
         "module, name = self._line(), self._line()",
         'module, _, name = f"{self._line()}.{self._line()}".rpartition(".")',
         of("test_torch_files", "test_a_file_that_breaks_a_rule_is_refused_by_it[dotted_name-True]")),
        ("key-twice", "The last of two tensors with one name counts.", "if key in target:", "if False:",
         of("test_torch_files", "test_a_file_that_breaks_a_rule_is_refused_by_it[duplicate_key-True]")),
    ],
    "checkpoint/torch_zip.py": [
        ("crc-of-storages", "Damage of the numbers on the way is not noticed.",
         "_check_sums(data, [*storages.values()])", "pass",
         of("test_torch_files", "test_a_file_that_breaks_a_rule_is_refused_by_it[bad_crc_data-True]")),
    ],
    "checkpoint/conversion.py": [
        ("folder-left", "A failure leaves the folder that was made for the new files.", "place.rmdir()", "pass",
         of("test_convert", "test_a_failure_leaves_what_was_there")),
    ],
    "checkpoint/original.py": [
        ("one-sided-window", "The window of the original code counts both sides.", "both = [2 * w", "both = [w",
         of("test_convert", "test_original_weights_compute_what_bart_does")),
        ("unused-positions", "The rows that no position uses are those at the end of a table.",
         "[UNUSED_ROWS:]", "[:-UNUSED_ROWS]", of("test_convert", "test_original_weights_compute_what_bart_does")),
    ],
    "checkpoint/tensorflow.py": [
        ("kernel-as-stored", "A matrix of TensorFlow is taken as it is stored: inputs, then outputs.",
         'array.T if where.endswith("/kernel:0") else array', "array",
         of("test_tf_model", "test_numbers_are_those_that_h5py_reads_and_kernels_are_transposed")),
    ],
    "models/tensorflow.py": [
        ("padding-counts", "The loss of TensorFlow's class counts padding, and not -100, as torch's does.",
         'return {"labels": np.where', 'return {"labels": labels} or {"labels": np.where',
         of("test_tf_model", "test_a_file_of_tensorflow_gives_the_outputs_of_its_class[lm-labels-float64]")),
    ],
    "checkpoint/names.py": [
        ("head-untied", "The head is the file's own, although config.json ties it to the embeddings.",
         "return dict.fromkeys(report.tied, first)", "return {name: sources.get(name, first) for name in report.tied}",
         of("test_checkpoint", "test_of_several_that_differ_the_first_wins_and_it_is_said")),
    ],
    "checkpoint/rounding.py": [
        ("global-in-int16", "The matrices of global attention are rounded to int16, too.",
         "(query|key|value)|output", "(query|key|value)(_global)?|output",
         of("test_int16", "test_what_all_tokens_are_multiplied_with_is_in_int16_and_nothing_else")),
    ],
    "tasks/loading.py": [
        ("encoder-not-told", "A record, and the file of finished chunks, do not tell int16 from float32.",
         '"encoder": model.encoder_arithmetic or dtype', '"encoder": dtype',
         of("test_int16", "test_a_result_says_what_the_encoder_multiplied")
         + of("test_cli_outputs", "test_a_long_text_that_was_interrupted_goes_on_from_its_chunks")),
    ],
    "checkpoint/safetensors.py": [
        ("bf16-in-lower-half", "A bfloat16 is the lower half of a float32.",
         "np.left_shift(bits, 16, out=bits)", "pass", of("test_safetensors", "test_every_bfloat16_is_widened_exactly")),
    ],
    "models/initial.py": [
        ("new-rows-zero", "The rows of new tokens are 0, not the mean of the old ones.",
         "old.mean(axis=0, dtype=np.float64) if rng is None", "0 if rng is None",
         of("test_resize", "test_old_tokens_stay_and_new_ones_are_their_mean")),
    ],
    "models/base.py": [
        ("copies-writable", "The weights of a copy can be written.", "frozen(weight)", "pass",
         of("test_surface", "test_copies_belong_to_nobody")),
    ],
    "generation/settings.py": [
        ("prompt-of-others", "Whether a prompt gets the start token depends on the other rows of its batch.",
         "begins_with_start.any() and not begins_with_start.all()", "False",
         of("test_generation_settings", "test_rows_that_begin_with_the_start_token_and_rows_that_do_not_are_no_batch")),
    ],
    "generation/beam.py": [
        ("length-penalty-inverted", "Scores are multiplied by the length's power.",
         "** length_penalty)", "** -length_penalty)", SEARCHES),
        ("length-penalty-of-prompt", "The length that is paid for counts the prompt.",
         "length + 1 - prompt_length", "length + 1", SEARCHES),
        ("logits-for-probabilities", "Beams sum logits, not log-probabilities.",
         "log_softmax(decoding.next_logits(ids))", "decoding.next_logits(ids)", SEARCHES),
        ("beam-scores-not-summed", "A beam's score is that of its last token.",
         " + running.scores[:, :, None]", "", SEARCHES),
        ("beams-begin-alike", "All beams hold the same hypothesis from the first step on.",
         "scores[:, 0] = 0", "scores[:] = 0", SEARCHES),
        ("beam-candidates-too-few", "A step keeps as many candidates as beams, so that those that end leave none.",
         "max(2, 1 + len(settings.eos_token_id)) * beams", "beams", SEARCHES),
        ("eos-not-finished", "A hypothesis that has ended runs on.",
         "np.where(is_stopped, ABSENT, np.float32(0))", "np.float32(0)", SEARCHES),
        ("eos-of-any-rank", "A candidate behind the best beams may finish.",
         "is_stopped & (np.arange(is_stopped.shape[1]) < beams)", "is_stopped.copy()", SEARCHES),
        ("done-document-changes", "The answer of a document that is done changes with the others' steps.",
         "order[is_done] = np.arange(beams)", "pass", SEARCHES),
        ("unfinished-slot", "A slot that is not finished counts with the score of what fills it meanwhile.",
         "np.where(finished.is_finished, finished.scores.min(axis=1, keepdims=True), ABSENT)", "finished.scores",
         of("test_generation_search", "test_a_slot_that_is_not_finished_counts_as_absent_whatever_its_score")),
        ("beam-padding", "Behind the end stands 0 where the padding id is 0; upstream has the end of sequence.",
         "(settings.pad_token_id or settings.eos_token_id[0])", "settings.pad_token_id",
         of("test_generation_search", "test_beam_padding_has_the_references_quirk")),
    ],
    "generation/decoding.py": [
        ("beams-not-reordered", "The cache does not follow the beams.",
         "self.state = self.state.select(rows)", "pass", SEARCHES),
        ("eos-anywhere", "The start token, which is the end of sequence, ends every row.",
         "np.isin(ids[:, -1], self.settings.eos_token_id)", "np.isin(ids, self.settings.eos_token_id).any(axis=1)",
         SEARCHES),
    ],
    "generation/warpers.py": [
        ("top-p-too-few", "The token with which the probability is reached is left out.",
         "np.cumsum(probs, axis=1, dtype=np.float64).astype(np.float32) <= np.float32(1 - p)",
         "1 - np.cumsum(probs, axis=1, dtype=np.float64) + probs > p", WARPERS),
        ("temperature-late", "The temperature comes behind the choice of likely tokens.",
         """    add(s.temperature != 1, temperature, value=s.temperature)
    add(s.top_h is not None, top_h, share=s.top_h)
""",
         """    add(s.top_h is not None, top_h, share=s.top_h)
    add(s.temperature != 1, temperature, value=s.temperature)
""",
         WARPERS),
        ("beams-keep-one", "Beams may be left with ends only.",
         "1 if s.num_beams == 1 else 1 + max(1, len(s.eos_token_id))", "1", WARPERS),
    ],
    "generation/draws.py": [
        ("draws-shared", "All rows have the same draws.", "SeedSequence(seed, spawn_key=key)", "SeedSequence(seed)",
         of("test_generation_sampling", "test_documents_of_equal_logits_have_draws_of_their_own")),
        ("draws-by-place", "A document's draws follow from its place in the batch.",
         'hashlib.sha256(np.asarray(ids, "<i8").tobytes()).digest() for ids in sources',
         "bytes([place]) for place in range(len(sources))",
         of("test_generation_sampling", "test_a_document_is_sampled_alike_alone_and_in_any_batch")),
        ("draws-sorted", "Several that are drawn are in the order of their scores.", "return best(noisy, count)",
         "return np.sort(best(noisy, count), axis=1)",
         of("test_generation_sampling", "test_several_are_drawn_without_replacement_in_order")),
    ],
    "generation/stop_strings.py": [
        ("stop-string-in-front", "A string stops a row whose last token has no part in it.",
         "text[max(0, len(text) - last - len(string) + 1) :]", "text",
         of("test_generation_sampling", "test_a_row_stops_at_the_strings_at_which_the_reference_stops")),
    ],
    "generation/greedy.py": [
        ("padding-missing-behind-end", "A row that has ended goes on while others run.",
         "tokens[~is_running] = settings.pad_token_id or 0", "pass", SEARCHES),
    ],
    "generation/rules.py": [
        ("repetition-penalty-of-negative", "The penalty divides negative scores too, which favours them.",
         "np.where(old < 0, old * penalty, old / penalty)", "old / penalty", TABLE),
        ("encoder-penalty-inverted", "The penalty disfavours the source.", "1 / penalty", "penalty", TABLE),
        ("source-of-another-document", "Rules on the source look at another document's.",
         "np.repeat(encoder_ids, s.rows_per_document, axis=0)", "np.tile(encoder_ids, (s.rows_per_document, 1))",
         SEARCHES),
        ("decay-counts-prompt", "The decay begins as many tokens early as the prompt has.",
         "int(after) + s.prompt_length", "int(after)", SEARCHES),
        ("bias-of-last-word", "Of two biases on a token the last one counts.",
         "+= np.float32(bias)", "= np.float32(bias)",
         of("test_generation_rules", "test_sequence_bias_is_its_definition")),
    ],
    "tokenizer/bytelevel.py": [
        ("space-prefix-missing", "A word does not take the space before it along.", "| ?\\p{L}+|", "|\\p{L}+|", TEXTS),
        ("space-run-whole", "A run of white space keeps the last one, which belongs to the next word.",
         "\\s+(?!\\S)|", "", of("test_tokenizer_bpe", "test_the_split")),
        ("contraction-missing", "'s is no word of its own.", "'s|'t|", "'t|", TEXTS),
        ("byte-table", "The soft hyphen stands for itself.",
         "range(0xAE, 0x100)", "range(0xAD, 0x100)", of("test_tokenizer_bpe", "test_the_byte_table_is_gpt2s")),
    ],
    "tokenizer/bpe.py": [
        ("merge-order", "Merges are made in another order than that of the list.",
         "heapify(heap)", "heap.sort(reverse=True)", MERGES),
        ("merge-rightmost", "Of equal pairs the rightmost merges first.",
         "rank_of.index(rank)", "len(rank_of) - 1 - rank_of[::-1].index(rank)", MERGES),
        ("merge-stale", "A pair merges that is not there any more.", "!= rank:", "is None:", MERGES),
        ("merge-left-forgotten", "What has merged is not tried with its left neighbour.",
         "((before, at), (at, beyond))", "((at, beyond),)", MERGES),
    ],
    "tokenizer/special.py": [
        ("special-shortest", "Of tokens that begin alike the shortest wins.",
         "key=len, reverse=True", "key=len", of("test_tokenizer", "test_of_added_tokens_that_begin_alike_the_longest")),
    ],
    "tokenizer/led/roles.py": [
        ("mask-token-strips-nothing", "<mask> does not take the space before it along.",
         'lstrip=name == "mask_token"', "lstrip=False", TEXTS),
    ],
    "tokenizer/led/offsets.py": [
        ("offsets-in-bytes", "Offsets count bytes, not characters.",
         "piece.is_prefixed or not piece.text.isascii()", "piece.is_prefixed", TEXTS),
        ("offsets-with-space", "The span of a word begins with the space before it.",
         "np.minimum(start + lead, stop)", "start", TEXTS),
    ],
    "tokenizer/led/lengths.py": [
        ("truncation-odd-token", "Of a pair that is cut, the first text keeps the odd token.",
         "[room // 2, room - room // 2]", "[room - room // 2, room // 2]", CALLS),
        ("truncation-without-special", "Truncation forgets the special tokens.",
         "sum(sizes) + n_special", "sum(sizes)", CALLS),
    ],
    "tokenizer/led/tokenizer.py": [
        ("pair-separator", "The second text of a pair begins with <s>; it begins with </s>.",
         "(self._cls, self._sep, self._sep, self._sep)", "(self._cls, self._sep, self._cls, self._sep)", CALLS),
        ("padding-id", "Padding is 0, which is <s>.",
         "(self.pad_token_id, self.pad_token)", "(0, self.pad_token)", CALLS),
        ("truncation-side", "The end is always cut off.", "side=side", 'side="right"', CALLS),
        ("global-padding", "pad() makes padding local tokens: 0, where 4.57.6 has -1.",
         "GLOBAL_PAD = -1", "GLOBAL_PAD = 0", of("test_tokenizer_calls", "test_pad")),
    ],
    "tokenizer/led/batch_encoding.py": [
        ("padding-attended", "attention_mask is 1 on padding.", "_mask(1, 1, 0)", "_mask(1, 1, 1)", CALLS),
        ("padding-side", "Padding stands on the other side.", 'side == "right"', 'side != "right"', CALLS),
    ],
    "tasks/reading.py": [
        ("global-first-missing", "<s> is not global when a text is summarized.",
         "is_global[:, 0] = 1", "pass", of("test_tasks", "test_each_chunk_has_the_global_tokens_asked_for")),
        ("global-doc-sep-missing", "<doc-sep> is not global where documents are summarized together.",
         "is_global[ids == self.tokenizer.convert_tokens_to_ids(DOC_SEP)] = 1", "pass",
         of("test_tasks", "test_doc_sep_counts_where_the_vocabulary_has_it")),
    ],
    "tasks/answering.py": [
        ("question-not-global", "The last token of the question is not global.",
         "is_global[:, : 1 + asked] = 1", "is_global[:, :asked] = 1",
         of("test_answers", "test_answers_are_those_of_the_pipeline")),
        ("no-answer-outside-the-softmax", "<s> has no share of the probabilities of a chunk.",
         "is_text | (np.arange(len(is_text)) == 0)", "is_text.copy()",
         of("test_answers", "test_answers_are_those_of_the_pipeline")),
    ],
    "gradients/attention_encoder.py": [
        ("backward-global-row", "The ordinary query of a global token has a gradient; its context was overwritten.",
         "d_context[places] = 0", "pass", ENCODER_BACK),
        ("backward-global-in-band", "A global key is in the band, too, and so a query gets its part twice.",
         "is_key = documents.is_real & ~documents.is_global", "is_key = documents.is_real", GRADIENTS),
        ("backward-global-column", "What all see of a global token counts twice in its gradient.",
         "= d_k_extra, d_v_extra", "= 2 * d_k_extra, 2 * d_v_extra", ENCODER_BACK),
        ("backward-padding-query", "The context of padding has a gradient; it was set to 0.",
         "d_context[~documents.is_real] = 0", "pass", ENCODER_BACK),
        ("backward-global-key", "The matrix of global keys gets the sum of queries in place of that of tokens.",
         "_by_head_to_weight(q, d_queries,", "_by_head_to_weight(q, queries,", ENCODER_BACK),
        ("backward-global-softmax", "The gradient of a global token's scores lacks the softmax's mean.",
         "d_scores -= probs * d_scores.sum(axis=1, keepdims=True)", "pass", ENCODER_BACK),
        ("backward-global-dropout", "The sum of a global token's probabilities is 1 though some are dropped.",
         "d_probs += d_totals[:, columns].reshape(-1, 1)", "pass", ENCODER_DROPS),
        ("backward-dropped-anew", "An attention whose output is computed again drops nothing of it.",
         "documents.dropout.hidden(output, kept[output])", "pass", KEPT),
    ],
    "gradients/attention_decoder.py": [
        ("backward-states-of-one-layer", "The encoder's states have the gradient of one layer's keys or values.",
         "sums, out=d_states, add=True)", "sums, out=d_states)", GRADIENTS),
        ("backward-frozen-source", "A cross-attention's keys are not trained where the encoder is not.",
         'linear_weights(gradient, states, f"{name}.{part}", sums)', "pass",
         of("test_gradients_decoder", "test_what_is_frozen_is_not_differentiated")),
        ("backward-no-key", "A query without any key, which attends to all alike, gives nothing to their values.",
         "d_v[:, start:stop] += np.swapaxes(probs, 1, 2) @ _by_head(upstream[blind], H)", "pass", LM_BACK),
    ],
    "gradients/decoder.py": [
        ("backward-cross-dropout", "The gradient goes through what was dropped of an attention's output.",
         'dropout.hidden(f"{attention}.out_proj", d_output)', "pass", DECODER_DROPS),
    ],
    "gradients/sums.py": [
        ("backward-tied", "The gradient of a tied weight is that of its last use.",
         "if id(weight) not in self._sums:", "if True:", GRADIENTS),
    ],
    "gradients/heads.py": [
        ("backward-count-of-part", "The part of a batch divides its loss by its own labels, not by those of the batch.",
         "count = max(1, len(counted)) if step.count is None else step.count", "count = max(1, len(counted))", PARTS),
        ("backward-count-of-ignored", "The loss is divided by all labels, those of -100 too.",
         "max(1, len(counted)) if", "len(targets) if", GRADIENTS),
        ("backward-tied-head", "The language head, which is tied to the embeddings, adds nothing to their gradient.",
         "back_to_weight(upstream, x, d_weight, None)", "pass", LM_BACK),
        ("backward-count-of-block", "Each block of rows counts as much, however many labels it has.",
         "targets[block], count, step.smoothing", "targets[block], None, step.smoothing",
         of("test_gradients_decoder", "test_logits_in_blocks")),
    ],
    "gradients/losses.py": [
        ("backward-smoothing", "A smoothed label is spread over the others, in the gradient, and not over all.",
         "probs -= smoothing / logits.shape[-1]", "probs -= smoothing / (logits.shape[-1] - 1)", LM_BACK),
        ("backward-mean-of-parts", "Parts of a batch count alike, however many labels they have.",
         "loss.dtype.type(labels / count)", "loss.dtype.type(1)", DROPPED_PARTS),
    ],
    "gradients/model.py": [
        ("backward-lowest-decoder", "The decoder's frozen layers keep the encoder's from being trained.",
         "0 if is_encoder_trained else of_decoder", "of_decoder",
         of("test_gradients_decoder", "test_what_is_frozen_is_not_differentiated")),
    ],
    "models/headed.py": [
        ("backward-part-drops-anew", "Each part of a batch drops what the first part drops.",
         "int(first_document) + np.arange", "np.arange", DROPPED_PARTS),
        ("backward-later-labels", "A target is cut at its last label though a token without any key attends behind it.",
         "if is_key is None or is_key[:, 0].all():", "if True:", LM_BACK),
    ],
    "gradients/layers.py": [
        ("backward-dropout", "The gradient goes through what was dropped.",
         'part.hidden(f"{name}.fc2", d_fed)', "pass", ENCODER_DROPS),
        ("backward-gelu", "The derivative of the exact GELU is that of the GELU by tanh.",
         "gelu_back(x, upstream)", 'activate(upstream, x, "gelu_new")',
         of("test_gradients_encoder", "test_the_derivative_of_an_activation")),
        ("backward-residual", "The gradient of a feed-forward's input lacks the residual's.",
         "out=d_x, add=True)", "out=d_x)", ENCODER_BACK),
        ("backward-padding-row", "The row of padding is looked up in the embedding.",
         "is_counted = ids != pad", "is_counted = ids >= 0",
         of("test_gradients_encoder", "test_tied_weights_share_a_sum_and_padding_is_not_looked_up")),
    ],
    "porting/recipe.py": [
        ("recipe-wide", "Wide matrices of the recipe are as large as narrow ones, so that roundings decide.",
         "value / 2 ** halvings(shape[1])", "value",
         of("test_kit", "test_the_weights_of_a_kit_are_those_of_the_recipe")),
    ],
    "porting/grading.py": [
        ("port-outlives", "What a port has started goes on when its time is over.",
         'os.killpg(process.pid, signal.SIGKILL) if hasattr(os, "killpg") else process.kill()', "process.kill()",
         of("test_kit", "test_an_interrupt_ends_the_port_and_what_it_started")),
    ],
    "training/loop.py": [
        ("step-of-batch-means", "The batches of a step count alike, however many tokens they have.",
         "count=count", "count=None", of("test_training", "test_a_step_of_several_batches_is_that_of_one")),
    ],
    "porting/comparing.py": [
        ("check-padding", "No row of padding is compared, also where a port has computed it.",
         "np.moveaxis(is_out, at, 1)[is_out_row] = True", "np.moveaxis(is_out, at, 1)[is_padding] = True",
         of("test_check", "test_rows_of_padding_may_be_left_out_and_that_is_said")),
        ("check-masked-targets", "Rows of targets that are masked need not be computed.",
         'letter == "S" and letter in self.is_real', "letter in self.is_real",
         of("test_check", "test_rows_that_a_port_must_compute_are_not_padding")),
        ("check-layout-by-chance", "Of several layouts the one that agrees best is taken, though all are wrong.",
         "or errors[best] < errors[0] / 4 else 0", "or errors[best] < errors[0] else 0",
         of("test_check", "test_wrong_numbers_keep_the_simplest_layout")),
    ],
    "training/optimizer.py": [
        ("step-beside-the-model", "A step changes a copy of the weights, and the model never sees it.",
         "view if array is shown else array", "array",
         of("test_training", "test_a_step_changes_the_weights_that_the_model_has_now")),
    ],
    "training/state.py": [
        ("state-young-moments", "A training that goes on takes its means of gradients for new ones.",
         "np.array(square), count)", "np.array(square), 0)",
         of("test_training", "test_a_training_that_was_stopped_goes_on_with_the_same_bits")),
    ],
}  # fmt: skip
# What is special in the backward pass of LED, each done wrong: what the gradients are first suspected of in a port.
TRAPS = (
    "backward-global-row", "backward-global-in-band", "backward-padding-query", "backward-scale", "backward-global-key",
    "backward-padding-row", "backward-tied", "backward-count-of-part", "norm-back-of-output", "backward-dropped-anew",
    "backward-gelu", "backward-states-of-one-layer",
)  # fmt: skip
_FILE = (
    Path(__file__).parent.parent / "pyled" / "porting" / "mistakes.py"
)  # imports nothing of the pyled that is tested
_OF_PORTS: dict[str, str] = {one.name: one.says for one in runpy.run_path(str(_FILE))["MISTAKES"]}
MISTAKES = [
    Mistake(file, name, says or _OF_PORTS[name], *rest) for file, rows in OF_FILE.items() for name, says, *rest in rows
]

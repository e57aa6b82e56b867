"""The mistakes that the suite must notice: each changes one line of pyled/, and names the tests that must then fail.

The classic mistakes of those who implement LED, BART or Longformer come first in each part; then every comparison,
every +-1 and every expression on masks of the forward pass, the kernels and beam search is turned round once.
`LEFT_OUT` lists the flips that change no result, or that end in an exception instead of a wrong result.
"""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True, kw_only=True)
class Place:
    """A part of a line: `old` stands in one line of pyled/`file` and in no other, or else behind `after`, a text that
    the file has once.
    """

    file: str
    old: str
    why: str
    after: str = ""

    def place(self, source: str) -> int:
        """Where `old` begins. Raises ValueError unless it stands where it should, once."""
        begin = source.find(self.after) + len(self.after)
        start = source.find(self.old, begin)
        if source.count(self.after or self.old) != 1 or start < 0 or "\n" in self.old:
            raise ValueError(f"{self.file}: {self.why}: {self.old!r} is not found, or more than once")
        return start


@dataclass(frozen=True, kw_only=True)
class Mutation(Place):
    """A mistake: `new` in the place of `old`. `tests`, below tests/, must notice it."""

    new: str
    tests: tuple[str, ...]

    def applied_to(self, source: str) -> str:
        """The source with this mistake in it."""
        start = self.place(source)
        return source[:start] + self.new + source[start + len(self.old) :]


def stored(*cases: str, dtype: str = "float64") -> tuple[str, ...]:
    """The test that compares a whole forward pass with the reference's answers, for some cases."""
    return tuple(f"test_model.py::test_every_output_field_is_the_references[{case}-{dtype}]" for case in cases)


def cached(*cases: str) -> tuple[str, ...]:
    """As `stored`, for cases of several calls that share a cache."""
    return tuple(f"test_model.py::test_calls_that_share_a_cache[{case}-float64]" for case in cases)


def of(file: str, *names: str) -> tuple[str, ...]:
    """Tests of one file."""
    return tuple(f"{file}.py::{name}" for name in names)


PROPERTIES = "test_model_properties"
ADDED, VOCABULARIES, RESIZE = "test_added_tokens", "test_tokenizer_files", "test_resize"
ANSWERS = of(ADDED, "test_it_answers_as_the_reference")
COUNTED = of(ADDED, "test_what_is_counted")
SHOWN = "test_what_is_bad_in_a_tokenizer_json_is_shown_with_its_line"
GLOBALS = stored("pattern-far", "pattern-uneven")
HOLES = stored("pattern-holes", "pattern-suffix")
SPLIT = of(PROPERTIES, "test_a_cache_gives_the_same_logits_at_any_split")
BAND = of("test_kernels", "test_banded_is_dense_attention_within_the_band")
EDGES = of("test_kernels", "test_banded_at_every_edge_of_a_tile")
NUMBERS = of("test_kernels", "test_what_is_no_number_reaches_every_query_that_attends_to_it_and_no_other")
GROUPED = of("test_kernels", "test_grouped_is_dense_attention_within_each_group")
NARROW = of("test_narrow", "test_a_narrow_product_is_that_of_the_widened_matrix_and_rows_are_alone")
NARROW_KEYS = of("test_narrow", "test_narrow_keys_and_values_are_those_of_the_widened_ones")
KEPT = of("test_narrow", "test_the_source_is_kept_as_narrow_as_the_weights")
INFINITE = of("test_narrow", "test_what_is_not_finite_has_no_int8")
NARROW_MODEL = of("test_narrow", "test_a_model_is_that_whose_matrices_were_rounded_before")
BF16 = of("test_narrow", "test_bf16_is_the_nearest_and_of_two_the_even", "test_bf16_of_numbers_that_are_easily_wrong")
INT8 = of(
    "test_narrow",
    "test_int8_is_the_nearest_whole_number_by_a_scale_of_the_largest",
    "test_int8_of_halves_and_of_rows_without_a_scale",
)
FEW_ROWS = of("test_kernels", "test_few_rows_is_a_product_and_a_row_does_not_depend_on_its_company")
ADD_PRODUCT = of("test_kernels", "test_add_product_adds_a_product")
DOTS = of("test_kernels", "test_dots_are_products_with_some_rows_of_a_matrix")
ANY_SIZE = of("test_kernels", "test_attention_survives_scores_of_any_size")
BIAS = of("test_kernels", "test_bias_alone_and_on_the_way_to_heads")
GELU = of("test_kernels", "test_bias_and_gelu_in_one_pass")
GELU_RANGE = of("test_kernels", "test_gelu_over_the_whole_range_of_float32")
EXP = of("test_kernels", "test_exp_is_0_for_what_is_masked_and_good_to_a_unit_and_a_half_elsewhere")
ORDER = of("test_kernels", "test_the_past_of_rows_in_another_order")
NORM = of("test_kernels", "test_residual_and_norm_in_one_pass")
MISTAKE = of(PROPERTIES, "test_every_mistake_in_an_argument_has_its_message")
SEARCH = of("test_generation_search", "test_the_search_finds_what_the_reference_finds")
DEAD_ENDS = of(
    "test_generation_search",
    "test_no_token_left_is_refused_with_document_and_position",
    "test_a_later_dead_end_is_refused_unless_something_has_ended",
)
NAN = of("test_generation_search", "test_scores_that_are_no_numbers_are_refused_or_removed")
BEST = of("test_generation_search", "test_best_is_a_stable_sort")
PIECES = of("test_generation_search", "test_progress_is_told_after_every_token")
TABLE = of("test_generation_processors", "test_a_processor_does_what_the_reference_does_and_leaves_its_input_alone")
TEXTS = of("test_tokenizer", "test_ids_offsets_tokens_and_decoding_of_a_text")
CALLS = of("test_tokenizer", "test_padding_truncation_and_pairs")
ROWS = of("test_tokenizer_calls", "test_windows_words_and_where_characters_are_found")
WINDOWS = of("test_tokenizer_calls", "test_windows_cover_the_text_and_repeat_the_stride")
PLACES = of("test_tokenizer_calls", "test_a_row_leads_from_characters_and_words_to_tokens_and_back")
WORDS = of("test_tokenizer_calls", "test_words_are_the_whole_text_one_after_the_other")
CHECKED = of(
    "test_tokenizer_files",
    "test_a_bad_vocabulary_is_refused_with_its_line",
    "test_bad_merges_are_refused_with_their_line",
    "test_a_tokenizer_json_that_is_not_leds_is_refused",
)
REFUSED_CALLS = of("test_tokenizer_calls", "test_mistakes_are_refused")
MERGES = of("test_tokenizer_bpe", "test_every_short_word_merges_by_the_order_of_the_list")
FEWER = of("test_tokenizer_bpe", "test_only_few_symbols_are_looked_at_again_and_again")
BOTH = of("test_tokenizer_bpe", "test_both_ways_to_merge_are_one")
PARTS = of(
    "test_tokenizer_bpe",
    "test_words_are_those_of_the_parts",
    "test_every_short_run_of_white_space_is_cut_into_its_words",
)
CACHE = of("test_tokenizer_bpe", "test_the_cache_is_bounded_and_changes_nothing")
BOUND = of("test_tokenizer_bpe", "test_the_cache_never_holds_more_than_its_bound")


def in_file(file: str, *rows: tuple[str | tuple[str, ...], ...]) -> list[Mutation]:
    """Mutations of one file, each as (old, new, tests, why) or (old, new, tests, why, after)."""
    return [
        Mutation(file=file, **dict(zip(("old", "new", "tests", "why", "after"), row, strict=False))) for row in rows
    ]


TO_ALL = of(PROPERTIES, "test_global_queries_see_the_same_with_and_without_keys_of_their_own")
CHOICE = of(PROPERTIES, "test_few_global_queries_go_without_keys_of_their_own")
PROJECTED = "def _attend_to_all_projected("
ENCODER_ATTENTION = in_file(
    "network/attention.py",
    ("is_real & ~is_global, k_ex", "is_real, k_ex", GLOBALS, "globals count twice: column and band"),
    ("is_real & ~is_global, k_ex", "~is_global, k_ex", HOLES, "padding is attended to"),
    ("is_real & ~is_global, k_ex", "~is_real & ~is_global, k_ex", HOLES, "the mask of keys is inverted"),
    ("is_real & ~is_global, k_ex", "is_real & is_global, k_ex", GLOBALS, "only globals in the band"),
    ("np.take(array, places, axis=1)", "array[:, :0]", GLOBALS, "local queries do not see the globals"),
    ("banded(q, k, v, is_real & ~", "banded(q, k, k, is_real & ~", HOLES, "keys for values"),
    ("context[~is_real] = 0", "pass", HOLES, "padded query rows are not zeroed"),
    ("context[~is_real] = 0", "context[is_real] = 0", HOLES, "real query rows are zeroed"),
    ("if slots is not None else None", "if slots is None else None", HOLES,
     "local probabilities are missing when asked for", "local = "),
    ("if slots is not None else None", "if slots is None else None", GLOBALS,
     "global probabilities are missing when asked for", "to_all = np"),
    ("if len(places):", "if not len(places):", GLOBALS, "globals attend to their window only"),
    ("FEW_GLOBAL <= E", "FEW_GLOBAL < E", CHOICE, "one of the few is many"),
    ("FEW_GLOBAL <= E", "FEW_GLOBAL - 1 <= E", CHOICE, "one of the many is few"),
    ("FEW_GLOBAL <= E", "FEW_GLOBAL > E", CHOICE, "many are few, and few many"),
    ("slots is not None)", "slots is None)", GLOBALS, "probabilities of many globals are missing when asked for"),
    ("if to_all is not None and probs is not None:", "if to_all is None and probs is not None:", GLOBALS,
     "no probabilities of global queries"),
    ("if to_all is not None and probs is not None:", "if to_all is not None and probs is None:", GLOBALS,
     "probabilities of global queries only where there are none"),
    ('.query_global")', '.query")', TO_ALL, "no projection of its own for few global queries", "max(2, G)"),
    ('.{part}_global.weight"', '.{part}.weight"', TO_ALL, "no projections of their own for what few queries see"),
    ('for part in ("key", "value")', 'for part in ("value", "key")', TO_ALL, "few global queries: keys for values",
     "key, value ="),
    ('.value_global.bias"', '.value.bias"', TO_ALL, "few global queries: the bias of the others"),
    ('context + weights[f"{name}.value_global.bias"]', "context", TO_ALL, "few global queries: values without bias"),
    ("heads(hidden[places]", "heads(hidden[:G]", TO_ALL, "the first tokens ask for few globals", "max(2, G)"),
    ("scores[:, ~is_real] = -np.inf", "scores[:, is_real] = -np.inf", TO_ALL, "few global queries: mask inverted"),
    ("scores[:, ~is_real] = -np.inf", "pass", TO_ALL, "few global queries see padding"),
    ("scores /= math.sqrt(D)", "pass", TO_ALL, "few global queries: no 1/sqrt(D)"),
    ("scores /= math.sqrt(D)", "scores /= D", TO_ALL, "few global queries: 1/sqrt(D) twice"),
    ('.query_global")', '.query")', TO_ALL, "no projection of its own for many global queries", PROJECTED),
    ('{part}_global") for', '{part}") for', TO_ALL, "no projections of their own for what many queries see"),
    ("heads(hidden[places]", "heads(hidden[: len(places)]", TO_ALL, "the first tokens ask for many globals", PROJECTED),
    ("v[:, :0], len(hidden), context)", "v[:, :0], 1, context)", TO_ALL, "many global queries see a window"),
    ("banded(q, k, v, is_real, k", "banded(q, k, v, is_real | True, k", TO_ALL, "many global queries see padding"),
    ("banded(q, k, v, is_real, k", "banded(q, k, v, ~is_real, k", TO_ALL, "many global queries: mask inverted"),
    ("if not want:", "if want:", TO_ALL, "probabilities of many globals only if not wanted"),
    ("np.where(is_real, q", "np.where(~is_real, q", TO_ALL, "global probabilities: inverted mask"),
    ("np.where(is_real, q", "np.where(True, q", TO_ALL, "global probabilities: padding is attended to"),
    ("/ math.sqrt(q.shape[2]), -np.inf", "/ q.shape[2], -np.inf", TO_ALL, "global probabilities: 1/sqrt(D) twice"),
    ("is_real & ~is_global, w), 2", "is_real, w), 2", GLOBALS, "probabilities: globals twice"),
    ("is_real & ~is_global, w), 2", "~is_global, w), 2", HOLES, "probabilities: padding is attended to"),
    ("is_real & ~is_global, w), 2", "~is_real & ~is_global, w), 2", HOLES, "probabilities: inverted mask"),
    ("k[h, places].T", "k[h, : len(places)].T", GLOBALS, "probabilities: wrong keys in the global columns"),
    ("np.where(is_key, np", "np.where(~is_key, np", HOLES, "probabilities: mask of the band inverted"),
    ("softmax(scores / math.sqrt(D))", "softmax(scores)", GLOBALS, "probabilities: no 1/sqrt(D)"),
    ("softmax(scores / math.sqrt(D))", "softmax(scores / D)", GLOBALS, "probabilities: 1/sqrt(D) twice"),
    ("probs[:, ~is_real | is_global] = 0", "probs[:, ~is_real] = 0", GLOBALS, "global rows not 0"),
    ("probs[:, ~is_real | is_global] = 0", "probs[:, is_global] = 0", HOLES, "padded rows not 0"),
    ("probs[:, ~is_real | is_global] = 0", "probs[:, is_real | is_global] = 0", HOLES, "real rows 0"),
    ("where=total > 0", "where=total < 0", HOLES, "softmax without its division"),
)  # fmt: skip

BRANCHES = of(PROPERTIES, "test_a_continuation_keeps_its_tokens_when_the_same_past_is_continued_otherwise")
BEAMS = of(PROPERTIES, "test_generation_with_a_cache_is_the_search_over_the_definition")
SELECTED = of(PROPERTIES, "test_a_selected_cache_goes_on_as_its_rows_would")
GROWN = of(PROPERTIES, "test_a_cache_that_grows_with_every_token_keeps_its_past")
MASK = stored("decoder-mask", "decoder-1-mask")
BITS = of(PROPERTIES, "test_asking_for_probabilities_changes_no_bit")
DECODER_ATTENTION = in_file(
    "network/attention.py",
    ("np.tri(T, L, L - T, dtype", "np.tri(T, L, L - T + 1, dtype", stored("decoder-6"), "a token sees the next one"),
    ("np.tri(T, L, L - T, dtype", "np.tri(T, L, L - T - 1, dtype", stored("decoder-6"), "a token misses itself"),
    ("np.tri(T, L, L - T, dtype", "np.tri(T, L, 0, dtype", cached("cache-halves"), "the causal mask ignores the past"),
    ("np.tri(T, L, L - T, dtype", "np.tri(T, L, L, dtype", stored("decoder-6"), "no causal mask"),
    ("is not None and T > 1:", "is not None:", cached("cache-mask"), "a mask counts in a call of one token"),
    ("is not None and T > 1:", "is not None and T > 2:", cached("cache-mask"), "a mask of two tokens does not count"),
    ("is not None and T > 1:", "is None and T > 1:", MASK, "the decoder's mask is ignored"),
    ("may &= is_key[r]", "may &= ~is_key[r]", MASK, "the decoder's mask is inverted"),
    ("may &= is_key[r]", "may |= is_key[r]", MASK, "the decoder's mask overrules the causal one"),
    ("np.ones((R, L), np.bool_)) if T == 1", "np.zeros((R, L), np.bool_)) if T == 1", cached("cache-5-1"),
     "one token sees no past"),
    ("if T == 1 else np.empty_like(q)", "if T != 1 else np.empty_like(q)", SPLIT, "many tokens by the way of one"),
    ("R if T > 1 or want else 0", "R if want else 0", SPLIT, "attention of several tokens only if it is shown"),
    ("R if T > 1 or want else 0", "R if T > 2 or want else 0", SPLIT, "two tokens are none"),
    ("if T > 1:", "if T >= 1:", BITS, "asking for probabilities changes the context", "keys.view[r, h], values"),
    ("if T > 1:", "if T > 2:", SPLIT, "the context of two tokens is lost", "keys.view[r, h], values"),
    ("if probs is not None:", "if probs is None:", stored("decoder-6"), "no probabilities", "keys.view[r, h], values"),
    ("if probs is not None:", "if probs is None:", stored("decoder-6"), "no source's probabilities",
     "_attend(q[r, h], k[h]"),
    ("keys = past[0].append", "keys = past[1].append", cached("cache-halves"), "past keys from the values"),
    ("values = past[1].append", "values = past[0].append", cached("cache-halves"), "past values from the keys"),
    ("_of_row == document)", "_of_row != document)", stored("decoder-batch"), "rows read another document's keys"),
    ("if T == 1 and len(rows):", "if T != 1 and len(rows):", stored("decoder-1"), "one token by the way of many"),
    ("values[None], is_key[document][None]", "values[None], is_key[document][None] | True", BEAMS,
     "one token: the source's mask is ignored"),
    ("values[None], is_key[document][None]", "values[None], ~is_key[document][None]", cached("cache-mask"),
     "one token: the source's mask is inverted"),
    ("and (T > 1 or probs", "and (T > 2 or probs", SPLIT, "two tokens do not see the source"),
    ("T > 1 or probs is not None", "T > 1 and probs is not None", SPLIT, "the source only if probabilities are shown"),
    ("np.broadcast_to(is_key[document], (T", "np.broadcast_to(~is_key[document], (T", HOLES,
     "the source's mask is inverted"),
    ("np.broadcast_to(is_key[document], (T", "np.broadcast_to(True, (T", HOLES, "the source's mask is ignored"),
    ("if T > 1:", "if T >= 1:", BITS, "asking for probabilities changes the source's context", "_attend(q[r, h], k[h]"),
    ("if T > 1:", "if T > 2:", SPLIT, "two tokens lose the source's context", "_attend(q[r, h], k[h]"),
    (".v_proj\", values, rows)", ".k_proj\", values, rows)", stored("decoder-6"), "the source's values are its keys"),
    ("np.where(may, q", "np.where(~may, q", stored("decoder-6"), "what may be seen is inverted"),
    ("/ math.sqrt(q.shape[1])", "", stored("decoder-6"), "decoder: no 1/sqrt(D)"),
    ("/ math.sqrt(q.shape[1])", "/ q.shape[1]", stored("decoder-6"), "decoder: 1/sqrt(D) twice"),
    ("scores[~may.any(axis=1)] = 0", "pass", stored("decoder-no-key"), "a row without keys is 0"),
    ("scores[~may.any(axis=1)] = 0", "scores[may.any(axis=1)] = 0", stored("decoder-6"), "rows with keys are uniform"),
    ("scores[~may.any(axis=1)] = 0", "scores[~may.all(axis=1)] = 0", stored("decoder-6"), "any mask makes uniform"),
)  # fmt: skip

STACKS = [
    *in_file(
        "network/cache.py",
        ("not self._is_continued and ", "", BRANCHES, "a second continuation writes into the first"),
        ("self._is_continued |= fits", "pass", BRANCHES, "nobody remembers that a buffer was continued"),
        ("[:, :, self.length : length] = new", "[:, :, : length - self.length] = new", SPLIT, "appended in front"),
        ("select_past(self.buffer, self.length, ", "select_past(self.buffer, 0, ", GROWN,
         "the past is lost when a buffer grows"),
        ("_copied(rows, self.length)", "_copied(np.arange(len(rows)), self.length)", BEAMS,
         "the cache does not follow beams"),
        ("own=own, document_of_row=self.document_of_row[rows]", "own=own", SELECTED, "rows keep their old documents"),
        ("return self.own[0][0].length if", "return 0 if", SPLIT, "the past has no length"),
    ),
    *in_file(
        "network/decoder.py",
        ("embed(tokens, past.get_seq_length(), ", "embed(tokens, 0, ", SPLIT, "positions begin anew in each call"),
        ("np.repeat(np.arange(len(documents)), R", "np.tile(np.arange(len(documents)), R", BEAMS,
         "beams read another document's keys"),
        ('f"{layer}.encoder_attn_layer_norm"', 'f"{layer}.self_attn_layer_norm"', stored("decoder-6"), "wrong norm"),
        ("own.append(grown)", "own.append(past.own[i])", SPLIT, "the cache does not grow"),
        ("want = S is not None", "want = S is None", stored("decoder-6"), "probabilities when not asked for"),
    ),
    *in_file(
        "network/encoder.py",
        ("embed(tokens, 0, ", "embed(tokens, 2, ", stored("length-tall-3"), "BART's offset of 2 in the positions"),
        ("else config.one_sided_window(i)", "else config.one_sided_window(0)", stored("windows-none"),
         "the first layer's window for all"),
        ("if slots is None else", "if slots is not None else", stored("length-wide-1"), "windows cut to the document"),
        ('f"{layer}.final_layer_norm"', 'f"{layer}.self_attn_layer_norm"', stored("length-tall-3"), "wrong norm"),
    ),
    *in_file(
        "network/layers.py",
        ("add_bias(result.reshape(-1, M), bias, activate=gelu)", "pass", stored("decoder-6"), "linear without bias"),
        ("few_rows(rows, weight, bias, ", "few_rows(rows, weight, bias * 0, ", stored("decoder-1"),
         "few rows without bias"),
        ("LAYER_NORM_EPSILON = 1e-5", "LAYER_NORM_EPSILON = 1e-6", stored("decoder-6"), "another epsilon"),
        ("min(len(x), first + FEED_FORWARD_ROWS)", "min(len(x), first - 1 + FEED_FORWARD_ROWS)", of(PROPERTIES,
         "test_rows_beyond_a_slice_of_the_feed_forward"),
         "a row between two slices is lost"),
        ('gelu=kind == "gelu"', 'gelu="gelu" in kind', stored("activation-gelu_new"), "erf before tanh"),
        ('gelu=kind == "gelu"', 'gelu=kind != "gelu"', stored("activation-relu"), "erf for all but gelu"),
        ('if kind != "gelu":', 'if "gelu" not in kind:', stored("activation-gelu_new"), "no activation but erf"),
        ("np.maximum(x, 0, out=x)", "np.maximum(x, 0.01 * x, out=x)", stored("activation-relu"), "a leaky relu"),
        ('("gelu_new", "gelu_pytorch_tanh")', '("gelu_new",)', stored("activation-gelu_pytorch_tanh"),
         "logistic for tanh"),
        ("inner *= 0.044715", "inner *= 0.44715", stored("activation-gelu_new"), "gelu_new: a constant"),
        ("inner += x", "inner += 1", stored("activation-gelu_new"), "gelu_new: x forgotten"),
        ("math.sqrt(2 / math.pi)", "math.sqrt(math.pi / 2)", stored("activation-gelu_new"), "gelu_new: pi / 2"),
        ("-1.702 if", "-1.7 if", stored("activation-quick_gelu"), "quick_gelu: a constant"),
        ('kind == "quick_gelu"', 'kind != "quick_gelu"', stored("activation-silu"), "silu for quick_gelu"),
        ("[first_position : first_position + T]", "[first_position + 1 :][:T]", stored("decoder-6"),
         "positions from 1"),
    ),
]  # fmt: skip

MASKS = of(PROPERTIES, "test_masks_say_what_they_should", "test_what_a_mask_may_hold")
REFUSED = of(PROPERTIES, "test_ids_and_embeds_at_the_edge_of_what_is_allowed")
MINUS_ONE = stored("pattern-minus-one", "pattern-minus-one-without-mask", "pattern-minus-one-on-real")
INPUTS = in_file(
    "models/arguments.py",
    ("shape, (0, 1)) == 1", "shape, (0, 1)) == 0", HOLES, "attention_mask inverted"),
    ("(-1, 0, 1), default=0)", "(-1, 0, 1))", MASKS, "all tokens are global by default"),
    ("is_key & (global_marks != -1)", "is_key", MINUS_ONE, "-1 in global_attention_mask is real"),
    ("is_key & (global_marks != -1)", "is_key & (global_marks == -1)", MINUS_ONE, "only -1 is real"),
    ("is_key & (global_marks != -1)", "is_key | (global_marks != -1)", HOLES, "padding is real unless marked"),
    ("is_key & (global_marks != -1)", "global_marks != -1", HOLES, "attention_mask is ignored"),
    ("marked = global_marks == 1", "marked = global_marks != 0", MASKS, "-1 counts as a dropped mark"),
    ("marked = global_marks == 1", "marked = global_marks != 1", GLOBALS, "all but the marked are global"),
    ("marked & is_real, is_key", "marked, is_key", stored("pattern-on-masked"), "padding may be global"),
    ("marked & is_real, is_key", "marked | is_real, is_key", GLOBALS, "all real tokens are global"),
    ("marked & ~is_real)", "marked & is_real)", MASKS, "marks that count are told as dropped"),
    ("count and is_key[:count].all()", "count", HOLES, "a mask with holes is cut like a prefix"),
    ("count and is_key[:count].all()", "is_key[:count].all()", MASKS, "a masked document has no tokens"),
    ("count and is_key[:count].all()", "not is_key[:count].all()", MASKS, "prefix masks run in full"),
    ("default: int = 1)", "default: int = 0)", stored("length-tall-3"), "no mask masks all"),
    ("if given.shape != shape:", "if given.ndim != len(shape):", MASKS, "a mask of another length passes"),
    ("np.isin(given, allowed)", "np.isin(given.astype(int), allowed)", MASKS, "halves pass for masks"),
    ("if not is_allowed.all():", "if False:", MASKS, "any number passes for a mask"),
    ("if not is_allowed.all():", "if not is_allowed.any():", MASKS, "one good number is enough"),
    ("given[~is_allowed]", "given[is_allowed]", MISTAKE, "the message names a number that is allowed"),
    ('name == "attention_mask" and odd == 2', "odd == 2", MASKS, "the hint on global marks for every mask"),
    ("and odd == 2 else", "and odd != 2 else", MISTAKE, "the hint on global marks for other numbers"),
    ('given.dtype.kind not in "iu"', 'given.dtype.kind in "b"', REFUSED, "floats pass for ids"),
    ("given.ndim != 2 or given.size == 0", "given.size == 0", REFUSED, "a row passes for a batch"),
    ("given.ndim != 2 or given.size == 0", "given.ndim != 2", REFUSED, "no tokens at all"),
    ("(given < 0) | (given >= vocab", "(given < -1) | (given >= vocab", REFUSED, "-1 passes for an id"),
    ("(given < 0) | (given >= vocab", "(given <= 0) | (given >= vocab", REFUSED, "0 is refused"),
    ("(given < 0) | (given >= vocab", "(given < 0) | (given > vocab", REFUSED, "the id behind the last one passes"),
    ("(given < 0) | (given >= vocab", "(given < 0) | (given >= -1 + vocab", REFUSED, "the last id is refused"),
    ("to {vocabulary - 1}", "to {vocabulary}", MISTAKE, "the message names one id too many"),
    ("wrong &= ~np.isin(given, also)", "wrong &= np.isin(given, also)", REFUSED, "only -100 is refused"),
    ("given.ndim != 3 or given", "given", REFUSED, "embedded tokens without a batch pass"),
    ("given.shape[2] != E or given", "given", REFUSED, "embedded tokens of any width pass"),
    ("!= E or given.size == 0:", "!= E:", REFUSED, "no embedded tokens at all pass"),
    ("if not is_finite.all():", "if not is_finite.any():", REFUSED, "NaN among embedded tokens passes"),
    ("given[~is_finite]", "given[is_finite]", REFUSED, "the message names a number that is finite"),
    ("if length > positions:", "if length >= positions:", REFUSED, "the last position is refused"),
    ("if length > positions:", "if length > positions + 1:", REFUSED, "one token too many passes"),
)  # fmt: skip

EXTRA = "for j0 in range(0, k_extra.shape[0]"
POWERS = "def _powers("
BLOCKS = in_file(  # the bodies of Python; what generates instructions runs when compiled only, and no mutation is
    "kernels/vectors.py",
    ("range(a.shape[1])", "range(a.shape[1] - 1)", ADD_PRODUCT, "a sum without its last product"),
    ("a[:, u, None]", "a[:1, u, None]", ADD_PRODUCT, "the first row's factors for all"),
    ("c += a[", "c[:] = a[", ADD_PRODUCT, "the last product is the sum"),
    ("_widened(b[u], c.dtype)", "_widened(b[0], c.dtype)", ADD_PRODUCT, "the first row of b for all"),
    ("in range(first, stop):", "in range(first + 1, stop):", DOTS, "the first of some rows is left out",
     "out: (R, M) float"),
    ("in range(first, stop):", "in range(0, stop):", DOTS, "rows before the first", "out: (R, M) float"),
    ("_widened(weight[m], x.dtype)", "_widened(weight[first], x.dtype)", DOTS, "one row of the matrix for all"),
    ("if stored.dtype == np.uint16:", "if stored.dtype == np.uint8:", DOTS, "bits are numbers"),
    ("<< np.uint32(16)", "<< np.uint32(15)", DOTS, "half of the bits in the wrong place"),
)  # fmt: skip
KERNELS = [
    *BLOCKS,
    *in_file(
        "kernels/attention.py",
        ("shift[x] = score if score > largest else largest", "pass", BAND, "the running maximum ignores the tile"),
        ("if score > largest", "if score < largest", BAND, "the running maximum is none"),
        ("top[x] = shift[x]", "pass", BAND, "the maximum so far is forgotten"),
        ("scale[x] = exp(earlier - shift[x])", "scale[x] = 1", BAND, "nothing earlier is rescaled"),
        ("total[x] *= scale[x]", "pass", BAND, "earlier powers are not rescaled"),
        ("output[d, x] *= scale[x]", "pass", BAND, "earlier sums are not rescaled"),
        ("total[x] += scores[j, x]", "total[x] = scores[j, x]", BAND, "the sum of powers is the last power"),
        ("add_product(values.T, scores, output)", "add_product(values.T[:, 1:], scores[1:], output)", BAND,
         "the first value of a tile is left out"),
        ("if is_key[j0 + j]:", "if True:", BAND, "the mask of keys is ignored"),
        ("if is_key[j0 + j]:", "if not is_key[j0 + j]:", BAND, "the mask of keys is inverted"),
        ("if is_key[j0 + j]:", "if is_key[j]:", BAND, "the mask of the first tile for all"),
        ("own_lane = j0 + j - first", "own_lane = j0 + j - first + 1", BAND, "the band lies one place to the side"),
        ("own_lane = j0 + j - first", "own_lane = j + first - j0", BAND, "the band mirrored"),
        ("own_lane - w))] = -np.inf", "own_lane - w + 1))] = -np.inf", BAND, "the window one too narrow ahead"),
        ("own_lane - w))] = -np.inf", "own_lane - w - 1))] = -np.inf", BAND, "the window one too wide ahead"),
        ("own_lane - w))] = -np.inf", "own_lane))] = -np.inf", BAND, "a one-sided window, behind"),
        ("own_lane + w + 1)) :]", "own_lane + w)) :]", BAND, "the window one too narrow behind"),
        ("own_lane + w + 1)) :]", "own_lane + w + 2)) :]", BAND, "the window one too wide behind"),
        ("own_lane + w + 1)) :]", "own_lane + 1)) :]", BAND, "a one-sided window, ahead"),
        ("max(0, min(lanes, own_lane - w))]", "min(lanes, own_lane - w)]", BAND, "a negative lane counts from the end"),
        ("q.shape[0] - first)", "q.shape[0] - first - 1)", BAND, "the last query is left out"),
        ("q[first + i, d] * scale", "q[first + i, d]", BAND, "no 1/sqrt(D)"),
        ("q[first + i, d] * scale", "q[first + i, d] * scale * scale", BAND, "1/sqrt(D) twice"),
        ("q[first + i, d] * scale", "q[i, d] * scale", BAND, "the queries of the first tile for all"),
        ("range(max(0, first - w), stop", "range(max(0, first - w + 1), stop", EDGES, "tiles begin one key late"),
        ("range(max(0, first - w), stop", "range(first, stop", BAND, "tiles begin at the first query"),
        ("stop = min(k.shape[0], first + lanes + w)", "stop = min(k.shape[0], first + lanes + w - 1)", EDGES,
         "tiles end one key early"),
        ("stop = min(k.shape[0], first", "stop = min(k.shape[0] - 1, first", BAND, "the last key is left out"),
        ("min(stop, j0 + key_tile)", "min(stop, j0 + key_tile - 1)", BAND, "the last key of a tile is left out"),
        ("tile[:] = 0", "pass", BAND, "scores of the last tile stay", "j1 = min(stop, j0"),
        ("add_product(k[j0:j1], ", "add_product(k[: j1 - j0], ", BAND, "the first keys for all"),
        ("v[j0:j1], top", "v[: j1 - j0], top", BAND, "the first values for all"),
        ("range(0, k_extra.shape[0], key_tile)", "range(0, k_extra.shape[0] - 1, key_tile)", BAND,
         "the last tile of extra keys is left out"),
        ("min(k_extra.shape[0], j0 + key_tile)", "min(k_extra.shape[0] - 1, j0 + key_tile)", BAND,
         "the last extra key is left out"),
        ("min(k_extra.shape[0], j0 + key_tile)", "min(k_extra.shape[0], j0 + key_tile - 1)", BAND,
         "the last extra key of a tile is left out"),
        ("tile[:] = 0", "pass", BAND, "scores of the band stay", EXTRA),
        ("k_extra[j0:j1], queries", "k_extra[: j1 - j0], queries", BAND, "the first extra keys for all"),
        ("v_extra[j0:j1], top", "v_extra[: j1 - j0], top", BAND, "the first extra values for all"),
        ("if total[i] != 0 else 0", "if total[i] > 1 else 0", BAND, "a single key counts for nothing"),
        ("if total[i] != 0 else 0", "if total[i] < 0 else 0", BAND, "no context"),
        ("context[first + i, d] = output[d, i] * total[i]", "context[first + i, d] = output[d, i]", BAND,
         "no division"),
        ("context[first + i, d] = output", "context[i, d] = output", BAND, "all tiles write to the first"),
        ("(Q + query_tile - 1) // query_tile", "Q // query_tile", BAND, "the last queries are lost"),
        ("context[:, h * D : (h + 1) * D]", "context[:, : (h + 1) * D]", BAND, "all heads write to the first"),
        ("_band_tile(q[h], k[h], v[h]", "_band_tile(q[0], k[h], v[h]", BAND, "queries of one head"),
        ("_band_tile(q[h], k[h], v[h]", "_band_tile(q[h], k[0], v[h]", BAND, "keys of one head"),
        ("_band_tile(q[h], k[h], v[h]", "_band_tile(q[h], k[h], v[0]", BAND, "values of one head"),
        ("k_extra[h], v_extra[h]", "k_extra[0], v_extra[h]", BAND, "extra keys of one head"),
        ("k_extra[h], v_extra[h]", "k_extra[h], v_extra[0]", BAND, "extra values of one head"),
        ("1 / math.sqrt(D)", "1 / math.sqrt(q.shape[0] * D)", BAND, "scaled by the model size"),
        ("1 / math.sqrt(D)", "1 / D", BAND, "scaled by 1/D"),
        ("row[j] * scale if is_key[j]", "row[j] if is_key[j]", GROUPED, "a step: no 1/sqrt(D) for the last scores"),
        ("scale if is_key[j] else", "scale if not is_key[j] else", GROUPED, "a step: the mask is inverted at the end"),
        ("scale if is_key[j] else", "scale if True else", GROUPED, "a step: the mask is ignored at the end"),
        ("row[j0 + x] * scale if", "row[j0 + x] if", ANY_SIZE, "a step: no 1/sqrt(D)"),
        ("scale if is_key[j0 + x] else", "scale if not is_key[j0 + x] else", GROUPED, "a step: the mask is inverted"),
        ("scale if is_key[j0 + x] else", "scale if True else", GROUPED, "a step: the mask is ignored"),
        ("row[j0 + x] = score", "pass", ANY_SIZE, "a step: scores as they were"),
        ("tops[x] = score if score > top else top", "pass", ANY_SIZE, "a step: the maximum of the last scores only"),
        ("if score > top else top", "if score < top else top", ANY_SIZE, "a step: no maximum"),
        ("score, top = row[j0 + x] * scale", "score, top = row[x] * scale", ANY_SIZE,
         "a step: the first scores again and again"),
        ("tops[0] = max(tops[0], row[j])", "pass", ANY_SIZE, "a step: the maximum ignores the last scores"),
        ("tops.max()", "tops[0]", ANY_SIZE, "a step: the maximum of some scores"),
        ("if not is_key.any()", "if True", GROUPED, "a step: always uniform"),
        ("if not is_key.any()", "if not top > -np.inf", NUMBERS, "a step: NaN becomes uniform"),
        ("return row.dtype.type(S)", "return row.dtype.type(1)", GROUPED, "a step: uniform, and not divided", POWERS),
        ("total += row[j]", "total += 1", GROUPED, "a step: powers are counted, not summed", POWERS),
        ("context[r, d] /= totals[r]", "pass", GROUPED, "a step: no division"),
        ("/= totals[r]", "/= totals[0]", GROUPED, "a step: one row's sum for all"),
        ("if key_scale is not None:", "if key_scale is not None and r == 0:", NARROW_KEYS,
         "a step: scales of keys for the first row only"),
        ("if value_scale is not None:", "if value_scale is not None and r == 0:", NARROW_KEYS,
         "a step: scales of values for the first row only"),
        ("scores[r] *= key_scale", "pass", NARROW_KEYS, "a step: int8 keys without their scales"),
        ("scores[r] *= value_scale", "pass", NARROW_KEYS, "a step: int8 values without their scales"),
        ("scales = key_scale[n, h], value_scale[n, h]", "scales = key_scale[n, 0], value_scale[n, h]", NARROW_KEYS,
         "a step: one head's scales of keys for all"),
        ("scales = key_scale[n, h], value_scale[n, h]", "scales = key_scale[n, h], value_scale[0, h]", NARROW_KEYS,
         "a step: one document's scales of values for all"),
        ("_powers(scores[r], is_key, scale)", "_powers(scores[0], is_key, scale)", GROUPED,
         "a step: powers for one row only"),
        ("min(S, j0 + KEY_TILE)", "min(S, j0 + KEY_TILE - 1)", GROUPED, "a step: the last value of a tile is left out"),
        ("min(S, j0 + KEY_TILE)", "min(S - 1, j0 + KEY_TILE)", GROUPED, "a step: the last value is left out"),
        ("v[j0:j1], context)", "v[: j1 - j0], context)", GROUPED, "a step: the first values for all"),
        ("scores[:, j0:j1], v", "scores[:, : j1 - j0], v", GROUPED, "a step: the first probabilities for all"),
        ("n, h = task // H, task % H", "n, h = task // H, 0", GROUPED, "a step: one head for all"),
        ("1 / math.sqrt(q.shape[3])", "1 / math.sqrt(q.shape[2])", GROUPED, "a step: scaled by the rows"),
        ("1 / math.sqrt(q.shape[3])", "1 / q.shape[3]", GROUPED, "a step: 1/sqrt(D) twice"),
    ),
    *in_file(
        "kernels/elementary.py",
        ("ROUNDING = 1.5 * 2**23", "ROUNDING = 1.5 * 2**22", EXP, "exp: the exponent is rounded to halves"),
        ("0.166665204", "0.1666", EXP, "exp: a coefficient"),
        ("* np.float32(2.12194440e-4)", "* np.float32(0)", EXP, "exp: ln 2 in one part"),
        ("+ r + np.float32(1)", "+ r", EXP, "exp - 1"),
        ("np.int32(127)", "np.int32(126)", EXP, "exp: half of it"),
        ("0) if x < np.float32(SMALLEST", "0) if x <= np.float32(SMALLEST", EXP, "exp: 0 at the smallest exponent"),
        ("0) if x < np.float32(SMALLEST", "0) if x > np.float32(SMALLEST", EXP, "exp: 0 where it is not"),
        ("return np.float32(0) if x <", "return p * power_of_two if x <", EXP, "exp: what is masked is not 0"),
        ("return exp_float32(x) if isinstance(x, np.float32) else math.exp(x)", "return exp_float32(np.float32(x))",
         BAND, "exp: float32 for float64"),
        ("return gelu_float32(x) if isinstance(x, np.float32) else x * 0.5 * math.erfc(-x * math.sqrt(0.5))",
         "return x * 0.5 * (1 + math.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))", GELU, "tanh for erf"),
        ("x * 0.5 * math.erfc(-x * math.sqrt(0.5))", "x * 0.5 * math.erfc(x * math.sqrt(0.5))", GELU, "gelu: mirrored",
         "def gelu(x):"),
        ("x * 0.5 * math.erfc(-x * math.sqrt(0.5))", "x * math.erfc(-x * math.sqrt(0.5))", GELU, "gelu: twice",
         "def gelu(x):"),
        ("gelu_float32(x) if isinstance(x, np.float32)", "gelu_float32(np.float32(x)) if True", GELU,
         "gelu: float32 for float64"),
        ("0.636597733", "0.636619772", GELU_RANGE, "gelu: a coefficient"),
        ("u = min(abs(x)", "u = max(abs(x)", GELU, "gelu: never near 0"),
        ("ERFC_END = 4.0", "ERFC_END = 3.0", GELU_RANGE, "gelu: the tail ends early"),
        ("if u < np.float32(ERFC_END)", "if u > np.float32(ERFC_END)", GELU_RANGE, "gelu: relu"),
        ("tail if x < np.float32(0)", "tail if x > np.float32(0)", GELU, "gelu: the sides exchanged"),
        ("np.float32(1) - tail)", "tail)", GELU, "gelu: the same tail on both sides"),
    ),
    *in_file(
        "kernels/products.py",
        ("(M + WEIGHT_TILE - 1) // WEIGHT_TILE", "M // WEIGHT_TILE", FEW_ROWS, "the last rows of the matrix are lost"),
        ("min(M, (tile + 1) * WEIGHT_TILE)", "min(M, (tile + 1) * WEIGHT_TILE - 1)", FEW_ROWS,
         "a row of each tile is lost"),
        ("if activate else", "if not activate else", FEW_ROWS, "GELU where none is wanted"),
        ("gelu(out[r, m] + bias[m])", "gelu(out[r, m]) + bias[m]", FEW_ROWS, "few rows: the bias behind GELU"),
        ("else out[r, m] + bias[m]", "else out[r, m]", FEW_ROWS, "few rows: no bias"),
        ("out[r, m] *= scale[m]", "pass", NARROW, "few rows: int8 without its scales"),
        ("if scale is not None:", "if scale is not None and r == 0:", NARROW, "few rows: scales of the first row only"),
    ),
    *in_file(
        "kernels/rounded.py",
        ("number + 0x7FFF", "number + 0x8000", BF16, "bfloat16: halves are rounded up"),
        ("> 0x7F800000", ">= 0x7F800000", BF16, "bfloat16: infinity becomes NaN"),
        ("number & 0x7FFFFFFF", "number", BF16, "bfloat16: negative numbers are NaN"),
        ("| 0x40", "| 0", BF16, "bfloat16: NaN becomes infinity"),
        ("if unit > 0 else 1", "if unit > 0 else 2", INT8, "int8: a row of zeros has another scale"),
        ("np.rint(x[m, k] / scale[m])", "np.trunc(x[m, k] / scale[m])", INT8, "int8: towards 0"),
        ("size = abs(x[m, k])", "size = x[m, k]", INT8, "int8: a scale by what is positive"),
        ("scale[m] = np.nan", "scale[m] = 1", INFINITE, "int8: what is no number becomes one"),
        ("if scale is None else out)", "if scale is not None else out)", NARROW_MODEL, "bits for numbers"),
        ("<< np.uint32(16)", "<< np.uint32(15)", NARROW_MODEL, "bfloat16 is widened to half of its exponent"),
    ),
    *in_file(
        "network/attention.py",
        ("keys, values = made[layer if are_kept else 0]", "keys, values = made[0]", stored("decoder-6"),
         "one layer's keys for all"),
    ),
    *in_file(
        "network/cache.py",
        ("np.dtype(dtype).kind == ", "True or np.dtype(dtype).kind == ", KEPT, "the source's keys stay in float32"),
        ("if dtype == np.uint16:", "if True:", KEPT, "the source's keys are bf16 always"),
        ("return cls(rounded[0], rounded[1])", "return cls(rounded[0], rounded[0])", KEPT, "bf16: keys for values"),
        ("key_scale.reshape(shape[:2]), value_scale", "value_scale.reshape(shape[:2]), value_scale", KEPT,
         "int8: the values' scales for keys"),
    ),
    *in_file(
        "kernels/rows.py",
        ("gelu(x[n, f] + bias[f])", "gelu(x[n, f]) + bias[f]", GELU, "the bias behind the activation"),
        ("if activate:", "if not activate:", GELU, "GELU where none is wanted"),
        ("x[n, f] += bias[f]", "pass", BIAS, "no bias"),
        ("x[n, h * D + d] + bias", "x[n, d] + bias", BIAS, "the first head for all", "for d in range(D)"),
        ("+ bias[h * D + d]", "+ bias[d]", BIAS, "the first head's bias for all", "for d in range(D)"),
        ("row[e] -= mean", "pass", NORM, "the mean is not subtracted"),
        ("squares / row.dtype.type(E) + epsilon", "squares / row.dtype.type(E - 1) + epsilon", stored("decoder-6"),
         "unbiased variance"),
        ("math.sqrt(squares / row.dtype.type(E) + epsilon)", "(math.sqrt(squares / row.dtype.type(E)) + epsilon)",
         NORM, "epsilon outside of the root"),
        ("scale * weight[e] + bias[e]", "scale * (weight[e] + bias[e])", NORM, "the bias multiplied"),
        ("x[n, e] + y[n, e]", "y[n, e]", NORM, "no residual"),
        ("past[rows[i], h, :P]", "past[rows[0], h, :P]", ORDER, "the first row for all"),
        ("out[i, h, :P] = past[rows[i], h, :P]", "out[i, h, : P - 1] = past[rows[i], h, : P - 1]", ORDER,
         "the last token is forgotten"),
    ),
]  # fmt: skip

ALONE = of("test_generation_search", "test_a_document_gets_the_same_alone_as_in_a_batch")
ROW = of("test_generation_search", "test_best_of_a_single_row")
ENOUGH = of("test_generation_search", "test_among_the_candidates_there_are_enough_that_go_on")
HOPED = of("test_generation_search", "test_a_dead_end_where_a_better_result_was_hoped_for_leaves_what_has_ended")
PADDING = of("test_generation_search", "test_beam_padding_has_the_references_quirk")
FORK = of("test_processes", "test_a_process_forked_after_use_computes_the_same[None]")
PROCESSES = in_file(
    "kernels/jit.py",
    ("_launch_lock = threading.RLock()", "pass", FORK, "a child's threads wait for its parent's lock",
     "global _launch_lock, _has"),
)  # fmt: skip

REPLACED = of(
    "test_files",
    "test_the_old_content_stands_until_the_new_is_whole",
    "test_what_a_killed_process_left_is_removed_when_it_is_old",
    "test_what_is_outdated_stands_until_the_new_file_is_whole",
    "test_a_system_error_names_the_file",
    "test_an_interrupted_write_leaves_the_old_file_and_no_other",
)
DIGITS = of("test_files", "test_an_integer_has_at_most_the_digits_asked_for")
OUTDATED = of("test_checkpoint", "test_a_configuration_goes_with_the_weights_it_describes")
FILES = [
    *in_file(
        "files.py",
        (") > digits:", ") >= digits:", DIGITS, "an integer has a digit less"),
        ("error, digits=digits)", "error)", DIGITS, "a file's integers have the usual digits"),
        ('beside.open("xb") as file', 'target.open("wb") as file', REPLACED, "a file is written in its place"),
        ("st_mtime < time.time()", "st_mtime > time.time()", REPLACED, "what another process writes is removed"),
        ("glob.escape(target.name)", "target.name", REPLACED, "a name is taken for a pattern"),
        ("outdated.unlink(missing_ok=True)", "pass", REPLACED, "what is outdated stays"),
        ("e.filename or str(path)", "e.filename", REPLACED, "a full disk without a file's name"),
        ("beside.unlink(missing_ok=True)", "pass", REPLACED, "half a file is left"),
    ),
    *in_file(
        "checkpoint/__init__.py",
        ("settings is None or _says(", "settings is None or not _says(", OUTDATED,
         "old settings beside new weights, where the shapes are the same"),
        ("None if is_said and _says(stated", "None if not is_said or _says(stated", OUTDATED,
         "the settings of other weights stay"),
        ("outdated=outdated", "outdated=None", OUTDATED, "new weights beside old settings"),
    ),
]  # fmt: skip

BEAM = in_file(
    "generation/beam.py",
    ("settings, length + 1 - P)", "settings, length + 1)", SEARCH, "the length penalty counts the prompt"),
    ("settings, length + 1 - P)", "settings, length + 2 - P)", SEARCH, "the length penalty counts one more"),
    ("K = max(2, 1 + len(settings.eos_token_id)) * n", "K = n", SEARCH, "n candidates instead of 2n"),
    ("max(2, 1 + len(settings.eos_token_id))", "2", ENOUGH, "2n candidates whatever ends there are"),
    ("max(2, 1 + len", "max(1, 1 + len", ENOUGH, "n candidates where nothing ends"),
    ("process(ids, log_softmax(logits))", "process(ids, logits)", SEARCH, "logits for log-probabilities"),
    ("if all_scores is not None:", "if all_scores is None:", SEARCH, "no scores in the output"),
    ("if all_logits is not None:", "if all_logits is None:", SEARCH, "no logits in the output"),
    ("lost = ~done & ", "lost = done & ", DEAD_ENDS, "only documents that are done are lost"),
    ("& ~finished.ended.any(axis=1) &", "&", HOPED, "lost in spite of a finished hypothesis"),
    ("& ~finished.ended.any(axis=1) &", "& finished.ended.any(axis=1) &", DEAD_ENDS, "lost only with a result"),
    ("finished.ended.any(axis=1) &", "finished.ended.all(axis=1) &", HOPED, "lost unless all slots are full"),
    ("candidates.scores[:, 0] <= ABSENT / 2", "candidates.scores[:, 0] > ABSENT / 2", DEAD_ENDS,
     "lost while it goes on"),
    ("finished, settings, length - P) |", "finished, settings, length) |", SEARCH, "the heuristic counts the prompt"),
    ("~_may_improve(running, finished, settings, length - P) |", "", SEARCH, "never done for want of improvement"),
    ("~_may_improve(running", "_may_improve(running", SEARCH, "done while it may improve"),
    ("stopped.all(axis=1)", "stopped.any(axis=1)", SEARCH, "done when any candidate has stopped"),
    ("settings.early_stopping is True", "settings.early_stopping is not True", SEARCH, "early_stopping turned round"),
    ("finished.ended.all(axis=1)", "finished.ended.any(axis=1)", SEARCH, "early_stopping at the first finished one",
     "early_stopping is True"),
    ("progress(length - P, ", "progress(length, ", PIECES, "progress counts the prompt"),
    ("limit - P)", "limit)", PIECES, "progress to the limit with the prompt"),
    ("if done.all():", "if done.any():", SEARCH, "the first document done ends all"),
    ("running.rows[:, :, length - P - 1]", "running.rows[:, :, length - P - 2]", SEARCH, "the rows of the step before"),
    ("if not np.array_equal(rows", "if np.array_equal(rows", SEARCH, "the state does not follow the beams"),
    ("(settings.pad_token_id or settings.eos_token_id[0])", "settings.eos_token_id[0]", PADDING, "ends for padding"),
    ("if settings.eos_token_id else -1", "if not settings.eos_token_id else -1", PADDING, "-1 for padding"),
    ("first[:, 0] = 0", "first[:] = 0", SEARCH, "all beams begin alike"),
    ("np.flatnonzero(np.isnan(tops) & ~done)", "np.flatnonzero(np.isnan(tops) & done)", NAN, "NaN passes"),
    ("running.scores[:, :, None]).reshape", "0).reshape", SEARCH, "scores are not summed"),
    ("beams, tokens = chosen // V, chosen % V", "beams, tokens = chosen % n, chosen % V", SEARCH, "beams mistaken"),
    ("beams + np.arange(B)[:, None] * n", "beams", ALONE, "beams read another document's rows"),
    ("np.where(stopped, ABSENT, np.float32(0))", "np.where(stopped, np.float32(0), ABSENT)", SEARCH,
     "what has stopped runs on"),
    ("np.where(stopped, ABSENT, np.float32(0))", "np.float32(0)", SEARCH, "finished hypotheses run on"),
    ("ends = stopped & (np.arange(stopped.shape[1]) < n)", "ends = stopped", SEARCH, "any rank may finish"),
    ("(np.arange(stopped.shape[1]) < n)", "(np.arange(stopped.shape[1]) <= n)", SEARCH, "rank n may finish"),
    ("(np.arange(stopped.shape[1]) < n)", "(np.arange(stopped.shape[1]) < n - 1)", SEARCH, "rank n - 1 may not finish"),
    ("stopped & (np.arange", "np.ones_like(stopped) & (np.arange", SEARCH, "what goes on is finished"),
    ("** settings.length_penalty)", "** -settings.length_penalty)", SEARCH, "the length is punished",
     "scores = candidates.scores / "),
    ("np.where(ends, np.float32(0), ABSENT)", "np.where(ends, ABSENT, np.float32(0))", SEARCH, "slots turned round"),
    ("finished.beside(Hyp", "finished.take(finished.rows[:, :0, 0]).beside(Hyp", SEARCH, "earlier results are lost"),
    ("order[done] = np.arange(n)", "pass", SEARCH, "a document that is done changes"),
    ("order[done] = np.arange(n)", "order[~done] = np.arange(n)", SEARCH, "only documents that are done change"),
    ('== "never" and settings', "is False and settings", SEARCH, "the heuristics of early_stopping exchanged"),
    ('== "never" and settings', '!= "never" and settings', SEARCH, 'all but "never" look ahead'),
    ("and settings.length_penalty > 0", "", SEARCH, '"never" looks ahead where length is punished'),
    ("settings.length_penalty > 0", "settings.length_penalty < 0", SEARCH, '"never" looks ahead the wrong way'),
    ("running.scores[:, 0] /", "running.scores[:, -1] /", SEARCH, "the hope of the worst beam"),
    ("finished.scores.min(axis=1", "finished.scores.max(axis=1", SEARCH, "the hope to beat the best"),
    ("hoped > finished", "hoped < finished", SEARCH, "hope turned round"),
    ("(rows >= 0).sum", "(rows > 0).sum", SEARCH, "the first row counts as none"),
    ("settings.prompt_length + longest", "longest", SEARCH, "the output is cut by the prompt"),
    ("np.partition(few, -count)[-count]", "np.partition(few, -1)[-1]", ROW, "only the maximum and its equals"),
    ("few > last", "few >= last", ROW, "too many"),
    ("few == last", "few <= last", ROW, "what is below the bound"),
    ("[: count - len(above)]", "[: count - len(above) + 1]", BEST, "one too many"),
    ("np.argsort(-few[above]", "np.argsort(few[above]", BEST, "the best last"),
    ('above[np.argsort(-few[above], kind="stable")], equal', "equal, above", BEST, "in any order"),
)  # fmt: skip

PROCESSORS = "test_generation_processors"
NGRAMS = of(PROCESSORS, "test_no_repeat_ngram_is_its_definition")
SHORT = of(PROCESSORS, "test_ngrams_as_long_as_all_tokens_so_far")
SOURCE_NGRAMS = of(PROCESSORS, "test_encoder_ngrams_are_those_of_the_document_of_the_row")
BIAS = of(PROCESSORS, "test_sequence_bias_is_its_definition")
ORDER = of(PROCESSORS, "test_the_order_is_the_references")
AFTER_FORCED = of("test_generation_search", "test_tokens_are_suppressed_at_the_beginning_after_a_forced_one")
GREEDY = [
    *in_file(
        "generation/greedy.py",
        ("np.isnan(chosen) & going", "np.isnan(chosen) & ~going", NAN, "NaN passes"),
        ("(chosen == -np.inf) & going", "(chosen == -np.inf) & ~going", DEAD_ENDS, "a dead end passes"),
        ("np.where(going, tokens, settings.pad", "np.where(~going, tokens, settings.pad", SEARCH,
         "padding turned round"),
        ("going &= ~ended", "going = ~ended", SEARCH, "what has ended goes on"),
        ("while going.any():", "while going.all():", ALONE, "the first end ends all"),
        ("progress(length - P, ", "progress(length, ", PIECES, "progress counts the prompt"),
    ),
    *in_file(
        "generation/stopping.py",
        ("length >= settings.max_length", "length + 1 >= settings.max_length", SEARCH, "one token short of the limit"),
        ("np.isin(ids[:, -1], eos) |", "(ids[:, -1] == eos[:1]) |", SEARCH, "only the first of several ends"),
        ("np.isin(ids[:, -1], eos)", "np.isin(ids, eos).any(axis=1)", SEARCH, "the start token is an end"),
        ("done |= own", "pass", SEARCH, "criteria of the user are ignored"),
    ),
    *in_file(
        "generation/processors.py",
        ("np.where(chosen < 0, chosen * penalty, chosen / penalty)", "chosen / penalty", TABLE,
         "the repetition penalty divides negative scores"),
        ("np.where(chosen < 0,", "np.where(chosen > 0,", TABLE, "the repetition penalty rewards"),
        ("if n <= length:", "if n < length:", BIAS,
         "a word as long as the tokens so far is missed"),
        ("np.add.at(total, (rows, lasts[words]), biases[words])", "total[rows, lasts[words]] = biases[words]",
         BIAS, "the last of two biases wins"),
        ("np.repeat(source, beams, axis=0), 1 / penalty", "np.repeat(source, beams, axis=0), penalty", TABLE,
         "the source is punished"),
        ("np.repeat(source, beams, axis=0)", "np.tile(source, (beams, 1))", SEARCH, "another document's source"),
        ("if length < n:", "if length <= n:", SHORT, "n-grams: one token late"),
        ("starts = length - n + 1", "starts = length - n", NGRAMS, "n-grams: the last is not counted"),
        ("for i in range(n - 1):", "for i in range(n - 2):", NGRAMS, "n-grams: one id less must match"),
        ("ids[rows, windows + n - 1]", "ids[rows, windows + n - 2]", NGRAMS,
         "n-grams: the id before the last is forbidden"),
        ("max(ids.shape[1] - n + 1, 0)", "max(ids.shape[1] - n + 2, 0)", SHORT, "n-grams of the source: one id less"),
        ("max(ids.shape[1] - n + 1, 0)", "max(ids.shape[1] - n, 0)", SOURCE_NGRAMS,
         "n-grams of the source: an id more"),
        ("index[row // beams].get", "index[row % len(index)].get", SOURCE_NGRAMS, "n-grams of another document"),
        ("if ids.shape[1] < least else", "if ids.shape[1] <= least else", TABLE, "min_length one token more"),
        ("if ids.shape[1] < least else", "if ids.shape[1] + 1 < least else", TABLE, "min_length one token less"),
        ("if ids.shape[1] == 1 else", "if ids.shape[1] == 2 else", SEARCH, "forced_bos one token late"),
        ("if ids.shape[1] == max_length - 1 else", "if ids.shape[1] == max_length else", TABLE, "forced_eos one late"),
        ("if ids.shape[1] == max_length - 1 else", "if ids.shape[1] == max_length - 2 else", TABLE,
         "forced_eos one early"),
        ("np.float64(factor) ** beyond - 1)", "np.float64(factor) ** beyond)", TABLE, "the decay from 1 upward"),
        ("beyond = ids.shape[1] - start", "beyond = ids.shape[1] - start + 1", TABLE, "the decay one token early"),
        ("start=int(start) + P", "start=int(start)", SEARCH, "the decay counts the prompt"),
        ("if ids.shape[1] == begin else", "if ids.shape[1] >= begin else", TABLE, "begin_suppress never ends"),
        ("if P > 1 or s.forced", "if P >= 1 or s.forced", AFTER_FORCED, "begin_suppress before a forced beginning"),
        ("row // beams, sequence))", "row, sequence))", SEARCH, "allowed tokens of another document"),
        ("scores.max(axis=1, keepdims=True) != NEVER", "scores.max(axis=1, keepdims=True) == NEVER", TABLE,
         "renormalized the wrong rows"),
        ("if s.min_length and eos:", "if not s.min_length and eos:", SEARCH, "min_length is ignored"),
        ("if s.forced_eos_token_id:", "if not s.forced_eos_token_id:", ORDER, "forced_eos is ignored"),
    ),
]  # fmt: skip

TOKENIZER = [
    *in_file(
        "models/led.py",
        ("-(-(new_num_tokens or self.config.vocab_size) // multiple)",
         "((new_num_tokens or self.config.vocab_size) // multiple)",
         of(RESIZE, "test_how_many_rows_there_are"), "rounded down"),
        ("new[kept] = old[kept]", "pass", of(RESIZE, "test_what_was_cut_is_gone_and_the_rest_is_as_it_was"),
         "old rows are lost"),
        ("old.mean(axis=0, dtype=np.float64) if rng is None", "0 if rng is None",
         of(RESIZE, "test_old_tokens_stay_and_new_ones_are_their_mean"), "new rows are 0"),
        ("rng.standard_normal(added.shape) * std", "rng.standard_normal(added.shape)",
         of(RESIZE, "test_rows_that_are_drawn_follow_the_seed"), "new rows are drawn too wide"),
        ("self.config = config", "pass", of(RESIZE, "test_how_many_rows_there_are"), "the configuration keeps its size",
         "self.weights, _ = checkpoint"),
    ),
    *in_file(
        "config.py",
        ("super().__setattr__(ALIASES.get(name, name), value)", "super().__setattr__(name, value)",
         of("test_config", "test_an_alias_can_be_set"), "a field and its alias differ"),
    ),
    *in_file(
        "tokenizer/bytelevel.py",
        (" ?\\p{L}+|", "\\p{L}+|", TEXTS, "words do not take their space along"),
        ('part if part.startswith("\\n") else f" {part}"', 'f" {part}"', PARTS, "a newline gets a space before it"),
        ('replace("\\n", " \\n")', 'replace("\\n", " ")', PARTS, "newlines are spaces"),
        ("(?:\\\\Z|(?=[{WHITE_SPACE}]))", "(?=[{WHITE_SPACE}])", PARTS, "white space at the end is no gap"),
        ("\\s+(?!\\S)|", "", PARTS, "the last white space goes with the run"),
        ("'s|'t|", "'t|", TEXTS, "'s is no word of its own"),
        ("range(0xAE, 0x100)", "range(0xAD, 0x100)", of("test_tokenizer_bpe", "test_the_byte_table_is_gpt2s"),
         "the byte table: the soft hyphen prints"),
    ),
    *in_file(
        "tokenizer/bpe.py",
        ("heapify(heap)", "heap.sort(reverse=True)", MERGES, "merges in the wrong order", "if not heap:"),
        ("!= rank:", "is None:", MERGES, "stale merges are made"),
        ("len(symbols) <= FEW", "len(symbols) < FEW", FEWER, "words of as many symbols as few go through the heap"),
        ("len(symbols) <= FEW", "True", FEWER, "long words in O(n^2)"),
        ("at = ranks.index(rank)", "at = len(ranks) - 1 - ranks[::-1].index(rank)", MERGES, "the last of equals first"),
        ("if at > 0:", "if at > 1:", MERGES, "the pair with the first symbol stays as it was"),
        ("if at < len(ranks):", "if at + 1 < len(ranks):", MERGES, "the pair with the last symbol stays as it was"),
        ("symbols = symbols.copy()", "pass", BOTH, "merging changes its argument", "O(n^2)."),
        ("            if gap:", "            if False:", PARTS, "long white space is lost"),
        ("self.cache[words[0]] if len(words) == 1 else", "self.cache[words[0]] if words else", PARTS,
         "of a part only the first word counts"),
        ("new << _POSITION_BITS | start", "new << _POSITION_BITS | at", MERGES, "the merge to the left is lost"),
        ("((before, at), (at, beyond))", "((at, beyond),)", MERGES, "pairs with the left neighbour are not tried"),
        ("((before, at), (at, beyond))", "((before, at),)", MERGES, "pairs with the right neighbour are not tried"),
        ("right[at], left[beyond] = beyond, at", "right[at] = beyond", MERGES, "left neighbours grow stale"),
        ("if len(self) >= CACHED_WORDS:", "if len(self) > CACHED_WORDS:", BOUND, "the cache holds one word too many"),
        ("if len(word) <= LONGEST_CACHED:", "if True:", CACHE, "any word is cached"),
    ),
    *in_file(
        "tokenizer/led/offsets.py",
        ("starts = stops - size", "starts = stops - size + 1", TEXTS, "offsets begin one late"),
        ("character[stops - 1] + 1", "character[stops - 1]", TEXTS, "offsets end one early"),
        ("piece.is_prefixed or not piece.text.isascii()", "piece.is_prefixed", TEXTS, "offsets count bytes"),
        ("(data & 0xC0) != 0x80", "(data & 0x80) != 0x80", TEXTS, "bytes of one character counted apart"),
        ("np.concatenate([character[:1], character])", "np.append(character, character[-1:])", TEXTS,
         "the space put in front has no place"),
        ("is_first & (lead == 1)", "lead == 1", TEXTS, "with add_prefix_space no token is trimmed"),
        ("is_first & (lead == 1)", "is_first", TEXTS, "the first token is not trimmed"),
        ("is_first[:1] = True", "pass", CALLS, "the first token is known by its place"),
        ("np.minimum(start + lead, stop)", "start", TEXTS, "white space in front is not trimmed"),
        ("np.maximum(stop - trail, start)", "stop", TEXTS, "white space behind is not trimmed"),
        ("tokens[at] = piece.text", "pass", TEXTS, "an added token is given without the white space it took along"),
        ("if piece.given_word is not None:", "if False:", ROWS, "words that were given are not counted"),
        ("                n += 1", "                pass", ROWS, "an added token is no word"),
        ("n += len(stops)", "n += piece.n_ids", WORDS, "words count tokens after a special one"),
        ('side="left")', 'side="right")', WORDS, "the last token of a word is of the next"),
        ('len(word.encode("utf-8"))', "len(word)", WORDS, "words are measured in characters, tokens in bytes"),
        ("in split(piece.encoded)", "in split(piece.text)", ROWS, "words forget the space put in front"),
    ),
    *in_file(
        "tokenizer/special.py",
        ("if token.lstrip:", "if not token.lstrip:", TEXTS, "<mask> does not take the space before it along"),
        ("if token.rstrip:", "if not token.rstrip:", TEXTS, "special tokens take the space behind them along"),
        ('lstrip=name == "mask_token"', "lstrip=False", TEXTS, "<mask> is a token like the others"),
        ("key=len, reverse=True", "key=len", of("test_tokenizer", "test_of_added_tokens_that_begin_alike_the_longest"),
         "the shortest token wins"),
        ("if plain_special and match[0] in self._special:", "if plain_special:",
         of("test_tokenizer", "test_added_tokens_that_are_not_special_are_found_where_special_ones_are_text"),
         "split_special_tokens hides all added tokens"),
        ("if plain_special and match[0] in", "if not plain_special and match[0] in", TEXTS,
         "special tokens are plain text"),
        ("token.single_word and _touches", "_touches", TEXTS, "special tokens only between words"),
        ("start > first and", "start >= first and", of("test_tokenizer", "test_single_words_at_the_edges_of_a_text"),
         "the last character touches the first"),
    ),
    *in_file(
        "tokenizer/special.py",
        ("normalized=None if vars(self)[\"_follows\"] else self.normalized", "normalized=self.normalized",
         of(ADDED, "test_a_special_token_is_not_normalized_unless_it_says_so"), "normalized does not follow special"),
        ("self._special.setdefault(token.content, token)", "self._special[token.content] = token", ANSWERS,
         "a special token changes its round"),
        ("if token not in seen:", "if token not in self.of_id.values():", ANSWERS,
         "flags of before come back in a call"),
        ("return len(seen) - n", "return len(self.tokens) - n", COUNTED, "new flags are not counted"),
        ("if start >= stop:", "if start > stop:", of(ADDED, "test_with_lstrip_only_what_is_left_of_it[x\\n-tokens1]"),
         "a token of which nothing is left"),
        ("token.as_special() if token.content in roles else token for", "token for", ANSWERS,
         "a role makes no token special"),
        ("return {self.ids[content] for content in self._special}",
         "return {number for number, token in self.of_id.items() if token.special}",
         of(ADDED, "test_what_was_special_once_stays_so_in_texts"), "what was special once is decoded"),
    ),
    *in_file(
        "tokenizer/table.py",
        ("cls, sep = vocabulary.frame or", "cls, sep = ()  or", of(VOCABULARIES,
         "test_a_tokenizer_json_comes_before_the_other_files"),
         "texts stand between other tokens than tokenizer.json says"),
        ("vocabulary.sides[name] if side is None", '"right" if side is None',
         of(VOCABULARIES, "test_a_tokenizer_json_comes_before_the_other_files"),
         "the sides of tokenizer.json do not count"),
        ("if i >= self.vocab_size", "if i > self.vocab_size", of(ADDED, "test_the_names_of_what_is_saved"),
         "the first added token is not saved"),
        ("([] if tokens and not there else additional)", "additional", of(ADDED,
         "test_roles_that_are_added"),
         "additional tokens are never replaced"),
        ("([] if tokens and not there else", "([] if not there else", of(ADDED, "test_roles_that_are_added"),
         "an empty list takes the roles away"),
        ("return copy.deepcopy(self)", "return copy.deepcopy(self, {id(self._special): self._special})",
         of(ADDED, "test_a_copy_is_one_of_its_own[copy]"), "a copy shares its added tokens"),
    ),
    *in_file(
        "tokenizer/led/pretrained.py",
        ("normalized=not is_special, special", "normalized=True, special", ANSWERS, "added_tokens.json: another round"),
        ("if given.get(name):", "if False:", of(VOCABULARIES, "test_a_special_token_given_counts_before_the_files"),
         "special_tokens_map.json comes before the caller"),
        ("if token not in options[name]]", "]", ANSWERS, "additional tokens stand twice"),
        ('config.get("extra_special_tokens")', "None", of(VOCABULARIES, "test_what_5_23_0_saves_is_read"),
         "what 5.23.0 calls them is not read"),
    ),
    *in_file(
        "tokenizer/vocabulary.py",
        ('.replace("\\r", "\\n")', "", of(VOCABULARIES, "test_spellings_of_the_same_vocabulary[cr]"),
         "lines that end in a CR"),
        ("for _ in range(i + 1):", "for _ in range(i + 2):", of(VOCABULARIES, f"{SHOWN}[merge]"),
         "the line of the next merge"),
        ("places[-1] if places", "places[0] if places", of(VOCABULARIES, f"{SHOWN}[token]"), "the line of another key"),
    ),
    *in_file(
        "tokenizer/vocabulary.py",
        ('set(map(type, numbers)) == {int}', "True", CHECKED, "an id that is true or 1.0"),
        ("and set(numbers) == set(range(len(ids)))", "and set(numbers) <= set(range(len(ids)))", CHECKED,
         "an id that two tokens have"),
        ('and _NO_SYMBOL.search("".join(ids.keys() - added)) is None', "and True", CHECKED, "any character in a token"),
        ("and len(set(map(tuple, pairs))) == len(pairs)", "and True", CHECKED, "merges that stand twice"),
    ),
    *in_file(
        "tokenizer/led/tokenizer.py",
        ('self.add_prefix_space and not piece.startswith(" ")', "self.add_prefix_space", TEXTS,
         "a second space is put in front"),
        ("number is None and self.add_prefix_space and not", "number is None and not", TEXTS,
         "a space is always put in front"),
        ("(self._cls, self._sep, self._sep, self._sep)", "(self._cls, self._sep, self._cls, self._sep)", CALLS,
         "pairs with <s>"),
        ("special = call.special[: SPECIAL_OF_ONE * len(texts)]", "special = call.special", CALLS,
         "the frame of a pair round a single text"),
        ("pad = (self.pad_token_id, self.pad_token)", "pad = (0, self.pad_token)", CALLS, "padding with 0"),
        ("if i < n and i not in skipped]", "if i < n]", TEXTS, "special tokens are decoded"),
        ("for i, rows in enumerate(samples) for _ in rows]", "for i, rows in enumerate(samples)]", ROWS,
         "one index a text, however many rows it has"),
        ("if is_split_into_words and not self.add_prefix_space:", "if False:", REFUSED_CALLS,
         "given words without a space in front"),
        ("side=self.truncation_side", 'side="right"', CALLS, "the wrong end is cut"),
        ("wanted=[name for name, flag in wanted if (name in self.model_input_names if flag is None",
         "wanted=[name for name, flag in wanted if (True if flag is None", CALLS, "all masks are always returned"),
        ("[self.bos_token_id, *token_ids_0, self.eos_token_id]", "[self.bos_token_id, *token_ids_0]",
         of("test_tokenizer_calls", "test_rows_of_ids_and_the_special_tokens_round_them"), "a row without its end"),
        ('row[name] = row[name] + missing if side == "right"', 'row[name] = row[name] + missing if side != "right"',
         of("test_tokenizer_calls", "test_pad"), "pad on the wrong side"),
        ("GLOBAL_PAD = -1", "GLOBAL_PAD = 0", of("test_tokenizer_calls", "test_pad"), "padding that attends locally"),
    ),
    *in_file(
        "tokenizer/led/lengths.py",
        ("(room // 2, room - room // 2)", "(room - room // 2, room // 2)", CALLS, "the first text keeps the odd token"),
        ("half if n <= m else half[::-1]", "half", CALLS, "the longer text does not matter"),
        ("short + long <= room", "short + long < room", CALLS, "both texts lose where one would do"),
        ("-(-longest // self.multiple)", "(longest // self.multiple)", CALLS, "padded to the multiple below"),
        ("sum(sizes) + n_special <=", "sum(sizes) <=", CALLS, "special tokens are not counted"),
        ("rows[:1] + rows[n_second:] + rows[1:n_second]", "rows", ROWS, "windows of a pair in the plain order"),
        ("kept - self.stride) if", "kept) if", WINDOWS, "windows do not overlap"),
        ("range(0, size - self.stride,", "range(0, size,", WINDOWS, "a last window that repeats only"),
        ("slice(size - span[1], size - span[0])", "slice(*span)", WINDOWS, "windows always from the left"),
        ('slice(*span) if self.side == "right"', 'slice(*span) if self.side != "right"', WINDOWS,
         "windows from the wrong end"),
        ("self.stride >= kept:", "self.stride > kept:", REFUSED_CALLS, "a stride as long as the window"),
        ("is_cut = self.has_windows and kept < size", "is_cut = kept < size",
         of("test_tokenizer_calls", "test_without_truncation_or_overflow_there_is_one_row_a_text"),
         "what is cut off always comes back"),
    ),
    *in_file(
        "tokenizer/led/batch_encoding.py",
        ("self.padding = (0, missing) if side", "self.padding = (missing, 0) if side", CALLS,
         "padded on the wrong side"),
        ("[0] * self.padding[0] + [1] * self._n_tokens + [0]", "[1] * self.padding[0] + [1] * self._n_tokens + [1]",
         CALLS, "padding is attended to"),
        ("[1] * len(self.special), 1)", "[1] * len(self.special), 0)", CALLS, "padding is no special token"),
        ("if self.trim_offsets else", "if not self.trim_offsets else", TEXTS, "offsets are not trimmed"),
        ("bool(self.special) * (2 * sequence_index + 1)", "bool(self.special) * (sequence_index + 1)", PLACES,
         "three special tokens before the second text, taken for two"),
        ("bool(self.special) * (2", "(2", ROWS, "special tokens where there are none"),
        ("self.padding[0] + n_before", "n_before", ROWS, "padding on the left moves nothing"),
        ("sum(sizes[:sequence_index])", "0", PLACES, "the second text begins where the first does"),
        ("(start <= char) & (char < stop)", "(start <= char) & (char <= stop)", PLACES, "a token ends one late"),
        ("self._chars[tokens.end - 1, 1]", "self._chars[tokens.start, 1]", PLACES, "a word ends with its first token"),
        ("(0, first) if second is None", "(first, 0) if second is None", REFUSED_CALLS, "one index alone is the row's"),
    ),
]  # fmt: skip

LOSS = of(PROPERTIES, "test_the_loss_counts_padding_and_leaves_out_what_is_ignored")
LABELS = stored("labels", "labels-ignored", "labels-first-ignored")
MODELS = in_file(
    "models/led.py",
    ('["final_logits_bias"][0], scale', '["final_logits_bias"][0] * 0, scale', stored("decoder-6"),
     "final_logits_bias is missing"),
    ("ids[:, :-1]], axis=1)", "ids[:, 1:]], axis=1)", stored("ids-only"), "shifted to the left"),
    ("config.pad_token_id, shifted)", "config.decoder_start_token_id, shifted)", LABELS, "-100 becomes a start"),
    ("counted = labels != IGNORED_LABEL", "counted = labels > 1", LOSS, "the loss leaves padding out"),
    ("keep = self.config.use_cache if use_cache is None", "keep = self.config.use_cache if use_cache is not None",
     of(PROPERTIES, "test_outputs_are_read_by_attribute_name_and_place_without_the_fields_that_are_none"),
     "use_cache is ignored"),
    ("masks.is_real[b, :length],", "masks.is_key[b, :length],", MINUS_ONE, "the decoder's keys for the encoder"),
    ("return past, [masks.is_key[b", "return past, [masks.is_real[b, :0] if 0 else ~masks.is_key[b", HOLES,
     "the source's mask is inverted for the decoder"),
    ("encoder_attention_mask=attention_mask,", "encoder_attention_mask=None,", HOLES, "the cross mask is ignored"),
    ("ids[:, state.cache.get_seq_length() :]", "ids[:, :1]", BEAMS, "the start token is decoded again and again"),
    ("decoder.begin(states, attention_mask, len", "decoder.begin(states, None, len", BEAMS,
     "generation reads padding"),
    ("[:, -1:])[:, 0]", "[:, :1])[:, 0]", BEAMS, "the logits of the prompt's first token"),
    ("masks.is_global[b, :length],", "masks.is_global[0, :length],", stored("pattern-uneven"), "globals of the first"),
)  # fmt: skip

TASKS = "test_tasks"
FILLED = of(TASKS, "test_chunks_are_filled_and_none_is_tiny")
SPANS = of(TASKS, "test_chunks_are_the_text_and_no_longer_than_asked_for")
BEST_CUT = of(TASKS, "test_a_text_is_cut_at_the_best_place_near")
PIECE_ALONE = of(TASKS, "test_a_chunk_has_the_summary_of_that_piece_of_text_alone")
GLOBAL = of(TASKS, "test_each_chunk_has_the_global_tokens_asked_for")
DOC_SEPS = of(TASKS, "test_doc_sep_counts_where_the_vocabulary_has_it")
RECORD = of(TASKS, "test_the_record_is_plain_json_and_says_who_set_what")
AGAIN = of(TASKS, "test_summaries_are_summarized_again_until_there_is_one")
MISTAKES = of(TASKS, "test_mistakes_are_named")
BENCH = "test_bench"
TOO_SMALL = of(BENCH, "test_what_a_model_is_too_small_for_is_left_out_or_refused")
FURTHER = of(BENCH, "test_further_steps_take_what_the_later_ones_took")
TOKEN = of(BENCH, "test_a_token_takes_its_part_of_encoding_and_of_the_later_steps")
RATED = of(BENCH, "test_rates_are_what_is_counted_by_the_median")
RATIOS = of(BENCH, "test_ratios_are_those_of_neighbours_and_the_fastest_is_the_one_with_the_least_median")
COSTS = "test_cost"
BY_HAND = of(COSTS, "test_operations_and_bytes_by_hand")
ENCODER_WORK = of(COSTS, "test_the_encoders_products_take_two_operations_per_weight_and_token")
BAND_WORK = of(COSTS, "test_the_band_takes_four_operations_per_pair_and_number")
STEP_WORK = of(COSTS, "test_a_step_reads_the_decoders_weights_but_those_of_the_sources_keys_and_values")
SECONDS = of(COSTS, "test_seconds_are_operations_and_bytes_by_their_rates")
MEMORY = of(COSTS, "test_memory_is_that_of_the_moment_that_needs_most")
TEXT_LEVEL = [
    *in_file(
        "tasks/reading.py",
        ("if len(ids) <= limit:", "if len(ids) <= limit + 1:", FILLED, "a chunk has one token more than asked for"),
        ("if len(ids) <= limit:", "if True:", FILLED, "nobody counts the tokens of a chunk alone"),
        ("encode(text[place[begin] : place[stop]])", "encode(text[place[done] : place[stop]])", SPANS,
         "the overlap is not read"),
        ("max(begin + 1, stop - overlap)", "max(begin + 1, stop - overlap - 1)", SPANS, "the overlap is one too long"),
        ("max(begin + 1, stop - overlap)", "max(begin, stop - overlap)",
         of(TASKS, "test_an_overlap_is_shorter_than_its_chunk"), "a short chunk is read twice"),
        ("while earliest < stop and place", "while False and place", SPANS, "an overlap begins inside a character"),
        ("earliest) if overlap else stop", "earliest) if overlap else stop + 1", SPANS, "a token is lost"),
        ("if text[place[begin] : place[stop]].strip():", "if True:",
         of(TASKS, "test_a_piece_of_nothing_but_white_space_is_left_out"), "white space is summarized"),
        ("if left <= room:", "if left < room:", FILLED, "what fits is cut"),
        ("most = min(room, left - room // 4)", "most = room",
         of(TASKS, "test_the_last_chunk_is_not_tiny_for_a_paragraph"), "the last chunk may be tiny"),
        ("done + (room + 1) // 2, done + most", "done + 1, done + most", BEST_CUT, "a chunk may be tiny"),
        ("-abs(i - wanted)", "abs(i - wanted)", BEST_CUT, "the farthest of equally good places"),
        ("return 4 if lines > 1 else 3", "return 3", BEST_CUT, "a paragraph is no better than a line"),
        ("if lines:", "if False:", BEST_CUT, "lines do not matter"),
        (".rstrip(_CLOSING)[-1:]", "[-1:]", BEST_CUT, "a quotation mark hides the end of a sentence"),
        ("_SENTENCE_ENDS if end < place else _WIDE_ENDS", "_SENTENCE_ENDS",
         of(TASKS, "test_a_text_is_cut_between_numbers_at_spaces"), "9.5 is cut at its point"),
        ("return int(end < place)", "return 0", of(TASKS, "test_words_are_kept_whole"), "words are cut"),
        ("if text[place : place + 1].isspace():", "if False:", BEST_CUT, "a chunk begins with white space"),
        ("if self.too_long != \"chunk\" and", "if False and", MISTAKES, "settings without effect are let pass"),
    ),
    *in_file(
        "tasks/summarizer.py",
        ("is_global[:, 0] = 1", "is_global[:, 0] = start == 0", GLOBAL, "<s> is global in the first chunk only"),
        ("is_global[:, places.start : places.stop] = 1", "is_global[:, places.start : places.stop - 1] = 1", GLOBAL,
         "a range of places ends before its last"),
        ("is_global[row == self", "is_global[row != self", DOC_SEPS, "all but <doc-sep> is global"),
        ('"doc-sep" if has_doc_sep else "first"', '"first"', DOC_SEPS, "<doc-sep> is not global unless asked for"),
        ("if limit > positions:", "if limit > positions + 1:", MISTAKES, "a chunk of one token too many"),
        ("if asked.overlap > limit // 2:", "if asked.overlap > limit:", MISTAKES, "an overlap as long as a chunk"),
        ('if count > limit and reading.too_long == "tr', 'if count >= limit and reading.too_long == "tr',
         of(TASKS, "test_a_text_of_as_many_tokens_as_positions_is_read_whole"), "a text that fits is cut off"),
        ("elif count > limit:", "elif count >= limit:",
         of(TASKS, "test_a_text_is_cut_where_it_is_longer_than_a_chunk_and_not_before"), "a text that fits is cut"),
        ("chunk.ids, is_real, chunk.is_global,", "chunk.ids, is_real, None,", GLOBAL, "no global marks"),
        ("encoder_ids=chunk.ids", "encoder_ids=chunk.ids[:, :1]",
         of(TASKS, "test_rules_on_the_source_see_their_own_chunk"), "rules on the source see <s> only"),
        ("tokens, text = again.tokens, _joined(last)", "tokens, text = again.tokens, text", AGAIN,
         "the last round's summaries are lost"),
        ("score=last[0].score if len(last) == 1 else None", "score=last[0].score", PIECE_ALONE,
         "the first chunk's score"),
        ("for chunk in last)", "for chunk in last[:1])", PIECE_ALONE, "tokens of the first summary only"),
        ('"\\n\\n".join(summary.text', '"".join(summary.text', PIECE_ALONE, "summaries run into each other"),
        ('origin["chunk_tokens"] = "config.json"', 'origin["chunk_tokens"] = "call"',
         of(TASKS, "test_what_was_not_asked_for_has_its_origin"), "the configuration's limit as the caller's"),
    ),
    *in_file(
        "tasks/summary.py",
        ("if isinstance(value, tuple) else value", "if False else value", RECORD, "tuples in the record"),
    ),
    *in_file(
        "tasks/cost.py",
        ("squares = 4 if _are_few(config, global_tokens) else 6", "squares = 4", ENCODER_WORK,
         "global keys and values are not counted"),
        ("config.encoder_attention_heads if _are", "1 if _are", BAND_WORK, "a head sees its own keys only"),
        ("- w * (w + 1)", "- w * w", BAND_WORK, "the band's ends are not cut"),
        ("S * (2 * w + 1)", "S * 2 * w", BAND_WORK, "a token does not see itself"),
        ("pairs += S * global_tokens  #", "pass  #", BAND_WORK, "the columns of global tokens are not counted"),
        ("(6 * E * E + 2 * E * F)", "(8 * E * E + 2 * E * F)", STEP_WORK, "the source's keys are made at each step"),
        ("+ config.vocab_size * E", "", STEP_WORK, "the head is forgotten"),
        ("2 * num_beams * read / row", "2 * read / row", SECONDS, "beams cost nothing"),
        ("step_keys(config, S) / keys", "num_beams * step_keys(config, S) / keys", SECONDS, "keys read for each beam"),
        ("rates.reading * WEIGHTS / width", "rates.reading * WEIGHTS / 4", SECONDS,
         "float64 is read as fast as float32"),
        ("_memory(config, max(chunks)", "_memory(config, sum(chunks)", of(COSTS,
         "test_chunks_take_the_time_of_each_and_the_memory_of_the_largest"), "chunks are held at once"),
        ('"source keys": step_keys(config, S)', '"source keys": num_beams * step_keys(config, S)', MEMORY,
         "the source's keys are held for each beam"),
        ("tied = TIED[1:] if", "tied = () if", of(COSTS, "test_the_weights_are_counted_once_where_they_are_tied"),
         "tied weights are counted four times"),
        ("global_tokens) + band_operations(config, S, global_tokens)", "global_tokens)", BY_HAND,
         "the band costs nothing"),
        ("return NARROW.get(weights, 4) * ", "return 4 * ", BY_HAND, "rounded weights are read as float32"),
    ),
    *in_file(
        "../golden/bench/works.py",
        ("self.source >= LONG and self.target > STEPS", "self.target > STEPS", of(BENCH,
         "test_only_long_generations_are_extrapolated"), "short sources are extrapolated, too"),
        ("work.target + 1 > positions", "work.target > positions", TOO_SMALL, "the start token takes no position"),
    ),
    *in_file(
        "../golden/bench/session.py",
        ("(turn.seconds - turn.first) / (steps - 1) * (target - 1)", "turn.seconds / steps * (target - 1)", FURTHER,
         "the first step counts as a later one"),
        ("/ (steps - 1) * (target - 1)", "/ steps * (target - 1)", FURTHER, "the first step among the later ones"),
        ("/ (steps - 1) * (target - 1)", "/ (steps - 1) * target", FURTHER, "the first step is counted twice"),
        ("= max(machine", "= min(machine", of(BENCH, "test_engines_take_turns"), "the ceiling of a bad moment"),
        ("target = work.target if engine == OURS else steps", "target = steps", of(BENCH,
         "test_long_generations_are_extrapolated_and_compared_at_their_length"), "ours is extrapolated, too"),
    ),
    *in_file(
        "../golden/bench/report.py",
        ("(turn.seconds - turn.first) / (work.target - 1)", "turn.seconds / work.target", TOKEN,
         "the first step counts"),
        ("/ (work.target - 1)", "/ work.target", TOKEN, "the first step among the later ones"),
        ('value / rates["products"]', 'value / rates["reading"]', RATED, "operations by the ceiling of bytes"),
        ('value / rates["reading"]', 'value / rates["products"]', RATED, "bytes by the ceiling of operations"),
        ("config if work.window is None else", "config if True else", RATED, "the window is the checkpoint's own"),
        ("other.seconds / own.seconds", "own.seconds / other.seconds", RATIOS, "the ratio upside down"),
        ("return min(variants", "return max(variants", RATIOS, "the slowest is the fastest"),
        ("return max(turn.peak", "return min(turn.peak", RATIOS, "the least of the peaks"),
    ),
    *in_file(
        "../golden/bench/worker.py",
        ("str(request[\"target\"] + 1)", "str(request[\"target\"])", of("test_bench_worker",
         "test_a_process_is_the_command_with_exactly_as_many_tokens"), "the start token is one of the target"),
        ("length = target + 1", "length = target", of("test_bench_worker",
         "test_generating_gives_exactly_as_many_tokens_and_tells_of_the_first"), "one token less is generated"),
        ("difference / max(1.0, float(", "difference / max(0.0, float(", of("test_bench_worker",
         "test_outputs_are_compared_as_floats_or_to_the_first_difference"), "small truths count as small"),
    ),
]  # fmt: skip

JUDGED, EVALUATE = "test_evaluate", "test_cli_evaluate"
STEMS = of(JUDGED, "test_stems_are_nltks")
ROUGE = {name: of(JUDGED, f"test_scores_are_those_of_rouge_score_bit_for_bit[{name}]")
         for name in ("rouge1", "rouge2", "rougeL", "rougeLsum")}  # fmt: skip
SUBSEQUENCE = of(JUDGED, "test_the_longest_common_subsequence_by_its_definition")
SENTENCES = of(JUDGED, "test_sentences_end_with_a_mark_or_a_blank_line")
CENTRAL = of(JUDGED, "test_the_central_sentence_is_the_one_most_like_all")
RESAMPLED = of(JUDGED, "test_resamples_are_means_of_documents_drawn_again_and_again")
LEADS = of(JUDGED, "test_a_group_has_means_and_leads_over_the_same_documents")
APART = of(JUDGED, "test_long_documents_and_each_input_are_counted_apart")
TAKEN = of(JUDGED, "test_what_is_taken_away_is_taken_away_and_nothing_else")
LEFT_OUT_IS_SAID = of(JUDGED, "test_what_was_left_out_is_said")
TABLES = of(JUDGED, "test_the_table_says_what_was_found")
GOES_ON = of(EVALUATE, "test_a_run_goes_on_from_its_records")
BAD_LINE = of(EVALUATE, "test_a_bad_line_is_told_and_does_not_stop_the_others")
DRAWN = of(EVALUATE, "test_a_limit_draws_by_the_seed_and_keeps_the_order")
ANEW = of(EVALUATE, "test_what_is_known_is_scored_anew_and_what_is_not_is_made")
PACE = of(EVALUATE, "test_the_time_for_all_is_reckoned_from_the_second_document_on")
EVALUATION = [
    *in_file(
        "evaluation/porter.py",
        ("if word in IRREGULAR:", "if False:", STEMS, "no word is irregular"),
        ('"fulli": "ful",', "", STEMS, "no fulli"),
        ("before + new if _measure(before) >= least else word", "before + new if _measure(before) > least else word",
         STEMS, "what stands before is one too short"),
        ("_measure(before) >= least else word", "_measure(word) >= least else word", STEMS, "the measure of all of it"),
        ('letter == "y" and sounds.endswith("c")', 'letter == "y"', STEMS, "y is a vowel always"),
        ('letter in "aeiou" or (', 'letter in "aeiouy" and not (', STEMS, "y is a vowel behind a vowel"),
        ('sounds == "vc" or (', "(", STEMS, '"us" is not short'),
        ('word[-1] not in "wxy")', 'word[-1] not in "wx")', STEMS, "y ends a short word"),
        ("word[:-1] if len(word) == 4 else word[:-2]", "word[:-2]", STEMS, '"ties" is "ti"', '"""1a."""'),
        ("word[:-1] if len(word) == 4 else word[:-2]", "word[:-2]", STEMS, '"died" is "di"', '"""1b."""'),
        ('and not word.endswith("ss")', "", STEMS, '"glass" is "glas"'),
        ("if _measure(word[:-3]) > 0 else word", "", STEMS, '"feed" is "fee"', 'if word.endswith("eed"):'),
        ('and "v" in _sounds(before)', "", STEMS, '"sing" is "s"'),
        ('word if word[-1] in "lsz" else word[:-1]', "word[:-1]", STEMS, '"falling" is "fal"'),
        ("_measure(word) == 1 and _is_short(word)", "_is_short(word)", STEMS, "an e behind long words"),
        ('_sounds(word[:-1]).endswith("c")', '"v" in _sounds(word[:-1])', STEMS, "Porter's own rule for y"),
        ('if word.endswith("alli") and _measure(word[:-4]) > 0:', "if False:", STEMS, "no alli"),
        ("_measure(word[:-3]) > 0", "_measure(word[:-4]) > 0", STEMS, "the l is no part of what is before logi",
         'if word.endswith("logi"):'),
        ('if word.endswith(("sion", "tion")):', 'if word.endswith("ion"):', STEMS, "any ion is taken off"),
        ("_replaced(word, STEP_4, 2)", "_replaced(word, STEP_4, 1)", STEMS, "step 4 takes too much"),
        ("measure > 1 or (measure == 1 and not", "measure > 1 or (not", STEMS, "an e behind short words is taken off"),
        ('word.endswith("ll") and _measure(word[:-1]) > 1', 'word.endswith("ll")', STEMS, '"roll" is "rol"'),
    ),
    *in_file(
        "evaluation/rouge.py",
        ("STEMMED = 4", "STEMMED = 3",
         of(JUDGED, "test_words_are_letters_and_digits_and_stems_those_of_more_than_three"), "short words are stemmed"),
        ('"[a-z0-9]+"', '"[a-z]+"', ROUGE["rouge1"], "digits are no words"),
        ("findall(text.lower())", "findall(text)", ROUGE["rouge1"], "capitals are no letters"),
        ("list(pairwise(wanted)), list(pairwise(given))", "wanted[1:], given[1:]", ROUGE["rouge2"], "words for pairs"),
        ("len(wanted) - 1, len(given) - 1", "len(wanted), len(given)", ROUGE["rouge2"], "as many pairs as words"),
        ("precision, recall = hits / given, hits / wanted", "precision, recall = hits / wanted, hits / given",
         ROUGE["rougeL"], "precision for recall"),
        ("2 * precision * recall / (precision + recall)", "(precision + recall) / 2", ROUGE["rougeL"],
         "the arithmetic mean"),
        ("(Counter(wanted) & Counter(given)).total()", "sum(1 for word in given if word in set(wanted))",
         ROUGE["rouge1"], "a word counts more often than both have it"),
        ("& Counter(word for line in given for word in line)).total()", ").total()", ROUGE["rougeLsum"],
         "a word of the text counts for several lines"),
        ("subsequence(wanted, given),", "_common(wanted, given),", ROUGE["rougeL"], "any order will do"),
        ("_length(rows[i], j - 1) > _length(rows[i - 1], j)", "_length(rows[i], j - 1) >= _length(rows[i - 1], j)",
         ROUGE["rougeLsum"], "another of several subsequences"),
        ("| 1 << j", "* 0 | 1 << j", SUBSEQUENCE, "a word has its last place only"),
        ("(row + at | row - at) & all_", "(row | row - at) & all_", SUBSEQUENCE, "no carry"),
        ("places.add(i)", "places.add(j)", SUBSEQUENCE, "places of the other text"),
    ),
    *in_file(
        "evaluation/baselines.py",
        ("[.!?…][", "[.!?][", SENTENCES, "an ellipsis ends no sentence"),
        ("(end[1] or end[2])", '""', SENTENCES, "marks are lost"),
        ("split()[:count]", "split()[:count - 1]",
         of(JUDGED, "test_baselines_are_sentences_whole_and_cut_and_the_first_words"), "cut one word too short"),
        ("math.log(1 + len(found) / times)", "1.0", CENTRAL, "all words weigh the same"),
        ("math.sqrt(sum(value * value for value in row.values()))", "sum(row.values())", CENTRAL,
         "sentences are of no unit length"),
        ("return max(range", "return min(range", CENTRAL, "the sentence least like the others"),
        ("first, cut(first, count), central", "first, first, central",
         of(JUDGED, "test_baselines_are_sentences_whole_and_cut_and_the_first_words"),
         "the first sentence is not cut"),
        ("for word, value in row.items()), 12)", "for word, value in row.items()), 20)",
         of(JUDGED, "test_of_sentences_that_are_alike_the_first_is_central"), "rounding decides"),
    ),
    *in_file(
        "evaluation/bootstrap.py",
        ("outside = (1 - LEVEL) / 2", "outside = 1 - LEVEL", of(JUDGED, "test_as_many_resamples_lie_above_as_below"),
         "an interval of 90 %"),
        ("rng.integers(0, N, (rows, N))", "rng.permuted(np.tile(np.arange(N), (rows, 1)), axis=1)", RESAMPLED,
         "drawn without replacement"),
        ("+ N * np.arange(rows)[:, None]", "", RESAMPLED, "all resamples in one row"),
        ("default_rng(seed)", "default_rng(0)", RESAMPLED, "the seed does not matter"),
        ("means[start : start + rows]", "means[:rows]", RESAMPLED, "each block takes the first one's place"),
    ),
    *in_file(
        "evaluation/systems.py",
        ('global_attention="none"', 'global_attention="first"', TAKEN, "global attention is left"),
        ("attention_window=narrower", "attention_window=windows(summarizer)", TAKEN, "the window is left"),
        ("model = copy.copy(summarizer.model)", "model = summarizer.model", TAKEN, "the model itself is narrowed"),
        ("size // 4 * 2", "size // 2", of(JUDGED, "test_windows_are_halved_to_whole_tokens_on_each_side"),
         "an odd window"),
    ),
    *in_file(
        "evaluation/evaluation.py",
        ("item.tokens <= LONG", "item.tokens < LONG", APART, "1,024 tokens are neither"),
        ("item.tokens > LONG", "item.tokens >= LONG", APART, "1,024 tokens are long"),
        ("item.pair.input == one", "item.pair.input != one", APART, "an input has the others' documents"),
        ("means[:1] - means[1:]", "means[1:] - means[:1]", LEADS, "leads are the wrong way round"),
        ("resampled[:, :1] - resampled[:, 1:]", "resampled[::-1, :1] - resampled[:, 1:]",
         of(JUDGED, "test_a_difference_that_all_documents_share_has_no_width"), "resamples are not paired"),
        ("scores(pair.summary, text, stemmer)", "scores(text, pair.summary, stemmer)",
         of(JUDGED, "test_every_text_is_scored_against_the_reference"), "the reference for the text"),
        ("not words(pair.summary)", "not pair.summary", of(JUDGED, "test_means_of_references"),
         "references without words are not noticed"),
        ("if has_lines else METRICS[:-1]", "", of(JUDGED, "test_lines_are_compared_where_references_have_several"),
         "lines are compared always"),
        ('.strip("\\n")', "", of(JUDGED, "test_lines_are_compared_where_references_have_several"),
         "an end of line makes two"),
    ),
    *in_file(
        "evaluation/report.py",
        ("{value:+.4f}", "{value:.4f}", TABLES, "leads without a sign"),
        ('if one["origin"] != "default"', 'if one["origin"] == "default"', TABLES, "settings that nobody set"),
        ("if name not in OWN", "if True", TABLES, "settings that say nothing"),
        ("one.truncated > 0", "one.truncated < 0", LEFT_OUT_IS_SAID, "what was cut off is not said",
         "so that only the"),
    ),
    *in_file(
        "cli/shared/pairs.py",
        ("if bad <= MOST_TOLD:", "if True:", of(EVALUATE, "test_of_many_bad_lines_the_first_are_told"),
         "every bad line is told"),
        ("self.failed += bad - MOST_TOLD", "pass", of(EVALUATE, "test_of_many_bad_lines_the_first_are_told"),
         "lines that are not told do not count"),
        ('read_text(name, may_be_blank=True).split("\\n"), 1)', 'read_text(name, may_be_blank=True).split("\\n"), 0)',
         BAD_LINE, "lines are counted from 0"),
        ("if not text.strip():", "if not text:", BAD_LINE, "a blank summary is one"),
        ("digits=DIGITS", "digits=18", of(EVALUATE, "test_keys_have_other_names_where_they_are_told"),
         "a number in another key is too long"),
        ("pairs[i] for i in sorted(kept)", "pairs[i] for i in kept", DRAWN, "documents in another order"),
        ("random.Random(seed)", "random.Random(0)", DRAWN, "the seed does not matter"),
        ("key=order.__getitem__)[:limit]", "key=int)[:limit]", DRAWN, "the first are drawn"),
    ),
    *in_file(
        "cli/shared/records.py",
        ("if line in self._there:", "if False:", GOES_ON, "records stand there twice"),
        ('"wb" if self._is_new else "ab"', '"wb"', of(EVALUATE, "test_the_scores_are_those_of_the_summaries"),
         "a record replaces the one before"),
        ("self._is_new = not there", "self._is_new = True", GOES_ON, "what is to be kept is replaced"),
        ("data.rfind(b\"\\n\") + 1", "data.rfind(b\"\\n\")", GOES_ON, "the last record is taken for half of one"),
        ("os.truncate(path, whole)", "pass", GOES_ON, "half a record is left", "is cut off, and taken out"),
        ("os.truncate(path, whole)", "pass", of(EVALUATE, "test_a_line_that_does_not_fit_is_taken_out"),
         "half a record is left on a full disk", "except OSError:\n        with"),
        ("status.st_mtime_ns]", "0]", of(EVALUATE, "test_records_of_something_else_are_no_use[checkpoint]"),
         "a checkpoint that was trained on is the same"),
        ("_sha256(pair.document), as_json(self.made)), {}", '"", as_json(self.made)), {}', GOES_ON, "nothing is known"),
        ("if not arguments.skip_existing:", "if False:",
         of(EVALUATE, "test_a_file_that_is_there_is_kept_unless_it_may_be_replaced"), "added to without asking"),
    ),
    *in_file(
        "cli/evaluate.py",
        ("return status or (FAILED if pairs.failed else OK)", "return status", BAD_LINE, "failures end in 0"),
        ('del records.made["model"]', "pass", of(EVALUATE, "test_records_know_a_directory_by_another_name"),
         "a directory by another name is another"),
        ("/ (self._made - 2) *", "/ (self._made - 1) *", PACE, "the first document counts"),
        ("self._second = now", "self._second = self._second or now", PACE,
         "the time in which kernels are loaded counts"),
        ("if is_known:", "if False:", PACE, "what is known counts as made"),
        ("mean_words([pair for pair in pairs if pair.input == name])", "mean_words(pairs)",
         of(EVALUATE, "test_inputs_have_means_of_their_own_and_their_own_lengths"), "one mean for all inputs"),
        ("run.records.put(one)", "pass", of(EVALUATE, "test_the_scores_are_those_of_the_summaries"), "no records"),
    ),
]  # fmt: skip

COMMAND, OUTPUTS, PROCESS = "test_cli", "test_cli_outputs", "test_cli_process"
THERE = of(OUTPUTS, "test_what_is_there_is_kept_or_replaced_as_asked")
REFUSED_OUTPUT = of(OUTPUTS, "test_an_output_that_cannot_be_is_refused_before_any_work")
NAMES = of(OUTPUTS, "test_names_of_files_tell_inputs_apart")
BAD_INPUT = of(COMMAND, "test_a_bad_input_does_not_stop_the_others")
TURN = of("test_cli_inputs", "test_a_text_is_read_when_its_turn_comes")
COMMAND_LINE = [
    *in_file(
        "cli/__init__.py",
        ("return INTERRUPTED", "return FAILED", of(PROCESS, "test_an_interrupt_while_it_starts_ends_it_quietly"),
         "an interrupt is a failure"),
    ),
    *in_file(
        "cli/shared/console.py",
        ('"" if isinstance(e, BrokenPipeError) else f"', 'f"', of(PROCESS, "test_a_closed_pipe_ends_it_quietly"),
         "a closed pipe is a complaint"),
        ("/ (done - 1) *", "/ done *", of(PROCESS, "test_time_left_is_reckoned_from_the_second_step_on"),
         "the step that compiles counts"),
        ("if not self._quiet:", "if True:", of(COMMAND, "test_what_was_assumed_is_said_unless_quiet"),
         "quiet is not"),
    ),
    *in_file(
        "cli/shared/interrupts.py",
        ("if _is_held and not", "if False and not", of(PROCESS, "test_an_interrupt_waits_until_a_file_is_whole"),
         "an interrupt cuts a file"),
        ("if signal.getsignal(signal.SIGINT) is signal.default_int_handler:", "if True:",
         of(PROCESS, "test_an_interrupt_waits_until_a_file_is_whole"), "nohup is overruled"),
    ),
    *in_file(
        "cli/shared/parser.py",
        ('arguments.index("--") if "--" in arguments else len(arguments)', "len(arguments)",
         of(COMMAND, "test_what_stands_behind_two_hyphens_is_a_file"), "files are rewritten as options"),
    ),
    *in_file(
        "cli/shared/settings.py",
        ("if name in settings:", "if False:", of(COMMAND, "test_wrong_usage"), "the last of two values wins"),
    ),
    *in_file(
        "cli/shared/inputs.py",
        ("continue", "return", TURN, "a bad input stops the others", "text = read_text(name, self._may_be_blank)"),
        ('.removeprefix("\\ufeff")', "", of(COMMAND, "test_a_byte_order_mark_is_dropped_and_nothing_else"),
         "the byte order mark is read"),
        ("not path.stem.endswith(MADE) and", "", of(OUTPUTS, "test_a_directory_stands_for_its_texts_in_order"),
         "summaries are summarized"),
        ("if not _is_pipe(text):", "if True:", of("test_cli_inputs", "test_a_pipe_is_read_once"),
         "a pipe is read twice"),
        ("if self.failed and len(self.found) > 1:", "if False:", BAD_INPUT, "the failed are not counted"),
    ),
    *in_file(
        "cli/shared/forms.py",
        ('if form == "jsonl" else', 'if form == "text" else',
         of(OUTPUTS, "test_a_directory_stands_for_its_texts_in_order"), "no line between texts", "def between"),
        ('"backslashreplace"', '"replace"', of(OUTPUTS, "test_json_keeps_letters_and_survives_odd_names"),
         "bytes of a name are lost"),
    ),
    *in_file(
        "cli/shared/outputs.py",
        ("with replace_file(path) as file:", 'with path.open("wb") as file:',
         of(OUTPUTS, "test_a_full_disk_leaves_the_old_file_whole"), "files are written in place"),
        ("if is_device(path):", "if False:", of(OUTPUTS, "test_a_device_is_written_to_and_not_replaced"),
         "devices are replaced"),
        ("if not arguments.skip_existing:", "if False:", THERE, "outputs are replaced without asking"),
        ("if not there or arguments.force:", "if not there:", THERE, "--force skips"),
        ("if os.path.realpath(path) in sources:", "if str(path) in sources:", REFUSED_OUTPUT,
         "an input is overwritten"),
        ("count[fold(stem)] > 1", "count[fold(stem)] > 2", NAMES, "two inputs have one output"),
        ("parts[name][-n:]", "parts[name][:n]", NAMES, "the outermost folders tell apart"),
    ),
    *in_file(
        "cli/summarize.py",
        ("if was_enabled:", "if False:", of("test_cli", "test_garbage_is_collected_again_once_all_is_loaded"),
         "garbage is never collected again"),
        ("return status or (FAILED if inputs.failed else OK)", "return status", BAD_INPUT, "failures end in 0"),
        ("BAD_CHECKPOINT if isinstance(e, PyledError) else FAILED", "FAILED", of(COMMAND, "test_a_bad_checkpoint"),
         "a bad checkpoint is a bad input"),
    ),
    *in_file(
        "cli/tokenize.py",
        ("if number >= len(tokenizer)]", "if number > len(tokenizer)]",
         of("test_cli_tokenize", "test_mistakes_are_told"), "an id beyond the last is left out"),
        ("type(number) is int and number >= 0", "True",
         of("test_cli_tokenize", "test_what_is_no_list_of_ids_is_refused"), "anything in a list is an id"),
    ),
    *in_file(
        "cli/examination.py",
        ("is_counted = name == TIED[0] or not config.tie_word_embeddings", "is_counted = True",
         of("test_cli_inspect", "test_parameters_by_part"), "tied embeddings count four times"),
        ("is_counted = name != OPTIONAL", "is_counted = True", of("test_cli_inspect", "test_parameters_by_part"),
         "a buffer is learned"),
        ('facts["problems"].append(str(e))', "pass",
         of("test_cli_inspect", "test_a_broken_part_hides_none_of_the_others"), "what is broken is not told"),
    ),
]  # fmt: skip

MUTATIONS = [
    *ENCODER_ATTENTION,
    *DECODER_ATTENTION,
    *STACKS,
    *INPUTS,
    *MODELS,
    *KERNELS,
    *PROCESSES,
    *FILES,
    *BEAM,
    *GREEDY,
    *TOKENIZER,
    *TEXT_LEVEL,
    *EVALUATION,
    *COMMAND_LINE,
]


def left_out(file: str, *rows: tuple[str, ...]) -> list[Place]:
    """Places of one file, each as (old, why) or (old, why, after)."""
    return [Place(file=file, **dict(zip(("old", "why", "after"), row, strict=False))) for row in rows]


LEFT_OUT = [
    *left_out(
        "network/attention.py",
        ("buffers = buffers or Buffers()", "and: new memory, or None, an exception"),
        ("np.isfinite(top), top, 0", "-inf less -inf: a warning of NumPy, and none where no row is -inf throughout"),
        ("slots + 2 * w + 1), q.dtype)", "probabilities of another width do not fit",
         "places = np.flatnonzero(is_global)\n    probs"),
        ("2 * w + 1, axis=0)", "windows of another width do not fit the scores"),
        ("(S, slots + 2 * w + 1), -np.inf", "scores of another width do not fit"),
        ("if S is not None else None", "a width of None: TypeError"),
        ("all(dtype == states.dtype", "!=: one layer's place for all where they are kept, and kept for nothing"),
        ("None if scale is None else scale[None]", "turned round, None is asked for its elements: an exception"),
        ("if T == 1 and len(rows):", "without rows `grouped` does nothing: only time is lost"),
    ),
    *left_out(
        "network/cache.py",
        ("not self._is_continued and", "without not, copies always: only time is lost"),
        ("length <= self.buffer", "< copies once more: only time is lost"),
        ("if length > capacity:", ">= makes a buffer larger: only memory is lost"),
    ),
    *left_out(
        "models/arguments.py",
        ("if mask is None:", "is not None: an array of None is no mask, InputError"),
        ("given.shape != shape", "==: every mask is refused, InputError"),
        ('given.dtype.kind not in "biuf"', "in: every mask is refused, InputError"),
        ('given.dtype.kind not in "fiu"', "in: all embedded tokens are refused, InputError"),
    ),
    *left_out(
        "kernels/attention.py",
        ("if key_scale is None:", "turned round, None is asked for its elements: an exception"),
        ("if shift[x] == -np.inf:", "-inf less -inf is NaN: a warning of NumPy, compiled NaN"),
        ("max(0, min(lanes, own_lane + w + 1))", "never negative: a tile's keys begin at first - w"),
        ("min(lanes, own_lane - w)", "a slice's end may lie beyond"),
        ("max(0, first - w), stop", "an earlier begin is masked: only time is lost"),
        ("first + lanes + w)", "a later end is masked: only time is lost", "lanes = min(query_tile"),
        ("if total[i] != 0 else 0", "==: 0 / 0, a warning of NumPy, compiled NaN"),
        ("(Q + query_tile - 1)", "without -1 an empty tile more"),
        ("h * D : (h + 1) * D]", "of more columns the first D are written"),
        ("(count + unit - 1) // unit * unit", "the size of a tile changes no result"),
        ("query_tile or _covering", "and: a tile of None, TypeError"),
        ("key_tile or KEY_TILE", "and: a tile of None, TypeError"),
    ),
    *left_out(
        "kernels/elementary.py",
        ('getattr(x, "bitwidth", 64) == 32', "runs when compiled only", "def _compiled_exp"),
        ('getattr(x, "bitwidth", 64) == 32', "runs when compiled only", "def _compiled_gelu"),
        ("if u < np.float32(ERFC_END)", "<=: the tail at 4 is below the budget"),
        ("tail if x < np.float32(0)", "<=: 0 times either is 0"),
    ),
    *left_out(
        "kernels/products.py",
        ("(M + WEIGHT_TILE - 1)", "without -1 an empty tile more"),
    ),
    *left_out(
        "kernels/rounded.py",
        ("size <= largest or", "<: the same number in its own place"),
        ("if not math.isfinite(largest):", "turned round, NaN is asked for its whole number: an exception"),
        ("if scale is None:", "turned round, None is asked for its elements: an exception"),
        ('stored.dtype.kind == "f"', "!=: no kernel for what it is then given, an exception"),
    ),
    *left_out(
        "generation/beam.py",
        ("if count <= _GROUPS and len(values) >= 4 * _GROUPS:", "the bound saves time only; more wanted than there are "
         "groups: ValueError"),
        ("values >= np.partition(maxima, -count)[-count]", "a higher bound leaves too few: ValueError"),
        ("1 + len(settings.eos_token_id)", "2 +: of (1 + ends) n candidates n go on already"),
        ("length + 1].reshape(B * K, length + 1)", "other shapes: ValueError"),
        ("lost = ~done & ", "a document that is done has a finished hypothesis"),
        ("<= ABSENT / 2)", "beams that never were repeat those that are: their scores are -inf together"),
        ("| stopped.all(axis=1)", "what runs on then is as good as absent, and cannot improve"),
        ("if not np.array_equal(rows", "selecting always: only time is lost"),
        ("np.isnan(tops) & ~done", "without ~done: GenerationError"),
        ("settings.length_penalty > 0", ">=: to the power of 0 every length is 1"),
        ("hoped > finished", ">= differs where two float32 scores are equal: both answers score the same"),
    ),
]  # fmt: skip

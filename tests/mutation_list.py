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
ADDED, FILES, RESIZE = "test_added_tokens", "test_tokenizer_files", "test_resize"
ANSWERS = of(ADDED, "test_it_answers_as_the_reference")
COUNTED = of(ADDED, "test_what_is_counted")
SHOWN = "test_what_is_bad_in_a_tokenizer_json_is_shown_with_its_line"
GLOBALS = stored("pattern-far", "pattern-uneven")
HOLES = stored("pattern-holes", "pattern-suffix")
SPLIT = of(PROPERTIES, "test_a_cache_gives_the_same_logits_at_any_split")
BAND = of("test_kernels", "test_banded_is_dense_attention_within_the_band")
EDGES = of("test_kernels", "test_banded_at_every_edge_of_a_tile")
GROUPED = of("test_kernels", "test_grouped_is_dense_attention_within_each_group")
FEW_ROWS = of("test_kernels", "test_few_rows_is_a_product_and_a_row_does_not_depend_on_its_company")
GELU = of("test_kernels", "test_bias_and_gelu_in_one_pass")
GELU_RANGE = of("test_kernels", "test_gelu_over_the_whole_range_of_float32")
EXP = of("test_kernels", "test_exp_is_0_for_what_is_masked_and_good_to_a_unit_and_a_half_elsewhere")
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
MERGES = of("test_tokenizer_bpe", "test_every_short_word_merges_by_the_order_of_the_list")
CACHE = of("test_tokenizer_bpe", "test_the_cache_is_bounded_and_changes_nothing")
BOUND = of("test_tokenizer_bpe", "test_the_cache_never_holds_more_than_its_bound")


def in_file(file: str, *rows: tuple[str | tuple[str, ...], ...]) -> list[Mutation]:
    """Mutations of one file, each as (old, new, tests, why) or (old, new, tests, why, after)."""
    return [
        Mutation(file=file, **dict(zip(("old", "new", "tests", "why", "after"), row, strict=False))) for row in rows
    ]


ENCODER_ATTENTION = in_file(
    "attention.py",
    ("is_real & ~is_global, k[places]", "is_real, k[places]", GLOBALS, "globals count twice: column and band"),
    ("is_real & ~is_global, k[places]", "~is_global, k[places]", HOLES, "padding is attended to"),
    ("is_real & ~is_global, k[places]", "~is_real & ~is_global, k[places]", HOLES, "the mask of keys is inverted"),
    ("is_real & ~is_global, k[places]", "is_real & is_global, k[places]", GLOBALS, "only globals in the band"),
    ("k[places], v[places], w, H)", "k[:0], v[:0], w, H)", GLOBALS, "local queries do not see the globals"),
    ("banded(q, k, v, is_real", "banded(q, k, k, is_real", HOLES, "keys for values"),
    ("context[~is_real] = 0", "pass", HOLES, "padded query rows are not zeroed"),
    ("context[~is_real] = 0", "context[is_real] = 0", HOLES, "real query rows are zeroed"),
    ("if len(places):", "if not len(places):", GLOBALS, "globals attend to their window only"),
    ('.query_global")', '.query")', GLOBALS, "no projection of its own for global queries"),
    ('.key_global")', '.key")', GLOBALS, "no projection of its own for the keys of global queries"),
    ('.value_global")', '.value")', GLOBALS, "no projection of its own for the values of global queries"),
    ("hidden[places], weights", "hidden[: len(places)], weights", GLOBALS, "the first tokens ask for the globals"),
    ("hidden[:0], hidden[:0], S, H", "hidden[:0], hidden[:0], w, H", GLOBALS, "global queries see a window"),
    ("v_global, is_real, hidden", "v_global, is_real | True, hidden", HOLES, "global queries see padding"),
    ("v_global, is_real, hidden", "v_global, is_real & ~is_global, hidden", GLOBALS, "globals do not see one another"),
    ("if slots is None:", "if slots is not None:", HOLES, "probabilities are missing when asked for"),
    ("is_real & ~is_global, w), 2", "is_real, w), 2", GLOBALS, "probabilities: globals twice"),
    ("is_real & ~is_global, w), 2", "~is_global, w), 2", HOLES, "probabilities: padding is attended to"),
    ("is_real & ~is_global, w), 2", "~is_real & ~is_global, w), 2", HOLES, "probabilities: inverted mask"),
    ("k[places, column].T", "k[: len(places), column].T", GLOBALS, "probabilities: wrong keys in the global columns"),
    ("np.where(is_key, np", "np.where(~is_key, np", HOLES, "probabilities: mask of the band inverted"),
    ("softmax(scores / math.sqrt(D))", "softmax(scores)", GLOBALS, "probabilities: no 1/sqrt(D)"),
    ("softmax(scores / math.sqrt(D))", "softmax(scores / D)", GLOBALS, "probabilities: 1/sqrt(D) twice"),
    ("probs[:, ~is_real | is_global] = 0", "probs[:, ~is_real] = 0", GLOBALS, "global rows not 0"),
    ("probs[:, ~is_real | is_global] = 0", "probs[:, is_global] = 0", HOLES, "padded rows not 0"),
    ("probs[:, ~is_real | is_global] = 0", "probs[:, is_real | is_global] = 0", HOLES, "real rows 0"),
    ("range(H if G else 0)", "range(0)", GLOBALS, "no probabilities of global queries"),
    ("np.where(is_real, q", "np.where(~is_real, q", GLOBALS, "global probabilities: inverted mask"),
    ("np.where(is_real, q", "np.where(is_real | True, q", HOLES, "global probabilities: padding is attended to"),
    ("/ math.sqrt(D), -np.inf)", "/ D, -np.inf)", GLOBALS, "global probabilities: 1/sqrt(D) twice"),
    ("where=total > 0", "where=total < 0", HOLES, "softmax without its division"),
)  # fmt: skip

BRANCHES = of(PROPERTIES, "test_a_continuation_keeps_its_tokens_when_the_same_past_is_continued_otherwise")
BEAMS = of(PROPERTIES, "test_generation_with_a_cache_is_the_search_over_the_definition")
SELECTED = of(PROPERTIES, "test_a_selected_cache_goes_on_as_its_rows_would")
GROWN = of(PROPERTIES, "test_a_cache_that_grows_with_every_token_keeps_its_past")
MASK = stored("decoder-mask", "decoder-1-mask")
BITS = of(PROPERTIES, "test_asking_for_probabilities_changes_no_bit")
DECODER_ATTENTION = in_file(
    "attention.py",
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
    ("v[None], is_key[document][None]", "v[None], is_key[document][None] | True", BEAMS,
     "one token: the source's mask is ignored"),
    ("v[None], is_key[document][None]", "v[None], ~is_key[document][None]", cached("cache-mask"),
     "one token: the source's mask is inverted"),
    ("for r in rows if T > 1 or probs", "for r in rows if T > 2 or probs", SPLIT, "two tokens do not see the source"),
    ("T > 1 or probs is not None", "T > 1 and probs is not None", SPLIT, "the source only if probabilities are shown"),
    ("np.broadcast_to(is_key[document], (T", "np.broadcast_to(~is_key[document], (T", HOLES,
     "the source's mask is inverted"),
    ("np.broadcast_to(is_key[document], (T", "np.broadcast_to(True, (T", HOLES, "the source's mask is ignored"),
    ("if T > 1:", "if T >= 1:", BITS, "asking for probabilities changes the source's context", "_attend(q[r, h], k[h]"),
    ("if T > 1:", "if T > 2:", SPLIT, "two tokens lose the source's context", "_attend(q[r, h], k[h]"),
    ('f"{name}.v_proj"), H),', 'f"{name}.k_proj"), H),', stored("decoder-6"), "the source's values are its keys"),
    ("np.where(may, q", "np.where(~may, q", stored("decoder-6"), "what may be seen is inverted"),
    ("/ math.sqrt(q.shape[1])", "", stored("decoder-6"), "decoder: no 1/sqrt(D)"),
    ("/ math.sqrt(q.shape[1])", "/ q.shape[1]", stored("decoder-6"), "decoder: 1/sqrt(D) twice"),
    ("scores[~may.any(axis=1)] = 0", "pass", stored("decoder-no-key"), "a row without keys is 0"),
    ("scores[~may.any(axis=1)] = 0", "scores[may.any(axis=1)] = 0", stored("decoder-6"), "rows with keys are uniform"),
    ("scores[~may.any(axis=1)] = 0", "scores[~may.all(axis=1)] = 0", stored("decoder-6"), "any mask makes uniform"),
)  # fmt: skip

STACKS = [
    *in_file(
        "cache.py",
        ("not self._is_continued and ", "", BRANCHES, "a second continuation writes into the first"),
        ("self._is_continued |= fits", "pass", BRANCHES, "nobody remembers that a buffer was continued"),
        ("[:, :, self.length : length] = new", "[:, :, : length - self.length] = new", SPLIT, "appended in front"),
        ("buffer[:, :, :P] = kept", "pass", GROWN, "the past is lost when a buffer grows"),
        ("_copied(rows, self.length)", "_copied(slice(None), self.length)", BEAMS, "the cache does not follow beams"),
        ("own=own, document_of_row=self.document_of_row[rows]", "own=own", SELECTED, "rows keep their old documents"),
        ("return self.own[0][0].length if", "return 0 if", SPLIT, "the past has no length"),
    ),
    *in_file(
        "decoder.py",
        ("embed(tokens, past.get_seq_length(), ", "embed(tokens, 0, ", SPLIT, "positions begin anew in each call"),
        ("np.repeat(np.arange(len(documents)), R", "np.tile(np.arange(len(documents)), R", BEAMS,
         "beams read another document's keys"),
        ('f"{layer}.encoder_attn_layer_norm"', 'f"{layer}.self_attn_layer_norm"', stored("decoder-6"), "wrong norm"),
        ("own.append(grown)", "own.append(past.own[i])", SPLIT, "the cache does not grow"),
        ("want = S is not None", "want = S is None", stored("decoder-6"), "probabilities when not asked for"),
    ),
    *in_file(
        "encoder.py",
        ("embed(tokens, 0, ", "embed(tokens, 2, ", stored("length-tall-3"), "BART's offset of 2 in the positions"),
        ("else config.one_sided_window(i)", "else config.one_sided_window(0)", stored("windows-none"),
         "the first layer's window for all"),
        ("if slots is None else", "if slots is not None else", stored("length-wide-1"), "windows cut to the document"),
        ('f"{layer}.final_layer_norm"', 'f"{layer}.self_attn_layer_norm"', stored("length-tall-3"), "wrong norm"),
    ),
    *in_file(
        "layers.py",
        ('out += weights[f"{name}.bias"]', "pass", stored("decoder-6"), "linear without bias"),
        ("LAYER_NORM_EPSILON = 1e-5", "LAYER_NORM_EPSILON = 1e-6", stored("decoder-6"), "another epsilon"),
        ("slice(first, first + FEED", "slice(first, first - 1 + FEED", of(PROPERTIES,
         "test_rows_beyond_a_slice_of_the_feed_forward"),
         "a row between two slices is lost"),
        ('if kind == "gelu":', 'if "gelu" in kind:', stored("activation-gelu_new"), "erf for tanh"),
        ('if kind == "gelu":', 'if kind != "gelu":', stored("activation-relu"), "erf for all but gelu"),
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
    "inputs.py",
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

KEYS = '"""tile[i, d] = source[first + i, column + d]'  # the docstrings say what the lines do, in the same words
VALUES = '"""tile[d, i] = source[first + i, column + d]'
KERNELS = [
    *(
        mutation
        for r in range(8)
        for mutation in in_file(
            "kernels/attention.py",
            (f"a{r}3 * b3", f"a{r}2 * b3", BAND, f"register block: the last product of row {r}"),
            (f"{'r' if r == 0 else f'r + {r}'}, u + 3]", f"{'r' if r == 0 else f'r + {r}'}, u + 2]", BAND,
             f"register block: the last number of row {r}"),
        )
    ),
    *in_file(
        "kernels/attention.py",
        ("b[u + 3, x]", "b[u + 2, x]", BAND, "register block: load of b"),
        ("shift[x] = max(shift[x], scores[j, x])", "pass", BAND, "the running maximum ignores the tile"),
        ("top[x] = shift[x]", "pass", BAND, "the maximum so far is forgotten"),
        ("total[x] *= scale", "pass", BAND, "earlier powers are not rescaled"),
        ("output[d, x] *= scale", "pass", BAND, "earlier sums are not rescaled"),
        ("total[x] += scores[j, x]", "total[x] = scores[j, x]", BAND, "the sum of powers is the last power"),
        ("tile[i, d] = source[first + i, column + d]", "tile[i, d] = source[first + i, d]", BAND,
         "keys of one head", KEYS),
        ("tile[d, i] = source[first + i, column + d]", "tile[d, i] = source[first + i, d]", BAND,
         "values of one head", VALUES),
        ("tile[i, d] = source[first + i,", "tile[i, d] = source[first,", BAND, "one key for all", KEYS),
        ("j >= count or", "j >= count - 1 or", BAND, "the last key of a tile is masked"),
        ("or not is_key[j0 + j]", "", BAND, "the mask of keys is ignored"),
        ("or not is_key[j0 + j]", "or is_key[j0 + j]", BAND, "the mask of keys is inverted"),
        ("not is_key[j0 + j]", "not is_key[j]", BAND, "the mask of the first tile for all"),
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
        ("queries *= scale", "pass", BAND, "no 1/sqrt(D)"),
        ("queries *= scale", "queries *= scale * scale", BAND, "1/sqrt(D) twice"),
        ("range(max(0, first - w), min", "range(max(0, first - w + 1), min", EDGES, "tiles begin one key late"),
        ("range(max(0, first - w), min", "range(first, min", BAND, "tiles begin at the first query"),
        ("first + lanes + w), key_tile", "first + lanes + w - 1), key_tile", EDGES, "tiles end one key early"),
        ("min(key_tile, k.shape[0] - j0)", "min(key_tile, k.shape[0] - j0 - 1)", BAND, "the last key is left out"),
        ("scores[:] = 0", "pass", BAND, "scores of the last tile stay", "_load_transposed(v, j0"),
        ("range(0, k_extra.shape[0], key_tile)", "range(0, k_extra.shape[0] - 1, key_tile)", BAND,
         "the last tile of extra keys is left out"),
        ("min(key_tile, k_extra.shape[0] - j0)", "min(key_tile, k_extra.shape[0] - j0 - 1)", BAND,
         "the last extra key is left out"),
        ("scores[:] = 0", "pass", BAND, "scores of the band stay", "_load_transposed(v_extra, j0"),
        ("scores[count:, :] = -np.inf", "pass", BAND, "extra keys that do not exist"),
        ("scores[count:, :] = -np.inf", "scores[count + 1 :, :] = -np.inf", BAND, "one extra key that does not exist"),
        ("if total[i] > 0 else 0", "if total[i] > 1 else 0", BAND, "a single key counts for nothing"),
        ("if total[i] > 0 else 0", "if total[i] < 0 else 0", BAND, "no context"),
        ("context[first + i, column + d]", "context[first + i, d]", BAND, "all heads write to the first"),
        ("(q.shape[0] + query_tile - 1) // query_tile", "q.shape[0] // query_tile", BAND, "the last queries are lost"),
        ("1 / math.sqrt(q.shape[1] // H)", "1 / math.sqrt(q.shape[1])", BAND, "scaled by the model size"),
        ("1 / math.sqrt(q.shape[1] // H)", "1 / (q.shape[1] // H)", BAND, "scaled by 1/D"),
        ("k[j]) * scale if is_key[j]", "k[j]) if is_key[j]", GROUPED, "a step: no 1/sqrt(D)"),
        ("scale if is_key[j] else", "scale if not is_key[j] else", GROUPED, "a step: the mask is inverted"),
        ("scale if is_key[j] else", "scale if True else", GROUPED, "a step: the mask is ignored"),
        ("if top[r] > -np.inf else 1", "if top[r] < -np.inf else 1", GROUPED, "a step: always uniform"),
        ("total[r] += scores[r, j]", "total[r] = scores[r, j]", GROUPED, "a step: the sum is the last power"),
        ("context[r, d] += scores[r, j] * v[j, d]", "context[r, d] += v[j, d]", GROUPED, "a step: uniform sums"),
        ("context[r, d] /= total[r]", "pass", GROUPED, "a step: no division"),
        ("n, h = task // H, task % H", "n, h = task // H, 0", GROUPED, "a step: one head for all"),
        ("1 / math.sqrt(q.shape[3])", "1 / math.sqrt(q.shape[2])", GROUPED, "a step: scaled by the rows"),
        ("1 / math.sqrt(q.shape[3])", "1 / q.shape[3]", GROUPED, "a step: 1/sqrt(D) twice"),
    ),
    *in_file(
        "kernels/elementary.py",
        ("+ np.float32(0.5))", "+ np.float32(0))", EXP, "exp: the exponent is cut, not rounded"),
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
        ("total += x[i] * y[i]", "total = x[i] * y[i]", FEW_ROWS, "dot: the last product"),
        ("range(x.shape[0])", "range(x.shape[0] - 1)", FEW_ROWS, "dot: all but the last product"),
    ),
    *in_file(
        "kernels/products.py",
        ("(M + WEIGHT_TILE - 1) // WEIGHT_TILE", "M // WEIGHT_TILE", FEW_ROWS, "the last rows of the matrix are lost"),
        ("min(M, first + WEIGHT_TILE)", "min(M, first + WEIGHT_TILE - 1)", FEW_ROWS, "a row of each tile is lost"),
        ("dot(x[r], weight[m])", "dot(x[0], weight[m])", FEW_ROWS, "the first row for all"),
    ),
    *in_file(
        "kernels/rows.py",
        ("gelu(x[n, f] + bias[f])", "gelu(x[n, f]) + bias[f]", GELU, "the bias behind the activation"),
        ("row[e] -= mean", "pass", NORM, "the mean is not subtracted"),
        ("squares / row.dtype.type(E) + epsilon", "squares / row.dtype.type(E - 1) + epsilon", stored("decoder-6"),
         "unbiased variance"),
        ("math.sqrt(squares / row.dtype.type(E) + epsilon)", "(math.sqrt(squares / row.dtype.type(E)) + epsilon)",
         NORM, "epsilon outside of the root"),
        ("scale * weight[e] + bias[e]", "scale * (weight[e] + bias[e])", NORM, "the bias multiplied"),
        ("x[n, e] + y[n, e]", "y[n, e]", NORM, "no residual"),
    ),
]  # fmt: skip

ALONE = of("test_generation_search", "test_a_document_gets_the_same_alone_as_in_a_batch")
ROW = of("test_generation_search", "test_best_of_a_single_row")
ENOUGH = of("test_generation_search", "test_among_the_candidates_there_are_enough_that_go_on")
HOPED = of("test_generation_search", "test_a_dead_end_where_a_better_result_was_hoped_for_leaves_what_has_ended")
PADDING = of("test_generation_search", "test_beam_padding_has_the_references_quirk")
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
        "models.py",
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
        ("\\s+(?!\\S)|", "", TEXTS, "the last white space goes with the run"),
        ("'s|'t|", "'t|", TEXTS, "'s is no word of its own"),
        ("range(0xAE, 0x100)", "range(0xAD, 0x100)", of("test_tokenizer_bpe", "test_the_byte_table_is_gpt2s"),
         "the byte table: the soft hyphen prints"),
    ),
    *in_file(
        "tokenizer/bpe.py",
        ("heapify(heap)", "heap.sort(reverse=True)", MERGES, "merges in the wrong order", "return symbols"),
        ("!= rank:", "is None:", MERGES, "stale merges are made"),
        ("new << _POSITION_BITS | start", "new << _POSITION_BITS | at", MERGES, "the merge to the left is lost"),
        ("((before, at), (at, beyond))", "((at, beyond),)", MERGES, "pairs with the left neighbour are not tried"),
        ("((before, at), (at, beyond))", "((before, at),)", MERGES, "pairs with the right neighbour are not tried"),
        ("right[at], left[beyond] = beyond, at", "right[at] = beyond", MERGES, "left neighbours grow stale"),
        ("if len(self) >= CACHED_WORDS:", "if len(self) > CACHED_WORDS:", BOUND, "the cache holds one word too many"),
        ("if len(word) <= LONGEST_CACHED:", "if True:", CACHE, "any word is cached"),
    ),
    *in_file(
        "tokenizer/offsets.py",
        ("starts = stops - size", "starts = stops - size + 1", TEXTS, "offsets begin one late"),
        ("character[stops - 1] + 1", "character[stops - 1]", TEXTS, "offsets end one early"),
        ("is_prefixed or not text.isascii()", "is_prefixed", TEXTS, "offsets count bytes"),
        ("(data & 0xC0) != 0x80", "(data & 0x80) != 0x80", TEXTS, "bytes of one character counted apart"),
        ("np.concatenate([character[:1], character])", "np.append(character, character[-1:])", TEXTS,
         "the space put in front has no place"),
        ("is_first & (lead == 1)", "lead == 1", TEXTS, "with add_prefix_space no token is trimmed"),
        ("is_first & (lead == 1)", "is_first", TEXTS, "the first token is not trimmed"),
        ("is_first[:1] = True", "pass", CALLS, "the first token is known by its place"),
        ("np.minimum(start + lead, stop)", "start", TEXTS, "white space in front is not trimmed"),
        ("np.maximum(stop - trail, start)", "stop", TEXTS, "white space behind is not trimmed"),
        ("np.where(stop >= trail, np", "np.where(stop < trail, np", TEXTS, "trimmed where it does not fit"),
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
        ('("_shapes", "_bytes")', '("_shapes",)', of(ADDED, "test_tables_made_before_grow_with_the_vocabulary"),
         "bytes of added tokens are not known"),
        ("cls, sep = vocabulary.frame or", "cls, sep = ()  or", of(FILES,
         "test_a_tokenizer_json_comes_before_the_other_files"),
         "texts stand between other tokens than tokenizer.json says"),
        ("vocabulary.sides[name] if side is None", '"right" if side is None',
         of(FILES, "test_a_tokenizer_json_comes_before_the_other_files"), "the sides of tokenizer.json do not count"),
        ("if i >= self.vocab_size", "if i > self.vocab_size", of(ADDED, "test_the_names_of_what_is_saved"),
         "the first added token is not saved"),
        ("([] if tokens and not there else self._additional)", "self._additional", of(ADDED,
         "test_roles_that_are_added"),
         "additional tokens are never replaced"),
        ("([] if tokens and not there else", "([] if not there else", of(ADDED, "test_roles_that_are_added"),
         "an empty list takes the roles away"),
        ("return copy.deepcopy(self)", "return copy.deepcopy(self, {id(self._special): self._special})",
         of(ADDED, "test_a_copy_is_one_of_its_own[copy]"), "a copy shares its added tokens"),
    ),
    *in_file(
        "tokenizer/pretrained.py",
        ("normalized=not is_special, special", "normalized=True, special", ANSWERS, "added_tokens.json: another round"),
        ("if given.get(name):", "if False:", of(FILES, "test_a_special_token_given_counts_before_the_files"),
         "special_tokens_map.json comes before the caller"),
        ("if token not in options[name]]", "]", ANSWERS, "additional tokens stand twice"),
        ('config.get("extra_special_tokens")', "None", of(FILES, "test_what_5_23_0_saves_is_read"),
         "what 5.23.0 calls them is not read"),
    ),
    *in_file(
        "tokenizer/vocabulary.py",
        ('.replace("\\r", "\\n")', "", of(FILES, "test_spellings_of_the_same_vocabulary[cr]"),
         "lines that end in a CR"),
        ("for _ in range(i + 1):", "for _ in range(i + 2):", of(FILES, f"{SHOWN}[merge]"),
         "the line of the next merge"),
        ("places[-1] if places", "places[0] if places", of(FILES, f"{SHOWN}[token]"), "the line of another key"),
    ),
    *in_file(
        "tokenizer/led.py",
        ('self.add_prefix_space and not piece.startswith(" ")', "self.add_prefix_space", TEXTS,
         "a second space is put in front"),
        ("self.add_prefix_space and not piece", "not piece", TEXTS, "a space is always put in front"),
        ("if self.trim_offsets:", "if not self.trim_offsets:", TEXTS, "offsets are not trimmed"),
        ("before = [self._sep[0] if i else", "before = [self._cls[0] if i else", CALLS, "pairs with <s>"),
        ("2 * len(parts) * add_special", "2 * add_special", CALLS, "a pair is cut too late"),
        ('slice(n) if side == "right" else', 'slice(n) if side != "right" else', CALLS, "the wrong end is cut"),
        ("slice(len(self.ids) - n, None)", "slice(-n, None)", CALLS, "cut to nothing keeps all"),
        ('{"input_ids": self.pad_token_id, "attention_mask": 0', '{"input_ids": 0, "attention_mask": 0', CALLS,
         "padding with 0"),
        ('"attention_mask": 0, "special', '"attention_mask": 1, "special', CALLS, "padding is attended to"),
        ("if i < n and i not in skipped]).decode", "if i < n]).decode", TEXTS, "special tokens are decoded"),
    ),
    *in_file(
        "tokenizer/encoding.py",
        ("(room // 2, room - room // 2)", "(room - room // 2, room // 2)", CALLS, "the first text keeps the odd token"),
        ("half if n <= m else half[::-1]", "half", CALLS, "the longer text does not matter"),
        ("short + long <= room", "short + long < room", CALLS, "both texts lose where one would do"),
        ("-(-longest // self.multiple)", "(longest // self.multiple)", CALLS, "padded to the multiple below"),
        ('missing if side == "right" else', 'missing if side != "right" else', CALLS, "padded on the wrong side"),
    ),
]  # fmt: skip

LOSS = of(PROPERTIES, "test_the_loss_counts_padding_and_leaves_out_what_is_ignored")
LABELS = stored("labels", "labels-ignored", "labels-first-ignored")
MODELS = in_file(
    "models.py",
    ('logits += self.weights["final_logits_bias"]', "pass", stored("decoder-6"), "final_logits_bias is missing"),
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
    ("decoder.begin(states, attention_mask, B * ", "decoder.begin(states, None, B * ", BEAMS,
     "generation reads padding"),
    ("[:, -1:])[:, 0]", "[:, :1])[:, 0]", BEAMS, "the logits of the prompt's first token"),
    ("masks.is_global[b, :length],", "masks.is_global[0, :length],", stored("pattern-uneven"), "globals of the first"),
)  # fmt: skip

MUTATIONS = [
    *ENCODER_ATTENTION,
    *DECODER_ATTENTION,
    *STACKS,
    *INPUTS,
    *MODELS,
    *KERNELS,
    *BEAM,
    *GREEDY,
    *TOKENIZER,
]


def left_out(file: str, *rows: tuple[str, ...]) -> list[Place]:
    """Places of one file, each as (old, why) or (old, why, after)."""
    return [Place(file=file, **dict(zip(("old", "why", "after"), row, strict=False))) for row in rows]


LEFT_OUT = [
    *left_out(
        "attention.py",
        ("range(H if G else 0)", "range(H) without globals: NumPy refuses the shapes"),
        ("np.isfinite(top), top, 0", "-inf less -inf: a warning of NumPy, and none where no row is -inf throughout"),
        ("slots + 2 * w + 1), q.dtype)", "probabilities of another width do not fit",
         "places = np.flatnonzero(is_global)\n    probs"),
        ("2 * w + 1, axis=0)", "windows of another width do not fit the scores"),
        ("(S, slots + 2 * w + 1), -np.inf", "scores of another width do not fit"),
        ("if S is not None else None", "a width of None: TypeError"),
        ("if T == 1 and len(rows):", "without rows `grouped` does nothing: only time is lost"),
    ),
    *left_out(
        "cache.py",
        ("not self._is_continued and", "without not, copies always: only time is lost"),
        ("length <= self.buffer", "< copies once more: only time is lost"),
        ("if length > capacity:", ">= makes a buffer larger: only memory is lost"),
    ),
    *left_out(
        "inputs.py",
        ("if mask is None:", "is not None: an array of None is no mask, InputError"),
        ("given.shape != shape", "==: every mask is refused, InputError"),
        ('given.dtype.kind not in "biuf"', "in: every mask is refused, InputError"),
        ('given.dtype.kind not in "fiu"', "in: all embedded tokens are refused, InputError"),
    ),
    *left_out(
        "kernels/attention.py",
        ("if shift[x] == -np.inf:", "-inf less -inf is NaN: a warning of NumPy, compiled NaN"),
        ("shift[x] = max(shift[x], scores[j, x])", "any other shift overflows before it is wrong: a warning of NumPy"),
        ("padded = (D + ROWS - 1) // ROWS * ROWS", "without -1 one block more of zeros; without the sum, IndexError"),
        ("tile[:] = 0", "shows only where fresh memory holds an inf or NaN", '"""tile[i, d] = source'),
        ("j >= count or", "> looks for a mask beyond the last: IndexError"),
        ("max(0, min(lanes, own_lane + w + 1))", "never negative: a tile's keys begin at first - w"),
        ("min(lanes, own_lane - w)", "a slice's end may lie beyond"),
        ("max(0, first - w), min", "an earlier begin is masked: only time is lost"),
        ("first + lanes + w), key_tile", "a later end is masked: only time is lost"),
        ("if total[i] > 0 else 0", ">=: 0 / 0, a warning of NumPy, compiled NaN"),
        ("if top[r] > -np.inf else 1", ">=: -inf less -inf, likewise; else 0: 0 / 0, likewise"),
        ("(q.shape[0] + query_tile - 1)", "without -1 an empty tile more"),
        ("(count + unit - 1) // unit * unit", "the size of a tile changes no result"),
        ("query_tile or _covering", "and: a tile of None, TypeError"),
        ("key_tile or _covering", "and: a tile of None, TypeError"),
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

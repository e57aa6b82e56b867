"""Flips: small mutations that are made from the code itself, one for each place; which tests must notice those of a
file; and the few that no test can notice.

Each comparison becomes its neighbour (`<` becomes `<=`), `and` becomes `or`, `&` becomes `|`, `min` becomes `max`,
`any` becomes `all`, and the other way round; `not`, `~`, `+ 1` and `- 1` are dropped. Only the bodies of functions and
classes change, but no assertion, nothing that is raised, no text, default or annotation.
"""

import ast
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

OPERATORS = {
    ast.Lt: ("<", "<="), ast.LtE: ("<=", "<"), ast.Gt: (">", ">="), ast.GtE: (">=", ">"), ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="), ast.Is: ("is", "is not"), ast.IsNot: ("is not", "is"), ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"), ast.And: (" and ", " or "), ast.Or: (" or ", " and "), ast.BitAnd: ("&", "|"),
    ast.BitOr: ("|", "&"), ast.Not: ("not ", ""), ast.Invert: ("~", ""), ast.Add: (" + 1", ""), ast.Sub: (" - 1", ""),
}  # fmt: skip
FUNCTIONS = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum", "any": "all", "all": "any"}
STAYS = ast.Assert | ast.Raise | ast.JoinedStr | ast.arguments

Edit = tuple[
    ast.AST, tuple[int, int], tuple[int, int], tuple[str, str]
]  # expression, from, to (line, byte), old and new


class Flip(NamedTuple):
    """A change of a source. name: the function, the expression, and #2, #3, ... where the function has it again."""

    name: str
    changed: str


def flips(source: str) -> Iterator[Flip]:
    """Yield every flip of a source.

    >>> for flip in flips("def f(a, b): return not a < b + 1"):
    ...     print(flip.name, "->", flip.changed)
    f: not a < b + 1 -> def f(a, b): return a < b + 1
    f: a < b + 1 -> def f(a, b): return not a <= b + 1
    f: b + 1 -> def f(a, b): return not a < b
    """
    data = source.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    times: Counter[str] = Counter()
    for function, node in nodes(ast.parse(source)):
        for expression, begin, end, (old, new) in _edits(node) if function else ():
            name = f"{function}: {ast.unparse(expression)}"
            times[name] += 1
            name += f" #{times[name]}" * (times[name] > 1)
            first, last = (starts[line - 1] + byte for line, byte in (begin, end))
            changed = data[first:last].replace(old.encode(), new.encode(), 1)
            yield Flip(name, (data[:first] + changed + data[last:]).decode())


def nodes(node: ast.AST, function: str = "") -> Iterator[tuple[str, ast.AST]]:
    """Yield the nodes that may change, each with its function, as in "Cache.select"; a function with its own name."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        function, children = f"{function}.{node.name}".lstrip("."), node.body
    elif isinstance(node, ast.AnnAssign):
        children = [node.value] if node.value else []
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "isinstance":
        children = node.args[:1]  # the others are types
    else:
        children = list(ast.iter_child_nodes(node))
    yield function, node
    for child in children:
        if not isinstance(child, STAYS):
            yield from nodes(child, function)


def _edits(node: ast.AST) -> Iterator[Edit]:
    """Yield the flips of one node: the old text stands between the two places once."""
    match node:
        case ast.Compare(left=left, ops=ops, comparators=others):
            for a, op, b in zip([left, *others], ops, others, strict=False):
                yield ast.Compare(a, [op], [b]), _end(a), _begin(b), OPERATORS[type(op)]
        case ast.BoolOp(op=op, values=values):
            for a, b in pairwise(values):
                yield ast.BoolOp(op, [a, b]), _end(a), _begin(b), OPERATORS[type(op)]
        case ast.BinOp(left=a, op=ast.BitAnd() | ast.BitOr() as op, right=b):
            yield node, _end(a), _begin(b), OPERATORS[type(op)]
        case ast.AugAssign(target=a, op=ast.BitAnd() | ast.BitOr() as op, value=b):
            yield node, _end(a), _begin(b), OPERATORS[type(op)]
        case ast.UnaryOp(op=ast.Not() | ast.Invert() as op, operand=a):
            yield node, _begin(node), _begin(a), OPERATORS[type(op)]
        case ast.BinOp(left=a, op=ast.Add() | ast.Sub() as op, right=ast.Constant(value=1) as b):
            yield node, _end(a), _end(b), OPERATORS[type(op)]
        case ast.BinOp(left=ast.Constant(value=1) as a, op=ast.Add(), right=b):
            yield node, _begin(a), _begin(b), ("1 + ", "")
        case ast.AugAssign(target=a, op=ast.Add() | ast.Sub(), value=ast.Constant(value=1) as b):
            yield node, _end(a), _end(b), ("= 1", "= 0")
        case ast.Call(func=ast.Name(id=name) as a) if name in FUNCTIONS:
            yield node, _begin(a), _end(a), (name, FUNCTIONS[name])
        case ast.Call(func=ast.Attribute(value=a, attr=name) as b) if name in FUNCTIONS:
            yield node, _end(a), _end(b), (f".{name}", f".{FUNCTIONS[name]}")


def _begin(node: ast.expr) -> tuple[int, int]:
    return node.lineno, node.col_offset


def _end(node: ast.expr) -> tuple[int, int]:
    return node.end_lineno or 0, node.end_col_offset or 0


# Which tests must notice the flips of a file


def of(file: str, *names: str) -> tuple[str, ...]:
    """Tests of one file; all of it where none is named."""
    return tuple(f"{file}.py::{name}" for name in names) or (f"{file}.py",)


def stored(*cases: str) -> tuple[str, ...]:
    """The test that compares a whole forward pass with the reference's answers, for some cases."""
    return of("test_model", *(f"test_every_output_field_is_the_references[{case}-float64]" for case in cases))


def cached(*cases: str) -> tuple[str, ...]:
    """As `stored`, for cases of several calls that share a cache."""
    return of("test_model", *(f"test_calls_that_share_a_cache[{case}-float64]" for case in cases))


PROPERTIES = "test_model_properties"
SPLIT = of(
    PROPERTIES, "test_a_cache_gives_the_same_bits_at_any_split_of_few_tokens",
    "test_many_tokens_at_once_give_the_logits_of_few",
)  # fmt: skip
DRAFTS = of(
    "test_generation_search", "test_drafts_change_no_result", "test_a_draft_saves_steps_up_to_the_length_limit",
    "test_a_draft_follows_the_place_that_shares_most_tokens",
)  # fmt: skip
SELECTED = of(PROPERTIES, "test_a_call_goes_on_from_selected_rows_of_a_past")
REFUSED = of(PROPERTIES, "test_every_mistake_in_an_argument_has_its_message")
SLICES = of(PROPERTIES, "test_rows_beyond_a_slice_of_the_feed_forward")
LOSS = of(PROPERTIES, "test_the_loss_counts_padding_and_leaves_out_what_is_ignored")
LOSS += of(PROPERTIES, "test_the_loss_survives_logits_of_any_size")
SPANS = of("test_heads", "test_a_position_below_0_is_0_and_one_behind_the_end_is_left_out")
HEADS = SPANS + of(
    "test_heads", "test_the_binary_loss_survives_logits_of_any_size",
    "test_every_mistake_in_an_argument_has_its_message",
    "test_the_problem_is_stated_or_follows_from_the_labels_of_each_call",
    "test_each_of_several_end_tokens_of_the_configuration_ends_a_text",
    "test_an_encoders_output_and_a_tuple_go_through_the_call", "test_a_model_of_one_label_takes_a_number_per_row",
)  # fmt: skip
STAGES = of("test_stages", "test_the_stages_of_documents_together_are_those_of_the_definition")
SOURCE = of("test_rounded", "test_the_source_is_kept_as_narrow_as_the_weights")
KERNELS_BACK = of("test_kernels_back")
BAND_BACK = of("test_banded_back")
KERNELS, ROUNDED, SEARCH, RULES = map(
    of, ("test_kernels", "test_rounded", "test_generation_search", "test_generation_rules")
)
TEXTS, CALLS, ADDED = map(of, ("test_tokenizer", "test_tokenizer_calls", "test_added_tokens"))
ACTIVATIONS = stored(
    *(f"activation-{kind}" for kind in ("gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu"))
)
ATTENTIONS = (
    *stored("decoder-mask", "decoder-no-key", "decoder-1-mask", "pattern-holes", "pattern-all-masked"),
    *stored("pattern-uneven", "decoder-batch"), *cached("cache-halves", "cache-5-1", "cache-mask"),
    *of(PROPERTIES, "test_asking_for_probabilities_changes_no_bit",
        "test_few_global_queries_go_without_keys_of_their_own",
        "test_generation_with_a_cache_is_the_search_over_the_definition",
        "test_global_queries_see_the_same_with_and_without_keys_of_their_own"),
    *SELECTED, *SPLIT, *SOURCE, *STAGES,
    *of("test_network_dropout",
        "test_a_forward_pass_with_dropout_is_the_definition_with_the_same_numbers_dropped"),
)  # fmt: skip
TOGETHER = of(
    "test_together",
    *(
        f"test_a_text_has_the_same_summary_alone_and_together_with_others[{way}]"
        for way in ("beams", "greedy", "sampling")
    ),
    "test_functions_of_a_user_see_the_rows_of_all_documents",
    "test_documents_of_a_batch_end_as_each_alone",
)
CACHE = (
    *of(PROPERTIES, "test_a_continuation_keeps_its_tokens_when_the_same_past_is_continued_otherwise",
        "test_a_past_that_is_held_stays_as_it_is",
        "test_a_cache_that_grows_with_every_token_keeps_its_past", "test_a_past_is_indexed_as_a_tuple_of_layers"),
    *cached("cache-mask", "cache-halves"), *SPLIT,
)  # fmt: skip
ARGUMENTS = (
    *of(PROPERTIES, "test_masks_say_what_they_should", "test_what_a_mask_may_hold",
        "test_ids_and_embeds_at_the_edge_of_what_is_allowed",
        "test_every_mistake_in_an_argument_of_generate_has_its_message",
        "test_generation_goes_on_from_states_of_any_type", "test_a_configuration_without_padding_cannot_shift"),
    *REFUSED, *stored("labels-ignored"),
)  # fmt: skip
STACKS = (
    *stored("pattern-uneven", "decoder-batch", "embeds", "masked-cross"), *cached("cache-mask"), *REFUSED,
    *of(PROPERTIES, "test_progress_over_a_batch_counts_the_layers_of_all_documents",
        "test_marks_on_padding_and_unmasked_padding_are_told_once",
        "test_outputs_are_read_by_attribute_name_and_place_without_the_fields_that_are_none",
        "test_a_past_of_other_documents_is_refused", "test_a_past_that_is_none_of_this_model_is_refused",
        "test_rows_of_one_document_have_one_mask"),
    *of("test_examples", "test_the_examples_of_a_module_give_what_they_say[models/stacks.py]"), *SELECTED,
)  # fmt: skip
WARPERS = of(
    "test_generation_sampling", "test_a_rule_of_sampling_does_what_the_reference_does",
    "test_a_probability_that_equals_a_bound_is_in_or_out_as_in_the_reference",
    "test_the_order_is_the_references_and_beams_keep_a_token_that_goes_on",
)  # fmt: skip
DRAWS = of(
    "test_generation_sampling", "test_several_are_drawn_without_replacement_in_order",
    "test_documents_of_equal_logits_have_draws_of_their_own",
)  # fmt: skip
PIECES = of("test_generation_sampling", "test_the_pieces_of_a_summary_are_its_text")
STREAMS = of(
    "test_generation_sampling", "test_text_comes_in_the_pieces_of_the_reference",
    "test_what_cannot_be_streamed_is_refused",
)  # fmt: skip
PLUGGED = STREAMS + DRAWS + of(
    "test_generation_sampling", "test_the_next_token_is_the_last_when_time_is_up", "test_stop_strings_end_generation",
    "test_a_streamer_gets_the_prompt_then_each_token",
    "test_a_document_is_sampled_alike_alone_and_in_any_batch",
)  # fmt: skip
SAFETENSORS = of(
    "test_safetensors", "test_a_file_that_breaks_a_rule_is_refused_by_it", "test_an_odd_file_within_the_rules_is_read",
    "test_what_the_format_lacks_is_not_written", "test_a_header_is_as_long_as_can_be_read",
    "test_large_arrays_are_written_a_part_at_a_time", "test_a_file_that_cannot_be_opened",
    "test_a_file_that_memory_does_not_hold_is_mapped_or_refused",
)  # fmt: skip
TORCH = of(
    "test_torch_files", "test_a_file_that_breaks_a_rule_is_refused_by_it", "test_an_odd_file_within_the_rules_is_read",
    "test_numbers_of_64_bits", "test_what_torch_wrote_is_read", "test_a_pickle_that_is_too_large",
    "test_too_many_tensors", "test_the_limits_of_a_program", "test_records_of_every_length",
    "test_the_kind_of_another_file_is_told",
)  # fmt: skip
SHARDS = of("test_torch_files", "test_safetensors_is_read_before_torchs_file",
            "test_shards_are_torchs_files_beside_the_index")  # fmt: skip
ENCODER_BACK = of("test_gradients_encoder")
DECODER_BACK = of("test_gradients_decoder", *(
    "test_logits_in_blocks", "test_rows_behind_the_last_label_cost_nothing", "test_a_batch_without_labels",
    "test_what_no_path_reaches_has_no_gradient", "test_what_is_frozen_is_not_differentiated",
    "test_tied_embeddings_count_under_the_names_that_are_trained", "test_parts_of_a_batch_add_up_to_the_whole",
    "test_what_is_kept_changes_no_bit[6]",
)) + of("test_gradients_golden", *(
    f"test_gradients_are_the_references[{case}-float64]"
    for case in ("decoder-no-key", "decoder-1-mask", "decoder-mask", "labels", "smoothing", "qa-beyond",
                 "classes-multi", "classes-quantity", "masked-document")
))  # fmt: skip
DROPOUT = of(  # without what takes long: batches at random, and three models with four seeds
    "test_network_dropout",
    "test_a_forward_pass_with_dropout_is_the_definition_with_the_same_numbers_dropped",
    "test_the_seed_the_document_the_place_the_stage_and_the_channel_say_what_is_dropped",
    "test_as_many_numbers_are_dropped_as_the_rate_says_and_the_mean_stays",
    "test_as_many_layers_are_skipped_as_the_rate_says", "test_rates_of_0_change_no_bit",
    "test_the_loss_of_a_step_of_training_is_that_of_the_definition_with_the_same_numbers_dropped"
    "[LEDForConditionalGeneration-1]",
    "test_a_slice_of_rows_drops_what_the_whole_does",
)  # fmt: skip
FLIPPED = {  # what generates instructions, in kernels/vectors.py, is compiled code only
    "network/attention.py": ATTENTIONS,
    "network/cache.py": CACHE,
    "network/dropout.py": DROPOUT,
    "network/batch.py": stored("pattern-uneven", "decoder-batch"),
    "network/encoder.py": stored("pattern-uneven"),
    "network/decoder.py": ATTENTIONS,
    "network/layers.py": SLICES + ACTIVATIONS + SPLIT + STAGES,
    "network/losses.py": LOSS + HEADS,
    "models/question_answering.py": HEADS,
    "models/sequence_classification.py": HEADS + of("test_gradients_decoder", "test_classes_are_smoothed"),
    "models/tensorflow.py": of("test_tf_model"),
    "gradients/sums.py": ENCODER_BACK,
    "gradients/keeping.py": ENCODER_BACK + DECODER_BACK,
    "gradients/layers.py": ENCODER_BACK,
    "gradients/attention_encoder.py": ENCODER_BACK,
    "gradients/encoder.py": ENCODER_BACK,
    "gradients/attention_decoder.py": DECODER_BACK,
    "gradients/decoder.py": DECODER_BACK,
    "gradients/losses.py": DECODER_BACK,
    "gradients/heads.py": DECODER_BACK,
    "gradients/model.py": DECODER_BACK,
    "models/headed.py": DECODER_BACK + of("test_surface", "test_a_remedy_for_what_is_not_here"),
    "kernels/adamw.py": KERNELS_BACK,
    "kernels/banded.py": KERNELS + BAND_BACK + stored("pattern-uneven"),
    "kernels/banded_back.py": BAND_BACK,
    "kernels/banded_int16.py": of("test_banded_int16"),
    "kernels/dropout.py": of("test_dropout"),
    "kernels/grouped.py": KERNELS + ROUNDED,
    "kernels/elementary.py": KERNELS_BACK + KERNELS,
    "kernels/products.py": KERNELS_BACK + KERNELS + ROUNDED,
    "kernels/rounded.py": ROUNDED,
    "kernels/rows.py": KERNELS_BACK + KERNELS,
    "models/arguments.py": ARGUMENTS + HEADS,
    "models/stacks.py": STACKS,
    "models/head_masks.py": stored("masked-encoder", "masked-cross")
    + of("test_shown", "test_a_wrong_mask_is_told_before_the_encoder_runs"),
    "generation/beam.py": SEARCH + TOGETHER,
    "generation/greedy.py": SEARCH + TOGETHER,
    "generation/drafts.py": DRAFTS,
    "generation/scores.py": SEARCH + RULES + WARPERS,
    "generation/decoding.py": SEARCH + TOGETHER,
    "generation/search.py": SEARCH + PLUGGED + TOGETHER,
    "generation/warpers.py": WARPERS,
    "generation/draws.py": DRAWS,
    "generation/stop_strings.py": of(
        "test_generation_sampling",
        "test_a_stop_string_is_its_definition",
        "test_a_row_stops_at_the_strings_at_which_the_reference_stops",
    ),
    "generation/streamers.py": STREAMS,
    "tasks/streaming.py": PIECES,
    "generation/rules.py": RULES + SEARCH,
    "generation/transitions.py": of("test_shown"),
    "tokenizer/bpe.py": of("test_tokenizer_bpe"),
    "tokenizer/bytelevel.py": TEXTS,
    "tokenizer/special.py": ADDED + TEXTS,
    "tokenizer/vocabulary.py": of("test_tokenizer_files"),
    "tokenizer/led/offsets.py": TEXTS + CALLS,
    "tokenizer/led/lengths.py": of("test_tokenizer", "test_padding_truncation_and_pairs") + CALLS + TEXTS,
    "checkpoint/conversion.py": of("test_convert"),
    "checkpoint/original.py": of("test_convert"),
    "checkpoint/rounding.py": of("test_int16", "test_infinite_weights_are_refused", "test_wrong_types_are_refused")
    + of("test_rounded", "test_what_is_not_finite_has_no_int8", "test_wrong_weights_are_refused"),
    "checkpoint/weight_file.py": SAFETENSORS,
    "checkpoint/pickles.py": TORCH,
    "checkpoint/torch_zip.py": TORCH,
    "checkpoint/torch_stacked.py": TORCH,
    "checkpoint/torch_file.py": TORCH,
    "checkpoint/directory.py": SHARDS + of("test_checkpoint"),
    "checkpoint/tensorflow.py": of("test_tf_model"),
    "checkpoint/safetensors.py": SAFETENSORS + of("test_cli_inspect", "test_the_types_in_the_file_are_told"),
}

# Flips that change no result, by their names, each with the reason
TIME = "only time is lost"
SIZE = "it is the size of a tile"
LEFT_OUT = {
    "network/attention.py _are_few: T <= FEW_ROWS": TIME,
    "network/cache.py Growing.append: not self._is_continued": TIME,
    "network/cache.py Growing.append: length <= self.buffer.shape[2]": TIME,
    "network/cache.py Growing._copied: length > capacity": "a buffer has more room",
    "network/cache.py Growing._copied: max(BLOCK, capacity // 2)": "a buffer has less room",
    "network/dropout.py Dropout.skips: rate > 0": TIME,
    "network/dropout.py Dropout.skips: int(_mixed(self._seed ^ _hash(name))[0]) / 2 ** 64 < rate": "none is just that",
    "network/encoder.py encoder_layer: buffers or Buffers()": TIME,
    "gradients/attention_encoder.py encoder_self_attention: attend_to_all is forward._attend_to_all": TIME,
    "network/layers.py Buffers.array: array.dtype != dtype": TIME,
    "network/layers.py feed_forward_in_slices: min(len(x), SLICE_ROWS)": "a buffer has more room",
    "kernels/banded.py absorb: score > largest": "equal scores are the same",
    "kernels/banded.py tiles_of: query_tile or min(QUERY_TILE, -(-min(Q, w) // unit) * unit)": SIZE,
    "kernels/banded.py tiles_of: min(QUERY_TILE, -(-min(Q, w) // unit) * unit)": SIZE,
    "kernels/banded.py tiles_of: min(Q, w)": SIZE,
    "kernels/banded.py absorb: dropout.uniform(of_queries[x], columns[j]) < bound": "no hash is just that number",
    "kernels/banded_back.py _through_softmax: dropout.uniform(of_queries[r], columns[x]) < bound": "so it is there",
    "kernels/banded_back.py _head_back: S + lanes - 1": "there is a tile without a key",
    "kernels/banded_back.py _head_back: G + lanes - 1": "there is a tile without a key",
    "kernels/banded_back.py _head_back: count + size - 1": "there is a vector without a key",
    "kernels/banded_back.py banded_back: min(S, w)": SIZE,
    "kernels/banded_int16.py _whole: nearest > -largest": "equal numbers are the same",
    "kernels/banded_int16.py _whole: nearest < largest": "equal numbers are the same",
    "kernels/banded_int16.py _round_values: j1 - 1": "what is read there is not used",
    "kernels/banded_int16.py _score: same > w": TIME,
    "kernels/banded_int16.py _score: lanes - 1 - same > w": TIME,
    "kernels/banded_int16.py _score: lanes - 1": TIME,
    "kernels/banded_int16.py _score: score > so_far": "equal scores are the same",
    "kernels/banded_int16.py _absorb_pairs: first > 0": "a power of 0 is 0",
    "kernels/banded_int16.py _absorb_pairs: second > 0": "a power of 0 is 0",
    "kernels/banded_int16.py _absorb_pairs: share[x] > top[x]": "equal scores are the same",
    "network/attention.py source_keys: any(storages)": "all layers are rounded, or none",
    "kernels/banded_int16.py _round_queries: size <= scale[x]": "equal sizes are the same",
    "kernels/banded_int16.py _round_values: size <= sizes[d]": "equal sizes are the same",
    "kernels/grouped.py grouped: 2 ** 31 - 1": "no multiple of 127 is 2 ** 31",
    "kernels/grouped.py _powers: score > top": "equal scores are the same",
    "kernels/elementary.py _compiled_exp: getattr(x, 'bitwidth', 64) == 32": "it runs when compiled",
    "kernels/elementary.py _compiled_gelu: getattr(x, 'bitwidth', 64) == 32": "it runs when compiled",
    "kernels/elementary.py _compiled_gelu_slope: getattr(x, 'bitwidth', 64) == 32": "it runs when compiled",
    "kernels/elementary.py below_float32: x < np.float32(0)": "either share of 0 is a half",
    "kernels/products.py _few_rows: M + WEIGHT_TILE - 1": "there is a tile without a row",
    "kernels/products.py few_rows: H > 1": TIME,
    "kernels/products.py few_rows: R > 2 * DOT_ROWS": TIME,
    "kernels/products.py _many_rows: R + chunk - 1": "there is a task without a row",
    "kernels/products.py _many_rows: M + width - 1": "there is a task without a column",
    "kernels/products.py _many_rows: m1 + D - 1": "there is a head without a column",
    "kernels/products.py _weighted_sums: M + width - 1": "there is a task without a column",
    "kernels/products.py _weighted_sums: min(M, m0 + width)": TIME,
    "kernels/products.py _back: M + wide - 1": "there is a task without a column",
    "kernels/products.py _back: R + high - 1": "there is a task without a row",
    "kernels/products.py _back: ahead += 1": TIME,
    "kernels/products.py _multiply_back: R * width >= M * ROW_TILE": SIZE,
    "checkpoint/tensorflow.py _below: count > MAX_OBJECTS or parent.count('/') > MAX_DEPTH": "a ring never ends",
    "tokenizer/led/lengths.py Lengths.padded: length > _LONGEST": "no test pads a hundred million tokens",
    "models/stacks.py _stacked: len(arrays) > 1": TIME,
    "gradients/heads.py lm_logits: max(1, LOGITS // V)": TIME,
    "gradients/model.py loss_and_gradients: policy == 'keep'": TIME,
    "gradients/keeping.py Kept.__init__: policy == 'keep'": TIME,
    "generation/beam.py beam_search: np.where(finished.is_finished, finished.scores.min(axis=1, keepdims=True), ABSENT)"
    ".min(axis=1)": "a slot that is not finished makes the least score absent, but for scores beyond 1e9",
    "generation/beam.py beam_search: length_penalty > 0": "any length to the power of 0 is 1",
    "generation/beam.py beam_search: candidates.scores[:, 0] <= ABSENT / 2": "no score is just that number",
    "generation/beam.py _candidates: sums.max(axis=1)": "NaN is the least, too",
    "generation/beam.py beam_search: length + 1 #4": "a hypothesis knows its length",
    "generation/decoding.py Decoding.leave: is_done.any() and (not is_done.all())": TIME,
    "generation/scores.py _best_of: count <= _GROUPS": TIME,
    "generation/scores.py best: scores.shape[1] < 4 * _GROUPS": TIME,
    "generation/scores.py _best_of: values[:whole].reshape(-1, _GROUPS).max(axis=0)": TIME,
    "generation/warpers.py typical_p: sums < np.float32(mass)": "no sum is just that number",
    "generation/warpers.py eta_cutoff: softmax(scores) < np.minimum(np.float32(epsilon), bound)": "no probability is",
    "generation/draws.py Draws.__call__: scores[row] > -np.inf": "noise is lost on what cannot be drawn",
    "generation/stop_strings.py StopStrings._ends_in_last: len(text) >= last + max(map(len, strings))": TIME,
    "generation/rules.py repetition_penalty: old < 0": "0 stays 0",
    "generation/rules.py repetition_penalty: np.arange(ids.shape[1]) < first": "the first that counts stands there",
    "generation/rules.py exponential_decay_length_penalty: beyond <= 0": "the factor is 1, and nothing is added",
    "tokenizer/bpe.py _Cache.__missing__: len(word) <= LONGEST_CACHED": TIME,
    "tokenizer/led/lengths.py Lengths.windows: sum(sizes) + n_special <= self.truncate_to": "all of it is the window",
    "tokenizer/led/lengths.py resolve_lengths: limit <= UNLIMITED": "no row has so many tokens",
}

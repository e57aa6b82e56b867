"""The calls of the conformance kit: small models and inputs on the boundaries where ports go wrong.

A document is written as a string, a letter for each token:

    .  a real token                  -  masked by attention_mask
    g  a real, global token          G  masked, with a global mark
    e  a real token that is the end token; in a model for classification no other is

A target: `.` for each token, or `1` and `0` of decoder_attention_mask. Labels: `.` a label, `x` an ignored one, -100,
`p` that of padding. A mask is passed only where a letter needs it. Ids come from the recipe, by the name of the case.
Cases that golden/ has too, asked of the reference, have the same names there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..arrays import Ids
from ..reference import IGNORED_LABEL
from .recipe import architecture, integers

# Sizes are odd; heads and depths differ between encoder and decoder: 3 x 7 and 7 x 3; 5 x 3 and 3 x 5; 1 x 9 and 3 x 3.
TALL: dict[str, Any] = {
    "model_type": "led", "vocab_size": 37, "d_model": 21, "encoder_layers": 2, "encoder_attention_heads": 3,
    "encoder_ffn_dim": 13, "decoder_layers": 1, "decoder_attention_heads": 7, "decoder_ffn_dim": 11,
    "attention_window": 4, "max_encoder_position_embeddings": 24, "max_decoder_position_embeddings": 9,
}  # fmt: skip
WIDE = TALL | {
    "vocab_size": 41, "d_model": 15, "encoder_layers": 1, "encoder_attention_heads": 5, "encoder_ffn_dim": 17,
    "decoder_layers": 2, "decoder_attention_heads": 3, "decoder_ffn_dim": 9, "attention_window": 6,
}  # fmt: skip
MIXED = TALL | {
    "vocab_size": 29, "d_model": 9, "encoder_layers": 3, "encoder_attention_heads": 1, "encoder_ffn_dim": 7,
    "decoder_attention_heads": 3, "decoder_ffn_dim": 5, "attention_window": [4, 12, 6],
}  # fmt: skip
OTHER_IDS = {"tie_word_embeddings": False, "bos_token_id": 3, "pad_token_id": 5, "eos_token_id": 9,
             "decoder_start_token_id": 7}  # fmt: skip
QA = {"architectures": ["LEDForQuestionAnswering"]}
CLASSES = {"architectures": ["LEDForSequenceClassification"], "num_labels": 3}
# Of cases with gradients, which hold an array for each parameter and each stage.
SMALL = TALL | {
    "vocab_size": 11, "d_model": 6, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 5,
    "decoder_attention_heads": 3, "decoder_ffn_dim": 7, "max_encoder_position_embeddings": 20,
}  # fmt: skip
# Greedy search gives a few ids in turn; one of them is the end.
GENERATE = TALL | {
    "decoder_layers": 2, "max_decoder_position_embeddings": 32, "tie_word_embeddings": False, "eos_token_id": 20
}  # fmt: skip
BASE = TALL | {
    "vocab_size": 50265, "d_model": 768, "encoder_layers": 6, "encoder_attention_heads": 12, "encoder_ffn_dim": 3072,
    "decoder_layers": 6, "decoder_attention_heads": 12, "decoder_ffn_dim": 3072, "attention_window": 1024,
    "max_encoder_position_embeddings": 16384, "max_decoder_position_embeddings": 1024,
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    "num_beams": 1, "num_return_sequences": 1, "max_length": 12, "min_length": 0, "length_penalty": 1.0,
    "early_stopping": False, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "bad_words_ids": None,
    "min_new_tokens": None, "forced_bos_token_id": None, "forced_eos_token_id": None, "suppress_tokens": None,
    "begin_suppress_tokens": None, "decoder_start_token_id": 2, "pad_token_id": 1, "eos_token_id": 20,
}  # fmt: skip
ACTIVATIONS = ("gelu_new", "quick_gelu", "relu", "silu")  # beside gelu
IDS = {"pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}  # where a configuration does not say


@dataclass(frozen=True)
class Case:
    """One call of a model.

    targets: None where the decoder's input is not passed: it is the labels, or else input_ids, shifted right
    of_head: what the loss of another head is computed from
    stages: a pattern of the stages that are stored, where not all are
    settings: of a generation, in place of some of SETTINGS; None for one call
    """

    name: str
    about: str
    config: Mapping[str, Any]
    rows: tuple[str, ...]
    targets: tuple[str, ...] | None = ("..",)
    labels: tuple[str, ...] | None = None
    of_head: Mapping[str, Any] = field(default_factory=dict)
    stages: str | None = None
    settings: Mapping[str, Any] | None = None

    @property
    def size(self) -> str:
        """The size of a kit that the case belongs to."""
        return "base" if self.config is BASE else "tiny"

    def inputs(self) -> dict[str, Ids]:
        """Return the arguments of the call, by Hugging Face's names."""
        ids_of, V = {**IDS, **self.config}, self.config["vocab_size"]
        letters = np.array([list(row) for row in self.rows])  # (B, S)
        ids = integers(f"{self.name}/input_ids", 0, letters.shape, 0, V)
        if architecture(self.config) == "LEDForSequenceClassification":
            ids[ids == ids_of["eos_token_id"]] = V - 1
        ids[letters == "e"] = ids_of["eos_token_id"]
        arrays = {"input_ids": ids}
        if np.isin(letters, ["-", "G"]).any():
            arrays["attention_mask"] = np.isin(letters, [".", "g", "e"]).astype(np.int64)
        if np.isin(letters, ["g", "G"]).any():
            arrays["global_attention_mask"] = np.isin(letters, ["g", "G"]).astype(np.int64)
        if self.labels:
            signs = np.array([list(row) for row in self.labels])
            labels = integers(f"{self.name}/labels", 0, signs.shape, 0, V)
            labels = np.where(signs == "p", ids_of["pad_token_id"], labels)
            arrays["labels"] = np.where(signs == "x", IGNORED_LABEL, labels)
        if self.targets is not None and self.settings is None:
            shape, targets = (len(self.rows), len(self.targets[0])), np.array([list(row) for row in self.targets])
            arrays["decoder_input_ids"] = integers(f"{self.name}/decoder_input_ids", 0, shape, 0, V)  # (B, T)
            if "." not in targets:
                arrays["decoder_attention_mask"] = (targets == "1").astype(np.int64)
        return arrays | {name: np.array(value) for name, value in self.of_head.items()}


def forward_cases() -> list[Case]:
    """Return the calls whose stages are told."""
    real, short = ".....", "g..--"
    return [
        *_lengths(),
        *_patterns(),
        Case("windows-none", "windows 4, 12, 6 in one model", MIXED, ("............." ,)),
        Case("windows-far", "the same with global tokens and padding", MIXED, ("g.....g.....g", "...g...------")),
        Case("decoder-1", "one target token", WIDE, (real,), (".",)),
        Case("decoder-6", "six target tokens", WIDE, (real,), ("......",)),
        Case("decoder-batch", "two documents, one padded", WIDE, (real, short), ("....", "....")),
        Case("decoder-mask", "holes and padding in the target's mask", WIDE, (real, short), ("110101", "111000")),
        Case("decoder-1-mask", "one target token, masked: without effect", WIDE, (real, short), ("0", "1")),
        Case("decoder-no-key", "target tokens without an allowed key", WIDE, (real, short), ("00110", "00000")),
        Case("decoder-all-masked", "a source wholly masked", WIDE, ("-----", short), ("...", "...")),
        Case("labels", "targets made of labels", WIDE, (real, short), None, ("..x.", ".xxx")),
        Case("labels-and-ids", "labels beside other targets", WIDE, (real, short), ("...", "..."), ("x..", "...")),
        Case("labels-padding", "labels that are padding count", WIDE, (real, short), ("...",) * 2, ("..p", "p.x")),
        Case("labels-ignored", "every label -100: the loss is NaN", WIDE, (real,), None, ("xxx",)),
        Case("labels-first-ignored", "the first label -100", WIDE | OTHER_IDS, (real,), None, ("x..",)),
        Case("untied", "embeddings of their own, other special ids", WIDE | OTHER_IDS, (real, short), ("...", "...")),
        *[
            Case(f"activation-{kind}", f"activation_function {kind}", WIDE | {"activation_function": kind}, ("g....",))
            for kind in ACTIVATIONS
        ],
        Case("qa", "a head for answers", WIDE | QA, ("gg...", short), None),
        Case("classification", "a head for labels", TALL | CLASSES, ("g......e", "g...e---"), None),
        Case("classification-last-end", "two ends in each text: the last one counts", TALL | CLASSES,
             ("ge....e..", "g..ee----"), None),
        Case("base-short", "the shape of LED-base: heads of 64", BASE, ("g......", "g...---"), ("...", "..."),
             stages="*embed*,*.layers.[05].*,logits,tokens"),
        Case("base-window", "more tokens than a side of its window has", BASE, ("g" + 551 * "." + "g" + 19 * ".",),
             (".",), stages="encoder.layernorm_embedding,encoder.layers.[05].final_layer_norm,decoder.*_norm,logits,"
             "encoder.layers.0.self_attn.longformer_self_attn"),
    ]  # fmt: skip


def _lengths() -> list[Case]:
    """Return lengths at which the window changes, without masks, and with global tokens and a hole."""
    cases = []
    for label, config, w, lengths in (("tall", TALL, 2, (1, 2, 3, 5, 17)), ("wide", WIDE, 3, (1, 4, 11))):
        for S in lengths:
            about = f"{S} tokens, w = {w}"
            if label == "tall":
                cases.append(Case(f"length-tall-{S}", f"{about}, no masks", config, ("." * S,)))
            if label == "wide" or S > 3:
                rows = ("g", "-") if S == 1 else ("g" + "." * (S - 1), "." * (S - 3) + "g-" + "g")
                cases.append(Case(f"length-{label}-{S}-global", f"{about}, global tokens, a hole", config, rows))
    return cases


def _patterns() -> list[Case]:
    """Return cases that differ in where the global tokens and the holes of the mask stand."""
    patterns = {
        "last": ("the last token global", ("..........g",)),
        "adjacent": ("three neighbours global", ("....ggg....",)),
        "far": ("global tokens out of each other's windows", ("g.....g...g",)),
        "all": ("every token global", ("ggggggggggg",)),
        "uneven": ("1, 0, 4 global tokens in one batch", (".....g.....", "...........", "gg...g....g")),
        "on-masked": ("global marks on masked tokens are dropped", ("g..G.....GG",)),
        "suffix": ("padding at the end of one document", ("g......----", "g..........")),
        "holes": ("holes in the mask, the first token among them", ("-..g-..--g.", "...---.....")),
        "all-masked": ("one document wholly masked beside one that is not", ("-----------", ".g.....----")),
    }
    return [Case(f"pattern-{name}", about, TALL, rows) for name, (about, rows) in patterns.items()]


def gradient_cases() -> list[Case]:
    """Return the calls with a loss whose gradients are told."""
    settings: dict[str, Any] = {"targets": ("....",), "labels": ("....",)}
    deep = SMALL | {"decoder_layers": 2, "decoder_attention_heads": 1, "attention_window": 6}
    mixed = SMALL | {"encoder_layers": 2, "attention_window": [4, 8], "encoder_attention_heads": 3}
    three: dict[str, Any] = {"targets": ("...",) * 2, "labels": ("..x",) * 2}
    real, short = ".....", "g..--"
    return [
        Case("layers-2-1", "two layers and one", SMALL | {"encoder_layers": 2}, ("g.......",), **settings),
        Case("layers-1-2", "one layer and two", deep, ("..g.....",), **settings),
        Case("windows-global", "windows 4 and 8, holes", mixed, ("g...-..g..--",), **settings),
        Case("global-none", "no masks", SMALL, (".........",), ("...",), ("..x",)),
        Case("masked-holes", "holes in the mask", SMALL, ("-.g-..-g.", "..---...."), **three),
        Case("masked-document", "a document wholly masked", SMALL, ("--------", ".g...---"), **three),
        Case("decoder-no-key", "target tokens without a key", SMALL, (real, short), ("0011", "0000"), ("....",) * 2),
        Case("labels", "targets made of labels", SMALL, (real, short), None, ("..x.", ".xxx")),
        Case("untied", "embeddings of their own", SMALL | OTHER_IDS, ("..g..", "..---"), ("...",) * 2, ("...",) * 2),
        *[
            Case(f"activation-{kind}", f"activation_function {kind}", SMALL | {"activation_function": kind},
                 ("g....",), ("...",), ("...",))
            for kind in ACTIVATIONS
        ],
        Case("qa-ends", "a head for answers", SMALL | QA, ("gg...", short), None,
             of_head={"start_positions": [0, 4], "end_positions": [4, 3]}),
        Case("classes-single", "a head for labels", SMALL | CLASSES, ("g....e", "g..e--"), None,
             of_head={"labels": [2, 0]}),
    ]  # fmt: skip


def generation_cases() -> list[Case]:
    """Return the generations that are told step by step."""
    one, three = ("g............",), ("g............", "g........----", "g..g.........")

    def case(name: str, about: str, rows: tuple[str, ...] = one, **settings: Any) -> Case:
        return Case(name, about, GENERATE, rows, settings=settings)

    return [
        case("greedy", "the likeliest token each time"),
        case("greedy-batch", "three documents, which end at different steps", three),
        case("greedy-bigrams", "no two tokens a second time", no_repeat_ngram_size=2),
        case("greedy-min-length", "no end before eight tokens", three, min_length=8),
        case("greedy-short", "at most four tokens", max_length=4),
        case("greedy-ends", "two ends; padding is 0", three, eos_token_id=[20, 21], pad_token_id=0),
        case("greedy-repetition", "each token once more is less likely", three, repetition_penalty=1.5),
        case("greedy-bad-words", "a token and two pairs that may not come", three,
             bad_words_ids=[[33], [21, 21], [12, 12]]),
        case("greedy-min-new-tokens", "no end among the first six new tokens", three, min_new_tokens=6,
             eos_token_id=[20, 21]),
        case("greedy-suppressed", "tokens that may not come, others not at first", three, suppress_tokens=[21],
             begin_suppress_tokens=[33, 0]),
        case("greedy-suppressed-second", "at first is behind the forced token", three, forced_bos_token_id=7,
             begin_suppress_tokens=[33, 21]),
        case("greedy-both-ends", "the first token behind the start, and the last", forced_bos_token_id=7,
             forced_eos_token_id=20),
        case("beam-2", "two beams", num_beams=2),
        case("beam-3-batch", "three beams, three documents", three, num_beams=3),
        case("beam-length-penalty", "longer sequences are better", num_beams=3, length_penalty=2.0),
        case("beam-length-penalty-0", "the sum of scores counts", num_beams=3, length_penalty=0.0),
        case("beam-length-penalty-negative", "short sequences are better", three, num_beams=3, length_penalty=-1.0),
        case("beam-never", "the search goes on while a longer sequence may win; two ends", three, num_beams=2,
             length_penalty=2.0, early_stopping="never", eos_token_id=[20, 33]),
        case("beam-ends", "two ends; padding is 0, so rows are filled with the first end", three, num_beams=3,
             eos_token_id=[33, 20], pad_token_id=0),
        case("beam-early", "the first three that end", three, num_beams=3, length_penalty=2.0, early_stopping=True,
             eos_token_id=[20, 33]),
        case("beam-no-repeat-2", "no two tokens a second time", num_beams=3, no_repeat_ngram_size=2),
        case("beam-min-length", "no end before six tokens", three, num_beams=2, min_length=6, eos_token_id=[20, 21]),
        case("beam-forced", "forced tokens", num_beams=3, forced_bos_token_id=7, forced_eos_token_id=20),
        case("beam-rules", "rules together", three, num_beams=3, repetition_penalty=1.3, no_repeat_ngram_size=3,
             bad_words_ids=[[33, 33], [12]], min_new_tokens=3, suppress_tokens=[9], begin_suppress_tokens=[33]),
        case("beam-returned-2", "two of four beams are returned", three, num_beams=4, num_return_sequences=2),
        case("beam-returned", "all four beams are returned", three, num_beams=4, num_return_sequences=4),
    ]  # fmt: skip

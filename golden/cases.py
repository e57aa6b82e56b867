"""The cases of the forward pass: the models and inputs on which the reference is asked.

A document of the batch is written as a string, one letter per token:

    .  a real token                  -  masked by attention_mask
    g  a real, global token          G  masked, with a global flag
    n  masked, with the flag -1      N  real by attention_mask, with the flag -1

`attention_mask` and `global_attention_mask` are passed only where a letter needs them.
    e  a real token that is the end token; in a model for classification no other is

A target is a string too: `1` and `0` of decoder_attention_mask, or `.` for each token where none is passed.
Labels: `.` a label, `x` an ignored one (-100).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from weights import architecture, integers, reals

SEEDS = (0, 1, 2)  # of the weights; the truth is stored for the first, the error is the largest over all

# Odd sizes; heads and depths differ between encoder and decoder. 3 x 7 and 7 x 3; 5 x 3 and 3 x 5; 1 x 9 and 3 x 3.
TALL = {
    "model_type": "led",
    "vocab_size": 37,
    "d_model": 21,
    "encoder_layers": 2,
    "encoder_attention_heads": 3,
    "encoder_ffn_dim": 13,
    "decoder_layers": 1,
    "decoder_attention_heads": 7,
    "decoder_ffn_dim": 11,
    "attention_window": 4,
    "max_encoder_position_embeddings": 24,
    "max_decoder_position_embeddings": 9,
}
WIDE = {
    "model_type": "led",
    "vocab_size": 41,
    "d_model": 15,
    "encoder_layers": 1,
    "encoder_attention_heads": 5,
    "encoder_ffn_dim": 17,
    "decoder_layers": 2,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 9,
    "attention_window": 6,
    "max_encoder_position_embeddings": 24,
    "max_decoder_position_embeddings": 9,
}
MIXED = {
    "model_type": "led",
    "vocab_size": 29,
    "d_model": 9,
    "encoder_layers": 3,
    "encoder_attention_heads": 1,
    "encoder_ffn_dim": 7,
    "decoder_layers": 1,
    "decoder_attention_heads": 3,
    "decoder_ffn_dim": 5,
    "attention_window": [4, 12, 6],
    "max_encoder_position_embeddings": 24,
    "max_decoder_position_embeddings": 9,
}
UNTIED = {
    **WIDE,
    "tie_word_embeddings": False,
    "bos_token_id": 3,
    "pad_token_id": 5,
    "eos_token_id": 9,
    "decoder_start_token_id": 7,
}

QA = {**WIDE, "architectures": ["LEDForQuestionAnswering"]}
CLASSES = {**TALL, "architectures": ["LEDForSequenceClassification"], "num_labels": 3}
END = 2  # the eos_token_id of all configurations but UNTIED

ENCODER = ("encoder.", "logits", "out.encoder")
DECODER = ("decoder.", "logits", "out.loss")
HEAD = ("qa_outputs", "classification_head.", "out.loss")
ALL = ("",)
INNER = (".query", ".key", ".value", "_global", "_self_attn", "_attn.out_proj", ".k_proj", ".v_proj", ".output")
INNER += ("attn_layer_norm", ".fc1", ".fc2")
ROW_BY_ROW = (".output", ".fc1", ".fc2")  # of no interest where only the pattern of attention varies; they are large


@dataclass(frozen=True)
class Case:
    """One call of the model, or several that share a cache (`calls`: how many target tokens each takes).

    `keep` are the prefixes of the stages that are stored, `drop` the suffixes of those that are not; the encoder's
    last states always are.
    """

    name: str
    about: str
    config: Mapping[str, Any]
    rows: tuple[str, ...]
    targets: tuple[str, ...] = ("..",)
    without_mask: bool = False  # attention_mask is not passed, whatever the letters say
    embeds: bool = False
    labels: tuple[str, ...] | None = None
    of_head: Mapping[str, Any] = field(default_factory=dict)  # what the loss of another head is computed from
    targets_from: str = "decoder_input_ids"  # or "labels", or "input_ids": what the decoder's input is made of
    masks: Mapping[str, Any] = field(default_factory=dict)  # head masks, which 5.23.0 no longer has
    states: bool = False  # the encoder's states are given (encoder_outputs), not computed
    calls: tuple[int, ...] = ()
    keep: tuple[str, ...] = ALL
    drop: tuple[str, ...] = ()

    def inputs(self) -> dict[str, NDArray[Any]]:
        """Return the arguments of the call, by Hugging Face's names; `encoder_outputs` is its last_hidden_state."""
        B, S, T, V, E = len(self.rows), len(self.rows[0]), len(self.targets[0]), *self._sizes()
        letters = np.array([list(row) for row in self.rows])  # (B, S)
        arguments: dict[str, NDArray[Any]] = {}
        if self.states:
            arguments["encoder_outputs"] = 2 * reals(f"{self.name}/encoder_outputs", 0, (B, S, E))
        elif self.embeds:
            arguments["inputs_embeds"] = 2 * reals(f"{self.name}/inputs_embeds", 0, (B, S, E))
        else:
            ids = arguments["input_ids"] = integers(f"{self.name}/input_ids", 0, (B, S), 0, V)
            if architecture(self.config) == "LEDForSequenceClassification":
                ids[ids == END] = V - 1
            ids[letters == "e"] = END
        if np.isin(letters, ["-", "G", "n"]).any() and not self.without_mask:
            arguments["attention_mask"] = np.isin(letters, [".", "g", "N", "e"]).astype(np.int64)
        if np.isin(letters, ["g", "G", "n", "N"]).any():
            flags = np.isin(letters, ["g", "G"]).astype(np.int64)
            arguments["global_attention_mask"] = flags - np.isin(letters, ["n", "N"])
        if self.labels:
            ignored = np.array([list(row) for row in self.labels]) == "x"
            arguments["labels"] = np.where(ignored, -100, integers(f"{self.name}/labels", 0, ignored.shape, 0, V))
        if self.targets_from == "decoder_input_ids":
            if self.embeds:
                arguments["decoder_inputs_embeds"] = 2 * reals(f"{self.name}/decoder_inputs_embeds", 0, (B, T, E))
            else:
                arguments["decoder_input_ids"] = integers(f"{self.name}/decoder_input_ids", 0, (B, T), 0, V)
        if "." not in "".join(self.targets):
            mask = [[int(letter) for letter in target] for target in self.targets]
            arguments["decoder_attention_mask"] = np.array(mask, dtype=np.int64)
        arguments |= {name: np.array(values) for name, values in {**self.of_head, **self.masks}.items()}
        return arguments

    @property
    def judge(self) -> str:
        """The version of transformers that is asked."""
        is_older = self.masks or architecture(self.config) == "LEDForSequenceClassification"
        return "4.57.6" if is_older else "5.23.0"

    def _sizes(self) -> tuple[int, int]:
        return self.config["vocab_size"], self.config["d_model"]


def lengths() -> list[Case]:
    """Return every length at which the window or the reference's chunks change, without and with global tokens."""
    all_cases = []
    for label, config, w in (("tall", TALL, 2), ("wide", WIDE, 3)):
        for S in (1, w, w + 1, 2 * w, 2 * w + 1, 3 * w + 2, 17):
            about = f"{S} tokens, one-sided window {w}"
            all_cases.append(Case(f"length-{label}-{S}", f"{about}, no masks", config, ("." * S,), keep=ENCODER))
            if S == 1:
                rows: tuple[str, ...] = ("g", "-")
            elif S == 2:
                rows = ("g.", "g-")
            else:
                rows = ("g" + "." * (S - 1), "." * (S - 3) + "g-" + "g")
            about += ", first token global; the other document with a hole"
            all_cases.append(Case(f"length-{label}-{S}-global", about, config, rows, keep=ENCODER))
    return all_cases


def patterns() -> list[Case]:
    """Return cases that differ in where the global tokens and the holes of the mask stand."""
    listed = {
        "last": ("the last token global", ("..........g",)),
        "adjacent": ("three neighbours global", ("....ggg....",)),
        "far": ("global tokens out of each other's windows", ("g.....g...g",)),
        "all": ("every token global", ("ggggggggggg",)),
        "uneven": ("1, 0, 4 global tokens in one batch", (".....g.....", "...........", "gg...g....g")),
        "on-masked": ("global flags on masked tokens are dropped", ("g..G.....GG",)),
        "only-on-masked": ("the only global flag stands on a masked token", (".......---G",)),
        "suffix": ("padding at the end, one document longer than the other", ("g......----", "g..........")),
        "holes": ("holes in the mask, the first token among them", ("-..g-..--g.", "...---.....")),
        "all-masked": ("one document wholly masked beside one that is not", ("-----------", ".g.....----")),
        "all-masked-alone": ("one document, wholly masked", ("-----------",)),
        "minus-one": ("-1 in the global mask on padding", ("g......nnnn",)),
        "minus-one-without-mask": ("-1 in the global mask, no attention mask", ("g..n...nnnn",)),
        "minus-one-on-real": ("-1 in the global mask where attention_mask is 1", ("g..N....NN.",)),
    }
    all_cases = [
        Case(
            f"pattern-{name}",
            about,
            TALL,
            rows,
            without_mask=name.endswith("without-mask"),
            keep=ENCODER,
            drop=ROW_BY_ROW,
        )
        for name, (about, rows) in listed.items()
    ]
    for name, rows in (("none", (".............",)), ("far", ("g.....g.....g", "...g...------"))):
        about = "windows 4, 12, 6 in one model, global tokens: " + name
        all_cases.append(Case(f"windows-{name}", about, MIXED, rows, keep=ENCODER))
    return all_cases


def decoders() -> list[Case]:
    """Return cases that differ in what the decoder takes: targets, masks, embeddings, labels, an encoder's states."""
    real, short = ".....", "g..--"

    def case(name: str, about: str, rows: tuple[str, ...] = (real,), config: Any = WIDE, **more: Any) -> Case:
        return Case(name, about, config, rows, **{"keep": DECODER, **more})

    return [
        case("decoder-1", "one target token", targets=(".",)),
        case("decoder-6", "six target tokens", targets=("......",)),
        case("decoder-batch", "two documents, one padded", (real, short), targets=("....", "....")),
        case("decoder-1-mask", "one target token, masked: without effect", (real, short), targets=("0", "1")),
        case(
            "decoder-mask", "holes and padding in decoder_attention_mask", (real, short), targets=("110101", "111000")
        ),
        case("decoder-no-key", "rows of the target without an allowed key", (real, short), targets=("00110", "00000")),
        case("decoder-all-masked", "a source wholly masked", ("-----", short), targets=("...", "...")),
        case("decoder-tall", "other heads, one layer", (real, short), TALL, targets=("....", "....")),
        case(
            "embeds",
            "inputs_embeds and decoder_inputs_embeds",
            (real, short),
            targets=("...", "..."),
            embeds=True,
            keep=ALL,
        ),
        case("states", "given encoder_outputs and mask", (real, short), targets=("...", "..."), states=True),
        case(
            "states-without-mask",
            "given encoder_outputs, no mask",
            ("....-",),
            targets=("...",),
            states=True,
            without_mask=True,
        ),
        case("labels", "targets made of the labels", (real, short), labels=("..x.", ".xxx"), targets_from="labels"),
        case(
            "labels-and-ids",
            "labels beside other targets",
            (real, short),
            targets=("...", "..."),
            labels=("x..", "..."),
        ),
        case("labels-ignored", "every label -100: the loss is NaN", (real,), labels=("xxx",), targets_from="labels"),
        case("labels-first-ignored", "first label -100", (real,), UNTIED, labels=("x..",), targets_from="labels"),
        case("ids-only", "neither targets nor labels: input_ids shifted", (real, short), targets_from="input_ids"),
        case("untied", "four embeddings, other special ids", (real, short), UNTIED, targets=("...", "..."), keep=ALL),
    ]


def activations() -> list[Case]:
    """Return a case for each non-linearity of the feed-forward; `gelu` is everywhere else."""
    keep = ("encoder.layers.0.fc", "decoder.layers.1.fc", "logits")
    kinds = ("gelu_new", "gelu_pytorch_tanh", "quick_gelu", "relu", "silu", "swish")
    return [
        Case(
            f"activation-{kind}",
            f"activation_function {kind}",
            {**WIDE, "activation_function": kind},
            ("g....",),
            keep=keep,
        )
        for kind in kinds
    ]


def cached() -> list[Case]:
    """Return cases of several calls that share a cache; each takes the next target tokens and the mask so far."""
    rows = (".....", "g..--")
    open_targets, masked = ("......", "......"), ("0110111", "1011101")
    return [
        Case("cache-one-by-one", "six calls of one token", WIDE, rows, open_targets, calls=(1,) * 6),
        Case("cache-halves", "two calls of three tokens", WIDE, rows, open_targets, calls=(3, 3)),
        Case("cache-5-1", "a prefix, then one token", WIDE, rows, open_targets, calls=(5, 1)),
        Case("cache-1-5", "one token, then many", WIDE, rows, open_targets, calls=(1, 5)),
        Case("cache-2-1-3", "an uneven split", TALL, rows, open_targets, calls=(2, 1, 3)),
        Case(
            "cache-mask", "with a decoder mask, which a call of one token ignores", WIDE, rows, masked, calls=(4, 1, 2)
        ),
    ]


def heads() -> list[Case]:
    """Return cases of the heads for question answering and for classification."""

    def qa(name: str, about: str, starts: Any = None, ends: Any = None, **more: Any) -> Case:
        of_head = {} if starts is None else {"start_positions": starts, "end_positions": ends}
        settings = {"rows": ("gg...", "g..--"), "targets_from": "input_ids", "keep": HEAD, **more}
        return Case(f"qa{name}", about, QA, of_head=of_head, **settings)

    def classes(name: str, about: str, labels: Any = None, config: Any = None, **more: Any) -> Case:
        of_head = {} if labels is None else {"labels": labels}
        settings = {"rows": ("g......e", "g...e---"), "targets_from": "input_ids", "keep": HEAD, **more}
        return Case(f"classification{name}", about, {**CLASSES, **(config or {})}, of_head=of_head, **settings)

    quantity, quantities = {"num_labels": 1}, {"problem_type": "regression"}
    return [
        qa("", "start and end of the answer, the input shifted; all outputs", keep=ALL, drop=INNER),
        qa("-targets", "of another length than the source", targets=("...", "..."), targets_from="decoder_input_ids"),
        qa("-embeds", "inputs_embeds and decoder_inputs_embeds", targets=("...", "..."), embeds=True,
           targets_from="decoder_input_ids"),
        qa("-loss", "the first place and the last", [0, 4], [4, 3]),
        qa("-loss-column", "positions of shape (B, 1)", [[1], [3]], [[2], [0]]),
        qa("-loss-below", "positions below 0 are 0", [-1, 2], [-7, -100]),
        qa("-loss-beyond", "positions of T and more are ignored", [5, 2], [1, 99]),
        qa("-loss-ignored", "every start ignored: the loss is NaN", [5, 6], [1, 2]),
        classes("", "two documents; all outputs", keep=ALL, drop=INNER),
        classes("-alone", "one document", rows=("..g...e",)),
        classes("-last-end", "two ends in each: the last one counts, also with tokens behind it",
                rows=("ge....e..", "g..ee----")),
        classes("-targets", "decoder_input_ids and their mask", targets=("01101111", "11111000"),
                targets_from="decoder_input_ids"),
        classes("-single", "one label each", [2, 0]),
        classes("-single-column", "labels of shape (B, 1), one of them -100", [[-100], [1]]),
        classes("-single-ignored", "every label -100: the loss is NaN", [-100, -100]),
        classes("-regression", "one label of floats", [0.75, -2.5], quantity),
        classes("-regression-alone", "one label, one document", [[1.25]], quantity, rows=("g.....e",)),
        classes("-regression-several", "problem_type says it", [[0.5, -1.0, 2.0], [0.0, 3.0, -0.25]], quantities),
        classes("-multi", "labels of floats, one not 0 or 1", [[0.0, 1.0, 1.0], [1.0, 0.0, 0.5]]),
    ]  # fmt: skip


def masked() -> list[Case]:
    """Return cases of head masks. Each factor is exact in float32; layers and heads differ in number."""
    encoder = {"head_mask": [[0.0, 0.5, 1.0], [1.5, 0.0, -0.25]]}
    decoder = {"decoder_head_mask": [[1.0, 0.0, 0.5], [0.25, 1.0, 0.0]]}
    cross = {"cross_attn_head_mask": [[0.0, 1.0, 0.5], [1.0, 0.75, 0.0]]}
    all_of_wide = {"head_mask": [[0.5, 1.0, 0.0, 1.0, 2.0]], **decoder, **cross}
    all_of_tall = {**encoder, "decoder_head_mask": [[0.0, 1.0, 0.5, 1.0, 0.25, 0.0, 2.0]]}
    fields = ("logits", "out.encoder", "decoder.layers.0.self_attn.probs", "decoder.layers.0.encoder_attn.probs")

    def case(name: str, about: str, masks: Any, config: Any, **more: Any) -> Case:
        settings = {"rows": ("g..--", "....."), "targets": ("...", "..."), "keep": fields, **more}
        return Case(f"masked-{name}", about, config, masks=masks, **settings)

    return [
        case("encoder", "local, global and masked rows", encoder, TALL, rows=("g...g...--.", "....g......")),
        case("decoder", "self-attention of the decoder", decoder, WIDE),
        case("cross", "cross-attention", cross, WIDE),
        case("decoder-step", "one target token", {**decoder, **cross}, WIDE, targets=(".", ".")),
        case("all", "encoder and decoder, seven heads in the latter", all_of_tall, TALL),
        case("qa", "the head for question answering", all_of_wide, QA, targets_from="input_ids", keep=HEAD),
        case("classification", "that for classification", all_of_tall, CLASSES, rows=("g.e--", "....e"),
             targets_from="input_ids", keep=HEAD),
    ]  # fmt: skip


def cases() -> list[Case]:
    """Return all cases, in the order of the manifest."""
    return [*lengths(), *patterns(), *decoders(), *activations(), *cached(), *heads(), *masked()]

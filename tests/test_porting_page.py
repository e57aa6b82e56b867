"""docs/porting.md: its stages are those of the code, its traps the known mistakes, its cases those of a kit."""

import re
import sys
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest

from pyled import LEDConfig
from pyled.porting.cases import forward_cases
from pyled.porting.mistakes import MISTAKES
from pyled.porting.stages import stages_of

DOCS = Path(__file__).parent.parent / "docs"
sys.path.insert(0, str(DOCS))
import refresh  # noqa: E402

PAGE = (DOCS / "porting.md").read_text(encoding="utf-8")
WORDS = {
    "entering": r"(layernorm_embedding|final_layer_norm)",
    "the `attn_layer_norm` before it": r"attn_layer_norm",
}


def section(title):
    """The text below a heading."""
    return re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)[1]


def rows_of_stages():
    """Each row of the table: a name for each stage, its axes, and what it is computed from, in words and names."""
    for names, shape, sources in re.findall(r"^\| (`.+?) \| \((.*?)\).* \| (.*) \|$", section("Stages"), re.MULTILINE):
        first, *others = re.findall(r"`(.+?)`", names)
        stem = first.rpartition(".")[0]
        yield [first, *(stem + other for other in others)], shape.replace(", ", ""), sources.split(", ")


def patterns(name, axes):
    """A pattern of the code's names for one of the page, and its axes, for each side or attention that it is of."""
    sides = {"encoder": "SS", "decoder": "ST"} if "SIDE" in name else {"self_attn": "XT", "encoder_attn": "XS"}
    for side, (letter, other) in sides.items() if re.search("SIDE|ATTN", name) else [("", "__")]:
        yield re.escape(re.sub("SIDE|ATTN", side, name)).replace("I", r"\d+"), axes.replace(letter, other)


def sources_of(stage, words, before):
    """The stages that the words of a row name, among those before; the nearest one of a name counts."""
    for word in words:
        if word == "ids":
            yield "in.decoder_input_ids" if stage.startswith("decoder") else "in.input_ids"
        elif word not in ("masks", "labels", "the head's last stage"):
            side = "encoder" if "encoder's" in word else stage.partition(".")[0] if word == "entering" else ""
            name = WORDS.get(word) or re.escape(word[word.index("`") :].strip("`"))
            nearest = [one for one in before if re.search(rf"(^|[._]){name}$", one) and one.startswith(side)]
            yield from nearest[-1:]


@pytest.mark.parametrize("head", ["lm", "qa", "classification"])
def test_the_table_of_stages_is_that_of_the_code(head):
    config = LEDConfig(encoder_layers=2, decoder_layers=2, attention_window=4, num_labels=3)
    ids = np.zeros((2, 5), int)
    masks = {"attention_mask": ids + 1, "global_attention_mask": ids + 1, "decoder_attention_mask": ids[:, :3] + 1}
    call = {"input_ids": ids, "decoder_input_ids": ids[:, :3], "labels": ids[:, :3], **masks}
    stages = stages_of(config, call, head=head)
    names = [stage.name for stage in stages]
    seen = set()
    for listed, axes, words in rows_of_stages():
        for name in listed:
            for pattern, letters in patterns(name, axes):
                seen |= {stage.name for stage in stages if re.fullmatch(pattern, stage.name)}
                for i, stage in enumerate(stages):
                    if re.fullmatch(pattern, stage.name):
                        assert stage.axes == letters, stage.name
                        said = set(sources_of(stage.name, words, names[:i]))
                        coded = {one for one in stage.inputs if not re.match(r"in\.(?!.*input_ids)", one)}
                        assert said == coded or "head's" in words[0], stage.name
    assert seen == {name for name in names if not name.startswith("in.")}


def test_the_traps_are_the_known_mistakes_each_in_the_section_that_explains_it():
    assert refresh.with_traps(PAGE) == PAGE, "run docs/refresh.py"
    listed = re.findall(r"^\| `([\w-]+)` \| [^|]{20,} \| [^|]+ \|$", PAGE, re.MULTILINE)
    assert sorted(listed) == sorted(mistake.name for mistake in MISTAKES)


def test_the_order_of_work_names_cases_of_a_kit():
    cases = [case.name for case in forward_cases()]
    for _, column in re.findall(r"^\| \d+ \| (.*?) \| (.*?) \|", section("The order of work"), re.MULTILINE):
        for name in re.findall(r"`((?:length|pattern|windows|decoder|labels|base|-)[\w*-]*)`", column):
            pattern = f"*{name}" if name[0] == "-" else name
            assert any(fnmatch(case, pattern) for case in cases), name

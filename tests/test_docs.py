"""README.md and docs/: their Python runs, their links lead somewhere, and what they repeat from the tree is true."""

import ast
import itertools
import json
import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import numpy as np
import pytest
from checkpoints import TRAINED, stored
from test_imports import FILES, OUTSIDE, PACKAGE, RING

from pyled import LEDConfig, LEDTokenizer, reference
from pyled.checkpoint import expected_shapes, read_safetensors
from pyled.checkpoint.names import upstream_name
from pyled.network.attention import encoder_self_attention
from pyled.network.batch import Batch
from pyled.network.layers import Buffers
from pyled.network.observe import Stages

ROOT = Path(__file__).parent.parent
TINY = ROOT / "golden" / "tiny"
sys.path[:0] = [str(ROOT / "docs"), str(ROOT / "golden")]
import draw_attention  # noqa: E402
import draw_generation  # noqa: E402
import draw_tokenizer  # noqa: E402
import refresh  # noqa: E402
import train_bpe  # noqa: E402

README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
page = pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)


def fences(text, kind):
    """The contents of the fenced blocks of a page that are marked so."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def run(*arguments):
    """Python in the repository's root, as a reader has it: compiled, also where the suite runs without compilation."""
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "0", "PYTHONUTF8": "1"}
    return subprocess.run(
        [sys.executable, "-W", "error", *arguments], cwd=ROOT, env=environment, capture_output=True, encoding="utf-8"
    )


@page
def test_the_python_of_a_page_runs_and_prints_what_it_says(path, tmp_path):
    """All blocks of a page in order, as one session."""
    text = path.read_text(encoding="utf-8")
    assert not re.search("^[ >]+```", text, re.MULTILINE), "a block inside a list or a quotation would not be run"
    blocks = fences(text, "python")
    assert all(block.startswith(">>> ") for block in blocks), "Python without >>> would not be run"
    session = tmp_path / f"{path.name}.txt"
    session.write_text("\n".join(blocks), encoding="utf-8")
    result = run("-m", "doctest", session)
    assert result.returncode == 0, result.stdout + result.stderr


def headings(path):
    """The headings of a page, as they stand and as links name them."""
    titles = re.findall(
        r"^#+ (.+)$", re.sub("^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S), re.M
    )
    return {title: re.sub(r"[^\w -]", "", title).lower().replace(" ", "-") for title in titles}


@page
def test_links_and_sections_lead_to_files_and_headings(path):
    """A link may have a section behind it, by its number or its name; a section without a link is of the same page."""
    text = re.sub(r"\s+", " ", re.sub("^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.M | re.S))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, anchor = target.partition("#")
        if "://" not in target:
            assert (path.parent / name).exists(), target
            assert not anchor or anchor in headings(path.parent / name if name else path).values(), target
    for _, name, number, title in re.findall(r'(\]\(([^)\s]+\.md)\)[^.(]{,20})?\b[Ss]ections? (?:(\d+)|"(.+?)")', text):
        titles = headings(path.parent / name if name else path)
        assert title in titles if title else any(t.startswith(f"{number}. ") for t in titles), (name, number, title)


@page
def test_files_and_modules_that_a_page_names_are_there(path):
    folders = [ROOT, PACKAGE, ROOT / "docs", ROOT / "tests", *(p for p in PACKAGE.rglob("*") if p.is_dir())]
    for name in re.findall(r"`([\w/]+(?:\.py|/))`", path.read_text(encoding="utf-8")):
        assert any((folder / name).exists() for folder in folders), name


def test_the_functions_that_the_page_on_attention_names_stand_where_it_says():
    text = (ROOT / "docs" / "attention.md").read_text(encoding="utf-8")
    section = text.partition("## 7.")[2].partition("## 8.")[0]
    rows = [line.strip("| ").split("|") for line in section.splitlines() if line.startswith("| ")]
    assert len(rows) > 8
    for _, definition, fast in rows[1:]:
        for said, default in ((definition, ["reference.py"]), (fast, [])):
            quoted = re.findall(r"`([\w./]+)`", said)
            files = [name for name in quoted if name.endswith(".py")] or default
            code = "".join((PACKAGE / file).read_text(encoding="utf-8") for file in files)
            for name in set(quoted) - set(files) - {"probs"}:
                assert f"def {name.split('.')[-1]}(" in code, f"{name} in {files}"


def test_the_first_two_shell_blocks_install_and_run_and_install_and_test():
    first, second = fences(README, "sh")[:2]
    assert re.search(r"^python3 -m venv \.venv$", first, re.MULTILINE)
    assert re.search(r"^\.venv/bin/python -m pip install --quiet \.$", first, re.MULTILINE)
    assert re.search(r"^\.venv/bin/pyled summarize \S+$", first, re.MULTILINE)
    assert re.search(r"^python3 -m venv \.venv$", second, re.MULTILINE)
    assert re.search(r"^\.venv/bin/python -m pip install --quiet '\.\[test\]'$", second, re.MULTILINE)
    assert re.search(r"^\.venv/bin/python -m pytest$", second, re.MULTILINE)


def test_the_output_shown_is_what_the_reference_wrote_and_what_the_command_prints():
    command = re.search(r"^\.venv/bin/pyled (summarize golden/trained/documents/(\S+))$", README, re.MULTILINE)
    expected = stored(TRAINED)["answers"][command[2]]["beam"]["text"]
    assert fences(README, "text")[0] == f"{expected}\n"
    assert expected.isprintable() and expected.strip()
    result = run("-m", "pyled", *command[1].split())
    assert (result.returncode, result.stdout) == (0, f"{expected}\n")


def test_the_reading_list_is_whole_and_no_place_is_over_its_budget():
    """A line of the list: its places, and behind them the most lines of Python that they may have together."""
    start = README.index("## Reading list")
    listed = re.findall(r"^\d+\. ((?:\[`pyled/[^:]*?)) (\d+):", README[start:], re.MULTILINE)
    places = []
    for names, budget in listed:
        own = re.findall(r"`(pyled/[\w/.]+)`", names)
        files = [file for place in own for file in ([ROOT / place], (ROOT / place).rglob("*.py"))[place[-1] == "/"]]
        lines = sum(file.read_bytes().count(b"\n") for file in files)
        assert lines <= int(budget), f"{', '.join(own)}: {lines} lines, the README's budget is {budget}"
        places += own
    files = {path.relative_to(PACKAGE).parts for path in PACKAGE.rglob("*.py")}
    assert sorted(places) == sorted({f"pyled/{name}{'/' if rest else ''}" for name, *rest in files if name[:2] != "__"})


def test_the_table_of_rings_is_the_one_that_is_tested():
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (`[^|]+) \|([^|]*)\| [^|]+ \|$", tour, re.MULTILINE)
    table = {
        name: (int(ring), set(packages.replace(",", " ").split()))
        for ring, names, packages in rows
        for name in re.findall(r"`(\w+)`", names)
    }
    assert table == {place: (RING[place], OUTSIDE[place]) for place in RING}


def test_the_tour_has_the_key_of_letters():
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    key = re.findall(r"^\| [A-Z] \| .*$", (PACKAGE / "arrays.py").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(key) > 10 and "\n".join(key) in tour


def test_what_the_tour_proposes_to_change_is_there_to_be_changed():
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    section = tour.partition("## Five things")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (both )?`([^`]+)` to `[^`]+` \| `([^`]+)` \|", section, re.MULTILINE)
    assert len(rows) == 5
    for file, both, old, test in rows:
        assert (PACKAGE / file).read_text(encoding="utf-8").count(old) == (2 if both else 1), old
        assert (ROOT / "tests" / test).exists()


def test_the_tour_names_every_file_of_a_folder():
    tour = (ROOT / "docs" / "tour.md").read_text(encoding="utf-8")
    for folder in {PACKAGE / name for name, *rest in (p.relative_to(PACKAGE).parts for p in FILES) if rest}:
        said = re.search(rf"^- \*\*`{folder.name}/`\*\*(.*?)(?=^- |\n\n)", tour, re.MULTILINE | re.DOTALL)[1]
        assert set(re.findall(r"`(\w+\.py)`", said)) >= {p.name for p in folder.rglob("*.py")} - {"__init__.py"}


@pytest.mark.parametrize("name", sorted(refresh.FIGURES))
def test_figures_are_what_the_drawing_code_makes(name):
    assert (ROOT / "docs" / name).read_text(encoding="utf-8") == refresh.FIGURES[name](), "run docs/refresh.py"


def test_every_svg_has_its_drawing_code():
    assert {path.name for path in (ROOT / "docs").glob("*.svg")} == set(refresh.FIGURES)


@pytest.mark.parametrize("name", sorted(refresh.FIGURES))
def test_figures_are_small_have_a_title_and_a_ground_of_their_own(name):
    drawn = refresh.FIGURES[name]()
    assert len(drawn.encode("utf-8")) < 20_000
    assert re.search(r"<title id=.title.>[^<]{10,}</title>\n<desc id=.what.>[^<]{40,}</desc>\n<rect ", drawn)


def test_the_beam_search_by_hand_is_the_one_that_runs():
    text = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
    model = {}
    exec("".join(f"{line[4:]}\n" for line in fences(text, "python")[0].splitlines()), model)
    assert (model["words"], model["after"]) == (draw_generation.WORDS, draw_generation.AFTER)
    steps = draw_generation.searched()
    shown = re.findall(r"^\| `([^`]+)` \| (\d) \| ([\d.]+) \| (-[\d.]+) \| ([a-z ]+) \|$", text, re.MULTILINE)
    candidates = [candidate for step in steps[:3] for candidate in step]
    assert shown == [
        (words, f"{row}", f"{np.exp(total):.4f}", f"{total:.2f}", fate) for words, row, total, fate in candidates
    ]
    shown = re.findall(r"^\| `([^`]+)` \| (-[\d.]+) \| (\d) \| (.*) \|$", text, re.MULTILINE)
    finished = [
        (words, total, len(words.split())) for step in steps for words, _, total, fate in step if fate == "finishes"
    ]
    assert shown == [
        (words, f"{total:.2f}", f"{n}", " | ".join(f"{total / n**penalty:.2f}" for penalty in range(3)))
        for words, total, n in finished
    ]


def test_the_rules_of_the_page_are_those_of_the_code_in_their_order():
    text = (ROOT / "docs" / "generation.md").read_text(encoding="utf-8")
    code = (PACKAGE / "generation" / "rules.py").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `\w+`[^|]* \| `(\w+)` \|", text.partition("## 7.")[2], re.MULTILINE)
    assert len(shown) > 12
    assert shown == re.findall(r"(?: add\(.*?, |extend\(partial\()(\w+)[,)]", code)
    code = (PACKAGE / "generation" / "warpers.py").read_text(encoding="utf-8")
    section = re.search(r"^## 8\..*?^## 9\.", text, re.MULTILINE | re.DOTALL)[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == re.findall(r" add\(.*?, (\w+),", code)


def words_of(name, colour=""):
    """The words of a figure in the order in which they were drawn; with a colour, those in it."""
    found = re.findall(r"<text ([^>]*)>([^<]*)</text>", (ROOT / "docs" / name).read_text(encoding="utf-8"))
    return [unescape(words) for attributes, words in found if colour in attributes]


def test_the_way_of_a_string_ends_in_the_ids_of_the_tokenizer():
    tokenizer = LEDTokenizer.from_pretrained(TINY)
    ids = [str(number) for number in tokenizer(draw_tokenizer.EXAMPLE).input_ids]
    size_of_an_id = 'font-size="12" text-anchor="middle"'
    assert words_of("tokens.svg", size_of_an_id) == ids
    svg = words_of("tokens.svg")
    assert [word.lstrip("\u2423") for word in svg if word.startswith("\u2423<")] == ["<mask>"]
    assert set(tokenizer.tokenize(draw_tokenizer.EXAMPLE)) - set(svg) == {
        " <mask>"
    }  # where \u2423 stands for the space


def test_the_merges_drawn_are_those_of_the_file():
    products = ["".join(line.split()) for line in (TINY / "merges.txt").read_text(encoding="utf-8").splitlines()[1:]]
    svg = (ROOT / "docs" / "tokens.svg").read_text(encoding="utf-8")
    drawn = re.findall(rf">([^<]+)</text>\n<text [^>]*{draw_tokenizer.PINK}[^>]*>(\d+)</text>", svg)
    assert len(drawn) == len(words_of("tokens.svg", draw_tokenizer.PINK)) > 5
    assert all(products[int(rank)] == token for token, rank in drawn)


def test_the_byte_table_is_that_of_the_trainer():
    rows = [words for words in words_of("bytes.svg") if len(words) == 16]
    assert "".join(rows) == "".join(symbol for _, symbol in sorted(train_bpe.byte_symbols().items()))


def test_the_entries_drawn_stand_in_the_file():
    data = (TINY / "model.safetensors").read_bytes()
    entries = [words for words in words_of("safetensors.svg") if "data_offsets" in words]
    assert len(entries) == 4 and all(entry.encode() in data for entry in entries)
    svg = (ROOT / "docs" / "safetensors.svg").read_text(encoding="utf-8")
    borders = [float(x) for x in re.findall(r"M([\d.]+) \d+V", svg)]
    sizes = [array.nbytes for array in read_safetensors(TINY / "model.safetensors").values()]
    ends = np.cumsum(sizes)
    assert borders == pytest.approx(20 + 720 * ends[:-1] / ends[-1], abs=0.06)


def expanded(pattern, config):
    """The names that a pattern with {a,b} and {i} stands for."""
    sides = {"encoder": config.encoder_layers, "decoder": config.decoder_layers}
    choices = [part.split(",") for part in re.findall(r"{(\w+(?:,\w+)+)}", pattern)]
    template = re.sub(r"{\w+(?:,\w+)+}", "{}", pattern.replace("{i}", "{{i}}"))
    for chosen in itertools.product(*choices):
        name = template.format(*chosen)
        depth = next((n for side, n in sides.items() if f"{side}." in name), 1)
        yield from dict.fromkeys(name.replace("{i}", str(i)) for i in range(depth))


def test_the_names_and_shapes_of_the_page_are_those_that_are_expected():
    page = (ROOT / "docs" / "checkpoint.md").read_text(encoding="utf-8")
    config = LEDConfig(
        vocab_size=31, d_model=12, encoder_layers=2, decoder_layers=3, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=5, decoder_ffn_dim=7, max_encoder_position_embeddings=11,
        max_decoder_position_embeddings=13, num_labels=4, attention_window=4,
    )  # fmt: skip
    stated = {}
    for pattern, *kinds in re.findall(r"^\| `([\w.{},]+)` \| `(\([^`]*\))`(?:, `(\([^`]*\))`)? \|", page, re.MULTILINE):
        for name in expanded(pattern, config):
            letters = {"V": 31, "E": 12, "num_labels": 4}
            letters |= {"F": 5, "positions": 11} if "encoder." in name else {"F": 7, "positions": 13}
            kind = (kinds[1] if name.endswith("bias") else "") or kinds[0]
            assert name not in stated, name
            stated[name] = tuple(letters.get(side) or int(side) for side in re.findall(r"\w+", kind))
    expected = {}
    for head in ("lm", "qa", "classification"):
        expected |= {upstream_name(name, head): shape for name, shape in expected_shapes(config, head).items()}
    assert stated == expected


def test_the_defaults_of_the_page_are_those_of_the_configuration():
    page = (ROOT / "docs" / "checkpoint.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`[^|]+`) \| ([^|]+) \| [^|]*\|$", page.partition("## 6.")[2].partition("## 7.")[0], re.MULTILINE
    )
    stated = {}
    for names, values in rows:
        keys, found = re.findall(r"`(\w+)`", names), [json.loads(value.strip(" `")) for value in values.split(",")]
        stated |= dict(zip(keys, found * (len(keys) if len(found) == 1 else 1), strict=True))
    assert len(stated) > 15
    assert stated == {name: getattr(LEDConfig(), name) for name in stated}


def test_the_page_lists_the_rules_that_refusals_carry():
    """A rule is the second argument of an error; `LoadReport.refusal` chooses one of four."""
    page = (ROOT / "docs" / "checkpoint.md").read_text(encoding="utf-8")
    section = page.partition("## 3.")[2].partition("## 4.")[0]
    listed = re.findall(r"`([a-z0-9-]+)`", " ".join(re.findall(r"^\| (`[^|]+) \|", section, re.MULTILINE)))
    rules = {"weights-missing", "weights-misshaped", "lora", "prefix"}
    for path in [PACKAGE / "files.py", PACKAGE / "hub.py", *(PACKAGE / "checkpoint").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.search("(?i:error)$|^refuse$", ast.unparse(node.func)):
                rules |= {argument.value for argument in node.args[1:] if isinstance(argument, ast.Constant)}
    assert sorted(listed) == sorted(rules)


def random_layer(E, seed):
    """Weights of one attention layer named `a`."""
    rng = np.random.default_rng(seed)
    parts = ["query", "key", "value", "query_global", "key_global", "value_global"]
    names = [f"a.longformer_self_attn.{part}" for part in parts] + ["a.output"]
    return {f"{n}.weight": rng.normal(size=(E, E)) for n in names} | {f"{n}.bias": rng.normal(size=E) for n in names}


def test_the_picture_colours_where_the_definition_puts_probability():
    is_real, is_global, w = draw_attention.LONG
    S, seen = len(is_real), {}
    hidden = np.random.default_rng(0).normal(size=(S, 6))
    reference.encoder_attention(hidden, w, is_real, is_global, 2, random_layer(6, 1), "a", seen.__setitem__)
    coloured = {}
    for d, fill in re.findall(r'<path d="([^"]+)" fill="([^"]+)"', (ROOT / "docs/attention.svg").read_text()):
        for x, y in re.findall(r"M(\d+) (\d+)", d):
            coloured[int(y) // 12, int(x) // 12] = fill
    assert len(coloured) == S * S
    shown = np.array(
        [
            [coloured[i, j] in (draw_attention.BAND, draw_attention.COLUMN, draw_attention.ROW) for j in range(S)]
            for i in range(S)
        ]
    )
    assert (shown == (seen["a.probs"][0] > 0)).all()


def test_the_layout_names_the_tokens_whose_probabilities_a_call_returns():
    is_real, is_global, w = draw_attention.SHORT
    S, (slot,) = len(is_real), np.flatnonzero(is_global)
    hidden = np.random.default_rng(2).normal(size=(S, 6))
    seen = Stages()
    documents = Batch([is_real], [is_global], [seen])
    encoder_self_attention(hidden, w, documents, 2, random_layer(6, 3), "a", Buffers())
    local = np.concatenate([seen["a.probs.global_keys"], seen["a.probs.band"]], axis=2)
    expected = [str(slot if column == 0 else i + column - 1 - w) for i, column in np.argwhere(local[0] > 0)] + [
        str(j) for j in np.flatnonzero(seen["a.probs.global_queries"][0, 0] > 0)
    ]
    assert re.findall(r'fill="#ffffff">(\d)</text>', (ROOT / "docs/layout.svg").read_text()) == expected

"""The page of `pyled check --html`: all rows of the report, maps whose colours are where the errors are, and safety."""

import base64
import re
import shutil
import struct
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from checkpoints import TINY
from test_check import write_port

from pyled.porting import html
from pyled.porting.comparing import check
from pyled.porting.html import EQUAL, INSIDE, LARGEST, NO_NUMBER, NOT_COMPARED, heat_map
from pyled.porting.measures import Row, times_budget
from pyled.porting.truths import truth_for


class Page(HTMLParser):
    """The rows of the table, as lists of cells; images by the stage of their row; those that are open; all markup."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.images, self.attributes, self.tags, self.opened = [], {}, [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")
        elif tag == "details":
            self.is_open = "open" in dict(attrs)
        elif tag == "img" and self.rows:
            name = re.match(r"[a-z_0-9.]*", self.rows[-1][1])[0]  # letters of axes follow
            self.images[name] = dict(attrs)["src"]
            self.opened |= {name} if self.is_open else set()

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1] += data.strip()


def decoded(source):
    """The cells of an image, (rows, columns), and its colours."""
    data = base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    chunks, at = {}, 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        kind, content = data[at + 4 : at + 8], data[at + 8 : at + 8 + size]
        assert struct.unpack(">I", data[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + content),)
        chunks[kind], at = content, at + 12 + size
    assert [*chunks] == [b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"]
    width, height, *kinds = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert kinds == [8, 3, 0, 0, 0]
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    assert not rows[:, 0].any()
    return rows[:, 1:], np.frombuffer(chunks[b"PLTE"], np.uint8).reshape(-1, 3)


@pytest.fixture(scope="module")
def traced(tmp_path_factory):
    return write_port(tmp_path_factory.mktemp("port"))


@pytest.fixture
def page(run, traced, tmp_path):
    """A function that changes the right dump, checks it, and returns the page and the exit status."""

    def made(*options, **changed):
        np.savez(tmp_path / "theirs.npz", **{**np.load(traced / "right.npz"), **changed})
        file = tmp_path / "page.html"
        status, out, err = run("check", tmp_path / "theirs.npz", "--against", traced / "trace.npz", "--html", file,
                               "--force", *options)  # fmt: skip
        assert status in (0, 1), err
        return file.read_text(encoding="utf-8"), status, out

    return made


STAGE = "encoder.layers.1.fc1"


def wrong(traced):
    """The stage with one wrong number, by its name."""
    array = np.load(traced / "right.npz")[STAGE].copy()
    array[0, 7, 11] += 0.5
    return {STAGE: array}


def test_the_page_has_each_row_and_the_brightest_cell_is_the_worst(page, traced):
    text, status, out = page(**wrong(traced))
    parsed = Page(text)
    assert status == 1
    head, *rows = parsed.rows
    assert len(head) == 7 and {len(row) for row in rows} == {7}
    truth = truth_for(traced / "trace.npz", {})
    report = check({**np.load(traced / "right.npz"), **wrong(traced)}, truth.arrays, about=truth.about)
    assert [row[1].startswith(one.name) for row, one in zip(rows, report.stages, strict=True)] == [True] * len(rows)
    (first,) = (row for row in rows if row[0] == "outside" and row[1].startswith(STAGE))
    assert first[6] == "0, 7, 11" and "its inputs are inside" in first[1]
    cells, colours = decoded(parsed.images[STAGE])
    assert cells.shape == (19, 40) and np.argwhere(cells == cells.max()).tolist() == [[7, 11]]
    assert cells[7, 11] == NO_NUMBER - 1 and (np.delete(cells.reshape(-1), 7 * 40 + 11) <= EQUAL + len(INSIDE)).all()
    red, blue = colours[cells[7, 11]], colours[EQUAL]
    assert red[0] > red[2] and blue[2] > blue[0]  # what is outside is red, what is equal is blue
    assert parsed.opened == {STAGE}
    assert f"{STAGE} is the first stage outside its budget" in text and f"{STAGE} is the first" in out


def test_the_page_is_whole_by_itself(page, traced):
    text, *_ = page(**wrong(traced))
    parsed = Page(text)
    assert not re.search(r"https?:|url\(|@import|<script|<link|<iframe", text)
    assert {name for tag, name, value in parsed.attributes if (value or "").startswith("data:")} == {"src"}
    assert all(value.startswith("data:image/png;base64,") for _, name, value in parsed.attributes if name == "src")
    assert len(text) < 1_000_000


def test_right_numbers_have_a_page_too_and_json_stays_as_it_is(page, traced, run, tmp_path):
    text, status, out = page("--format", "json")
    assert status == 0 and "<p>All " in text and not Page(text).opened
    plain = run("check", tmp_path / "theirs.npz", "--against", traced / "trace.npz", "--format", "json")[1]
    assert out == plain


def test_names_of_a_dump_are_no_markup(page, traced):
    odd = {"<script>alert(1)</script>": np.zeros(3), "led.logits&<b>": np.zeros(2), "a\x1b[2J\u202eb": np.zeros(2)}
    text, *_ = page(**wrong(traced), **odd)
    assert "\x1b" not in text and "\u202e" not in text
    parsed = Page(text)
    assert "script" not in parsed.tags and "b" not in parsed.tags and "&lt;script&gt;" in text


def test_a_map_shows_no_number_and_what_is_not_compared():
    times = np.array([[0.0, 1e-9, 0.5, 1.0], [1.0001, 1000.0, np.inf, np.nan]])
    (first, second), most = heat_map(times)
    assert first.tolist() == [EQUAL, EQUAL + 1, EQUAL + len(INSIDE), EQUAL + len(INSIDE)] and most == 1000.0
    assert second.tolist() == [EQUAL + len(INSIDE) + 1, NO_NUMBER - 1, NO_NUMBER, NOT_COMPARED]
    assert heat_map(np.array(2.0))[0].shape == (1, 1) and heat_map(np.zeros((2, 3, 4, 5)))[0].shape == (24, 5)
    assert heat_map(np.zeros((2, 0, 5)))[0].size == 0


def test_the_worst_is_seen_among_errors_that_are_all_far_outside():
    times = np.full((4, 6), 1e5)
    times[2, 3] = 5e9
    cells, most = heat_map(times)
    assert most == 5e9 and np.argwhere(cells == cells.max()).tolist() == [[2, 3]] and cells[2, 3] == NO_NUMBER - 1
    assert EQUAL + len(INSIDE) < cells[0, 0] < NO_NUMBER - 1  # outside, and not the largest


def test_a_map_of_a_large_stage_keeps_its_largest_error():
    times = np.zeros((3, 1000, 1024))
    times[2, 777, 300] = 5.0
    cells, most = heat_map(times)
    assert cells.shape == LARGEST and np.count_nonzero(cells == cells.max()) == 1 and most == 5.0
    (down, across) = np.unravel_index(int(cells.argmax()), cells.shape)
    assert down == 2777 * LARGEST[0] // 3000 and across == 300 * LARGEST[1] // 1024


def test_errors_are_in_budgets():
    row = Row("encoder.layers.0.self_attn.scores", budget=0.5)
    x, t = (
        np.array([3.0, 4.0, -np.inf, -np.inf, 1.0, np.nan, 9.0]),
        np.array([1.0, 4.0, -np.inf, 1.0, -np.inf, 1.0, 4.0]),
    )
    is_out = np.arange(7) == 6
    assert np.array_equal(times_budget(x, t, is_out, row), [1.0, 0, 0, np.inf, np.inf, np.inf, np.nan], equal_nan=True)
    whole = times_budget(np.array([1.0, 2.0]), np.array([1.0, 3.0]), np.zeros(2, bool), Row("tokens", budget=0.0))
    assert np.array_equal(whole, [0, np.inf])


def test_a_page_is_never_half_written_and_replaces_nothing_unasked(run, traced, tmp_path, monkeypatch):
    file, arguments = (
        tmp_path / "page.html",
        ("check", traced / "right.npz", "--against", traced / "trace.npz", "--html"),
    )
    file.write_text("mine")
    status, out, err = run(*arguments, file)
    assert (status, out, file.read_text()) == (2, "", "mine")
    assert "is there already: pass --force" in err
    for taken in (traced / "right.npz", traced / "trace.npz"):
        status, _, err = run(*arguments, taken, "--force")
        assert status == 2 and "is an input" in err
    shutil.copytree(TINY, tmp_path / "led")
    status, _, err = run(*arguments, tmp_path / "led" / "config.json", "--force", "-m", tmp_path / "led")
    assert status == 2 and "is an input" in err
    shutil.rmtree(tmp_path / "led")
    for odd in ("", "-"):
        status, _, err = run(*arguments, odd)
        assert status == 2 and "is no regular file" in err
    status, _, err = run(*arguments, tmp_path / "absent" / "page.html")
    assert status == 2 and "is no directory: make it" in err

    def interrupted(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(html, "heat_map", interrupted)
    status, out, err = run(*arguments, file, "--force")
    assert status == 4 and "No space left" in err and file.read_text() == "mine"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]

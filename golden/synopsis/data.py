"""The texts of the synopsis model: package descriptions and manual pages of Debian, cleaned, and split by source.

`collect(directory)` writes `{descriptions,pages,searches}-{train,valid,test}.jsonl`, each line an object with
`document`, `summary` and `source` (the source package), and keeps the pages it fetched under `pages/`.

A description's document is the long description with its paragraphs joined into lines, its summary the short one. A
page's document is what `man` prints without the section NAME, its summary what stands in NAME after the dash. That of a
search is a word, and descriptions in a row, and its summary that of the one in which the word stands. All texts of one
source package are on one side of the split, so that no sibling of a held-out text was trained on.
"""

import gzip
import hashlib
import json
import multiprocessing
import os
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
LISTS = Path("/var/lib/apt/lists")
INSTALLED = Path("/var/lib/dpkg/info")
# Whose manual pages are fetched, beside those of the packages installed here: some with many pages, and a small package
# of each of 4,000 other sources, for as many ways to write one.
PACKAGES = HERE / "packages.txt"
# Some of them whose sources are held out, and whose pages are long or many: for `held_out`.
HELD_OUT_PACKAGES = [
    *("autofs", "elfutils", "genisoimage", "gphoto2", "lftp", "libcatalyst-perl", "libzmq3-dev", "lm-sensors"),
    *("mandos-client", "mariadb-client", "moreutils", "network-manager", "reprepro", "since", "spamassassin"),
    *("strongswan-starter", "visidata", "weechat-curses", "wodim", "zathura"),
]

DESCRIPTIONS_PER_SOURCE = 8
DESCRIPTIONS_PER_SUBJECT = 2  # of one source: "GNU R statistics (base)", "GNU R statistics (docs)", ...
PAGES_PER_SOURCE = 150
PAGES_PER_SUMMARY = 2  # of one source
WITH_NAME_SECTION = 0.1  # of the training pages: a user pipes `man ls` as it is
SUMMARY_WORDS = range(2, 31)
LEAST_WORDS = 12  # of a document
OPENING = 150  # characters of a document, by which a training text is known as one that was held out
LONGEST_PAGE = 60_000  # characters: more than the encoder's positions hold

SPLIT = {"test": 0.06, "valid": 0.08}  # upper ends in [0, 1); the rest is train
SPLIT_SALT = "split 8"  # with it, both held-out sides have pages of many sources; chosen before any training
HELD_OUT_PAGES_PER_SOURCE = 30  # none should make up a score
KINDS = ("descriptions", "pages")
SETS = [f"{kind}-{split}" for kind in (*KINDS, "searches") for split in ("train", "valid", "test")]
SEARCHES = {"train": 12_000, "valid": 150, "test": 500}
SEARCHED = range(4, 13)  # texts in a row
SEARCHED_WORDS = 90  # of each text at most

NO_CONTENT = re.compile(r"transitional|dummy|meta-?package|debug(ging)? symbols|empty package|detached debug", re.I)
NAME_HEADING = re.compile(r"^(NAMES?|Names?)$")
ENVIRONMENT = {**os.environ, "LC_ALL": "C.UTF-8", "LANGUAGE": "", "MAN_KEEP_FORMATTING": "", "MANROFFOPT": ""}


@dataclass
class Pair:
    document: str
    summary: str
    source: str


def share(*key: str) -> float:
    """A number in [0, 1) that depends on the key alone."""
    return int.from_bytes(hashlib.sha256("\0".join(key).encode()).digest()[:7], "big") / 2**56


def split_of(source: str) -> str:
    """Which side a source package is on; llvm-toolchain-14 is a sibling of llvm-toolchain-15."""
    number = share(SPLIT_SALT, re.sub(r"[\d.]+", "", source))
    return next((name for name, end in SPLIT.items() if number < end), "train")


def normalised(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def opening(document: str) -> str:
    """How a document begins, without numbers: what two of them share is much the same text."""
    body = document.split("\n", 1)[-1] if re.match(r"\S+\(\d\w*\) ", document) else document  # not a page's header
    return re.sub(r"[\W\d_]+", " ", body[:1000].lower())[:OPENING]


def is_summary(text: str) -> bool:
    return len(text.split()) in SUMMARY_WORDS and text.isprintable() and not NO_CONTENT.search(text)


# Descriptions


def stanzas(path: Path) -> Iterator[dict[str, str]]:
    """The paragraphs of a control file as fields; the lines that continue a field keep their indentation."""
    text = subprocess.run(["lz4", "-dc", path], capture_output=True, check=True).stdout.decode("utf-8", "replace")
    for block in text.split("\n\n"):
        fields: dict[str, str] = {}
        name = ""
        for line in block.split("\n"):
            if line[:1] in (" ", "\t"):
                fields[name] += "\n" + line
            elif ":" in line:
                name, value = line.split(":", 1)
                fields[name] = value.strip()
        if fields:
            yield fields


def unwrapped(lines: Iterable[str]) -> str:
    """The long description as a reader sees it: paragraphs in one line each, blank lines and indented lines kept."""
    text: list[str] = []
    is_open = False  # may the next line be joined to the last one
    for line in (line[1:].rstrip() for line in lines):
        if line in (".", ""):
            text.append("")
            is_open = False
        elif line[0] in " \t" or re.match(r"[-*+•o] ", line):
            text.append(line)
            is_open = False
        elif is_open:
            text[-1] += " " + line
        else:
            text.append(line)
            is_open = True
    return "\n".join(text).strip("\n")


def package_sources() -> dict[str, str]:
    """The source package of each package that Debian's lists know."""
    sources: dict[str, str] = {}
    for path in sorted(LISTS.glob("*_debian*_dists_*_Packages.lz4")):
        for fields in stanzas(path):
            sources[fields["Package"]] = fields.get("Source", fields["Package"]).split(" ")[0]
    if not sources:
        raise SystemExit(f"no package lists in {LISTS}: apt-get update writes them")
    return sources


def descriptions() -> Iterator[Pair]:
    """One pair per distinct long description of the package lists, a few of each source package."""
    sources = package_sources()
    by_source: defaultdict[str, list[tuple[float, Pair]]] = defaultdict(list)
    for path in sorted(LISTS.glob("*_debian*_dists_*_Translation-en.lz4")):
        for fields in stanzas(path):
            package, (summary, *lines) = fields["Package"], fields["Description-en"].split("\n")
            pair = Pair(unwrapped(lines), " ".join(summary.split()), sources.get(package, package))
            has_content = len(pair.document.split()) >= LEAST_WORDS and not package.endswith(("-dbg", "-dbgsym"))
            if has_content and is_summary(pair.summary) and not NO_CONTENT.search(pair.document[:400]):
                by_source[pair.source].append((share(package), pair))
    seen: set[str] = set()
    for source in sorted(by_source):
        subjects: Counter[str] = Counter()
        for _, pair in sorted(by_source[source], key=lambda entry: entry[0]):
            subject = re.split(r" \(|[;:,]| -+ ", pair.summary)[0].lower()
            key = normalised(pair.document)
            is_full = subjects.total() >= DESCRIPTIONS_PER_SOURCE or subjects[subject] >= DESCRIPTIONS_PER_SUBJECT
            if not is_full and key not in seen:
                seen.add(key)
                subjects[subject] += 1
                yield pair


# Manual pages


def fetch(directory: Path, names: list[str]) -> None:
    """The manual pages of these packages, unpacked into directory/pages/SOURCE/PACKAGE."""
    (directory / "archives").mkdir(parents=True, exist_ok=True)
    done = {path.name for path in directory.glob("pages/*/*")}
    missing = [name for name in names if name not in done]
    for start in range(0, len(missing), 40):
        batch = missing[start : start + 40]
        command = ["apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", *batch]
        subprocess.run(command, cwd=directory / "archives", check=True, stdout=subprocess.DEVNULL)
        for archive in sorted((directory / "archives").glob("*.deb")):
            unpack(archive, directory)
            archive.unlink()


def unpack(archive: Path, directory: Path) -> None:
    """The manual pages of a .deb into directory/pages/SOURCE/PACKAGE, which appears when it is whole."""
    fields = ["dpkg-deb", "--showformat", "${Package}\t${source:Package}", "--show", archive]
    package, source = subprocess.run(fields, capture_output=True, check=True, text=True).stdout.split("\t")
    unfinished = directory / "unfinished"
    subprocess.run(["rm", "-rf", unfinished], check=True)
    unfinished.mkdir(parents=True)
    tar = ["tar", "-x", "-C", unfinished, "--no-same-owner", "--wildcards", "*/man/man[1-8]/*"]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", archive], stdout=subprocess.PIPE) as files:
        subprocess.run(tar, stdin=files.stdout, stderr=subprocess.DEVNULL, check=False)  # 2 where it has no pages
    place = directory / "pages" / source / package
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished.rename(place)


def page_files(directory: Path) -> Iterator[tuple[str, Path]]:
    """Source package and file of each English page of Debian's installed or fetched, links left out."""
    sources = package_sources()
    for listing in sorted(INSTALLED.glob("*.list")):
        source = sources.get(listing.name.removesuffix(".list").split(":")[0])
        for line in listing.read_text(encoding="utf-8").splitlines():
            path = Path(line)
            is_page = re.fullmatch(r"/usr/share/man/man[1-8]/.+\.gz", line)
            if source and is_page and path.is_file() and not path.is_symlink():
                yield source, path
    for path in sorted((directory / "pages").glob("*/*/**/man/man[1-8]/*.gz")):
        if path.is_file() and not path.is_symlink():
            yield path.relative_to(directory / "pages").parts[0], path


def summaries(paths: list[Path]) -> dict[Path, str]:
    """What `lexgrog` finds after the dash in NAME, for the pages where it finds anything."""
    synopses: dict[Path, str] = {}
    for start in range(0, len(paths), 500):
        command = ["lexgrog", *paths[start : start + 500]]
        output = subprocess.run(command, capture_output=True, env=ENVIRONMENT, check=False).stdout  # 1 where one fails
        for line in output.decode("utf-8", "replace").splitlines():
            if match := re.fullmatch(r'(.+?): "(.*?) - (.*)"', line):
                synopses[Path(match[1])] = " ".join(match[3].split())
    return synopses


def is_link(path: Path) -> bool:
    """Does the page only name another one, that stands there, too?"""
    with gzip.open(path) as text:
        return text.read(4) == b".so "


def chosen_pages(directory: Path) -> Iterator[tuple[str, Path, str]]:
    """Source, file and summary of the pages to render, a bounded number of each source package."""
    files: defaultdict[str, dict[str, Path]] = defaultdict(dict)
    for source, path in page_files(directory):
        files[source].setdefault(path.name, path)  # installed and fetched: one of them
    for source in sorted(files):
        paths = sorted(files[source].values(), key=lambda path: share(path.name))
        synopses = summaries([path for path in paths if not is_link(path)])
        counts: Counter[str] = Counter()
        for path, summary in synopses.items():
            key = normalised(summary)
            if is_summary(summary) and counts[key] < PAGES_PER_SUMMARY and counts.total() < PAGES_PER_SOURCE:
                counts[key] += 1
                yield source, path, summary


def rendered(path: Path) -> str:
    """The page as `man` prints it into a pipe; width, justification and character set vary from page to page."""
    name = path.name
    width = "80" if share("width", name) < 0.7 else str(60 + int(share("columns", name) * 60))
    options = [] if share("justify", name) < 0.5 else ["--no-hyphenation", "--no-justification"]
    encoding = [] if share("encoding", name) < 0.85 else ["-Eascii"]
    command = ["man", *options, *encoding, "--local-file", path]
    environment = {**ENVIRONMENT, "MANWIDTH": width}
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    return done.stdout.decode("utf-8", "replace")[:LONGEST_PAGE]


def name_section(lines: list[str]) -> tuple[int, int] | None:
    """Where the section NAME begins and ends among the lines of a page."""
    start = next((i for i, line in enumerate(lines) if NAME_HEADING.match(line)), None)
    if start is None:
        return None
    end = next((i for i in range(start + 1, len(lines)) if lines[i][:1].strip()), len(lines))
    return start, end


def page(entry: tuple[str, Path, str]) -> Pair | None:
    """The pair of one page, unless it has no NAME to take out or little else."""
    source, path, summary = entry
    try:
        lines = rendered(path).rstrip().split("\n")
    except subprocess.TimeoutExpired:
        return None
    place = name_section(lines)
    if place is None or len(" ".join(lines[place[1] :]).split()) < LEAST_WORDS:
        return None
    keeps_name = split_of(source) == "train" and share("name", path.name) < WITH_NAME_SECTION
    rest = lines if keeps_name else lines[: place[0]] + lines[place[1] :]
    return Pair("\n".join(rest).strip("\n") + "\n", summary, source)


def pages(directory: Path, split: str | None = None) -> Iterator[Pair]:
    entries = [entry for entry in chosen_pages(directory) if split in (None, split_of(entry[0]))]
    print(f"{len(entries)} pages to render", flush=True)
    seen: set[str] = set()
    with multiprocessing.Pool() as pool:
        for pair in pool.imap(page, entries, chunksize=16):
            if pair is not None:
                key = normalised(pair.document.split("\n", 1)[-1])  # the first line holds the page's own name
                if key not in seen:
                    seen.add(key)
                    yield pair


# Searches


def searches(descriptions: Iterable[Pair], count: int) -> Iterator[Pair]:
    """A word of one of some texts in a row, and below it the texts; the summary is that of the text with the word.

    Whoever reads a description or a page finds the answer near its beginning, and needs neither global attention nor a
    wide window. A search needs both: the word must get to all texts, however far, which `<s>` alone can do, and that it
    stands here from there to the whole of its text, which is about as long as a window.
    """
    texts = sorted(descriptions, key=lambda pair: share("search", pair.document))  # siblings stand apart
    place = 0
    for number in range(count):
        chosen = [
            texts[(place + i) % len(texts)] for i in range(SEARCHED[int(share("row", str(number)) * len(SEARCHED))])
        ]
        place += len(chosen)
        row = [" ".join(pair.document.split()[:SEARCHED_WORDS]) for pair in chosen]
        asked = int(share("asked", str(number)) * len(chosen))
        others = " ".join(row[:asked] + row[asked + 1 :])
        words = [word for word in re.findall(r"\b[a-z]{5,}\b", row[asked]) if word not in others]
        if words:
            word = words[int(share("word", str(number)) * len(words))]
            document = "\n\n".join([f"Find: {word}", *row]) + "\n"
            yield Pair(document, chosen[asked].summary, chosen[asked].source)


# All


def write(path: Path, pairs: Iterable[Pair]) -> int:
    count = 0
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as out:
        for count, pair in enumerate(pairs, 1):  # noqa: B007
            out.write(json.dumps(asdict(pair), ensure_ascii=False) + "\n")
    unfinished.replace(path)
    return count


def read(path: Path) -> list[Pair]:
    with path.open(encoding="utf-8") as lines:
        return [Pair(**json.loads(line)) for line in lines]


def first_of_sources(pairs: Iterable[Pair]) -> list[Pair]:
    """At most HELD_OUT_PAGES_PER_SOURCE of each source, in an order that a hash draws."""
    counts: Counter[str] = Counter()
    chosen = []
    for pair in in_order(pairs):
        counts[pair.source] += 1
        if counts[pair.source] <= HELD_OUT_PAGES_PER_SOURCE:
            chosen.append(pair)
    return chosen


def in_order(pairs: Iterable[Pair]) -> list[Pair]:
    return sorted(pairs, key=lambda p: share(p.source, p.document[:2000]))


def held_out(directory: Path) -> None:
    """The held-out texts alone, into {descriptions,pages}-test.jsonl where those are missing.

    All of the descriptions, and the pages of what is installed and of HELD_OUT_PACKAGES: no text of these sources was
    trained on, on whatever machine `collect` ran.
    """
    kinds = {
        "descriptions": lambda: (pair for pair in descriptions() if split_of(pair.source) == "test"),
        "pages": lambda: pages(directory, "test"),
    }
    if not (directory / "pages-test.jsonl").exists():
        fetch(directory, HELD_OUT_PACKAGES)
    for kind, pairs in kinds.items():
        if not (directory / f"{kind}-test.jsonl").exists():
            print(f"{write(directory / f'{kind}-test.jsonl', first_of_sources(pairs()))} {kind} held out", flush=True)


def held_out_documents(directory: Path, count: int) -> list[str]:
    """As many held-out texts, half of each kind, drawn by a hash."""
    documents = []
    for kind in KINDS:
        pairs = sorted(read(directory / f"{kind}-test.jsonl"), key=lambda pair: share("compare", pair.document))
        documents += [pair.document for pair in pairs[: count // len(KINDS)]]
    return documents


def collect(directory: Path, packages: Path = PACKAGES) -> None:
    """Everything, into directory, with these packages' pages; texts that a held-out one equals are not trained on."""
    fetch(directory, packages.read_text(encoding="utf-8").split())
    for kind, pairs in (("descriptions", lambda: descriptions()), ("pages", lambda: pages(directory))):
        whole = directory / f"{kind}.jsonl"
        if not whole.exists():
            print(f"{write(whole, pairs())} {kind}", flush=True)
    sets: dict[tuple[str, str], list[Pair]] = defaultdict(list)
    for kind in KINDS:
        for pair in read(directory / f"{kind}.jsonl"):
            sets[kind, split_of(pair.source)].append(pair)
    openings = {opening(p.document) for (_, split), pairs in sets.items() if split != "train" for p in pairs}
    for (kind, split), pairs in sets.items():
        if split == "train":
            chosen = [pair for pair in in_order(pairs) if opening(pair.document) not in openings]
        else:
            chosen = first_of_sources(pairs)
        print(f"{write(directory / f'{kind}-{split}.jsonl', chosen)} {kind} {split}", flush=True)
        if kind == "descriptions":
            rows = searches(chosen, SEARCHES[split])
            print(f"{write(directory / f'searches-{split}.jsonl', rows)} searches {split}", flush=True)

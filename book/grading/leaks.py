"""Search everything that is published for the canary of a graded homework.

Every graded solution and hidden test holds one random word, the canary. Where it turns up in something that students
can read, an answer has leaked. `make leaks` searches the repository, the built sites with their sources and search
index, the student tree, released assignments and what else is named (`make leaks FOLDERS=submitted-graded/feedback`).

Files are read as they are, and as what they hold: the members of zip and gzip files, base64 text of notebooks and
pages, and a PDF's streams and words, also where a line ends within a word. What is encrypted or drawn as a picture is
not found.
"""

from __future__ import annotations

import argparse
import base64
import binascii
import gzip
import io
import re
import sys
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from pypdf import PdfReader
from pypdf.errors import PyPdfError

from book.grading.homework import ROOT, VARIABLE, HomeworkError, instructor_folder, load

PUBLISHED = (
    "README.md", "CHANGELOG.md", "CONTRIBUTING.md", "book", "chapters", "clslab", "benchmarks", "tests", "student",
    "_build/html", "_build/pdf", "_build/public", "_build/smoke", "_build/preview", "_build/grading/release",
)  # fmt: skip
"""What leaves the machine, relative to the root of the repository; what does not exist is passed over."""

_BASE64 = re.compile(rb"[A-Za-z0-9+/\n\\]{64,}={0,2}")
_LIGATURE = re.compile("[\ufb00-\ufb06]")
_PDF_STREAM = re.compile(rb"stream\r?\n(.*?)\r?\nendstream", re.DOTALL)
_PDF_HEX = re.compile(rb"<([0-9A-Fa-f\s]{16,})>")


@dataclass(frozen=True)
class Leak:
    """A canary found where it must not be.

    Attributes:
        path: the file.
        inside: the member of an archive, or how the text was packed; empty for the file as it is.
    """

    path: Path
    inside: str


def find(canary: str, places: Iterable[Path], *, skip: Sequence[Path] = ()) -> list[Leak]:
    """All files below some places that hold a word, as they are or packed.

    Args:
        canary: the word.
        places: files and folders.
        skip: folders to pass over, such as the one in which the word belongs.

    Raises:
        ValueError: if the word is empty, there is no such place, or a PDF cannot be read.
    """
    if not canary:
        raise ValueError("the canary is empty, and so stands in every file; give the word of canary.txt")
    word = canary.encode("utf-8")
    found = []
    for path in _files(places, [one.resolve() for one in skip]):
        found += [Leak(path, inside) for inside, content in _readings(path.name, path.read_bytes()) if word in content]
    return found


def _files(places: Iterable[Path], skip: Sequence[Path]) -> Iterator[Path]:
    for place in places:
        if not place.exists():
            raise ValueError(f"there is no {place} to search; build it first, or leave it out")
        inside = [place] if place.is_file() else sorted(place.rglob("*"))
        for path in inside:
            if path.is_file() and not any(path.resolve().is_relative_to(one) for one in skip):
                yield path


def _readings(name: str, content: bytes, depth: int = 0) -> Iterator[tuple[str, bytes]]:
    """A file's content as it is, and everything that is packed in it, with a word that says how."""
    yield "", content
    if depth == 3:  # packed in packed in packed: nothing of ours goes deeper
        return
    for inside, unpacked in _unpacked(name, content):
        for deeper, text in _readings(inside, unpacked, depth + 1):
            yield " > ".join(part for part in (inside, deeper) if part), text


def _unpacked(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    if content[:2] == b"\x1f\x8b":
        yield "gzip", gzip.decompress(content)
    if content[:4] == b"PK\x03\x04":
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in archive.namelist():
                yield member, archive.read(member)
    if content[:5] == b"%PDF-":
        yield from _of_pdf(name, content)
    if name.endswith((".ipynb", ".html", ".json", ".js")):
        for number, text in enumerate(_BASE64.findall(content)):
            plain = re.sub(rb"\\n|[\n\\]", b"", text)
            try:
                decoded = base64.b64decode(plain[: len(plain) // 4 * 4])
            except binascii.Error:
                continue  # a long word that is no base64
            yield f"base64 {number}", decoded
            try:
                yield f"base64 {number}, zlib", zlib.decompress(decoded)
            except zlib.error:
                continue


def pdf_words(content: bytes) -> list[str]:
    """The text of each page of a PDF. Letters that a font has drawn as one, such as ﬁ, are two letters again."""
    pages = (page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    return [_LIGATURE.sub(lambda found: unicodedata.normalize("NFKC", found[0]), text) for text in pages]


def _of_pdf(name: str, content: bytes) -> Iterator[tuple[str, bytes]]:
    """The streams of a PDF, and its words.

    The letters of a page are numbers of glyphs, so its words are only found by reading it. Bookmarks, alternative texts
    and the like stand in the streams, some of them in UTF-16.
    """
    yield "UTF-16", content[5:].replace(b"\0", b"")  # without the sign of a PDF, or it would be read once more
    for number, stream in enumerate(_PDF_STREAM.findall(content)):
        try:
            plain = zlib.decompress(stream)
        except zlib.error:
            continue  # a picture or a font, packed in another way
        yield f"stream {number}", plain
        yield f"stream {number}, UTF-16", plain.replace(b"\0", b"")
        yield f"stream {number}, hex", b"\n".join(map(_from_hex, _PDF_HEX.findall(plain)))
    try:
        words = "\n".join(pdf_words(content))
    except PyPdfError as error:
        raise ValueError(f"{name} cannot be read as a PDF ({error}); make it again, or take it away") from error
    yield "words", words.encode("utf-8")
    yield "words, without gaps", "".join(words.split()).encode("utf-8")


def _from_hex(digits: bytes) -> bytes:
    """A string of a PDF that is written in hexadecimal digits."""
    packed = b"".join(digits.split())
    return bytes.fromhex(packed[: len(packed) // 2 * 2].decode("ascii")).replace(b"\0", b"")


def main(arguments: Sequence[str] | None = None) -> int:
    """`python -m book.grading.leaks [FOLDER …]`: 0 where the canary is nowhere, else 1 and a line for each place."""
    parser = argparse.ArgumentParser(description="Search what is published for the canary of the graded homework.")
    parser.add_argument("folders", nargs="*", type=Path, help="further folders, such as the feedback")
    chosen = parser.parse_args(arguments)
    folder = instructor_folder()
    if folder is None:
        print(f"no instructor's folder; set {VARIABLE} to it, so that its canary is known", file=sys.stderr)
        return 1
    try:
        canary = load(folder).canary
        places = [ROOT / name for name in PUBLISHED if (ROOT / name).exists()] + list(chosen.folders)
        found = find(canary, places, skip=[folder])
    except (HomeworkError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    for leak in found:
        print(f"LEAK: {leak.path}{f' ({leak.inside})' if leak.inside else ''}")
    searched = ", ".join(str(place.relative_to(ROOT) if place.is_relative_to(ROOT) else place) for place in places)
    print(f"{len(found)} places hold the canary; searched: {searched}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

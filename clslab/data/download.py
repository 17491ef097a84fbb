"""Fetching a data set: resume, check, unpack, lay out; nothing half-done under a final name.

The order of events is always the same. Bytes go to `NAME.part`. When all have come, their sha256 is
compared. Only then is the file renamed to `NAME`, in one step. What was interrupted goes on where it
stopped. An archive is unpacked into a folder beside its place and renamed too, so that a folder that
exists is a folder that is complete.

Taught in chapter 4.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import json
import os
import shutil
import stat
import sys
import tarfile
import tempfile
import time
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import IO, Any

import requests
from PIL import Image
from tqdm import tqdm

from clslab.data.catalog import Entry, card, data_root, found

Say = Callable[[str], None]

CHUNK = 1 << 14
"""Bytes read at a time. What a cut connection leaves of an unfinished chunk is lost, so it is small."""

LARGEST_EXTRACTED = 8 << 30
"""Bytes that an archive may declare. The largest set of the course unpacks to under 1 GB."""


class DownloadError(FileNotFoundError):
    """A file could not be fetched; the message says what to do next."""


class ChecksumError(ValueError):
    """A file came whole but is not the file that was expected."""


class ArchiveError(ValueError):
    """An archive is broken, or wants to write where it must not."""


class _NextMirrorError(Exception):
    """This address will not give the file; another one may."""


class _RetryError(Exception):
    """This address may give the file if asked again."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        super().__init__(reason)
        self.wait = wait


# ------------------------------------------------------------------------------------------- sums


def sha256_of(path: str | Path) -> str:
    """The sha256 of a file, in hexadecimal.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     empty = Path(folder) / "empty"
    ...     _ = empty.write_bytes(b"")
    ...     sha256_of(empty)[:8]
    'e3b0c442'
    """
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)


def _expected_sum(dest: Path, sha256: str | None) -> str | None:
    """The sum to hold a file to: the published one, else the one noted when it was first fetched."""
    if sha256:
        return sha256.lower()
    noted = _beside(dest, ".sha256")
    return noted.read_text(encoding="ascii").split()[0] if noted.exists() else None


# ------------------------------------------------------------------------------- one fetch at a time


def _try_lock(stream: IO[bytes]) -> bool:
    """Take the lock of an open file without waiting; False if another process holds it."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(stream.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(stream.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _only_one(dest: Path, say: Say) -> Iterator[None]:
    """Let one process at a time work on `dest`; the others wait.

    The lock belongs to an open file, so the system releases it when a process dies: no stale lock
    can block a later fetch. The empty lock file stays, since removing it would open a race.
    """
    with _beside(dest, ".lock").open("a+b") as stream:
        told = False
        while True:
            try:
                if _try_lock(stream):
                    break
            except OSError as error:
                # Some network drives know no locks. The final rename is atomic and the sum is checked,
                # so the worst that can happen there is a second download.
                say(f"No lock on this drive ({error}): do not fetch {dest.name} twice at once.")
                break
            if not told:
                say(f"Another process is fetching {dest.name}; waiting for it.")
                told = True
            time.sleep(0.1)
        yield


# ------------------------------------------------------------------------------------------- fetch


@dataclass(frozen=True)
class _Order:
    """What is wanted, and how patiently."""

    dest: Path
    expected: str | None
    size: int | None
    progress: bool
    retries: int
    timeout: float
    backoff: float
    say: Say

    @property
    def part(self) -> Path:
        return _beside(self.dest, ".part")

    @property
    def memo(self) -> Path:
        """Where the part came from: address and validators, for a resume that can be trusted."""
        return _beside(self.dest, ".part.json")

    def have(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def drop_part(self) -> None:
        self.part.unlink(missing_ok=True)
        self.memo.unlink(missing_ok=True)


def fetch(
    urls: str | Sequence[str],
    dest: str | Path,
    *,
    sha256: str | None,
    size: int | None = None,
    progress: bool = True,
    retries: int = 4,
    timeout: float = 20.0,
    backoff: float = 1.0,
    say: Say = print,
) -> Path:
    """Fetch one file, whole and checked, or leave nothing under its name.

    Addresses are tried in turn. A stall, a cut connection and a 5xx answer are tried again, with growing pauses;
    404 and the like go straight to the next address. An interrupted fetch goes on from its `.part` file when the
    server allows it and its content has not changed. A second process waits and then finds the file.

    Args:
        urls: one address, or the official one and its mirrors.
        dest: path of the file to make. A file that is already there with the right sum is kept.
        sha256: expected sum in hexadecimal. None: the sum of the first fetch is written to
            `DEST.sha256` and every later one is held to it.
        size: expected size in bytes, if known; another size is refused before it is fetched.
        progress: show a progress bar on stderr.
        retries: tries in a row without one new byte, per address, before giving it up.
        timeout: seconds without an answer or a byte that count as a stall.
        backoff: seconds before the first new try; doubled each time, at most 30.
        say: where messages go.

    Returns:
        `dest` as a path.

    Raises:
        DownloadError: no address gave the file, or the disk is full. The message says what to do next.
        ChecksumError: every address gave another file than the expected one.

    Taught in chapter 4.
    """
    dest = Path(dest)
    addresses = [urls] if isinstance(urls, str) else list(urls)
    if not addresses:
        raise ValueError(f"no address to fetch {dest.name} from; give at least one in `urls`.")
    _make_folder(dest.parent)
    with _only_one(dest, say):
        expected = _expected_sum(dest, sha256)
        if _already_there(dest, expected, say):
            return dest
        order = _Order(dest, expected, size, progress, max(retries, 1), timeout, backoff, say)
        try:
            _fetch_from_any(addresses, order)
        except KeyboardInterrupt:
            say(
                f"Stopped. {order.have():,} bytes of {dest.name} are kept in {order.part}; "
                "run the same command again and it goes on from there."
            )
            raise
        if sha256 is None and expected is None:
            _note_first_sum(dest, say)
    return dest


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(
            f"cannot make the folder {folder} ({error.strerror}). Choose one that you may write to "
            "with --root, or set CLSLAB_DATA to it."
        ) from error


def _already_there(dest: Path, expected: str | None, say: Say) -> bool:
    """Keep a good file; move a wrong one aside, because someone may have put it there by hand."""
    if not dest.exists():
        return False
    if expected is None:
        # Put there by hand, and no public sum to hold it to: trusted now, checked ever after.
        _note_first_sum(dest, say)
        return True
    actual = sha256_of(dest)
    if actual == expected:
        return True
    aside = _beside(dest, ".bad")
    dest.replace(aside)
    say(f"{dest.name} has sha256 {actual}, expected {expected}: moved to {aside.name}; fetching it again.")
    return False


def _note_first_sum(dest: Path, say: Say) -> None:
    actual = sha256_of(dest)
    _beside(dest, ".sha256").write_text(f"{actual}  {dest.name}\n", encoding="ascii")
    say(
        f"No public check sum of {dest.name} is known. Its sha256 is {actual}; it is written beside "
        "the file, and later fetches are held to it."
    )


def _fetch_from_any(addresses: Sequence[str], order: _Order) -> None:
    """Try each address until one gives the right file; else raise what is most useful to know."""
    failures: list[str] = []
    wrong_sum: ChecksumError | None = None
    for url in addresses:
        try:
            _fetch_from_one(url, order)
            return
        except _NextMirrorError as error:
            failures.append(f"  {url}: {error}")
        except ChecksumError as error:
            wrong_sum = error
            failures.append(f"  {url}: {error}")
        if len(addresses) > len(failures):
            order.say(f"{url} did not work ({failures[-1].split(': ', 1)[1]}); trying the next mirror.")
    listing = "\n".join(failures)
    if wrong_sum is not None:
        raise ChecksumError(
            f"{order.dest.name} is not the expected file, and was deleted:\n{listing}\nThe file may have "
            "been changed by its makers, or by a proxy or log-in page on the way. Try another network; "
            f"if it stays so, tell the course. {_by_hand(order)}"
        ) from wrong_sum
    raise DownloadError(f"could not fetch {order.dest.name}:\n{listing}\n{_by_hand(order)}")


def _by_hand(order: _Order) -> str:
    return (
        f"By hand: open an address in a browser, save the file as {order.dest}, and run the same command "
        "again. Or set CLSLAB_DATA to a folder that holds the unpacked set. Without it everything "
        "still runs, on a drawn stand-in."
    )


def _fetch_from_one(url: str, order: _Order) -> None:
    """Fetch from one address, with new tries as long as bytes come, and put the file in its place."""
    fruitless, furthest, resumed, restarted = 0, order.have(), order.have() > 0, False
    while True:
        try:
            _receive(url, order)
            _check_part(order)
            order.part.replace(order.dest)
            order.memo.unlink(missing_ok=True)
            return
        except ChecksumError:
            order.drop_part()
            if restarted or not resumed:
                raise
            # An old part may belong to another version of the file: once more from the first byte.
            order.say(f"The resumed {order.dest.name} has the wrong sum; fetching all of it again.")
            restarted, furthest = True, 0
        except _RetryError as error:
            if order.have() > furthest:
                fruitless, furthest, resumed = 0, order.have(), True
            fruitless += 1
            if fruitless >= order.retries:
                raise _NextMirrorError(f"{error} ({order.retries} tries)") from error
            wait = min(order.backoff * 2 ** (fruitless - 1), 30.0)
            wait = wait if error.wait is None else min(max(error.wait, wait), 60.0)
            order.say(f"{error}; trying again in {wait:.0f} s, {order.have():,} bytes are kept.")
            time.sleep(wait)


def _check_part(order: _Order) -> None:
    if order.expected is None:
        return
    actual = sha256_of(order.part)
    if actual != order.expected:
        raise ChecksumError(f"its sha256 is {actual}, expected {order.expected}")


def _receive(url: str, order: _Order) -> None:
    """One request: append to the part, or start it anew when the server says so."""
    headers = _range_headers(url, order)
    try:
        with requests.get(url, headers=headers, stream=True, timeout=order.timeout) as answer:
            total = _accept(answer, order, asked="Range" in headers)
            if answer.status_code == 416:
                return  # the part is whole already
            _remember(url, answer, order)
            _store(answer, order, total)
    except requests.RequestException as error:
        raise _translate(error) from error
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DownloadError(
                f"the disk is full: {order.have():,} bytes of {order.dest.name} are in {order.part}. "
                "Free some space and run the same command again (it goes on from there), or choose "
                "another disk with --root or CLSLAB_DATA."
            ) from error
        raise
    if total is not None and order.have() < total:
        raise _RetryError(f"the connection ended after {order.have():,} of {total:,} bytes")


def _range_headers(url: str, order: _Order) -> dict[str, str]:
    """Ask for the rest of a part only where the result can be trusted.

    With a known sum any server may continue the part, since the sum is checked at the end. Without
    one, the server must confirm by ETag or date that it still has the same content.
    """
    # No compression on the way: Range counts the bytes as sent, the sum those of the file.
    headers = {"Accept-Encoding": "identity", "User-Agent": "clslab"}
    if not order.have():
        return headers
    memo = _read_memo(order.memo)
    validator = memo.get("validator") if memo.get("url") == url else None
    if validator:
        headers["If-Range"] = validator
    elif order.expected is None:
        order.drop_part()
        return headers
    headers["Range"] = f"bytes={order.have()}-"
    return headers


def _read_memo(memo: Path) -> dict[str, str]:
    if not memo.exists():
        return {}
    try:
        content = json.loads(memo.read_text(encoding="utf-8"))
    except ValueError:
        return {}  # cut off while it was written: then the part is not trusted either
    return content if isinstance(content, dict) else {}


def _remember(url: str, answer: requests.Response, order: _Order) -> None:
    etag = answer.headers.get("ETag", "")
    # A weak ETag does not promise equal bytes, and If-Range must not use it (RFC 9110).
    strong = etag if etag and not etag.startswith("W/") else ""
    validator = strong or answer.headers.get("Last-Modified", "")
    order.memo.write_text(json.dumps({"url": url, "validator": validator}), encoding="utf-8")


def _accept(answer: requests.Response, order: _Order, *, asked: bool) -> int | None:
    """Judge status and headers; returns the size of the whole file where the server tells it."""
    code = answer.status_code
    if code == 416 and asked:
        total = _number(answer.headers.get("Content-Range", "").rpartition("/")[2])
        if total is not None and total == order.have():
            return total
        order.drop_part()
        raise _RetryError("the server has less than was fetched before, starting again")
    if code in (408, 425, 429) or code >= 500:
        raise _RetryError(f"the server answered {code}", _number(answer.headers.get("Retry-After", "")))
    if code not in (200, 206):
        raise _NextMirrorError(f"the server answered {code} {answer.reason or ''}".rstrip())
    if code == 206:
        first, _, total_text = answer.headers.get("Content-Range", "").partition("/")
        if _number(first.removeprefix("bytes ").partition("-")[0]) != order.have():
            order.drop_part()
            raise _RetryError("the server sent another range than it was asked for")
        total = _number(total_text)
    else:
        order.drop_part()
        total = _number(answer.headers.get("Content-Length", ""))
    if total is not None and order.size is not None and total != order.size:
        order.drop_part()
        raise _NextMirrorError(
            f"it offers {total:,} bytes where {order.size:,} are expected: another file, or a log-in page"
        )
    return total


def _number(text: str) -> int | None:
    return int(text) if text.strip().isdigit() else None


def _store(answer: requests.Response, order: _Order, total: int | None) -> None:
    start = order.have()
    missing = (total or 0) - start
    free = shutil.disk_usage(order.dest.parent).free
    if missing > free:
        raise OSError(errno.ENOSPC, f"{missing:,} bytes to come, {free:,} free")
    bar = tqdm(
        total=total, initial=start, unit="B", unit_scale=True, desc=order.dest.name,
        disable=not order.progress,
    )  # fmt: skip
    with bar, order.part.open("ab") as stream:
        for chunk in answer.iter_content(CHUNK):
            stream.write(chunk)
            bar.update(len(chunk))


def _translate(error: requests.RequestException) -> Exception:
    """Put a network error into words that a student can act on."""
    text = str(error)
    if isinstance(error, requests.exceptions.ProxyError):
        return _NextMirrorError(
            "the proxy refused or did not answer. Ask for its address and set HTTPS_PROXY, or unset it if "
            f"you need none (now: {os.environ.get('HTTPS_PROXY') or os.environ.get('https_proxy') or 'not set'})"
        )
    if isinstance(error, requests.exceptions.SSLError):
        return _NextMirrorError(
            "its certificate was not accepted. Check the clock of this machine; on a company network set "
            "REQUESTS_CA_BUNDLE to its certificate file. The check is never switched off here"
        )
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
        return _NextMirrorError("this is no valid address")
    if isinstance(error, requests.exceptions.TooManyRedirects):
        return _NextMirrorError("it sends from one address to the next without end")
    if "NameResolution" in text or "getaddrinfo" in text:
        return _NextMirrorError("its name was not found: is this machine connected to a network?")
    if isinstance(error, requests.Timeout) or "timed out" in text:
        return _RetryError("the server stalled")
    if isinstance(error, requests.ConnectionError | requests.exceptions.ChunkedEncodingError):
        return _RetryError("the connection was cut or refused")
    return _NextMirrorError(text)


# ------------------------------------------------------------------------------------------ extract


def extract(
    archive: str | Path,
    dest: str | Path,
    *,
    only: Callable[[str], bool] | None = None,
    limit: int = LARGEST_EXTRACTED,
) -> list[Path]:
    """Unpack a zip or tar archive into a new folder, and never anywhere else.

    Every name is judged before the first byte is written: absolute paths, `..`, links that leave the
    folder and device files are refused, and so is an archive that declares more than `limit` bytes.
    The files go to a temporary folder beside `dest`, which is renamed at the end.

    Args:
        archive: a .zip, .tar, .tar.gz (.bz2, .xz) file, told by its content.
        dest: folder to make; it must not exist, or be empty.
        only: takes a member's name and says whether it is wanted (default: all are). Unwanted
            members are judged too.
        limit: bytes that the wanted members may declare in all.

    Returns:
        The files made, sorted.

    Raises:
        FileNotFoundError: there is no such archive.
        ArchiveError: it is broken, no archive, or unsafe; or `dest` holds something already.

    Taught in chapter 4.
    """
    archive, dest = Path(archive), Path(dest)
    if not archive.is_file():
        raise FileNotFoundError(f"there is no archive {archive}; fetch it first.")
    if dest.exists() and (not dest.is_dir() or any(dest.iterdir())):
        raise ArchiveError(f"{dest} exists and is not empty; delete it or name another folder.")
    dest.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{dest.name}.unpacking-", dir=dest.parent))
    try:
        _unpack(archive, staging, only or (lambda _: True), limit)
        _publish(staging, dest)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return sorted(path for path in dest.rglob("*") if path.is_file())


def _publish(staging: Path, dest: Path) -> None:
    """Give a finished folder its name. mkdtemp made it private; a shared data folder should not be."""
    staging.chmod(0o755)
    if dest.exists():
        dest.rmdir()
    staging.rename(dest)


def _unpack(archive: Path, folder: Path, only: Callable[[str], bool], limit: int) -> None:
    try:
        if zipfile.is_zipfile(archive):
            _unpack_zip(archive, folder, only, limit)
        elif tarfile.is_tarfile(archive):
            _unpack_tar(archive, folder, only, limit)
        else:
            raise ArchiveError(
                f"{archive.name} is neither zip nor tar. It may be a web page saved under that name: "
                "delete it and fetch it again."
            )
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, zlib.error) as error:
        raise ArchiveError(f"{archive.name} is broken ({error}). Delete it and fetch it again.") from error


def _unpack_zip(archive: Path, folder: Path, only: Callable[[str], bool], limit: int) -> None:
    with zipfile.ZipFile(archive) as bundle:
        members = bundle.infolist()
        for member in members:
            _check_name(archive, member.filename)
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise ArchiveError(
                    f"{archive.name} holds a link or device, {member.filename!r}; no data set needs one. "
                    "Nothing was unpacked."
                )
            if member.flag_bits & 1:
                raise ArchiveError(f"{archive.name} is encrypted; fetch an open copy.")
        wanted = [member for member in members if only(member.filename)]
        _check_size(archive, sum(member.file_size for member in wanted), limit)
        for member in wanted:
            bundle.extract(member, folder)


def _unpack_tar(archive: Path, folder: Path, only: Callable[[str], bool], limit: int) -> None:
    with tarfile.open(archive) as bundle:
        members = bundle.getmembers()
        for member in members:
            _check_name(archive, member.name)
            if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
                raise ArchiveError(f"{archive.name} holds a device or pipe, {member.name!r}. Nothing was unpacked.")
            if member.issym() or member.islnk():
                _check_link(archive, member)
        wanted = [member for member in members if only(member.name)]
        _check_size(archive, sum(member.size for member in wanted), limit)
        # The library's own filter judges once more, links through links included.
        bundle.extractall(folder, wanted, filter="data")


def _check_name(archive: Path, name: str) -> None:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    absolute = bool(parts) and (parts[0] == "/" or (len(parts[0]) > 1 and parts[0][1] == ":"))
    if absolute or ".." in parts or "\0" in name:
        raise ArchiveError(
            f"{archive.name} wants to write outside its folder, to {name!r}. Nothing was unpacked; "
            "do not trust this file."
        )


def _check_link(archive: Path, member: tarfile.TarInfo) -> None:
    target = PurePosixPath(member.linkname)
    # A hard link counts from the top of the archive, a symbolic link from its own folder.
    start = PurePosixPath(member.name).parent if member.issym() else PurePosixPath()
    depth = 0
    for step in (start / target).parts:
        depth += {"..": -1, ".": 0}.get(step, 1)
        if depth < 0:
            break
    if target.is_absolute() or depth < 0:
        raise ArchiveError(
            f"{archive.name} holds the link {member.name!r} to {member.linkname!r}, which leaves the "
            "folder. Nothing was unpacked; do not trust this file."
        )


def _check_size(archive: Path, declared: int, limit: int) -> None:
    if declared > limit:
        raise ArchiveError(
            f"{archive.name} would unpack to {declared:,} bytes, more than the {limit:,} allowed. "
            "If you trust it, raise `limit`."
        )


# --------------------------------------------------------------------------------------- lay out


def fetch_set(
    name: str,
    root: str | Path | None = None,
    *,
    progress: bool = True,
    say: Say = print,
    retries: int = 4,
    timeout: float = 20.0,
) -> Path:
    """Fetch a set and lay it out under the data root, where `clslab.data.load` looks for it.

    Args:
        name: a set of the catalog.
        root: data root; default `$CLSLAB_DATA`, else the user's cache folder.
        progress: show progress bars.
        say: where messages go.
        retries: as in `fetch`.
        timeout: as in `fetch`.

    Returns:
        The folder of the set.

    Raises:
        ValueError: an unknown set, or one that is not fetched (the message says how to get it).
        DownloadError, ChecksumError, ArchiveError: as in `fetch` and `extract`.

    Taught in chapter 4.
    """
    entry = card(name)
    place = data_root(root)
    here = found(name, place)
    if here is not None:
        say(f"{name} is already here: {here}")
        return _package_folder(entry) if here.startswith("package ") else place / entry.folder
    if entry.in_package:
        raise ValueError(f"{name} comes with a package: pip install 'clslab[{name}]' ({entry.licence}).")
    if not entry.available:
        raise ValueError(f"{name} cannot be fetched yet: {entry.unavailable}.")
    if entry.by_query:
        raise ValueError(f"{name} has no archive; say what to fetch: `{entry.by_query}`.")
    if entry.by_hand:
        raise ValueError(f"{name} is nowhere to be fetched: lay it out in {place / entry.folder}, {entry.by_hand}.")
    downloads = place / "downloads"
    _make_folder(downloads)
    with _only_one(downloads / name, say):
        if found(name, place) is None:
            options = {"progress": progress, "retries": retries, "timeout": timeout, "say": say}
            _fetch_and_lay_out(entry, place, say, options)
    return place / entry.folder


def _fetch_and_lay_out(entry: Entry, place: Path, say: Say, options: dict[str, Any]) -> None:
    folder, downloads = place / entry.folder, place / "downloads"
    if folder.exists() and any(folder.iterdir()):
        lacking = ", ".join(m for m in entry.markers if not (folder / m).exists())
        raise ValueError(f"{folder} exists but lacks {lacking}; move it away and run this again.")
    if entry.licence_url is None:
        say(f"Note on the licence of {entry.name}: {entry.licence}.")
    archives = []
    for archive in entry.archives:
        dest, size = downloads / archive.file, archive.size_bytes
        archives.append(fetch(archive.urls, dest, sha256=archive.sha256, size=size, **options))
    with tempfile.TemporaryDirectory(prefix=f".{entry.name}-", dir=place) as scratch:
        staging = Path(scratch) / entry.folder
        staging.mkdir()
        LAYOUTS[entry.name](archives, staging, say)
        _publish(staging, folder)
    say(f"{entry.name} is ready in {folder}. The archives in {downloads} may be deleted.")


def _package_folder(entry: Entry) -> Path:
    return Path(str(files(str(entry.module))))


def _listed(name: str) -> list[dict[str, str]]:
    """The committed list of files of a set: which pictures, with which label, in which split."""
    text = (files("clslab.data") / f"{name}_split.csv").read_text(encoding="utf-8")
    return list(csv.DictReader(text.splitlines()))


def _unpack_listed(archive: Path, folder: Path, wanted: set[str]) -> dict[str, Path]:
    """Unpack the wanted members, told by their last two parts (`Cat/10.jpg`), wherever they lie."""

    def tail(member: str) -> str:
        return "/".join(PurePosixPath(member).parts[-2:])

    def is_wanted(member: str) -> bool:
        # Archives made on a Mac hold a shadow of every file under __MACOSX.
        return tail(member) in wanted and "__MACOSX" not in member

    paths = {tail(path.as_posix()): path for path in extract(archive, folder, only=is_wanted)}
    missing = sorted(wanted - paths.keys())
    if missing:
        raise ArchiveError(
            f"{archive.name} lacks {len(missing)} of the {len(wanted)} listed pictures, "
            f"the first being {missing[0]}. Is it the archive that the data sheet names?"
        )
    return paths


def _resave(source: Path, target: Path, size: Callable[[int, int], tuple[int, int]]) -> None:
    """Scale one picture and save it as JPEG of quality 90."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        with Image.open(source) as picture:
            scaled = picture.convert("RGB").resize(size(*picture.size), Image.Resampling.LANCZOS)
    except OSError as error:
        raise ArchiveError(f"{source.name} in the archive is no readable picture ({error}).") from error
    scaled.save(target, quality=90)


def _lay_out_debris(archives: list[Path], folder: Path, say: Say) -> None:
    """TrashNet's listed pictures at 299×224, in train, val and test by plastic and other."""
    rows = _listed("debris")
    members = {row["file"]: f"{row['material']}/{Path(row['file']).name}" for row in rows}
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        paths = _unpack_listed(archives[0], Path(scratch) / "raw", set(members.values()))
        for file, member in members.items():
            _resave(paths[member], folder / file, lambda _w, _h: (299, 224))
    (folder / "labels.csv").write_bytes((files("clslab.data") / "debris_split.csv").read_bytes())
    say(f"debris: {len(rows):,} pictures at 299×224; the split is the one that the book uses.")


def _short_side_224(width: int, height: int) -> tuple[int, int]:
    """Short side to 224 pixels, never enlarged.

    >>> _short_side_224(500, 375), _short_side_224(175, 144)
    ((299, 224), (175, 144))
    """
    scale = min(1.0, 224 / min(width, height))
    return round(width * scale), round(height * scale)


def _lay_out_catsdogs(archives: list[Path], folder: Path, say: Say) -> None:
    """The listed photographs, short side 224, in train and val by cat and dog.

    `cat.10.jpg` of the list is taken to be `PetImages/Cat/10.jpg` of the archive. That is an
    assumption: it is tested here by the size that each picture has in the recorded copy.
    """
    rows = _listed("catsdogs")
    differing = 0
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        members = {row["file"]: _petimages_name(row["file"]) for row in rows}
        paths = _unpack_listed(archives[0], Path(scratch) / "raw", set(members.values()))
        for row in rows:
            target = folder / row["file"]
            _resave(paths[members[row["file"]]], target, _short_side_224)
            with Image.open(target) as made:
                off = abs(made.width - int(row["width"])), abs(made.height - int(row["height"]))
            differing += max(off) > 1
    if differing:
        say(
            f"catsdogs: {differing:,} of {len(rows):,} pictures have another size than in our copy, so "
            "their numbers do not mean the same photographs. The labels hold, but expect other results."
        )
    else:
        say(f"catsdogs: all {len(rows):,} pictures have the size they have in our copy.")


def _petimages_name(file: str) -> str:
    """Name in Microsoft's archive of a picture named as in the competition.

    >>> _petimages_name("train/cat/cat.10.jpg")
    'Cat/10.jpg'
    """
    label, number, _ = Path(file).name.split(".")
    return f"{label.capitalize()}/{number}.jpg"


def _lay_out_pets(archives: list[Path], folder: Path, say: Say) -> None:
    """The authors' two archives side by side, the layout that torchvision reads."""
    images, annotations = archives
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        extract(images, Path(scratch) / "images", only=lambda member: member.endswith(".jpg"))
        extract(annotations, Path(scratch) / "lists", only=lambda member: member.endswith(".txt"))
        (Path(scratch) / "images" / "images").rename(folder / "images")
        (Path(scratch) / "lists" / "annotations").rename(folder / "annotations")
    listed = [
        line.split()[0]
        for split in ("trainval", "test")
        for line in (folder / "annotations" / f"{split}.txt").read_text().splitlines()
    ]
    missing = [name for name in listed if not (folder / "images" / f"{name}.jpg").exists()]
    if missing:
        raise ArchiveError(f"the archive lacks {len(missing)} listed pictures, first {missing[0]}.jpg.")
    say(f"pets: {len(listed):,} listed pictures, all there.")


def _lay_out_cifar100(archives: list[Path], folder: Path, say: Say) -> None:
    """The authors' three files, unchanged. They are pickles, which only `clslab.data.cifar100` opens, with care."""
    names = ("train", "test", "meta")
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        wanted = {f"cifar-100-python/{name}": name for name in names}
        found = extract(archives[0], Path(scratch) / "raw", only=lambda member: member in wanted)
        missing = sorted(set(names) - {path.name for path in found})
        if missing:
            raise ArchiveError(f"{archives[0].name} lacks {', '.join(missing)}. Is it the archive of the data sheet?")
        for path in found:
            path.rename(folder / path.name)
    say("cifar100: train, test and meta are there.")


LAYOUTS: dict[str, Callable[[list[Path], Path, Say], None]] = {
    "debris": _lay_out_debris,
    "catsdogs": _lay_out_catsdogs,
    "pets": _lay_out_pets,
    "cifar100": _lay_out_cifar100,
}
"""How each fetched set is laid out: archives, an empty folder to fill, where messages go."""

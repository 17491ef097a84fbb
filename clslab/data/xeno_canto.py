"""Recordings of your own choice from xeno-canto, cut and laid out as `birds` is.

    xeno-canto.json      what was fetched, as the service described it
    recordings/          the files as they came; they may be deleted, and are then fetched again when needed
    clips/               three-second clips, one channel, 22,050 samples a second
    metadata.csv         the table that `clslab.data.load("birds")` reads, without a split: it is made when it is read
    ATTRIBUTION.txt      who recorded what, under which licence, and what was done to it: keep it with the clips

The service wants a key, which every registered member finds on his account page, in the environment variable
XENO_CANTO_KEY. It asks not to be used for mass downloads: one request is made a second, `Retry-After` is obeyed, and
what is here is not asked for again.

The form of requests and answers (version 3: `query` with tags, `key`, `page`, `per_page`; `numPages` and `recordings`
with `id`, `gen`, `sp`, `en`, `rec`, `lic`, `url`, `file`, `file-name`, `q`, `length`) follows published descriptions
and clients. It is tested against a server on this machine that speaks it. What could not be checked without a network:
that the real server still speaks it, how it words its errors and limits, and that it can go on with half a file.

Taught in chapter 15.
"""

from __future__ import annotations

import csv
import email.utils
import io
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests

from clslab.data.catalog import data_root
from clslab.data.download import DownloadError, Say, fetch

if TYPE_CHECKING:
    from torch import Tensor

API = "https://xeno-canto.org/api/3/recordings"
KEY_VARIABLE = "XENO_CANTO_KEY"

LICENCES = ("by", "by-sa", "by-nc", "by-nc-sa", "zero")
"""Licences that are taken by default. Cutting makes a derivative, which `nd` does not allow to be passed on."""

PAUSE = 1.0
"""Seconds from one request to the next."""

PER_PAGE = 100
LONGEST_WAIT = 120.0
"""Seconds of `Retry-After` that are waited for; a longer one ends the command."""

RATE, SECONDS, PEAK = 22_050, 3.0, 0.9
LEAST_ACTIVITY = 0.5
"""dB above the background below which a clip holds nothing, unless it is the recording's best."""

COLUMNS = (
    "file", "species", "genus", "family", "order", "english_name", "source", "licence", "recordist", "recording_id",
    "url", "start_s", "duration_s", "activity_db",
)  # fmt: skip


@dataclass(frozen=True)
class Recording:
    """What the service says about one recording.

    Attributes:
        number: its catalogue number, without the letters XC.
        genus: first part of the scientific name.
        epithet: second part.
        english: the English name.
        recordist: who made it.
        licence: address of the licence.
        url: page of the recording.
        file: address of the sound, "" where the species is protected and its sounds are withheld.
        suffix: of the sound file, such as ".mp3".
        quality: "A" (best) to "E", or "".
        seconds: length, 0 where it is not known.
    """

    number: str
    genus: str
    epithet: str
    english: str
    recordist: str
    licence: str
    url: str
    file: str
    suffix: str
    quality: str
    seconds: float

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Recording:
        """From one entry of an answer.

        >>> made = Recording.of({"id": "1", "gen": "Passer", "sp": "domesticus", "length": "1:30", "file-name": "a.WAV",
        ...                      "lic": "//creativecommons.org/licenses/by-nc-sa/4.0/"})
        >>> made.seconds, made.suffix, made.licence_name
        (90.0, '.wav', 'by-nc-sa')
        """
        suffix = Path(str(answer.get("file-name") or "")).suffix.lower()
        return cls(
            number=str(answer.get("id", "")),
            genus=str(answer.get("gen", "")),
            epithet=str(answer.get("sp", "")),
            english=str(answer.get("en") or ""),
            recordist=str(answer.get("rec") or "unknown"),
            licence=_address(answer.get("lic")),
            url=_address(answer.get("url")),
            file=_address(answer.get("file")),
            suffix=suffix if re.fullmatch(r"\.[a-z0-9]{2,4}", suffix) else ".mp3",
            quality=str(answer.get("q") or ""),
            seconds=_seconds(str(answer.get("length") or "")),
        )

    @property
    def species(self) -> str:
        """The scientific name."""
        return f"{self.genus} {self.epithet}"

    @property
    def licence_name(self) -> str:
        """The licence in short, such as "by-nc-sa" or "zero", or "unknown"."""
        found = re.search(r"creativecommons\.org/(?:licenses|publicdomain)/([a-z-]+)", self.licence)
        return found.group(1) if found else "unknown"


def _address(value: Any) -> str:
    """An address with its protocol, which the service leaves out at times."""
    text = str(value or "")
    return f"https:{text}" if text.startswith("//") else text


def _seconds(length: str) -> float:
    """Seconds from "1:02" or "1:00:02"; 0 where it is neither."""
    parts = length.split(":")
    if not all(part.isdigit() for part in parts):
        return 0.0
    return float(sum(int(part) * 60**place for place, part in enumerate(reversed(parts))))


# ---------------------------------------------------------------- asking


class Client:
    """Asks the service, politely.

    Args:
        key: of a member.
        api: address to ask.
        pause: seconds from one request to the next, downloads included.
        retries: tries of a request that the server refuses for the moment.
        timeout: seconds without an answer that count as a stall.
        say: takes lines about waiting.
    """

    def __init__(
        self,
        key: str,
        *,
        api: str | None = None,
        pause: float = PAUSE,
        retries: int = 4,
        timeout: float = 20.0,
        say: Say = print,
    ) -> None:
        self._key, self._api = key, api or API
        self._pause, self._retries, self._timeout, self._say = pause, retries, timeout, say
        self._last = float("-inf")

    def keep_pace(self) -> None:
        """Wait until the next request may be made."""
        wait = self._last + self._pause - time.monotonic()
        if wait > 0:
            time.sleep(wait)
        self._last = time.monotonic()

    def search(self, species: str, *, quality: str = "") -> Iterator[Recording]:
        """All recordings of a species, page after page, in the service's order.

        Args:
            species: scientific name of two words.
            quality: only recordings of this quality, "A" to "E"; "" for all.

        Raises:
            ValueError: if the name is not two words, or the key is refused.
            DownloadError: if the service does not answer, or not in the form that is known.
        """
        words = species.split()
        if len(words) != 2:
            raise ValueError(f"species {species!r}; give the scientific name of two words, such as 'Passer domesticus'")
        genus, epithet = words
        query = f"gen:{genus} sp:{epithet}" + (f" q:{quality}" if quality else "")
        page, pages = 1, 1
        while page <= pages:
            answer = self._ask(query, page)
            try:
                pages = int(answer["numPages"])
                found = [Recording.of(entry) for entry in answer["recordings"]]
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                raise DownloadError(f"xeno-canto answered in an unknown form ({error!r}); {_MANUALLY}") from None
            # A tag may match the beginning of a name: a search for one species can find another.
            yield from (one for one in found if one.species.lower() == f"{genus} {epithet}".lower())
            page += 1

    def _ask(self, query: str, page: int) -> dict[str, Any]:
        for attempt in range(self._retries):
            self.keep_pace()
            # The key is part of the address, and the address part of any error of requests: none is passed on.
            try:
                answer = requests.get(
                    self._api,
                    params={"query": query, "page": str(page), "per_page": str(PER_PAGE), "key": self._key},
                    headers={"User-Agent": "clslab"},
                    timeout=self._timeout,
                )
            except requests.Timeout:
                reason, wait = "the server stalled", 2.0**attempt
            except requests.RequestException as error:
                reason, wait = f"the connection failed ({type(error).__name__})", 2.0**attempt
            else:
                if answer.status_code == 200:
                    return _json(answer)
                reason, wait = _refusal(answer), retry_after(answer.headers.get("Retry-After"), 2.0**attempt)
            if wait > LONGEST_WAIT:
                raise DownloadError(f"xeno-canto: {reason}, and asks to come back in {wait:.0f} s; try again then")
            if attempt + 1 < self._retries:
                self._say(f"xeno-canto: {reason}; trying again in {wait:.0f} s")
                time.sleep(wait)
        raise DownloadError(f"xeno-canto: {reason} ({self._retries} tries); {_MANUALLY}")


_MANUALLY = (
    "try again later, or fetch recordings in a browser and write the metadata.csv yourself (clslab.data.sound_table "
    "says what it holds)"
)


def _json(answer: requests.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        raise DownloadError(f"xeno-canto answered with something else than JSON; {_MANUALLY}") from None
    if not isinstance(content, dict):
        raise DownloadError(f"xeno-canto answered in an unknown form (a {type(content).__name__}); {_MANUALLY}")
    return content


def _refusal(answer: requests.Response) -> str:
    """Why an answer is no success, if it is worth another try.

    Raises:
        ValueError: if it is not: the key or the query is wrong.
        DownloadError: likewise, for any other reason.
    """
    code = answer.status_code
    if code == 429 or code >= 500:
        return f"the server answered {code}"
    try:
        content = answer.json()
        said = content.get("message") or content["error"]["message"]
    except (AttributeError, KeyError, TypeError, ValueError):
        said = answer.reason
    if code in (401, 403):
        raise ValueError(
            f"xeno-canto refuses the key in {KEY_VARIABLE} ({code}: {said}); copy it again from your account page, "
            "https://xeno-canto.org/account"
        )
    if code == 400:
        raise ValueError(f"xeno-canto does not understand the query (400: {said}); check the name of the species")
    raise DownloadError(f"xeno-canto answered {code} ({said}); {_MANUALLY}")


def retry_after(header: str | None, default: float) -> float:
    """Seconds that a server asks to wait, from a number or a date.

    >>> retry_after("7", 1.0), retry_after(None, 1.0), retry_after("soon", 1.0)
    (7.0, 1.0, 1.0)
    """
    text = (header or "").strip()
    if text.isdigit():
        return float(text)
    try:
        until = email.utils.parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return default
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return max(0.0, (until - datetime.now(tz=UTC)).total_seconds())


# ---------------------------------------------------------------- fetching and cutting


def get(
    species: Sequence[str],
    *,
    root: str | Path | None = None,
    limit: int = 10,
    quality: str = "",
    licences: Sequence[str] = LICENCES,
    clips: int = 4,
    longest: float = 600.0,
    tree: str | Path | None = None,
    client: Client | None = None,
    say: Say = print,
) -> Path:
    """Fetch recordings of some species, cut their liveliest seconds, and write the table.

    A stopped command goes on where it was when it is given again; other species or a larger limit add to what is there.

    Args:
        species: scientific names.
        root: data root; default `$CLSLAB_DATA`, else the user's cache folder.
        limit: recordings per species.
        quality: only recordings of this one, "A" to "E"; "" for all.
        licences: short names of those that are taken; `zero` is the public domain.
        clips: clips per recording, at most.
        longest: recordings longer than these seconds are left out.
        tree: a CSV file with genus, family and order, which the service does not name; those of core are known.
        client: asks the service; default: with the key in XENO_CANTO_KEY.
        say: where messages go.

    Returns:
        The folder of the set.

    Raises:
        ValueError: if there is no key, a name or number is wrong, or the folder holds another set.
        DownloadError: if the service does not answer.

    Taught in chapter 15.
    """
    if not species or limit < 1 or clips < 1:
        raise ValueError(f"species {list(species)}, limit {limit}, clips {clips}; give at least one of each")
    parents = _parents(tree)
    known = _known(folder := data_root(root) / "birds")
    asking = client or Client(_key(), say=say)
    if set(licences) - set(LICENCES):
        say("Licences beyond the usual ones: what forbids derivatives may be cut for yourself, and not be passed on.")
    for name in species:
        taken = 0
        for recording in _wanted(asking.search(name, quality=quality), licences, longest, say):
            if _add(folder, known, parents, recording, clips, asking, say):
                taken += 1
            if taken == limit:
                break
        short = "" if taken == limit else f" of {limit} asked for"
        say(f"{name}: {taken} recording{'' if taken == 1 else 's'}{short}")
    if not known:
        raise DownloadError("nothing was fetched; the lines above say why")
    say(f"The set is in {folder}, with its credits in ATTRIBUTION.txt.")
    return folder


def _key() -> str:
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not key:
        raise ValueError(
            f"xeno-canto wants a key, and {KEY_VARIABLE} is not set. Register at https://xeno-canto.org, find the key "
            f"on https://xeno-canto.org/account, and set {KEY_VARIABLE} to it; keep it out of files that you share"
        )
    return key


def _known(folder: Path) -> dict[str, Any]:
    """What was fetched before, by number.

    Raises:
        ValueError: if the folder holds a set that was not fetched by this module.
    """
    state = folder / "xeno-canto.json"
    if state.exists():
        return dict(json.loads(state.read_text(encoding="utf-8")))
    if (folder / "metadata.csv").exists():
        raise ValueError(
            f"{folder} holds a set that was not fetched with this command, and is left alone; name another place with "
            "--root"
        )
    return {}


def _parents(tree: str | Path | None) -> dict[str, tuple[str, str]]:
    """Family and order of each genus that is known."""
    from clslab.data.birds import CORE, TENTH_GENUS

    parents = {genus: (family, "Passeriformes") for family, genus, _ in CORE}
    parents[TENTH_GENUS] = ("Vireonidae", "Passeriformes")
    if tree is None:
        return parents
    with Path(tree).open(encoding="utf-8-sig", newline="") as stream:
        reader = csv.DictReader(stream)
        missing = [name for name in ("genus", "family", "order") if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{tree} has no column {', '.join(missing)}; it needs genus, family and order")
        return parents | {line["genus"].strip(): (line["family"].strip(), line["order"].strip()) for line in reader}


def _wanted(found: Iterator[Recording], licences: Sequence[str], longest: float, say: Say) -> Iterator[Recording]:
    """The recordings that may and can be used, with a line about each of the others."""
    for recording in found:
        name = f"XC{recording.number} ({recording.species}, {recording.recordist})"
        if recording.licence_name not in licences:
            say(f"left out: {name}: its licence is {recording.licence_name}")
        elif not recording.file:
            say(f"left out: {name}: its sound is withheld, as of protected species")
        elif recording.seconds > longest:
            say(f"left out: {name}: {recording.seconds:.0f} s long")
        elif not recording.number.isdigit():
            say(f"left out: {name}: its number is none")
        else:
            yield recording


def _have(folder: Path, known: dict[str, Any], recording: Recording, clips: int) -> bool:
    """Whether a recording was cut before in the same way, and its clips are all there."""
    before = known.get(recording.number)
    if before is None or before["clips"] != clips:
        return False
    return all((folder / row["file"]).is_file() for row in before["rows"])


def _add(
    folder: Path,
    known: dict[str, Any],
    parents: dict[str, tuple[str, str]],
    recording: Recording,
    clips: int,
    client: Client,
    say: Say,
) -> bool:
    """Take a recording into the set, unless it is there already; False where that fails."""
    if _have(folder, known, recording, clips):
        return True
    rows = _fetch_and_cut(folder, recording, clips, client, say)
    if rows is None:
        return False
    known[recording.number] = {"recording": asdict(recording), "clips": clips, "rows": rows}
    _write_all(folder, known, parents)
    return True


def _fetch_and_cut(
    folder: Path, recording: Recording, clips: int, client: Client, say: Say
) -> list[dict[str, str]] | None:
    """The rows of a recording, or None where its file cannot be had or used, which is said."""
    from clslab.audio import BadSoundError
    from clslab.data.download import ChecksumError

    source = folder / "recordings" / f"XC{recording.number}{recording.suffix}"
    client.keep_pace()
    try:
        fetch(recording.file, source, sha256=None, progress=False, say=_without_sums(say))
        return cut(recording, source, folder, clips=clips)
    except DownloadError as error:
        # The second line on says what to do about a whole set; here the next recording will do.
        say(f"left out: XC{recording.number}: {' '.join(str(error).splitlines()[:2])}")
    except ChecksumError:
        note = source.with_name(f"{source.name}.sha256")
        say(f"left out: XC{recording.number}: it is another file than before; delete {note} to take the new one")
    except BadSoundError as error:
        # Without its sum: where the file is deleted, whatever comes the next time is taken.
        source.with_name(f"{source.name}.sha256").unlink(missing_ok=True)
        say(f"left out: XC{recording.number}: it {error.reason}; delete {source} to fetch it anew")
    return None


def _without_sums(say: Say) -> Callable[[str], None]:
    """Messages of a fetch but for one that every recording would cause: no sums of recordings are published."""

    def pass_on(line: str) -> None:
        if not line.startswith("No public check sum"):
            say(line)

    return pass_on


def cut(recording: Recording, source: Path, folder: Path, *, clips: int) -> list[dict[str, str]]:
    """Write the liveliest seconds of a recording as clips, and return their rows of the table.

    Args:
        recording: what is known of it.
        source: its file.
        folder: of the set; clips go to `folder/clips`.
        clips: how many at most.

    Raises:
        BadSoundError: if the file cannot be used.

    Taught in chapter 15.
    """
    from clslab import audio

    waveform, _ = audio.read(source, rate=RATE)
    windows = audio.liveliest(waveform, rate=RATE, seconds=SECONDS, count=clips)
    kept = [windows[0], *(window for window in windows[1:] if window.activity_db >= LEAST_ACTIVITY)]
    rows = []
    for number, window in enumerate(sorted(kept)):
        piece = waveform[window.start : window.start + round(SECONDS * RATE)]
        name = f"{recording.genus}_{recording.epithet}_XC{recording.number}_{number}.ogg".lower().replace("xc", "XC")
        _write_clip(folder / "clips" / name, piece)
        rows.append(
            {
                "file": f"clips/{name}",
                "species": recording.species,
                "genus": recording.genus,
                "english_name": recording.english,
                "source": "xeno-canto",
                "licence": recording.licence,
                "recordist": recording.recordist,
                "recording_id": f"XC{recording.number}",
                "url": recording.url,
                "start_s": f"{window.start / RATE:.2f}",
                "duration_s": f"{len(piece) / RATE:.2f}",
                "activity_db": f"{window.activity_db:.2f}",
            }
        )
    return rows


def _write_clip(path: Path, piece: Tensor) -> None:
    import soundfile

    path.parent.mkdir(parents=True, exist_ok=True)
    loudest = float(piece.abs().max())
    samples = (piece * (PEAK / loudest if loudest > 0 else 1)).numpy()
    part = path.with_suffix(".part")
    soundfile.write(part, samples, RATE, format="OGG", subtype="VORBIS")
    part.replace(path)


# ---------------------------------------------------------------- writing down


def _write_all(folder: Path, known: dict[str, Any], parents: dict[str, tuple[str, str]]) -> None:
    """State, table and credits, each in one step, after every recording: a stop leaves a set that can be used."""
    _replace(folder / "xeno-canto.json", json.dumps(known, indent=1, ensure_ascii=False) + "\n")
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for entry in known.values():
        for row in entry["rows"]:
            family, order = parents.get(row["genus"], ("", ""))
            writer.writerow(row | {"family": family, "order": order})
    _replace(folder / "metadata.csv", table.getvalue())
    _replace(folder / "ATTRIBUTION.txt", _credits([Recording(**entry["recording"]) for entry in known.values()]))


def _credits(recordings: list[Recording]) -> str:
    lines = [
        "Recordings from xeno-canto, https://xeno-canto.org. Each was averaged to one channel, brought to 22,050",
        "samples a second, cut to clips of up to three seconds, brought to one loudness and saved as Ogg Vorbis. Keep",
        "this list with the clips, and share them only under the licence of each.",
        "",
    ]
    for one in recordings:
        english = f" ({one.english})" if one.english else ""
        lines.append(f"XC{one.number}, {one.species}{english}, recorded by {one.recordist}, {one.licence}, {one.url}")
    return "\n".join(lines) + "\n"


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)

"""The data sets of the course: what each one is, where it is found, whose it is, what is wrong with it.

One entry per set. The page of data sheets in the book is written from these entries, the download
reads its addresses and check sums here, and `load` shows the licence. No torch, no network.

Taught in chapters 1 and 4.

>>> card("debris").classes
('other', 'plastic')
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path

import platformdirs


@dataclass(frozen=True)
class Archive:
    """One file to fetch.

    Attributes:
        file: name it is kept under.
        urls: the official address first, then mirrors, tried in this order.
        sha256: expected sum in hexadecimal, or None where no public one was found. With None the sum
            of the first fetch is written beside the file and checked ever after.
        size_bytes: expected size, or None.
        sum_source: who published that sum, so that a reader can look it up.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str | None
    size_bytes: int | None
    sum_source: str


@dataclass(frozen=True)
class Entry:
    """The data sheet of one set.

    The fields from `made` to `on_page` are plain sentences, printed as they are in the book.

    Attributes:
        name: the name that `clslab.data.load` takes.
        title: name for people.
        task: what is to be predicted.
        classes: class names in the order of their numbers (empty where they are too many for a sheet,
            or a variant decides).
        kind: "photographs", "greyscale photographs", "sounds".
        counts: how many items, in words.
        homepage: the official place, or "" for pictures of one's own.
        licence: name of the licence, or what is known of it.
        licence_url: where it is written, or None.
        citation_key: key in the book's bibliography, or "" likewise.
        citation: the reference in one line.
        made: how the data were made.
        people: who or what appears in them, and who owns them.
        provenance: the way from the makers to this course.
        warts: known faults.
        how_split: how train, validation and test were cut.
        groups: what is kept on one side of a split.
        on_page: what a page of the published book may show.
        folder: folder under the data root.
        archives: files to fetch; empty where a package ships the data.
        notes: what a reader of the code should know besides.
        in_package: name on the package index of the package that ships the set, or None.
        module: its import name.
        notice: a line that must be shown whenever the data are used, or "".
        unavailable: why `load` does not read this set in this version, or None.
        markers: what lies in the folder of a complete set; the set counts as found when all do.
        by_query: how items are fetched of one's own choice where no archive is published, or "".
        by_hand: how a set is laid out that nobody but its owner has, or "".
    """

    name: str
    title: str
    task: str
    classes: tuple[str, ...]
    kind: str
    counts: str
    homepage: str
    licence: str
    licence_url: str | None
    citation_key: str
    citation: str
    made: str
    people: str
    provenance: str
    warts: tuple[str, ...]
    how_split: str
    groups: str
    on_page: str
    folder: str
    archives: tuple[Archive, ...] = ()
    notes: str = ""
    in_package: str | None = None
    module: str | None = None
    notice: str = ""
    unavailable: str | None = None
    markers: tuple[str, ...] = ()
    by_query: str = ""
    by_hand: str = ""

    @property
    def available(self) -> bool:
        """Whether `clslab.data.load` reads this set in this version."""
        return self.unavailable is None

    @property
    def short_licence(self) -> str:
        """The licence for a table, without its explanation.

        >>> card("debris").short_licence
        'MIT'
        """
        return re.split("[:;,]| for ", self.licence)[0]

    @property
    def urls(self) -> tuple[str, ...]:
        """Addresses of the first archive, the official one first."""
        return self.archives[0].urls if self.archives else ()

    @property
    def sha256(self) -> str | None:
        """Sum of the first archive, or None."""
        return self.archives[0].sha256 if self.archives else None

    @property
    def size_bytes(self) -> int | None:
        """Bytes to fetch in all, or None where that is not known."""
        sizes = [archive.size_bytes for archive in self.archives]
        known = [size for size in sizes if size is not None]
        return sum(known) if known and len(known) == len(sizes) else None


_DEBRIS = Entry(
    name="debris",
    title="Debris: plastic or another material (TrashNet)",
    task="plastic or other; the five materials are a second label",
    classes=("other", "plastic"),
    kind="photographs",
    counts="1,440 of TrashNet's 2,527 photographs: 480 plastic and 240 each of glass, metal, paper and "
    "cardboard (train 952, validation 244, test 244)",
    homepage="https://github.com/garythung/trashnet",
    licence="MIT, copyright 2017 Gary Thung",
    licence_url="https://github.com/garythung/trashnet/blob/master/LICENSE",
    citation_key="thung2016trashnet",
    citation="Gary Thung and Mindy Yang. Classification of Trash for Recyclability Status. "
    "Stanford CS229 project report, 2016.",
    made="Two students put one object at a time on a white board and photographed it with three models "
    "of telephone, in sunlight or room light. The pictures were scaled to 512×384 by their makers; "
    "we scale them to 299×224.",
    people="Objects only. Brand names are readable on some of them. The photographs belong to the two "
    "makers, who published them under the MIT licence.",
    provenance="From the makers' own archive. The recorded numbers of the book were measured on another "
    "public copy of the same photographs, which had been scaled once more on its way, so pixel values "
    "differ slightly from what `data get debris` makes.",
    warts=(
        "The same object was often photographed several times on the same board, and nothing says "
        "which pictures belong together: test scores are optimistic.",
        "Light and board differ between the classes. Six numbers (mean and spread of red, green, blue) "
        "already reach 0.80 on validation and 0.76 on test, where the larger class alone gives 0.66.",
        "Three pairs of pixel-identical pictures carry two different labels (metal91 and glass115, "
        "plastic332 and glass389, plastic152 and glass176); all six are left out.",
        "The class trash is left out: it holds plastic film, so plastic or not is undefined for it.",
        "Clear plastic and glass are hard to tell apart, for people too.",
    ),
    how_split="Fixed, in the file debris_split.csv of the package: blocks of 12 consecutive file numbers "
    "of a material go to one split, and near-duplicates (difference hash, 27 pairs) stay together. "
    "Materials are equally frequent within other in all three splits.",
    groups="Blocks of 12 consecutive file numbers of one material, the nearest thing to an object that "
    "the file names allow. The few pictures that were moved to stay with a near-duplicate are groups of "
    "their own.",
    on_page="Some forty thumbnails, credited to Thung and Yang.",
    folder="debris",
    markers=("train", "val", "test", "labels.csv"),
    archives=(
        Archive(
            file="dataset-resized.zip",
            urls=(
                "https://github.com/garythung/trashnet/raw/master/data/dataset-resized.zip",
                "https://huggingface.co/datasets/garythung/trashnet/resolve/main/dataset-resized.zip",
            ),
            sha256="c060e8abfe5d6de0578ca15be1ed8ad0794a865d333c3473d53d1d9ad6e38b8c",
            size_bytes=42_834_870,
            sum_source="recorded by several independent public projects for the makers' mirror; "
            "the makers publish none",
        ),
    ),
)

_CATSDOGS = Entry(
    name="catsdogs",
    title="Cats and dogs (Asirra, “Dogs vs. Cats”)",
    task="cat or dog",
    classes=("cat", "dog"),
    kind="photographs",
    counts="1,900 of the 25,000 photographs: train 750 + 750, validation 200 + 200; "
    "the test half of the course's own competition is not public",
    homepage="https://www.microsoft.com/en-us/download/details.aspx?id=54765",
    licence="unclear: the archive holds the text of CDLA-Permissive-2.0, the competition's page says "
    "“for fun and research”, and the usual data cards say unknown",
    licence_url=None,
    citation_key="elson2007asirra",
    citation="Jeremy Elson, John Douceur, Jon Howell and Jared Saul. Asirra: A CAPTCHA that Exploits "
    "Interest-Aligned Manual Image Categorization. ACM CCS, 2007.",
    made="Photographs of animals that wait for a home, sorted into cats and dogs by people in animal "
    "shelters of the United States. Petfinder.com gave three million of them to Microsoft Research for a "
    "test that tells people from programs; 25,000 became the Dogs vs. Cats competition of 2013.",
    people="Pets, often with a person's hands, sometimes a face, a home or a date stamp. The photographs "
    "belong to the shelters and private people who took them. They were not asked about this use.",
    provenance="From Microsoft's archive of the competition's training half. The list of the 1,900 pictures "
    "was made from another public copy; that PetImages/Cat/10.jpg there is cat.10.jpg here is an "
    "assumption, which `data get` tests by comparing the shape of every picture.",
    warts=(
        "Wrong labels, logos, drawings, posters and one of each near-duplicate pair were left out of our "
        "selection, as was every picture with a side under 120 pixels. The full set holds them all.",
        "Cages, people, date stamps, collages and writing remain.",
        "A few files of the full archive are empty or broken; none of them is in our list.",
        "Nearly every model has seen cats and dogs in ImageNet: high scores say little about other tasks.",
    ),
    how_split="Fixed, in the file catsdogs_split.csv of the package: a seeded sample, at random within "
    "each class. There is no public test split. The variant `homework` (chapter 6) cuts 300 pictures, 150 of each "
    "class, from the training pictures to choose on, leaves 1,200 to train on, and keeps the 400 of validation "
    "sealed as a test.",
    groups="None known. Several pictures of one animal cannot be recognised from the file names.",
    on_page="None. Pages show the drawn stand-in or pictures of the Oxford-IIIT pets.",
    folder="catsdogs",
    markers=("train", "val"),
    archives=(
        Archive(
            file="kagglecatsanddogs_5340.zip",
            urls=(
                "https://download.microsoft.com/download/3/E/1/"
                "3E1C3F21-ECDB-4869-8368-6DEBA77B919F/kagglecatsanddogs_5340.zip",
            ),
            sha256="b7974bd00a84a99921f36ee4403f089853777b5ae8d151c76a86e64900334af9",
            size_bytes=824_887_076,
            sum_source="dataset_infos.json of cats_vs_dogs in huggingface/datasets; the same sum stands in gomlx",
        ),
    ),
    notes="One address and no mirror was found. The older archive kagglecatsanddogs_3367a.zip is another "
    "file with another sum.",
)

_SOLAR = Entry(
    name="solar",
    title="Solar cells in electroluminescence (ELPV)",
    task="defective or intact; mono- or polycrystalline is a second label",
    classes=("intact", "defective"),
    kind="greyscale photographs",
    counts="2,624 cells of 44 modules, 300×300 pixels, 31 % defective by our reading",
    homepage="https://github.com/zae-bayern/elpv-dataset",
    licence="CC BY-NC-SA 4.0",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    citation_key="buerhop2018benchmark",
    citation="Claudia Buerhop-Lutz and others. A Benchmark for Visual Identification of Defective Solar "
    "Cells in Electroluminescence Imagery. EU PVSEC, 2018. doi:10.4229/35thEUPVSEC20182018-5CV.3.15",
    made="A current makes the cells of a module glow in the infrared; a camera in a dark room sees cracks "
    "and dead regions as shadows. The modules were cut into single cells, with lens and perspective "
    "corrected. Experts gave each cell one of four probabilities of being defective: 0, 1/3, 2/3, 1.",
    people="No people. The pictures belong to the institutes that made them.",
    provenance="From the authors' own package elpv-dataset, which ships the pictures. It is an extra of its "
    "own (`pip install elpv-dataset`) because its licence forbids commercial use.",
    warts=(
        "Cells of one module follow each other in the file numbers, and the module of a cell is not "
        "given: a random split puts neighbours on both sides and looks better than it should.",
        "Two of three cells are intact, so accuracy flatters: use balanced accuracy.",
        "1/3 and 2/3 are one expert's doubt, not a measured frequency. The variant certain keeps only 0 and 1.",
    ),
    how_split="60/20/20 by group, stratified by class. The variant random-split cuts the same pictures at "
    "random, to show the leak.",
    groups="Blocks of 60 consecutive files.",
    on_page="Under the licence: credited, not for commerce, shared alike.",
    folder="solar",
    in_package="elpv-dataset",
    module="elpv_dataset",
    notice="solar: photographs from elpv-dataset (Buerhop-Lutz and others, 2018), CC BY-NC-SA 4.0: "
    "credit the authors, no commercial use, share alike.",
    notes="pip compares the package with the sum that the index gives; the course adds none of its own.",
)

_PETS = Entry(
    name="pets",
    title="Oxford-IIIT Pet",
    task="cat or dog, or the 37 breeds",
    classes=("cat", "dog"),
    kind="photographs",
    counts="7,349 photographs of 37 breeds, about 200 each: 3,680 for training and validation, 3,669 for test",
    homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    licence="CC BY-SA 4.0 for the set as published; the photographs keep their owners",
    licence_url="https://creativecommons.org/licenses/by-sa/4.0/",
    citation_key="parkhi2012cats",
    citation="Omkar Parkhi, Andrea Vedaldi, Andrew Zisserman and C. V. Jawahar. Cats and Dogs. CVPR, 2012.",
    made="Collected from Catster, Dogster, Flickr and an image search, then selected and annotated by the "
    "authors with breed, head box and outline.",
    people="Pets, sometimes with their people. The photographs belong to those who took them.",
    provenance="From the authors' server in Oxford, the archives that torchvision fetches as well.",
    warts=(
        "A handful of files named .jpg hold another format, and some .mat files lie among the pictures.",
        "Several pictures of one animal occur, and nothing says which.",
        "Breeds are in ImageNet too: the backbone has met most of them.",
    ),
    how_split="The authors' trainval and test lists; validation is a seeded, stratified fifth of trainval.",
    groups="None known.",
    on_page="Credited and shared alike, as the licence asks.",
    folder="oxford-iiit-pet",
    markers=("images", "annotations/trainval.txt", "annotations/test.txt"),
    archives=(
        Archive(
            file="images.tar.gz",
            urls=(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz",
                "https://thor.robots.ox.ac.uk/datasets/pets/images.tar.gz",
                "https://thor.robots.ox.ac.uk/~vgg/data/pets/images.tar.gz",
            ),
            sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            size_bytes=791_918_971,
            sum_source="checksums.tsv of oxford_iiit_pet in tensorflow/datasets",
        ),
        Archive(
            file="annotations.tar.gz",
            urls=(
                "https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz",
                "https://thor.robots.ox.ac.uk/datasets/pets/annotations.tar.gz",
                "https://thor.robots.ox.ac.uk/~vgg/data/pets/annotations.tar.gz",
            ),
            sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            size_bytes=19_173_078,
            sum_source="checksums.tsv of oxford_iiit_pet in tensorflow/datasets",
        ),
    ),
)

_CIFAR100 = Entry(
    name="cifar100",
    title="CIFAR-100",
    task="100 fine classes in 20 coarse ones",
    classes=(),
    kind="photographs",
    counts="60,000 pictures of 32×32 pixels: 50,000 for training, 10,000 for test, 600 of each class",
    homepage="https://www.cs.toronto.edu/~kriz/cifar.html",
    licence="never stated by the authors",
    licence_url=None,
    citation_key="krizhevsky2009learning",
    citation="Alex Krizhevsky. Learning Multiple Layers of Features from Tiny Images. "
    "Technical report, University of Toronto, 2009.",
    made="Nouns were sent to image search engines in 2008 and the answers shrunk to 32×32 pixels: the "
    "80 Million Tiny Images. Students were paid to pick out and label the pictures of CIFAR from them.",
    people="Everything that a search engine returns, with five classes of people (baby, boy, girl, man, "
    "woman). Nobody knows the owners, and nobody in a picture was asked.",
    provenance="Tiny Images was withdrawn by its makers in June 2020, after Birhane and Prabhu "
    "(arXiv:2006.16923) found slurs among its categories and offensive pictures; they asked others to "
    "delete their copies. CIFAR's labels were made afresh and its classes are harmless words, but its "
    "pictures come from that collection. It is used here because many published results rest on it.",
    warts=(
        "About a tenth of the test pictures have a near-duplicate in the training set (ciFAIR, arXiv:1902.00423).",
        "Exact duplicates: 14 pairs in the training pictures, 2 in the test pictures, and 10 pictures that lie in "
        "both. In 17 of these 26 pairs one picture has two classes (otter and seal, baby and girl, snake and worm). "
        "`clslab.data.cifar100.duplicates()` lists them. All are left in, as in published results.",
        "At 32×32 pixels some pictures cannot be recognised by people.",
    ),
    how_split="The authors' 10,000 pictures are the test. Of each class of their 50,000, 50 are the validation and 450 "
    "the training pictures, chosen by a hash of the picture: copies in another order give the same split. "
    "The variants long-tail-100 and long-tail-10 thin out the training pictures, from 450 of the first class to 4 "
    "and 45 of the last.",
    groups="None known.",
    on_page="None. Pages show the drawn stand-in.",
    folder="cifar-100-python",
    markers=("train", "test", "meta"),
    archives=(
        Archive(
            file="cifar-100-python.tar.gz",
            urls=("https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",),
            sha256="85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
            size_bytes=169_001_437,
            sum_source="dataset_infos.json of cifar100 in huggingface/datasets; the same sum stands in "
            "Keras and torchvision's prototypes",
        ),
    ),
    notes="One address and no mirror was found. torchvision keeps the md5 of the same archive, "
    "eb9058c3a382ffc7106e4002c42a8d85.",
)

_BIRDS = Entry(
    name="birds",
    title="Bird sounds (xeno-canto)",
    task="species with genus and family (core), genus and family of ten genera (genera), or family and order of all "
    "clips (broad), from three seconds of sound",
    classes=(),
    kind="sounds",
    counts="808 clips of three seconds from 269 recordings: 176 species, 128 genera, 47 families, 19 orders",
    homepage="https://xeno-canto.org",
    licence="per recording: CC BY-NC-SA 3.0 or 4.0, a few CC BY-SA",
    licence_url="https://creativecommons.org/licenses/by-nc-sa/4.0/",
    citation_key="xenocanto",
    citation="Xeno-canto Foundation. xeno-canto: sharing wildlife sounds from around the world. "
    "Names by the IOC World Bird List 13.1 (Gill, Donsker and Rasmussen, 2023).",
    made="Recordists all over the world upload what they hear. Our clips are the most active three "
    "seconds, in mono at 22,050 Hz.",
    people="Birds; now and then a voice in the background. Each recording belongs to its recordist, who "
    "is named for every clip.",
    provenance="Two public projects had cut the recordings before: danielcfurr/phoebe (core) and "
    "isensee-bastian/bird-guess (broad). Recordings that may not be altered were left out, because "
    "cutting alters them, and so were a silent one and one with an ambiguous name.",
    warts=(
        "Small: four test clips for each of the ten species of core.",
        "In core, 15 of 52 pairs of species and recordist occur in more than one split.",
        "Other birds sing in the background, and some clips of broad are faint.",
        "Six entries of one source named the wrong species; the recording's own name is used.",
    ),
    how_split="By recording, never by clip. core: two recordings of each species for test, two for "
    "validation. broad, which holds the clips of core too: 175 recordings for training, 44 for validation and 50 for "
    "test; most families have too few for all three, so that 18 of the 47 have a validation clip and 23 a test clip. "
    "`clslab.data.birds` also divides by recordist, and into folds.",
    groups="The recording.",
    on_page="Credited clips under their own licence, not for commerce.",
    folder="birds",
    markers=("clips", "metadata.csv"),
    notes="No archive of these clips is published, so there is no sum to check. With a key of xeno-canto, "
    "`python -m clslab data get birds --species 'Genus species'` fetches recordings of your own choice, cuts them "
    "and writes the same table: the same form, not this set. A folder of your own sounds with a metadata.csv is read "
    'by `clslab.data.load("birds", root=FOLDER)`.',
    by_query="python -m clslab data get birds --species 'Genus species'",
)

_OWN = Entry(
    name="own",
    title="Pictures of your own",
    task="whatever your folders are named after: two classes or more",
    classes=(),
    kind="photographs",
    counts="as many as you take; below 30 objects of each class every interval will be wide",
    homepage="",
    licence="yours to give",
    licence_url=None,
    citation_key="",
    citation="the data sheet that you write for it",
    made="By you: say with which camera, where, when, and by what rule an object was taken or left.",
    people="Say who is recognisable, whether they agreed, and whose things are shown. A photograph may hold the place "
    "where it was taken: `clslab.data.own.survey` counts the files that do.",
    provenance="It stays on your machine. Records hold the names of the files and what was said of each, no pictures.",
    warts=(
        "Pictures of one class are often taken in one go, at one place and in one light, and then the background says "
        "the class. Chapter 16 has three tests for that.",
        "Pictures of one object are no new samples. Without folders for objects and without a table, every picture "
        "counts as an object of its own, and the line that `load` prints says so.",
        "A picture that is added later changes the split, and with it the fingerprint: what was recorded before is "
        "no longer compared with what comes after.",
    ),
    how_split="60/20/20 by object, stratified by class. The variant `random-split` cuts the same pictures at random, "
    "to show the leak.",
    groups="The object: a folder inside the class folder, or the column `object` of metadata.csv.",
    on_page="What you decide.",
    folder="own",
    by_hand="one folder per class, one folder per object inside it",
    notes="Layout: `own/CLASS/OBJECT/picture.jpg`, or `own/CLASS/picture.jpg` with a table `own/metadata.csv` of the "
    "columns file and object (further columns are kept). Or give the folder itself: "
    '`clslab.data.load("own", root=FOLDER)`.',
)

ENTRIES: dict[str, Entry] = {
    entry.name: entry for entry in (_DEBRIS, _CATSDOGS, _SOLAR, _PETS, _CIFAR100, _BIRDS, _OWN)
}


def card(name: str) -> Entry:
    """The data sheet of one set.

    Args:
        name: one of the keys of `ENTRIES`.

    Returns:
        Its entry.

    Raises:
        ValueError: for a name that is not in the catalog; the message lists the known ones.

    Taught in chapter 4.

    >>> card("solar").licence
    'CC BY-NC-SA 4.0'
    """
    if name in ENTRIES:
        return ENTRIES[name]
    near = get_close_matches(str(name), ENTRIES, n=1)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"no data set is called {name!r}.{hint} Known: {', '.join(ENTRIES)}.")


def data_root(root: str | Path | None = None) -> Path:
    """The folder that holds the data sets.

    Args:
        root: a folder given by hand, which wins.

    Returns:
        `root`, else `$CLSLAB_DATA`, else the user's cache folder. It need not exist.
    """
    chosen = root or os.environ.get("CLSLAB_DATA")
    return Path(chosen).expanduser() if chosen else Path(platformdirs.user_cache_dir("clslab"))


def found(name: str, root: str | Path | None = None) -> str | None:
    """Where a set lies on this machine, before anything is fetched.

    Args:
        name: a set of the catalog.
        root: data root, as for `data_root`.

    Returns:
        The folder as text, "package NAME", or None where only the stand-in is left.
    """
    entry = card(name)
    folder = data_root(root) / entry.folder
    laid_out = bool(entry.markers) or (bool(entry.by_hand) and folder.is_dir())
    if laid_out and all((folder / marker).exists() for marker in entry.markers):
        return str(folder)
    if entry.module and find_spec(entry.module):
        return f"package {entry.in_package}"
    return None

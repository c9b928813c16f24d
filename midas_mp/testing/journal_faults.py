"""Damages journals: ``python -m midas_mp.testing.journal_faults --cuts 2000 --flips 2000``.

Each fault is a number from which all of it is drawn: the journal, whether its writer was killed,
and what is cut off, flipped or overwritten where.  Then the journal is opened as a run would open
it, and goes on.  What it says must be true: it may refuse, or have lost its end, but never hold
anything else than what was written.
"""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final, NamedTuple

import click

from midas_mp.errors import JournalFailed, JournalRefused
from midas_mp.journal.file import JournalFile
from midas_mp.journal.records import DIGEST_BYTES, JobRecord, Record, ResultsRecord, RoundRecord
from midas_mp.testing.chance import Chance
from midas_mp.testing.disk import NAME, SECTOR_BYTES, memory_folder
from midas_mp.wire.framing import Buffer
from midas_mp.wire.messages import Outcome, Status

FAULTS_PER_JOURNAL: Final = 20
"""To write one takes longer than to damage it."""

PAYLOAD_SIZES: Final = (1, 3, 9, 40, 300, 3_000, 9_000)

Batch = list[tuple[Record, list[Buffer]]]


class Specimen(NamedTuple):
    """A journal to damage.

    Attributes:
        folder: holds its files.
        batches: what was written, one commit each.
        written: how many of them.
    """

    folder: Path
    job: JobRecord
    batches: list[Batch]
    written: int


class Found(NamedTuple):
    """What came of one fault.

    Attributes:
        verdict: ``whole``, ``end lost``, ``refused`` or ``refused later``.
        problem: why it is none of these; empty if all is well.
    """

    verdict: str
    problem: str = ""


def make_specimen(folder: Path, seed: int) -> Specimen:
    """A journal of one to three rounds; every other one as a killed run leaves it."""
    rng = Chance(f"journal {seed}")
    job = JobRecord(1, f"job-{seed}.lua", "digest", "luajit", seed, "", ["a"], {"n": "1"}, 1.0)
    batches = [batch for number in range(rng.randint(1, 3)) for batch in _round(rng, number)]
    written = rng.randint(0, len(batches))
    # an earlier run wrote so many: they are in the file, the others in its log
    earlier = rng.randint(0, written)
    place = folder / "writing"
    place.mkdir(parents=True)
    with JournalFile(place / NAME) as file:
        file.create(job)
        _append(file, batches[:earlier])
    with JournalFile(place / NAME) as file:
        _append(file, batches[earlier:written])
        if rng.happens(0.5):
            _copy(place, folder)
    if not (folder / NAME).exists():
        _copy(place, folder)
    shutil.rmtree(place)
    return Specimen(folder, job, batches, written)


def cut(rng: Chance, folder: Path) -> str:
    """Cuts one of the files short; says how."""
    path, place = _place(rng, folder)
    with path.open("r+b") as file:
        file.truncate(place)
    return f"{path.name} cut at {place}"


def flip(rng: Chance, folder: Path) -> str:
    """Flips one bit of one of the files; says which."""
    path, place = _place(rng, folder)
    bit = rng.randrange(8)
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1 << bit]))
    return f"bit {bit} of byte {place} of {path.name} flipped"


def tear(rng: Chance, folder: Path) -> str:
    """Puts something else where one of the disk's sectors was to be written; says what."""
    path, place = _place(rng, folder)
    content = path.read_bytes()
    start = place - place % SECTOR_BYTES
    other = rng.randrange(len(content))
    what, sector = rng.choice(
        [
            ("zeros", bytes(SECTOR_BYTES)),
            ("noise", rng.randbytes(SECTOR_BYTES)),
            (f"what is at {other}", content[other : other + SECTOR_BYTES]),
        ]
    )
    with path.open("r+b") as file:
        file.seek(start)
        file.write(sector[: len(content) - start])
    return f"{what} at {start} of {path.name}"


FAULTS: Final[dict[str, Callable[[Chance, Path], str]]] = {"cut": cut, "flip": flip, "tear": tear}


def try_faults(kind: str, numbers: range) -> dict[int, Found]:
    """Damages the journals of these numbers, and sees what comes of each.

    In memory where there is room for it: a disk would be waited for hundreds of times.
    """
    found: dict[int, Found] = {}
    with memory_folder("midas-journals-") as folder:
        specimen: Specimen | None = None
        for number in numbers:
            seed = number // FAULTS_PER_JOURNAL
            if specimen is None or specimen.job.seed != seed:
                specimen = make_specimen(Path(folder) / str(seed), seed)
            found[number] = _try(specimen, kind, number)
    return found


def judge(path: Path, specimen: Specimen) -> Found:
    """Opens a journal that was damaged, and goes on with it."""
    try:
        file = JournalFile(path)
    except (JournalFailed, JournalRefused):
        return Found("refused")
    with file:
        try:
            kept, problem = _compare(file, specimen, specimen.batches[: specimen.written])
            if problem:
                return Found("wrong", problem)
            if file.summary is None:
                file.create(specimen.job)
            _append(file, specimen.batches[kept:])
        except JournalFailed:
            return Found("refused")
    try:
        with JournalFile(path, read_only=True) as again:
            kept_again, problem = _compare(again, specimen, specimen.batches)
    except (JournalFailed, JournalRefused):
        return Found("refused later")
    if not problem and kept_again < len(specimen.batches):
        problem = f"of {len(specimen.batches)} commits only {kept_again} are there in the end"
    return Found("whole" if kept == specimen.written else "end lost", problem)


def _try(specimen: Specimen, kind: str, number: int) -> Found:
    damaged = specimen.folder / "damaged"
    _copy(specimen.folder, damaged)
    what = FAULTS[kind](Chance(f"{kind} {number}"), damaged)
    found = judge(damaged / NAME, specimen)
    shutil.rmtree(damaged)
    return found._replace(problem=f"{what}: {found.problem}") if found.problem else found


def _compare(file: JournalFile, specimen: Specimen, batches: list[Batch]) -> tuple[int, str]:
    """How many commits a journal holds, and what is wrong with them."""
    if file.summary is None:
        return 0, ""
    if file.summary.job != specimen.job:
        return 0, "it is said to be of another job"
    expected = [(record, list(buffers)) for batch in batches for record, buffers in batch]
    found: list[tuple[Record, list[Buffer]]] = []
    for round_ in file.summary.rounds:
        found.append((RoundRecord(round_.number, round_.count, round_.shared, round_.began_s), []))
        sequences = round_.sequences
        while sequences:
            read, sequences = file.read(sequences)
            found += [(record, list(buffers)) for record, buffers in read]
    if found != expected[: len(found)]:
        return 0, "it holds something that was not written"
    ends = [0]
    for batch in batches:
        ends.append(ends[-1] + len(batch))
    if len(found) not in ends:
        return 0, "it holds a part of a commit"
    return ends.index(len(found)), ""


def _append(file: JournalFile, batches: Iterable[Batch]) -> None:
    for batch in batches:
        file.append(batch)


def _round(rng: Chance, number: int) -> list[Batch]:
    """The commits of a round, of a few results each; its tasks end in any order."""
    count = rng.randint(1, 60)
    order = rng.sample(range(count), count)
    batches: list[Batch] = [[(RoundRecord(number, count, rng.randbytes(8), 2.0), [])]]
    while order:
        batch = batches[-1] if rng.happens(0.3) else []
        frame = [order.pop() for _ in range(min(len(order), rng.randint(1, 8)))]
        buffers: list[Buffer] = [rng.randbytes(rng.choice(PAYLOAD_SIZES)) for _ in frame]
        outcomes = [Outcome(index, 0, Status.OK, 5) for index in frame]
        digests = bytes(rng.randrange(1, 256) for _ in range(DIGEST_BYTES * len(frame)))
        sizes = [len(buffer) for buffer in buffers]
        batch.append((ResultsRecord("lab-000", outcomes, digests, sizes, 3.0), buffers))
        if batch is not batches[-1]:
            batches.append(batch)
    return batches


def _place(rng: Chance, folder: Path) -> tuple[Path, int]:
    """Any byte of the journal, its log and the index of that."""
    files = sorted(path for path in folder.iterdir() if path.stat().st_size)
    path = rng.choices(files, [path.stat().st_size for path in files])[0]
    return path, rng.randrange(path.stat().st_size)


def _copy(source: Path, target: Path) -> None:
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        if path.is_file() and not path.name.endswith("-lock"):
            shutil.copyfile(path, target / path.name)


@click.command()
@click.option(
    "--cuts", type=int, default=200, show_default=True, help="Cut so many journals short."
)
@click.option("--flips", type=int, default=200, show_default=True, help="Flip a bit of so many.")
@click.option(
    "--tears", type=int, default=200, show_default=True, help="Spoil a sector of so many."
)
@click.option("--start", type=int, default=0, show_default=True, help="Number of the first fault.")
def main(cuts: int, flips: int, tears: int, start: int) -> None:
    """Damage journals, and see that what they then say is true."""
    is_wrong = False
    for kind, count in (("cut", cuts), ("flip", flips), ("tear", tears)):
        found = try_faults(kind, range(start, start + count))
        click.echo(f"{kind}s: {describe(found.values())}")
        for number, each in found.items():
            if each.problem:
                is_wrong = True
                click.echo(f"{kind} {number}: {each.problem}", err=True)
                again = " ".join(f"--{each}s {int(each == kind)}" for each in FAULTS)
                command = f"python -m midas_mp.testing.journal_faults --start {number} {again}"
                click.echo(f"play it again: {command}", err=True)
    if is_wrong:
        sys.exit(1)


def describe(found: Iterable[Found]) -> str:
    """``wrong 0, refused 83, end lost 60, …``."""
    counts = Counter({"wrong": 0})
    for each in found:
        counts["wrong" if each.problem else each.verdict] += 1
    return ", ".join(f"{verdict} {count}" for verdict, count in counts.items())


if __name__ == "__main__":
    main()

"""The folders that ``fit`` was given, read for a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knowbound.data.pictures.copies import refuse_overlap, refuse_two_classes
from knowbound.data.pictures.folder import FolderRead, ReadBefore, read_folder
from knowbound.data.pictures.names import printable
from knowbound.data.pictures.picture_lists import Listing
from knowbound.data.pictures.reading_estimate import estimate_reading
from knowbound.data.pictures.value_range import settle
from knowbound.data.preprocessing import Preprocessing
from knowbound.errors import UserError

OnFile = Callable[[int, int], None]


@dataclass(frozen=True, eq=False)
class Reads:
    """What was read: the known images, and each folder of seen-out ones, in the order given."""

    preprocessing: Preprocessing
    known: FolderRead
    outliers: tuple[FolderRead, ...]
    novelties: tuple[FolderRead, ...]
    anomalies: tuple[FolderRead, ...]


@dataclass(frozen=True, eq=False)
class Reader:
    """Reads folders at any size.

    known: labelled images, and listing: of them; outliers, novelties, anomalies: folders of
    seen-out images; memory, memory_limit, max_pixels: as in ``Settings``; progress: called with
    (files done, files).
    """

    known: Path
    listing: Listing
    outliers: Sequence[Path]
    novelties: Sequence[Path]
    anomalies: Sequence[Path]
    memory: int
    memory_limit: int
    max_pixels: int
    progress: OnFile | None = None
    before: ReadBefore = field(default_factory=ReadBefore)
    """Pictures of samples: where the whole is read alike, they are not decoded again."""

    def read(self, unsettled: Preprocessing) -> Reads:
        """Every folder.

        Args:
            unsettled: its range and background may still be "auto".

        Raises:
            UserError: folders that cannot be used, or the same picture in two classes, or known
                and out.
        """
        self._refuse_one_folder_twice()
        preprocessing = settle(unsettled, self.listing, self.max_pixels)
        threads = self._threads(self.listing, preprocessing)
        known = self._read(self.known, preprocessing, threads, self.listing)
        refuse_two_classes(known)
        sets = []
        for folders in (self.outliers, self.novelties, self.anomalies):
            reads = tuple(self._read(folder, preprocessing, threads) for folder in folders)
            refuse_overlap(known, self.known, reads, folders)
            sets.append(reads)
        return Reads(preprocessing, known, *sets)

    def _refuse_one_folder_twice(self) -> None:
        kinds = ("--outliers", self.outliers), ("--novelties", self.novelties)
        named = [("the known images", self.known)]
        for option, folders in (*kinds, ("--anomalies", self.anomalies)):
            for folder in folders:
                for before, other in named:
                    if folder.exists() and other.exists() and folder.samefile(other):
                        raise UserError(
                            f"{printable(folder)} was given with {option} and as {before}; expected "
                            "another folder: its pictures cannot be both"
                        )
                named.append((f"pictures of {option}", folder))

    def read_some(self, unsettled: Preprocessing, listing: Listing) -> FolderRead:
        """Some of the known images.

        Args:
            unsettled: its range and background may still be "auto"; all files settle them.
            listing: of the files wanted.

        Raises:
            UserError: images that cannot be used, or take more memory than is allowed.
        """
        preprocessing = settle(unsettled, self.listing, self.max_pixels)
        threads = self._threads(listing, preprocessing)
        return self._read(self.known, preprocessing, threads, listing, sample=True)

    def _threads(self, listing: Listing, preprocessing: Preprocessing) -> int:
        estimate = estimate_reading(listing, preprocessing, memory_limit=self.memory_limit)
        estimate.refuse_beyond(self.memory)
        return estimate.threads

    def _read(
        self,
        folder: Path,
        preprocessing: Preprocessing,
        threads: int,
        listing: Listing | None = None,
        sample: bool = False,
    ) -> FolderRead:
        return read_folder(
            folder,
            preprocessing,
            classes=listing is not None,
            memory_limit=self.memory_limit,
            workers=threads,
            max_pixels=self.max_pixels,
            progress=self.progress,
            listing=listing,
            before=self.before,
            sample=sample,
        )

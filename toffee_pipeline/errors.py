"""Every error that is raised on purpose.

ToffeeError                 what the user can mend: one line, exit code 2
├── ConfigError             a setting, or the file that holds it
├── CatalogError            a catalogue of classes and prompts
├── PlanError               a plan that cannot be made, such as of a folder without images
├── PlacementError          actors or workers that the cluster can never hold
├── Stalled                 a run on Ray in which nothing is computed any more
├── DataError               training data that cannot be used as it is
├── TrackerError            a service that shows a training
├── RequestError            a picture, mask or prompt that a trained network cannot draw from
├── NoAnswer                a language model that answers nothing
├── RunError                a run directory
│   ├── NoRun               there is none that this code could read
│   ├── OtherVersion        it has another layout than this code's
│   ├── RunMismatch         it belongs to another config
│   ├── TooManyFailures     more of its pairs fail than allowed
│   └── TrainingFailed      its workers gave up
└── StorageError            the storage refused or failed; an OSError too
    ├── MissingKey          nothing lies under a key; a KeyError too
    ├── DamagedFile         what lies there cannot be understood
    ├── StorageAway         it gave no answer for minutes: exit code 75
    └── LeaseHeld           another driver works on the run directory: exit code 75

SampleError                 one subject or pair that fails alone; its neighbours go on
ImageError                  one image that cannot be read or written
└── TooSmall                one of training data, smaller than the settings ask for
BrokenFile                  the rest of a file of training data cannot be read
MetadataError               metadata beside images that cannot be read
NotFinite                   a training's loss or gradient
"""

from __future__ import annotations

from collections.abc import Sequence

TRY_AGAIN = 75
"""sysexits' EX_TEMPFAIL: it passes by itself, and the same command goes on."""


class ToffeeError(Exception):
    """What the user can mend. Its text is one line that names the thing and what is allowed."""

    exit_code = 2
    """Of a job that ends with it."""


class ConfigError(ToffeeError, ValueError):
    """A setting that is not allowed, or a config file that cannot be read."""


class CatalogError(ToffeeError, ValueError):
    """A catalogue that cannot be used; names the file, the place in it and what is wrong.

    problems: all that is wrong with the content of its file, a line each.
    """

    def __init__(self, message: str, problems: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


class PlanError(ToffeeError, ValueError):
    """The config asks for a plan that cannot be made, such as a folder without images."""


class PlacementError(ToffeeError, ValueError):
    """The cluster can never hold the actors or workers that the config asks for."""


class Stalled(ToffeeError):
    """Nothing was computed for long, and nothing will be: a task of an actor that no node has room for any more, that
    cannot start, or that hangs on a GPU or a file system, waits for ever, and with it what needs its result."""

    def __init__(self, message: str, nodes_gone: bool = False) -> None:
        super().__init__(message)
        self.nodes_gone = nodes_gone


class DataError(ToffeeError, ValueError):
    """The training data cannot be used as it is: nothing there, or too much of it broken."""


class TrackerError(ToffeeError, ValueError):
    """A tracking service cannot be used; never holds a credential."""


class RequestError(ToffeeError, ValueError):
    """What is asked of a trained network cannot be drawn: names the picture, the mask or the prompt."""


class NoAnswer(ToffeeError):
    """A language model, or its server, answers none of its questions; with what the last one met."""


class RunError(ToffeeError):
    """Something about a run directory."""


class NoRun(RunError):
    """There is no run here that this code could read."""


class OtherVersion(RunError):
    """The run directory has another layout than this code reads; nothing in it is touched."""


class RunMismatch(RunError):
    """The run directory belongs to another config."""


class TooManyFailures(RunError):
    """More pairs fail than the config allows; with the most frequent errors."""


class TrainingFailed(RunError):
    """The workers gave up; the last checkpoint is still there."""


class StorageError(ToffeeError, OSError):
    """The storage refused or failed; names the key or the URI, never a credential."""


class MissingKey(StorageError, KeyError):
    """Nothing lies under this key."""


class DamagedFile(StorageError):
    """A file of a run directory that cannot be understood. Not one of another version, which other code can read."""


class StorageAway(StorageError):
    """A storage that had answered gave no answer, or one only that it is in trouble, for as long as a job waits."""

    exit_code = TRY_AGAIN


class LeaseHeld(StorageError):
    """Another driver works on this run directory."""

    exit_code = TRY_AGAIN


class SampleError(ValueError):
    """One subject or pair that fails on its own: it is marked failed with this message, its neighbours go on.

    reason: one of `filters.REASONS`; its pairs are then rejected, with the message beside it.
    """

    def __init__(self, message: str, reason: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason


class ImageError(ValueError):
    """One image cannot be read or written; one line that names it. A failure of its row, not of the run."""


class TooSmall(ImageError):
    """An image of training data has fewer pixels than the settings ask for. Nothing is wrong with it."""


class BrokenFile(ValueError):
    """The rest of a file of training data cannot be read (a truncated tar); what was read before it counts."""


class MetadataError(ValueError):
    """Metadata beside images cannot be read; one line that names its file and the line in it."""


class NotFinite(FloatingPointError):
    """The loss or the gradient of a training is NaN or infinite."""
